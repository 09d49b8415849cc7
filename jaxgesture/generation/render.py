"""Motion features to frames, in batches of one compiled shape."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.animation.model import Animation
from jaxgesture.animation.network import SourceCode
from jaxgesture.evaluation.reconstruction import to_pixels


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
    batch = min(batch, len(motion))
    for start in range(0, len(motion), batch):
        part = motion[start : start + batch]
        # The last batch is filled up, so that there is one compilation.
        padded = np.concatenate([part, np.repeat(part[-1:], batch - len(part), axis=0)])
        yield to_pixels(np.asarray(animation.animate(source, padded))[: len(part)])
