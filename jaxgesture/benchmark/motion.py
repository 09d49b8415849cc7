"""The benchmark of the motion model, from a configuration to a report."""

import dataclasses
import math
import sys
from typing import Any

import jax
from tqdm import tqdm

from jaxgesture.benchmark import end_to_end, measure, motion_cases
from jaxgesture.benchmark.motion_jax import MotionJaxSide
from jaxgesture.benchmark.motion_subject import make_subject
from jaxgesture.benchmark.report import Report
from jaxgesture.benchmark.sides import sides_beside
from jaxgesture.core import tree
from jaxgesture.core.errors import UserError
from jaxgesture.motion.sampler import times


@dataclasses.dataclass(frozen=True)
class Options(measure.Options):
    """What is measured, and for how long.

    Attributes:
      batches: segments of one pass of the network.
      train_batch: segments of a training step; None for the configuration's.
      precisions: of `cases.PRECISIONS`; None for all that the device has.
      ways: how PyTorch runs, of `sides.WAYS`; empty for JAX alone.
      repeats: of each side in each case, at most.
      seconds: budget of the timed repeats of a case, all sides together.
      steps: of the sampler, 1 to 1000.
      speech: seconds of the long recording.
      animation: a base model, to measure whole videos with `motion`; None leaves that out.
      motion: a motion model trained on its features.
      audio: a recording for the videos; None for made-up speech.
    """

    batches: tuple[int, ...] = (8,)
    steps: int = 50
    speech: float = 60.0
    animation: str | None = None
    motion: str | None = None
    audio: str | None = None

    def __post_init__(self):
        """Refuses what cannot be run."""
        super().__post_init__()
        times(self.steps)
        if not 0 < self.speech < math.inf:
            raise UserError(f"{self.speech:g} seconds of speech; choose more than 0")
        if (self.animation is None) != (self.motion is None):
            given, missing = ("motion", "animation") if self.motion else ("animation", "motion")
            raise UserError(
                f"--{given} without --{missing}: a whole video takes both models; name the other"
            )
        if self.audio is not None and self.animation is None:
            raise UserError("--audio is for whole videos; give --animation and --motion as well")


def benchmark(config: Any, options: Options, *, progress: bool = False) -> Report:
    """Measures the motion model of a configuration on all sides, and perhaps whole videos.

    Args:
      config: of stage 2, as `configs/stage2.py` makes it.
      options: what to measure.
      progress: show a bar.

    Returns:
      what was measured; after Ctrl-C, what was until then.

    Raises:
      UserError: for a wrong configuration or precision, models that cannot be read, or if every
        case failed.
    """
    busy = measure.busy()
    precisions = measure.precisions_of(options.precisions, jax.devices()[0].platform)
    video = None
    if options.animation is not None and options.motion is not None:
        runs = min(options.repeats, end_to_end.RUNS)
        video = end_to_end.prepare(
            options.animation, options.motion, options.audio, steps=options.steps, runs=runs
        )
    subject = make_subject(config)

    def make(device: Any, compiled: bool):
        from jaxgesture.benchmark.motion_torch import MotionTorchSide

        return MotionTorchSide(subject, device, compiled, options.steps)

    sides = sides_beside(MotionJaxSide(subject, options.steps), options.ways, make)
    frames = math.ceil(options.speech * motion_cases.FRAMES_PER_S)
    segments = math.ceil(frames / subject.config.segment_frames)
    cases = motion_cases.make_cases(
        options.batches, options.train_batch or subject.batch_size, segments, precisions
    )
    count = tree.format_count(tree.count(subject.variables["params"]))
    notes = _notes(options, subject.config.segment_frames)
    found = measure.measure(
        f"the motion model of width {subject.config.width}, {count} parameters",
        sides, cases, precisions, options,
        notes=(*notes, *subject.notes, *sides.notes, *busy), progress=progress,
    )  # fmt: skip
    if video is None:
        return found
    if progress:
        tqdm.write("jaxgesture: a whole video, end to end", file=sys.stderr)
    # What was measured before is not lost with the video.
    try:
        return dataclasses.replace(found, end_to_end=video())
    except KeyboardInterrupt:
        note = "Interrupted at the whole video, which was not measured."
        return dataclasses.replace(found, notes=(*found.notes, note))
    except UserError as error:
        line = f"end to end failed: {error}"
        return dataclasses.replace(found, warnings=(*found.warnings, line))


def _notes(options: Options, frames: int) -> tuple[str, ...]:
    length = frames / motion_cases.FRAMES_PER_S
    return (
        f"Batches count segments of {frames} frames, {length:g} s; per s: segments.",
        f"{motion_cases.DENOISE}: a pass of the network, its audio encoder included. "
        f"{motion_cases.GUIDED}: the audio encoded once, then both branches of guidance in one "
        f"batch. {motion_cases.SEGMENT}: that audio encoder once and {options.steps} steps of DDIM "
        f"(eta 1, guidance {motion_cases.GUIDANCE:g}, one candidate) with history. "
        f"{motion_cases.SPEECH}: {options.speech:g} s of speech, one such segment after the "
        "other, in JAX by the same compiled program.",
        "The sides sample from the same noise where they are compared, and draw their own where "
        "they are timed. The losses of the training step are compared without dropout and on the "
        "same noise; the steps that are timed draw both. GFLOP of sampling: of one step, times the "
        "steps.",
    )
