"""The synthetic presenter: a drawn speaker with a voice, whose every movement is known.

The built-in corpus: nothing to download, and the only test bed with known truth. `perform` gives a
clip: frames, voice, exact joints and boxes, beats. What is said and gestured comes from `seed`
(`presenter.score`, `presenter.motion`), who says it from `identity` (`presenter.looks`), so that
the same performance can be given by different people. Motion is independent of size; a
longer clip begins like the shorter one.

The rule that ties motion to speech is written in `presenter.motion`.
"""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.core.errors import UserError
from jaxgesture.data.presenter.drawing import JOINTS, Figure, Painter
from jaxgesture.data.presenter.looks import look_of
from jaxgesture.data.presenter.motion import Motion, move
from jaxgesture.data.presenter.score import write_score
from jaxgesture.data.presenter.voice import SAMPLE_RATE, synthesise

MIN_SIZE, MAX_SIZE = 32, 1024


@dataclasses.dataclass(frozen=True)
class Presentation:
    """One clip. Frames are drawn on demand; everything else is held.

    Pixel coordinates count from the frame's upper left corner; pixel (row, column) covers
    [column, column + 1) x [row, row + 1). "Left" is the speaker's left: the right of the frame.

    Attributes:
        seed: of the words and gestures.
        identity: of the speaker.
        size: side of the frames in pixels.
        fps: frames a second; frame k shows the moment k / fps.
        audio: (n,) float32 in [-1, 1], mono.
        sample_rate: 16000.
        joints: (t, j, 2) float32 x, y in pixels.
        joint_names: names of the j joints.
        boxes: left_hand, right_hand, face, lips: (t, 4) float32 x0, y0, x1, y1 in pixels.
        beats: (b,) float64 times of the stressed beats in seconds.
        mouth: (t,) float32 opening of the mouth in [0, 1].
        loudness: (t,) float32 smoothed loudness of the speech in [0, 1].
        motion: the performance in fractions of the frame.
    """

    seed: int
    identity: int
    size: int
    fps: float
    audio: Float[np.ndarray, " n"]
    sample_rate: int
    joints: Float[np.ndarray, "t j 2"]
    joint_names: tuple[str, ...]
    boxes: dict[str, Float[np.ndarray, "t 4"]]
    beats: Float[np.ndarray, " b"]
    mouth: Float[np.ndarray, " t"]
    loudness: Float[np.ndarray, " t"]
    motion: Motion
    _figure: Figure = dataclasses.field(repr=False)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.mouth)

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return len(self.audio) / self.sample_rate

    @functools.cached_property
    def frames(self) -> UInt8[np.ndarray, "t s s 3"]:
        """All frames at once, kept after the first use; see `stream` for long clips."""
        return np.stack(list(self.stream()))

    def stream(
        self, start: int = 0, stop: int | None = None
    ) -> Iterator[UInt8[np.ndarray, "s s 3"]]:
        """Draws frames [start, stop) one by one; nothing is kept."""
        for index in range(start, len(self) if stop is None else min(stop, len(self))):
            yield self._painter.frame(index)

    def frame(self, index: int) -> UInt8[np.ndarray, "s s 3"]:
        """Draws one frame; negative indices count from the end."""
        return self._painter.frame(range(len(self))[index])

    @functools.cached_property
    def _painter(self) -> Painter:
        return Painter(self._figure, self.size)


def perform(
    seed: int = 0, identity: int = 0, seconds: float = 8.0, size: int = 256, fps: float = 25.0
) -> Presentation:
    """Performs a clip; the same arguments give the same clip, bit by bit.

    Args:
        seed: of words, gestures and their timing; any integer.
        identity: of the speaker's looks, voice and room; any integer.
        seconds: length; at least one frame.
        size: side of the square frames, 32 to 1024 pixels.
        fps: frames a second.

    Returns:
        The clip: `floor(seconds * fps + 0.5)` frames (at least one) and
        `round(seconds * 16000)` samples.

    Raises:
        UserError: if seconds, size or fps make no clip.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UserError(
            f"a presenter of {size} pixels cannot be drawn; "
            f"choose size from {MIN_SIZE} to {MAX_SIZE}"
        )
    if not 0 < seconds < np.inf or not 0 < fps < np.inf:
        raise UserError(
            f"{seconds} s at {fps} frames a second is no clip; choose both greater than 0"
        )
    score = write_score(seed, seconds)
    count = max(1, int(np.floor(seconds * fps + 0.5)))
    look = look_of(identity)
    motion = move(score, seed, np.arange(count) / fps)
    figure = Figure(look, motion)
    return Presentation(
        seed=seed,
        identity=identity,
        size=size,
        fps=fps,
        audio=synthesise(score, look.voice, seed),
        sample_rate=SAMPLE_RATE,
        joints=(figure.joints() * size).astype(np.float32),
        joint_names=JOINTS,
        boxes={name: (box * size).astype(np.float32) for name, box in figure.boxes().items()},
        beats=score.beats,
        mouth=motion.mouth.astype(np.float32),
        loudness=motion.loudness.astype(np.float32),
        motion=motion,
        _figure=figure,
    )


def corpus(
    identities: int = 8,
    clips_per_identity: int = 4,
    seconds: float = 8.0,
    size: int = 64,
    seed: int = 0,
    *,
    test_identities: int = 1,
    test_clips: int = 1,
    fps: float = 25.0,
) -> Iterator[tuple[str, str, Presentation]]:
    """The clips of a corpus with its split: test clips share neither words nor, if held out, faces.

    Every clip has its own words. The last `test_identities` speakers appear in the test split only;
    of every other speaker the last `test_clips` clips are test clips.

    Args:
        identities: number of speakers.
        clips_per_identity: clips of each.
        seconds: length of each clip.
        size: side of the frames in pixels.
        seed: of the words; another seed gives another corpus by the same people.
        test_identities: speakers held out.
        test_clips: clips held out of every speaker seen in training.
        fps: frames a second.

    Yields:
        (clip id, "train" or "test", clip), in order.

    Raises:
        UserError: if nothing would be left to train on.
    """
    if test_identities >= identities or test_clips >= clips_per_identity:
        raise UserError(
            f"holding out {test_identities} of {identities} speakers and {test_clips} of "
            f"{clips_per_identity} clips leaves nothing to train on; hold out fewer"
        )
    for identity in range(identities):
        for clip in range(clips_per_identity):
            unseen = identity >= identities - test_identities
            held = unseen or clip >= clips_per_identity - test_clips
            words = (seed * 1_000_003 + identity) * 1_009 + clip
            yield (
                f"presenter_{identity:03d}_{clip:03d}",
                "test" if held else "train",
                perform(words, identity, seconds, size, fps),
            )
