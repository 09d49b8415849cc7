"""A whole video, from speech to its file: seconds of work a second of it, part by part."""

import dataclasses
import pathlib
import tempfile
import wave
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxgesture.benchmark.cases import SOURCE_SEED, images
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import Float

MADE_UP_S = 10.0
RATE = 16_000  # of the made-up speech
FRAMES_PER_S = 25
RUNS = 3  # after the first, at most


@dataclasses.dataclass(frozen=True)
class EndToEnd:
    """What a second of video takes.

    Attributes:
      seconds: by part, the median of the runs after the first.
      first: by part, of the first run, which compiles.
      frames: of the video.
      runs: after the first.
      about: models, speech and settings, a line.
    """

    seconds: Mapping[str, float]
    first: Mapping[str, float]
    frames: int
    runs: int
    about: str

    def values(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "seconds_per_second": dict(self.seconds),
            "first_run_seconds_per_second": dict(self.first),
            "frames": self.frames,
            "runs": self.runs,
            "about": self.about,
        }

    def caption(self) -> str:
        """One line that says how it was measured."""
        speed = FRAMES_PER_S / sum(self.seconds.values())
        return (
            f"End to end: `jaxgesture generate` of {self.frames / FRAMES_PER_S:g} s of video, "
            f"{speed:.1f} frames a second, {self.about}; median of {self.runs} runs after a first "
            "one that compiles. Features: of the sound and of the picture. Nothing is kept from "
            "run to run but compiled programs."
        )


def made_up_speech(seconds: float) -> Float[np.ndarray, " n"]:
    """A buzz of harmonics in syllables, four a second, in [-1, 1], `RATE` samples a second."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(140 + 20 * np.sin(2 * np.pi * 0.7 * t)) / RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 4 * t) + 0.3 * np.sin(2 * np.pi * 0.9 * t), 0, None)
    return (0.3 * voice * syllables).astype(np.float32).clip(-1, 1)


def write_speech(path: pathlib.Path, seconds: float) -> None:
    """Writes `made_up_speech` as a 16-bit WAV file."""
    samples = (32767 * made_up_speech(seconds)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def prepare(
    animation: str, motion: str, audio: str | None, *, steps: int, runs: int = RUNS
) -> Callable[[], EndToEnd]:
    """Loads two models and returns what measures them.

    Args:
      animation: work directory or weights of the base model.
      motion: likewise of the motion model, on the hand-crafted audio features.
      audio: a recording; None for `MADE_UP_S` seconds of made-up speech.
      steps: of the sampler; all else is as `jaxgesture generate` has it by default.
      runs: after the first.

    Raises:
      UserError: models that cannot be read, do not fit each other or read other audio features, or
        a recording that is missing or none. What is returned raises it where more is wrong.
    """
    from jaxgesture.animation.model import load_animation
    from jaxgesture.data.audio import BASELINE
    from jaxgesture.data.sound import audio_blocks
    from jaxgesture.generation.jobs import Job
    from jaxgesture.generation.pipeline import Studio
    from jaxgesture.motion.model import load_motion

    if audio is not None and not pathlib.Path(audio).expanduser().is_file():
        raise UserError(f"--audio: there is no file {audio}; name a sound or video file")
    if audio is not None:
        next(audio_blocks(audio))
    base, model = load_animation(animation), load_motion(motion)
    if model.features != BASELINE:
        raise UserError(
            f"--motion: {motion} reads the audio features {model.features!r}, and whole videos are "
            f"measured with {BASELINE!r} alone; give a motion model of these, or leave out "
            "--animation and --motion"
        )
    Studio(base, model, steps=steps)  # refuses what does not fit, before anything is measured
    picture = images(1, base.size, SOURCE_SEED)[0]

    def run(sound: pathlib.Path, out: pathlib.Path) -> tuple[int, dict[str, float]]:
        studio = Studio(base, model, steps=steps)  # a new one, which has kept nothing
        (outcome,) = studio.run([Job(picture, sound, out)], rows=1, progress=False)
        if outcome.error is not None:
            raise outcome.error
        length = outcome.frames / FRAMES_PER_S
        return outcome.frames, {part: s / length for part, s in outcome.seconds.items()}

    def measure() -> EndToEnd:
        with tempfile.TemporaryDirectory(prefix="jaxgesture-benchmark-") as folder:
            sound = pathlib.Path(folder, "speech.wav")
            if audio is None:
                write_speech(sound, MADE_UP_S)
            else:
                sound = pathlib.Path(audio).expanduser()
            out = pathlib.Path(folder, "video.mp4")
            frames, first = run(sound, out)
            later = [run(sound, out)[1] for _ in range(runs)]
        seconds = {part: float(np.median([one[part] for one in later])) for part in first}
        what = "made-up speech" if audio is None else pathlib.Path(audio).name
        about = (
            f"{base.size} pixels ({base.config.dtype}), motion model of width "
            f"{model.config.width} ({model.config.dtype}), {steps} steps, {what}"
        )
        return EndToEnd(seconds, first, frames, runs, about)

    return measure
