"""Speech to motion features: the whole recording's audio features, padded with silence."""

import dataclasses
import os
import warnings

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import audio
from jaxgesture.data.sound import read_audio
from jaxgesture.generation.long_sound import long_features, measured
from jaxgesture.motion.model import Motion

# Seconds of sound that are held in memory at once; clips of a dataset are no longer either.
LONGEST = 60.0


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


def features_of_file(
    path: str | os.PathLike[str], segment: int, extractor: audio.Extractor | None = None
) -> tuple[Float[np.ndarray, "m a"], int]:
    """As `features_of_segments`, of a sound or video file.

    The 35 hand-crafted features of more than `LONGEST` seconds are computed in blocks, in memory
    that hardly grows with the length; others need the whole sound in memory.

    Raises:
      UserError: missing, no sound file, no audio track, or no sample that can be decoded. A silent
        track and samples that are no numbers give a `DataWarning`.
    """
    length = measured(path)
    if extractor is None and length.samples > LONGEST * length.rate:
        return long_features(path, length, -(-length.frames // segment) * segment), length.frames
    with warnings.catch_warnings():
        # What is wrong in the sound was said when it was measured.
        warnings.simplefilter("ignore", DataWarning)
        samples, rate = read_audio(path)
    return features_of_segments(samples, rate, segment, extractor)


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


def name_features(motion: Motion, extractor: audio.Extractor | None) -> Motion:
    """Marks a model whose weight file did not say which WavLM it was trained on with the one given.

    Any other model is returned as it is. That the WavLM is the right one is the user's word: a
    `DataWarning` says so.
    """
    if extractor is None or extractor.size != motion.audio_size:
        return motion
    if motion.features != f"wavlm-{motion.audio_size}" or extractor.name == motion.features:
        return motion
    warnings.warn(
        f"the motion model does not say which WavLM it was trained on; {extractor.name} is taken "
        "for it, and another would give poor motion",
        DataWarning,
        stacklevel=2,
    )
    return dataclasses.replace(motion, features=extractor.name)


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
