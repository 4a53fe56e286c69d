"""Write the tables of docs/performance.md from what `chainrule bench` measured.

    chainrule bench --peers-python PATH --json > bench.json
    python benchmarks/performance.py bench.json

Files of the same machine and versions (runs with --sizes) become one set of tables, others follow
below.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from chainrule.bench.compare import Comparison
from chainrule.bench.report import markdown

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- tables: written by benchmarks/performance.py -->", "<!-- end of tables -->"


def sections(paths: list[str]) -> list[str]:
    """The tables of all files, with a line about the machine."""
    found: dict[str, list[Comparison]] = {}
    for path in paths:
        held = json.loads(Path(path).read_text())
        comparisons = [Comparison.from_dict(c) for c in held["comparisons"]]
        about = (
            f"{held['machine']['processor']}, {comparisons[0].threads} threads, medians of "
            f"{held['rounds']} interleaved rounds, {held['versions']}."
        )
        found.setdefault(about, []).extend(comparisons)
    return [f"{about}\n\n{markdown(comparisons)}" for about, comparisons in found.items()]


def main(paths: list[str]) -> None:
    """Replace what stands between the two marks."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n\n".join(sections(paths))
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}")


if __name__ == "__main__":
    main(sys.argv[1:])
