"""How far generated joints are from the true ones, and how often hands are missing.

Joints are the body's landmarks: x, y in pixels and visibility, NaN where not found.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import UserError

SHOULDERS = (11, 12)
UPPER_BODY = (0, 2, 5, 11, 12, 13, 14, 15, 16)
"""Nose, eyes, shoulders, elbows and wrists among MediaPipe's 33."""


class LandmarkDistance(NamedTuple):
    """Mean over joints and frames that are known on both sides.

    Attributes:
      pixels: Euclidean distance; nan where nothing is known on both sides.
      shoulders: the same in units of the true shoulders' mean distance in the clip.
      unknown: share of joints that are not known on one side, and left out.
    """

    pixels: float
    shoulders: float
    unknown: float


def landmark_distance(
    generated: Float[np.ndarray, "t 33 _"], true: Float[np.ndarray, "t 33 _"]
) -> LandmarkDistance:
    """Distance of the joints of `UPPER_BODY` of one clip, frame by frame.

    Raises:
      UserError: different numbers of frames.
    """
    if len(generated) != len(true):
        raise UserError(
            f"{len(generated)} frames of landmarks against {len(true)}; give as many of both"
        )
    ours, theirs = (points[:, list(UPPER_BODY), :2] for points in (generated, true))
    distance = np.linalg.norm(ours - theirs, axis=-1)
    known = np.isfinite(distance)
    width = np.linalg.norm(true[:, SHOULDERS[0], :2] - true[:, SHOULDERS[1], :2], axis=-1)
    width = width[np.isfinite(width) & (width > 0)]
    pixels = float(distance[known].mean()) if known.any() else float("nan")
    unit = float(width.mean()) if len(width) else float("nan")
    return LandmarkDistance(pixels, pixels / unit, float(1 - known.mean()) if known.size else 1.0)


class MissingHands(NamedTuple):
    """Of the hands that are seen in the true frames.

    Attributes:
      rate: share that is not found in the generated frames; nan where none is seen.
      seen: hands that are seen in the true frames.
    """

    rate: float
    seen: int


def missing_hands(
    generated: Float[np.ndarray, "t h 4"], true: Float[np.ndarray, "t h 4"]
) -> MissingHands:
    """Hands whose box is there in the true frame and not in the generated one.

    Args:
      generated: boxes of the hands in any unit, NaN where not found.
      true: the same of the true frames.

    Raises:
      UserError: different numbers of frames.
    """
    if len(generated) != len(true):
        raise UserError(
            f"{len(generated)} frames of boxes against {len(true)}; give as many of both"
        )
    seen = np.isfinite(true).all(axis=-1)
    lost = seen & ~np.isfinite(generated).all(axis=-1)
    count = int(seen.sum())
    return MissingHands(float(lost.sum() / count) if count else float("nan"), count)
