r"""Beat alignment: does motion have its own beats where the speech has its beats?

Three published definitions, each with a Gaussian of the distance from every beat b of the speech
to the nearest beat m of the motion:

    score = mean over b of exp(-min_m (b - m)^2 / (2 sigma^2))

They differ in what is a beat of the motion:

    HA2G BC       a local minimum of the summed change of the angles at shoulders and elbows,
                  deeper by a threshold than a neighbour (Liu et al., CVPR 2022, "Learning
                  Hierarchical Cross-Modal Association for Co-Speech Gesture Generation")
    EMAGE BC      for each joint a minimum of its speed among 7 frames on each side, above a
                  threshold; the mean over joints (Liu et al., CVPR 2024, "EMAGE")
    Bailando BAS  a local minimum of the smoothed mean speed of all joints (Siyao et al., CVPR 2022)

Plain numpy, float64; where a definition gives no number the answer is nan, unless said.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

# Mean change of each angle in the TED corpus, in units of pi a frame of 15 a second.
HA2G_MEAN_CHANGE = (
    0.0034540758933871984,
    0.007043459918349981,
    0.003493624273687601,
    0.007205077446997166,
)
HA2G_PAIRS = ((3, 4), (4, 5), (6, 7), (7, 8))
EMAGE_JOINTS = (3, 6, 9, *range(12, 22))


def alignment(
    beats: Float[np.ndarray, "b"], motion_beats: Float[np.ndarray, "m"], sigma: float
) -> float:
    """Mean over `beats` of the Gaussian of the distance to the nearest of `motion_beats`.

    Args:
      beats: of the speech, in any unit.
      motion_beats: in the same unit.
      sigma: width of the Gaussian, in the same unit.

    Returns:
      in [0, 1]; nan without beats on either side.
    """
    speech, motion = np.asarray(beats, np.float64), np.asarray(motion_beats, np.float64)
    if not len(speech) or not len(motion):
        return float("nan")
    distance = np.abs(speech[:, None] - motion[None]).min(axis=1)
    return float(np.exp(-(distance**2) / (2 * sigma**2)).mean())


def angle_steps(
    vectors: Float[np.ndarray, "t v k"], pairs: Sequence[tuple[int, int]] = HA2G_PAIRS
) -> Float[np.ndarray, "s p"]:
    """Change of the angle of each pair of unit vectors from frame to frame, in units of pi."""
    vectors = np.asarray(vectors, np.float64)  # in float32 a small angle is lost in the arccos
    first, second = (vectors[:, [pair[i] for pair in pairs]] for i in (0, 1))
    angle = np.arccos(np.clip((first * second).sum(axis=-1), -1, 1)) / np.pi
    return np.abs(np.diff(angle, axis=0))


def angle_change(
    vectors: Float[np.ndarray, "t v k"],
    *,
    pairs: Sequence[tuple[int, int]] = HA2G_PAIRS,
    mean_change: Sequence[float] | Float[np.ndarray, "p"] = HA2G_MEAN_CHANGE,
) -> Float[np.ndarray, "t"]:
    """Change of the angles between pairs of unit vectors from the frame before; 1 is usual.

    Args:
      vectors: unit vectors of bones in each frame.
      pairs: which vectors meet in each angle.
      mean_change: what each change is divided by, in units of pi a frame; by default those of the
        TED corpus at 15 frames a second.

    Returns:
      the mean over the pairs; 0 in the first frame.
    """
    steps = angle_steps(vectors, pairs) / np.asarray(mean_change) / len(pairs)
    return np.concatenate([[0.0], steps.sum(axis=1)])[: len(vectors)]


def ha2g_motion_beats(
    change: Float[np.ndarray, "t"], *, fps: float = 15.0, threshold: float = 0.03
) -> Float[np.ndarray, "m"]:
    """Times in seconds of the minima of `angle_change`.

    A frame from the third to the last but one counts that lies below both neighbours, and at least
    `threshold` below one of them.
    """
    middle, before, after = change[2:-1], change[1:-2], change[3:]
    lowest = (middle < before) & (middle < after)
    deep = (before - middle >= threshold) | (after - middle >= threshold)
    return (np.flatnonzero(lowest & deep) + 2) / fps


class Score(NamedTuple):
    """A sample's score and the beats of its speech, which weigh it in a corpus."""

    score: float
    beats: int


def ha2g_bc(
    change: Float[np.ndarray, "t"],
    beats: Float[np.ndarray, "b"],
    *,
    fps: float = 15.0,
    threshold: float = 0.03,
    sigma: float = 0.1,
) -> Score:
    """HA2G's beat consistency of one sample.

    Args:
      change: from `angle_change`.
      beats: onsets of the speech, seconds from the first frame.
      fps: of `change`.
      threshold: of `ha2g_motion_beats`.
      sigma: seconds.
    """
    found = ha2g_motion_beats(change, fps=fps, threshold=threshold)
    return Score(alignment(beats, found, sigma), len(beats))


