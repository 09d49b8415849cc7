"""Motion generated for many speeches at once, such as those of a dataset's held-out clips."""

import collections
import functools
import zlib
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxgesture.data.datasets import MotionDataset
from jaxgesture.data.motions import MotionInfo
from jaxgesture.motion.model import Motion


class Spoken(NamedTuple):
    """A speech of which motion is made.

    Attributes:
      name: from which its noise is drawn.
      audio: features, one row a frame.
      source_feature: of the pose that it begins in.
    """

    name: str
    audio: Float[np.ndarray, "t a"]
    source_feature: Float[np.ndarray, "d"]


def seed_of(name: str, seed: int) -> int:
    """The seed of a speech's noise, which does not depend on the other speeches."""
    mixed = np.random.SeedSequence([seed, zlib.crc32(name.encode())])
    return int(mixed.generate_state(1)[0])


def sample_spoken(
    motion: Motion,
    speeches: Sequence[Callable[[], Spoken]],
    *,
    seed: int = 0,
    batch: int = 8,
    tick: Callable[[], object] = lambda: None,
    **options,
) -> list[Float[np.ndarray, "t d"]]:
    """Motion features for each speech.

    The last segment hears the quietest frame of the speech after its end.

    Args:
      motion: the model.
      speeches: each read when its turn comes.
      seed: of the noise, 0 or more; each speech has its own, see `seed_of`.
      batch: speeches at once.
      tick: called for each speech that is done.
      **options: of `Motion.batch`: candidates, steps, sampler, eta, guidance, selection.

    Returns:
      as many frames for each speech as it has rows of audio.
    """
    if not speeches:
        return []
    rows = motion.batch(min(batch, len(speeches)), **options)
    made: dict[Hashable, list[np.ndarray]] = {number: [] for number in range(len(speeches))}
    waiting = collections.deque(enumerate(speeches))
    while waiting or rows.free < rows.rows:
        while waiting and rows.free:
            number, read = waiting.popleft()
            spoken = read()
            own = seed_of(spoken.name, seed)
            rows.add(
                number,
                motion.speech(spoken.audio, source_feature=spoken.source_feature, seed=own),
            )
        for number, segment, last in rows.step():
            made[number].append(segment)
            if last:
                tick()
    return [np.concatenate(segments) for segments in made.values()]


def sample_clips(
    motion: Motion, dataset: MotionDataset, clips: Sequence[MotionInfo], **options
) -> list[Float[np.ndarray, "t d"]]:
    """Motion features for the speech of clips, each from the pose of its first frame.

    Args:
      motion: the model.
      dataset: that holds the clips.
      clips: with sound.
      **options: of `sample_spoken`.

    Returns:
      as many frames of each clip as it has.
    """

    def spoken(clip: MotionInfo) -> Spoken:
        true, audio = dataset.arrays(clip)
        return Spoken(clip.id, audio, true[0])

    return sample_spoken(motion, [functools.partial(spoken, clip) for clip in clips], **options)
