"""What is transparent in a picture is white, whatever colour its file gives it."""

import numpy as np
import pytest

from chainrule.data import load_images

image_of = pytest.importorskip("PIL.Image")


def _drawing(kind):
    """A black stroke on nothing, which is black as well in the file; and how it is saved."""
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[1, :, 3] = 255
    if kind == "P":
        drawing = image_of.fromarray(pixels[:, :, 3] // 255).convert("P")
        drawing.putpalette([0, 0, 0] * 2)
        return drawing, {"transparency": 0}
    return image_of.fromarray(pixels if kind == "RGBA" else pixels[:, :, 2:]), {}


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P"])
def test_strokes_are_seen(tmp_path, kind):
    drawing, options = _drawing(kind)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        drawing.save(tmp_path / name / "1.png", **options)
    found = load_images(tmp_path).x
    assert found.shape == (2, 1, 4, 4)
    assert found[0, 0].tolist() == [[255] * 4, [0] * 4, [255] * 4, [255] * 4]


def test_a_jpeg_named_jfif_is_an_image(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        image_of.new("L", (4, 4), 9).save(tmp_path / name / "1.jfif", format="JPEG")
    assert load_images(tmp_path).files == ("a/1.jfif", "b/1.jfif")
