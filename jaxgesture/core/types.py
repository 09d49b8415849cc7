"""Array annotations used all over the package, and the legend of their dimensions.

| letter | meaning                                   |
|--------|-------------------------------------------|
| b      | examples of a batch                       |
| t      | frames of a clip or a segment, 25 a second|
| h w    | height and width in pixels or cells       |
| z      | depth of the feature volume               |
| c      | channels, always the last axis            |
| d      | length of a motion feature                |
| a      | columns of the audio features             |
| n      | audio samples, or any other count         |

Images are RGB; `uint8` in [0, 255] in storage and pipelines, `float32` in [0, 1] in the networks.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

PyTree = Any
AnyArray = Array | np.ndarray
Batch = Mapping[str, Array]
NumpyBatch = dict[str, np.ndarray]


class Weighted(NamedTuple):
    """A metric of which a step has seen `weight`, perhaps nothing; both are scalars.

    The mean over several steps is the sum of their totals over the sum of their weights, and there
    is none where all weights are 0.
    """

    total: Array
    weight: Array


Metrics = dict[str, Array | Weighted]

__all__ = [
    "AnyArray",
    "Array",
    "Batch",
    "Bool",
    "Float",
    "Int",
    "Metrics",
    "NumpyBatch",
    "PyTree",
    "UInt8",
    "Weighted",
]
