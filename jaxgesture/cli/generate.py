r"""jaxgesture generate: makes videos from pictures of speakers and speech recordings.

Try:
  jaxgesture generate --image=me.png --audio=speech.wav --animation=runs/stage1 \
      --motion=runs/stage2 --out=me.mp4
  jaxgesture generate --image=me.png --audio=talks --animation=runs/stage1 --motion=runs/stage2 \
      --out=videos --preview=5

A picture may have any size (its centre square is used), a recording any length and format. Several
of either, separated by commas (names with commas in "quotes") or as a folder, make every picture
speak every recording; --pairs takes the first with the first and so on. They are worked on
together, --together at once, and the videos in the folder --out are named after recording, picture,
or PICTURE_RECORDING.

The same call gives the same motion, byte for byte (another --together, other last bits). Beside
each result, NAME.mp4.json says what it was made from and how to make it again. A result that was
made from just the same is kept, so that the same command goes on where it was stopped; one that was
made from something else is an error unless --overwrite is given. What fails is reported, and the
others are made.

Make videos of people only with their consent, and say that they are synthetic. Videos and pictures
say so in their metadata (jaxgesture inspect shows it), unless --provenance=false; --watermark draws
a text into the frames. More in docs/responsible-use.md.

--format: mp4, webm, frames (a folder of PNG pictures), motion (.npz: motion, fps, hashes).
"""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from absl import flags as absl_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import UserError

if TYPE_CHECKING:
    from jaxgesture.generation.jobs import Job


class _Names(absl_flags.ListParser):
    """Names with commas between them; one that is there as it stands is one, commas or not."""

    def parse(self, argument: Any) -> list[str]:
        """Returns the names."""
        if isinstance(argument, str) and os.path.exists(os.path.expanduser(argument)):
            return [argument]
        return super().parse(argument)


FLAGS = flags.new()
for _name, _text in (
    ("image", "picture of the speaker; or several, or a folder"),
    ("audio", "speech: any sound or video file; or several, or a folder"),
):
    absl_flags.DEFINE(
        _Names(), _name, [], _text, flag_values=FLAGS,
        serializer=absl_flags.CsvListSerializer(","),
    )  # fmt: skip
