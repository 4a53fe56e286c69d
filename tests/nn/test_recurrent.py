"""Recurrent layers, packed sequences and CTC: formulas, layouts, unequal lengths, kept state."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.nn import functional as F
from chainrule.nn.utils import rnn

RNG = np.random.default_rng(0)
LENGTHS = np.array([3, 5, 1, 2])
X = RNG.normal(size=(5, 4, 2))  # T, N, I


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def deep(kind: str, **options: Any) -> Any:
    cr.manual_seed(1)
    return getattr(nn, kind)(2, 3, num_layers=2, bidirectional=True, dtype="float64", **options)


def test_a_projected_lstm_by_numpy_one_step_after_another() -> None:
    layer = nn.LSTM(2, 4, proj_size=3, dtype="float64")
    w = {k: v.numpy() for k, v in layer.state_dict().items()}
    h, c = np.zeros((4, 3)), np.zeros((4, 4))
    for t, x in enumerate(X):
        z = x @ w["weight_ih_l0"].T + w["bias_ih_l0"] + h @ w["weight_hh_l0"].T + w["bias_hh_l0"]
        i, f, g, o = np.split(z, 4, 1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = (sigmoid(o) * np.tanh(c)) @ w["weight_hr_l0"].T
        np.testing.assert_allclose(layer(X)[0][t].numpy(), h, atol=1e-14)
    out, (h_n, c_n) = layer(X)
    np.testing.assert_allclose(h_n[0].numpy(), h, atol=1e-14)
    np.testing.assert_allclose(c_n[0].numpy(), c, atol=1e-14)


def test_shapes_with_a_projection() -> None:
    layer = nn.LSTM(5, 8, num_layers=2, proj_size=3, bidirectional=True)
    shapes = {k: v.shape for k, v in layer.state_dict().items()}
    assert shapes["weight_hh_l0"] == (32, 3)
    assert shapes["weight_hr_l0"] == (3, 8)
    assert shapes["weight_ih_l1"] == (32, 6)
    out, (h_n, c_n) = layer(cr.zeros(7, 2, 5))
    assert (out.shape, h_n.shape, c_n.shape) == ((7, 2, 6), (4, 2, 3), (4, 2, 8))


def test_the_reset_gate_of_a_gru_acts_behind_the_product() -> None:
    layer = nn.GRU(1, 1)
    for p in layer.parameters():
        p.assign(cr.zeros_like(p))
    layer.weight_hh_l0.assign([[0.0], [0.0], [1.0]])
    layer.bias_hh_l0.assign([0.0, 0.0, 1.0])
    _, h = layer(cr.zeros(1, 1, 1), cr.ones(1, 1, 1))
    assert h.item() == pytest.approx(0.5 * np.tanh(0.5 * (1 + 1)) + 0.5, abs=1e-6)


def test_the_parameters_have_pytorchs_names_in_its_order() -> None:
    names = list(nn.LSTM(2, 3, num_layers=2, bidirectional=True).state_dict())
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    places = ("l0", "l0_reverse", "l1", "l1_reverse")
    assert names == [f"{part}_{place}" for place in places for part in parts]
    assert list(nn.LSTM(2, 3, proj_size=1).state_dict())[-1] == "weight_hr_l0"
    assert list(nn.GRU(2, 3, bias=False).state_dict()) == ["weight_ih_l0", "weight_hh_l0"]


def test_the_last_states_lie_by_layer_and_direction() -> None:
    layer = deep("RNN")
    out, h_n = layer(X)
    np.testing.assert_array_equal(h_n[2].numpy(), out[-1, :, :3].numpy())
    np.testing.assert_array_equal(h_n[3].numpy(), out[0, :, 3:].numpy())


def test_both_biases_of_an_lstm_count_and_one_of_a_gru_lies_behind_the_gate() -> None:
    lstm = nn.LSTM(2, 3, dtype="float64")
    lstm(X)[0].sum().backward()
    np.testing.assert_allclose(lstm.bias_ih_l0.grad.numpy(), lstm.bias_hh_l0.grad.numpy())
    gru = nn.GRU(2, 3, dtype="float64")
    x, h = X[0, :1], RNG.normal(size=(1, 3))
    gru(x, h)[0].sum().backward()
    r = x @ gru.weight_ih_l0.numpy().T[:, :3] + h @ gru.weight_hh_l0.numpy().T[:, :3]
    r = sigmoid(r + gru.bias_ih_l0.numpy()[:3] + gru.bias_hh_l0.numpy()[:3])
    ih, hh = gru.bias_ih_l0.grad.numpy(), gru.bias_hh_l0.grad.numpy()
    np.testing.assert_allclose(hh[:6], ih[:6])
    np.testing.assert_allclose(hh[6:], (r * ih[6:])[0])


def test_rows_do_not_depend_on_each_other_nor_calls_on_calls_before() -> None:
    layer = nn.GRU(2, 5, bias=False, dtype="float64")

    @cr.compile
    def twice(x: Any) -> Any:
        return layer(x)[0], layer(x, cr.zeros(1, x.shape[1], 5, dtype="float64"))[0]

    for rows in (3, 4):
        first, second = twice(cr.tensor(X[:, :rows]))
        np.testing.assert_array_equal(first.numpy(), second.numpy())
        for n in range(rows):
            alone = layer(X[:, n])[0]
            np.testing.assert_allclose(first[:, n].numpy(), alone.numpy(), atol=1e-14)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_layer_is_its_cell_in_a_python_loop(kind: str) -> None:
    layer = getattr(nn, kind)(2, 3, dtype="float64")
    cell = getattr(nn, f"{kind}Cell")(2, 3, dtype="float64")
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    state = None
    for t, h in enumerate(cr.unstack(layer(X)[0], 0)):
        state = cell(X[t], state)
        np.testing.assert_allclose(
            (state[0] if kind == "LSTM" else state).numpy(), h.numpy(), atol=1e-14
        )
    alone = cell(X[0, 1])
    mapped = cr.vmap(cell)(cr.tensor(X[0]))
    for a, b in zip(*((s if kind == "LSTM" else (s,)) for s in (alone, mapped)), strict=True):
        np.testing.assert_allclose(a.numpy(), b[1].numpy(), atol=1e-14)


def test_dropout_acts_between_layers_in_training_only() -> None:
    layer = nn.RNN(2, 40, num_layers=2, dropout=0.5)
    x = X.astype("f")
    a, b = layer(x)[0], layer(x)[0]
    assert (a.numpy() != b.numpy()).mean() > 0.9
    assert (a.numpy() != 0).all()  # not behind the last layer
    plain = nn.RNN(2, 40, num_layers=2)
    plain.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(layer.eval()(x)[0].numpy(), plain(x)[0].numpy())


def test_dropout_of_a_single_layer_warns() -> None:
    with pytest.warns(UserWarning, match="acts between layers and num_layers is 1") as w:
        nn.GRU(2, 3, dropout=0.5)
    assert w[0].filename == __file__


def test_layers_start_with_different_numbers() -> None:
    cr.manual_seed(0)
    layer = nn.LSTM(3, 3, num_layers=3, bidirectional=True)
    other = nn.LSTM(3, 3, num_layers=3, bidirectional=True)
    firsts = [p.numpy().ravel()[0] for m in (layer, other) for p in m.parameters()]
    assert len(set(firsts)) == len(firsts)
    cr.manual_seed(0)
    again = nn.LSTM(3, 3, num_layers=3, bidirectional=True)
    for p, q in zip(layer.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    assert max(np.abs(p.numpy()).max() for p in layer.parameters()) <= 1 / np.sqrt(3)


# -- unequal lengths -------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("compiled", [False, True])
def test_padded_sequences_are_as_each_alone(kind: str, compiled: bool) -> None:
    layer = deep(kind)
    x = np.where(np.arange(5)[:, None, None] < LENGTHS[:, None], X, np.nan)  # it is not looked at
    call = cr.compile(lambda x, n: layer(x, lengths=n)) if compiled else layer.forward
    out, last = call(cr.tensor(x), None, lengths=LENGTHS) if not compiled else call(x, LENGTHS)
    for n, length in enumerate(LENGTHS):
        alone, end = layer(X[:length, n])
        np.testing.assert_allclose(out[:length, n].numpy(), alone.numpy(), atol=1e-14)
        assert (out[length:, n].numpy() == 0).all()
        parts = zip(last, end, strict=True) if kind == "LSTM" else [(last, end)]
        for a, b in parts:
            np.testing.assert_allclose(a[:, n].numpy(), b.numpy(), atol=1e-14)


def test_padding_has_no_share_in_gradients() -> None:
    layer = deep("LSTM", batch_first=True)
    grads = []
    for fill in (0.0, np.nan):
        x = X.swapaxes(0, 1).copy()
        x[np.arange(5) >= LENGTHS[:, None]] = fill
        layer.zero_grad()
        (layer(x, lengths=LENGTHS)[0] ** 2).sum().backward()
        grads.append([p.grad.numpy() for p in layer.parameters()])
    for a, b in zip(*grads, strict=True):
        np.testing.assert_array_equal(a, b)


def test_packed_sequences_give_what_padded_ones_give() -> None:
    layer = deep("GRU")
    h = RNG.normal(size=(4, 4, 3))
    packed = rnn.pack_padded_sequence(X, LENGTHS, enforce_sorted=False)
    out, h_n = layer(packed, h)
    assert isinstance(out, rnn.PackedSequence)
    padded, lengths = rnn.pad_packed_sequence(out)
    wanted, h_wanted = layer(X, h, lengths=LENGTHS)
    np.testing.assert_array_equal(padded.numpy(), wanted.numpy())
    np.testing.assert_array_equal(h_n.numpy(), h_wanted.numpy())
    assert lengths.tolist() == LENGTHS.tolist()


def test_packing_inside_a_compiled_function() -> None:
    layer = deep("LSTM", batch_first=True)

    def last(x: Any) -> Any:
        packed = rnn.pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
        out, (h_n, _) = layer(packed)
        return rnn.pad_packed_sequence(out, batch_first=True, total_length=7)[0], h_n

    x = cr.tensor(X.swapaxes(0, 1))
    for a, b in zip(last(x), cr.compile(last)(x), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-14)


def test_packed_rows_lie_step_by_step_the_longest_sequence_first() -> None:
    a, b, c = (cr.arange(10 * k, 10 * k + n) for k, n in ((1, 2), (2, 3), (3, 1)))
    packed = rnn.pack_sequence([a, b, c], enforce_sorted=False)
    assert packed.data.tolist() == [20, 10, 30, 21, 11, 22]
    assert packed.batch_sizes.tolist() == [3, 2, 1]
    assert packed.sorted_indices.tolist() == [1, 0, 2]
    assert packed.unsorted_indices.tolist() == [1, 0, 2]
    assert [t.tolist() for t in rnn.unpack_sequence(packed)] == [[10, 11], [20, 21, 22], [30]]
    padded, lengths = rnn.pad_packed_sequence(packed, True, padding_value=-1, total_length=4)
    assert padded.tolist() == [[10, 11, -1, -1], [20, 21, 22, -1], [30, -1, -1, -1]]
    assert lengths.tolist() == [2, 3, 1]
    assert rnn.pad_sequence([a, c], True, 9, padding_side="left").tolist() == [[10, 11], [9, 30]]


# -- memory, state, ties ---------------------------------------------------------------------------
def test_remat_changes_no_gradient() -> None:
    plain, saving = deep("LSTM"), deep("LSTM", remat=True)
    for layer in (plain, saving):
        (layer(X, lengths=LENGTHS)[0] ** 2).sum().backward()
    for p, q in zip(plain.parameters(), saving.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), atol=1e-13)


class Streaming(nn.Module):
    """Keeps its state from call to call; gradients stop at the border."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(2, 3, dtype="float64")
        self.h = nn.Buffer(np.zeros((1, 4, 3)), persistent=False)

    def forward(self, x: Any) -> Any:
        out, h = self.rnn(x, self.h)
        self.h.assign(h.detach())
        return out


