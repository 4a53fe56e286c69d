"""The commands: name, module that defines it as ``command``, and one line of help.

A module is imported when its command is called, so `chainrule --help` is quick.
"""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("chainrule.cli.train", "Train a net on a table, images, a text or sequences."),
    "predict": (
        "chainrule.cli.predict",
        "Answer rows, images or sequences with a trained net.",
    ),
    "evaluate": ("chainrule.cli.evaluate", "Measure a trained net where the answers are known."),
    "sample": ("chainrule.cli.sample", "Write on with a net that was trained on a text."),
    "inspect": ("chainrule.cli.inspect", "Tell what is in a model file."),
    "demo": ("chainrule.cli.demo", "Train XOR and handwritten digits; draw what the nets learned."),
    "bench": (
        "chainrule.cli.bench",
        "Time training steps beside PyTorch, JAX, scikit-learn and NumPy.",
    ),
    "reproduce": (
        "chainrule.cli.reproduce",
        "Repeat the experiments of the literature over many seeds.",
    ),
    "models": (
        "chainrule.cli.models",
        "List trained nets; train those that do not come with the package.",
    ),
    "explain": (
        "chainrule.cli.explain",
        "Show the program of a training step and where its time goes.",
    ),
    "doctor": ("chainrule.cli.doctor", "Tell what this machine offers, and what is missing."),
}
