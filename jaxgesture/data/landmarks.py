"""Landmarks of a speaker beside a video, and the boxes of hands, face and lips that they give.

`NAME.landmarks.npz` lies beside `NAME.mp4` and holds what MediaPipe Holistic found in it: one row
for every picture of the video, coordinates x, y in pixels of the picture as shown (rotated, with
square pixels), NaN where nothing was found. Left and right are the speaker's. What is read:

    pose            (T, 33, 3)  x, y and visibility in [0, 1]; of it, the corners of the mouth
    left_hand_box   (T, 4)      x0, y0, x1, y1
    right_hand_box  (T, 4)
    face_box        (T, 4)
    fps             ()          rows a second; row 0 belongs to the first picture

The lips' box is a square about the middle of the mouth's corners. Half of its side is 0.9 of their
distance, so that it reaches past them and holds an open mouth, and at least 8 % of the longer side
of the face's box, because the corners of a face in profile lie close together. It is NaN where the
face has no box or a corner has a visibility below 0.5.
"""

import dataclasses
import pathlib
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data.boxes import ABSENT, K

SUFFIX = ".landmarks.npz"
GUESSES = "guesses"

_BOXES = ("left_hand_box", "right_hand_box", "face_box")
_SHAPES = {"pose": (33, 3), **{name: (4,) for name in _BOXES}}
_MOUTH_CORNERS = [9, 10]
_MIN_VISIBILITY = 0.5
_SLOWEST, _FASTEST = 0.5, 1000.0  # rows a second
_FARTHEST = 1e6  # pixels from the corner
_LIPS_OF_CORNERS, _LIPS_OF_FACE = 0.9, 0.08
# Boxes that reach no further than this are no pixels.
_FRACTIONS = 2.0
# Moments in rows are compared with this slack.
_SLACK = 1e-6


@dataclasses.dataclass(frozen=True)
class Landmarks:
    """The boxes of a video, in its own pixels and at the rate of its landmarks.

    Attributes:
        boxes: float32 x0, y0, x1, y1 in pixels of the picture as shown, in the order of
            `boxes.PARTS`; NaN where not found.
        fps: rows a second.
    """

    boxes: Float[np.ndarray, "n k 4"]
    fps: float

    @property
    def seconds(self) -> float:
        """Until when there are rows; each lasts 1 / fps."""
        return len(self.boxes) / self.fps

    def at(self, fps: float, frames: int) -> Float[np.ndarray, "t k 4"]:
        """The boxes of `frames` frames, `fps` a second, in pixels.

        Frame k has the row nearest in time to k / fps, the earlier one of two that are equally
        near, as `video.read_frames` chooses pictures; beyond the last row it has NaN.
        """
        moments = np.arange(frames) * (self.fps / fps)
        moments = moments[moments < len(self.boxes) - _SLACK]
        rows = np.ceil(moments - 0.5 - _SLACK).astype(np.int64)
        found = np.full((frames, K, 4), ABSENT)
        found[: len(rows)] = self.boxes[np.minimum(rows, len(self.boxes) - 1)]
        return found


def beside(video: pathlib.Path) -> pathlib.Path | None:
    """The file of landmarks of a video; None where there is none."""
    path = video.with_suffix(SUFFIX)
    return path if path.is_file() else None


def read(path: pathlib.Path) -> Landmarks:
    """Reads the landmarks of a video.

    Raises:
        UserError: the file cannot be read, lacks an array or has one of another shape.
    """
    arrays = _arrays(path)
    rows = len(arrays["face_box"])
    for name, shape in _SHAPES.items():
        if arrays[name].shape != (rows, *shape):
            expected = ", ".join(["T", *map(str, shape)])
            raise UserError(
                f"{path}: {name} is {arrays[name].shape}, ({expected}) is expected, with one T for "
                "all; make it again, `jaxgesture landmarks --overwrite`"
            )
    fps = _rate(arrays["fps"], path)
    parts = [arrays[name] for name in _BOXES]
    boxes = np.stack([*parts, _lips(arrays["pose"], arrays["face_box"])], axis=1)
    _check(np.stack(parts, axis=1), path)
    return Landmarks(boxes.astype(np.float32), fps)


class Pose(NamedTuple):
    """The body of a speaker in a video.

    Attributes:
        points: float64 (n, 33, 3), x and y in pixels and visibility in [0, 1]; NaN and 0 where a
            joint was not found or has a visibility below 0.5.
        fps: rows a second.
    """

    points: Float[np.ndarray, "n 33 3"]
    fps: float


