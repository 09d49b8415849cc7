"""What a motion model would make at the step it is at, drawn while it trains."""

import os
import pathlib
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.animation.model import Animation
from jaxgesture.animation.step import as_image
from jaxgesture.core import config as configuration
from jaxgesture.core import distributed
from jaxgesture.core.errors import UserError
from jaxgesture.core.state import TrainState
from jaxgesture.data.datasets import ClipInfo, FrameDataset
from jaxgesture.generation.render import render
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.model import Motion
from jaxgesture.motion.normalisation import NAMES
from jaxgesture.motion.step import DENOISER

NAME = "rehearsal"
COLUMNS = 8


class Rehearsal:
    """A hook of stage 2's training: a held-out clip, true and in motion made for its speech.

    Writes `WORKDIR/images/rehearsal_STEP.png`: true frames above drawn ones, at the same moments of
    one segment.

    Args:
      animation: the base model.
      frames: the dataset; its first held-out clip with sound is played, or its first with sound.
      config: of stage 2.
      workdir: of the training.
      every: steps from one picture to the next; a picture is made at a log step.
      steps: of the sampler.

    Raises:
      UserError: no clip has sound.
    """

    def __init__(
        self,
        animation: Animation,
        frames: FrameDataset,
        config: Any,
        workdir: str | os.PathLike,
        *,
        every: int = 500,
        steps: int = 20,
    ):
        self._config = configuration.build(MotionConfig, config.model, name="model")
        self._animation, self._every, self._steps = animation, every, steps
        self._folder = pathlib.Path(workdir) / "images"
        clip = _clip(frames)
        count = min(clip.frames, self._config.segment_frames)
        true = frames.frames(clip, 0, count)
        self._picks = np.linspace(0, count - 1, COLUMNS).round().astype(int)
        self._true, self._speech = true[self._picks], frames.audio(clip)[:count]
        self._features = frames.features
        first = as_image(true[0])
        self._source = animation.encode_source(first)
        self._pose = np.asarray(animation.extract_motion(first))
        self._last: int | None = None

    def __call__(self, step: int, state: TrainState, means: dict[str, float]) -> None:
        """Draws, if it is time."""
        if self._last is not None and step // self._every == self._last // self._every:
            return
        self._last = step
        from PIL import Image

        self._folder.mkdir(parents=True, exist_ok=True)
        strip = self.strip(self._model(state))
        Image.fromarray(strip).save(self._folder / f"{NAME}_{step:07d}.png")

    def _model(self, state: TrainState) -> Motion:
        network = state.networks[DENOISER]
        stats = {name: network.stats[name] for name in NAMES}
        variables = distributed.here({"params": network.eval_params, "stats": stats})
        return Motion(self._config, variables, features=self._features)

    def motion(self, model: Motion) -> Float[np.ndarray, "t d"]:
        """Motion for the speech of the clip, from its first pose; one candidate."""
        return model.sample(
            self._speech, source_feature=self._pose, candidates=1, steps=self._steps
        )

    def strip(self, model: Motion) -> UInt8[np.ndarray, "2*h columns*w 3"]:
        """True frames above drawn ones."""
        poses = self.motion(model)[self._picks]
        drawn = np.concatenate(list(render(self._animation, self._source, poses)))
        return np.concatenate([np.concatenate(list(row), axis=1) for row in (self._true, drawn)])


def _clip(frames: FrameDataset) -> ClipInfo:
    held_out = "validation" if "validation" in frames.splits else None
    for split in (held_out, None):
        for clip in frames.clips(split, need_audio=True):
            return clip
    raise UserError(
        f"{frames.directory} has no clip with sound, and stage 2 needs speech; prepare videos with "
        "a sound track"
    )
