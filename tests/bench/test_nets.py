"""Nets of layers as workloads: the same in every library, drawn from a seed, kept in files."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.bench.modes import layers as of
from chainrule.bench.modes.chainrule_mode import Compile, Trainer
from chainrule.bench.modes.drawn import FLOPS, drawn
from chainrule.bench.modes.named import GELU, RELU, WORKLOADS, gpt
from chainrule.bench.modes.workload import Net, Workload, layered
from chainrule.cli.main import main

IMAGES = Net(
    (3, 9, 9),
    (
        of.Conv(2, 3, 6, 3, stride=2, padding=1),
        of.BatchNorm(2, 6),
        RELU,
        of.Residual((of.Conv(2, 6, 6, 3, padding=2, dilation=2, groups=3, bias=False), GELU)),
        of.Pool(2, "Avg", 2),
        of.Flatten(),
        of.Linear(24, 4),
    ),
)
WORDS = Net((7,), (of.Embedding(11, 5), of.Recurrent("GRU", 5, 6), of.Linear(6, 11)), 11)
SERIES = Net((5, 3), (of.Recurrent("LSTM", 3, 4, True), of.Linear(4, 1)))
NETS = {
    "images": (layered("images", 5, IMAGES), (1.55387199, 1.54457688, 1.43460917, 1.33529830)),
    "words": (layered("words", 3, WORDS), (2.4391849, 2.43183422, 2.37564206, 2.51265287)),
    "series": (
        layered("series", 4, SERIES, "mse", "float64"),
        (0.476022028245069, 0.2523906149547812, 1.0489621629786248, 0.8770935562517639),
    ),
    "gpt": (
        layered("gpt", 2, gpt(1, 2, 8, 6, 13)),
        (2.80786157, 3.02755427, 2.44990444, 3.1039412),
    ),
}
"""Each with the first losses of PyTorch 2.13 (``torch_mode.Eager(workload, 1).losses(4)``)."""


@pytest.mark.parametrize("name", NETS)
def test_losses_are_those_of_pytorch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_BACKEND", "interpreter")  # nothing is compiled for four steps
    workload, want = NETS[name]
    tolerance = 2e-6 if workload.dtype == "float32" else 1e-9
    np.testing.assert_allclose(Compile(workload, 1).losses(4), want, rtol=tolerance)


def test_the_trainer_fits_words() -> None:
    workload, want = NETS["words"]
    np.testing.assert_allclose(Trainer(workload, 1).losses(2), want[:2], rtol=2e-6)


@pytest.mark.parametrize("workload", [w for w, _ in NETS.values()], ids=NETS)
def test_shapes_are_those_of_the_modules(workload: Workload) -> None:
    x = cr.tensor(workload.data()[0][:2])
    net = of.sequential(nn, workload.layers).to(workload.dtype)
    assert net(x).shape == (2, *of.after(workload.layers, workload.row))
    shapes = [tuple(p.shape) for p in net.parameters()]
    assert shapes == [p.shape for p in workload.parameters()]


def test_arithmetic_of_the_named_nets() -> None:
    first, second = 784 * 6 * 25, 100 * 16 * 150
    dense = 400 * 120 + 120 * 84 + 840
    assert WORKLOADS["lenet"].flops == 2 * 64 * (3 * (first + second + dense) - first)
    assert WORKLOADS["lstm-text"].flops == 2 * 32 * 64 * 3 * (1024 * 512 + 256 * 65)
    blocks = 12 * 128 * 128 + 2 * 64 * 128  # of a step: linear maps, and two products with all
    assert WORKLOADS["gpt"].flops == 2 * 12 * 64 * 3 * (4 * blocks + 128 * 65)
    one = of.Recurrent("GRU", 3, 5)
    assert one.flops((7, 3)) == 2 * 7 * 15 * 8 and one.input_flops((7, 3)) == 2 * 7 * 15 * 3


def test_a_workload_is_read_as_it_was_written() -> None:
    for workload in [*WORKLOADS.values(), *(w for w, _ in NETS.values()), *drawn(8, 3)]:
        held: Any = json.loads(json.dumps(asdict(workload)))
        assert Workload.from_dict(held) == workload


def test_what_suits_a_net() -> None:
    for name, suits in (("mnist", "numpy sklearn jax"), ("lenet", "torch-last"), ("gpt", "torch")):
        modes = ("numpy", "sklearn", "torch-last", "torch", "jax")
        found = {m for m in modes if WORKLOADS[name].suits(m)}
        assert found == {"torch", "jax", *suits.split()}


def test_drawn_nets_follow_from_the_seed_and_are_of_every_kind() -> None:
    found = drawn(40, 5)
    assert found == drawn(40, 5) and found[0] != drawn(1, 6)[0]
    assert [w.name.split()[1].rstrip(":") for w in found[:3]][0::2] == ["conv", "GPT"]
    assert all(FLOPS[0] <= w.flops <= FLOPS[1] for w in found)
    convs = [la for w in found for la in w.layers if isinstance(la, of.Conv)]
    for name in ("stride", "dilation", "groups"):
        assert any(getattr(c, name) > 1 for c in convs), name
    assert any(w.batch == 1 for w in found) and any(w.dtype == "float64" for w in found)
    assert {la.name for w in found for la in w.layers if isinstance(la, of.Recurrent)} == {
        *("RNN", "LSTM", "GRU")
    }


def test_bench_of_drawn_nets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainrule.bench.modes.drawn.FLOPS", (1e4, 1e6))
    options = ["--rounds", "1", "--seconds", "0.01", "--threads", "1", "--peers", "none"]
    assert main(["bench", "--random", "1", "--seed", "11", "--json", *options]) == 0
    found = json.loads(capsys.readouterr().out)["comparisons"]
    assert [c["workload"]["name"][:2] for c in found] == ["1:"]
    assert all(m["agrees"] for c in found for m in c["modes"])
