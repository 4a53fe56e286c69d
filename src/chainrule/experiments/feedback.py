"""How errors come down: four rules, and the angle of what they change to the gradient."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from .. import nn
from ..core.node import Array
from ..tensor import functions as f
from ..tensor.tensor import Tensor
from ..tensor.transform import custom_vjp, stop_gradient

RULES = ("back-propagation", "feedback alignment", "direct feedback", "sign-symmetric feedback")


MEASURED = 300  # rows on which angles are measured


@custom_vjp
def joined(x: Tensor, weight: Tensor, back: Tensor) -> Tensor:
    """x Wᵀ for x (N, n), W (m, n); the error comes down through ``back`` (m, n).

    x̄ = g B,  W̄ = gᵀ x. Back-propagation is B = W.
    """
    return x @ weight.T


joined.defvjp(
    lambda x, weight, back: (x @ weight.T, (x, back)),
    lambda kept, g: (g @ kept[1], g.T @ kept[0], None),
)


@custom_vjp
def announced(outputs: Tensor, *hidden_and_back: Tensor) -> Tensor:
    """The outputs; their error e is also sent straight to hidden layers h₁ … h_k, as e B₁ … e B_k:
    arguments h₁ … h_k, B₁ … B_k."""
    return outputs


announced.defvjp(
    lambda outputs, *others: (outputs, others[len(others) // 2 :]),
    lambda backs, g: (g, *(g @ back for back in backs), *(None for _ in backs)),
)


class Net(nn.Module):
    """Layers of tanh units, the last one linear; ``rule`` says how errors come down."""

    def __init__(self, sizes: tuple[int, ...], rule: str, seed: int) -> None:
        super().__init__()
        self.rule = rule
        generator = f.Generator(seed)
        self.layers = nn.ModuleList()
        for k, (n, m) in enumerate(itertools.pairwise(sizes)):
            layer = nn.Linear(n, m)
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
            self.layers.append(layer)
            self.register_buffer(f"back{k}", f.zeros(m, n))
            nn.init.xavier_uniform_(self.get_buffer(f"back{k}"), generator=generator)
            self.register_buffer(f"direct{k}", f.zeros(sizes[-1], m))
            nn.init.xavier_uniform_(self.get_buffer(f"direct{k}"), generator=generator)

    def feedback(self, k: int) -> Tensor:
        """B of layer k."""
        weight: Tensor = self.layers[k].weight
        if self.rule == "feedback alignment":
            return self.get_buffer(f"back{k}")
        if self.rule == "sign-symmetric feedback":
            weight = f.sign(weight) * f.abs(weight).mean()
        fixed: Tensor = stop_gradient(weight)
        return fixed

    def forward(self, given: Any) -> Tensor:
        """The outputs (N, m) for inputs (N, n)."""
        x: Tensor = f.asarray(given)
        direct = self.rule == "direct feedback"
        hidden: list[Tensor] = []
        for k, layer in enumerate(self.layers):
            x = joined(x, layer.weight, self.feedback(k)) + layer.bias
            if k == len(self.layers) - 1:
                break
            hidden.append(f.tanh(x))
            x = stop_gradient(hidden[-1]) if direct else hidden[-1]
        if not direct:
            return x
        return announced(x, *hidden, *(self.get_buffer(f"direct{k}") for k in range(len(hidden))))


def angles(net: Net, x: Array, y: Array) -> Array:
    """Angles in degrees, by layer, between the rule's change of the weights and the gradient's."""
    asked = {}
    for rule in (net.rule, RULES[0]):
        own, net.rule = net.rule, rule
        net.zero_grad()
        nn.functional.cross_entropy(net(f.tensor(x)), f.tensor(y)).backward()
        asked[rule] = [layer.weight.grad.numpy().ravel().astype(float) for layer in net.layers]
        net.rule = own
    net.zero_grad()
    cosines = [
        a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30)
        for a, b in zip(asked[net.rule], asked[RULES[0]], strict=True)
    ]
    return np.asarray(np.degrees(np.arccos(np.clip(cosines, -1, 1))))
