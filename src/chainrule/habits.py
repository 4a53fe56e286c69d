"""Habits from PyTorch, Keras, Lightning and NumPy: synonyms, and answers to unknown names.

All answers are in the tables of this file. "write" goes before an answer but "leave it out".
"""

from __future__ import annotations

import difflib
import dis
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
Synonyms = Mapping[str, Callable[[Any], Mapping[str, Any]]]
_IMPORT_FROM = dis.opmap["IMPORT_FROM"]


# -- keywords --------------------------------------------------------------------------------------
def knows(habits: Mapping[str, str], synonyms: Synonyms | None = None) -> Callable[[F], F]:
    """Let a function understand keywords of other libraries, or answer them.

    ``synonyms`` turns one into keywords of its own; another unknown one is a TypeError with what to
    write instead.

    >>> @knows({"lr": "the rate in the optimizer"}, {"n_epochs": renamed("epochs")})
    ... def fit(epochs=1):
    ...     return epochs
    >>> fit(n_epochs=3)
    3
    >>> fit(lr=0.1)
    Traceback (most recent call last):
    TypeError: fit has no argument 'lr'; write the rate in the optimizer
    """

    def wrap(function: F) -> F:
        known = [n for n in inspect.signature(function).parameters if n != "self"]

        @functools.wraps(function)
        def answering(*args: Any, **options: Any) -> Any:
            for name in [n for n in options if n not in known]:
                if synonyms is None or name not in synonyms:
                    raise TypeError(_answer(function, name, known, habits))
                meant = synonyms[name](options.pop(name))
                twice = [n for n in meant if n in options]
                if twice:
                    raise TypeError(
                        f"{_called(function)} got {name!r} and {twice[0]!r}, which mean the same;"
                        f" leave {name!r} out"
                    )
                options |= meant
            return function(*args, **options)

        return answering  # type: ignore[return-value]

    return wrap


def renamed(name: str) -> Callable[[Any], Mapping[str, Any]]:
    """A synonym for the keyword ``name``, with the same values."""
    return lambda value: {name: value}


def _nothing(value: Any) -> Mapping[str, Any]:
    return {}


def _called(function: Any) -> str:
    return str(function.__qualname__).removesuffix(".__init__").rsplit(".", 1)[-1]


def _advice(answer: str) -> str:
    return answer if answer.startswith("leave ") else f"write {answer}"


def _answer(function: Any, name: str, known: list[str], habits: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.7)
    if name in habits:
        hint = _advice(habits[name])
    elif close:
        hint = f"is it {close[0]!r}?"
    else:
        hint = f"there are {', '.join(known)}"
    return f"{_called(function)} has no argument {name!r}; {hint}"


# -- names -----------------------------------------------------------------------------------------
def no_attribute(what: str, table: str, name: str) -> AttributeError:
    """The error for ``name``, which ``what`` does not have, with the answer in ``NAMES[table]``.

    >>> print(no_attribute("a Tensor", "Tensor", "cuda"))
    a Tensor has no attribute 'cuda'; leave it out: there is the CPU only
    """
    answers = NAMES.get(table, {})
    answer = answers.get(name, answers.get(name.removesuffix("_")))
    hint = f"; {_advice(answer)}" if answer else ""
    return AttributeError(f"{what} has no attribute {name!r}{hint}")


class Renamed:
    """An attribute that a class had; ``NAMES[table]`` answers who asks for it or sets it."""

    def __init__(self, what: str, table: str) -> None:
        self._what = what, table

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        raise no_attribute(*self._what, self._name)

    def __set__(self, instance: object, value: Any) -> None:
        raise no_attribute(*self._what, self._name)


