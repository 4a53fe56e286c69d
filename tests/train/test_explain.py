"""explain: what it tells of a compiled function and of a Trainer, and that it changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError


def net_and_data() -> tuple[cr.Trainer, np.ndarray, np.ndarray]:
    cr.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 10))
    trainer = cr.Trainer(net, loss=nn.CrossEntropyLoss(), optimizer=optim.Adam(net.parameters()))
    rng = np.random.default_rng(0)
    return trainer, rng.normal(size=(256, 20)).astype("f"), rng.integers(0, 10, 256)


def test_a_trainer_is_explained_and_not_trained() -> None:
    trainer, x, y = net_and_data()
    before = {k: v.numpy().copy() for k, v in trainer.model.state_dict().items()}
    found = cr.explain(trainer, x, y, batch_size=64)
    for name, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert found.backend == "cpu" and found.microseconds > 0
    contractions = [k for k in found.kernels if k.gflops > 0 and "sum over" in k.loops]
    assert len(contractions) >= 4  # two forward, one back, two for weights; some may be one kernel
    assert "# 64 x 64 x 20" in str(found)
    assert all(k.microseconds >= 0 and k.threads >= 1 for k in found.kernels)
    assert 0 < sum(k.share for k in found.kernels) < 1.5  # shares of a noisy clock


def test_passes_machine_code_and_table() -> None:
    @cr.compile
    def f(x: cr.Tensor) -> cr.Tensor:
        return (cr.tanh(x * 1.0) + 0.0).sum() * 2.0

    found = cr.explain(f, cr.ones(5000))
    names = [p.name for p in found.passes]
    assert names == ["as captured", "simplify", "legalize", "fuse"]
    assert found.passes[1].nodes < found.passes[0].nodes  # x * 1 is gone
    assert "tanh" in found.graph() and "group 0: frame" in found.graph()
    assert "define void" in found.ir() and "ret" in found.assembly()
    assert found.table().startswith("f: ") and "schedule" in found.table()
    assert found.to_dict()["kernels"][0]["loops"] in str(found)


def test_a_program_in_registers_is_one_kernel() -> None:
    w = cr.zeros(4, requires_grad=True)

    @cr.compile
    def step() -> cr.Tensor:
        loss = ((w - 1.0) ** 2).sum()
        w.grad = None
        loss.backward()
        w.assign(w - 0.1 * w.grad)
        return loss

    found = cr.explain(step)
    assert len(found.kernels) == 1 and found.kernels[0].share > 0
    assert w.numpy().tolist() == [0, 0, 0, 0]
    assert "ret" in found.assembly()


def test_an_interpreted_program_has_passes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_BACKEND", "interpreter")
    found = cr.explain(cr.compile(lambda x: cr.exp(x)), cr.ones(3))
    assert found.backend == "interpreter" and not found.kernels
    assert "interpreter" in str(found) and "exp" in found.graph()


def test_other_things_are_refused() -> None:
    with pytest.raises(
        OptionError, match="explain takes a function made by cr.compile or a Trainer, got function"
    ):
        cr.explain(lambda x: x, cr.ones(1))
