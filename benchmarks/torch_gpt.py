"""`models.GPT` in PyTorch, with the names of its weights, and its optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Each place looks at those before it, and itself."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.out_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Any) -> Any:
        n, t, width = x.shape
        parts = F.linear(x, self.in_proj_weight).view(n, t, 3, self.heads, width // self.heads)
        left_out = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(
            *parts.permute(2, 0, 3, 1, 4), is_causal=True, dropout_p=left_out
        )
        return self.out_proj(seen.transpose(1, 2).reshape(n, t, width))


class Block(nn.Module):
    """A layer with the norms before its parts."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, bias=False) for _ in range(2))
        self.attention = Attention(width, heads, dropout)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm2(x)))))


class GPT(nn.Module):
    """Scores of the token after each."""

    def __init__(
        self, size: int, length: int, width: int, heads: int, layers: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.embedding, self.position = nn.Embedding(size, width), nn.Embedding(length, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([Block(width, heads, dropout) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width, bias=False), nn.Linear(width, size, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Any) -> Any:
        x = self.dropout(self.embedding(tokens) + self.position.weight[: tokens.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def adam_of(net: GPT) -> torch.optim.AdamW:
    """AdamW as in nanoGPT: what is no matrix does not decay."""
    groups: list[dict[str, Any]] = [{"params": [p for p in net.parameters() if p.ndim == 2]}]
    groups.append({"params": [p for p in net.parameters() if p.ndim < 2], "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
