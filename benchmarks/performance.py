"""Write the tables of docs/performance.md from what `chainrule bench` measured.

    chainrule bench --peers-python PATH --json > bench.json
    python benchmarks/performance.py bench.json

Several files are put one below the other (runs with --sizes, other thread counts).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from chainrule.bench.compare import Comparison
from chainrule.bench.report import markdown

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- tables: written by benchmarks/performance.py -->", "<!-- end of tables -->"


def section(path: str) -> str:
    """The tables of one file, with a line about the machine."""
    held = json.loads(Path(path).read_text())
    found = [Comparison.from_dict(c) for c in held["comparisons"]]
    about = (
        f"{held['machine']['processor']}, {found[0].threads} threads, medians of {held['rounds']} "
        "interleaved"
        f" rounds, {held['versions']}."
    )
    return f"{about}\n\n{markdown(found)}"


def main(paths: list[str]) -> None:
    """Replace what stands between the two marks."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n\n".join(section(p) for p in paths)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}")


if __name__ == "__main__":
    main(sys.argv[1:])