def answers_of(module: str) -> Callable[[str], Any]:
    """A module's ``__getattr__`` that answers names of other libraries.

    ``from module import name`` would hide the answer: there it is an ImportError.
    """

    def missing(name: str) -> Any:
        error = no_attribute(f"module {module!r}", module.removeprefix("chainrule."), name)
        caller = sys._getframe(1)
        while caller.f_back is not None and caller.f_globals.get("__name__") == module:
            caller = caller.f_back
        if caller.f_code.co_code[caller.f_lasti] == _IMPORT_FROM and ";" in str(error):
            raise ImportError(str(error))
        raise error

    return missing


def user_level() -> int:
    """How many frames up the code of the user is, seen from the caller."""
    package, level = __name__.split(".", 1)[0], 1
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and (
        str(frame.f_globals.get("__name__", "")).split(".", 1)[0] == package
    ):
        frame, level = frame.f_back, level + 1
    return level


TRAINER = {
    "schedule": 'scheduler_interval="step" or "epoch", which says when the scheduler is stepped',
    "lr": "the rate where the optimizer is made: optim.Adam(model.parameters(), lr=...)",
    "learning_rate": "the rate where the optimizer is made: optim.Adam(model.parameters(), lr=...)",
    "epochs": "trainer.fit(x, y, epochs)",
    "batch_size": "trainer.fit(x, y, batch_size=...)",
    "callbacks": "trainer.fit(x, y, callbacks=[...])",
}
HYPERPARAMETERS = {
    "hidden_layer_sizes": "hidden",
    "hidden_sizes": "hidden",
    "sizes": "hidden",
    "learning_rate": "lr",
    "learning_rate_init": "lr",
    "random_state": "seed",
    "max_iter": "epochs",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "solver": "optimizer",
    "alpha": "weight_decay",
    "early_stopping": "patience",
    "n_iter_no_change": "patience",
    "validation_fraction": "validation",
    "validation_split": "validation",
    "lr_schedule": "schedule",
    "scheduler": "schedule",
}
"""Options of other libraries' nets, and what `TableModel` and its kin call them."""
FIT = {
    "restore_best_weights": "early_stopping=EarlyStopping(restore_best=True)",
    "patience": "early_stopping=PATIENCE",
    "lr": "the rate where the optimizer is made: optim.Adam(model.parameters(), lr=...)",
    "learning_rate": "the rate where the optimizer is made: optim.Adam(model.parameters(), lr=...)",
    "optimizer": "Trainer(model, loss, optimizer)",
    "loss": "Trainer(model, loss, optimizer)",
    "schedule": "Trainer(model, loss, optimizer, scheduler)",
    "scheduler": "Trainer(model, loss, optimizer, scheduler)",
    "initial_epoch": "a checkpoint folder, checkpoint=..., whose run is continued",
    "steps_per_epoch": "the rows wanted: fit(x[:n], y[:n]); an epoch is one pass over them",
    "validation_freq": "leave it out: validation follows each epoch",
    "train_dataloaders": "fit(loader)",
}
EVALUATE = {
    "steps": "the rows wanted: evaluate(x[:n], y[:n])",
    "callbacks": "evaluate(x, y): callbacks are for fit",
    "class_weight": "sample_weight, one number per row",
}
PREDICT = {
    "steps": "the rows wanted: predict(x[:n])",
    "callbacks": "predict(x): callbacks are for fit",
}
RESUME = {
    "save_best_only": "callbacks=[ModelCheckpoint(path)], which writes the best weights",
    "monitor": "callbacks=[ModelCheckpoint(path, monitor)]",
    "filepath": "folder",
}
CHECKPOINT = {
    "filepath": "path",
    "save_weights_only": "leave it out: weights alone are written; Trainer.save writes all",
    "save_freq": 'fit(..., checkpoint=Checkpoint("run/", every_steps=n))',
    "verbose": "leave it out: it writes in silence",
    "initial_value_threshold": "EarlyStopping(baseline=...)",
}
STOPPING: dict[str, str] = {}


def _return_dict(value: Any) -> Mapping[str, Any]:
    if not value:
        raise TypeError(
            "evaluate gives a dict; for a list write list(trainer.evaluate(x, y).values())"
        )
    return {}


