"""Text for a terminal.

Names come from other people's files. A control character among them would be an order to the
terminal (to set its title, to hide what was printed), so it is shown as ``\\x1b``.
"""

from __future__ import annotations

import sys

import click

_ORDERS = {
    c: f"\\x{c:02x}" if c < 256 else f"\\u{c:04x}"
    # ASCII's and Latin-1's control characters; marks that turn the direction of writing; halves of
    # surrogate pairs, which no encoding can write
    for c in (
        *(set(range(32)) - {9, 10}),
        *range(127, 160),
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
        *range(0xD800, 0xE000),
    )
}


def printable(text: str) -> str:
    """The text without orders to the terminal.

    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return text.translate(_ORDERS)


def print_error(text: str) -> None:
    """A message on stderr."""
    click.echo(printable(text), err=True)


def write_text(text: str) -> None:
    """Text on stdout; for a program that reads it as it is, for a terminal as `printable`."""
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
