"""explain_step: one step of back-propagation in numbers and formulas, for people who learn."""

from .explain import explain_step as explain_step
from .explained import ExplainedStep as ExplainedStep
from .tape_writing import ExplainedTape as ExplainedTape
