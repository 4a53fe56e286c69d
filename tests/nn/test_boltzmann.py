"""Restricted Boltzmann machines: against enumeration, at the ends of the numbers, and when kept."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import DTypeError, OptionError, ShapeError


def states(n: int) -> np.ndarray:
    return np.array(list(itertools.product([0.0, 1.0], repeat=n)))


def machine(v: int = 5, h: int = 3, seed: int = 0, **options: object) -> nn.RBM:
    """One in float64 with weights and biases that are not small."""
    rbm = nn.RBM(v, h, dtype=cr.float64, generator=cr.Generator(seed), **options)
    rng = np.random.default_rng(seed)
    with cr.no_grad():
        for p in rbm.parameters():
            p.assign(cr.tensor(rng.normal(0, 0.8, p.shape)))
    return rbm


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def log_likelihood(rbm: nn.RBM, v: cr.Tensor) -> cr.Tensor:
    """Exact mean ln p(v), by all visible states."""
    every = cr.tensor(states(rbm.visible_features)).to(rbm.weight.dtype)
    return -rbm.free_energy(v).mean() - cr.logsumexp(-rbm.free_energy(every), 0)


# -- energies --------------------------------------------------------------------------------------
def test_the_free_energy_is_the_sum_over_all_hidden_states() -> None:
    rbm = machine()
    v, h = states(5), states(3)
    each = np.array(
        [[float(rbm.energy(cr.tensor(a[None]), cr.tensor(b[None]))) for b in h] for a in v]
    )
    np.testing.assert_allclose(
        rbm.free_energy(cr.tensor(v)).numpy(), -np.log(np.exp(-each).sum(1)), rtol=1e-12
    )


def test_the_free_energy_with_linear_hidden_units_is_the_integral() -> None:
    rbm = machine(3, 1, hidden="gaussian")
    v, h = cr.tensor([[1.0, 0.0, 1.0]]).double(), np.linspace(-30, 30, 60001)
    energy = rbm.energy(cr.broadcast_to(v, (len(h), 3)), cr.tensor(h[:, None])).numpy()
    integral = np.exp(-energy).sum() * (h[1] - h[0])
    wanted = -np.log(integral) + 0.5 * np.log(2 * np.pi)
    assert float(rbm.free_energy(v)) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("compiled", [False, True])
def test_free_energy_does_not_overflow_and_is_not_cut_off(dtype: str, compiled: bool) -> None:
    """F(v) = -ln(1 + exp(W v)) of one unit to one: exact at both ends."""
    expected = {
        (1000.0, 1.0): (-1000.0, -1.0),
        (1000.0, 0.0): (-np.log(2), 0.0),
        (-1000.0, 1.0): (0.0, 0.0),
        (-1000.0, 0.0): (-np.log(2), 0.0),
        (88.9, 1.0): (-88.9, -1.0),
        (1e30, 1.0): (-1e30, -1.0),
        (-1e30, 1.0): (0.0, 0.0),
    }
    for (w, v), (energy, slope) in expected.items():
        rbm = nn.RBM(1, 1, dtype=dtype)
        with cr.no_grad():
            rbm.weight.assign(cr.tensor([[w]], dtype=dtype))

        def value_and_slope(x: cr.Tensor, rbm: nn.RBM = rbm) -> tuple[cr.Tensor, cr.Tensor]:
            rbm.zero_grad()
            f = rbm.free_energy(x).sum()
            f.backward()
            return f, rbm.weight.grad.sum()

        run = cr.compile(value_and_slope) if compiled else value_and_slope
        f, g = run(cr.tensor([[v]], dtype=dtype))
        assert float(f) == pytest.approx(energy, rel=1e-7, abs=0)
        assert float(g) == slope


def test_free_energy_keeps_the_tail_in_double_precision() -> None:
    """ln(1 + e²⁵) - 25 is 1.4e-11: a cut-off at 20, as of softplus, would lose it."""
    rbm = nn.RBM(1, 1, dtype=cr.float64)
    with cr.no_grad():
        rbm.weight.assign(cr.tensor([[25.0]]).double())
    assert -float(rbm.free_energy(cr.tensor([[1.0]]).double())) == 25 + np.log1p(np.exp(-25.0))


@pytest.mark.parametrize("kind", [{}, {"visible": "gaussian"}, {"hidden": "gaussian"}])
def test_gradients_of_the_free_energy(kind: dict) -> None:
    rbm = machine(4, 3, **kind)
    cr.check_grads(lambda v: rbm.free_energy(v).sum(), [cr.rand(2, 4)], order=2)


# -- the rule --------------------------------------------------------------------------------------
def test_the_exact_gradient_is_data_minus_model() -> None:
    rbm, v = machine(), states(5)[[3, 17, 30]]
    (-log_likelihood(rbm, cr.tensor(v))).backward()
    w, a, b = (p.numpy() for p in (rbm.weight, rbm.visible_bias, rbm.hidden_bias))
    every = states(5)
    p = np.exp(-rbm.free_energy(cr.tensor(every)).detach().numpy())
    p /= p.sum()
    up, up_model = sigmoid(v @ w.T + b), sigmoid(every @ w.T + b)
    model = np.einsum("n,nh,nv->hv", p, up_model, every)
    np.testing.assert_allclose(rbm.weight.grad.numpy(), model - up.T @ v / 3, atol=1e-10)
    np.testing.assert_allclose(rbm.hidden_bias.grad.numpy(), p @ up_model - up.mean(0), atol=1e-10)
    np.testing.assert_allclose(rbm.visible_bias.grad.numpy(), p @ every - v.mean(0), atol=1e-10)
    assert a.shape == (5,)


def test_one_step_of_contrastive_divergence_is_the_published_rule() -> None:
    """ΔW ∝ p vᵀ - p' v'ᵀ with v' the probabilities at sampled hidden units."""
    rbm, v = machine(), states(5)[[3, 17, 30]]
    twin = machine()
    twin.generator.set_state(rbm.generator.get_state())
    rbm.contrastive_divergence(cr.tensor(v)).backward()
    h = twin.sample_hidden(cr.tensor(v)).numpy()
    assert set(np.unique(h)) <= {0.0, 1.0}
    w, a, b = (p.numpy() for p in (rbm.weight, rbm.visible_bias, rbm.hidden_bias))
    v1 = sigmoid(h @ w + a)
    p0, p1 = sigmoid(v @ w.T + b), sigmoid(v1 @ w.T + b)
    np.testing.assert_allclose(rbm.weight.grad.numpy(), (p1.T @ v1 - p0.T @ v) / 3, atol=1e-12)
    np.testing.assert_allclose(rbm.hidden_bias.grad.numpy(), (p1 - p0).mean(0), atol=1e-12)
    np.testing.assert_allclose(rbm.visible_bias.grad.numpy(), (v1 - v).mean(0), atol=1e-12)


