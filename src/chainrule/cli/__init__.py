"""The command line: ``chainrule COMMAND``."""

from .main import main as main
