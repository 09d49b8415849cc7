"""Rows in batches of one size, so that a jitted function sees one shape."""

from collections.abc import Callable
from typing import Any

import numpy as np


def in_batches(function: Callable[..., Any], size: int, *arrays: np.ndarray) -> np.ndarray:
    """Applies a function of rows to arrays of them, batch by batch.

    Args:
      function: takes `size` rows of each array, and returns as many.
      size: rows of a batch; the last one is filled up with copies of the last row.
      arrays: of the same length, at least 1.
    """
    count = len(arrays[0])
    results = []
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        results.append(np.asarray(function(*(a[rows] for a in arrays)))[: count - start])
    return np.concatenate(results)