def test_long_contrastive_divergence_is_the_gradient_of_the_likelihood() -> None:
    rbm = machine(4, 3)
    v = cr.tensor(np.tile(states(4)[[3, 5, 6]], (3000, 1)))
    (-log_likelihood(rbm, v)).backward()
    exact = rbm.weight.grad.numpy().copy()
    rbm.zero_grad()
    cr.compile(lambda x: rbm.contrastive_divergence(x, 100, sampled=True).backward())(v)
    assert np.abs(exact).max() > 0.1
    assert np.abs(rbm.weight.grad.numpy() - exact).max() < 5 * 0.5 / np.sqrt(9000)


def test_samples_follow_the_distribution() -> None:
    rbm = machine(4, 3)
    every = states(4)
    p = np.exp(-rbm.free_energy(cr.tensor(every)).detach().numpy())
    drawn = cr.compile(lambda v: rbm.gibbs(v, 60))(cr.zeros(20_000, 4).double()).numpy()
    found = np.bincount((drawn @ [8, 4, 2, 1]).astype(int), minlength=16) / 20_000
    np.testing.assert_allclose(found, p / p.sum(), atol=0.015)


@pytest.mark.parametrize("chains", [0, 30])
def test_learning_raises_the_exact_likelihood_of_bars_and_stripes(chains: int) -> None:
    """2 × 2 bars and stripes: six patterns of sixteen; CD-1 and persistent chains."""
    data = np.array(
        [[0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 1, 1]]
    )
    v = cr.tensor(np.tile(data, (5, 1)).astype("float32"))
    raised = 0
    for seed in range(10):
        rbm = nn.RBM(4, 4, chains=chains, generator=cr.Generator(seed))
        sgd = optim.SGD(rbm.parameters(), lr=0.1)

        @cr.compile
        def step(v: cr.Tensor, rbm: nn.RBM = rbm, sgd: optim.SGD = sgd) -> None:
            loss = rbm.contrastive_divergence(v)
            sgd.zero_grad()
            loss.backward()
            sgd.step()

        before = float(log_likelihood(rbm, v))
        step.repeat(3000, v)
        after = float(log_likelihood(rbm, v))
        raised += after > before + 0.1
    assert raised >= 9


