"""A folder in which every part of the line finds what the ones before it made, or makes it."""

import dataclasses
import os
import pathlib
from typing import Any

from jaxgesture.animation.model import Animation
from jaxgesture.core import checkpoint_files
from jaxgesture.core import config as configuration
from jaxgesture.core import workdir as workdirs
from jaxgesture.data import frames as frame_data
from jaxgesture.data import presenter
from jaxgesture.data.datasets import FrameDataset, MotionDataset
from jaxgesture.data.prepare import prepare_presenter
from jaxgesture.data.workers import usable_cores
from jaxgesture.demo.settings import LONG, DemoSettings
from jaxgesture.motion.model import Motion

# Of a presenter that is nobody else: (file name, size, frames a second, seed, identity).
_EXAMPLES = (("talk.mp4", 128, 25.0, 920_000, 200), ("lecture.webm", 160, 30.0, 920_001, 201))
_BROKEN = "broken.mp4"


class Workspace:
    """Data and trained models of one folder. What is missing is made from the presenter, and kept.

    | folder          | what is in it                                              |
    |-----------------|------------------------------------------------------------|
    | data            | frames and audio features, of the presenter or of anything |
    | stage1          | the base model's training                                  |
    | motion-HASH     | motion features of the data, by the base model of that hash |
    | stage2-HASH     | the motion model's training on them                        |

    A base model that is trained on has another hash, so that stage 2 never sees features of two.

    Args:
      folder: made when something is written.
      **changes: what differs from `demo.settings.LONG`.

    Raises:
      UserError: a change of something that there is not.
    """

    def __init__(self, folder: str | os.PathLike, **changes: Any):
        self.folder = pathlib.Path(folder).expanduser()
        sizes = {**dataclasses.asdict(LONG), **changes}
        self.settings = configuration.build(DemoSettings, sizes, name="presenter")
        self.data, self.stage1 = self.folder / "data", self.folder / "stage1"

    def frames(self) -> FrameDataset:
        """The dataset of frames; the presenter is rendered where there is none."""
        if not (self.data / frame_data.INDEX).is_file():
            print(f"rendering the presenter: there is no dataset in {self.data}")
            cores = usable_cores()
            workers = cores if cores > 1 else 0
            prepare_presenter(self.data, **self.settings.corpus, workers=workers)
        return FrameDataset(self.data)

    def stage1_config(self, frames: FrameDataset) -> Any:
        """The configuration of a base model of the frames' size."""
        sizes = dataclasses.replace(self.settings, size=frames.size)
        return sizes.configs(frames.directory, "")["stage1"]

    def animation(self) -> Animation:
        """The newest base model; it is trained where there is none."""
        from jaxgesture.animation.model import load_animation

        if not _trained(self.stage1):
            from jaxgesture.animation.train import train

            config = self.stage1_config(self.frames())
            print(f"training stage 1, {config.train.steps} steps: there is none in {self.stage1}")
            train(config, self.stage1)
        return load_animation(self.stage1)

    def features(self, animation: Animation) -> MotionDataset:
        """Motion features of all frames, extracted where there are none."""
        from jaxgesture.generation.extraction import extract

        return extract(animation, self.frames(), self.folder / f"motion-{animation.sha256[:8]}")

    def stage2_config(self, features: MotionDataset) -> Any:
        """The configuration of a motion model of the features' sizes."""
        config = self.settings.configs("", features.directory)["stage2"]
        config.model.feature_size = features.feature_size
        config.model.audio_size = features.audio_size
        return config

    def stage2(self, animation: Animation) -> pathlib.Path:
        """The work directory of the motion model of a base model."""
        return self.folder / f"stage2-{animation.sha256[:8]}"

    def motion(self, animation: Animation) -> Motion:
        """The newest motion model of a base model; it is trained where there is none."""
        from jaxgesture.motion.model import load_motion

        workdir = self.stage2(animation)
        if not _trained(workdir):
            from jaxgesture.motion.train import train

            config = self.stage2_config(self.features(animation))
            print(f"training stage 2, {config.train.steps} steps: there is none in {workdir}")
            train(config, workdir)
        return load_motion(workdir)

    def example_videos(self, seconds: float = 8.0) -> pathlib.Path:
        """A folder of videos as one might have them, the last of which is broken.

        Args:
          seconds: length of each.
        """
        from jaxgesture.generation.writer import VideoWriter

        folder = self.folder / "videos"
        folder.mkdir(parents=True, exist_ok=True)
        for name, size, fps, seed, identity in _EXAMPLES:
            play = presenter.perform(seed, identity, seconds, size, fps)
            sound = (play.audio, play.sample_rate)
            with VideoWriter(folder / name, size, fps, audio=sound) as writer:
                writer.write(play.frames)
        (folder / _BROKEN).write_bytes(b"no video")
        return folder


def _trained(workdir: pathlib.Path) -> bool:
    return bool(checkpoint_files.steps(workdirs.place(workdir) / checkpoint_files.FOLDER))
