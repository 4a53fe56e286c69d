"""Settings all tests share."""

from hypothesis import HealthCheck, settings

# A first run compiles; time limits per example would only measure the machine.
settings.register_profile("chainrule", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("chainrule")


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden texts")
