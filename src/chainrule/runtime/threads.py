"""How many threads programs use: `set_num_threads`, `get_num_threads`."""

from ..backends.cpu.threads.pool import (
    available_cpus,
    get_num_threads,
    set_num_threads,
    shared_cores,
)
from ..backends.cpu.threads.pool_ir import MOST_THREADS

__all__ = ["MOST_THREADS", "available_cpus", "get_num_threads", "set_num_threads", "shared_cores"]
