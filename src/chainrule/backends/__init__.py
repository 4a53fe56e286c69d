"""Backends: loop programs to machines. `cudnn` and `mps` are not there, and say so."""

from ..core.host.device import cudnn as cudnn
from ..core.host.device import mps as mps
