"""Landmarks of the synthetic presenter: exact, or read from pictures of it.

Of its own frames joints and boxes are known. In frames that a model has drawn they are read by
ridge regression from pixels to joints, fitted for each speaker on frames of other performances, of
which the truth is known:

    J = J0 + (X - X0) W,    W = argmin |X W - J|^2 + ridge |W|^2

with X the colours of the frame at 32 x 32 pixels. Both come in the form of a landmarks file, see
`landmarks`; of MediaPipe's 33 joints those are there that the presenter has.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.core.errors import UserError
from jaxgesture.core.types import NumpyBatch
from jaxgesture.data import boxes as boxing
from jaxgesture.data import landmarks
from jaxgesture.data.presenter import Presentation, perform

# Row of MediaPipe's body -> joint of the presenter.
ROWS = {
    0: "nose", 2: "left_eye", 5: "right_eye", 11: "left_shoulder", 12: "right_shoulder",
    13: "left_elbow", 14: "right_elbow", 15: "left_wrist", 16: "right_wrist",
    19: "left_middle_tip", 20: "right_middle_tip",
}  # fmt: skip
_MOUTH = (9, 10)
# `landmarks` makes the lips' box of the corners of the mouth: half its side is 0.9 of their
# distance.
_CORNERS_OF_LIPS = 0.5 / 0.9
_SIDE = 32
# Performances that the reader is fitted on; no corpus has such seeds.
_SEEDS = range(900_000_000, 900_000_016)
_SECONDS, _EVERY = 8.0, 3
_BLUR = 0.8  # pixels of 32


def exact(play: Presentation) -> NumpyBatch:
    """The arrays of a landmarks file of a performance, in pixels of its frames."""
    places = {name: play.joints[:, play.joint_names.index(name)] for name in ROWS.values()}
    return _arrays(places, play.boxes, play.fps)


def write(path: pathlib.Path, arrays: NumpyBatch) -> None:
    """Writes a landmarks file, or another of arrays; it appears when it is whole.

    Raises:
        UserError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; free space or choose another folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@dataclasses.dataclass(frozen=True)
class PresenterReader:
    """Finds the joints and boxes of one speaker in frames; `fit_reader` makes it.

    Attributes:
        mean: of the colours.
        base: of joints and boxes, fractions of the frame.
        weights: from colours to joints and boxes.
    """

    mean: Float[np.ndarray, "x"]
    base: Float[np.ndarray, "y"]
    weights: Float[np.ndarray, "x y"]

    def __call__(self, frames: UInt8[np.ndarray, "t s s 3"], fps: float = 25.0) -> NumpyBatch:
        """The arrays of a landmarks file, in pixels of the frames."""
        found = self.base + (_colours(frames) - self.mean) @ self.weights
        size = frames.shape[1]
        count = len(ROWS)
        places = found[:, : 2 * count].reshape(-1, count, 2) * size
        sides = np.clip(found[:, 2 * count :].reshape(-1, boxing.K, 4), 0, 1) * size
        # In a picture that shows no presenter a box may come out empty: then it was not found.
        sides[(sides[..., 2:] <= sides[..., :2]).any(axis=-1)] = np.nan
        arrays = _arrays(
            dict(zip(ROWS.values(), np.moveaxis(places, 1, 0), strict=True)),
            dict(zip(boxing.PARTS, np.moveaxis(sides, 1, 0), strict=True)),
            fps,
        )
        # A hand that is not drawn is found all the same.
        return {**arrays, landmarks.GUESSES: np.array(True)}


def fit_reader(identity: int, *, ridge: float = 1e-2) -> PresenterReader:
    """Draws the speaker in other performances, and fits a reader on them; takes seconds.

    Args:
        identity: of the speaker.
        ridge: penalty, in units of the mean squared colour of all frames: the larger, the less it
            minds noise and blur.
    """
    from scipy import ndimage

    colours, targets = [], []
    for seed in _SEEDS:
        play = perform(seed, identity, _SECONDS, _SIDE)
        frames = range(0, len(play), _EVERY)
        colours.append(_colours(np.stack([play.frame(index) for index in frames])))
        joints = np.stack(
            [play.joints[frames, play.joint_names.index(name)] for name in ROWS.values()], axis=1
        )
        boxes = np.stack([play.boxes[part][frames] for part in boxing.PARTS], axis=1)
        flat = [values.reshape(len(frames), -1) for values in (joints, boxes)]
        targets.append(np.concatenate(flat, axis=1) / _SIDE)
    x, y = np.concatenate(colours), np.concatenate(targets)
    # Models draw softly: every second frame is fitted blurred.
    soft = x[::2].reshape(-1, _SIDE, _SIDE, 3)
    x[::2] = ndimage.gaussian_filter(soft, (0, _BLUR, _BLUR, 0)).reshape(len(soft), -1)
    mean, base = x.mean(axis=0), y.mean(axis=0)
    centred = x - mean
    # Fewer frames than colours: the dual form is the smaller one.
    gram = centred @ centred.T
    gram += ridge * np.trace(gram) / len(gram) * np.eye(len(gram))
    return PresenterReader(mean, base, centred.T @ np.linalg.solve(gram, y - base))


def _colours(frames: UInt8[np.ndarray, "t s s 3"]) -> Float[np.ndarray, "t x"]:
    """Colours in [0, 1] at 32 x 32 pixels, area by area."""
    from PIL import Image

    if frames.shape[1] != _SIDE:
        size = (_SIDE, _SIDE)
        frames = np.stack(
            [np.asarray(Image.fromarray(f).resize(size, Image.Resampling.BOX)) for f in frames]
        )
    return frames.reshape(len(frames), -1) / 255.0


def _arrays(
    places: Mapping[str, np.ndarray], boxes: Mapping[Any, np.ndarray], fps: float
) -> NumpyBatch:
    lips = boxes["lips"]
    pose = np.full((len(lips), 33, 3), np.nan, np.float32)
    for row, name in ROWS.items():
        pose[:, row, :2] = places[name]
    middle = 0.5 * (lips[:, :2] + lips[:, 2:])
    half = 0.5 * _CORNERS_OF_LIPS * (lips[:, 2] - lips[:, 0])
    for row, sign in zip(_MOUTH, (1, -1), strict=True):
        pose[:, row, :2] = middle + sign * np.stack([half, np.zeros_like(half)], axis=1)
    pose[..., 2] = np.isfinite(pose[..., :2]).all(axis=-1)
    named = {f"{part}_box": boxes[part].astype(np.float32) for part in boxing.PARTS[:3]}
    return {"pose": pose, **named, "fps": np.array(fps)}


def of_boxes(boxes: Float[np.ndarray, "t k 4"], size: int, fps: float) -> NumpyBatch:
    """A landmarks file that knows boxes alone, and no body.

    Args:
        boxes: fractions of the frame, in the order of `boxes.PARTS`; NaN for what is not seen.
        size: side of the frames, pixels.
        fps: frames a second.
    """
    sides = dict(zip(boxing.PARTS, np.moveaxis(boxes * size, 1, 0), strict=True))
    nowhere = np.full((len(boxes), 2), np.nan)
    return _arrays(dict.fromkeys(ROWS.values(), nowhere), sides, fps)
