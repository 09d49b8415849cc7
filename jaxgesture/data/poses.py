"""Where the joints of a clip's speaker are, what is heard, and when its speech is stressed.

Of the synthetic presenter both are known exactly. Of other clips the hands are the middles of their
boxes, and the beats are the onsets among the hand-crafted audio features.
"""

import os
import pathlib
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import UserError
from jaxgesture.data import audio, boxes
from jaxgesture.data.frames import ClipInfo, FrameDataset
from jaxgesture.data.sound import read_spans
from jaxgesture.data.sources import sound_beside

if TYPE_CHECKING:
    from jaxgesture.data.presenter import Presentation

ONSETS = "onsets of the sound"
STRESSED = "stressed beats of the presenter"
HANDS = ("left_wrist", "right_wrist")
# The last but one of the 35 hand-crafted columns is 1 where an onset is.
_ONSET_COLUMN = audio.AUDIO_SIZE - 2
_SIDES = tuple(name.removesuffix("_wrist") for name in HANDS)
_SIZE = 32  # of a performance that is not drawn, pixels
_PRESENTER = re.compile(r"presenter seed (-?\d+) identity (-?\d+)")


class Poses(NamedTuple):
    """What moves in a clip, and what it moves to.

    Attributes:
        positions: (t, j, 2) x to the right and y down, fractions of the frame; NaN where not seen.
        joints: the names of the j joints; `HANDS` are among them. Left is the speaker's.
        beats: (b,) seconds.
        meaning: what the beats are.
    """

    positions: Float[np.ndarray, "t j 2"]
    joints: tuple[str, ...]
    beats: Float[np.ndarray, "b"]
    meaning: str


def poses_of(dataset: FrameDataset, clip: ClipInfo | str) -> Poses:
    """Joints and beats of a clip with sound.

    Raises:
        UserError: the clip has no sound, or neither boxes of hands nor a known performance.
    """
    info = dataset.clip(clip)
    if not info.has_audio:
        raise UserError(f"clip {info.id} has no sound, so no beats")
    play = performance_of(info, _SIZE, dataset.fps)
    if play is not None:
        positions = play.joints[: info.frames].astype(np.float64) / _SIZE
        return Poses(positions, play.joint_names, play.beats, STRESSED)
    if not info.has_boxes:
        raise UserError(
            f"clip {info.id} has no boxes of hands; make landmarks (`jaxgesture landmarks`) and "
            "prepare the dataset again"
        )
    found = dataset.boxes(info)[:, [boxes.PARTS.index(f"{side}_hand") for side in _SIDES]]
    middles = 0.5 * (found[..., :2] + found[..., 2:])
    return Poses(middles.astype(np.float64), HANDS, onsets_of(dataset, info), ONSETS)


def onsets_of(dataset: FrameDataset, clip: ClipInfo) -> Float[np.ndarray, "b"]:
    """Onsets of a clip's sound in seconds, from its audio features."""
    column = dataset.audio(clip)[:, _ONSET_COLUMN - audio.AUDIO_SIZE]
    return np.flatnonzero(column > 0.5) / dataset.fps


def identity_of(clip: ClipInfo) -> int | None:
    """Which presenter a clip shows; None for others."""
    known = _PRESENTER.fullmatch(clip.source)
    return int(known[2]) if known else None


def performance_of(clip: ClipInfo, size: int, fps: float) -> "Presentation | None":
    """The performance that a clip of the presenter shows; None for others."""
    known = _PRESENTER.fullmatch(clip.source)
    if not known:
        return None
    from jaxgesture.data.presenter import perform

    return perform(int(known[1]), int(known[2]), clip.seconds, size, fps)


def sound_of(
    clip: ClipInfo, fps: float, videos: str | os.PathLike[str] | None = None
) -> tuple[Float[np.ndarray, "n"], int] | None:
    """The sound of a clip, mono, and its rate in Hz; None where there is none or nobody knows.

    Args:
        clip: of the presenter, who says it again, or of a folder of videos.
        fps: of its dataset.
        videos: the folder that the dataset was prepared from.

    Raises:
        UserError: the clip's file is no longer there, or cannot be read.
    """
    play = performance_of(clip, _SIZE, fps)
    if play is not None:
        return play.audio, play.sample_rate
    if videos is None or not clip.has_audio:
        return None
    video = pathlib.Path(videos).expanduser() / clip.source
    return next(read_spans(sound_beside(video) or video, [(clip.start, clip.start + clip.seconds)]))
