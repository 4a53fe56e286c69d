"""The cell of 1997: the paper's numbers of weights, its equations and its rule, written out."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import models
from chainrule.errors import OptionError, ShapeError

COUNTS = [  # inputs, blocks, size, outputs, biases, weights: tables of the paper
    (7, 4, 1, 7, "gates", 264),
    (7, 3, 2, 7, "gates", 276),
    (54, 2, 1, 2, "none", 364),
    (104, 2, 1, 2, "none", 664),
    (1, 3, 1, 1, "hidden", 102),
    (2, 2, 2, 1, "all", 93),
    (8, 2, 2, 4, "all", 156),
    (8, 3, 2, 8, "all", 308),
]


@pytest.mark.parametrize(("inputs", "blocks", "size", "outputs", "biases", "weights"), COUNTS)
def test_weights_are_as_many_as_in_the_paper(
    inputs: int, blocks: int, size: int, outputs: int, biases: str, weights: int
) -> None:
    net = models.LSTM1997(inputs, blocks, size, outputs, biases)
    assert sum(p.numel() for p in net.parameters()) == weights


def sigma(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def by_hand(net: models.LSTM1997, x: np.ndarray, d: float) -> tuple[float, dict[str, np.ndarray]]:
    """The last output and the gradient of ½ (y - d)², by the paper's forward recursions of
    ∂s/∂w, blocks of one cell: what y(t-1) owes to w does not count."""
    w = {k: p.numpy().astype(float) for k, p in net.named_parameters()}
    b = net.blocks
    units, inputs = w["weight_ih"].shape
    rows = np.concatenate([w["weight_ih"], w["weight_hh"], w["bias"][:, None]], axis=1)
    y, s = np.zeros(units), np.zeros(b)
    owed = np.zeros((b, *rows.shape))  # ∂s_c/∂w
    for now in x:
        source = np.concatenate([now, y, [1.0]])
        net_in = rows @ source
        gate, out, cell = (sigma(net_in[i * b : (i + 1) * b]) for i in range(3))
        g = 4 * cell - 2
        for c in range(b):
            owed[c, c] += g[c] * gate[c] * (1 - gate[c]) * source
            owed[c, 2 * b + c] += gate[c] * 4 * cell[c] * (1 - cell[c]) * source
        s = s + gate * g
        h = 2 * sigma(s) - 1
        y = np.concatenate([gate, out, out * h])
    answer = sigma(w["head.weight"] @ y[2 * b :] + w["head.bias"])[0]
    δ = (answer - d) * answer * (1 - answer)
    e = δ * w["head.weight"][0]  # ∂E/∂y_c
    slopes = np.einsum("c,cij->ij", e * out * (1 - h**2) / 2, owed)
    slopes[b : 2 * b] += (e * h * out * (1 - out))[:, None] * source
    ih, hh, bias = np.split(slopes, [inputs, inputs + units], axis=1)
    return answer, {"weight_ih": ih, "weight_hh": hh, "bias": bias[:, 0]}


def test_the_truncated_rule_is_the_papers() -> None:
    cr.manual_seed(3)
    net = models.LSTM1997(2, 3, 1, 1, init=0.8)
    x = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    answer, slopes = by_hand(net, x, 0.9)
    out = net(x)[-1, 0]
    assert float(out) == pytest.approx(answer, abs=1e-6)
    (0.5 * (out - 0.9) ** 2).backward()
    for name, wanted in slopes.items():
        np.testing.assert_allclose(dict(net.named_parameters())[name].grad, wanted, atol=1e-6)


def test_the_full_gradient_passes_the_check() -> None:
    cr.manual_seed(1)
    net = models.LSTM1997(2, 2, 2, 1, truncated=False, init=0.7)
    weights = {k: p.detach().double() for k, p in net.named_parameters()}
    x = cr.tensor(np.random.default_rng(1).normal(size=(6, 2)), dtype="float64")

    def error(w: dict[str, cr.Tensor]) -> cr.Tensor:
        for name, p in net.named_parameters():
            assert p.shape == w[name].shape
        return (cr.func.functional_call(net, w, x)[-1] ** 2).sum()

    cr.check_grads(error, (weights,))


def test_many_sequences_are_each_alone_and_gates_start_where_they_are_told() -> None:
    cr.manual_seed(0)
    net = models.LSTM1997(3, 2, 2, 2, linear=True, input_gates=(-3, -6), output_gates=(1, 2))
    x = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    for i in range(4):
        np.testing.assert_allclose(net(x)[:, i], net(x[:, i]), atol=1e-6)
    np.testing.assert_array_equal(net.bias[:4], [-3, -6, 1, 2])
    assert np.abs(net.bias[4:]).max() <= 0.1
    y, s = net.states(x)
    assert y.shape == (5, 4, 8) and s.shape == (5, 4, 4)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: models.LSTM1997(0, 1, 1, 1), OptionError, "LSTM1997: inputs must be an integer"),
        (
            lambda: models.LSTM1997(1, 1, 1, 1, "some"),
            OptionError,
            "biases must be 'none', 'gates'",
        ),
        (
            lambda: models.LSTM1997(1, 2, 1, 1, input_gates=(1,)),
            OptionError,
            "1 biases of gates for 2 blocks; give one a block",
        ),
        (
            lambda: models.LSTM1997(1, 1, 1, 1, "none", output_gates=(1,)),
            OptionError,
            "for 1 blocks without biases",
        ),
        (
            lambda: models.LSTM1997(2, 1, 1, 1)(np.zeros((5, 3), np.float32)),
            ShapeError,
            r"sequences \(T, 2\) or \(T, N, 2\) are expected, got \(5, 3\)",
        ),
    ],
)
def test_mistakes_in_its_options(make, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