def read_pose(path: pathlib.Path) -> Pose:
    """Reads the body's landmarks of a video; boxes are not looked at.

    Raises:
        UserError: the file cannot be read, lacks an array or has one of another shape.
    """
    arrays = _arrays(path, ("pose",))
    fps, pose = _rate(arrays["fps"], path), arrays["pose"]
    if pose.ndim != 3 or pose.shape[1:] != _SHAPES["pose"] or not len(pose):
        raise UserError(
            f"{path}: pose is {pose.shape}, (T, 33, 3) is expected; make it again, "
            "`jaxgesture landmarks --overwrite`"
        )
    # What is not seen is guessed, mostly beyond the edge of the picture.
    pose = np.where(pose[..., 2:] >= _MIN_VISIBILITY, pose, [np.nan, np.nan, 0])
    with np.errstate(invalid="ignore"):
        absurd = ~np.isnan(pose[..., :2]) & ~(np.abs(pose[..., :2]) <= _FARTHEST)
    if absurd.any():
        warnings.warn(
            f"{path}: {int(absurd.any(axis=-1).sum())} joints lie nowhere near a picture; they are "
            "taken as not found",
            DataWarning,
            stacklevel=2,
        )
        pose[absurd.any(axis=-1)] = (np.nan, np.nan, 0)
    return Pose(pose, fps)


def _rate(fps: np.ndarray, path: pathlib.Path) -> float:
    if fps.shape != () or not _SLOWEST <= fps <= _FASTEST:
        raise UserError(
            f"{path}: fps is {fps.tolist()}, one number above 0 is expected, from {_SLOWEST:g} to "
            f"{_FASTEST:g}"
        )
    return float(fps)


def are_guesses(path: pathlib.Path) -> bool:
    """Whether the boxes come from something that always finds hands, seen or not.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with np.load(path) as file:
            return GUESSES in file and bool(file[GUESSES])
    except Exception as error:  # see `_arrays`
        reason = type(error).__name__
        raise UserError(f"{path} is no readable .npz file ({reason}); copy it again") from error


def _check(boxes: Float[np.ndarray, "n k 4"], path: pathlib.Path) -> None:
    """Refuses boxes that are not corners in pixels."""
    found = boxes[np.isfinite(boxes).all(-1)]
    if not len(found):
        return
    turned = int(((found[:, 2:] <= found[:, :2]).any(-1)).sum())
    if turned:
        raise UserError(
            f"{path}: {turned} of {len(found)} boxes are empty or inside out; x0, y0, x1, y1 with "
            "x0 < x1 and y0 < y1 are expected"
        )
    if np.abs(found).max() <= _FRACTIONS:
        raise UserError(f"{path}: the boxes seem to be fractions of the picture, not its pixels")


def _arrays(path: pathlib.Path, names: Sequence[str] = tuple(_SHAPES)) -> dict[str, np.ndarray]:
    """The named arrays and fps, as float64 of any shape; face_box has at least one axis."""
    wanted = ("fps", *names)
    try:
        with np.load(path) as file:
            arrays = {n: _real(file[n]) for n in wanted if n in file}
    except Exception as error:  # damage shows as any of a dozen, of NumPy, zipfile and zlib
        reason = type(error).__name__
        raise UserError(f"{path} is no readable .npz file ({reason}); copy it again") from error
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise UserError(
            f"{path} has no {', '.join(missing)}; make it again, `jaxgesture landmarks --overwrite`"
        )
    if "face_box" in arrays:
        arrays["face_box"] = np.atleast_1d(arrays["face_box"])
    return arrays


def _real(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise TypeError(f"an array of {array.dtype}")
    return array.astype(np.float64)


def _lips(pose: Float[np.ndarray, "n 33 3"], face: Float[np.ndarray, "n 4"]) -> np.ndarray:
    corners = pose[:, _MOUTH_CORNERS]
    middle = corners[..., :2].mean(1)
    distance = np.hypot(*(corners[:, 0, :2] - corners[:, 1, :2]).T)
    side = (face[:, 2:] - face[:, :2]).max(1)
    half = np.maximum(_LIPS_OF_CORNERS * distance, _LIPS_OF_FACE * side)[:, None]
    seen = (corners[..., 2] >= _MIN_VISIBILITY).all(1, keepdims=True)
    return np.where(seen, np.concatenate([middle - half, middle + half], axis=1), np.nan)
