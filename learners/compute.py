"""How torch uses the processor."""

from __future__ import annotations

import torch


def prepare(threads: int) -> None:
    """Fix the number of threads of this process, and treat denormal numbers as zero (they are slow).

    Args:
        threads: Threads of one operation. One is fastest for the small products of a step.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
