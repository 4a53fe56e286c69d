"""The loop programs of well-known graphs, as text. `pytest --update-golden` rewrites them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chainrule.autodiff.reverse import gradients
from chainrule.compiler.pipeline import compile as compile_loops
from chainrule.compiler.show import show
from chainrule.core import dtypes as dt
from chainrule.core import graph as g
from chainrule.core.signature import Signature

FOLDER = Path(__file__).parent.parent / "golden"
F = dt.float32


def rows_of(x, shape):
    return g.broadcast(g.reshape(x, (*x.shape, *([1] * (len(shape) - x.ndim)))), shape)


def softmax_cross_entropy():
    z, y = g.input((32, 10), F), g.input((32,), dt.int64)
    m = g.reduce_max(z, (1,))
    e = g.exp(g.sub(z, rows_of(m, z.shape)))
    s = g.sum(e, (1,))
    hot = g.eq(g.iota(z.shape, 1, dt.int64), rows_of(y, z.shape))
    picked = g.sum(g.where(hot, z, g.zeros_like(z)), (1,))
    loss = g.sub(g.add(g.log(s), m), picked)
    return [z, y], [], [], [loss, g.sub(g.div(e, rows_of(s, z.shape)), g.cast(hot, F))]


def layer_norm():
    x, w = g.input((64, 48), F), g.input((48,), F)
    n = g.constant(48.0, F)
    mean = g.div(g.sum(x, (1,)), g.expand(n, (64,)))
    centred = g.sub(x, rows_of(mean, x.shape))
    var = g.div(g.sum(g.mul(centred, centred), (1,)), g.expand(n, (64,)))
    scale = g.sqrt(g.add(var, g.full(var.shape, 1e-5, F)))
    return [x, w], [], [], [g.mul(g.div(centred, rows_of(scale, x.shape)), g.expand(w, x.shape))]


def linear_sgd():
    x, y = g.input((32, 20), F), g.input((32, 5), F)
    w, b = g.input((5, 20), F), g.input((5,), F)
    out = g.tanh(g.add(g.dot(x, g.permute(w, (1, 0))), g.expand(b, (32, 5))))
    error = g.sub(out, y)
    loss = g.sum(g.mul(error, error), (0, 1))
    found = gradients([loss], [g.ones_like(loss)], [w, b])
    step = [g.sub(p, g.mul(g.full(p.shape, 0.1, F), d)) for p, d in zip((w, b), found, strict=True)]
    return [x, y], [w, b], step, [loss]


def minibatch():
    """Rows are read where they lie; the gradient of the logits is made where they are."""
    data, labels, rows = g.input((500, 64), F), g.input((500,), dt.int64), g.input((32,), dt.int64)
    w, v = g.input((40, 64), F), g.input((10, 40), F)
    x, y = g.gather(data, rows), g.gather(labels, rows)
    z = g.dot(g.tanh(g.dot(x, g.permute(w, (1, 0)))), g.permute(v, (1, 0)))
    m = g.reduce_max(z, (1,))
    s = g.sum(g.exp(g.sub(z, rows_of(m, z.shape))), (1,))
    hot = g.eq(g.iota(z.shape, 1, dt.int64), rows_of(y, z.shape))
    picked = g.sum(g.where(hot, z, g.zeros_like(z)), (1,))
    loss = g.sum(g.sub(g.add(g.log(s), m), picked), (0,))
    found = gradients([loss], [g.ones_like(loss)], [w, v])
    step = [g.sub(p, g.mul(g.full(p.shape, 0.1, F), d)) for p, d in zip((w, v), found, strict=True)]
    return [data, labels, rows], [w, v], step, [loss]


@pytest.mark.parametrize(
    "build", [softmax_cross_entropy, layer_norm, linear_sgd, minibatch], ids=lambda f: f.__name__
)
def test_loops(build, request):
    plan = compile_loops(Signature(*map(tuple, build())))
    text = (
        "\n".join(f"level {lv}\n{show(k)}" for lv, k in zip(plan.levels, plan.kernels, strict=True))
        + "\n"
    )
    text = re.sub(r"(\d\.\d{6})\d+", r"\1", text)
    path = FOLDER / f"{build.__name__}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text()
