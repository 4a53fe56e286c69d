"""Keep what `chainrule bench` measured, and write the tables of docs/performance.md from it.

    chainrule bench all --peers-python PATH --save bench.json
    python benchmarks/performance.py bench.json

A file is kept as benchmarks/results/MACHINE/VERSION.json; runs of one machine and version
become one file, of each workload the last one that was measured. The page has the tables
of each machine's newest version. Without files the page is written anew from what is kept.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from chainrule.bench.report import markdown
from chainrule.bench.results import Results

KEPT = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- tables: written by benchmarks/performance.py -->", "<!-- end of tables -->"


def place(results: Results, folder: Path) -> Path:
    """Where the results of this machine and version are kept."""
    name = f"{results.machine['processor']} {results.machine['threads']} threads"
    return folder / re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") / f"{results.version}.json"


def keep(path: Path, folder: Path = KEPT) -> Path:
    """Keep a file of results, beside the other workloads of the same machine and version."""
    results = Results.read(path)
    target = place(results, folder)
    if target.exists():
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

    machines = sorted(p for p in folder.glob("*") if p.is_dir())
    return [Results.read(max(m.glob("*.json"), key=version)) for m in machines]


def written(page: str, folder: Path = KEPT) -> str:
    """The page with the tables of what is kept between its two marks; as it is if nothing is."""
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise SystemExit(f"the page lacks the line {BEGIN!r} or {END!r}")
    found = [f"{r.about}\n\n{markdown(r.comparisons)}" for r in newest(folder)]
    if not found:
        return page
    return f"{before}{BEGIN}\n\n" + "\n\n".join(found) + f"\n\n{END}{after}"


def main(paths: list[str]) -> None:
    """Keep the files, and write the page."""
    for path in paths:
        print(keep(Path(path)))
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
