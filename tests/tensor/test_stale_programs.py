"""A compiled function never goes on with a program of what its code does not name any more."""

from __future__ import annotations

import copy
import functools
import operator
import types
from collections import UserDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.tensor.compiling.watch import same

X = np.array([[1.0, -2.0, 0.5]], "float32")
Case = tuple[Callable[..., Any], Callable[[], Any]]  # a function of x, and a change of the world


def linear(seed: int) -> nn.Linear:
    cr.manual_seed(seed)
    return nn.Linear(3, 3)


class Net(nn.Module):
    kind = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([linear(1), linear(2)])
        self.act = cr.tanh
        self.scale, self.steps = 1.0, 0
        self.shifts = [0.0, 1.0]
        self.register_buffer("mean", cr.zeros(3))
        self.table = {"a": 1.0, "unread": 1.0}

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = self.act(layer(x)) * self.scale + self.shifts[1] + self.mean
        return self.helper(x) * self.kind * self.table["a"]

    def helper(self, x: Any) -> Any:
        return x + 1


class Config:
    rate = 1.0

    def __init__(self) -> None:
        self.scale, self.inner = 2.0, types.SimpleNamespace(bias=1.0)

    def twice(self, x: Any) -> Any:
        return x * self.scale + self.inner.bias + self.rate


GLOBAL: Any = 1.0
helpers = types.ModuleType("helpers")


def helper(x: Any) -> Any:
    return x * GLOBAL


# -- a function of x, and a change that it must notice -------------------------------------------
def global_number() -> Case:
    return helper, lambda: globals().update(GLOBAL=2.0)


def global_of_a_helper() -> Case:
    return lambda x: helper(x) + 1, lambda: globals().update(GLOBAL=3.0)


def helper_defined_again() -> Case:
    space: dict[str, Any] = {}
    exec("def act(x): return x * 2\ndef f(x): return act(x)", space)
    return lambda x: space["f"](x), lambda: exec("def act(x): return x * 3", space)


def shadowed_builtin() -> Case:
    space: dict[str, Any] = {}
    exec("def f(x): return x * abs(-2.0)", space)
    return space["f"], lambda: space.update(abs=lambda x: x)


def code_of_a_helper() -> Case:
    def g(x: Any) -> Any:
        return x * 2

    def other(x: Any) -> Any:
        return x * 3

    return lambda x: g(x), lambda: setattr(g, "__code__", other.__code__)


def closure_rebound() -> Case:
    model = linear(1)

    def f(x: Any) -> Any:
        return model(x)

    def change() -> None:
        nonlocal model
        model = linear(2)

    return f, change


def default_argument() -> Case:
    def f(x: Any, model: Any = linear(1)) -> Any:  # noqa: B008
        return model(x)

    return lambda x: f(x), lambda: setattr(f, "__defaults__", (linear(2),))


def keyword_default() -> Case:
    def f(x: Any, *, by: float = 2.0) -> Any:
        return x * by

    return lambda x: f(x), lambda: f.__kwdefaults__.update(by=3.0)


def default_list() -> Case:
    weights = [1.0, 2.0]

    def f(x: Any, ws: Any = weights) -> Any:
        return x * ws[1]

    return f, lambda: weights.__setitem__(1, 5.0)


def model_in_a_dict() -> Case:
    models = {"a": linear(1)}
    return lambda x: models["a"](x), lambda: models.update(a=linear(2))


def chosen_from_a_dict() -> Case:
    models = {"a": linear(1), "b": linear(3)}
    return lambda x: sum(m(x) for m in models.values()), lambda: models.update(b=linear(2))


def model_as_class_attribute() -> Case:
    class Holder:
        model = linear(1)

    return lambda x: Holder.model(x), lambda: setattr(Holder, "model", linear(2))


def function_attribute() -> Case:
    def g(x: Any) -> Any:
        return x * g.by

    g.by = 2.0
    return lambda x: g(x), lambda: setattr(g, "by", 3.0)


def partial_of_a_helper() -> Case:
    factors = [2.0]
    f = functools.partial(lambda factors, x: x * factors[0], factors)
    return f, lambda: factors.__setitem__(0, 3.0)


def decorated() -> Case:
    def double(g: Any) -> Any:
        @functools.wraps(g)
        def wrapped(x: Any) -> Any:
            return 2 * g(x)

        return wrapped

    model = [linear(1)]

    @double
    def f(x: Any) -> Any:
        return model[0](x)

    return f, lambda: model.__setitem__(0, linear(2))


