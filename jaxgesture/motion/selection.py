"""Motion selection: which of several candidates goes on best from the segment before.

score = sum |candidate's first five frames - previous last five|
      + mean over the feature's vectors of the angle between two mean velocities,
each over five differences: of the previous segment the last five; of the candidate its last five
("last", as S2G-MDDiffusion does) or its first five ("first"). The lowest wins, the first on ties.
"""

import jax.numpy as jnp
import numpy as np

from jaxgesture.core.errors import UserError
from jaxgesture.core.types import Array, Bool, Float, Int

FRAMES = 5
# Frames of the previous segment that the scores read: five differences.
TAIL = FRAMES + 1
COMPARE = ("last", "first")
# A mean velocity shorter than this has no direction.
STILL = 1e-8


def position_score(
    candidates: Float[Array, "k t d"], previous: Float[Array, "s d"]
) -> Float[Array, " k"]:
    """Summed distance of the first five frames from the previous segment's last five."""
    return jnp.abs(candidates[:, :FRAMES] - previous[None, -FRAMES:]).sum(axis=(1, 2))


def first_score(
    candidates: Float[Array, "k t d"], source: Float[Array, " d"]
) -> Float[Array, " k"]:
    """Summed distance of the first five frames from the source image's motion feature."""
    return jnp.abs(candidates[:, :FRAMES] - source[None, None]).sum(axis=(1, 2))


def angle_score(
    candidates: Float[Array, "k t d"],
    previous: Float[Array, "s d"],
    *,
    vector_size: int,
    compare: str = "last",
) -> Float[Array, " k"]:
    """Mean angle in radians between mean velocities; the feature is read as rows of `vector_size`.

    Raises:
      UserError: `compare` is unknown.
    """
    if compare not in COMPARE:
        raise UserError(f"selection is {compare!r}; choose one of {', '.join(COMPARE)}")
    window = candidates[:, -TAIL:] if compare == "last" else candidates[:, :TAIL]
    velocity = _rows((window[:, -1] - window[:, 0]) / FRAMES, vector_size)
    past = _rows((previous[-1:] - previous[-TAIL][None]) / FRAMES, vector_size)
    length, past_length = jnp.linalg.norm(velocity, axis=-1), jnp.linalg.norm(past, axis=-1)
    still = (length < STILL) | (past_length < STILL)
    cosine = (velocity * past).sum(-1) / jnp.where(still, 1, length * past_length)
    return jnp.where(still, 0, jnp.arccos(jnp.clip(cosine, -1, 1))).mean(axis=-1)


def select(
    candidates: Float[Array, "k t d"],
    previous: Float[Array, "s d"],
    source: Float[Array, " d"],
    first: Bool[Array, ""],
    *,
    vector_size: int,
    compare: str = "last",
) -> Int[Array, ""]:
    """Index of the best candidate; where `first`, `previous` is not read (there is none)."""
    seam = position_score(candidates, previous)
    seam = seam + angle_score(candidates, previous, vector_size=vector_size, compare=compare)
    return jnp.argmin(jnp.where(first, first_score(candidates, source), seam))


# Frames on each side of a seam that the spline looks at.
SEAM = 8


def smooth_seam(motion: Float[np.ndarray, "t d"], seam: int) -> Float[np.ndarray, "t d"]:
    """Replaces the frames around a seam by a cubic spline (not-a-knot), as S2G-MDDiffusion does.

    The spline goes through frames 8 to 6 before the seam and frames 5 to 7 after it, and replaces
    frames 7 before to 6 after, so that five on each side change.

    Args:
      motion: frames of both segments.
      seam: index of the second segment's first frame; where a side has fewer than eight frames the
        motion is returned as it is.
    """
    from scipy.interpolate import CubicSpline

    knots = np.r_[seam - SEAM : seam - 5, seam + 5 : seam + SEAM]
    if knots[0] < 0 or knots[-1] >= len(motion):
        return motion
    inside = np.arange(seam - 7, seam + 7)
    result = motion.copy()
    result[inside] = CubicSpline(knots, motion[knots])(inside)
    return result


def _rows(x, size):
    return x.reshape(len(x), -1, size)
