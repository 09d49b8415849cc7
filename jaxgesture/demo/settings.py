"""Sizes of the demo."""

import dataclasses
import importlib.metadata
import importlib.util
import os
import pathlib
from typing import Any

import jaxgesture
from jaxgesture.core.errors import UserError
from jaxgesture.demo.measure import Speech


@dataclasses.dataclass(frozen=True)
class DemoSettings:
    """What the demo renders, trains and generates.

    Attributes:
      size: side of the frames, pixels.
      identities: presenters that are trained on, the first ones.
      held_out: presenters that are never trained on.
      clips: clips of each presenter; the last of each is held out.
      seconds: length of each clip.
      stage1_steps: training steps of the base model.
      stage2_steps: training steps of the motion model.
      speeches: held-out performances on which the mouth is measured.
      speech_seconds: length of the generated video's speech.
    """

    size: int = 64
    identities: int = 6
    held_out: tuple[int, ...] = (100, 101)
    clips: int = 4
    seconds: float = 8.0
    stage1_steps: int = 1400
    stage2_steps: int = 400
    speeches: int = 6
    speech_seconds: float = 10.0

    @property
    def performance(self) -> Speech:
        """The performance of the generated video: neither words nor speaker were trained on."""
        return Speech(seed=900_000, identity=self.held_out[0])

    @property
    def measured(self) -> list[Speech]:
        """Held-out words of up to three speakers of the training, then of new ones, in turn."""
        cast = [*range(min(3, self.identities)), *self.held_out]
        return [Speech(910_000 + i, cast[i % len(cast)]) for i in range(self.speeches)]

    @property
    def corpus(self) -> dict[str, Any]:
        """Arguments of `data.prepare.prepare_presenter`."""
        return {
            "identities": self.identities,
            "clips": self.clips,
            "seconds": self.seconds,
            "size": self.size,
            "validation_clips": 1,
            "validation_identities": self.held_out,
        }

    def configs(self, corpus: str | os.PathLike, motion: str | os.PathLike) -> dict[str, Any]:
        """The configurations of both stages, by name.

        Args:
          corpus: the dataset that stage 1 is trained on.
          motion: the motion features that stage 2 is trained on.
        """
        stage1, stage2 = load_config("stage1", "debug"), load_config("stage2", "debug")
        stage1.data.directory = os.fspath(corpus)
        stage1.model.size = self.size
        # A third fewer parameters: a fifth more steps in the same time.
        stage1.model.enhancer_widths = (96, 128)
        stage1.train.steps = self.stage1_steps
        stage1.optim.warmup_steps = min(50, self.stage1_steps // 10)
        stage1.loss.read_out_steps = min(stage1.loss.read_out_steps, self.stage1_steps // 2)
        stage1.eval.clips, stage1.eval.frames = 6, 25
        stage2.data.directory = os.fspath(motion)
        stage2.train.steps = self.stage2_steps
        return {"stage1": stage1, "stage2": stage2}


LONG = DemoSettings(
    identities=3, held_out=(100,), clips=12, stage1_steps=3600, stage2_steps=1800
)  # fmt: skip
"""Fewer speakers that are known better."""


def load_config(name: str, preset: str) -> Any:
    """The configuration of a file in the project's `configs` folder.

    Raises:
      UserError: if there is no such file.
    """
    path = config_file(name)
    spec = importlib.util.spec_from_file_location(f"jaxgesture_config_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(preset)


def config_file(name: str) -> pathlib.Path:
    """Where `configs/NAME.py` is: in the clone, or where pip put it for a package without one.

    Raises:
      UserError: if it is in neither place.
    """
    path = pathlib.Path(jaxgesture.__file__).resolve().parent.parent / "configs" / f"{name}.py"
    if path.is_file():
        return path
    for file in _installed():
        if file.parts[-2:] == path.parts[-2:] and pathlib.Path(str(file.locate())).is_file():
            return pathlib.Path(str(file.locate())).resolve()
    raise UserError(f"{path} is missing; install jaxgesture anew, or run it from a clone")


def _installed() -> list[importlib.metadata.PackagePath]:
    try:
        return importlib.metadata.files("jaxgesture") or []
    except importlib.metadata.PackageNotFoundError:
        return []
