"""Losses at the edges: 0 times infinity, nothing that counts, huge values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

F = nn.functional
INF = math.inf


def soft(z: Any, q: Any, **options: Any) -> cr.Tensor:
    return F.cross_entropy(z, cr.tensor([q]), **options)


BCE = F.binary_cross_entropy_with_logits
TWO = -math.log(1 / (1 + math.exp(-1.0)))  # cross-entropy of the logits 0, 1 and the class 1

# name: the loss of an input, the input, the loss, its gradient
EDGES: dict[str, tuple[Callable[[Any], Any], Any, float, Any]] = {
    "infinite logits on the right side": (
        lambda x: BCE(x, cr.tensor([1.0, 0.0]), reduction="sum"), [INF, -INF], 0.0, [0, 0],
    ),
    "infinite logits on the wrong side": (
        lambda x: BCE(x, cr.tensor([0.0, 1.0]), reduction="sum"), [INF, -INF], INF, [1, -1],
    ),
    "infinite logits with weights of positives": (
        lambda x: BCE(x, cr.tensor([1.0, 0.0]), pos_weight=cr.tensor([3.0, 3.0]), reduction="sum"),
        [INF, -INF], 0.0, [0, 0],
    ),
    "a wrong infinite logit of weight 0": (
        lambda x: BCE(x, cr.tensor([0.0, 0.0]), cr.tensor([0.0, 1.0]), reduction="sum"),
        [INF, 0.0], math.log(2), [0, 0.5],
    ),
    "probabilities 0 and 1": (
        lambda x: F.binary_cross_entropy(x, cr.tensor([0.0, 1.0])), [0.0, 1.0], 0.0, [0, 0],
    ),
    "divergence from a target 0": (
        lambda x: F.kl_div(x, cr.tensor([[0.0, 1.0]]), reduction="sum"),
        [[-INF, -0.5]], 0.5, [[0, -1]],
    ),
    "divergence from a logarithm of 0": (
        lambda x: F.kl_div(x, cr.tensor([[-INF, 0.0]]), reduction="sum", log_target=True),
        [[-INF, -0.5]], 0.5, [[0, -1]],
    ),
    "a masked class with target 0": (
        lambda x: soft(x, [0.0, 1.0, 0.0]), [[0.0, 1.0, -INF]], TWO,
        [[math.exp(-TWO - 1), math.exp(-TWO) - 1, 0]],
    ),
    "a masked class of weight 0": (
        lambda x: F.cross_entropy(
            x, cr.tensor([1]), cr.tensor([1.0, 1.0, 0.0]), label_smoothing=0.3
        ),
        [[0.0, 1.0, -INF]], TWO * 0.7 + 0.1 * (2 * TWO + 1), None,
    ),
    "a label of weight 0 on a masked class": (
        lambda x: F.cross_entropy(x, cr.tensor([1, 2]), cr.tensor([1.0, 1.0, 0.0])),
        [[0.0, 1.0, 0.0], [0.0, 1.0, -INF]], math.log(2 + math.e) - 1, None,
    ),
    "log-probabilities with a weight 0": (
        lambda x: F.nll_loss(x, cr.tensor([0, 1]), cr.tensor([1.0, 0.0])),
        [[-0.5, -INF], [-0.5, -INF]], 0.5, [[-1, 0], [0, 0]],
    ),
    "counts of 0 at a rate of 0": (
        lambda x: F.poisson_nll_loss(x, cr.tensor([0.0, 1.0]), reduction="sum"),
        [-INF, 0.0], 1.0, [0, 0],
    ),
    "an infinite error of weight 0": (
        lambda x: F.mse_loss(x, cr.tensor([0.0, 1.0]), weight=cr.tensor([0.0, 2.0])),
        [INF, 3.0], 4.0, [0, 4],
    ),
    "weights that are all 0": (
        lambda x: F.l1_loss(x, cr.tensor([0.0, 1.0]), weight=cr.tensor([0.0, 0.0])),
        [2.0, 3.0], 0.0, [0, 0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("compiled", [False, True], ids=["at once", "compiled"])
@pytest.mark.parametrize("name", list(EDGES))
def test_what_counts_nothing_adds_nothing(name: str, compiled: bool) -> None:
    loss, at, expected, slope = EDGES[name]

    def both(x: Any) -> Any:
        return loss(x), cr.grad(lambda z: loss(z))(x)

    x = cr.tensor(at)
    value, gradient = (cr.compile(both) if compiled else both)(x)
    assert value.item() == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert np.isfinite(gradient.numpy()).all()
    if slope is not None:
        np.testing.assert_allclose(gradient.numpy(), slope, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "loss"),
    {
        "logits": lambda x: BCE(x[0], cr.tensor([1.0, 0.0])),
        "soft targets": lambda x: soft(x, [0.0, 1.0]),
        "divergence": lambda x: F.kl_div(x, cr.tensor([[0.0, 1.0]])),
        "weight 0": lambda x: F.mse_loss(x[0], cr.zeros(2), weight=cr.tensor([0.0, 1.0])),
    }.items(),
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_nan_stays_nan_where_a_target_or_weight_is_0(name: str, loss: Any) -> None:
    assert math.isnan(loss(cr.tensor([[math.nan, 0.5]])).item())


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize("weight", [None, [1.0, 2.0]])
@pytest.mark.parametrize("shape", [(3, 2), (3, 2, 4)])
def test_the_mean_of_no_label_is_0_with_gradient_0(loss: Any, weight: Any, shape: Any) -> None:
    x = cr.ones(*shape, requires_grad=True)
    labels = np.full((shape[0], *shape[2:]), -100)
    value = loss(x, cr.tensor(labels), None if weight is None else cr.tensor(weight))
    value.backward()
    assert value.item() == 0 and (np.asarray(x.grad) == 0).all()


def test_labels_whose_classes_have_weight_0_count_as_none() -> None:
    x = cr.ones(2, 2, requires_grad=True)
    value = F.cross_entropy(x, cr.tensor([1, 1]), cr.tensor([1.0, 0.0]))
    value.backward()
    assert value.item() == 0 and (np.asarray(x.grad) == 0).all()


def test_ignored_rows_with_class_weights_and_smoothing() -> None:
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(6, 3)), np.array([0, -1, 2, 1, -1, 0])
    weight, kept = np.array([1.0, 2.0, 0.5]), np.array([0, 2, 3, 5])
    options: Any = {"weight": cr.tensor(weight), "label_smoothing": 0.2}
    all_ = F.cross_entropy(cr.tensor(z), cr.tensor(labels), ignore_index=-1, **options)
    some = F.cross_entropy(cr.tensor(z[kept]), cr.tensor(labels[kept]), **options)
    assert all_.item() == pytest.approx(some.item(), rel=1e-12)


def test_cosine_embedding_loss_of_huge_and_tiny_vectors() -> None:
    for size in (3e30, 1.0):
        a, b = cr.tensor([[size, 2 * size]]), cr.tensor([[size, -size]])
        loss = F.cosine_embedding_loss(a, b, cr.tensor([1.0]))
        assert loss.item() == pytest.approx(1 + 1 / math.sqrt(10), rel=1e-6)
    tiny = cr.tensor([[1e-9, 0.0]])  # far below the 1e-6 added
    assert F.cosine_embedding_loss(tiny, tiny, cr.tensor([1.0])).item() == pytest.approx(
        1.0, rel=1e-5
    )


def test_slopes_at_infinity() -> None:
    x = cr.tensor([math.inf, -math.inf, 3.0, 0.25], requires_grad=True)
    for loss, bound in ((F.huber_loss, "delta"), (F.smooth_l1_loss, "beta")):
        x.grad = None
        loss(x, cr.zeros(4), reduction="sum", **{bound: 0.5}).backward()
        steep = 0.5 if bound == "delta" else 1.0
        assert x.grad.tolist() == [steep, -steep, steep, steep / 2]
    x, slope = cr.tensor([math.inf, -2.0]), cr.tensor([0.25], requires_grad=True)
    F.prelu(x, slope).sum().backward()
    assert slope.grad.tolist() == [-2.0]
