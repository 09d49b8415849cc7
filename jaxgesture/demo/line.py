"""The line from a corpus to a video, each part kept if it stands already."""

import dataclasses
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgesture.core.errors import UserError
from jaxgesture.core.metrics import read_scalars
from jaxgesture.data import presenter
from jaxgesture.data.datasets import FrameDataset
from jaxgesture.data.prepare import prepare_presenter
from jaxgesture.demo import measure, page
from jaxgesture.demo.settings import DemoSettings

RECORD = "demo.json"
PARTS = ("corpus", "stage1", "motion", "stage2", "video", "measure", "page")


class Demo:
    """One folder with everything the demo makes.

    Args:
      out: the folder; made if missing.
      settings: sizes.

    Raises:
      UserError: if the folder was made with other settings.
    """

    def __init__(self, out: str | os.PathLike, settings: DemoSettings):
        self.out = pathlib.Path(out).expanduser()
        self.settings = settings
        self.out.mkdir(parents=True, exist_ok=True)
        self.configs = settings.configs(self.out / "corpus", self.out / "motion")
        self.record = self._read_record()

    def _read_record(self) -> dict[str, Any]:
        made_by = {
            "settings": dataclasses.asdict(self.settings),
            **{name: config.to_dict() for name, config in self.configs.items()},
        }
        made_by = json.loads(json.dumps(made_by))
        try:
            record = json.loads((self.out / RECORD).read_text())
        except (OSError, ValueError):
            record = {}
        if record and record.get("made_by") != made_by:
            raise UserError(
                f"{self.out} was made with other settings; choose another --out, or delete it"
            )
        if not record:
            return {"made_by": made_by, "seconds": {}, "results": {}}
        return record

    def _save_record(self) -> None:
        temporary = self.out / f".{RECORD}.tmp"
        temporary.write_text(json.dumps(self.record, indent=2) + "\n")
        temporary.replace(self.out / RECORD)

    def part(self, name: str, what: str, make: Callable[[], None], *results: str) -> None:
        """Does a part of the line, unless the record and its files say that it is done."""
        if name in self.record["seconds"] and all((self.out / r).exists() for r in results):
            _say(f"{what}: kept, {', '.join(results)} stands from an earlier run")
            return
        _say(f"{what} ...")
        self._forget(name)
        start = time.monotonic()
        make()
        self.record["seconds"][name] = round(time.monotonic() - start, 1)
        self._save_record()
        _say(f"{what}: {self.record['seconds'][name]:.0f} s")

    def _forget(self, name: str) -> None:
        """What comes after a part rests on it: it has to be made again."""
        done = list(self.record["seconds"])
        if name not in PARTS:
            raise ValueError(f"{name} is no part of the line")
        for later in PARTS[PARTS.index(name) :]:
            if later in done:
                del self.record["seconds"][later]
        for folder in {"corpus": ("motion", "stage1", "stage2"), "stage1": ("motion", "stage2"),
                       "motion": ("stage2",)}.get(name, ()):  # fmt: skip
            if name in done:
                shutil.rmtree(self.out / folder, ignore_errors=True)
        if len(self.record["seconds"]) < len(done):
            # A process that dies now has left a part of it, which is not to be taken for all.
            self._save_record()

    def run(self) -> dict[str, float]:
        """Does what is missing, and returns the measured results."""
        self.part("corpus", "1/7 rendering the presenter", self._corpus, "corpus/clips.json")
        self.part("stage1", "2/7 training the base model", self._stage1, "stage1/checkpoints")
        self.part("motion", "3/7 extracting motion features", self._motion, "motion/motion.json")
        self.part("stage2", "4/7 training the motion model", self._stage2, "stage2/checkpoints")
        self.part("video", "5/7 generating a video", self._video, "generated.mp4", "frames.png")
        self.part("measure", "6/7 measuring", self._measure, "reconstruction.png")
        self.part("page", "7/7 drawing the page", self._page, "index.html", "loss_stage1.png")
        return self.record["results"]

    def _corpus(self) -> None:
        prepare_presenter(self.out / "corpus", **self.settings.corpus)

    def _stage1(self) -> None:
        from jaxgesture.animation.train import train

        train(self.configs["stage1"], self.out / "stage1")

    def _motion(self) -> None:
        from jaxgesture.generation.extraction import extract

        extract(self.animation, self.frames, self.out / "motion")

    def _stage2(self) -> None:
        from jaxgesture.motion.train import train

        train(self.configs["stage2"], self.out / "stage2")

    @property
    def frames(self) -> FrameDataset:
        """The rendered corpus."""
        return FrameDataset(self.out / "corpus")

    @property
    def animation(self):
        """The trained base model."""
        from jaxgesture.animation.model import load_animation

        return load_animation(self.out / "stage1")

    @property
    def motion_model(self):
        """The trained motion model."""
        from jaxgesture.motion.model import load_motion

        return load_motion(self.out / "stage2")

    def _video(self) -> None:
        import soundfile
        from PIL import Image

        from jaxgesture.data.video import read_frames
        from jaxgesture.generation.pipeline import generate

        seed, identity = self.settings.performance
        play = presenter.perform(
            seed, identity, self.settings.speech_seconds, self.settings.size, 25.0
        )
        source = play.frame(0)
        Image.fromarray(source).save(self.out / "source.png")
        soundfile.write(self.out / "speech.wav", play.audio, play.sample_rate)
        generate(
            self.out / "source.png",
            self.out / "speech.wav",
            animation=self.animation,
            motion=self.motion_model,
            out=self.out / "generated.mp4",
        )
        generated = np.stack(list(read_frames(self.out / "generated.mp4")))
        page.generation_strip(source, play, generated, self.out / "frames.png")

    def _measure(self) -> None:
        from jaxgesture.animation.train import EvalConfig, evaluate
        from jaxgesture.evaluation import reconstruction

        animation, frames = self.animation, self.frames
        unseen = {f"identity{i:02d}" for i in self.settings.held_out}
        clips = frames.clips("validation")
        results = evaluate(animation, frames, EvalConfig(clips=len(clips)))
        groups = {
            "stage1": list(range(len(clips))),
            "stage1_known_speakers": [i for i, c in enumerate(clips) if c.speaker not in unseen],
            "stage1_new_speakers": [i for i, c in enumerate(clips) if c.speaker in unseen],
        }
        for name, members in groups.items():
            scores = reconstruction.mean_scores([results[i] for i in members])
            self.record["results"] |= {f"{name}/{key}": value for key, value in scores.items()}
        page.reconstruction_strip(
            {
                "speaker of the training": results[groups["stage1_known_speakers"][0]],
                "new speaker": results[groups["stage1_new_speakers"][0]],
            },
            self.out / "reconstruction.png",
        )
        mouth = measure.mouth_follows_speech(
            animation, self.motion_model, self.settings.measured, self.settings.speech_seconds
        )
        self.record["results"] |= {f"stage2/{key}": value for key, value in mouth.items()}

    def _page(self) -> None:
        for stage in ("stage1", "stage2"):
            page.loss_curves(stage, read_scalars(self.out / stage), self.out / f"loss_{stage}.png")
        page.write(self.out, self.record)


def _say(text: str) -> None:
    print(f"demo: {text}", file=sys.stderr, flush=True)
