"""Kernels as text: indented loops."""

from __future__ import annotations

from .loops import (
    Apply,
    Constant,
    Contract,
    Expr,
    Gather,
    Keep,
    Kept,
    Kernel,
    Load,
    Local,
    Nest,
    OperandAccess,
    Position,
    Random,
    Repeat,
    Statement,
    Store,
)


def show_expr(e: Expr, b: str = "b") -> str:
    args = ", ".join(show_expr(a) for a in e.args)
    match e:
        case Load():
            return f"{b}{e.buffer}[{e.address}]"
        case Kept():
            return f"row{e.scratch}[{e.address}]"
        case Local():
            return f"acc{e.number}"
        case Constant():
            return str(e.value)
        case Position():
            return f"({e.address})"
        case Gather():
            return f"{b}{e.buffer}[{args} * {e.stride} + {e.address}]"
        case Random():
            return f"random({args}; {e.address})"
        case Apply():
            return f"{e.name}({args})"


def show_operand(x: OperandAccess) -> str:
    row = f"{show_expr(x.rows.number)} * {x.rows.size} + " if x.rows is not None else ""
    return f"b{x.buffer}[{row}{x.address}]"


def show(kernel: Kernel) -> str:
    """The kernel as indented loops."""
    lines = [f"{kernel.name}:"]

    def statements(items: list[Statement], indent: str) -> None:
        for s in items:
            if isinstance(s, Store):
                lines.append(f"{indent}b{s.buffer}[{s.address}] = {show_expr(s.value)}")
            elif isinstance(s, Keep):
                lines.append(f"{indent}row{s.scratch}[{s.address}] = {show_expr(s.value)}")
            else:
                lines.append(
                    f"{indent}acc{s.local} = {s.combine}(acc{s.local}, {show_expr(s.value)})"
                )

    body = kernel.body
    if isinstance(body, Nest):
        indent = "  "
        for loop in body.outer:
            lines.append(f"{indent}for i{loop.var} in range({loop.extent}):  # parallel")
            indent += "  "
        for stage in body.stages:
            deeper = indent
            for loop in stage.inner:
                lines.append(f"{deeper}for i{loop.var} in range({loop.extent}):")
                deeper += "  "
            statements(stage.statements, deeper)
    elif isinstance(body, Contract):
        terms = (*body.outer_k, body.k)
        shape = " x ".join(str(loop.extent) for loop in (*body.batch, body.m, body.n, *terms))
        a, b = map(show_operand, (body.a, body.b))
        where = {v.var: f" where {v.low} <= {v.place} < {v.high}" for v in body.valid}
        over = ", ".join(f"i{loop.var}{where.get(loop.var, '')}" for loop in terms)
        lines.append(f"  acc0 = sum over {over} of {a} * {b}  # {shape}")
        statements(body.statements, "  ")
    elif isinstance(body, Repeat):
        inside = ", ".join(f"b{i} is b{n}" for i, n in enumerate(body.places))
        lines.append(f"  {body.times} times:  # {inside}")
        lines += ["    " + line for k in body.program.kernels for line in show(k).splitlines()]
    else:
        place = f"b{body.out}[b{body.index.buffer}[i0] * {body.row} + i1]"
        lines.append(f"  {place} {'+=' if body.adds else '='} b{body.updates.buffer}[...]")
    return "\n".join(lines)
