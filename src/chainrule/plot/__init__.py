"""Figures: one palette, Hinton diagrams, curves, pictures. Needs matplotlib (extra ``figures``)."""

from .canvas import Draw as Draw
from .canvas import check_matplotlib as check_matplotlib
from .canvas import draw_to as draw_to
from .canvas import matplotlib_of as matplotlib_of
from .canvas import save_figure as save_figure
from .canvas import signs as signs
from .colours import BLUE as BLUE
from .colours import COLOURS as COLOURS
from .colours import GREY as GREY
from .colours import GROUND as GROUND
from .colours import NEGATIVE as NEGATIVE
from .colours import ORANGE as ORANGE
from .colours import POSITIVE as POSITIVE
from .curves import curves as curves
from .hinton import hinton as hinton
from .hinton import hinton_figure as hinton_figure
from .pictures import tiles as tiles