def ha2g_corpus_bc(samples: Sequence[Score]) -> float:
    """The mean over all beats of the samples; those without a score are left out."""
    scored = [sample for sample in samples if not np.isnan(sample.score)]
    total = sum(sample.beats for sample in scored)
    return sum(s.score * s.beats for s in scored) / total if total else float("nan")


def emage_motion_beats(
    speed: Float[np.ndarray, "t"],
    *,
    start: int = 0,
    end: int | None = None,
    threshold: float = 0.3,
    order: int = 7,
    upstream: bool = True,
) -> Int[np.ndarray, "m"]:
    """Minima of one joint's speed in frames [start, end), as frames after `start`.

    Args:
      speed: in units of the joint's mean speed.
      start: first frame looked at.
      end: the frame after the last; None is the end.
      threshold: slower minima are rest, not beats.
      order: a minimum is below all of so many frames on each side.
      upstream: compare the speed in the frame `index` from the clip's beginning, as the published
        code does, rather than from `start`. They are the same for `start` = 0.
    """
    from scipy.signal import argrelextrema

    window = speed[start:end]
    (found,) = argrelextrema(window, np.less, order=order)
    return found[(speed if upstream else window)[found] > threshold]


def speeds(positions: Float[np.ndarray, "t j k"], fps: float) -> Float[np.ndarray, "t j"]:
    """Length of the velocity: central differences, one-sided at the ends; units a second.

    Fewer than two frames have no velocity; their speed is 0.
    """
    positions = np.asarray(positions, np.float64)
    if len(positions) < 2:
        return np.zeros(positions.shape[:2])
    return np.linalg.norm(np.gradient(positions, 1 / fps, axis=0), axis=-1)


def emage_bc(
    positions: Float[np.ndarray, "t j k"],
    beats: Float[np.ndarray, "b"],
    mean_speed: Float[np.ndarray, "j"],
    *,
    joints: Sequence[int] = EMAGE_JOINTS,
    fps: float = 30.0,
    start: int = 0,
    end: int | None = None,
    threshold: float = 0.3,
    order: int = 7,
    sigma: float = 0.3,
    upstream: bool = True,
) -> float:
    """EMAGE's beat consistency of one clip.

    Args:
      positions: of the joints.
      beats: onsets of the speech, seconds after frame `start`.
      mean_speed: what each joint's speed is divided by, units of `positions` a second.
      joints: over which the mean is taken; by default spine and arms among EMAGE's 55.
      fps: of `positions`.
      start: first frame looked at.
      end: the frame after the last.
      threshold: of `emage_motion_beats`.
      order: likewise.
      sigma: seconds.
      upstream: likewise.

    Returns:
      in [0, 1], where a joint without beats counts 0; nan without beats of the speech, or joints.
    """
    if not len(beats) or not len(joints):
        return float("nan")
    scaled = speeds(positions, fps) / np.asarray(mean_speed)
    scores = []
    for joint in joints:
        found = emage_motion_beats(
            scaled[:, joint], start=start, end=end, threshold=threshold, order=order,
            upstream=upstream,
        )  # fmt: skip
        scores.append(alignment(beats, found / fps, sigma) if len(found) else 0.0)
    return float(np.mean(scores))


def bailando_motion_beats(
    positions: Float[np.ndarray, "t j k"], *, smoothing: float = 5.0
) -> Int[np.ndarray, "m"]:
    """Frames of the local minima of the joints' mean displacement from frame to frame.

    Args:
      positions: of the joints.
      smoothing: deviation, in frames, of the Gaussian that smooths the displacement.
    """
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import argrelextrema

    positions = np.asarray(positions, np.float64)
    step = np.linalg.norm(np.diff(positions, axis=0), axis=-1).mean(axis=1)
    (found,) = argrelextrema(gaussian_filter1d(step, smoothing), np.less)
    return found


def bailando_bas(
    positions: Float[np.ndarray, "t j k"],
    beats: Float[np.ndarray, "b"],
    *,
    smoothing: float = 5.0,
    sigma: float = 3.0,
) -> float:
    """Bailando's beat align score; everything in frames, by default of 60 a second.

    Args:
      positions: of the joints.
      beats: of the sound, frames.
      smoothing: of `bailando_motion_beats`, frames.
      sigma: frames.
    """
    return alignment(beats, bailando_motion_beats(positions, smoothing=smoothing), sigma)
