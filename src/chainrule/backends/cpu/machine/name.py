"""What this processor is called."""

from __future__ import annotations

import platform
import re
from pathlib import Path


def processor_name() -> str:
    """As the system calls it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    named = re.search(r"^(?:model name|Processor)\s*:\s*(.+)$", text, re.M)
    return named[1].strip() if named else platform.machine()
