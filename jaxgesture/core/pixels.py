"""From what networks draw to what files hold."""

import numpy as np
from jaxtyping import Float, UInt8


def to_pixels(images: Float[np.ndarray, "*b h w 3"]) -> UInt8[np.ndarray, "*b h w 3"]:
    """Floats in [0, 1] as uint8."""
    return np.clip(np.rint(np.asarray(images) * 255.0), 0, 255).astype(np.uint8)
