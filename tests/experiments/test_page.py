"""The results page is what was stored of the runs, and the story tells nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from chainrule.errors import DataError
from chainrule.experiments import EXPERIMENTS, reproduce
from chainrule.experiments.base import Report, run_experiment
from chainrule.experiments.page import page, stored, update_page

DOCS = Path(__file__).parents[2] / "docs"
KEPT = stored(DOCS / "results")


def test_a_run_is_stored_and_written_into_the_page(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "page.md"
    path.write_text(
        "before\n<!-- machine -->\n<!-- end -->\n<!-- summary -->\n<!-- end -->\n"
        '<a id="intermediate-values"></a>\n## In between\nwords\n'
        "<!-- intermediate-values -->\nold\n<!-- end -->\nafter"
    )
    update_page(path, [reproduce("intermediate-values", seeds=3)])
    text = path.read_text()
    assert text.startswith("before") and text.endswith("after") and "old" not in text
    assert "| 2-1-4-4, ε 0.25, α 0.9 |  | at least 3 of 3 in 3,000 sweeps |" in text
    assert "| [In between](#intermediate-values) | 2 of 2 | " in text
    assert "| all | 2 of 2 | | 0 of 0 | |" in text
    assert (tmp_path / "figures" / "intermediate-values.png").exists()
    kept = json.loads((tmp_path / "results" / "intermediate-values.json").read_text())
    assert kept["made_with"]["processor"] and kept["processor_seconds"] > 0

    update_page(path, [run_experiment(EXPERIMENTS["intermediate-values"], 3, None, full=True)])
    assert "](figures/intermediate-values.png)" in path.read_text()
    assert "](figures/intermediate-values-full.png)" in path.read_text()
    with pytest.raises(DataError, match="no place for 't-c'"):
        update_page(path, [run_experiment(EXPERIMENTS["t-c"], 2, None, sweeps=2)])
    assert not (tmp_path / "results" / "t-c.json").exists()


def test_what_is_measured_with_numpy_is_ready_for_json() -> None:
    report = Report()
    numbers = {"a": np.float32(0.5), "b": [np.int64(3)], "c": {"d": np.arange(2)}}
    report.add("x", "y", np.float64(1) > 0, **numbers)  # type: ignore[arg-type]
    (found,) = report.measurements
    assert json.loads(json.dumps(found.numbers)) == {"a": 0.5, "b": [3], "c": {"d": [0, 1]}}
    assert found.passed is True


def test_the_results_of_the_docs_are_the_stored_ones() -> None:
    path = DOCS / "experiments.md"
    assert page(path) == path.read_text("utf-8"), "`chainrule reproduce NAME --page` writes it"
    assert {name.removesuffix("-full") for name in KEPT} == set(EXPERIMENTS)


def test_the_story_tells_stored_numbers() -> None:
    text = (DOCS / "lineage.md").read_text("utf-8")
    rows = re.findall(r"^\| \d{4} \|.*\| (.+) \| \[([\w-]+)\]\(experiments.md#.*$", text, re.M)
    assert len(rows) > 8
    for measured, name in rows:
        tiers = [KEPT[key] for key in (name, f"{name}-full") if key in KEPT]
        known = set(_numbers(json.dumps([t["measurements"] for t in tiers])))
        missing = [number for number in _numbers(measured) if number not in known]
        assert not missing, f"{name}: {measured}"


def _numbers(text: str) -> list[str]:
    return re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", text)
