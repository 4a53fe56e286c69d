"""How many threads programs use: `set_num_threads`, `get_num_threads`."""

from ..backends.cpu.threads.pool import (
    available_cpus,
    get_num_threads,
    set_num_threads,
    shared_cores,
)

__all__ = ["available_cpus", "get_num_threads", "set_num_threads", "shared_cores"]
