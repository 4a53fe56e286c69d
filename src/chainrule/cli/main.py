"""The main command: options that all commands share, and errors as one message.

Data go to stdout, messages to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from .. import __version__
from ..errors import ChainruleError
from .printable import print_error
from .registry import COMMANDS


class Commands(click.Group):
    """The commands of the registry, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the registry's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None where there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in ``--help``, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name="chainrule")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def chainrule(debug: bool) -> None:
    """Train neural networks by back-propagation, the whole loop compiled to one native program.

    Data go to stdout, progress and messages to stderr.
    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line with ``args`` (default: the process's) and return the exit code."""
    given = list(sys.argv[1:] if args is None else args)
    debug = (
        "--debug" in given[: next((i for i, a in enumerate(given) if a in COMMANDS), len(given))]
    )
    try:
        result = chainrule.main(given, prog_name="chainrule", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print_error("interrupted")
        return 130
    except (
        BrokenPipeError
    ):  # the reader (`| head`) has seen enough; nothing more may be written at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ChainruleError, OSError) as error:
        if debug:
            raise
        print_error(f"error: {error}")
        return 1
    except UnicodeEncodeError as error:
        if debug:
            raise
        odd = error.object[error.start : error.end]
        print_error(
            f"error: {ascii(odd)} cannot be written in the encoding {error.encoding}; set "
            "PYTHONIOENCODING=utf-8, or write to a file (--out)"
        )
        return 1
