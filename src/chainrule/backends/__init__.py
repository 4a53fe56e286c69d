"""Backends: loop programs to machines. `cudnn` and `mps` are not there, and say so."""

from ..core.device import cudnn as cudnn
from ..core.device import mps as mps
