"""How torch and NumPy use the processor."""

from __future__ import annotations

import torch
from threadpoolctl import threadpool_limits


def prepare(threads: int) -> None:
    """Fix the number of threads of this process, and treat denormal numbers as zero (they are slow).

    NumPy's linear algebra has threads of its own, which wait by spinning: on a busy machine a small system of equations
    took a hundred times as long with two of them.

    Args:
        threads: Threads of one operation. One is fastest for the small products of a step.
    """
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    torch.set_flush_denormal(True)
