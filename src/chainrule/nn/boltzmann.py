"""Restricted Boltzmann machines: two layers of units that learn the distribution of their data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..errors import DTypeError, OptionError, ShapeError
from ..tensor import functions as f
from ..tensor.grad_mode import no_grad
from ..tensor.tensor import Tensor
from ..tensor.transform import stop_gradient
from ..tensor.transform.loops import scan
from ..tensor.value import as_tensor, stored
from . import functional as F
from . import init, trail
from .linear import Linear, empty_parameter
from .module import Module
from .options import Constraint, check, choice, integer, number
from .parameter import Parameter

KINDS = ("bernoulli", "gaussian")
_OPTIONS: dict[str, Constraint] = {
    "visible_features": integer(1),
    "hidden_features": integer(1),
    "visible": choice(*KINDS),
    "hidden": choice(*KINDS),
    "labels": integer(0),
    "chains": integer(0),
    "std": number(0),
}


class RBM(Module):
    """A restricted Boltzmann machine: p(v, h) ∝ exp(-E(v, h)), v (N, visible), h (N, hidden).

        E(v, h)  = -a·v - b·h - h·W v
        p(h | v) = σ(W v + b),    p(v | h) = σ(Wᵀ h + a)
        F(v)     = -ln Σ_h exp(-E(v, h)) = -a·v - Σ_j ln(1 + exp(W v + b)_j)

    weight W (hidden, visible) starts normal with deviation ``std``; visible_bias a and hidden_bias
    b start at 0. Calling it gives p(h | v), as a layer of logistic units would.

    ``visible="gaussian"``: real visible units of unit variance (scale the data so), ½‖v - a‖² in
    place of -a·v, and mean Wᵀ h + a. ``hidden="gaussian"``: linear hidden units, the code layer of
    an autoencoder: ½‖h‖² more in E, mean W v + b. Both at once may have no distribution and is
    refused. ``labels``: so many of the visible units, the last, are one softmax group: exactly one
    of them is on, as in the top of a deep belief net. ``chains``: that many persistent chains, kept
    in the buffer of that name.

    Training: back-propagate `contrastive_divergence`, whose gradient is the rule. Random numbers
    come from ``generator``, or from the default one.

    Raises OptionError, ShapeError and DTypeError. Sources: Hinton, "Training products of experts by
    minimizing contrastive divergence", 2002; Hinton, Osindero & Teh, "A fast learning algorithm for
    deep belief nets", 2006; Tieleman, "Training restricted Boltzmann machines using approximations
    to the likelihood gradient", 2008.

    >>> import chainrule as cr
    >>> from chainrule import nn, optim
    >>> _ = cr.manual_seed(0)
    >>> rbm = nn.RBM(4, 2)
    >>> sgd = optim.SGD(rbm.parameters(), lr=0.5)
    >>> v = cr.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    >>> @cr.compile
    ... def step(v):
    ...     loss = rbm.contrastive_divergence(v)
    ...     sgd.zero_grad(); loss.backward(); sgd.step()
    >>> before = rbm.free_energy(v).mean()
    >>> step.repeat(500, v)
    >>> bool(rbm.free_energy(v).mean() < before), rbm.reconstruct(v).round().tolist()[0]
    (True, [1.0, 1.0, 0.0, 0.0])
    """

    weight: Parameter
    visible_bias: Parameter
    hidden_bias: Parameter
    chains: Tensor | None

    def __init__(
        self,
        visible_features: int,
        hidden_features: int,
        *,
        visible: str = "bernoulli",
        hidden: str = "bernoulli",
        labels: int = 0,
        chains: int = 0,
        std: float = 0.1,
        generator: f.Generator | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        values = {
            "visible_features": visible_features,
            "hidden_features": hidden_features,
            "visible": visible,
            "hidden": hidden,
            "labels": labels,
            "chains": chains,
            "std": std,
        }
        check("RBM", _OPTIONS, values)
        if visible == hidden == "gaussian":
            raise OptionError(
                'RBM: visible="gaussian" with hidden="gaussian" has no distribution where a '
                'singular value of the weights exceeds 1; make one of the two "bernoulli"'
            )
        if labels and (visible == "gaussian" or labels == 1 or labels > visible_features):
            raise OptionError(
                f"RBM: labels={labels} must be at least 2 and at most visible_features="
                f"{visible_features}, with bernoulli visible units; got visible={visible!r}"
            )
        self.visible_features, self.hidden_features = int(visible_features), int(hidden_features)
        self.visible, self.hidden, self.labels, self.std = visible, hidden, int(labels), std
        self.generator = generator
        self.weight = empty_parameter((self.hidden_features, self.visible_features), device, dtype)
        self.visible_bias = empty_parameter((self.visible_features,), device, dtype)
        self.hidden_bias = empty_parameter((self.hidden_features,), device, dtype)
        kind = dt.dtype_of(dtype or dt.default_float)
        held = stored(np.zeros((int(chains), self.visible_features), kind)) if chains else None
        self.register_buffer("chains", held)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial weights again, set the biases to 0, and start the chains anew."""
        with no_grad():
            drawn = f.normal(0.0, self.std, self.weight.shape, self.weight.dtype, self.generator)
            self.weight.assign(drawn)
        init.zeros_(self.visible_bias)
        init.zeros_(self.hidden_bias)
        self.reset_chains()

    def reset_chains(self) -> None:
        """Start the persistent chains from random visible units, as zero weights would give."""
        if self.chains is not None:
            with no_grad():
                hidden = f.zeros(
                    self.chains.shape[0], self.hidden_features, dtype=self.chains.dtype
                )
                self.chains.assign(self._draw_visible(self.visible_mean(hidden)))

    # -- the two conditional distributions ---------------------------------------------------------
    def hidden_mean(self, v: Any) -> Tensor:
        """E[h | v]: σ(W v + b), or W v + b of gaussian units; (N, visible) -> (N, hidden)."""
        x = F.linear(
            self._units(v, self.visible_features, "visible"), self.weight, self.hidden_bias
        )
        return f.sigmoid(x) if self.hidden == "bernoulli" else x

    def visible_mean(self, h: Any) -> Tensor:
        """E[v | h]: σ(Wᵀ h + a), softmax for labels, or Wᵀ h + a; -> (N, visible)."""
        x = self._units(h, self.hidden_features, "hidden") @ self.weight + self.visible_bias
        if self.visible == "gaussian":
            return x
        if not self.labels:
            return f.sigmoid(x)
        cut = self.visible_features - self.labels
        return f.cat([f.sigmoid(x[..., :cut]), f.softmax(x[..., cut:], -1)], -1)

    def forward(self, v: Any) -> Tensor:
        """E[h | v], (N, visible) -> (N, hidden)."""
        return self.hidden_mean(v)

    def sample_hidden(self, v: Any) -> Tensor:
        """Hidden units drawn from p(h | v)."""
        return self._draw(self.hidden_mean(v), self.hidden)

    def sample_visible(self, h: Any) -> Tensor:
        """Visible units drawn from p(v | h)."""
        return self._draw_visible(self.visible_mean(h))

    def reconstruct(self, v: Any) -> Tensor:
        """E[v | h] at h = E[h | v]: up and down without a random number."""
        return self.visible_mean(self.hidden_mean(v))

    def gibbs(self, v: Any, k: int = 1, clamp: Any = None) -> Tensor:
        """Visible units after ``k`` steps of Gibbs sampling, v -> h -> v, from ``v``.

        ``clamp``: a mask (visible,) of units that keep their first values, such as a label.

        >>> import chainrule as cr
        >>> from chainrule import nn
        >>> rbm = nn.RBM(6, 3, labels=2)
        >>> v = cr.tensor([[0.0, 0.0, 0.0, 0.0, 1.0, 0.0]])
        >>> label = cr.tensor([False, False, False, False, True, True])
        >>> rbm.gibbs(v, 100, clamp=label)[0, 4:]
        tensor([1., 0.])
        """
        check("RBM.gibbs", {"k": integer(0)}, {"k": k})
        start = stop_gradient(self._units(v, self.visible_features, "visible"))

        def step(now: Tensor, _: None) -> tuple[Tensor, None]:
            new = self.sample_visible(self.sample_hidden(now))
            return (new if clamp is None else f.where(clamp, start, new)), None

        with no_grad():
            if k > 1:
                last: Tensor = scan(step, start, length=int(k))[0]
                return last
            return step(start, None)[0] if k else start

    # -- energies ----------------------------------------------------------------------------------
    def energy(self, v: Any, h: Any) -> Tensor:
        """E(v, h) of each row, (N,)."""
        v = self._units(v, self.visible_features, "visible")
        h = self._units(h, self.hidden_features, "hidden")
        x = F.linear(v, self.weight, self.hidden_bias)
        energy: Tensor = self._visible_energy(v) - (h * x).sum(-1)
        return energy + 0.5 * (h * h).sum(-1) if self.hidden == "gaussian" else energy

    def free_energy(self, v: Any) -> Tensor:
        """F(v) = -ln Σ_h exp(-E(v, h)) of each row, (N,); lower is more probable.

        ln(1 + eˣ) is max(x, 0) + ln(1 + e^-|x|): nothing overflows, nothing is cut off. For
        gaussian hidden units the sum is an integral, without its constant (H/2) ln 2π.
        """
        v = self._units(v, self.visible_features, "visible")
        return self._visible_energy(v) - self._explained(F.linear(v, self.weight, self.hidden_bias))

    def _visible_energy(self, v: Tensor) -> Tensor:
        if self.visible == "gaussian":
            return 0.5 * ((v - self.visible_bias) ** 2).sum(-1)
        return -(v @ self.visible_bias)

    def _explained(self, x: Tensor) -> Tensor:
        """ln Σ_h exp(h·x - …) of each row, for x = W v + b."""
        if self.hidden == "gaussian":
            return 0.5 * (x * x).sum(-1)
        return F.softplus(x, threshold=math.inf).sum(-1)

    def label_logits(self, v: Any) -> Tensor:
        """-F(v, label) for every label, up to a constant of the row: softmax gives p(label | v).

        ``v`` (N, visible - labels), the visible units without the labels; -> (N, labels).
        """
        if not self.labels:
            raise OptionError(f"{trail.title(self)} has no labels: nn.RBM(..., labels=10)")
        cut = self.visible_features - self.labels
        v = self._units(v, cut, "visible, without the labels,")
        x = F.linear(v, self.weight[:, :cut], self.hidden_bias)
        each = [
            self.visible_bias[cut + k] + self._explained(x + self.weight[:, cut + k])
            for k in range(self.labels)
        ]
        return f.stack(each, -1)

    # -- learning ----------------------------------------------------------------------------------
    def contrastive_divergence(
        self, v: Any, k: int = 1, *, persistent: bool | None = None, sampled: bool = False
    ) -> Tensor:
        """A scalar whose gradient is the rule of contrastive divergence (CD-k), to be minimized:

            L = mean F(v) - mean F(v'),    ∂L/∂W = -mean p(h|v) vᵀ + mean p(h|v') v'ᵀ

        v' is what ``k`` Gibbs steps make of the data; nothing flows back through it. Its last step
        gives probabilities, which are less noisy, or with ``sampled`` units drawn from them, as
        the exact gradient for k -> ∞ needs. L itself says little: watch `reconstruct`.

        ``persistent`` (default: if the machine has ``chains``): the k steps go on from the chains
        and not from the data (Tieleman 2008); each mean is over its own rows, so there may be more
        or fewer chains than rows.
        """
        check("RBM.contrastive_divergence", {"k": integer(1)}, {"k": k})
        v = self._units(v, self.visible_features, "visible")
        if self.chains is None and persistent:
            raise OptionError(
                f"{trail.title(self)} has no persistent chains: write nn.RBM(..., chains=100)"
            )
        if v.ndim > 1 and math.prod(v.shape[:-1]) == 0:
            raise ShapeError(f"{trail.title(self)}: contrastive divergence of no row, {v.shape}")
        with no_grad():
            if self.chains is not None and persistent is not False:
                fantasy = self.gibbs(self.chains, k)
                self.chains.assign(fantasy)
            else:
                h = self.sample_hidden(self.gibbs(v, k - 1))
                fantasy = self.sample_visible(h) if sampled else self.visible_mean(h)
        return self.free_energy(v).mean() - self.free_energy(stop_gradient(fantasy)).mean()

    # -- as layers of a net ------------------------------------------------------------------------
    def encoder(self) -> Linear:
        """A Linear layer with W and b: what goes up. A copy, to be trained on its own."""
        return _linear(self.weight, self.hidden_bias)

    def decoder(self) -> Linear:
        """A Linear layer with Wᵀ and a: what goes down. A copy, to be trained on its own."""
        return _linear(self.weight.T, self.visible_bias)

    # -- parts -------------------------------------------------------------------------------------
    def _draw(self, mean: Tensor, kind: str) -> Tensor:
        mean = stop_gradient(mean)
        if kind == "bernoulli":
            return f.bernoulli(mean, generator=self.generator)
        return mean + f.randn_like(mean, generator=self.generator)

    def _draw_visible(self, mean: Tensor) -> Tensor:
        if not self.labels:
            return self._draw(mean, self.visible)
        cut = self.visible_features - self.labels
        label = f.multinomial(stop_gradient(mean[..., cut:]), 1, True, self.generator)[..., 0]
        group = f.one_hot(label, self.labels).to(mean.dtype)
        return f.cat([self._draw(mean[..., :cut], "bernoulli"), group], -1)

    def _units(self, given: Any, features: int, what: str) -> Tensor:
        x: Tensor = as_tensor(given)
        if x.ndim == 0 or x.shape[-1] != features:
            raise ShapeError(
                f"{trail.title(self)} expects rows of {features} {what} units, got shape {x.shape}"
            )
        if not dt.is_float(x.dtype):
            return x.to(self.weight.dtype)
        if x.dtype != self.weight.dtype:
            raise DTypeError(
                f"{trail.title(self)} has {self.weight.dtype} weights, got {x.dtype} units: "
                f"convert them with .to('{self.weight.dtype}')"
            )
        return x

    def headline(self) -> str:
        """The layer in one short line."""
        return f"RBM({self.visible_features}, {self.hidden_features})"

    def extra_repr(self) -> str:
        """The arguments."""
        chains = 0 if self.chains is None else self.chains.shape[0]
        return (
            f"{self.visible_features}, {self.hidden_features}, visible={self.visible!r}, "
            f"hidden={self.hidden!r}, labels={self.labels}, chains={chains}"
        )


def _linear(weight: Tensor, bias: Tensor) -> Linear:
    layer = Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    with no_grad():
        layer.weight.assign(weight.detach())
        assert layer.bias is not None
        layer.bias.assign(bias.detach())
    return layer