_EPOCHS = {n: renamed("epochs") for n in ("n_epochs", "num_epochs", "max_epochs", "nb_epoch")}
FIT_SYNONYMS: Synonyms = {
    "verbose": lambda value: {"progress": None if value == "auto" else bool(value)},
    "validation_batch_size": _nothing,  # what is measured does not depend on it
    **_EPOCHS,
}
EVALUATE_SYNONYMS: Synonyms = {"verbose": _nothing, "return_dict": _return_dict}
PREDICT_SYNONYMS: Synonyms = {"verbose": _nothing}
STOPPING_SYNONYMS: Synonyms = {
    "restore_best_weights": renamed("restore_best"),
    "start_from_epoch": renamed("start_from"),
    "verbose": _nothing,  # why training stopped is in history.stopped
}

_MIXED = "float32 or float64: there is no half precision"
_CPU = "leave it out: there is the CPU only"
_EIG = (
    "cr.linalg.eigh for symmetric matrices; np.linalg.eig(x.numpy()) for others, whose eigenvalues"
    " may be complex"
)
_FACTORS = {
    "svd": "cr.linalg.svd(x), which gives Vᵀ in place of V",
    "qr": "cr.linalg.qr(x)",
    "cholesky": "cr.linalg.cholesky(x)",
    "cholesky_solve": "cr.linalg.solve_triangular twice: with L, then with L.mT",
    "cholesky_inverse": "cr.linalg.inv(L @ L.mT)",
    "lstsq": "cr.linalg.lstsq(a, b)",
    "solve": "cr.linalg.solve(a, b)",
    "symeig": "cr.linalg.eigh(x)",
    "eig": _EIG,
    "matrix_rank": "cr.linalg.matrix_rank(x)",
    "matrix_power": "cr.linalg.matrix_power(x, n)",
    "chain_matmul": "cr.linalg.multi_dot([a, b, c])",
    "inv": "cr.linalg.inv(x)",
    "pinv": "cr.linalg.pinv(x)",
    "eigh": "cr.linalg.eigh(x)",
    "triangular_solve": "cr.linalg.solve_triangular(a, b, upper=...)",
}
_COMPUTED = {
    "clamp_min": "cr.clamp(x, min=...)",
    "clamp_max": "cr.clamp(x, max=...)",
    "index_fill": "x[index] = value, or x[:, index] = value, on x.clone() to keep x",
    "index_copy": "x[index] = source, or x[:, index] = source, on x.clone() to keep x",
    "index_put": "x[i, j] = values, on x.clone() to keep x; x.index_add(dim, index, source) adds",
    "masked_scatter": "x[mask] = values, on x.clone() to keep x",
    "scatter_reduce": "x.scatter_add(dim, index, src) for sums",
    "index_reduce": "x.index_add(dim, index, source) for sums",
    "take_along_dim": "cr.take_along_axis(x, indices, dim)",
    "isclose": "cr.abs(a - b) <= atol + rtol * cr.abs(b); cr.allclose(a, b) is one answer",
    "isin": "(x[..., None] == values).any(-1)",
    "nansum": "cr.where(cr.isnan(x), 0.0, x).sum()",
    "nanmean": "cr.where(cr.isnan(x), 0.0, x).sum() / (~cr.isnan(x)).sum()",
    "nan_to_num": "cr.where(cr.isnan(x), 0.0, x)",
    "fmod": "x - y * cr.trunc(x / y); cr.remainder has the sign of y, as % in Python",
    "frac": "x - cr.trunc(x)",
    "erfc": "1 - cr.erf(x)",
    "logit": "cr.log(x) - cr.log1p(-x)",
    "xlogy": "cr.where(x == 0, 0.0, x * cr.log(y))",
    "mv": "a @ x",
    "addmv": "b + a @ x",
    "baddbmm": "c + a @ b",
    "inner": "(a * b).sum(-1)",
    "aminmax": "x.amin(), x.amax()",
    "std_mean": "x.std(), x.mean()",
    "var_mean": "x.var(), x.mean()",
    "fliplr": "cr.flip(x, 1)",
    "flipud": "cr.flip(x, 0)",
    "diag_embed": "x[..., None] * cr.eye(n)",
    "column_stack": "cr.stack([a, b], 1)",
    "argwhere": "cr.stack(cr.nonzero(x), 1)",
    "histc": "np.histogram(x.numpy(), bins)",
}
NAMES: dict[str, dict[str, str]] = {
    "chainrule": {
        **_COMPUTED,
        **_FACTORS,
        "FloatTensor": "cr.tensor(data, dtype=cr.float32)",
        "DoubleTensor": "cr.tensor(data, dtype=cr.float64)",
        "LongTensor": "cr.tensor(data, dtype=cr.int64)",
        "IntTensor": "cr.tensor(data, dtype=cr.int32)",
        "BoolTensor": "cr.tensor(data, dtype=cr.bool)",
        "autocast": _MIXED,
        "amp": _MIXED,
        "half": _MIXED,
        "float16": _MIXED,
        "bfloat16": _MIXED,
        "complex64": "real and imaginary parts as two tensors",
        "jit": "@cr.compile, which compiles a function or a whole training step",
        "onnx": "cr.save(model.state_dict(), path): the weights; the net itself is Python code",
        "hub": "the model as an nn.Module, and model.load_state_dict(cr.load(path))",
        "distributions": "cr.normal, cr.uniform, cr.bernoulli, … to draw; the log-probability as a"
        " formula, or a loss such as nn.GaussianNLLLoss",
        "fft": "np.fft.fft(x.numpy()): there are no complex numbers",
        "sparse": "dense tensors",
        "distributed": "one process: a program uses all cores (cr.set_num_threads)",
        "multiprocessing": "Python's multiprocessing, with NumPy arrays",
        "mode": "values, counts = cr.unique_counts(x); values[counts.argmax()]",
        "is_nonzero": "bool(x)",
        "append": "cr.concatenate([a, b])",
        "array": "cr.tensor(data)",
        "random": "cr.randn, cr.rand, cr.randint, cr.uniform, cr.normal; cr.manual_seed(seed)",
        "set_default_tensor_type": "model.double(), or dtype= where a tensor is made",
        "layers": "from chainrule import nn: nn.Linear, nn.Dropout, nn.Embedding, …",
        "keras": "from chainrule import nn, optim; the quick start for Keras translates its words",
        "Sequential": "nn.Sequential",
        "Model": "nn.Module",
        "losses": "from chainrule import nn: nn.CrossEntropyLoss, nn.MSELoss, …",
        "optimizers": "from chainrule import optim",
        "metrics": 'Trainer(..., metrics=["accuracy"]), or from chainrule.train import Accuracy',
        "ops": "the function of the same name in cr: cr.softmax, cr.matmul, …",
        "numpy": "import chainrule as np: its functions have NumPy's names",
        "jacrev": "cr.jacobian",
        "jacfwd": "cr.jacobian",
    },
    "nn": {
        "Input": "leave it out: layers name their inputs, as in nn.Linear(inputs, outputs)",
        "LayerNormalization": "nn.LayerNorm(features)",
        "BatchNormalization": "nn.BatchNorm1d(features)",
        "Activation": "the activation itself, as nn.ReLU()",
        "Conv2D": "nn.Conv2d(in_channels, out_channels, kernel_size)",
        "Conv1D": "nn.Conv1d(in_channels, out_channels, kernel_size)",
        "MultiHeadAttention": "nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)",
        "MaxPooling2D": "nn.MaxPool2d(kernel_size)",
        "AveragePooling2D": "nn.AvgPool2d(kernel_size)",
        "GlobalAveragePooling2D": "nn.AdaptiveAvgPool2d(1), nn.Flatten()",
        "Masking": "lengths=, as in nn.LSTM(8, 16)(x, lengths=n)",
        "DataParallel": "the model alone: a program uses all cores",
        "SyncBatchNorm": "nn.BatchNorm1d",
    },
    "models": {
        "Sequential": "nn.Sequential",
        "Model": "nn.Module, of which you write a subclass",
    },
    "nn.utils": {
        "weight_norm": "it in forward: v * (g / v.norm(dim=1, keepdim=True))",
        "parametrizations": "the formula in forward: v * (g / v.norm(dim=1, keepdim=True))",
        "spectral_norm": "it in forward, with the power iteration's vector as a buffer",
        "prune": "a mask: with cr.no_grad(): p.mul_(mask) after each step",
        "clip_grad_norm": "clip_grad_norm_",
    },
    "optim": {
        "SparseAdam": "optim.Adam",
        "Ftrl": "optim.Adagrad",
        "AdaBelief": "optim.Adam",
        "schedules": "optim.lr_scheduler",
    },
    "train": {
        "TensorBoard": 'CSVLogger("log.csv"), or history.plot("curve.png") afterwards',
        "SummaryWriter": 'CSVLogger("log.csv"), or history.plot("curve.png") afterwards',
        "TerminateOnNaN": "leave it out: fit raises NonFiniteLossError at the first NaN",
        "BackupAndRestore": 'fit(..., checkpoint="run/")',
        "LearningRateMonitor": 'leave it out: history["lr"] is there where a schedule is',
        "ProgbarLogger": "fit(progress=True)",
    },
    "data": {
        "DataLoader": "from chainrule.utils.data import DataLoader",
        "TensorDataset": "from chainrule.utils.data import TensorDataset",
    },
    "estimators": {
        "MLPClassifier": "BackpropClassifier",
        "MLPRegressor": "BackpropRegressor",
    },
    "utils": {
        "tensorboard": 'train.CSVLogger("log.csv"), or history.plot("curve.png")',
        "checkpoint": "cr.remat(function)",
        "plot_model": "print(model), or nn.summary(model, input_shape)",
    },
    "utils.data": {
        "WeightedRandomSampler": "fit(..., class_weight='balanced'), or sample_weight=",
        "IterableDataset": "a Dataset with __len__ and __getitem__",
        "DistributedSampler": "leave it out: there is one process",
    },
    "autograd": {
        "Function": "@cr.custom_vjp on a function",
        "set_detect_anomaly": "leave it out: Trainer.fit names the first NaN and where it began",
        "detect_anomaly": "leave it out: Trainer.fit names the first NaN and where it began",
        "functional": "cr.jacobian, cr.hessian, cr.vjp, cr.jvp",
        "gradcheck": "cr.check_grads(function, inputs)",
        "Variable": "cr.tensor(data, requires_grad=True)",
        "profiler": "cr.explain(step, x, y), or chainrule explain on the command line",
    },
    "linalg": {
        "eig": _EIG,
        "eigvals": _EIG,
        "lu": "cr.linalg.solve, which eliminates with pivots; or scipy.linalg.lu(x.numpy())",
        "lu_factor": "cr.linalg.solve(a, b), with all right sides as columns of b",
        "inv_ex": "cr.linalg.inv, which raises LinAlgError",
        "cholesky_ex": "cr.linalg.cholesky, which raises LinAlgError",
        "matrix_exp": "scipy.linalg.expm(x.numpy()); for symmetric matrices (V * cr.exp(w)) @ V.T"
        " with w, V = cr.linalg.eigh(x)",
        "tensorinv": "cr.linalg.inv(x.reshape(n, n))",
        "tensorsolve": "cr.linalg.solve(a.reshape(n, n), b.reshape(n))",
        "vander": "x[:, None] ** cr.arange(n)",
        "einsum": "cr.einsum",
        "dot": "cr.dot",
        "inner": "cr.linalg.vecdot",
    },
    "Tensor": {
        **_COMPUTED,
        **_FACTORS,
        "cuda": _CPU,
        "half": _MIXED,
        "bfloat16": _MIXED,
        "pin_memory": _CPU,
        "apply_": "a function of the whole tensor: x.assign(f(x))",
        "map_": "a function of the whole tensor: x.assign(f(x, y))",
        "equal": "cr.array_equal(x, y) for one answer, x.eq(y) for one each element",
        "storage": "x.numpy()",
        "untyped_storage": "x.numpy()",
        "data_ptr": "x.numpy().ctypes.data",
        "register_hook": "x.retain_grad() and x.grad, or module.register_full_backward_hook(hook)",
        "grad_fn": "cr.explain(function, x) to see the graph",
        "share_memory_": "x.numpy(): an array is what processes can share",
        "to_sparse": "dense tensors",
        "values": "x itself",
        "eval": "x.numpy()",
        "item_": "x.item()",
    },
    "Optimizer": {
        "lr": 'optimizer.param_groups[0]["lr"]',
        "learning_rate": 'optimizer.param_groups[0]["lr"]',
        "get_lr": 'optimizer.param_groups[0]["lr"]',
        "minimize": "optimizer.zero_grad(); loss.backward(); optimizer.step()",
        "apply_gradients": "loss.backward(); optimizer.step()",
        "get_config": "optimizer.param_groups",
        "iterations": "optimizer.state[parameter]['step']",
    },
    "Module": {
        "half": _MIXED,
        "bfloat16": _MIXED,
        "share_memory": "model.state_dict() to a file (cr.save), which processes can read",
        "compile": "cr.Trainer(model, loss, optimizer), as Keras' compile, or cr.compile(model)",
        "fit": "cr.Trainer(model, loss, optimizer).fit(x, y)",
        "predict": "cr.Trainer(model, loss, optimizer).predict(x), or model.eval()(x)",
        "evaluate": "cr.Trainer(model, loss, optimizer).evaluate(x, y)",
        "save": 'cr.save(model.state_dict(), "net.safetensors")',
        "save_weights": 'cr.save(model.state_dict(), "net.safetensors")',
        "load_weights": 'model.load_state_dict(cr.load("net.safetensors"))',
        "layers": "list(model.children())",
        "weights": "list(model.parameters())",
        "trainable_weights": "[p for p in model.parameters() if p.requires_grad]",
        "trainable_variables": "[p for p in model.parameters() if p.requires_grad]",
        "get_layer": 'model.get_submodule("name")',
        "add": "model.append(layer)",
        "device": "next(model.parameters()).device",
        "ddp": "the model alone",
    },
    "Trainer": {
        "score": "trainer.evaluate(x, y)",
        "train": "trainer.fit(x, y)",
        "test": "trainer.evaluate(x, y)",
        "test_on_batch": "trainer.evaluate(x, y)",
        "predict_on_batch": "trainer.predict(x)",
        "save_weights": 'cr.save(trainer.model.state_dict(), "net.safetensors")',
        "load_weights": 'trainer.model.load_state_dict(cr.load("net.safetensors"))',
        "compile": "cr.Trainer(model, loss, optimizer, metrics=...)",
        "summary": "trainer.model.summary()",
        "save_model": "trainer.save(path)",
        "validate": "trainer.evaluate(x, y)",
        "schedule": "trainer.scheduler_interval",
    },
}
"""By module or class: names of other libraries that do not exist here, and what to write."""

LINEAR = {
    "activation": "the activation as the next layer: nn.Sequential(nn.Linear(...), nn.ReLU())",
    "use_bias": "bias=",
    "units": "nn.Linear(in_features, out_features)",
    "input_dim": "in_features",
    "input_shape": "in_features",
    "kernel_initializer": "nn.init.xavier_uniform_(layer.weight) afterwards",
    "kernel_regularizer": "weight_decay in the optimizer",
}
