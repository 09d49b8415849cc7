"""How the joints of a speaker move, and whether they move to the beats of the speech.

Positions are (t, j, 2), fractions of the frame, x to the right and y down. The three published
beat alignments (`evaluation.beats`) are each taken at the frame rate of its definition, to which
the positions are interpolated, so that none of its constants changes; what they divide by is
measured on true motion of the same corpus:

    HA2G BC     angles at shoulders and elbows; divided by their mean change
    EMAGE BC    speed of each joint; divided by its mean
    Bailando    mean speed of the joints
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jaxgesture.evaluation import beats as definitions
from jaxgesture.evaluation.motion import correlation

HANDS = ("left_wrist", "right_wrist")
MOVING = ("left_elbow", "left_wrist", "right_elbow", "right_wrist")
_ARMS = tuple(
    ("neck", f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist") for side in ("left", "right")
)
_PAIRS = ((0, 1), (1, 2), (3, 4), (4, 5))
HA2G_FPS, EMAGE_FPS, BAILANDO_FPS = 15.0, 30.0, 60.0
_PLACES = 9  # of positions, fractions of the frame, beyond which nothing moves
LAGS = np.arange(-0.6, 0.601, 0.04)
"""Seconds after a beat at which the hands' speed is looked at."""
ALIGNMENTS = ("ha2g_bc", "emage_bc", "bailando_bas")


@dataclasses.dataclass(frozen=True)
class Scale:
    """What alignments divide by.

    Attributes:
      angle: mean change from frame to frame, at 15 frames a second, of each arm angle, in units of
        pi; empty where the joints of the arms are not known.
      speed: mean speed of each joint, fractions of the frame a second.
    """

    angle: Float[np.ndarray, "p"]
    speed: Float[np.ndarray, "j"]


def resample(
    positions: Float[np.ndarray, "t j 2"], fps: float, to: float
) -> Float[np.ndarray, "s j 2"]:
    """Linear interpolation to another frame rate; the first frame stays the first."""
    if to == fps:
        return positions
    times = np.arange(int(np.floor((len(positions) - 1) / fps * to + 1e-9)) + 1) / to
    rows = times * fps
    low = np.minimum(rows.astype(int), len(positions) - 2)
    part = (rows - low)[:, None, None]
    # What stands still stays so to the last bit: rounding would have minima of its own.
    return positions[low] + part * (positions[low + 1] - positions[low])


def arm_vectors(
    positions: Float[np.ndarray, "t j 2"], joints: Sequence[str]
) -> Float[np.ndarray, "t 6 2"] | None:
    """Unit vectors neck to shoulder, upper arm and forearm of each side; None without arms."""
    if not {name for arm in _ARMS for name in arm} <= set(joints):
        return None
    points = [[positions[:, list(joints).index(name)] for name in arm] for arm in _ARMS]
    bones = [end - start for arm in points for start, end in zip(arm, arm[1:], strict=False)]
    vectors = np.stack(bones, axis=1)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-8)


def hand_speed(
    positions: Float[np.ndarray, "t j 2"], joints: Sequence[str], fps: float
) -> Float[np.ndarray, "t"]:
    """Speed of the hands, their mean, in fractions of the frame a second."""
    hands = positions[:, [list(joints).index(name) for name in HANDS]]
    return definitions.speeds(hands, fps).mean(axis=1)


def profile(
    speed: Float[np.ndarray, "t"],
    beats: Float[np.ndarray, "b"],
    fps: float,
    lags: Float[np.ndarray, "k"],
) -> Float[np.ndarray, "k"]:
    """Mean speed at each lag (seconds) after the beats, divided by the mean of all frames.

    Lags that leave the clip are left out; nan where none is left, or nothing moves.
    """
    times = np.arange(len(speed)) / fps
    at = np.asarray(beats)[:, None] + np.asarray(lags)[None]
    inside = (at >= 0) & (at <= times[-1])
    values = np.where(inside, np.interp(at, times, speed), np.nan)
    mean = speed.mean()
    counts = inside.sum(axis=0)
    total = np.nansum(values, axis=0)
    seen = (counts > 0) & (mean > 0)
    return np.where(seen, total / np.maximum(counts, 1) / (mean or 1.0), np.nan)


def mean_profile(
    clips: Sequence[tuple[Float[np.ndarray, "_ j 2"], Float[np.ndarray, "_"]]],
    joints: Sequence[str],
    fps: float,
) -> Float[np.ndarray, "k"]:
    """Mean over clips (joints, beats) of the speed of the hands at `LAGS` after the beats."""
    curves = [
        profile(hand_speed(positions, joints, fps), beats, fps, LAGS)
        for positions, beats in clips
        if len(beats)
    ]
    return mean_curve(curves)