def test_a_buffer_carries_the_state_between_compiled_calls() -> None:
    model = Streaming()
    step = cr.compile(lambda x: model(x))
    whole, _ = model.rnn(X)
    parts = [step(X[t : t + 1]).numpy() for t in range(5)]
    np.testing.assert_allclose(np.concatenate(parts), whole.numpy(), atol=1e-14)


def test_truncated_back_propagation_stops_at_the_border() -> None:
    model = Streaming()
    grads = cr.compile(lambda x: cr.grad(lambda x: (model(x) ** 2).sum())(x))
    halves = [grads(cr.tensor(part)) for part in (X[:2], X[2:])]
    first = cr.grad(lambda x: (model.rnn(x)[0] ** 2).sum())(cr.tensor(X[:2]))
    np.testing.assert_allclose(halves[0].numpy(), first.numpy(), atol=1e-13)
    _, h = model.rnn(X[:2])
    second = cr.grad(lambda x: (model.rnn(x, h)[0] ** 2).sum())(cr.tensor(X[2:]))
    np.testing.assert_allclose(halves[1].numpy(), second.numpy(), atol=1e-13)


class Tied(nn.Module):
    """The output layer reads the table of the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 3)
        self.rnn = nn.GRU(3, 3, batch_first=True)
        self.out = nn.Linear(3, 7, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x: Any) -> Any:
        return self.out(self.rnn(self.embedding(x))[0])


def test_tied_weights_are_one_parameter() -> None:
    cr.manual_seed(0)
    model = Tied()
    names = [name for name, _ in model.named_parameters()]
    assert "embedding.weight" in names and "out.weight" not in names
    assert len(optim.Adam(model.parameters()).param_groups[0]["params"]) == len(names)
    assert {"embedding.weight", "out.weight"} <= set(model.state_dict())
    assert nn.summary(model, (2, 4), dtype="int64").parameters == 7 * 3 + 2 * 9 * 3 + 2 * 9
    other = Tied()
    other.load_state_dict(model.state_dict())
    x = cr.tensor(RNG.integers(0, 7, (2, 4)))
    np.testing.assert_array_equal(other(x).numpy(), model(x).numpy())
    assert copy.deepcopy(model).out.weight is not model.out.weight
    assert model.double().out.weight is model.embedding.weight


def test_tied_weights_get_the_sum_of_both_gradients_in_a_compiled_step() -> None:
    cr.manual_seed(0)
    model, rate = Tied().double(), 0.1
    x = cr.tensor(RNG.integers(0, 7, (2, 4)))
    before = model.embedding.weight.numpy().copy()

    def loss(table: Any, weight: Any) -> Any:
        hidden = model.rnn(F.embedding(x, table))[0]
        return F.cross_entropy((hidden @ weight.T).reshape(-1, 7), x.reshape(-1))

    a, b = cr.grad(loss, argnums=(0, 1))(cr.tensor(before), cr.tensor(before))
    sgd = optim.SGD(model.parameters(), lr=rate)

    @cr.compile
    def step(x: Any) -> None:
        found = F.cross_entropy(model(x).reshape(-1, 7), x.reshape(-1))
        sgd.zero_grad()
        found.backward()
        sgd.step()

    step(x)
    wanted = before - rate * (a.numpy() + b.numpy())
    np.testing.assert_allclose(model.out.weight.numpy(), wanted, atol=1e-14)
    assert model.out.weight is model.embedding.weight


def test_the_summary_counts_every_step_of_a_loop() -> None:
    row = nn.summary(nn.RNN(3, 4, bias=False), (5, 2, 3)).rows[0]
    assert row.flops == 2 * 5 * 2 * 4 * (3 + 4) + 2 * 5 * 2 * 4  # two products, a sum, a tanh


# -- CTC -------------------------------------------------------------------------------------------
def by_enumeration(log_probs: Any, labels: list[int], blank: int) -> float:
    """Sum over every path that collapses to the labels."""
    steps, classes = log_probs.shape
    total = 0.0
    for path in np.ndindex(*[classes] * steps):
        kept = [c for i, c in enumerate(path) if i == 0 or c != path[i - 1]]
        if [c for c in kept if c != blank] == labels:
            total += np.exp(sum(log_probs[t, c] for t, c in enumerate(path)))
    return -np.log(total) if total else np.inf


@pytest.mark.parametrize("labels", [[], [1], [2, 1], [1, 1], [2, 2, 1], [1, 1, 1]])
def test_ctc_sums_over_all_paths(labels: list[int]) -> None:
    x = RNG.normal(size=(5, 3))  # need not be normalized
    found = F.ctc_loss(x, np.array(labels, int), 5, len(labels), reduction="none")
    assert found.shape == ()
    assert found.item() == pytest.approx(by_enumeration(x, labels, 0), abs=1e-12)


def test_an_alignment_that_is_impossible_costs_inf_or_nothing_and_has_no_gradient() -> None:
    x = cr.tensor(np.log(np.full((2, 2, 2), 0.5)), requires_grad=True)
    labels = [[1, 1], [1, 0]]
    losses = F.ctc_loss(x, labels, [2, 2], [2, 1], reduction="none")
    assert losses.tolist() == [np.inf, pytest.approx(np.log(4 / 3))]
    losses.sum().backward()
    assert (x.grad.numpy()[:, 0] == 0).all() and np.isfinite(x.grad.numpy()).all()
    assert F.ctc_loss(x, labels, [2, 2], [2, 1], reduction="sum", zero_infinity=True).item() == (
        pytest.approx(np.log(4 / 3))
    )


def test_ctc_of_padded_and_of_joined_targets_is_the_same_also_compiled() -> None:
    x = cr.tensor(RNG.normal(size=(8, 3, 4)))
    padded = cr.tensor([[1, 2, 3], [3, 0, 0], [2, 2, 9]])
    joined = cr.tensor([1, 2, 3, 3, 2, 2])
    steps, counts = cr.tensor([8, 5, 7]), cr.tensor([3, 1, 2])
    wanted = F.ctc_loss(x, padded, steps, counts, reduction="none").numpy()
    for targets in (padded, joined):
        compiled = cr.compile(lambda *a: F.ctc_loss(*a, reduction="none"))
        np.testing.assert_allclose(compiled(x, targets, steps, counts).numpy(), wanted, rtol=1e-13)


def test_probabilities_of_zero_give_no_nan() -> None:
    x = cr.tensor([[[-np.inf, 0.0]], [[-np.inf, 0.0]]], requires_grad=True)
    loss = F.ctc_loss(x, [[1]], [2], [1])
    loss.backward()
    assert loss.item() == 0
    assert x.grad.numpy().ravel().tolist() == [0, -1, 0, -1]


def test_ctc_in_float32_keeps_its_gradient_over_many_steps() -> None:
    x = RNG.normal(size=(300, 2, 10))
    labels = RNG.integers(1, 10, (2, 30))

    def gradient(dtype: str) -> Any:
        def loss(x: Any) -> Any:
            return F.ctc_loss(F.log_softmax(x, -1), labels, [300, 280], [30, 25])

        return cr.grad(loss)(cr.tensor(x, dtype=dtype)).numpy()

    np.testing.assert_allclose(gradient("float32"), gradient("float64"), atol=2e-7)