# -- compiled and persistent -----------------------------------------------------------------------
def test_compiled_and_interpreted_steps_agree() -> None:
    v = cr.tensor(states(5)[[3, 17, 30]])
    found = []
    for compiled in (False, True):
        rbm = machine(chains=4)
        step = lambda x, rbm=rbm: rbm.contrastive_divergence(x, 3).backward()  # noqa: E731
        (cr.compile(step) if compiled else step)(v)
        found.append((rbm.weight.grad.numpy(), rbm.chains.numpy()))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12)
    np.testing.assert_array_equal(found[0][1], found[1][1])


class Persistent(cr.Trainer):
    """Trains an RBM; targets are not looked at."""

    def training_step(self, batch):
        return self.model.contrastive_divergence(batch.x)


def persistent_trainer(seed: int) -> Persistent:
    rbm = nn.RBM(6, 4, chains=20, generator=cr.Generator(seed))
    return Persistent(rbm, nn.MSELoss(), optim.SGD(rbm.parameters(), lr=0.1))


def test_chains_do_not_depend_on_the_batch_and_survive_a_resume(tmp_path) -> None:
    """13 rows in batches of 10: the last batch has 3 rows, the chains stay 20 and go on."""
    x = np.random.default_rng(0).integers(0, 2, (13, 6)).astype("float32")
    y = np.zeros((13, 4), "float32")
    whole = persistent_trainer(1)
    first = whole.model.chains.numpy().copy()
    whole.fit(x, y, 3, 10, progress=False)
    assert whole.model.chains.shape == (20, 6)
    assert (whole.model.chains.numpy() != first).any()
    assert set(np.unique(whole.model.chains.numpy())) <= {0.0, 1.0}

    begun = persistent_trainer(1)
    begun.fit(x, y, 1, 10, progress=False)
    begun.save(tmp_path / "state.crt")
    resumed = persistent_trainer(2)
    resumed.load(tmp_path / "state.crt")
    resumed.fit(x, y, 2, 10, progress=False)
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(resumed.model.state_dict()[name].numpy(), value.numpy(), name)


def test_each_mean_is_over_its_own_rows() -> None:
    rbm = machine(chains=20)
    v = cr.tensor(states(5)[:3])
    rbm.contrastive_divergence(v).backward()
    chains = rbm.chains.numpy()
    np.testing.assert_allclose(
        rbm.visible_bias.grad.numpy(), chains.mean(0) - v.numpy().mean(0), atol=1e-12
    )


def test_chains_are_in_the_state_dict_and_data_may_be_used_instead() -> None:
    rbm = machine(chains=7)
    assert rbm.state_dict()["chains"].shape == (7, 5)
    assert "chains" not in machine().state_dict()
    before = rbm.chains.numpy().copy()
    rbm.contrastive_divergence(cr.tensor(states(5)), persistent=False)
    np.testing.assert_array_equal(rbm.chains.numpy(), before)


def test_the_seed_of_the_generator_decides_everything() -> None:
    a, b = (nn.RBM(6, 4, chains=3, generator=cr.Generator(5)) for _ in range(2))
    cr.rand(3)
    for rbm in (a, b):
        rbm.contrastive_divergence(cr.ones(2, 6), 2).backward()
    np.testing.assert_array_equal(a.weight.grad.numpy(), b.weight.grad.numpy())
    np.testing.assert_array_equal(a.chains.numpy(), b.chains.numpy())


# -- kinds of units --------------------------------------------------------------------------------
def test_real_visible_units_have_unit_variance_around_their_mean() -> None:
    rbm = machine(3, 2, visible="gaussian")
    h = cr.tensor([[1.0, 0.0]]).double()
    drawn = rbm.sample_visible(cr.broadcast_to(h, (40_000, 2))).numpy()
    np.testing.assert_allclose(drawn.mean(0), rbm.visible_mean(h).numpy()[0], atol=0.03)
    np.testing.assert_allclose(np.cov(drawn.T), np.eye(3), atol=0.03)


