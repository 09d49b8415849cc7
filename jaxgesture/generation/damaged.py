"""Clips of the synthetic presenter, and the same with damage of known kind and grade.

Each grade is a folder of videos with exact landmarks and beats, as `evaluation.video_sets` takes
them. Pictures are damaged without their landmarks, and time with both.
"""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxgesture.core.types import NumpyBatch
from jaxgesture.data import landmarks, presenter_landmarks
from jaxgesture.data.presenter import Presentation, perform
from jaxgesture.generation import kept
from jaxgesture.generation.writer import VideoWriter

TRUE = "true"
_FPS = 25.0
# Words of another speech by the same presenter.
_OTHER = 500_000_000


class Damaged(NamedTuple):
    """A clip: frames, landmarks and beats."""

    frames: UInt8[np.ndarray, "t s s 3"]
    marks: NumpyBatch
    beats: np.ndarray


class Grade(NamedTuple):
    """One grade of a damage; `make` gets a performance and its number."""

    damage: str
    amount: str
    make: Callable[[Presentation, int], Damaged]

    @property
    def folder(self) -> str:
        """Its name as a part of a path."""
        return (
            f"{self.damage} {self.amount}".replace(" ", "_")
            .replace("%", "percent")
            .replace("/", "of")
        )


def grades() -> list[Grade]:
    """All damages, each from the smallest grade to the largest."""
    made = [
        *(Grade("blur", f"{s:g} % of the side", functools.partial(_blur, s)) for s in (1, 2, 4)),
        *(Grade("noise", f"{s}/255", functools.partial(_noise, s)) for s in (8, 16, 32)),
        *(Grade("shaken frames", f"{s * 40} ms", functools.partial(_shake, s)) for s in (1, 2, 4)),
        *(Grade("frozen pose", f"{s:g} s", functools.partial(_freeze, s)) for s in (0.4, 1, 4)),
        *(Grade("sound shifted", f"{s:g} s", functools.partial(_shift, s)) for s in _SHIFTS),
        *(
            Grade("motion of another speech", f"in {s} % of the clips", functools.partial(_swap, s))
            for s in (25, 50, 100)
        ),
    ]
    return made


_SHIFTS = (0.1, 0.25, 0.5, 1.0)


def write_clips(
    out: pathlib.Path,
    chosen: Sequence[Grade],
    *,
    clips: int,
    identities: int,
    seconds: float,
    size: int,
    tick: Callable[[str], object] = lambda name: None,
) -> dict[str, pathlib.Path]:
    """Writes the undamaged clips and each grade of damage; what is there is kept.

    Args:
      out: folder of the folders.
      chosen: grades.
      clips: of each grade, by the speakers in turn.
      identities: speakers.
      seconds: length of a clip.
      size: side of the frames, pixels.
      tick: called with its name for each video that is there.

    Returns:
      folder by the name of a grade, `TRUE` of the undamaged clips.

    Raises:
      UserError: `out` holds clips of other options.
    """
    kept.begin(
        out,
        {
            "grades": [grade.folder for grade in chosen], "clips": clips,
            "identities": identities, "seconds": seconds, "size": size,
        },
    )  # fmt: skip
    folders = {TRUE: out / TRUE, **{grade.folder: out / grade.folder for grade in chosen}}
    for number in range(clips):
        play = None
        for name, folder in folders.items():
            target = folder / f"clip_{number:03d}.mp4"
            if not target.exists():
                play = play or perform(number, number % identities, seconds, size, _FPS)
                grade = next((grade for grade in chosen if grade.folder == name), None)
                _write(target, play, _whole(play) if grade is None else grade.make(play, number))
            tick(f"{name} {number}")
    return folders


def _write(target: pathlib.Path, play: Presentation, clip: Damaged) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    presenter_landmarks.write(target.with_suffix(landmarks.SUFFIX), clip.marks)
    beats = "".join(f"{beat:.3f}\n" for beat in clip.beats)
    target.with_suffix(".beats.txt").write_text(beats)
    sound = play.audio, play.sample_rate
    with VideoWriter(target, play.size, play.fps, audio=sound, crf=4) as writer:
        writer.write(clip.frames)


def _whole(play: Presentation) -> Damaged:
    return Damaged(play.frames, presenter_landmarks.exact(play), play.beats)


def _blur(percent: float, play: Presentation, number: int) -> Damaged:
    from scipy import ndimage

    del number
    sigma = percent / 100 * play.size
    soft = ndimage.gaussian_filter(play.frames.astype(np.float32), (0, sigma, sigma, 0))
    return _whole(play)._replace(frames=np.rint(soft).astype(np.uint8))


def _noise(sigma: float, play: Presentation, number: int) -> Damaged:
    noise = sigma * np.random.default_rng(number).standard_normal(play.frames.shape)
    frames = np.clip(np.rint(play.frames + noise), 0, 255).astype(np.uint8)
    return _whole(play)._replace(frames=frames)


def _at(play: Presentation, rows: np.ndarray) -> Damaged:
    """The clip with the frames of other moments."""
    marks = {
        name: value[rows] if value.ndim else value
        for name, value in presenter_landmarks.exact(play).items()
    }
    return Damaged(play.frames[rows], marks, play.beats)


def _shake(frames: int, play: Presentation, number: int) -> Damaged:
    """Every frame is one of another moment, `frames` away in standard deviation."""
    away = frames * np.random.default_rng(number).standard_normal(len(play))
    rows = np.arange(len(play)) + np.rint(away).astype(int)
    return _at(play, np.clip(rows, 0, len(play) - 1))


def _freeze(seconds: float, play: Presentation, number: int) -> Damaged:
    """The pose changes only every so many seconds."""
    del number
    step = max(1, round(seconds * play.fps))
    return _at(play, np.arange(len(play)) // step * step)


def _shift(seconds: float, play: Presentation, number: int) -> Damaged:
    del number
    clip = _whole(play)
    return clip._replace(beats=clip.beats + seconds)


def _swap(percent: int, play: Presentation, number: int) -> Damaged:
    """Some clips show another performance of the same speaker."""
    # One of four, by turns of every speaker; a larger share holds the smaller one.
    if ((number + number // 4) * 25 % 100 + 1) > percent:
        return _whole(play)
    other = perform(_OTHER + number, play.identity, play.seconds, play.size, play.fps)
    return _whole(other)._replace(beats=play.beats)
