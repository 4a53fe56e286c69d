"""Comparisons as tables: for the terminal, and as Markdown for the documentation."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from .compare import BEHIND, Comparison, Measured, Spread
from .results import Change

NAMES = {
    "chainrule": "Chainrule Trainer",
    "chainrule-compile": "Chainrule @compile",
    "torch": "PyTorch eager",
    "torch-last": "PyTorch channels last",
    "torch-compile": "torch.compile",
    "jax": "JAX jit",
    "jax-scan": "JAX jit + scan",
    "sklearn": "scikit-learn",
    "numpy": "NumPy",
}


def number(value: float | None, digits: int = 3) -> str:
    """Three significant digits, without an exponent; a dash for None."""
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    text = f"{value:.{digits}g}"
    return f"{value:.6f}".rstrip("0") if "e" in text else text


def mebibytes(size: float | None) -> str:
    """A size in MiB."""
    return "–" if size is None else f"{size / 2**20:.0f}"


def table(comparison: Comparison) -> Table:
    """The modes of one workload, quickest first."""
    w = comparison.workload
    title = Text.assemble(
        (w.name, "bold"),
        f"  {w.about}, batch {w.batch}, {w.optimizer},"
        f" {w.loss}, {w.dtype}, {comparison.threads} threads, floor "
        f"{number(comparison.floor_microseconds)} µs",
    )
    found = Table(title=title, title_justify="left", box=None, pad_edge=False, title_style="")
    found.add_column("", no_wrap=True)
    for head in ("µs a step", "× ours", "first step s", "warm cache s", "peak MiB", "same losses"):
        found.add_column(head, justify="right")
    own = comparison.ours.microseconds if comparison.ours else None
    for m in by_time(comparison.measured):
        if m.error:
            found.add_row(NAMES[m.mode], *["–"] * 5, Text(m.error.splitlines()[0][:60], "dim"))
            continue
        ratio = m.microseconds / own if own and m.microseconds else None
        found.add_row(
            NAMES[m.mode],
            number(m.microseconds),
            number(ratio),
            number(m.first_cold_seconds),
            number(m.first_warm_seconds),
            mebibytes(m.peak_bytes),
            {None: "–", True: "yes", False: "NO"}[m.agrees],
            style="bold" if m.is_ours else "",
        )
    return found


def by_time(measured: Sequence[Measured]) -> list[Measured]:
    """Quickest first; those without a time last."""
    return sorted(measured, key=lambda m: m.microseconds or float("inf"))


def summary(comparisons: Sequence[Comparison]) -> Table:
    """One line a workload."""
    found = Table(box=None, pad_edge=False)
    for i, head in enumerate(_HEADS):
        found.add_column(head, justify="right" if i else "left")
    for c in comparisons:
        found.add_row(*_cells(c))
    return found


_HEADS = (
    "workload",
    "Chainrule µs",
    "floor µs",
    "ours / floor",
    "best peer",
    "its µs",
    "best peer / ours",
)


def _cells(c: Comparison) -> list[str]:
    ours, best = c.ours, c.best_peer
    return [
        c.workload.name,
        number(ours.microseconds if ours else None),
        number(c.floor_microseconds),
        number(c.over_floor),
        NAMES[best.mode] if best else "–",
        number(best.microseconds if best else None),
        number(c.speedup),
    ]


def against(found: Sequence[Change]) -> Table:
    """What was measured before and now; what got slower, or larger, in bold."""
    table = Table(box=None, pad_edge=False)
    for i, head in enumerate(("", "", "", "before", "now", "now / before")):
        table.add_column(head, justify="right" if i > 2 else "left", no_wrap=True)
    for c in found:
        memory = c.what == "peak bytes"
        what = "peak MiB" if memory else c.what
        shown = [mebibytes(int(x)) if memory else number(x) for x in (c.before, c.now)]
        cells = (*shown, f"{c.ratio:.2f}")
        style = "bold" if c.more else ""
        table.add_row(c.workload, NAMES[c.mode], what, *cells, style=style)
    return table


def spread_text(spread: Spread) -> str:
    """As lines: the median ratio, the least, and where we are behind."""
    text = (
        f"best peer / ours: median {spread.median:.2f}, least {spread.least:.2f} "
        f"({spread.least_of}); more than {BEHIND - 1:.0%} behind: {len(spread.behind)}"
    )
    return "\n".join([text, *(f"  {name}" for name in spread.behind)])


def markdown(comparisons: Sequence[Comparison]) -> str:
    """The summary, every mode's time, first steps, and memory, as Markdown tables."""
    rows = "".join(f"\n{markdown_row(c)}" for c in comparisons)
    return f"{markdown_head()}{rows}\n\n{markdown_modes(comparisons)}"


def markdown_head() -> str:
    """The head of the summary."""
    return _markdown_table(_HEADS, [])


def markdown_row(comparison: Comparison) -> str:
    """The line of one workload in the summary."""
    return _markdown_row(_cells(comparison))


def markdown_modes(comparisons: Sequence[Comparison]) -> str:
    """What stands below the summary: a column for each mode."""
    modes = [
        m
        for m in NAMES
        if any(x.mode == m and x.microseconds for c in comparisons for x in c.measured)
    ]

    def each(title: str, text: dict[str, list[str]]) -> str:
        head = ["workload", *(NAMES[m] for m in modes)]
        return f"{title}\n\n" + _markdown_table(
            head, [[name, *cells] for name, cells in text.items()]
        )

    def of(c: Comparison, mode: str) -> Measured:
        return next((x for x in c.measured if x.mode == mode), Measured(mode))

    times = {c.workload.name: [number(of(c, m).microseconds) for m in modes] for c in comparisons}
    first = {
        c.workload.name: [
            f"{number(of(c, m).first_cold_seconds, 2)} / {number(of(c, m).first_warm_seconds, 2)}"
            for m in modes
        ]
        for c in comparisons
    }
    memory = {c.workload.name: [mebibytes(of(c, m).peak_bytes) for m in modes] for c in comparisons}
    return "\n\n".join(
        [
            each("Microseconds a step, all modes:", times),
            each(
                "Seconds of the first step, with empty caches / with the caches of an earlier "
                "process:",
                first,
            ),
            each("Peak resident memory of the process, MiB:", memory),
        ]
    )


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(map(_markdown_row, lines))


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
