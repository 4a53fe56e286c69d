"""Settings all tests share."""

import sys

import pytest
from hypothesis import HealthCheck, settings

# A first run compiles; time limits per example would only measure the machine.
settings.register_profile("chainrule", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("chainrule")


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden texts")


@pytest.fixture
def interpreted(monkeypatch):
    """Programs are evaluated with NumPy and none is compiled: for tests of what is around them, of
    which compiling would be most of the time."""
    monkeypatch.setenv("CHAINRULE_BACKEND", "interpreter")
    yield
    sessions = sys.modules.get("chainrule.estimators.session")
    if sessions is not None:  # none of these is for a test that compiles
        sessions._idle.clear()
