"""TextModel: streams side by side, the encoding of the training, and a file's name in place of its
text."""

import pytest

from chainrule.errors import DataError
from chainrule.estimators import TextModel

TEXT = "größe ist so fein\n" * 40


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "latin.txt"
    path.write_bytes(TEXT.encode("latin-1"))
    options = {"model": "gpt", "width": 8, "heads": 2, "layers": 1, "length": 8}
    return TextModel.fit(path, encoding="latin-1", epochs=1, **options), path


def test_streams_side_by_side_write_as_alone(model):
    model, _ = model
    alone = [model.sample("g", 20, seed=seed, temperature=t) for seed, t in ((1, 1.0), (2, 3.0))]
    first = model.stream("g", 20, seed=1, temperature=1.0)
    second = model.stream("g", 20, seed=2, temperature=3.0)
    pairs = list(zip(first, second, strict=True))
    assert ["".join(part) for part in zip(*pairs, strict=True)] == alone


def test_a_stream_that_is_read_late_keeps_its_own_options(model):
    model, _ = model
    expected = model.sample("g", 20, seed=1, temperature=1.0)
    late = model.stream("g", 20, seed=1, temperature=1.0)
    model.sample("g", 3, seed=2, temperature=3.0)
    assert "".join(late) == expected


def test_a_file_is_read_in_the_encoding_of_the_training(model, tmp_path):
    model, path = model
    again = TextModel.load(model.save(tmp_path / "m.safetensors"))
    assert again.evaluate(path) == model.evaluate(TEXT)
    other = tmp_path / "utf8.txt"
    other.write_text(TEXT, "utf-8")
    assert again.evaluate(other, encoding="utf-8") == model.evaluate(TEXT)


def test_the_name_of_a_file_is_no_text(model, monkeypatch):
    model, path = model
    monkeypatch.chdir(path.parent)
    for text in (path.name, str(path)):
        with pytest.raises(DataError, match="is the name of a file; write Path"):
            model.evaluate(text)
    with pytest.raises(DataError, match="is the name of a file"):
        TextModel.fit(path.name)
