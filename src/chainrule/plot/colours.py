"""The palette: blue is positive, orange negative, everywhere."""

from __future__ import annotations

POSITIVE, NEGATIVE = BLUE, ORANGE = "#0877bd", "#f59322"
GREY, GROUND = "#8a8a8a", "#f4f4f2"
COLOURS = (BLUE, ORANGE, "#3a9d6e", "#b0508e", GREY, "#b8960c", "#17a2b8", "#7b4fb0")
