"""Poses as unit vectors along bones: the 27 numbers that gesture metrics are computed on.

The nine vectors are those of Yoon et al. (ACM TOG 2020, "Speech Gesture Generation from the
Trimodal Context"), each from a joint to the next:

    0 spine - neck      3 neck - right shoulder    6 neck - left shoulder
    1 neck - nose       4 right upper arm          7 left upper arm
    2 nose - head       5 right forearm            8 left forearm

They are taken from the body's landmarks (`landmarks`), which know no depth: x points right, y down,
z is 0. The neck is the middle of the shoulders, the head the middle of the eyes, the foot of the
spine the middle of the hips. Where the hips are not seen, as in most pictures of speakers, the
spine is upright.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from jaxgesture.data.landmarks import Pose

FPS = 15.0
"""Frames a second of the windows of gesture metrics."""
WINDOW = 34
"""Frames of a window."""
VECTORS = 9
SIZE = 3 * VECTORS
NAMES = (
    "spine", "neck-nose", "nose-head", "right shoulder", "right upper arm", "right forearm",
    "left shoulder", "left upper arm", "left forearm",
)  # fmt: skip

NOSE, EYES, SHOULDERS, ELBOWS, WRISTS, HIPS = 0, (2, 5), (11, 12), (13, 14), (15, 16), (23, 24)
"""Rows of MediaPipe's body; of a pair the speaker's left is first."""
MIN_VISIBILITY = 0.5


def pose_vectors(points: Float[np.ndarray, "t 33 3"]) -> Float[np.ndarray, "t 27"]:
    """The vectors of each frame, one after the other.

    Args:
        points: x and y in any unit, y down, and visibility in [0, 1].

    Returns:
        NaN in frames where a joint other than the hips was not found.
    """
    place = points[..., :2]

    def middle(pair: Sequence[int]) -> np.ndarray:
        return 0.5 * (place[:, pair[0]] + place[:, pair[1]])

    neck, nose = middle(SHOULDERS), place[:, NOSE]
    hips = points[:, list(HIPS)]
    # Between a frame with hips and one without, `steady` leaves a visibility without a place.
    hips_seen = (hips[..., 2] >= MIN_VISIBILITY) & np.isfinite(hips).all(axis=-1)
    hips_seen = hips_seen.all(axis=1, keepdims=True)
    upright = np.broadcast_to(np.array([0.0, -1.0]), neck.shape)
    bones = [
        np.where(hips_seen, neck - middle(HIPS), upright),
        nose - neck,
        middle(EYES) - nose,
    ]
    for side in (1, 0):
        shoulder, elbow, wrist = (place[:, pair[side]] for pair in (SHOULDERS, ELBOWS, WRISTS))
        bones += [shoulder - neck, elbow - shoulder, wrist - elbow]
    flat = np.stack(bones, axis=1)
    length = np.linalg.norm(flat, axis=-1, keepdims=True)
    unit = flat / np.where(length > 0, length, np.nan)
    vectors = np.concatenate([unit, np.zeros_like(unit[..., :1])], axis=-1).reshape(len(flat), SIZE)
    return np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, np.nan)


def steady(pose: Pose, fps: float = FPS) -> Float[np.ndarray, "s 33 3"]:
    """A pose at another frame rate, interpolated linearly; frames between NaNs are NaN."""
    rows = pose.points
    if len(rows) < 2 or fps == pose.fps:
        return rows
    moments = np.arange(int((len(rows) - 1) / pose.fps * fps + 1e-9) + 1) * (pose.fps / fps)
    low = np.minimum(moments.astype(int), len(rows) - 2)
    part = (moments - low)[:, None, None]
    # A frame that is hit exactly does not hang on its neighbour.
    first = np.where(part < 1, (1 - part) * rows[low], 0)
    second = np.where(part > 0, part * rows[low + 1], 0)
    return first + second


def window_starts(
    rows: Float[np.ndarray, "t c"], size: int = WINDOW, stride: int = 10
) -> Int[np.ndarray, "n"]:
    """First rows of the windows of `size` rows, every `stride`, that hold no NaN."""
    starts = np.arange(0, len(rows) - size + 1, stride)
    gaps = np.concatenate([[0], np.cumsum(~np.isfinite(rows).all(axis=1))])
    return starts[gaps[starts + size] == gaps[starts]] if len(starts) else starts


def windows(
    rows: Float[np.ndarray, "t c"], size: int = WINDOW, stride: int = 10
) -> Float[np.ndarray, "n size c"]:
    """Windows of `size` rows, every `stride`; those that hold a NaN are left out."""
    starts = window_starts(rows, size, stride)
    return rows[starts[:, None] + np.arange(size)].reshape(len(starts), size, rows.shape[1])
