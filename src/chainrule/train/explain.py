"""explain: the program behind a compiled function or a Trainer's step, and where its time goes."""

from __future__ import annotations

from typing import Any

from ..errors import OptionError
from ..runtime.explain import Explanation, explain_program
from ..tensor.compiling.compiled import Compiled
from ..tensor.compiling.trace import Trace, array_of_leaf
from .alone import alone
from .rows.dataset import Kind
from .step.given import training_sets, with_metrics
from .trainer import Trainer


def explain(target: Any, *args: Any, **options: Any) -> Explanation:
    """Explain the program of a compiled function or of a Trainer's training step.

    ``explain(step, *its arguments)``, or ``explain(trainer, x, y, batch_size=32)``.

    The program runs for about 0.2 s on copies of its state: nothing is trained. Returns an
    `Explanation`: ``print`` it for the kernels with their loops, times, GFLOP/s and GB/s;
    ``.graph()`` is the graph after each pass, ``.ir()`` LLVM IR and ``.assembly()`` machine code.

    Raises OptionError for anything else than a compiled function or a Trainer.

    >>> import chainrule as cr
    >>> @cr.compile
    ... def f(x):
    ...     return (cr.tanh(x) * 2).sum()
    >>> explanation = cr.explain(f, cr.ones(1000))
    >>> print(explanation)
    f: ... µs a step, ...
    """
    if isinstance(target, Trainer):
        return _trainer(target, *args, **options)
    if not isinstance(target, Compiled):
        raise OptionError(
            f"explain takes a function made by cr.compile or a Trainer, got {type(target).__name__}"
        )
    trace, leaves = target._find(args, options)
    return _trace(trace, leaves, str(target.name))


def _trainer(trainer: Trainer, x: Any, y: Any = None, batch_size: int = 32) -> Explanation:
    with alone(trainer._exclusive, "explain"), trainer._mode(True):
        data, _ = training_sets(trainer._steps, x, y, batch_size, True)
        trainer._compiled = steps = with_metrics(trainer._steps, trainer.metrics, data)
        steps.prepare(data)
        steps.cursor.start(trainer.seed, trainer.epoch)
        turn = steps.training_turn(data, Kind(data.batch), 1)
        return _trace(turn.trace, list(turn.leaves), "training step")


def _trace(trace: Trace, leaves: list[Any], name: str) -> Explanation:
    inputs = [array_of_leaf(leaves[i]) for i in trace.arguments]
    inputs += [t._grad._storage() for t in trace.grads_read if t._grad is not None]
    state = [*(t._storage() for t in trace.state), *trace.extremes.arrays]
    floats = [
        n.dtype.name
        for n in (*trace.signature.state, *trace.signature.inputs)
        if n.dtype.kind == "f"
    ]
    dtype = max(set(floats), key=floats.count, default="float32")
    return explain_program(trace.program, trace.signature, inputs, state, name, dtype)
