"""What layers of a workload compute, for JAX: channels last, as XLA has them fastest on CPUs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from . import layers as of


def forward(layers: tuple[of.Layer, ...], parameters: list[Any], x: Any) -> Any:
    """The net's output for rows x, (batch, *positions, channels) or (batch, steps, features)."""
    return _apply(layers, iter(parameters), x)


def _apply(layers: tuple[of.Layer, ...], p: Iterator[Any], x: Any) -> Any:
    for layer in layers:
        x = _MEANING[layer.kind](layer, p, x)
    return x


def _linear(layer: Any, p: Iterator[Any], x: Any) -> Any:
    y = x @ next(p).T
    return y + next(p) if layer.bias else y


def _activation(layer: Any, p: Iterator[Any], x: Any) -> Any:
    kinds = {
        "ReLU": jax.nn.relu,
        "Tanh": jnp.tanh,
        "GELU": functools.partial(jax.nn.gelu, approximate=False),
    }
    return kinds[layer.name](x)


def _conv(layer: Any, p: Iterator[Any], x: Any) -> Any:
    places = "DHW"[-layer.rank :]
    y = lax.conv_general_dilated(
        x,
        next(p),
        [layer.stride] * layer.rank,
        [(layer.padding, layer.padding)] * layer.rank,
        rhs_dilation=[layer.dilation] * layer.rank,
        dimension_numbers=(f"N{places}C", f"OI{places}", f"N{places}C"),
        feature_group_count=layer.groups,
    )
    return y + next(p) if layer.bias else y


def _batch_norm(layer: Any, p: Iterator[Any], x: Any) -> Any:
    return _normalized(p, x, tuple(range(x.ndim - 1)))


def _layer_norm(layer: Any, p: Iterator[Any], x: Any) -> Any:
    return _normalized(p, x, (-1,))


def _normalized(p: Iterator[Any], x: Any, axes: tuple[int, ...]) -> Any:
    x = x - x.mean(axes, keepdims=True)
    return x * lax.rsqrt((x * x).mean(axes, keepdims=True) + 1e-5) * next(p) + next(p)


def _pool(layer: Any, p: Iterator[Any], x: Any) -> Any:
    window = (1, *[layer.size] * layer.rank, 1)
    if layer.name == "Max":
        return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")
    total = lax.reduce_window(x, 0.0, lax.add, window, window, "VALID")
    return total / layer.size**layer.rank


def _mean(layer: Any, p: Iterator[Any], x: Any) -> Any:
    return x.mean(tuple(range(1, x.ndim - 1)))


def _flatten(layer: Any, p: Iterator[Any], x: Any) -> Any:
    return jnp.moveaxis(x, -1, 1).reshape(len(x), -1)


def _embedding(layer: Any, p: Iterator[Any], x: Any) -> Any:
    return next(p)[x]


def _places(layer: Any, p: Iterator[Any], x: Any) -> Any:
    return x + next(p)


def _recurrent(layer: Any, p: Iterator[Any], x: Any) -> Any:
    of_x, of_h, b_x, b_h = (next(p) for _ in range(4))
    gru = layer.name == "GRU"
    z = jnp.swapaxes(x @ of_x.T + (b_x if gru else b_x + b_h), 0, 1)
    zero = jnp.zeros((len(x), layer.hidden), x.dtype)

    def rnn(carry: Any, z: Any) -> Any:
        h = jnp.tanh(z + carry[0] @ of_h.T)
        return (h,), h

    def lstm(carry: Any, z: Any) -> Any:
        h, c = carry
        i, f, g, o = jnp.split(z + h @ of_h.T, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gated(carry: Any, z: Any) -> Any:
        (h,) = carry
        (r_x, u_x, n_x), y = jnp.split(z, 3, -1), h @ of_h.T + b_h
        r_h, u_h, n_h = jnp.split(y, 3, -1)
        r, u = jax.nn.sigmoid(r_x + r_h), jax.nn.sigmoid(u_x + u_h)
        h = (1 - u) * jnp.tanh(n_x + r * n_h) + u * h
        return (h,), h

    step: Any = {"RNN": rnn, "LSTM": lstm, "GRU": gated}[layer.name]
    carry, states = lax.scan(step, (zero, zero) if layer.name == "LSTM" else (zero,), z)
    return carry[0] if layer.last else jnp.swapaxes(states, 0, 1)


def _attention(layer: Any, p: Iterator[Any], x: Any) -> Any:
    w, b, w_out, b_out = (next(p) for _ in range(4))
    rows, steps, width = x.shape
    parts = jnp.split(x @ w.T + b, 3, -1)
    shape = (rows, steps, layer.heads, width // layer.heads)
    q, k, v = (t.reshape(shape).transpose(0, 2, 1, 3) for t in parts)
    scores = q @ k.transpose(0, 1, 3, 2) / (width // layer.heads) ** 0.5
    seen = jnp.tril(jnp.ones((steps, steps), bool))
    h = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), -1) @ v
    return h.transpose(0, 2, 1, 3).reshape(rows, steps, width) @ w_out.T + b_out


def _residual(layer: Any, p: Iterator[Any], x: Any) -> Any:
    return x + _apply(layer.layers, p, x)


_MEANING: dict[str, Callable[[Any, Iterator[Any], Any], Any]] = {
    "Linear": _linear,
    "Activation": _activation,
    "Conv": _conv,
    "BatchNorm": _batch_norm,
    "Pool": _pool,
    "Mean": _mean,
    "Flatten": _flatten,
    "Embedding": _embedding,
    "Places": _places,
    "Recurrent": _recurrent,
    "LayerNorm": _layer_norm,
    "Attention": _attention,
    "Residual": _residual,
}