def nested_helpers() -> Case:
    state = types.SimpleNamespace(net=linear(1))

    def inner(x: Any) -> Any:
        return state.net(x)

    def outer(x: Any) -> Any:
        return [inner(y) for y in [x]][0]

    return lambda x: outer(x), lambda: setattr(state, "net", linear(2))


def other_python_module() -> Case:
    exec("scale = 2.0\ndef act(x): return x * scale", helpers.__dict__)
    return lambda x: helpers.act(x), lambda: setattr(helpers, "scale", 3.0)


def function_of_other_python_module() -> Case:
    exec("def act(x): return x * 2", helpers.__dict__)
    return lambda x: helpers.act(x), lambda: exec("def act(x): return x * 3", helpers.__dict__)


def by_getattr() -> Case:
    config, name = Config(), "scale"
    return lambda x: x * getattr(config, name), lambda: setattr(config, "scale", 3.0)


def object_attribute() -> Case:
    config = Config()
    return lambda x: config.twice(x), lambda: setattr(config, "scale", 3.0)


def inner_object() -> Case:
    config = Config()
    return config.twice, lambda: setattr(config.inner, "bias", 3.0)


def instance_hides_class() -> Case:
    config = Config()
    return config.twice, lambda: setattr(config, "rate", 3.0)


def property_of_an_object() -> Case:
    class Half:
        def __init__(self) -> None:
            self._of = 4.0

        @property
        def value(self) -> float:
            return self._of / 2

    half = Half()
    return lambda x: x * half.value, lambda: setattr(half, "_of", 8.0)


def slots() -> Case:
    class Small:
        __slots__ = ("by",)

        def __init__(self) -> None:
            self.by = 2.0

    small = Small()
    return lambda x: x * small.by, lambda: setattr(small, "by", 3.0)


def members_of_a_set() -> Case:
    chosen = {0}
    return lambda x: sum(x[:, i] for i in chosen), lambda: chosen.add(1)


def longer_list() -> Case:
    layers = [linear(1)]
    return lambda x: functools.reduce(lambda y, f: f(y), layers, x), lambda: layers.append(
        linear(2)
    )


def numbers_of_an_array() -> Case:
    by = np.ones(3, "float32")
    return lambda x: x * cr.tensor(by), lambda: by.__setitem__(0, 5.0)


def user_mapping() -> Case:
    options = UserDict(by=1.0)
    return lambda x: x * options["by"], lambda: options.update(by=2.0)


def attribute_dict() -> Case:
    class Attributes:
        def __init__(self) -> None:
            self.__dict__["_table"] = {"by": 1.0}

        def __getattr__(self, name: str) -> Any:
            return self._table[name]

    options = Attributes()
    return lambda x: x * options.by, lambda: options._table.update(by=2.0)


def named_by_attrgetter() -> Case:
    config, get = Config(), operator.attrgetter("scale")
    return lambda x: x * get(config), lambda: setattr(config, "scale", 3.0)


def partial_method() -> Case:
    class Shifts:
        by = 1.0

        def shift(self, x: Any, times: float) -> Any:
            return x + times * self.by

        twice = functools.partialmethod(shift, times=2.0)

    shifts = Shifts()
    return lambda x: shifts.twice(x), lambda: setattr(shifts, "by", 3.0)


def base_class_attribute() -> Case:
    class Base:
        by = 1.0

        @classmethod
        def times(cls, x: Any) -> Any:
            return x * cls.by

    class Derived(Base):
        def run(self, x: Any) -> Any:
            return super().times(x)

    return Derived().run, lambda: setattr(Base, "by", 2.0)


def rule_of_ones_own() -> Case:
    factor = [1.0]
    rule = cr.custom_vjp(lambda x: x * 1.0)
    rule.defvjp(lambda x: (x * 1.0, None), lambda _, g: (g * factor[0],))
    return lambda x: cr.grad(lambda x: rule(x).sum())(x), lambda: factor.__setitem__(0, 5.0)


def compiled_inside() -> Case:
    config = Config()
    inner = cr.compile(lambda x: x * config.scale)
    return lambda x: inner(x), lambda: setattr(config, "scale", 3.0)


def of_net(change: Callable[[Net], Any]) -> Callable[[], Case]:
    def case() -> Case:
        net = Net()
        return net, lambda: change(net)

    return case


