"""Hinton diagrams: squares of the right size, place and colour; bad weights are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chainrule.errors import DataError, ShapeError
from chainrule.plot import NEGATIVE, POSITIVE, curves, hinton, hinton_figure

matplotlib = pytest.importorskip("matplotlib")


def test_area_is_the_weight_and_colour_the_sign() -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    hinton([[1.0, -0.25, 0.0]], axes)
    positive, negative = axes.collections
    assert tuple(positive.get_facecolor()[0]) == to_rgba(POSITIVE)
    assert tuple(negative.get_facecolor()[0]) == to_rgba(NEGATIVE)
    (big,), (small,) = positive.get_paths(), negative.get_paths()
    sides = [np.ptp(p.vertices[:, 0]) for p in (big, small)]
    assert sides[1] / sides[0] == pytest.approx(0.5)  # a quarter of the area
    assert small.vertices[:, 0].mean() == pytest.approx(1.0, abs=0.2)  # in the second column


def test_files(tmp_path: Path) -> None:
    for name in ("a.png", "a.svg"):
        assert (
            hinton_figure({"one": np.eye(3), "two": -np.eye(2)}, tmp_path / name, "title")
            .stat()
            .st_size
            > 1000
        )
    assert hinton_figure([np.zeros((2, 2))], tmp_path / "zero.png").exists()
    assert curves({"loss": [1.0, 0.5, 0.1]}, tmp_path / "c.png").stat().st_size > 1000


def test_bad_weights() -> None:
    with pytest.raises(
        ShapeError,
        match=r"a Hinton diagram shows a matrix \(rows, columns\), got shape \(2, 2, 2\)",
    ):
        hinton_figure([np.zeros((2, 2, 2))], "never.png")
    with pytest.raises(DataError, match="a Hinton diagram shows finite weights; 1 are not"):
        hinton_figure([np.array([[1.0, np.nan]])], "never.png")
    with pytest.raises(ShapeError, match="no matrices to draw"):
        hinton_figure([], "never.png")
