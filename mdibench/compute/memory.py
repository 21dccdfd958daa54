"""Memory of freed feature maps: kept for the next layer instead of given back to the system."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's ``malloc.h``."""
_LARGEST_TENSOR = 32 * 1024**2
"""Bytes up to which memory comes from the heap: the most that glibc allows."""
_KEPT = 1024**3


def keep_freed_memory() -> bool:
    """Ask glibc's malloc to keep what is freed; whether there was one to ask.

    By default it gives large blocks back at once, and each layer of a batch then has its pages
    fetched and zeroed anew, which costs up to a third of the batch's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_TENSOR) and mallopt(_M_TRIM_THRESHOLD, _KEPT))