def of_sequence(change: Callable[[nn.Sequential], Any]) -> Callable[[], Case]:
    def case() -> Case:
        net = nn.Sequential(linear(1), nn.LeakyReLU(0.1), linear(2))
        return net, lambda: change(net)

    return case


def doubled(module: Any, args: Any, out: Any) -> Any:
    return out * 2


def hook_removed() -> Case:
    net = linear(1)
    handle = net.register_forward_hook(doubled)
    return net, handle.remove


FREE = [
    global_number, global_of_a_helper, helper_defined_again, shadowed_builtin, code_of_a_helper,
    closure_rebound, default_argument, keyword_default, default_list, model_in_a_dict,
    chosen_from_a_dict, model_as_class_attribute, function_attribute, partial_of_a_helper,
    decorated, nested_helpers, other_python_module, function_of_other_python_module, by_getattr,
    object_attribute, inner_object, instance_hides_class, property_of_an_object, slots,
    members_of_a_set, longer_list, numbers_of_an_array, hook_removed, user_mapping, attribute_dict,
    named_by_attrgetter, partial_method, base_class_attribute, rule_of_ones_own, compiled_inside,
]  # fmt: skip

OF_NET: dict[str, Callable[[Net], Any]] = {
    "an attribute": lambda m: setattr(m, "scale", 2.0),
    "an activation function": lambda m: setattr(m, "act", cr.sigmoid),
    "an item of a list": lambda m: m.shifts.__setitem__(1, 3.0),
    "an item of a dict": lambda m: m.table.update(a=2.0),
    "a layer of a list": lambda m: m.layers.__setitem__(1, linear(5)),
    "one layer more": lambda m: m.layers.append(linear(5)),
    "a parameter of a layer": lambda m: setattr(m.layers[0], "bias", nn.Parameter(np.ones(3, "f"))),
    "no bias": lambda m: setattr(m.layers[0], "bias", None),
    "a buffer": lambda m: setattr(m, "mean", cr.ones(3)),
    "a buffer registered again": lambda m: m.register_buffer("mean", cr.ones(3)),
    "the attribute of the class": lambda m: setattr(m, "kind", 2.0),
    "a method of the object": lambda m: setattr(m, "helper", lambda x: x + 2),
    "forward of the object": lambda m: setattr(m, "forward", lambda x: x),
    "a hook": lambda m: m.layers[0].register_forward_hook(doubled),
    "a hook before": lambda m: m.register_forward_pre_hook(lambda m, args: (args[0] * 2,)),
}
OF_SEQUENCE: dict[str, Callable[[nn.Sequential], Any]] = {
    "layer replaced": lambda m: m.__setitem__(1, nn.Tanh()),
    "layer appended": lambda m: m.append(nn.Tanh()),
    "layer inserted": lambda m: m.insert(1, nn.Tanh()),
    "layers added": lambda m: m.extend([nn.Tanh()]),
    "layer deleted": lambda m: m.__delitem__(1),
    "layer popped": lambda m: m.pop(),
    "table written": lambda m: m._modules.__setitem__("1", nn.Tanh()),
    "submodule set": lambda m: m.set_submodule("1", nn.Tanh()),
    "module added": lambda m: m.add_module("more", nn.Tanh()),
    "option of a layer": lambda m: setattr(m[1], "negative_slope", 0.9),
    "weight replaced": lambda m: setattr(m[0], "weight", nn.Parameter(np.ones((3, 3), "f"))),
    "weight registered": lambda m: m[0].register_parameter("bias", nn.Parameter(np.ones(3, "f"))),
}
CASES = {f.__name__: f for f in FREE}
CASES |= {f"net: {k}": of_net(v) for k, v in OF_NET.items()}
CASES |= {f"sequence: {k}": of_sequence(v) for k, v in OF_SEQUENCE.items()}


@pytest.fixture(autouse=True)
def same_world() -> Iterator[None]:
    """``GLOBAL`` is what it was."""
    globals()["GLOBAL"] = 1.0
    yield
    globals()["GLOBAL"] = 1.0


def traces(f: Any) -> int:
    return sum(map(len, f.traces.values()))


@pytest.mark.parametrize("name", CASES)
def test_a_change_is_noticed_once(name: str) -> None:
    f, change = CASES[name]()
    compiled, x = cr.compile(lambda x: f(x)), cr.tensor(X)
    before = compiled(x).numpy().copy()
    compiled(x)
    assert traces(compiled) == 1
    change()
    after = compiled(x).numpy()
    np.testing.assert_allclose(after, f(x).numpy(), rtol=1e-5)
    assert after.shape != before.shape or not np.allclose(after, before)
    compiled(x)
    assert traces(compiled) == 2


