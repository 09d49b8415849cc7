"""Motion features to frames, in batches of one compiled shape."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.animation.model import Animation
from jaxgesture.animation.network import SourceCode
from jaxgesture.core.pixels import to_pixels
from jaxgesture.data.batches import filled


class Renderer:
    """Draws a source in poses that come piece by piece; only what fills no batch yet is held.

    Args:
      animation: the base model.
      source: what `animation.encode_source` made.
      batch: frames drawn at once; the memory needed grows with it.
    """

    def __init__(self, animation: Animation, source: SourceCode, batch: int = 16):
        self._animation, self._source, self._batch = animation, source, batch
        self._held: list[np.ndarray] = []

    def draw(
        self, motion: Float[np.ndarray, "t d"], last: bool
    ) -> Iterator[UInt8[np.ndarray, "b h w 3"]]:
        """Takes the next poses and yields the frames that are ready; all of them after the last."""
        poses = np.concatenate([*self._held, motion])
        whole = len(poses) if last else len(poses) - len(poses) % self._batch
        self._held = [poses[whole:]]
        for part, count in filled(poses[:whole], self._batch):
            yield to_pixels(np.asarray(self._animation.animate(self._source, part))[:count])


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
    yield from Renderer(animation, source, min(batch, len(motion))).draw(motion, last=True)