def test_labels_are_one_softmax_group() -> None:
    rbm = machine(7, 3, labels=3)
    h = cr.tensor(states(3))
    mean = rbm.visible_mean(h).numpy()
    np.testing.assert_allclose(mean[:, 4:].sum(1), 1)
    drawn = rbm.sample_visible(cr.broadcast_to(h[5], (30_000, 3))).numpy()
    np.testing.assert_array_equal(drawn[:, 4:].sum(1), 1)
    np.testing.assert_allclose(drawn.mean(0), mean[5], atol=0.015)


def test_label_logits_are_free_energies() -> None:
    rbm = machine(7, 3, labels=3)
    v = states(4)
    logits = rbm.label_logits(cr.tensor(v)).numpy()
    energies = [
        rbm.free_energy(cr.tensor(np.concatenate([v, np.tile(label, (16, 1))], 1))).numpy()
        for label in np.eye(3)
    ]
    constant = logits + np.stack(energies, 1)  # the same for every label
    np.testing.assert_allclose(constant, constant[:, :1] * np.ones(3), atol=1e-12)
    assert np.ptp(logits, 1).min() > 0.01


def test_clamped_units_keep_their_values() -> None:
    rbm = machine(7, 3, labels=3)
    v = cr.tensor(np.tile([0, 0, 0, 0, 0, 1.0, 0], (50, 1)))
    mask = np.arange(7) >= 4
    out = rbm.gibbs(v, 5, clamp=cr.tensor(mask)).numpy()
    np.testing.assert_array_equal(out[:, 4:], v.numpy()[:, 4:])
    assert (out[:, :4] != 0).any()


def test_as_layers() -> None:
    rbm, v = machine(), cr.tensor(states(5))
    np.testing.assert_array_equal(cr.sigmoid(rbm.encoder()(v)).numpy(), rbm.hidden_mean(v).numpy())
    h = cr.tensor(states(3))
    np.testing.assert_allclose(
        cr.sigmoid(rbm.decoder()(h)).numpy(), rbm.visible_mean(h).numpy(), rtol=1e-14
    )


# -- mistakes --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("error", "message", "act"),
    [
        (
            OptionError,
            "RBM: visible must be 'bernoulli' or 'gaussian', got 'binary'",
            lambda: nn.RBM(4, 2, visible="binary"),
        ),
        (OptionError, "RBM: hidden_features must be an integer ≥ 1, got 0", lambda: nn.RBM(4, 0)),
        (
            OptionError,
            'RBM: visible="gaussian" with hidden="gaussian" has no distribution where a singular '
            'value of the weights exceeds 1; make one of the two "bernoulli"',
            lambda: nn.RBM(4, 2, visible="gaussian", hidden="gaussian"),
        ),
        (
            OptionError,
            "RBM: labels=1 must be at least 2 and at most visible_features=4, with bernoulli "
            "visible units; got visible='bernoulli'",
            lambda: nn.RBM(4, 2, labels=1),
        ),
        (
            ShapeError,
            "expects rows of 4 visible units, got shape (2, 3)",
            lambda: nn.RBM(4, 2).free_energy(cr.zeros(2, 3)),
        ),
        (
            DTypeError,
            "has float32 weights, got float64 units: convert them with .to('float32')",
            lambda: nn.RBM(4, 2)(cr.zeros(2, 4).double()),
        ),
        (
            OptionError,
            "RBM.contrastive_divergence: k must be an integer ≥ 1, got 0",
            lambda: nn.RBM(4, 2).contrastive_divergence(cr.zeros(2, 4), 0),
        ),
        (
            OptionError,
            "has no persistent chains: write nn.RBM(..., chains=100)",
            lambda: nn.RBM(4, 2).contrastive_divergence(cr.zeros(2, 4), persistent=True),
        ),
        (
            ShapeError,
            "contrastive divergence of no row, (0, 4)",
            lambda: nn.RBM(4, 2).contrastive_divergence(cr.zeros(0, 4)),
        ),
        (
            OptionError,
            "has no labels: nn.RBM(..., labels=10)",
            lambda: nn.RBM(4, 2).label_logits(cr.zeros(2, 4)),
        ),
    ],
)
def test_mistakes(error, message, act) -> None:
    with pytest.raises(error) as caught:
        act()
    assert message in str(caught.value)
