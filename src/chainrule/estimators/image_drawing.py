"""The figure of a model of images: learning, confusions, filters, and images taken for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .. import nn
from ..core.node import Array
from ..data.image_folder import ImageFolder
from ..models import PartialConv2d
from ..plot import matplotlib_of, save_figure, tiles
from ..tensor.value import array_of
from ..train import History
from .drawing import confusion_matrix, loss_curve

FILTERS, WRONG = 64, 30
"""Pictures of a panel, at most."""


def draw(
    path: str | Path, net: nn.Module, found: ImageFolder, said: Array, history: History, rows: str
) -> Path:
    """Panels in one file.

    ``said``: the number of the class that was answered for each image; ``rows``: what to call them.
    """
    panels: list[Any] = []
    if len(history):
        panels.append(lambda axes: loss_curve(axes, history, "cross entropy"))
    panels.append(lambda axes: confusion_matrix(axes, found.classes, found.y, said, rows))
    weights = first_filters(net, found.x.shape[1:])
    if weights is not None:
        panels.append(lambda axes: _filters(axes, weights))
    panels.append(lambda axes: _wrong(axes, found, said))
    figure = matplotlib_of().figure.Figure(figsize=(11, 10), layout="constrained")
    for i, panel in enumerate(panels):
        panel(figure.add_subplot(2, 2, i + 1))
    return save_figure(figure, path, dpi=130)


def first_filters(net: nn.Module, shape: tuple[int, ...]) -> Array | None:
    """The weights of the first layer (units, channels, height, width)."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            return np.asarray(array_of(layer.weight))
        if isinstance(layer, PartialConv2d):
            return np.asarray(array_of(layer.kernels()))
        if isinstance(layer, nn.Linear):
            weights = np.asarray(array_of(layer.weight))
            return weights.reshape(-1, *shape) if weights[0].size == np.prod(shape) else None
    return None


def _filters(axes: Any, weights: Array) -> None:
    few = weights[:FILTERS]
    high, wide = few.shape[-2:]
    columns = int(np.ceil(np.sqrt(len(few))))
    if few.shape[1] == 3:  # colours: a filter as the picture that it likes best
        largest = np.abs(few).max(axis=(1, 2, 3), keepdims=True)
        _sheet(axes, 0.5 + few / np.maximum(2 * largest, 1e-12), columns)
        axes.set_title(f"{len(few)} filters of the first layer", fontsize=10)
        return
    title = f"{len(few)} filters of the first layer (blue +, orange −)"
    tiles(axes, few[:, 0].reshape(len(few), -1), (high, wide), columns, title, signed=True)


def _wrong(axes: Any, found: ImageFolder, said: Array) -> None:
    wrong = np.flatnonzero(said != found.y)
    few = wrong[:WRONG]
    axes.set_axis_off()
    title = f"{len(few)} of {len(wrong)} images taken for others: class > answer"
    if not len(few):
        axes.set_title("no image is taken for another", fontsize=10)
        return
    words = [f"{found.classes[found.y[i]][:9]}>{found.classes[said[i]][:9]}" for i in few]
    _sheet(axes, found.x[few] / 255, 6, words)
    axes.set_title(title, fontsize=10)


def _sheet(axes: Any, pictures: Array, columns: int, labels: list[str] | None = None) -> None:
    """Pictures (N, channels, height, width) from 0 to 1 side by side."""
    n, c, high, wide = pictures.shape
    space = max(high // 5, 1) if labels else 1
    rows = -(-n // columns)
    sheet = np.ones((rows * (high + space), columns * (wide + 1), 3))
    for i, picture in enumerate(pictures):
        top, left = i // columns * (high + space) + space, i % columns * (wide + 1)
        sheet[top : top + high, left : left + wide] = picture.transpose(1, 2, 0)
        if labels:
            axes.text(left, top - 0.6, labels[i], fontsize=6, va="bottom")
    axes.imshow(sheet, vmin=0, vmax=1)
    axes.set_axis_off()
