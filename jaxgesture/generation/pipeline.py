"""Pictures of speakers and speech recordings in, videos out: segment by segment.

Segments of motion are sampled, drawn and written one after the other, so that the memory needed
does not grow with the length of a recording. Several recordings are sampled as one batch.
"""

import collections
import contextlib
import functools
import os
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from jaxgesture.animation.model import Animation
from jaxgesture.core import tree
from jaxgesture.core.errors import UserError
from jaxgesture.data.audio import Extractor, frame_count
from jaxgesture.data.image import read_image
from jaxgesture.data.sound import stated_length
from jaxgesture.generation.jobs import Job, rows_of
from jaxgesture.generation.outputs import FrameFolder, Kept, MotionFile, Video
from jaxgesture.generation.provenance import describe
from jaxgesture.generation.record import file_sha256
from jaxgesture.generation.render import Renderer
from jaxgesture.generation.speech_to_motion import check_features, features_of_file
from jaxgesture.generation.watermark import Watermark
from jaxgesture.generation.work import PARTS, Outcome, Work
from jaxgesture.generation.writer import check_target
from jaxgesture.motion.model import Motion, check_seed

# Recordings (their features) and pictures (what the base model has of them) kept for other jobs.
_KEPT_SOUNDS, _KEPT_PICTURES = 2, 8


class Result(NamedTuple):
    """What `generate` made.

    Attributes:
      path: the video.
      motion: the motion features it was drawn from, (t, d).
      seconds: time taken by each of `PARTS`.
    """

    path: pathlib.Path
    motion: Float[np.ndarray, "t d"]
    seconds: dict[str, float]


