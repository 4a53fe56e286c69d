"""The public test suite of the Array API standard, from a checkout that ARRAY_API_TESTS names.

    git clone --recursive https://github.com/data-apis/array-api-tests
    pip install pytest-json-report ndindex
    ARRAY_API_TESTS=array-api-tests scripts/test --slow tests/tensor/test_array_api_suite.py

What is left out stands with its reason in array_api_excluded.txt.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXCLUDED = Path(__file__).with_name("array_api_excluded.txt")
# The suite asks for complex dtypes when it is loaded, also where all tests of them are left out.
MODULE = (
    "exec('import chainrule as xp, numpy;"
    ' xp.complex64, xp.complex128 = numpy.dtype("complex64"), numpy.dtype("complex128")\')'
)
WIDEST = "for dt in complex_dtypes], key=lambda x: x[1]"


@pytest.mark.slow
def test_the_public_suite_passes(tmp_path: Path) -> None:
    checkout = os.environ.get("ARRAY_API_TESTS")
    if checkout is None:
        pytest.skip("ARRAY_API_TESTS names no checkout of data-apis/array-api-tests")
    suite = tmp_path / "suite"
    shutil.copytree(checkout, suite, ignore=shutil.ignore_patterns(".git", "__pycache__"))
    helpers = suite / "array_api_tests" / "dtype_helpers.py"
    text = helpers.read_text("utf-8")
    if WIDEST in text:  # the widest of no dtypes
        helpers.write_text(text.replace(WIDEST, f"{WIDEST}, default=(None, 0)"), "utf-8")
    names = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, names)),
        "ARRAY_API_TESTS_MODULE": MODULE,
        "ARRAY_API_TESTS_SKIP_DTYPES": "complex64,complex128",
    }

    def pytest_run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "array_api_tests", "-q", *options]
        return subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True)

    every = pytest_run("--collect-only").stdout.splitlines()
    parts = [x for x in EXCLUDED.read_text("utf-8").splitlines() if x and x[0] != "#"]
    unused = [part for part in parts if not any(part in name for name in every)]
    assert not unused, "take them out of array_api_excluded.txt"
    skips = tmp_path / "skips.txt"
    left_out = [name for name in every if "::" in name and any(part in name for part in parts)]
    skips.write_text("\n".join(left_out) + "\n", "utf-8")
    examples = os.environ.get("ARRAY_API_EXAMPLES", "20")
    options = ["--max-examples", examples, "--disable-deadline", "--disable-extension", "fft"]
    done = pytest_run(*options, "--skips-file", str(skips), "-rs", "--tb=short")
    print(done.stdout[-20000:])
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert re.search(r"\d{3,} passed", done.stdout)
