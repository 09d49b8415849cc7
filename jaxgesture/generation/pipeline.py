"""One picture of a speaker and any speech recording in, a video out."""

import os
import pathlib
import time
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from jaxgesture.animation.model import Animation
from jaxgesture.core.errors import UserError
from jaxgesture.data.audio import Extractor
from jaxgesture.data.image import read_image
from jaxgesture.data.sound import read_audio
from jaxgesture.generation.render import render
from jaxgesture.generation.speech_to_motion import check_features, features_of_segments
from jaxgesture.generation.writer import VideoWriter, check_target
from jaxgesture.motion.model import Motion

FPS = 25


class Result(NamedTuple):
    """What `generate` made.

    Attributes:
      path: the video.
      motion: the motion features it was drawn from, (t, d).
      seconds: time taken by each part: "features", "motion" and "render" (encoding included).
    """

    path: pathlib.Path
    motion: Float[np.ndarray, "t d"]
    seconds: dict[str, float]


def generate(
    image: Any,
    speech: str | os.PathLike,
    *,
    animation: Animation,
    motion: Motion,
    seed: int = 0,
    out: str | os.PathLike = "video.mp4",
    candidates: int = 5,
    steps: int = 50,
    guidance: float = 2.0,
    batch: int = 16,
    extractor: Extractor | None = None,
    progress: bool = True,
) -> Result:
    """Makes a video of the pictured person speaking and gesturing to a recording.

    The motion is a function of (weights, image, audio, seed) alone: the same inputs give the same
    bytes. Frames are drawn in batches and streamed into the file.

    Args:
      image: a picture file or array of any size; its centre square is used.
      speech: a sound or video file of any length and format; it becomes the sound track.
      animation: the base model.
      motion: the motion model, trained on features of that very base model.
      seed: another seed, other gestures.
      out: the MP4 file, 25 frames a second, floor(25 x audio seconds + 0.5) frames.
      candidates: continuations drawn per segment, of which the smoothest is kept.
      steps: steps of the sampler.
      guidance: weight of the speech; 0 ignores it, 1 is the plain conditional model.
      batch: frames drawn at once.
      extractor: of the audio features that the motion model reads; None for the 35 hand-crafted
        ones.
      progress: show a progress bar.

    Raises:
      UserError: a file that is missing or cannot be read, or models that do not fit each other.
    """
    if motion.feature_size != animation.feature_size:
        raise UserError(
            f"the motion model writes features of length {motion.feature_size}, the base model "
            f"reads {animation.feature_size}; train stage 2 on features of this base model"
        )
    if motion.animation_sha256 and motion.animation_sha256 != animation.sha256:
        raise UserError(
            "the motion model was trained on features of another base model (its hash is "
            f"{motion.animation_sha256[:12]}, this one's {animation.sha256[:12]}); give the base "
            "model that `jaxgesture extract` used, or extract again and train stage 2 anew"
        )
    check_features(motion, extractor)
    if batch < 1:
        raise UserError(f"{batch} frames cannot be drawn at once; choose 1 or more")
    check_target(out)
    picture = read_image(image, size=animation.size)
    clock = [time.monotonic()]
    samples, rate = read_audio(speech)
    rows, frames = features_of_segments(samples, rate, motion.config.segment_frames, extractor)
    clock.append(time.monotonic())
    source = animation.encode_source(picture)
    source_feature = np.asarray(animation.extract_motion(picture))
    poses = motion.sample(
        rows,
        frames=frames,
        source_feature=source_feature,
        seed=seed,
        candidates=candidates,
        steps=steps,
        guidance=guidance,
    )
    clock.append(time.monotonic())
    bar = tqdm(total=len(poses), desc="frames", unit="frame", disable=not progress)
    # Both files are read with the same decoder, so the sound starts with the first frame.
    with bar, VideoWriter(out, animation.size, FPS, audio=speech) as writer:
        for frames in render(animation, source, poses, batch):
            writer.write(frames)
            bar.update(len(frames))
    clock.append(time.monotonic())
    names = ("features", "motion", "render")
    spans = [b - a for a, b in zip(clock, clock[1:], strict=False)]
    return Result(pathlib.Path(out), poses, dict(zip(names, spans, strict=True)))