class Studio:
    """Both models, ready for jobs.

    Args:
      animation: the base model.
      motion: the motion model, trained on features of that very base model.
      seed: another seed, other gestures.
      extractor: of the audio features that the motion model reads; None for the 35 hand-crafted
        ones.
      batch: frames drawn at once.
      watermark: text drawn into the frames; None draws none.
      provenance: videos and pictures say in their metadata that they are synthetic, and what
        made them.
      options: of `Motion.sample`: candidates, steps, guidance, eta, sampler, selection,
        smooth_seams.

    Raises:
      UserError: models that do not fit each other, options out of range, or a watermark that
        cannot be drawn.
    """

    def __init__(
        self,
        animation: Animation,
        motion: Motion,
        *,
        seed: int = 0,
        extractor: Extractor | None = None,
        batch: int = 16,
        watermark: str | None = None,
        provenance: bool = True,
        **options: Any,
    ):
        _check_models(animation, motion)
        check_features(motion, extractor)
        if batch < 1:
            raise UserError(f"{batch} frames cannot be drawn at once; choose 1 or more")
        motion.batch(1, **options)
        check_seed(seed)
        self._mark = None if watermark is None else Watermark(watermark, animation.size)
        self._provenance = provenance
        self.animation, self.motion = animation, motion
        self._seed, self._batch, self._options = seed, batch, options
        self._extractor = extractor
        self._sound = functools.lru_cache(maxsize=_KEPT_SOUNDS)(self._read_sound)
        self._picture = functools.lru_cache(maxsize=_KEPT_PICTURES)(self._read_picture)

    def _read_sound(self, path: str) -> tuple[np.ndarray, int]:
        return features_of_file(path, self.motion.config.segment_frames, self._extractor)

    def _read_picture(self, image: Any) -> tuple[Any, np.ndarray]:
        picture = read_image(image, size=self.animation.size)
        feature = np.asarray(self.animation.extract_motion(picture))
        return self.animation.encode_source(picture), feature

    def run(
        self, jobs: Sequence[Job], *, rows: int | None = None, progress: bool = True
    ) -> Iterator[Outcome]:
        """Does jobs, several at once; yields how each ended. One that fails ends for itself alone.

        Args:
          jobs: what to make; outputs that exist are replaced.
          rows: recordings sampled in one batch, by default `rows_of` the jobs. Motion is the same
            to the bit for the same number, whatever the other jobs are.
          progress: show a progress bar, with frames a second and the time left.

        Raises:
          UserError: not enough memory for the batch.
        """
        if not jobs:
            return
        batch = self.motion.batch(rows or rows_of(len(jobs)), **self._options)
        queue = collections.deque(enumerate(jobs))
        active: dict[Any, Work] = {}
        expected = {number: _expected(job) for number, job in queue}
        bar = tqdm(total=sum(expected.values()), desc="frames", unit="frame", disable=not progress)

        def ended(number: Any, work: Work, error: UserError | None) -> Outcome:
            if error is not None:
                work.abort()
                batch.drop(number)
            active.pop(number, None)
            bar.total += work.done - expected[number]
            bar.refresh()
            return Outcome(work.job, 0 if error else work.frames, work.seconds, error)

        try:
            while queue or active:
                while queue and batch.free:
                    number, job = queue.popleft()
                    work = active[number] = Work(job, dict.fromkeys(PARTS, 0.0), self._mark)
                    try:
                        batch.add(number, self._begin(work))
                    except UserError as error:
                        yield ended(number, work, error)
                        continue
                    bar.total += work.frames - expected[number]
                    expected[number] = work.frames
                clock = time.monotonic()
                with _memory("--together and --candidates"):
                    made = batch.step()
                spent = (time.monotonic() - clock) / max(1, len(made))
                for number, segment, last in made:
                    work = active[number]
                    work.seconds["motion"] += spent
                    try:
                        with _memory("--batch"):
                            work.take(segment, last)
                    except UserError as error:
                        yield ended(number, work, error)
                        continue
                    work.done += len(segment)
                    bar.update(len(segment))
                    if last:
                        yield ended(number, work, None)
        finally:
            bar.close()
            for work in active.values():
                work.abort()

    def _begin(self, work: Work) -> Any:
        """Reads what a job is made from, and opens its outputs; returns its speech."""
        job, clock = work.job, time.monotonic()
        _check_apart(job)
        audio = os.fspath(job.audio)
        # Arrays cannot be kept by name.
        named = isinstance(job.image, str | os.PathLike)
        with _memory("--together and --candidates"):
            source, feature = (self._picture if named else self._read_picture)(job.image)
        features, work.frames = self._sound(audio)
        speech = self.motion.speech(
            features, source_feature=feature, seed=self._seed, frames=work.frames
        )
        work.seconds["features"] = time.monotonic() - clock
        outputs, size, comment = work.outputs, self.animation.size, self._comment(job)
        shape = (work.frames, self.motion.feature_size)
        if job.preview is not None:
            limit = min(work.frames, max(1, frame_count(round(job.preview * 1000), 1000)))
            outputs.append(Video(job.preview_path, size, audio, limit, comment))
        if job.format == "frames":
            outputs.append(FrameFolder(job.out, comment))
        elif job.format == "motion":
            outputs.append(MotionFile(job.out, shape, self._about(job)))
        else:
            outputs.append(Video(job.out, size, audio, comment=comment))
        if job.motion_out is not None:
            outputs.append(MotionFile(job.motion_out, shape))
        outputs += job.besides
        if any(output.drawn for output in outputs):
            work.renderer = Renderer(self.animation, source, min(self._batch, work.frames))
        return speech

    @functools.cached_property
    def _motion_sha256(self) -> str:
        return tree.sha256(self.motion.variables)

    def _about(self, job: Job) -> dict[str, Any]:
        """What made the motion of a job."""
        about = {
            "audio_sha256": file_sha256(job.audio),
            "animation_sha256": self.animation.sha256,
            "motion_sha256": self._motion_sha256,
            "seed": self._seed,
        }
        if isinstance(job.image, str | os.PathLike):
            about["image_sha256"] = file_sha256(job.image)
        return about

    def _comment(self, job: Job) -> str | None:
        """The entry of a job's videos and pictures; None where they have none."""
        if not self._provenance or job.format == "motion":
            return None
        return describe({**self._about(job), **self._options})


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
    eta: float = 1.0,
    sampler: str = "ddim",
    selection: str = "last",
    smooth_seams: bool = False,
    batch: int = 16,
    extractor: Extractor | None = None,
    watermark: str | None = None,
    provenance: bool = True,
    progress: bool = True,
) -> Result:
    """Makes a video of the pictured person speaking and gesturing to a recording.

    The motion is a function of (weights, image, audio, seed) alone: the same inputs give the same
    bytes. Segments are sampled, drawn and streamed into the file one after the other.

    Args:
      image: a picture file or array of any size; its centre square is used.
      speech: a sound or video file of any length and format; it becomes the sound track.
      animation: the base model.
      motion: the motion model, trained on features of that very base model.
      seed: another seed, other gestures.
      out: the MP4 or WebM file, 25 frames a second, floor(25 x audio seconds + 0.5) frames; one
        that exists is replaced.
      candidates: continuations drawn per segment, of which the smoothest is kept.
      steps: steps of the sampler.
      guidance: weight of the speech; 0 ignores it, 1 is the plain conditional model.
      eta: noise of the "ddim" sampler, 0 to 1.
      sampler: "ddim", "ddpm" or "dpm++2m".
      selection: velocities that are compared, "last" (published) or "first" (natural).
      smooth_seams: a spline over the frames where two segments meet.
      batch: frames drawn at once.
      extractor: of the audio features that the motion model reads; None for the 35 hand-crafted
        ones.
      watermark: text to draw into a lower corner of the frames; None draws none.
      provenance: the video says in its metadata that it is synthetic, and what made it.
      progress: show a progress bar.

    Raises:
      UserError: a file that is missing or cannot be read, models that do not fit each other, or a
        watermark that cannot be drawn.
    """
    check_target(out)
    studio = Studio(
        animation, motion, seed=seed, extractor=extractor, batch=batch, candidates=candidates,
        steps=steps, guidance=guidance, eta=eta, sampler=sampler, selection=selection,
        smooth_seams=smooth_seams, watermark=watermark, provenance=provenance,
    )  # fmt: skip
    kept = Kept()
    job = Job(image, speech, pathlib.Path(out).expanduser(), besides=(kept,))
    (outcome,) = studio.run([job], rows=1, progress=progress)
    if outcome.error is not None:
        raise outcome.error
    return Result(job.out, kept.motion, outcome.seconds)


def _check_models(animation: Animation, motion: Motion) -> None:
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


@contextlib.contextmanager
def _memory(flags: str) -> Iterator[None]:
    """Says what to do where the memory does not suffice."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, MemoryError, OverflowError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise UserError(
            f"not enough memory; choose smaller {flags}, or a device that has more"
        ) from error


def _check_apart(job: Job) -> None:
    """Refuses a folder of frames that would take the place of the picture's own."""
    if job.format != "frames" or not isinstance(job.image, str | os.PathLike):
        return
    if pathlib.Path(job.image).expanduser().resolve().parent == job.out.resolve():
        raise UserError(
            f"{job.out} holds the picture {job.image} itself; give another folder for the frames"
        )


def _expected(job: Job) -> int:
    """Frames that a recording will have, as its file states; 0 where it does not."""
    try:
        return frame_count(round((stated_length(job.audio) or 0.0) * 1000), 1000)
    except UserError:
        return 0
