"""Motion features to frames, in batches of one compiled shape."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.animation.model import Animation
from jaxgesture.animation.network import SourceCode
from jaxgesture.core.pixels import to_pixels
from jaxgesture.data.batches import filled


def render(
    animation: Animation, source: SourceCode, motion: Float[np.ndarray, "t d"], batch: int = 16
) -> Iterator[UInt8[np.ndarray, "b h w 3"]]:
    """Draws the source in each pose; yields uint8 frames in batches as they are ready.

    Args:
      animation: the base model.
      source: what `animation.encode_source` made.
      motion: one motion feature a frame.
      batch: frames drawn at once; the memory needed grows with it, not with t.
    """
    for part, count in filled(motion, min(batch, len(motion))):
        yield to_pixels(np.asarray(animation.animate(source, part))[:count])
