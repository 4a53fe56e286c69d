"""Tables of vectors, looked up by index."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from ..tensor.tensor import Tensor
from ..tensor.value import as_tensor
from . import functional as F
from . import init
from .functional.embedding import check_embedding
from .linear import empty_parameter
from .module import Module
from .options import check, integer, optional
from .parameter import Parameter

_LENGTH = integer(1)


def _row(owner: str, padding_idx: int | None, rows: int) -> int | None:
    table = {"padding_idx": optional(integer(-rows, rows - 1))}
    check(owner, table, {"padding_idx": padding_idx})
    return None if padding_idx is None else padding_idx % rows


def _clear_row(weight: Parameter, row: int | None) -> None:
    if row is not None:
        weight.data[row] = 0


def _options(layer: Any, **defaults: Any) -> str:
    """The sizes, and the options that are not as by default."""
    changed = [
        f", {name}={getattr(layer, name)!r}"
        for name, default in defaults.items()
        if getattr(layer, name) != default
    ]
    return f"{layer.num_embeddings}, {layer.embedding_dim}{''.join(changed)}"


class Embedding(Module):
    """A table of vectors: index (...) -> (..., embedding_dim).

    weight (num_embeddings, embedding_dim) starts normal(0, 1); row ``padding_idx`` starts 0, with
    no gradient. ``max_norm``, ``norm_type`` and ``scale_grad_by_freq`` as in
    `nn.functional.embedding`; ``sparse=True`` is refused. DataError for an index outside.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Embedding(10, 4)(cr.tensor([[1, 2], [3, 4]])).shape
    (2, 2, 4)
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        values = {"num_embeddings": num_embeddings, "embedding_dim": embedding_dim}
        check("Embedding", dict.fromkeys(values, _LENGTH), values)
        check_embedding("Embedding", sparse, max_norm=max_norm, norm_type=norm_type)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = _row("Embedding", padding_idx, num_embeddings)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.weight = empty_parameter((num_embeddings, embedding_dim), device, dtype)
        self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None, **options: Any
    ) -> Embedding:
        """A layer with the given table; frozen unless you say otherwise; options as above."""
        table = as_tensor(embeddings)
        if table.ndim != 2:
            raise ShapeError(
                f"Embedding.from_pretrained expects a table (rows, features), got {table.shape}"
            )
        rows, features = table.shape
        layer = cls(rows, features, padding_idx, **options, dtype=table.dtype)
        layer.weight.assign(table.detach())
        layer.weight.requires_grad_(not freeze)
        return layer

    def reset_parameters(self) -> None:
        """Draw the initial numbers again."""
        init.normal_(self.weight)
        _clear_row(self.weight, self.padding_idx)

    def forward(self, index: Any) -> Tensor:
        """Index (...) -> (..., embedding_dim)."""
        return F.embedding(
            index,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
        )

    def headline(self) -> str:
        """The layer in one short line."""
        return f"Embedding({self.num_embeddings}, {self.embedding_dim})"

    def extra_repr(self) -> str:
        """The arguments."""
        return _options(self, padding_idx=None, max_norm=None, norm_type=2.0)


class EmbeddingBag(Module):
    """The mean (or sum, or maximum) of the rows of a table over a bag of indices, made in one go.

    ``forward(index, offsets=None, per_sample_weights=None)``: index (bags, length), or (n,) with
    the beginning of each bag in ``offsets``; result (bags, embedding_dim). weight (num_embeddings,
    embedding_dim) starts normal(0, 1). See `nn.functional.embedding_bag` for options and errors.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.EmbeddingBag(10, 4, mode="sum")(cr.tensor([1, 2, 4, 5, 4]), cr.tensor([0, 3])).shape
    (2, 4)
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        values = {"num_embeddings": num_embeddings, "embedding_dim": embedding_dim}
        check("EmbeddingBag", dict.fromkeys(values, _LENGTH), values)
        check_embedding("EmbeddingBag", sparse, max_norm=max_norm, norm_type=norm_type, mode=mode)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.max_norm, self.norm_type, self.mode = max_norm, norm_type, mode
        self.scale_grad_by_freq = scale_grad_by_freq
        self.include_last_offset = include_last_offset
        self.padding_idx = _row("EmbeddingBag", padding_idx, num_embeddings)
        self.weight = empty_parameter((num_embeddings, embedding_dim), device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial numbers again."""
        init.normal_(self.weight)
        _clear_row(self.weight, self.padding_idx)

    def forward(self, index: Any, offsets: Any = None, per_sample_weights: Any = None) -> Tensor:
        """(bags, embedding_dim)."""
        return F.embedding_bag(
            index,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            False,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        """The arguments."""
        return _options(self, mode="", padding_idx=None, max_norm=None, norm_type=2.0)
