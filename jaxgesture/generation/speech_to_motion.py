"""Speech to motion features: the whole recording's audio features, padded with silence."""

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import UserError
from jaxgesture.data import audio
from jaxgesture.motion.model import Motion


def features_of_segments(
    samples: Float[np.ndarray, "n"],
    sample_rate: int,
    segment: int,
    extractor: audio.Extractor | None = None,
) -> tuple[Float[np.ndarray, "m a"], int]:
    """Audio features of whole segments that cover a recording, and its own number of frames.

    What follows the speech is silence; a recording has at least one frame.
    """
    extractor = extractor or audio.Baseline()
    frames = max(1, audio.frame_count(len(samples), sample_rate))
    return extractor.features(samples, sample_rate, -(-frames // segment) * segment), frames


def check_features(motion: Motion, extractor: audio.Extractor | None) -> None:
    """Refuses audio features other than those that a motion model was trained on.

    Raises:
      UserError: saying which are needed.
    """
    name = audio.BASELINE if extractor is None else extractor.name
    if name == motion.features:
        return
    if motion.features == audio.BASELINE:
        advice = "leave WavLM out (no --wavlm)"
    else:
        advice = "give that WavLM model (--wavlm=FOLDER)"
    raise UserError(
        f"the motion model was trained on the audio features {motion.features!r}, not {name!r}; "
        f"{advice}"
    )


def speech_to_motion(
    motion: Motion,
    samples: Float[np.ndarray, "n"],
    sample_rate: int,
    *,
    source_feature: Float[np.ndarray, "d"],
    extractor: audio.Extractor | None = None,
    **options,
) -> Float[np.ndarray, "t d"]:
    """Motion features for a recording, 25 a second; `options` are those of `Motion.sample`.

    `extractor` makes the audio features, by default the 35 hand-crafted ones.
    """
    check_features(motion, extractor)
    segment = motion.config.segment_frames
    rows, frames = features_of_segments(samples, sample_rate, segment, extractor)
    return motion.sample(rows, frames=frames, source_feature=source_feature, **options)