UNREAD: dict[str, Callable[[Net], Any]] = {
    "an attribute no code reads": lambda m: setattr(m, "steps", 1),
    "an item no code reads": lambda m: m.table.update(unread=2.0),
    "the same value": lambda m: setattr(m, "scale", 2.0 / 2),
    "weights": lambda m: m.load_state_dict(Net().state_dict()),
    "a buffer's numbers": lambda m: m.mean.assign(cr.ones(3)),
    "train and eval, where nothing reads them": lambda m: m.eval(),
    "a deep copy": lambda m: setattr(copy.deepcopy(m), "scale", 5.0),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_read_does_not_capture_again(name: str) -> None:
    net, x = Net(), cr.tensor(X)
    compiled = cr.compile(net)
    compiled(x)
    UNREAD[name](net)
    np.testing.assert_allclose(compiled(x).numpy(), net(x).numpy(), rtol=1e-5)
    assert traces(compiled) == 1


def test_an_earlier_state_finds_its_program_again() -> None:
    net, x = nn.Sequential(linear(1), nn.Dropout(0.5), nn.BatchNorm1d(3)), cr.rand(4, 3)
    compiled = cr.compile(net)
    for _ in range(3):
        net.train()
        compiled(x)
        net.eval()
        compiled(x)
    first, other = net[0], linear(2)
    for layer in (other, first, other, first):
        net[0] = layer
        np.testing.assert_allclose(compiled(x).numpy(), net(x).numpy(), rtol=1e-5)
    assert traces(compiled) == 3


def training() -> tuple[nn.Linear, optim.SGD, Any]:
    space: dict[str, Any] = {"cr": cr, "nn": nn, "model": linear(1)}
    space["optimizer"] = optim.SGD(space["model"].parameters(), lr=0.1)
    exec(
        "@cr.compile\n"
        "def step(x):\n"
        "    loss = (model(x) ** 2).sum()\n"
        "    optimizer.zero_grad()\n"
        "    loss.backward()\n"
        "    optimizer.step()\n"
        "    return loss\n",
        space,
    )
    return space["model"], space["optimizer"], space


def test_a_cell_that_makes_the_model_anew_trains_the_new_one() -> None:
    _, _, space = training()
    x = cr.tensor(X)
    for _ in range(20):
        space["step"](x)
    model = space["model"] = linear(7)
    space["optimizer"] = optim.SGD(model.parameters(), lr=0.1)
    expected = (model(x) ** 2).sum().item()
    before = model.weight.numpy().copy()
    assert space["step"](x).item() == pytest.approx(expected, rel=1e-5)
    assert not np.array_equal(model.weight.numpy(), before)


OPTIMIZER: dict[str, tuple[Callable[[Any, Any], Any], int]] = {
    "the rate": (lambda m, o: o.param_groups[0].update(lr=0.5), 1),
    "another option": (lambda m, o: o.param_groups[0].update(weight_decay=0.5), 2),
    "loaded": (lambda m, o: o.load_state_dict(o.state_dict()), 2),
    "a group more": (lambda m, o: o.add_param_group({"params": [nn.Parameter([1.0])]}), 2),
    # 3: afterwards nobody forgets the gradient of the parameter that was taken out
    "a parameter taken out": (lambda m, o: o.param_groups[0]["params"].pop(), 3),
    "frozen": (lambda m, o: m.bias.requires_grad_(False), 2),
}


@pytest.mark.parametrize("name", OPTIMIZER)
def test_optimizers_are_watched(name: str) -> None:
    model, optimizer, space = training()
    x, (change, count) = cr.tensor(X), OPTIMIZER[name]
    space["step"](x)
    change(model, optimizer)
    space["step"](x)
    space["step"](x)
    assert traces(space["step"]) == count


def test_a_list_that_a_capture_changes_is_not_watched() -> None:
    calls: list[int] = []

    @cr.compile
    def f(x: Any) -> Any:
        calls.append(1)
        return x * 2

    for n in (1, 2, 1, 2, 1):
        f(cr.ones(n))
    assert len(calls) == 2


def test_a_number_that_a_capture_changes_is_named_and_not_watched() -> None:
    class Counting(nn.Module):
        steps = 0

        def __init__(self) -> None:
            super().__init__()
            self.steps = 0

        def forward(self, x: Any) -> Any:
            self.steps += 1
            return x * 2

    net = Counting()
    f = cr.compile(net, name="f")
    with pytest.warns(RuntimeWarning) as caught:
        for n in (1, 2, 1, 2, 1):
            f(cr.ones(n))
    assert net.steps == 2
    assert [str(w.message) for w in caught] == 2 * [
        "compiled f: Counting.steps was changed while the function was captured: that happens "
        "once, not at each call, and it is not watched. Keep it in a tensor that is assigned, or "
        "change it outside"
    ]


def test_few_programs_of_one_kind_are_kept() -> None:
    config = Config()
    f = cr.compile(lambda x: x * config.scale)
    for scale in range(20):
        config.scale = float(scale)
        f(cr.ones(1))
    assert traces(f) == 8


def test_long_lists_are_named_and_not_watched() -> None:
    table = [1.0] * 5000
    f = cr.compile(lambda x: x * table[3], name="f")
    with pytest.warns(RuntimeWarning) as caught:
        f(cr.ones(1))
    assert [str(w.message) for w in caught] == [
        "compiled f: table has 5000 items, which are not watched: the program goes on with those "
        "it was captured with. Make it a tensor, or pass it as an argument"
    ]
    assert caught[0].filename == __file__


def test_large_arrays_are_named_where_they_are_read() -> None:
    table, other = np.ones((100, 300), "float32"), np.ones((100, 300), "float32")
    f = cr.compile(lambda x: x * cr.tensor(table[3]) + len(other), name="f")
    with pytest.warns(RuntimeWarning) as caught:
        f(cr.ones(300))
    assert [str(w.message) for w in caught] == [
        "compiled f: a NumPy array of shape (100, 300) is read, whose numbers are not watched: the "
        "program goes on with those it was captured with. Make it a tensor, or pass it as an "
        "argument"
    ]


def test_vmap_and_grad_inside_are_followed() -> None:
    config = Config()

    def loss(x: Any) -> Any:
        return (config.twice(x) ** 2).sum()

    gradient = cr.vmap(cr.grad(loss))
    f = cr.compile(lambda x: gradient(x))
    x = cr.tensor(X)
    f(x)
    config.scale = 7.0
    np.testing.assert_allclose(f(x).numpy(), gradient(x).numpy(), rtol=1e-6)


def test_methods_watch_their_object() -> None:
    class Agent:
        def __init__(self) -> None:
            self.net, self.steps = linear(1), 0

        @cr.compile
        def act(self, x: Any) -> Any:
            return self.net(x)

    agent, x = Agent(), cr.tensor(X)
    agent.act(x)
    for agent.steps in (1, 2):
        agent.act(x)
    assert traces(Agent.act) == 1
    agent.net = linear(2)
    np.testing.assert_allclose(agent.act(x).numpy(), agent.net(x).numpy(), rtol=1e-6)


def test_equal_plain_values_are_the_same_and_others_are_not() -> None:
    equal = [(1000, int("1000")), (float("nan"), float("nan")), ((1, "a"), (1, "a")), ({1}, {1})]
    assert [same(a, b) for a, b in equal] == [True, True, True, False]
    other = [(1, True), (1, 1.0), (0.0, -0.0), ([1], [1]), ((1, [2]), (1, [2]))]
    assert not any(same(a, b) for a, b in other)


@pytest.mark.parametrize(
    "module, name, value",
    [
        (nn.Hardtanh(), "max_val", 0.25),
        (nn.SmoothL1Loss(), "beta", 3.0),
        (nn.MSELoss(), "reduction", "sum"),
        (nn.BCEWithLogitsLoss(), "pos_weight", cr.tensor([3.0, 2.0, 1.0])),
    ],
    ids=lambda case: getattr(case, "_get_name", lambda: None)(),
)
def test_options_that_a_constructor_keeps(module: Any, name: str, value: Any) -> None:
    inputs = [cr.tensor(X), cr.ones(X.shape)][: 1 + hasattr(module, "reduction")]
    module(*inputs)
    compiled = cr.compile(lambda *inputs: module(*inputs))
    before = compiled(*inputs).numpy().copy()
    setattr(module, name, value)
    after = compiled(*inputs).numpy()
    np.testing.assert_allclose(after, module(*inputs).numpy(), rtol=1e-5)
    assert not np.allclose(before, after)
