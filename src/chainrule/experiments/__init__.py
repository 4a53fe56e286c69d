"""The experiments that made back-propagation known, repeated over many seeds."""

from .base import Experiment as Experiment
from .base import Measurement as Measurement
from .base import Result as Result
from .catalogue import EXPERIMENTS as EXPERIMENTS
from .catalogue import reproduce as reproduce