absl_flags.DEFINE_string(
    "animation", None, "workdir of stage 1, or an exported folder", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "motion", None, "workdir of stage 2, or an exported folder", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "out",
    None,
    "the video to write, or the folder of several (default: video.mp4, or videos)",
    flag_values=FLAGS,
)
absl_flags.DEFINE_string(
    "format", None, "mp4, webm, frames or motion (default: as --out ends, or mp4)",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_boolean(
    "pairs", False, "as many pictures as recordings: the first with the first", flag_values=FLAGS
)
absl_flags.DEFINE_float(
    "preview", None, "write the first seconds first, as NAME.preview.mp4", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "motion_out", None, "also write the motion features of one video, as .npy", flag_values=FLAGS
)
absl_flags.DEFINE_integer("seed", 0, "another seed, other gestures", flag_values=FLAGS)
absl_flags.DEFINE_integer("candidates", 5, "continuations drawn per segment", flag_values=FLAGS)
absl_flags.DEFINE_integer("steps", 50, "steps of the sampler", flag_values=FLAGS)
absl_flags.DEFINE_string("sampler", "ddim", "ddim, ddpm or dpm++2m", flag_values=FLAGS)
absl_flags.DEFINE_float("guidance", 2.0, "weight of the speech", flag_values=FLAGS)
absl_flags.DEFINE_float("eta", 1.0, "ddim: noise of its steps, 0 to 1", flag_values=FLAGS)
absl_flags.DEFINE_string(
    "selection", "last", "velocities by which a continuation is chosen, last or first",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_boolean(
    "smooth_seams", False, "a spline over the frames where two segments meet", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "wavlm",
    None,
    "local folder of the WavLM model whose features the motion model was trained on",
    flag_values=FLAGS,
)
absl_flags.DEFINE_integer("batch", 16, "frames drawn at once", flag_values=FLAGS)
absl_flags.DEFINE_integer(
    "together", None, "recordings sampled at once, if not as many as there are, at most 4",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_string(
    "watermark", None, "text to draw into a lower corner of every frame, such as AI-generated",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_boolean(
    "provenance", True, "the metadata of videos and pictures say what made them", flag_values=FLAGS
)
absl_flags.DEFINE_boolean(
    "overwrite", False, "replace what was made from something else", flag_values=FLAGS
)

_OPTIONS = (
    "seed", "candidates", "steps", "sampler", "guidance", "eta", "selection", "smooth_seams",
)  # fmt: skip


def run() -> None:
    """Runs the command."""
    images = flags.required(FLAGS, "image", "name a picture of the speaker")
    audios = flags.required(FLAGS, "audio", "name a speech recording")
    weights = flags.required(FLAGS, "animation", "name the workdir of a trained stage 1")
    motion_weights = flags.required(FLAGS, "motion", "name the workdir of a trained stage 2")
    from jaxgesture.data.container import check_file
    from jaxgesture.generation import jobs as listing

    jobs = listing.make_jobs(
        images,
        audios,
        out=FLAGS.out,
        format=listing.chosen_format(FLAGS.out, FLAGS.format),
        pairs=FLAGS.pairs,
        preview=FLAGS.preview,
        motion_out=FLAGS.motion_out,
    )
    if FLAGS.watermark is not None and jobs[0].format == "motion":
        raise UserError("--watermark with --format=motion: there are no frames; leave it out")
    if FLAGS.together is not None and FLAGS.together < 1:
        raise UserError(f"--together={FLAGS.together}: choose 1 or more recordings at once")
    outcomes = _Outcomes(len(jobs))
    wanted = []
    for job in jobs:  # before the weights are read
        with outcomes.caught(job):
            check_file(job.image)
            check_file(job.audio)
            wanted.append(job)
    if wanted:
        outcomes.show_warnings()
        # All of them count, what is kept as well: the motion's last bits depend on the number.
        rows = FLAGS.together or listing.rows_of(len(jobs))
        _make(wanted, outcomes, weights, motion_weights, rows)
    outcomes.finish()


def _make(
    jobs: "list[Job]", outcomes: "_Outcomes", weights: str, motion_weights: str, rows: int
) -> None:
    from jaxgesture.animation.model import load_animation
    from jaxgesture.generation import record
    from jaxgesture.generation.pipeline import Studio
    from jaxgesture.generation.speech_to_motion import name_features
    from jaxgesture.motion.model import load_motion

    extractor = None
    if FLAGS.wavlm:
        from jaxgesture.data.wavlm import WavLM

        extractor = WavLM(FLAGS.wavlm)
    animation = load_animation(weights)
    motion = name_features(load_motion(motion_weights), extractor)
    options: dict[str, Any] = {name: FLAGS[name].value for name in _OPTIONS}
    marks: dict[str, Any] = {"watermark": FLAGS.watermark, "provenance": FLAGS.provenance}
    studio = Studio(animation, motion, extractor=extractor, batch=FLAGS.batch, **marks, **options)
    sources = record.sources(
        (weights, animation),
        (motion_weights, motion),
        wavlm=FLAGS.wavlm,
        options=options,
        batch=FLAGS.batch,
        rows=rows,
        **marks,
    )
    pending = []
    for job in jobs:
        with outcomes.caught(job):
            if sources.is_made(job, FLAGS.overwrite):
                outcomes.say(f"{job.out}: kept, it was made by the same command")
            else:
                pending.append(job)
    for outcome in studio.run(pending, rows=rows):
        with outcomes.caught(outcome.job):
            if outcome.error is not None:
                raise outcome.error
            sources.write(outcome.job, outcome.frames, animation.size, outcome.seconds)
            spent = ", ".join(f"{name} {span:.1f} s" for name, span in outcome.seconds.items())
            outcomes.say(f"{outcome.job.out}: {outcome.frames} frames ({spent})")


class _Outcomes:
    """Says how each of several jobs ended; the error of a single one is that of the command."""

    def __init__(self, count: int):
        self._count, self._failed = count, 0

    @contextlib.contextmanager
    def caught(self, job: "Job") -> Iterator[None]:
        """Reports what is wrong with one of several jobs, so that the others go on."""
        try:
            yield
        except UserError as error:
            if self._count == 1:
                raise
            self._failed += 1
            self.say(f"jaxgesture: {job.out}: error: {' '.join(str(error).split())}", sys.stderr)

    def say(self, text: str, stream: Any = None) -> None:
        """Prints a line, above a progress bar and not through it."""
        from tqdm import tqdm

        tqdm.write(text, file=stream or sys.stdout)

    def show_warnings(self) -> None:
        """Shows warnings above a progress bar, each once: sound and its track are read apart."""
        from tqdm import tqdm

        show, seen = warnings.showwarning, set()

        def once(message, *about, **more) -> None:
            if str(message) not in seen:
                seen.add(str(message))
                with tqdm.external_write_mode(file=sys.stderr):
                    show(message, *about, **more)

        warnings.showwarning = once

    def finish(self) -> None:
        """Raises a UserError where something failed."""
        if self._failed:
            raise UserError(
                f"{self._failed} of {self._count} failed, see above; the same command makes what "
                "is missing"
            )
