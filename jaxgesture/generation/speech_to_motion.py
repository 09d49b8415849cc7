"""Speech to motion features: the whole recording's audio features, padded with silence."""

import numpy as np
from jaxtyping import Float

from jaxgesture.data import audio
from jaxgesture.motion.model import Motion


def features_of_segments(
    samples: Float[np.ndarray, "n"], sample_rate: int, segment: int
) -> tuple[Float[np.ndarray, "m a"], int]:
    """Audio features of whole segments that cover a recording, and its own number of frames.

    What follows the speech is silence; a recording has at least one frame.
    """
    frames = max(1, audio.frame_count(len(samples), sample_rate))
    return audio.features(samples, sample_rate, frames=-(-frames // segment) * segment), frames


def speech_to_motion(
    motion: Motion,
    samples: Float[np.ndarray, "n"],
    sample_rate: int,
    *,
    source_feature: Float[np.ndarray, "d"],
    **options,
) -> Float[np.ndarray, "t d"]:
    """Motion features for a recording, 25 a second; `options` are those of `Motion.sample`."""
    rows, frames = features_of_segments(samples, sample_rate, motion.config.segment_frames)
    return motion.sample(rows, frames=frames, source_feature=source_feature, **options)
