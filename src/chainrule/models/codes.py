"""The ten digits as drawings of 7 x 12 pixels: what LeNet-5's last hidden layer learns to show."""

from __future__ import annotations

import numpy as np

from ..core.node import Array

# Drawn for this library after the style of the paper's Figure 3; rows of a digit side by side.
_DRAWN = """
..###.. ...#... ..###.. .#####. .....#. ####### ...###. ####### ..###.. ..###..
.#...#. ..##... .#...#. #.....# ....##. #...... ..#.... ......# .#...#. .#...#.
#.....# .#.#... #.....# ......# ...#.#. #...... .#..... ......# #.....# #.....#
#.....# ...#... ......# ......# ..#..#. #...... #...... .....#. #.....# #.....#
#.....# ...#... ......# .....#. .#...#. #.###.. #.###.. .....#. .#...#. #.....#
#.....# ...#... .....#. ..###.. #....#. ##...#. ##...#. ....#.. ..###.. .#...##
#.....# ...#... ....#.. .....#. #....#. ......# #.....# ....#.. .#...#. ..###.#
#.....# ...#... ...#... ......# ####### ......# #.....# ...#... #.....# ......#
#.....# ...#... ..#.... ......# .....#. ......# #.....# ...#... #.....# ......#
#.....# ...#... .#..... ......# .....#. ......# #.....# ..#.... #.....# .....#.
.#...#. ...#... #...... #.....# .....#. #....#. .#...#. ..#.... .#...#. ....#..
..###.. .#####. ####### .#####. .....#. .####.. ..###.. ..#.... ..###.. .###...
"""


def digit_codes() -> Array:
    """(10, 84): +1 for ink, -1 for background, row by row.

    >>> from chainrule.models.codes import digit_codes
    >>> digit_codes().shape
    (10, 84)
    """
    rows = [line.split() for line in _DRAWN.split("\n") if line]
    digits = ["".join(row[d] for row in rows) for d in range(10)]
    return np.array([[1.0 if p == "#" else -1.0 for p in digit] for digit in digits], np.float32)
