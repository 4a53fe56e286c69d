"""Mistakes with layers, losses and optimizers: every message in full."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import errors, nn, optim
from chainrule.nn import functional as F
from chainrule.optim import lr_scheduler as s

z = cr.zeros
net = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(30, 10))


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter([1.0])]


def sgd() -> optim.SGD:
    return optim.SGD(parameters())


MISTAKES: dict[str, tuple[Callable[[], Any], str, str]] = {
    "features": (
        lambda: net(z(2, 3, 4, 4)),
        "ShapeError",
        "Linear(30, 10) `net[2]` (file:line) expects 30 features, got 48 = 3·4·4\n    from Flatten "
        "`net[1]`, input (batch, 3, 4, 4)\n    set in_features=48",
    ),
    "features not flattened": (
        lambda: nn.Linear(12, 2)(z(5, 3, 4)),
        "ShapeError",
        "Linear(12, 2) (file:line) expects 12 features, got 4\n    input (5, 3, 4): put "
        "nn.Flatten() before it",
    ),
    "float64 input": (
        lambda: nn.Linear(2, 1)(np.zeros((1, 2))),
        "DTypeError",
        "Linear(2, 1) (file:line) has float32 weights, got float64 input: convert the input with "
        "x.to('float32'), or the model with .to('float64')",
    ),
    "embedding range": (
        lambda: nn.Embedding(10, 2)(cr.tensor([[1, 2], [10, 3]])),
        "OutOfRangeError",
        "embedding: index 10 at position (1, 0) is outside the table of 10 rows (0 … 9)\n    in "
        "Embedding(10, 2) (file:line), called with int64[2, 2]",
    ),
    "embedding floats": (
        lambda: nn.Embedding(10, 2)(z(3)),
        "DTypeError",
        "embedding expects integer indices, got float32; convert them with .long()\n    in "
        "Embedding(10, 2) (file:line), called with float32[3]",
    ),
    "attention heads": (
        lambda: nn.MultiheadAttention(10, 3),
        "OptionError",
        "MultiheadAttention: embed_dim=10 is no multiple of num_heads=3",
    ),
    "attention features": (
        lambda: nn.MultiheadAttention(8, 2, kdim=4)(z(5, 3, 8), z(5, 3, 8), z(5, 3, 8)),
        "ShapeError",
        "MultiheadAttention expects the key as (length, batch, 4) or (length, 4), all three alike, "
        "got (5, 3, 8)"
        "\n    in MultiheadAttention (file:line), called with "
        "float32[5, 3, 8], float32[5, 3, 8], float32[5, 3, 8]",
    ),
    "attention lengths": (
        lambda: nn.MultiheadAttention(8, 2)(z(5, 3, 8), z(4, 3, 8), z(6, 3, 8)),
        "ShapeError",
        "MultiheadAttention: key and value have one length and all three one batch size, got "
        "(5, 3, 8), (4, 3, 8), (6, 3, 8)"
        "\n    in MultiheadAttention (file:line), called with "
        "float32[5, 3, 8], float32[4, 3, 8], float32[6, 3, 8]",
    ),
    "attention mask": (
        lambda: nn.MultiheadAttention(8, 2)(z(5, 3, 8), z(4, 3, 8), z(4, 3, 8), attn_mask=z(5, 5)),
        "ShapeError",
        "MultiheadAttention: attn_mask has the shape (5, 4) or (6, 5, 4), got (5, 5)"
        "\n    in MultiheadAttention (file:line), called with "
        "float32[5, 3, 8], float32[4, 3, 8], float32[4, 3, 8]",
    ),
    "attention padding": (
        lambda: nn.MultiheadAttention(8, 2)(
            z(5, 3, 8), z(4, 3, 8), z(4, 3, 8), key_padding_mask=cr.zeros(3, 4, dtype="int32")
        ),
        "DTypeError",
        "MultiheadAttention: key_padding_mask has bools or floats, got int32"
        "\n    in MultiheadAttention (file:line), called with "
        "float32[5, 3, 8], float32[4, 3, 8], float32[4, 3, 8]",
    ),
    "attention hint": (
        lambda: nn.MultiheadAttention(8, 2)(*[z(5, 3, 8)] * 3, is_causal=True),
        "OptionError",
        "MultiheadAttention: is_causal is a hint about attn_mask; give the mask too"
        "\n    in MultiheadAttention (file:line), called with "
        "float32[5, 3, 8], float32[5, 3, 8], float32[5, 3, 8]",
    ),
    "attention sizes": (
        lambda: F.scaled_dot_product_attention(z(3, 4), z(5, 6), z(5, 6)),
        "ShapeError",
        "scaled_dot_product_attention expects query (..., L, E), key (..., S, E) and value "
        "(..., S, Ev), got (3, 4), (5, 6) and (5, 6)",
    ),
    "attention types": (
        lambda: F.scaled_dot_product_attention(z(3, 4), z(5, 4), np.zeros((5, 4))),
        "DTypeError",
        "scaled_dot_product_attention expects three arrays of one float type, got float32, float32 "
        "and float64",
    ),
    "attention two masks": (
        lambda: F.scaled_dot_product_attention(
            z(3, 4), z(5, 4), z(5, 4), attn_mask=z(3, 5), is_causal=True
        ),
        "OptionError",
        "scaled_dot_product_attention: is_causal makes the mask; leave attn_mask out",
    ),
    "attention mask shape": (
        lambda: F.scaled_dot_product_attention(z(3, 4), z(5, 4), z(5, 4), attn_mask=z(5, 3)),
        "ShapeError",
        "an attention mask is broadcast to (..., queries, keys) = (3, 5), got (5, 3)",
    ),
    "attention mask of integers": (
        lambda: F.scaled_dot_product_attention(
            z(3, 4), z(5, 4), z(5, 4), attn_mask=np.ones((3, 5), int)
        ),
        "DTypeError",
        "an attention mask has bools or floats, got int64",
    ),
    "attention shared heads": (
        lambda: F.scaled_dot_product_attention(z(4, 3, 6), z(3, 5, 6), z(3, 5, 6), enable_gqa=True),
        "ShapeError",
        "scaled_dot_product_attention: with enable_gqa the query heads (axis -3) are a multiple of "
        "those of the key, got (4, 3, 6) and (3, 5, 6)",
    ),
    "transformer activation": (
        lambda: nn.TransformerEncoderLayer(8, 2, activation="swish"),
        "OptionError",
        "TransformerEncoderLayer: activation is 'relu', 'gelu' or a function, got 'swish'",
    ),
    "transformer features": (
        lambda: nn.Transformer(8, 2, 1, 1, 16)(z(5, 3, 8), z(5, 3, 6)),
        "ShapeError",
        "Transformer expects tgt with 8 features, as one sequence or a batch of them, got "
        "(5, 3, 6)"
        "\n    in Transformer (file:line), called with float32[5, 3, 8], float32[5, 3, 6]",
    ),
    "transformer layers": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 0),
        "OptionError",
        "TransformerEncoder: num_layers must be an integer ≥ 1, got 0",
    ),
    "batchnorm shape": (
        lambda: nn.BatchNorm1d(3)(z(2, 4)),
        "ShapeError",
        "BatchNorm1d(3) (file:line) expects (batch, 3) or (batch, 3, n), got (2, 4)\n    "
        "set num_features=4",
    ),
    "batchnorm of one": (
        lambda: nn.BatchNorm1d(3)(z(1, 3)),
        "DataError",
        "batch_norm in training needs more than one value per channel, got an input of shape (1, "
        "3); use a larger batch, or .eval()\n    in BatchNorm1d(3) (file:line), called with "
        "float32[1, 3]",
    ),
    "layernorm shape": (
        lambda: nn.LayerNorm(3)(z(2, 4)),
        "ShapeError",
        "layer_norm normalizes the last axes (3,), the input has shape (2, 4)\n    in LayerNorm "
        "(file:line), called with float32[2, 4]",
    ),
    "groups": (
        lambda: nn.GroupNorm(4, 6),
        "OptionError",
        "GroupNorm: num_channels=6 cannot be divided into num_groups=4",
    ),
    "unflatten": (
        lambda: nn.Unflatten(1, (2, 4))(z(2, 6)),
        "ShapeError",
        "unflatten: axis 1 has length 6, which is not the product of (2, 4)\n    in Unflatten "
        "(file:line), called with float32[2, 6]",
    ),
    "prelu": (
        lambda: nn.PReLU(3)(z(2, 4)),
        "ShapeError",
        "prelu: weight has 3 slopes, the input (2, 4) has 4 channels; set num_parameters=4 or "
        "1\n    in PReLU (file:line), called with float32[2, 4]",
    ),
    "glu": (
        lambda: F.glu(z(2, 3)),
        "ShapeError",
        "glu halves axis -1: its length must be even, got shape (2, 3)",
    ),
    "softmax axis": (
        lambda: nn.Softmax()(z(2, 3, 4)),
        "OptionError",
        "softmax: say which axis sums to 1, as in dim=-1; the input has 3 axes: (2, 3, 4)\n    in "
        "Softmax (file:line), called with float32[2, 3, 4]",
    ),
    "sequential list": (
        lambda: nn.Sequential([nn.ReLU()]),
        "OptionError",
        "Sequential takes its layers one by one: write nn.Sequential(*layers)",
    ),
    "sequential class": (
        lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU),
        "OptionError",
        "Sequential: entry 1 must be an nn.Module, got ReLU; call it: add ()",
    ),
    "no forward": (
        lambda: nn.Module()(1),
        "NotImplementedError",
        "Module has no forward method; define forward(self, x)",
    ),
    "label range": (
        lambda: F.cross_entropy(z(4, 3), cr.tensor([0, 1, 3, 2])),
        "OutOfRangeError",
        "cross_entropy: label 3 at position (2,), but the input has 3 classes (0 … 2)",
    ),
    "labels from 1": (
        lambda: F.cross_entropy(z(3, 3), cr.tensor([1, 2, 3])),
        "OutOfRangeError",
        "cross_entropy: label 3 at position (2,), but the input has 3 classes (0 … 2); labels "
        "count from 0: subtract 1",
    ),
    "negative label": (
        lambda: F.cross_entropy(z(3, 3), cr.tensor([0, -1, 2])),
        "OutOfRangeError",
        "cross_entropy: label -1 at position (1,), but the input has 3 classes (0 … 2)",
    ),
    "one class": (
        lambda: F.cross_entropy(z(3, 1), cr.tensor([0, 1, 0])),
        "OutOfRangeError",
        "cross_entropy: label 1 at position (1,), but the input has 1 classes (0 … 0); with one "
        "output use binary_cross_entropy_with_logits (nn.BCEWithLogitsLoss)",
    ),
    "float labels": (
        lambda: F.cross_entropy(z(3, 3), z(3)),
        "DTypeError",
        "cross_entropy: class labels are integers of shape (3,), got float32[3]; convert them with "
        ".long(), or give probabilities of the input's shape (3, 3)",
    ),
    "int one-hot": (
        lambda: F.cross_entropy(z(3, 3), z(3, 3).long()),
        "ShapeError",
        "cross_entropy: for an input of shape (3, 3) the labels have shape (3,), got (3, 3); for "
        "one-hot or probability targets convert them with .float()",
    ),
    "labels with an axis": (
        lambda: F.cross_entropy(z(3, 3), z(3, 1).long()),
        "ShapeError",
        "cross_entropy: for an input of shape (3, 3) the labels have shape (3,), got (3, 1); "
        "remove the last axis with .squeeze(-1)",
    ),
    "class weights": (
        lambda: F.cross_entropy(z(3, 3), z(3).long(), cr.ones(2)),
        "ShapeError",
        "cross_entropy: weight has one entry per class, (3,), got shape (2,)",
    ),
    "smoothing": (
        lambda: nn.CrossEntropyLoss(label_smoothing=1.5),
        "OptionError",
        "CrossEntropyLoss: label_smoothing must be a number in [0, 1], got 1.5",
    ),
    "reduction": (
        lambda: nn.MSELoss(reduction="avg"),
        "OptionError",
        "MSELoss: reduction must be 'none', 'mean' or 'sum', got 'avg'",
    ),
    "int logits": (
        lambda: F.cross_entropy(z(3, 3).long(), z(3).long()),
        "DTypeError",
        "cross_entropy expects a float tensor, got int64; convert it with .float()",
    ),
    "mse shapes": (
        lambda: F.mse_loss(z(4, 1), z(4)),
        "ShapeError",
        "mse_loss: the input has shape (4, 1), the target (4,); write target.reshape(4, 1), or "
        "reshape the input",
    ),
    "mse shapes other": (
        lambda: F.mse_loss(z(4, 2), z(4, 3)),
        "ShapeError",
        "mse_loss: the input has shape (4, 2), the target (4, 3)",
    ),
    "nan target": (
        lambda: F.mse_loss(z(3), cr.tensor([1.0, float("nan"), 2.0])),
        "DataError",
        "mse_loss: the target is nan at position (1,) (1 of 3 elements are not finite); clean the "
        "data first",
    ),
    "bce logits as probabilities": (
        lambda: F.binary_cross_entropy(cr.tensor([0.5, 3.0]), cr.tensor([0.0, 1.0])),
        "DataError",
        "binary_cross_entropy: the input must be in [0, 1], got 3 at position (1,); for logits use "
        "binary_cross_entropy_with_logits (nn.BCEWithLogitsLoss)",
    ),
    "bce target": (
        lambda: F.binary_cross_entropy(cr.tensor([0.5]), cr.tensor([2.0])),
        "DataError",
        "binary_cross_entropy: the target must be in [0, 1], got 2 at position (0,); targets are "
        "0, 1 or a probability",
    ),
    "signs": (
        lambda: F.hinge_embedding_loss(z(2), cr.tensor([0.0, 1.0])),
        "DataError",
        "hinge_embedding_loss: targets are 1 or -1, got 0",
    ),
    "dropout p": (
        lambda: nn.Dropout(1.5),
        "OptionError",
        "Dropout: p must be a number in [0, 1], got 1.5",
    ),
    "linear features": (
        lambda: nn.Linear(0, 2),
        "OptionError",
        "Linear: in_features must be an integer ≥ 1, got 0",
    ),
    "gelu": (
        lambda: nn.GELU(approximate="erf"),
        "OptionError",
        "GELU: approximate must be 'none' or 'tanh', got 'erf'",
    ),
    "state dict": (
        lambda: nn.Linear(3, 2).load_state_dict({"weight": np.zeros((2, 4)), "biass": np.zeros(2)}),
        "CheckpointError",
        "this state dict does not fit Linear:\n    missing keys: bias\n    unexpected keys: "
        "biass\n    shapes differ:\n      weight: the model has (2, 3), the state dict (2, 4)",
    ),
    "parameter of ints": (
        lambda: nn.Parameter([1, 2]),
        "GradientError",
        "nn.Parameter: only float tensors have gradients, this one is int64; convert it with "
        ".float(), or say requires_grad=False",
    ),
    "parameter replaced": (
        lambda: setattr(nn.Linear(2, 1), "weight", z(1, 2)),
        "TypeError",
        "Linear.weight is a parameter: assign an nn.Parameter or None, got Tensor (to change its "
        "numbers: .weight.assign(value))",
    ),
    "init gain": (
        lambda: nn.init.calculate_gain("gelu"),
        "OptionError",
        "calculate_gain: nonlinearity must be one of linear, identity, sigmoid, tanh, relu, selu, "
        "conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d, leaky_relu, "
        "got 'gelu'",
    ),
    "init fan": (
        lambda: nn.init.xavier_uniform_(z(3)),
        "ShapeError",
        "fan-in and fan-out need a weight of at least 2 axes (out, in, ...), got (3,)",
    ),
    "kaiming mode": (
        lambda: nn.init.kaiming_normal_(z(3, 3), mode="fan"),
        "OptionError",
        "kaiming_normal_: mode must be 'fan_in' or 'fan_out', got 'fan'",
    ),
    "lr": (
        lambda: optim.SGD(parameters(), lr=-0.1),
        "OptionError",
        "SGD: lr must be a number ≥ 0, got -0.1",
    ),
    "betas": (
        lambda: optim.Adam(parameters(), betas=(0.9, 1.0)),
        "OptionError",
        "Adam: betas must be a pair, each a number in [0, 1), got (0.9, 1.0)",
    ),
    "nesterov": (
        lambda: optim.SGD(parameters(), nesterov=True),
        "OptionError",
        "SGD: nesterov=True needs momentum > 0 and dampening = 0, got momentum=0, dampening=0",
    ),
    "no parameters": (
        lambda: optim.SGD([]),
        "OptionError",
        "SGD: the list of parameters is empty (an iterator like model.parameters() can be used "
        "once)",
    ),
    "module": (
        lambda: optim.SGD(nn.Linear(1, 1)),
        "OptionError",
        "SGD: params is a list of parameters, got a module; write model.parameters()",
    ),
    "method": (
        lambda: optim.SGD(nn.Linear(1, 1).parameters),
        "OptionError",
        "SGD: params is a method; call it: model.parameters()",
    ),
    "one tensor": (
        lambda: optim.SGD(nn.Parameter([1.0])),
        "OptionError",
        "SGD: params is a list of parameters, got one tensor; write [parameter]",
    ),
    "numbers": (lambda: optim.SGD([1.0]), "OptionError", "SGD: parameters are tensors, got float"),
    "twice": (
        lambda: (lambda p: optim.SGD([p, p]))(nn.Parameter([1.0])),
        "OptionError",
        "SGD: a parameter of shape (1,) occurs twice",
    ),
    "not a leaf": (
        lambda: optim.SGD([nn.Parameter([1.0]) * 2]),
        "OptionError",
        "SGD: cannot change a tensor that was computed from others (not a leaf)",
    ),
    "muon": (
        lambda: optim.Muon(parameters()),
        "ShapeError",
        "Muon changes matrices only, got a parameter of shape (1,); give the others (biases, "
        "norms, embeddings) to AdamW",
    ),
    "etas": (
        lambda: optim.Rprop(parameters(), etas=(1.2, 0.5)),
        "OptionError",
        "Rprop: etas must be a pair (below 1, above 1), got (1.2, 0.5)",
    ),
    "lr later": (
        lambda: optim.SGD(parameters(), lr=0.1).param_groups[0].__setitem__("lr", -1),
        "OptionError",
        "SGD: lr must be a number ≥ 0, got -1",
    ),
    "optimizer state": (
        lambda: optim.SGD(parameters(), momentum=0.9).load_state_dict(
            optim.Adam(parameters()).state_dict()
        ),
        "CheckpointError",
        "SGD: the state of parameter 0 has exp_avg, exp_avg_sq, expected momentum_buffer; was it "
        "saved by another optimizer, or with other options?",
    ),
    "optimizer state shape": (
        lambda: optim.Adam(parameters()).load_state_dict(
            optim.Adam([nn.Parameter([1.0, 2.0])]).state_dict()
        ),
        "CheckpointError",
        "Adam: exp_avg of parameter 0 has shape (2,) in the state, here (1,)",
    ),
    "optimizer groups": (
        lambda: optim.Adam(parameters()).load_state_dict(
            optim.Adam([{"params": parameters()}, {"params": parameters()}]).state_dict()
        ),
        "CheckpointError",
        "Adam: the state has 2 parameter groups, this one 1",
    ),
    "lbfgs closure": (
        lambda: optim.LBFGS(parameters()).step(),
        "OptionError",
        "LBFGS: step needs a closure that computes the loss and its gradients",
    ),
    "lbfgs compiled": (
        lambda: cr.compile(lambda: optim.LBFGS(parameters()).step(lambda: None))(),
        "CompileError",
        "LBFGS looks at values to choose its steps, so it cannot run inside a compiled function; "
        "compile the closure's loss instead",
    ),
    "schedule of no optimizer": (
        lambda: s.StepLR(parameters(), 3),
        "OptionError",
        "StepLR: the first argument is an optimizer, got list",
    ),
    "gamma": (
        lambda: s.ExponentialLR(sgd(), -1),
        "OptionError",
        "ExponentialLR: gamma must be a number ≥ 0, got -1",
    ),
    "total steps": (
        lambda: s.OneCycleLR(sgd(), 0.1),
        "OptionError",
        "OneCycleLR: give total_steps, or epochs and steps_per_epoch",
    ),
    "cycle momentum": (
        lambda: s.OneCycleLR(sgd(), 0.1, 10),
        "OptionError",
        "OneCycleLR: cycle_momentum=True needs an optimizer with momentum or betas: give it "
        "momentum=0.9, or the schedule cycle_momentum=False",
    ),
    "milestones": (
        lambda: (lambda o: s.SequentialLR(o, [s.StepLR(o, 1), s.StepLR(o, 2)], []))(sgd()),
        "OptionError",
        "SequentialLR: 2 schedules need 1 milestones, got 0",
    ),
    "plateau": (
        lambda: s.ReduceLROnPlateau(sgd()).step(),
        "OptionError",
        "ReduceLROnPlateau: step needs the metric to watch: scheduler.step(validation_loss)",
    ),
    "clip": (
        lambda: nn.utils.clip_grad_norm_(parameters(), -1),
        "OptionError",
        "clip_grad_norm_: max_norm must be a number ≥ 0, got -1",
    ),
    "summary": (
        lambda: nn.summary(nn.Linear(2, 1), 2),
        "OptionError",
        "summary: input_shape is a tuple like (1, 784), got 2",
    ),
    "option of an activation": (
        lambda: nn.Tanh(dim=1),
        "TypeError",
        "OfFunction.__init__() got an unexpected keyword argument 'dim'",
    ),
    "cutoffs": (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 10, [5, 3]),
        "OptionError",
        "AdaptiveLogSoftmaxWithLoss: cutoffs are whole numbers that rise from at least 1 to below "
        "n_classes=10, got [5, 3]",
    ),
    "narrow cluster": (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 10, [2, 4]),
        "OptionError",
        "AdaptiveLogSoftmaxWithLoss: cluster 1 would have 8 // 4^2 = 0 features; use a smaller "
        "div_value or fewer cutoffs",
    ),
    "device": (
        lambda: nn.Linear(2, 1, device="cuda"),
        "OptionError",
        "device 'cuda': Chainrule runs on the CPU; leave the argument out",
    ),
    "device later": (
        lambda: nn.Linear(2, 1).to("cuda:0"),
        "OptionError",
        "device 'cuda:0': Chainrule runs on the CPU; leave the argument out",
    ),
    "cuda": (
        lambda: nn.Linear(2, 1).cuda(),
        "OptionError",
        "device 'cuda': Chainrule runs on the CPU; leave the argument out",
    ),
    "slopes": (
        lambda: nn.RReLU(0.5, 0.2),
        "OptionError",
        "RReLU: lower must be at most upper, got 0.5 and 0.2",
    ),
    "sparse": (
        lambda: nn.Embedding(3, 2, sparse=True),
        "OptionError",
        "Embedding: sparse=True is not possible, gradients are dense here; leave it out",
    ),
    "bag offsets": (
        lambda: F.embedding_bag(cr.tensor([0, 1]), z(3, 2), cr.tensor([1, 2])),
        "DataError",
        "embedding_bag: offsets begin with 0, do not fall, and are at most the number of indices "
        "2, got [1, 2]",
    ),
    "bag without offsets": (
        lambda: nn.EmbeddingBag(3, 2)(cr.tensor([0, 1])),
        "OptionError",
        "embedding_bag: a vector of indices needs offsets, where each bag begins\n    in "
        "EmbeddingBag (file:line), called with int64[2]",
    ),
    "bag weights": (
        lambda: F.embedding_bag(cr.tensor([[0]]), z(3, 2), per_sample_weights=z(1, 1)),
        "OptionError",
        "embedding_bag: per_sample_weights are for mode='sum', got mode='mean'",
    ),
    "instance of one pixel": (
        lambda: nn.InstanceNorm1d(3)(z(2, 3, 1)),
        "DataError",
        "instance_norm needs more than one value per channel of an example, got an input of shape "
        "(2, 3, 1)\n    in InstanceNorm1d(3) (file:line), called with float32[2, 3, 1]",
    ),
    "instance shape": (
        lambda: nn.InstanceNorm2d(3)(z(2, 3, 4)),
        "ShapeError",
        "InstanceNorm2d(3) (file:line) expects (batch, 3, n, n), or that without the batch, got "
        "(2, 3, 4)",
    ),
    "channels to drop": (
        lambda: nn.Dropout3d()(z(2, 3)),
        "ShapeError",
        "dropout3d expects 4 or 5 axes (channels, ...), got (2, 3)\n    in Dropout3d (file:line), "
        "called with float32[2, 3]",
    ),
    "loss weight": (
        lambda: F.mse_loss(z(2, 2), z(2, 2), weight=z(2)),
        "ShapeError",
        "mse_loss: the input has shape (2, 2), the weight (2,)",
    ),
    "differentiable": (
        lambda: optim.Adam(parameters(), differentiable=True),
        "OptionError",
        "Adam: differentiable=True is not possible, for step changes parameters in place; write "
        "the update as a function of the parameters and use chainrule.grad of it",
    ),
    "option of an optimizer": (
        lambda: optim.SGD(parameters(), learning_rate=0.1),
        "TypeError",
        "SGD: there is no option 'learning_rate'",
    ),
    "group option": (
        lambda: optim.SGD([{"params": parameters(), "weigth_decay": 0.1}]),
        "OptionError",
        "SGD: a parameter group has the key 'weigth_decay'; is it 'weight_decay'?",
    ),
    "adafactor eps": (
        lambda: optim.Adafactor(parameters(), eps=1e-3),
        "OptionError",
        "Adafactor: eps must be a pair (a number ≥ 0 or None, a number ≥ 0), got 0.001",
    ),
    "rates of groups": (
        lambda: s.CyclicLR(sgd(), [0.1, 0.2], 1.0),
        "OptionError",
        "CyclicLR: base_lr has 2 values, the optimizer 1 groups",
    ),
    "two averages": (
        lambda: optim.swa_utils.AveragedModel(
            nn.Linear(1, 1), avg_fn=lambda a, b, n: a, multi_avg_fn=lambda a, b, n: None
        ),
        "OptionError",
        "AveragedModel: give avg_fn or multi_avg_fn, not both",
    ),
    "eval mode": (
        lambda: nn.Linear(1, 1).train("yes"),
        "OptionError",
        "train(mode) expects True or False, got 'yes'",
    ),
}


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_message(mistake: str) -> None:
    make, kind, message = MISTAKES[mistake]
    with pytest.raises(Exception) as caught:
        make()
    assert type(caught.value).__name__ == kind
    if kind not in ("TypeError", "NotImplementedError"):
        assert isinstance(caught.value, errors.ChainruleError)
    assert re.sub(r"\(\w+\.py:\d+\)", "(file:line)", str(caught.value)) == message


LABEL_LOSSES = [F.cross_entropy, F.nll_loss, F.multi_margin_loss]


@pytest.mark.parametrize("loss", LABEL_LOSSES)
@pytest.mark.parametrize("wrong", [2, -1, 2**32, 2**32 + 1, 2**32 - 100, -(2**32)])
def test_a_label_out_of_range_in_a_compiled_function_is_refused_when_it_has_run(loss, wrong):
    compiled = cr.compile(lambda x, y: loss(x, y))
    with pytest.raises(errors.OutOfRangeError) as caught:
        compiled(z(3, 2), cr.tensor([0, wrong, 1]))
    assert re.sub(r"\w+\.py:\d+", "file:line", str(caught.value)) == (
        f"{loss.__name__}: label {wrong}, but the input has 2 classes (0 … 1)"
        "\n    at file:line: `compiled = cr.compile(lambda x, y: loss(x, y))`"
        "\n    found when compiled <lambda> had run"
    )
    assert compiled(z(3, 2), cr.tensor([0, 1, 1])).item() == pytest.approx(
        loss(z(3, 2), cr.tensor([0, 1, 1])).item()
    )


def test_labels_of_32_unsigned_bits_are_not_taken_for_negative_ones():
    compiled = cr.compile(lambda x, y: F.cross_entropy(x, y))
    for label in (2**32 - 1, 2**32 - 100):  # -1 and -100, the ignored one, in int32
        with pytest.raises(errors.OutOfRangeError, match=f"label {label}, "):
            compiled(z(1, 2), cr.tensor(np.array([label], np.uint32)))


def test_an_ignored_label_is_not_out_of_range_in_a_compiled_function():
    compiled = cr.compile(lambda x, y: F.cross_entropy(x, y, reduction="none"))
    assert compiled(z(2, 2), cr.tensor([1, -100])).tolist() == pytest.approx([np.log(2), 0])


def test_labels_listed_for_a_margin_are_classes():
    with pytest.raises(errors.OutOfRangeError) as caught:
        F.multilabel_margin_loss(z(1, 3), cr.tensor([[0, 5, -1]]))
    text = "multilabel_margin_loss: label 5, but the input has 3 classes (0 … 2)"
    assert str(caught.value) == text


def test_nothing_is_loaded_unless_all_fits() -> None:
    layer = nn.Linear(2, 1)
    before = layer.weight.numpy().copy()
    with pytest.raises(errors.CheckpointError):
        layer.load_state_dict({"weight": np.zeros((1, 2)), "bias": np.zeros(3)})
    assert np.array_equal(layer.weight.numpy(), before)


def test_super_init_forgotten() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError) as caught:
        Net()
    assert str(caught.value) == "Net: call super().__init__() before self.layer is assigned"


def test_module_call_adds_one_line_only() -> None:
    class Inner(nn.Module):
        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return x @ cr.zeros(7, 2)

    model = nn.Sequential(nn.Sequential(Inner()))
    with pytest.raises(errors.ShapeError) as caught:
        model(z(2, 3))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert re.fullmatch(
        r"    in Inner `model\[0\]\[0\]` \(\w+\.py:\d+\), called with float32\[2, 3\]", lines[1]
    )
