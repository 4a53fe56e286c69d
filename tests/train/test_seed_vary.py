"""Numbers that differ between seeds: each net is the one that was made with its own number."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 5)).astype("float32")
LABELS = (X @ RNG.normal(size=(5, 3))).argmax(1)
VALUES = (X @ RNG.normal(size=(5, 3))).astype("float32")
FIT = {"epochs": 2, "batch_size": 8, "progress": False, "diagnose": False}


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """Nothing is compiled, which takes longest."""
    monkeypatch.setenv("CHAINRULE_BACKEND", "interpreter")


def dense(*middle):
    return lambda: nn.Sequential(nn.Linear(5, 6), *(m() for m in middle), nn.Linear(6, 3))


class Recurrent(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.lstm = nn.LSTM(1, 4, num_layers=2, batch_first=True, **options)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.lstm(x.unsqueeze(2))[0][:, -1])


class Attending(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.inside = nn.Linear(1, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True, **options)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        h = self.inside(x.unsqueeze(2))
        return self.out(self.attention(h, h, h, need_weights=False)[0].mean(1))


def layer(kind, *arguments, **fixed):
    """A dense net with a layer that takes the number; the net with one for a lone trainer."""
    return lambda **own: dense(lambda: kind(*arguments, **{**fixed, **own}))


CASES = {  # name: numbers, the net by options, the loss by options, the optimizer by options
    "lr": ([0.01, 0.1], None, None, optim.Adam),
    "betas": ([(0.9, 0.99), (0.5, 0.9)], None, None, optim.Adam),
    "eps": ([1e-8, 1e-2], None, None, optim.AdamW),
    "weight_decay": ([0.0, 0.1], None, None, optim.AdamW),
    "alpha": ([0.9, 0.5], None, None, optim.RMSprop),
    "momentum": ([0.9, 0.0], None, None, lambda p, momentum=0.5: optim.SGD(p, 0.1, momentum)),
    "lambd": ([1e-4, 0.1], None, None, lambda p, **o: optim.ASGD(p, 0.1, **o)),
    "momentum_decay": ([4e-3, 0.1], None, None, optim.NAdam),
    "rho": ([0.9, 0.5], None, None, optim.Adadelta),
    "label_smoothing": ([0.0, 0.2], None, nn.CrossEntropyLoss, optim.Adam),
    "delta": ([0.5, 2.0], None, nn.HuberLoss, optim.Adam),
    "beta": ([0.5, 2.0], None, nn.SmoothL1Loss, optim.Adam),
    "clip_norm": ([0.1, 1.0], None, None, optim.Adam),
    "clip_value": ([0.01, 1.0], None, None, optim.Adam),
    "negative_slope": ([0.01, 0.3], layer(nn.LeakyReLU), None, optim.Adam),
    "1.alpha": ([1.0, 0.3], layer(nn.ELU), None, optim.Adam),
    "1.beta": ([1.0, 3.0], layer(nn.Softplus), None, optim.Adam),
    "min_val": ([-1.0, -0.2], layer(nn.Hardtanh), None, optim.Adam),
    "1.lambd": ([0.1, 0.3], layer(nn.Softshrink), None, optim.Adam),
    "1.momentum": ([0.1, 0.5], layer(nn.BatchNorm1d, 6), None, optim.Adam),
    "1.eps": ([1e-5, 0.1], layer(nn.LayerNorm, 6), None, optim.Adam),
    "dropout": ([0.0, 0.4], lambda **o: lambda: Recurrent(**o), None, optim.Adam),
    "attention.dropout": ([0.1, 0.4], lambda **o: lambda: Attending(**o), None, optim.Adam),
    "p": ([0.2, 0.5], layer(nn.AlphaDropout), None, optim.Adam),
}


@pytest.mark.parametrize("name", CASES)
def test_each_net_has_its_own_number(name):
    numbers, net, loss, optimizer = CASES[name]
    option = name.rpartition(".")[2]
    target = LABELS if loss in (None, nn.CrossEntropyLoss) else VALUES

    def trainer(**own):
        used = {option: own.pop("number")} if "number" in own else {}
        make = dense(nn.Tanh) if net is None else net(**(used if net else {}))
        measure = "cross_entropy" if loss is None else loss(**(used if loss else {}))
        inside = used if net is None and loss is None and not option.startswith("clip") else {}
        if option.startswith("clip"):
            own |= used
        if "seeds" in own:
            return cr.Trainer(make, measure, lambda p: optimizer(p, **inside), **own)
        cr.manual_seed(own["seed"])
        model = make()
        return cr.Trainer(model, measure, optimizer(list(model.parameters()), **inside), **own)

    together = trainer(seeds=len(numbers), vary={name: numbers})
    history = together.fit(X, target, **FIT)
    for seed, value in enumerate(numbers):
        lone = trainer(seed=seed, number=value)
        own = lone.fit(X, target, **FIT)
        there, here = lone.model.state_dict(), together.model_of(seed).state_dict()
        for key in there:
            np.testing.assert_array_equal(np.array(there[key]), np.array(here[key]), err_msg=key)
        np.testing.assert_allclose(history.of(seed)["loss"], own["loss"], rtol=1e-6)
        if net is not None:
            copy = together.model_of(seed)
            held = [getattr(m, option) for m in copy.modules() if hasattr(m, option)]
            assert value in held


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.sharpness = nn.Linear(5, 3), 1.0

    def forward(self, x):
        return self.linear(x) * (2.0 if self.sharpness > 1 else self.sharpness)


@pytest.mark.parametrize(
    ("make", "vary", "text"),
    [
        (dense(nn.Tanh), {"ep": [1, 2]}, r"is it 'eps'\?"),
        (dense(nn.Tanh), {"in_features": [5, 5]}, "counts something.*one after the other"),
        (dense(nn.Tanh), {"amsgrad": [0, 1]}, "is no number.*one after the other"),
        (dense(nn.Tanh), {"batch_size": [8, 4]}, "the same for all seeds"),
        (dense(nn.Tanh), {"activation": ["relu", "tanh"]}, "what is no number cannot differ"),
        (dense(nn.Tanh), {"betas": [0.9, 0.8]}, "2 numbers for each seed"),
        (dense(nn.Tanh), {"betas": [(0.9, 1.8), (0.9, 0.8)]}, "betas must be"),
        (dense(nn.LeakyReLU), {"negative_slope": [[1], [2]]}, "one number for each seed"),
        (Branching, {"sharpness": [1.0, 2.0]}, "asks in Python what the number is"),
    ],
)
def test_what_cannot_differ(make, vary, text):
    with pytest.raises(OptionError, match=text):
        cr.Trainer(make, "cross_entropy", "adam", seeds=2, vary=vary).fit(X, LABELS, **FIT)


def test_a_number_that_no_step_reads():
    trainer = cr.Trainer(dense(nn.Tanh), "cross_entropy", "sgd", seeds=2, vary={"momentum": [0, 1]})
    with pytest.raises(OptionError, match="no step reads it"):
        trainer.fit(X, LABELS, **FIT)


def test_the_net_that_was_given_keeps_its_number():
    net = dense(lambda: nn.LeakyReLU(0.3))()
    trainer = cr.Trainer(net, "cross_entropy", "adam", seeds=2, vary={"negative_slope": [0.1, 0.2]})
    trainer.fit(X, LABELS, **FIT)
    assert net[1].negative_slope == trainer.one.model[1].negative_slope == 0.3
    assert trainer.model_of(1)[1].negative_slope == 0.2
