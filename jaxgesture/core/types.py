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
from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

PyTree = Any
AnyArray = Array | np.ndarray
Batch = Mapping[str, Array]
Metrics = dict[str, Array]
NumpyBatch = dict[str, np.ndarray]

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
]
