"""What is replaced or changed between two calls of a Trainer takes effect at the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError
from chainrule.train import Callback

pytestmark = pytest.mark.usefixtures("interpreted")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype("float32")
Y = (X.sum(1, keepdims=True) > 0).astype("float32")


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.0))
        self.head = nn.Linear(4, 1)
        self.scale = 1.0

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x)) * self.scale


def trainer_of(loss: Any = None, **options: Any) -> cr.Trainer:
    cr.manual_seed(0)
    model = Scaled()
    sgd = optim.SGD(model.parameters(), lr=0.0)
    return cr.Trainer(model, loss or nn.MSELoss(), sgd, **options)


def fit(trainer: cr.Trainer, **options: Any) -> float:
    history = trainer.fit(
        X, Y, epochs=1, batch_size=20, shuffle=False, progress=False, diagnose=False, **options
    )
    return history["loss"][-1]


def replace_body(t: cr.Trainer) -> None:
    t.model.body[1] = nn.ReLU()


CHANGES: dict[str, Callable[[cr.Trainer], Any]] = {
    "an attribute": lambda t: setattr(t.model, "scale", 3.0),
    "a layer without parameters": replace_body,
    "a layer more": lambda t: t.model.body.append(nn.Tanh()),
    "the loss": lambda t: setattr(t, "loss", nn.L1Loss()),
    "a hook": lambda t: t.model.head.register_forward_hook(lambda m, args, out: out * 2),
    "the optimizer and the head": lambda t: (
        setattr(t.model, "head", nn.Linear(4, 1)),
        setattr(t, "optimizer", optim.SGD(t.model.parameters(), lr=0.0)),
    ),
    "the model": lambda t: (
        setattr(t, "model", Scaled()),
        setattr(t, "optimizer", optim.SGD(t.model.parameters(), lr=0.0)),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_fit_evaluate_and_predict_see_it(name: str) -> None:
    trainer = trainer_of()
    before = fit(trainer), trainer.evaluate(X, Y)["loss"]
    CHANGES[name](trainer)
    with cr.no_grad():
        prediction = trainer.model(cr.tensor(X))
        expected = trainer.loss(prediction, cr.tensor(Y)).item()
    assert before[0] == pytest.approx(before[1], rel=1e-5) != pytest.approx(expected, rel=1e-3)
    assert fit(trainer) == pytest.approx(expected, rel=1e-5)
    assert trainer.evaluate(X, Y)["loss"] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(trainer.predict(X), prediction.numpy(), rtol=1e-4, atol=1e-6)


def test_the_rate_of_dropout_is_that_of_now() -> None:
    trainer = trainer_of()
    before = fit(trainer)
    trainer.model.body[2].p = 1.0
    expected = ((trainer.model.head.bias.item() - Y) ** 2).mean()
    assert fit(trainer) == pytest.approx(expected, rel=1e-5) != pytest.approx(before, rel=1e-3)


def test_an_option_of_the_loss() -> None:
    trainer = trainer_of(nn.SmoothL1Loss(beta=1.0))
    before = fit(trainer)
    trainer.loss.beta = 0.1
    expected = trainer.loss(trainer.model(cr.tensor(X)), cr.tensor(Y)).item()
    assert fit(trainer) == pytest.approx(expected, rel=1e-5) != pytest.approx(before, rel=1e-3)


def test_an_annealed_attribute() -> None:
    trainer = trainer_of()
    losses = []
    for trainer.model.scale in (0.0, 1.0, 0.0):
        losses.append(fit(trainer))
    assert losses[0] == losses[2] == pytest.approx((Y**2).mean()) != pytest.approx(losses[1])
    assert sum(map(len, trainer._steps.train.traces.values())) == 2


def test_a_callback_changes_the_model_in_the_middle_of_fit() -> None:
    class Anneal(Callback):
        def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
            trainer.model.scale = float(epoch)

    trainer = trainer_of()
    history = trainer.fit(
        X, Y, epochs=2, batch_size=20, progress=False, callbacks=[Anneal()], diagnose=False
    )
    assert history["loss"][0] == pytest.approx((Y**2).mean()) != pytest.approx(history["loss"][1])


def test_an_attribute_of_a_trainer_of_ones_own() -> None:
    class Penalized(cr.Trainer):
        alpha = 0.0

        def training_step(self, batch: Any) -> Any:
            loss, prediction = super().training_step(batch)
            return loss + self.alpha, prediction

    model = Scaled()
    trainer = Penalized(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.0))
    before = fit(trainer)
    trainer.alpha = 2.0
    assert fit(trainer) == pytest.approx(before + 2, rel=1e-5)


def test_metrics_replaced() -> None:
    trainer = trainer_of(metrics=["mae"])
    fit(trainer)
    trainer.metrics = ["mse"]
    assert list(trainer.evaluate(X, Y)) == ["loss", "mse"]
    trainer.fit(X, Y, epochs=1, progress=False)
    assert "mse" in trainer.history.to_dict() or trainer.history["mse"]
    trainer.metrics = None
    assert list(trainer.evaluate(X, Y)) == ["loss"]


def test_metrics_are_the_trainers_wherever_they_were_given() -> None:
    trainer = trainer_of(metrics=["mae"])
    fit(trainer, metrics=["mse"])
    assert trainer.metrics == ["mse"]
    assert list(trainer.evaluate(X, Y, metrics=["r2"])) == ["loss", "r2"]
    assert list(trainer.evaluate(X, Y)) == ["loss", "mse"]
    fit(trainer)
    assert len(trainer.history["mse"]) == 2
    with pytest.raises(OptionError, match="acuracy"):
        fit(trainer, metrics=["acuracy"])
    assert trainer.metrics == ["mse"]


def test_clipping_changed() -> None:
    trainer = trainer_of()
    trainer.optimizer.param_groups[0]["lr"] = 0.1
    fit(trainer)
    before = trainer.model.head.weight.numpy().copy()
    trainer.clip_norm = 1e-12
    fit(trainer)
    np.testing.assert_allclose(trainer.model.head.weight.numpy(), before, atol=1e-9)


def test_a_schedule_replaced() -> None:
    trainer = trainer_of()
    trainer.optimizer.param_groups[0]["lr"] = 1.0
    trainer.scheduler = optim.lr_scheduler.ExponentialLR(trainer.optimizer, gamma=0.5)
    fit(trainer)
    assert trainer.optimizer.param_groups[0]["lr"] == 0.5


def test_a_head_whose_parameters_the_optimizer_does_not_have() -> None:
    trainer = trainer_of()
    fit(trainer)
    trainer.model.head = nn.Linear(4, 1)
    message = (
        "Trainer: 2 of 4 parameters of the optimizer (shapes (1, 4), (1,)) are not in the model; "
        "make the optimizer from model.parameters() of the model that is trained: "
        "trainer.optimizer = optim.SGD(trainer.model.parameters(), ...)"
    )
    with pytest.raises(OptionError) as error:
        fit(trainer)
    assert str(error.value) == message
    trainer.optimizer = optim.SGD(trainer.model.parameters(), lr=0.1)
    before = trainer.model.head.weight.numpy().copy()
    fit(trainer)
    assert not np.array_equal(trainer.model.head.weight.numpy(), before)


def test_what_is_set_is_checked() -> None:
    trainer = trainer_of()
    with pytest.raises(OptionError, match="no loss is called 'mze'"):
        trainer.loss = "mze"
    assert isinstance(trainer.loss, nn.MSELoss)
    trainer.loss = "mae"
    assert isinstance(trainer.objective.parts[0].loss, nn.L1Loss)
    trainer.optimizer = optim.SGD
    with pytest.raises(OptionError, match=r"got the class SGD \(add parentheses\)"):
        fit(trainer)


def test_nothing_is_captured_again_without_a_reason() -> None:
    trainer = trainer_of(metrics=["mae"], scheduler=None)
    trainer.scheduler = optim.lr_scheduler.StepLR(trainer.optimizer, 1)
    for _ in range(3):
        trainer.fit(X, Y, epochs=3, batch_size=20, validation_split=0.5, progress=False)
        trainer.evaluate(X, Y, 30)
        trainer.predict(X)
    for step in (trainer._steps.train, trainer._steps.evaluate, trainer._steps.predict):
        assert step._made == len(step.traces)


def test_a_schedule_inside_the_step_is_not_captured_again() -> None:
    trainer = trainer_of(scheduler_interval="step")
    trainer.scheduler = optim.lr_scheduler.StepLR(trainer.optimizer, 2)
    for _ in range(3):
        fit(trainer)
    assert trainer._steps.train._made == 1


def test_a_saved_state_holds_the_tensors_of_now(tmp_path: Any) -> None:
    def replace_head(trainer: cr.Trainer) -> None:
        trainer.model.head = nn.Linear(4, 1)
        trainer.optimizer = optim.SGD(trainer.model.parameters(), lr=0.1)

    trainer, fresh = trainer_of(), trainer_of()
    fit(trainer)
    replace_head(trainer)
    fit(trainer, checkpoint=tmp_path / "run")
    replace_head(fresh)
    fit(fresh, checkpoint=tmp_path / "run")  # is at its end
    np.testing.assert_array_equal(fresh.predict(X), trainer.predict(X))
