"""Layers, losses and functions as code that PyTorch and Chainrule both run.

``make_torch_goldens.py`` runs it with PyTorch and stores the numbers; the tests run it with
Chainrule and compare. Inputs and parameters are drawn by NumPy from fixed seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import image_cases
import numpy as np
from case import Case, ignoring, labels, normal, signs, simplex, uniform

STEPS, RATE = 20, 0.01  # of gradient descent on all inputs and parameters


def is_descended(name: str) -> bool:
    """Whether the case is trained too: not at kinks, nor what would grow without bounds (no norm
    at its end), and losses by their mean only."""
    unfit = (", none", ", sum", ", batchmean", " norm first")
    return " at " not in name and not name.endswith(unfit)


X = normal(4, 6)
IMAGES = normal(2, 3, 4, 5)
VOLUMES = normal(2, 3, 2, 3, 2)
BAGS = labels(4, 3, n=7, seed=5)
LAYERS: dict[str, Case] = {
    "Linear": Case(lambda nn, T: nn.Linear(6, 3), (X,)),
    "Linear without bias": Case(lambda nn, T: nn.Linear(6, 3, bias=False), (X,)),
    "Linear of one vector": Case(lambda nn, T: nn.Linear(6, 3), (normal(6),)),
    "Linear with leading axes": Case(lambda nn, T: nn.Linear(6, 3), (normal(2, 3, 6),)),
    "Bilinear": Case(lambda nn, T: nn.Bilinear(6, 5, 3), (X, normal(4, 5))),
    "Embedding": Case(lambda nn, T: nn.Embedding(7, 3), (labels(4, 2, n=7),)),
    "Embedding with padding": Case(
        lambda nn, T: nn.Embedding(7, 3, padding_idx=2), (labels(4, 5, n=7),)
    ),
    "LayerNorm": Case(lambda nn, T: nn.LayerNorm(6), (X,)),
    "LayerNorm of two axes": Case(lambda nn, T: nn.LayerNorm((3, 4), eps=1e-3), (normal(2, 3, 4),)),
    "LayerNorm without bias": Case(lambda nn, T: nn.LayerNorm(6, bias=False), (X,)),
    "LayerNorm plain": Case(lambda nn, T: nn.LayerNorm(6, elementwise_affine=False), (X,)),
    "RMSNorm": Case(lambda nn, T: nn.RMSNorm(6), (X,)),
    "RMSNorm with eps": Case(lambda nn, T: nn.RMSNorm(6, eps=1e-2), (X,)),
    "GroupNorm": Case(lambda nn, T: nn.GroupNorm(3, 6), (normal(4, 6, 5),)),
    "GroupNorm of one group": Case(lambda nn, T: nn.GroupNorm(1, 6), (X,)),
    "BatchNorm1d": Case(lambda nn, T: nn.BatchNorm1d(6), (X,)),
    "BatchNorm1d of sequences": Case(
        lambda nn, T: nn.BatchNorm1d(6, momentum=0.3), (normal(4, 6, 5),)
    ),
    "BatchNorm1d averaging": Case(lambda nn, T: nn.BatchNorm1d(6, momentum=None), (X,)),
    "BatchNorm1d evaluation": Case(lambda nn, T: nn.BatchNorm1d(6), (X,), True),
    "BatchNorm1d untracked": Case(
        lambda nn, T: nn.BatchNorm1d(6, track_running_stats=False), (X,), True
    ),
    "BatchNorm1d plain": Case(lambda nn, T: nn.BatchNorm1d(6, affine=False), (X,)),
    "BatchNorm1d without bias": Case(lambda nn, T: nn.BatchNorm1d(6, bias=False), (X,)),
    "BatchNorm3d": Case(lambda nn, T: nn.BatchNorm3d(3, eps=1e-3), (VOLUMES,)),
    "GroupNorm without bias": Case(lambda nn, T: nn.GroupNorm(2, 6, bias=False), (X,)),
    "InstanceNorm1d": Case(lambda nn, T: nn.InstanceNorm1d(6), (normal(4, 6, 5),)),
    "InstanceNorm1d of one": Case(lambda nn, T: nn.InstanceNorm1d(6, affine=True), (normal(6, 5),)),
    "InstanceNorm2d tracked": Case(
        lambda nn, T: nn.InstanceNorm2d(3, 1e-3, 0.3, affine=True, track_running_stats=True),
        (IMAGES,),
    ),
    "InstanceNorm2d evaluation": Case(
        lambda nn, T: nn.InstanceNorm2d(3, affine=True, track_running_stats=True), (IMAGES,), True
    ),
    "InstanceNorm3d without bias": Case(
        lambda nn, T: nn.InstanceNorm3d(3, affine=True, bias=False), (VOLUMES,)
    ),
    "LocalResponseNorm": Case(lambda nn, T: nn.LocalResponseNorm(2), (IMAGES,)),
    "LocalResponseNorm strong": Case(
        lambda nn, T: nn.LocalResponseNorm(3, alpha=2.0, beta=0.6, k=0.5), (normal(2, 4, 3),)
    ),
    "Embedding frequencies": Case(
        lambda nn, T: nn.Embedding(7, 3, scale_grad_by_freq=True), (labels(4, 5, n=7),)
    ),
    "Embedding max_norm": Case(
        lambda nn, T: nn.Embedding(7, 3, max_norm=1.0, norm_type=1.5), (labels(4, 1, n=7),)
    ),
    "EmbeddingBag": Case(lambda nn, T: nn.EmbeddingBag(7, 3), (BAGS,)),
    "EmbeddingBag sum padding": Case(
        lambda nn, T: nn.EmbeddingBag(7, 3, mode="sum", padding_idx=int(BAGS[0, 0])), (BAGS,)
    ),
    "EmbeddingBag max": Case(lambda nn, T: nn.EmbeddingBag(7, 3, mode="max"), (BAGS,)),
    "EmbeddingBag offsets": Case(
        lambda nn, T: nn.EmbeddingBag(7, 3),
        (BAGS.ravel(), np.array([0, 2, 2, 7])),
    ),
    "EmbeddingBag max offsets": Case(
        lambda nn, T: nn.EmbeddingBag(7, 3, mode="max"), (BAGS.ravel(), np.array([0, 2, 2, 7]))
    ),
    "EmbeddingBag weights": Case(
        lambda nn, T: nn.EmbeddingBag(7, 3, mode="sum", include_last_offset=True),
        (BAGS.ravel(), np.array([0, 5, 12]), normal(12)),
    ),
    "CosineSimilarity": Case(lambda nn, T: nn.CosineSimilarity(), (X, normal(4, 6, seed=1))),
    "CosineSimilarity below eps": Case(
        lambda nn, T: nn.CosineSimilarity(dim=0, eps=0.5), (0.2 * X, normal(4, 6, seed=1))
    ),
    "PairwiseDistance": Case(lambda nn, T: nn.PairwiseDistance(), (X, normal(4, 6, seed=1))),
    "PairwiseDistance 1": Case(
        lambda nn, T: nn.PairwiseDistance(p=1.0, eps=1e-2, keepdim=True), (X, normal(4, 6, seed=1))
    ),
    "Softmax2d": Case(lambda nn, T: nn.Softmax2d(), (IMAGES,)),
    "BatchNorm2d": Case(lambda nn, T: nn.BatchNorm2d(3), (normal(2, 3, 4, 5),)),
    "Flatten": Case(lambda nn, T: nn.Flatten(), (normal(2, 3, 4),)),
    "Unflatten": Case(lambda nn, T: nn.Unflatten(1, (2, -1)), (X,)),
    "Identity": Case(lambda nn, T: nn.Identity(), (X,)),
    "Dropout evaluation": Case(lambda nn, T: nn.Dropout(0.5), (X,), True),
    "AlphaDropout evaluation": Case(lambda nn, T: nn.AlphaDropout(0.5), (X,), True),
    "FeatureAlphaDropout evaluation": Case(lambda nn, T: nn.FeatureAlphaDropout(0.5), (X,), True),
    "Dropout1d evaluation": Case(lambda nn, T: nn.Dropout1d(0.5), (X,), True),
    "Dropout2d evaluation": Case(lambda nn, T: nn.Dropout2d(0.5), (IMAGES,), True),
    "Dropout3d evaluation": Case(lambda nn, T: nn.Dropout3d(0.5), (VOLUMES,), True),
    "Sequential": Case(
        lambda nn, T: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, 2)),
        (X,),
    ),
}

LAYERS |= image_cases.LAYERS


def _adaptive(nn: Any, T: Callable[[np.ndarray], Any]) -> Any:
    """Its two outputs as one vector."""

    class Both(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.AdaptiveLogSoftmaxWithLoss(6, 9, [3, 5], div_value=1.5, head_bias=True)

        def forward(self, x: Any, y: Any) -> Any:
            found = self.inner(x, y)
            return found.output + found.loss

    return Both()


LAYERS["AdaptiveLogSoftmaxWithLoss"] = Case(_adaptive, (X, np.array([0, 8, 4, 3])))


def _attention(*args: Any, options: dict[str, Any] | None = None, **kwargs: Any) -> Any:
    """What makes a `MultiheadAttention` whose result holds the weights too, if it gives some."""

    def make(nn: Any, T: Callable[[np.ndarray], Any]) -> Any:
        class Attend(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.inner = nn.MultiheadAttention(*args, **kwargs)

            def forward(self, x: Any, *others: Any) -> Any:
                key, value = others or (x, x)
                given = dict(options or {})
                for name, mask in given.items():
                    if isinstance(mask, np.ndarray):
                        given[name] = T(mask) if mask.dtype == bool else T(mask).to(x.dtype)
                y, weights = self.inner(x, key, value, **given)
                y = nn.functional.tanh(y)  # 20 steps of descent stay where numbers are small
                return y if weights is None else y + (weights * weights).mean()

        return Attend()

    return make


LAYERS["MultiheadAttention"] = Case(_attention(6, 2), (0.3 * normal(5, 3, 6),))
LAYERS["MultiheadAttention of one"] = Case(
    _attention(6, 3, bias=False, options={"need_weights": False}), (normal(5, 6),)
)
LAYERS["MultiheadAttention across"] = Case(
    _attention(6, 2, kdim=4, vdim=5, options={"average_attn_weights": False}),
    (normal(5, 3, 6), normal(4, 3, 4), normal(4, 3, 5)),
)
LAYERS["MultiheadAttention masked"] = Case(
    _attention(
        6,
        2,
        batch_first=True,
        options={
            "attn_mask": np.triu(np.ones((5, 5), bool), 1),
            "key_padding_mask": np.arange(5) >= np.array([[5], [3], [4]]),
            "is_causal": True,
        },
    ),
    (normal(3, 5, 6),),
)
LAYERS["MultiheadAttention longer"] = Case(
    _attention(
        6,
        2,
        add_bias_kv=True,
        add_zero_attn=True,
        options={"attn_mask": normal(6, 5, 4), "key_padding_mask": normal(3, 4)},
    ),
    (normal(5, 3, 6), normal(4, 3, 6), normal(4, 3, 6, seed=1)),
)

SOURCE, MEMORY = 0.3 * normal(5, 3, 6), 0.3 * normal(4, 3, 6)
_FIRST: dict[str, Any] = {
    "dropout": 0.0,
    "activation": "gelu",
    "layer_norm_eps": 1e-3,
    "batch_first": True,
    "norm_first": True,
    "bias": False,
}
LAYERS |= {
    "TransformerEncoderLayer": Case(
        lambda nn, T: nn.TransformerEncoderLayer(6, 2, 5, 0.0), (SOURCE,)
    ),
    "TransformerEncoderLayer of one, masked, norm first": Case(
        lambda nn, T: nn.TransformerEncoderLayer(6, 3, 5, **_FIRST), (SOURCE[:, 0], normal(5, 5))
    ),
    "TransformerEncoderLayer evaluation": Case(
        lambda nn, T: nn.TransformerEncoderLayer(6, 2, 5, 0.3), (SOURCE,), True
    ),
    "TransformerDecoderLayer": Case(
        lambda nn, T: nn.TransformerDecoderLayer(6, 2, 5, 0.0), (SOURCE, MEMORY)
    ),
    "TransformerDecoderLayer norm first": Case(
        lambda nn, T: nn.TransformerDecoderLayer(6, 2, 5, **_FIRST),
        (SOURCE, normal(5, 2, 6)),
    ),
    "TransformerEncoder": Case(
        lambda nn, T: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(6, 2, 5, 0.0), 2, nn.LayerNorm(6)
        ),
        (SOURCE,),
    ),
    "TransformerDecoder": Case(
        lambda nn, T: nn.TransformerDecoder(nn.TransformerDecoderLayer(6, 2, 5, 0.0), 2),
        (SOURCE, MEMORY),
    ),
    "Transformer": Case(lambda nn, T: nn.Transformer(6, 2, 1, 1, 5, 0.0), (SOURCE, MEMORY)),
}

WIDE = np.concatenate([normal(3, 5) * 3, [[-0.5, 0.25, 4.5, -7.0, 30.0]]])
for _name, _make in {
    "ReLU": lambda nn: nn.ReLU(),
    "ReLU6": lambda nn: nn.ReLU6(),
    "LeakyReLU": lambda nn: nn.LeakyReLU(),
    "LeakyReLU 0.2": lambda nn: nn.LeakyReLU(0.2),
    "PReLU": lambda nn: nn.PReLU(),
    "PReLU by channel": lambda nn: nn.PReLU(5),
    "ELU": lambda nn: nn.ELU(),
    "ELU 0.5": lambda nn: nn.ELU(0.5),
    "SELU": lambda nn: nn.SELU(),
    "CELU": lambda nn: nn.CELU(),
    "CELU 2": lambda nn: nn.CELU(2.0),
    "GELU": lambda nn: nn.GELU(),
    "GELU tanh": lambda nn: nn.GELU(approximate="tanh"),
    "SiLU": lambda nn: nn.SiLU(),
    "Mish": lambda nn: nn.Mish(),
    "Sigmoid": lambda nn: nn.Sigmoid(),
    "LogSigmoid": lambda nn: nn.LogSigmoid(),
    "Hardsigmoid": lambda nn: nn.Hardsigmoid(),
    "Hardswish": lambda nn: nn.Hardswish(),
    "Hardtanh": lambda nn: nn.Hardtanh(),
    "Hardtanh wide": lambda nn: nn.Hardtanh(-2.0, 3.0),
    "Tanh": lambda nn: nn.Tanh(),
    "Tanhshrink": lambda nn: nn.Tanhshrink(),
    "Softplus": lambda nn: nn.Softplus(),
    "Softplus 2": lambda nn: nn.Softplus(2.0, 5.0),
    "Softsign": lambda nn: nn.Softsign(),
    "Softshrink": lambda nn: nn.Softshrink(),
    "Softshrink 0.7": lambda nn: nn.Softshrink(0.7),
    "Hardshrink": lambda nn: nn.Hardshrink(1.0),
    "Threshold": lambda nn: nn.Threshold(0.1, -20.0),
    "Softmax": lambda nn: nn.Softmax(dim=1),
    "Softmax of rows": lambda nn: nn.Softmax(dim=0),
    "LogSoftmax": lambda nn: nn.LogSoftmax(dim=-1),
    "Softmin": lambda nn: nn.Softmin(dim=1),
}.items():
    LAYERS[_name] = Case(lambda nn, T, make=_make: make(nn), (WIDE,))
LAYERS["RReLU evaluation"] = Case(lambda nn, T: nn.RReLU(0.1, 0.4), (WIDE,), True)
LAYERS["GLU"] = Case(lambda nn, T: nn.GLU(), (X,))
LAYERS["GLU of rows"] = Case(lambda nn, T: nn.GLU(dim=0), (X,))


def zoo(nn: Any, T: Callable[[np.ndarray], Any]) -> Any:
    """One module that holds every layer with parameters or buffers, by the name of its case."""
    layers = {name: case.make(nn, T) for name, case in LAYERS.items()}
    return nn.ModuleDict({n: m for n, m in layers.items() if list(m.state_dict())})


# Exactly at the kinks, where the choice of the derivative is PyTorch's.
KINKS = np.array([[-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0]])
for _name in (
    "ReLU",
    "ReLU6",
    "LeakyReLU",
    "ELU",
    "SELU",
    "CELU",
    "Hardtanh",
    "Hardsigmoid",
    "Softplus",
    "Softshrink",
    "Hardshrink",
    "Softsign",
    "LogSigmoid",
    "Tanhshrink",
    "PReLU",
):
    LAYERS[f"{_name} at kinks"] = Case(lambda nn, T, name=_name: getattr(nn, name)(), (KINKS,))

A, B = normal(5, 4), normal(5, 4, seed=1)
C = normal(6, 5, seed=2)  # logits
D = normal(2, 5, 3, 2, seed=3)  # logits with positions
Y, YD = labels(6, n=5), labels(2, 3, 2, n=5)
W = uniform(5, seed=4, low=0.2, high=2.0)
P = uniform(5, 4)
LOSSES: dict[str, Case] = {}


def _loss(
    name: str, make: Callable[..., Any], *inputs: np.ndarray, reductions: str = "none mean sum"
) -> None:
    for reduction in reductions.split():
        LOSSES[f"{name}, {reduction}"] = Case(
            lambda nn, T, make=make, reduction=reduction: make(nn, T, reduction), inputs
        )


_loss("MSELoss", lambda nn, T, r: nn.MSELoss(reduction=r), A, B)
_loss("L1Loss", lambda nn, T, r: nn.L1Loss(reduction=r), A, B)
_loss("SmoothL1Loss", lambda nn, T, r: nn.SmoothL1Loss(reduction=r), A, B)
_loss("SmoothL1Loss beta", lambda nn, T, r: nn.SmoothL1Loss(reduction=r, beta=0.3), A, B)
_loss("HuberLoss", lambda nn, T, r: nn.HuberLoss(reduction=r), A, B)
_loss("HuberLoss delta", lambda nn, T, r: nn.HuberLoss(reduction=r, delta=0.4), A, B)
_loss("CrossEntropyLoss", lambda nn, T, r: nn.CrossEntropyLoss(reduction=r), C, Y)
_loss("CrossEntropyLoss of one", lambda nn, T, r: nn.CrossEntropyLoss(reduction=r), C[0], Y[0])
_loss("CrossEntropyLoss large", lambda nn, T, r: nn.CrossEntropyLoss(reduction=r), 200 * C, Y)
_loss("CrossEntropyLoss weight", lambda nn, T, r: nn.CrossEntropyLoss(T(W), reduction=r), C, Y)
_loss(
    "CrossEntropyLoss ignore",
    lambda nn, T, r: nn.CrossEntropyLoss(reduction=r),
    C,
    ignoring(Y, -100),
)
_loss(
    "CrossEntropyLoss ignore 2 weight",
    lambda nn, T, r: nn.CrossEntropyLoss(T(W), ignore_index=2, reduction=r),
    C,
    ignoring(Y, 2),
)
_loss(
    "CrossEntropyLoss smooth",
    lambda nn, T, r: nn.CrossEntropyLoss(reduction=r, label_smoothing=0.1),
    C,
    Y,
)
_loss(
    "CrossEntropyLoss smooth weight ignore",
    lambda nn, T, r: nn.CrossEntropyLoss(T(W), reduction=r, label_smoothing=0.2),
    C,
    ignoring(Y, -100),
)
_loss("CrossEntropyLoss positions", lambda nn, T, r: nn.CrossEntropyLoss(T(W), reduction=r), D, YD)
_loss(
    "CrossEntropyLoss positions smooth",
    lambda nn, T, r: nn.CrossEntropyLoss(T(W), reduction=r, label_smoothing=0.1),
    D,
    YD,
)
_loss(
    "CrossEntropyLoss probabilities",
    lambda nn, T, r: nn.CrossEntropyLoss(reduction=r),
    C,
    simplex(6, 5),
)
_loss(
    "CrossEntropyLoss probabilities weight smooth",
    lambda nn, T, r: nn.CrossEntropyLoss(T(W), reduction=r, label_smoothing=0.1),
    D,
    simplex(2, 5, 3, 2),
)
_loss("NLLLoss", lambda nn, T, r: nn.NLLLoss(reduction=r), C, Y)
_loss(
    "NLLLoss weight ignore",
    lambda nn, T, r: nn.NLLLoss(T(W), ignore_index=-1, reduction=r),
    D,
    ignoring(YD, -1),
)
_loss("BCELoss", lambda nn, T, r: nn.BCELoss(reduction=r), P, uniform(5, 4, seed=1))
_loss(
    "BCELoss weight",
    lambda nn, T, r: nn.BCELoss(T(uniform(4)), reduction=r),
    P,
    uniform(5, 4, seed=1),
)
_loss(
    "BCELoss at the ends",
    lambda nn, T, r: nn.BCELoss(reduction=r),
    np.array([0.0, 0.0, 1.0, 1.0]),
    np.array([0.0, 1.0, 0.0, 1.0]),
)
_loss("BCEWithLogitsLoss", lambda nn, T, r: nn.BCEWithLogitsLoss(reduction=r), 9 * A, uniform(5, 4))
_loss(
    "BCEWithLogitsLoss weights",
    lambda nn, T, r: nn.BCEWithLogitsLoss(
        T(uniform(5, 1)), reduction=r, pos_weight=T(uniform(4, high=3.0))
    ),
    A,
    uniform(5, 4),
)
_loss(
    "KLDivLoss",
    lambda nn, T, r: nn.KLDivLoss(reduction=r),
    A,
    uniform(5, 4),
    reductions="none mean sum batchmean",
)
_loss(
    "KLDivLoss log target",
    lambda nn, T, r: nn.KLDivLoss(reduction=r, log_target=True),
    A,
    B,
    reductions="none mean sum batchmean",
)
_loss("PoissonNLLLoss", lambda nn, T, r: nn.PoissonNLLLoss(reduction=r), A, labels(5, 4, n=5) * 1.0)
_loss(
    "PoissonNLLLoss full rate",
    lambda nn, T, r: nn.PoissonNLLLoss(False, True, reduction=r),
    P,
    labels(5, 4, n=5) * 1.0,
)
_loss("GaussianNLLLoss", lambda nn, T, r: nn.GaussianNLLLoss(reduction=r), A, B, uniform(5, 4))
_loss(
    "GaussianNLLLoss full",
    lambda nn, T, r: nn.GaussianNLLLoss(full=True, eps=0.5, reduction=r),
    A,
    B,
    uniform(5, 1),
)
_loss(
    "CosineEmbeddingLoss", lambda nn, T, r: nn.CosineEmbeddingLoss(0.1, reduction=r), A, B, signs(5)
)
_loss(
    "TripletMarginLoss",
    lambda nn, T, r: nn.TripletMarginLoss(reduction=r),
    A,
    B,
    normal(5, 4, seed=2),
)
_loss(
    "TripletMarginLoss swap",
    lambda nn, T, r: nn.TripletMarginLoss(2.0, p=1.0, swap=True, reduction=r),
    A,
    B,
    normal(5, 4, seed=2),
)
_loss(
    "MarginRankingLoss", lambda nn, T, r: nn.MarginRankingLoss(0.2, reduction=r), A, B, signs(5, 4)
)
_loss("HingeEmbeddingLoss", lambda nn, T, r: nn.HingeEmbeddingLoss(reduction=r), A, signs(5, 4))
_loss("SoftMarginLoss", lambda nn, T, r: nn.SoftMarginLoss(reduction=r), A, signs(5, 4))
_loss(
    "MultiLabelSoftMarginLoss",
    lambda nn, T, r: nn.MultiLabelSoftMarginLoss(T(uniform(4)), reduction=r),
    A,
    labels(5, 4, n=2) * 1.0,
)
_loss("MultiMarginLoss", lambda nn, T, r: nn.MultiMarginLoss(reduction=r), C, Y)
_loss(
    "MultiMarginLoss squared", lambda nn, T, r: nn.MultiMarginLoss(2, 0.7, T(W), reduction=r), C, Y
)
_loss(
    "MultiLabelMarginLoss",
    lambda nn, T, r: nn.MultiLabelMarginLoss(reduction=r),
    normal(3, 4),
    np.array([[3, 0, -1, 1], [-1, 2, 1, 0], [0, 1, 2, 3]]),
)
_loss(
    "TripletMarginWithDistanceLoss",
    lambda nn, T, r: nn.TripletMarginWithDistanceLoss(reduction=r),
    A,
    B,
    normal(5, 4, seed=2),
)
_loss(
    "TripletMarginWithDistanceLoss swap",
    lambda nn, T, r: nn.TripletMarginWithDistanceLoss(
        distance_function=lambda a, b: (a - b).abs().sum(-1), margin=2.0, swap=True, reduction=r
    ),
    A,
    B,
    normal(5, 4, seed=2),
)


def _function(name: str, call: Callable[..., Any], *inputs: np.ndarray) -> None:
    """A case of ``nn.functional``: call(F, T, *inputs)."""

    def make(nn: Any, T: Callable[[np.ndarray], Any]) -> Any:
        class Call(nn.Module):  # type: ignore[misc]
            def forward(self, *given: Any) -> Any:
                return call(nn.functional, T, *given)

        return Call()

    FUNCTIONS[name] = Case(make, inputs)


FUNCTIONS: dict[str, Case] = dict(image_cases.FUNCTIONS)
_function("normalize", lambda F, T, x: F.normalize(x), X)
_function("normalize 1", lambda F, T, x: F.normalize(x, p=1.0, dim=0, eps=5.0), X)
_function("pdist", lambda F, T, x: F.pdist(x), X)
_function("pdist 3", lambda F, T, x: F.pdist(x, 3.0), X)
for _r in ("none", "mean", "sum"):
    for _f in ("mse_loss", "l1_loss", "huber_loss"):
        _function(
            f"{_f} weight, {_r}",
            lambda F, T, x, y, f=_f, r=_r: getattr(F, f)(x, y, reduction=r, weight=T(P)),
            A,
            B,
        )
QUERIES, KEYS, VALUES = normal(2, 4, 3, 6), normal(2, 4, 5, 6, seed=1), normal(2, 4, 5, 7, seed=2)
SEEN = np.tri(3, 5, 2, dtype=bool)
for _name, _options in {
    "": {},
    " seen": {"attn_mask": SEEN},
    " seen nowhere": {"attn_mask": SEEN & (np.arange(3) != 1)[:, None]},
    " numbers": {"attn_mask": normal(4, 3, 5), "scale": 0.3},
    " causal": {"is_causal": True},
}.items():
    _function(
        f"scaled_dot_product_attention{_name}",
        lambda F, T, q, k, v, options=_options: F.scaled_dot_product_attention(
            q, k, v, **{n: T(o) if isinstance(o, np.ndarray) else o for n, o in options.items()}
        ),
        QUERIES,
        KEYS,
        VALUES,
    )
_function(
    "scaled_dot_product_attention shared heads",
    lambda F, T, q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
    QUERIES,
    KEYS[:, :2],
    VALUES[:, :2],
)
