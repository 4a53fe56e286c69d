"""Keep what `chainrule bench` measured, and write the tables of docs/performance.md from it, and
the short one of README.md and docs/index.md.

    chainrule bench all --peers-python PATH --save bench.json
    python benchmarks/performance.py bench.json

A file is kept as benchmarks/results/MACHINE/VERSION.json; runs of one machine and version become
one file, of each workload the last one that was measured. Nets that were drawn (`chainrule bench
--random`) are one sample: they are kept together, as drawn.json beside it, instead of the sample
before. The page has the tables of each machine's newest version, and the sample of the first.
Without files the pages are written anew from what is kept.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from chainrule.bench.compare import Comparison, Spread
from chainrule.bench.report import NAMES, markdown, markdown_head, markdown_row, number, spread_text
from chainrule.bench.results import Results

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- tables: written by benchmarks/performance.py -->", "<!-- end of tables -->"
SHORT, SHORT_END = "<!-- speed: written by benchmarks/performance.py -->", "<!-- end of speed -->"
SAMPLE, SAMPLE_END = "<!-- drawn: written by benchmarks/performance.py -->", "<!-- end of drawn -->"
PAGES = [ROOT / "docs" / "performance.md", ROOT / "README.md", ROOT / "docs" / "index.md"]
SHOWN = {
    "xor": "2-2-1 (XOR), batch 4",
    "digits": "64-100-10, batch 32",
    "tabular": "14-256-128-64-2, batch 256",
    "mnist": "784-300-100-10, batch 128",
    "wide": "1024-2048-2048-1024, batch 512",
    "lenet": "LeNet-5, batch 64",
    "residual-16": "residual blocks, 16 channels, 32 × 32, batch 64",
    "lstm-text": "LSTM 256, 64 steps, batch 32",
    "gru": "GRU 128, 100 steps, batch 32",
    "gpt": "GPT, 4 blocks of width 128, 12 × 64 tokens",
}


def place(results: Results, folder: Path) -> Path:
    """Where the results of this machine and version are kept."""
    name = f"{results.machine['processor']} {results.machine['threads']} threads"
    file = "drawn" if all(map(_is_drawn, results.comparisons)) else results.version
    return folder / re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") / f"{file}.json"


def _is_drawn(comparison: Comparison) -> bool:
    """Its name begins with its number in the sample."""
    return re.match(r"\d+: ", comparison.workload.name) is not None


def keep(path: Path, folder: Path = KEPT) -> Path:
    """Keep a file of results, beside the other workloads of the same machine and version."""
    results = Results.read(path)
    target = place(results, folder)
    if target.exists() and target.stem != "drawn":
        new = {c.workload.name: c for c in results.comparisons}
        old = [new.pop(c.workload.name, c) for c in Results.read(target).comparisons]
        results.comparisons = [*old, *new.values()]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(results.to_dict(), indent=1) + "\n", "utf-8")
    return target


def newest(folder: Path = KEPT) -> list[Results]:
    """Of each machine the results of the newest version."""

    def version(path: Path) -> list[int]:
        return [int(n) for n in re.findall(r"\d+", path.stem)]

    kept = [list(m.glob("[0-9]*.json")) for m in sorted(folder.glob("*/"))]
    return [Results.read(max(files, key=version)) for files in kept if files]


def written(page: str, folder: Path = KEPT) -> str:
    """The page with the tables of what is kept between its marks; as it is if nothing is."""
    if BEGIN not in page and SHORT not in page:
        raise SystemExit(f"the page lacks the line {BEGIN!r} or {SHORT!r}")
    found = newest(folder)
    if not found:
        return page
    full = "\n\n".join(f"{r.about}\n\n{markdown(r.comparisons)}" for r in found)
    page = _filled(_filled(page, BEGIN, END, full), SHORT, SHORT_END, short(found[0]))
    for drawn in sorted(folder.glob("*/drawn.json"))[:1]:
        page = _filled(page, SAMPLE, SAMPLE_END, sample(Results.read(drawn)))
    return page


def _filled(page: str, begin: str, end: str, text: str) -> str:
    before, mark, rest = page.partition(begin)
    if not mark:
        return page
    _, mark, after = rest.partition(end)
    if not mark:
        raise SystemExit(f"the page lacks the line {end!r}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def short(results: Results) -> str:
    """Ours and the best other of the workloads that people know."""
    rows = ["| net | Chainrule µs | best other µs | | times as long |", "|---|---:|---:|---|---:|"]
    known = {c.workload.name: c for c in results.comparisons}
    for name, about in SHOWN.items():
        c = known.get(name)
        if c is None or c.ours is None or c.best_peer is None:
            continue
        ours, other = (number(m.microseconds) for m in (c.ours, c.best_peer))
        rows.append(
            f"| {about} | {ours} | {other} | {NAMES[c.best_peer.mode]} | {number(c.speedup)} |"
        )
    return "\n".join([*rows, "", results.about])


def sample(results: Results) -> str:
    """Nets that were drawn: the spread of the ratios, and each of them."""
    spread = Spread.of(results.comparisons)
    rows = [markdown_head(), *map(markdown_row, results.comparisons)]
    return "\n\n".join([spread_text(spread) if spread else "", "\n".join(rows), results.about])


def main(paths: list[str]) -> None:
    """Keep the files, and write the pages."""
    for path in paths:
        print(keep(Path(path)))
    for page in PAGES:
        page.write_text(written(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