def mean_curve(curves: Sequence[Float[np.ndarray, "k"]]) -> Float[np.ndarray, "k"]:
    """Mean at each lag over the curves that know it; nan where none does."""
    rows = np.reshape(curves, (-1, len(LAGS)))
    seen = ~np.isnan(rows)
    count = seen.sum(axis=0)
    total = np.where(seen, rows, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def beat_response(
    positions: Float[np.ndarray, "t j 2"],
    joints: Sequence[str],
    beats: Float[np.ndarray, "b"],
    fps: float,
    profile: Float[np.ndarray, "k"],
) -> float:
    """How far the hands' speed rises and falls around the beats as in `profile`: 1 as far, 0 not.

    The projection of the one curve on the other, each less 1, the mean speed.

    Args:
      positions: of a clip.
      joints: their names; `HANDS` are among them.
      beats: of the speech, seconds.
      fps: of the positions.
      profile: mean speed at `LAGS` after the beats of true motion, see `mean_profile`.

    Returns:
      0 for motion that stands still; nan where no lag lies in the clip, or the profile is flat.
    """
    if not np.ptp(positions, axis=0).any():
        return 0.0
    rise, reference = mean_profile([(positions, beats)], joints, fps) - 1, profile - 1
    seen = ~np.isnan(rise) & ~np.isnan(reference)
    power = (reference[seen] ** 2).sum()
    return float((rise[seen] * reference[seen]).sum() / power) if power > 0 else math.nan


def scale_of(
    clips: Sequence[Float[np.ndarray, "_ j 2"]], joints: Sequence[str], fps: float
) -> Scale:
    """The scale of a corpus, from its true motion."""
    angles, speeds = [], []
    for positions in clips:
        vectors = arm_vectors(resample(positions, fps, HA2G_FPS), joints)
        if vectors is not None:
            angles.append(definitions.angle_steps(vectors, _PAIRS))
        speeds.append(definitions.speeds(positions, fps))
    angle = np.concatenate(angles).mean(axis=0) if angles else np.zeros(0)
    return Scale(angle, np.concatenate(speeds).mean(axis=0))


def alignments(
    positions: Float[np.ndarray, "t j 2"],
    joints: Sequence[str],
    beats: Float[np.ndarray, "b"],
    fps: float,
    scale: Scale,
) -> dict[str, float]:
    """The three beat alignments, by the names in `ALIGNMENTS`.

    Without beats of the speech, and HA2G's without the joints of both arms, they are nan. Motion
    without beats of its own scores 0, so that a model which stands still loses no clip by it.

    Args:
      positions: of a clip.
      joints: their names; those of `MOVING` that are there are looked at.
      beats: of the speech, seconds; those after the last frame are left out.
      fps: of the positions.
      scale: of the corpus.
    """
    # Bailando's minima have no threshold: what differs by rounding alone must not differ at all.
    positions = np.round(np.asarray(positions, np.float64), _PLACES)
    beats = np.asarray(beats)
    beats = beats[beats < len(positions) / fps]
    moving = [i for i, name in enumerate(joints) if name in MOVING]
    found: dict[str, float] = dict.fromkeys(ALIGNMENTS, float("nan"))
    if not len(beats):
        return found
    vectors = arm_vectors(resample(positions, fps, HA2G_FPS), joints)
    if vectors is not None:
        change = definitions.angle_change(vectors, pairs=_PAIRS, mean_change=scale.angle)
        found["ha2g_bc"] = definitions.ha2g_bc(change, beats, fps=HA2G_FPS).score
    found["emage_bc"] = definitions.emage_bc(
        resample(positions, fps, EMAGE_FPS)[:, moving], beats, scale.speed[moving],
        joints=range(len(moving)), fps=EMAGE_FPS,
    )  # fmt: skip
    found["bailando_bas"] = definitions.bailando_bas(
        resample(positions, fps, BAILANDO_FPS)[:, moving], beats * BAILANDO_FPS
    )
    missing = {"ha2g_bc"} if vectors is None else set()
    return {
        name: 0.0 if math.isnan(value) and name not in missing else value
        for name, value in found.items()
    }


def seam_jump(motion: Float[np.ndarray, "t d"], segment: int) -> float:
    """Step across the seams of segments, in units of the usual step from frame to frame.

    nan for motion of one segment, or that does not move.
    """
    steps = np.linalg.norm(np.diff(motion, axis=0), axis=1)
    seams = np.arange(segment - 1, len(steps), segment)
    inside = np.delete(steps, seams)
    if not len(seams) or not len(inside) or not inside.mean() > 0:
        return float("nan")
    return float(steps[seams].mean() / inside.mean())


def jitter(positions: Float[np.ndarray, "t j 2"], joints: Sequence[str], fps: float) -> float:
    """Mean length of the third difference (jerk) of the hands, fractions of the frame / s^3."""
    hands = positions[:, [list(joints).index(name) for name in HANDS]]
    return float(np.linalg.norm(np.diff(hands, n=3, axis=0), axis=-1).mean() * fps**3)


def hand_distance(
    a: Float[np.ndarray, "t j 2"], b: Float[np.ndarray, "s j 2"], joints: Sequence[str]
) -> float:
    """Mean distance of the hands of two motions, fractions of the frame; cut to the shorter."""
    where = [list(joints).index(name) for name in HANDS]
    count = min(len(a), len(b))
    return float(np.linalg.norm(a[:count, where] - b[:count, where], axis=-1).mean())


def speed_correlation(
    positions: Float[np.ndarray, "t j 2"],
    true: Float[np.ndarray, "s j 2"],
    joints: Sequence[str],
    fps: float,
) -> float:
    """Pearson correlation of the speed of the hands with that of the true motion.

    Over the frames where the true hands are seen; nan where they are for less than a second.
    """
    count = min(len(positions), len(true))
    a, b = (hand_speed(motion, joints, fps)[:count] for motion in (positions, true))
    seen = np.isfinite(b)
    return correlation(a[seen], b[seen]) if seen.sum() >= fps else float("nan")
