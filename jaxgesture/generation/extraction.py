"""The joint of the two stages: motion features of a whole frame dataset."""

import os
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from jaxgesture.animation.model import Animation
from jaxgesture.animation.step import as_image
from jaxgesture.core.errors import UserError
from jaxgesture.data.batches import filled
from jaxgesture.data.datasets import FrameDataset, MotionClip, MotionDataset, write_motion


def extract(
    animation: Animation,
    frames: FrameDataset,
    out: str | os.PathLike,
    *,
    batch: int = 16,
    progress: bool = True,
) -> MotionDataset:
    """Writes the motion dataset of a frame dataset, or keeps the finished one of these weights.

    Args:
      animation: the base model, of the size of the frames.
      frames: the dataset.
      out: folder of the motion dataset, which names the weights' hash.
      batch: frames at once.
      progress: show a progress bar.

    Raises:
      UserError: if `out` holds something else, or for a batch of nothing.
    """
    if batch < 1:
        raise UserError(f"{batch} frames at once are none; choose 1 or more")
    clips = frames.clips()

    def features() -> Iterator[MotionClip]:
        total = sum(clip.frames for clip in clips)
        with tqdm(total=total, desc="motion", unit="frame", disable=not progress) as bar:
            for clip in clips:
                rows = []
                for start in range(0, clip.frames, batch):
                    part, count = next(filled(frames.frames(clip, start, start + batch), batch))
                    rows.append(np.asarray(animation.extract_motion(as_image(part)))[:count])
                    bar.update(count)
                yield MotionClip(
                    id=clip.id,
                    split=clip.split,
                    motion=np.concatenate(rows),
                    audio=frames.audio(clip) if clip.has_audio else None,
                    speaker=clip.speaker,
                )

    return write_motion(
        out,
        features(),
        feature_size=animation.feature_size,
        frames_sha256=frames.sha256,
        weights_sha256=animation.sha256,
        features=frames.features,
        audio_size=frames.audio_size,
        fps=frames.fps,
    )
