"""Videos of a trained model on held-out clips, beside true ones and controls, to be evaluated.

Each set is a folder, each clip a file SPEAKER/CLIP.mp4 in every set:

    true            the clip itself
    redrawn         its first frame, redrawn in its true motion by the base model
    generated       its first frame, in motion generated for its speech
    other_speech    the same, in motion generated for the speech of another clip
    without_speech  the same, in motion generated without speech

Beside the videos lie motion features (NAME.npz), beats of the speech (NAME.beats.txt), and
landmarks: of the synthetic presenter exact for true frames and read from drawn ones, else the boxes
that the dataset has. A set of the same models, clips and seed is kept, and gone on with.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.animation.model import Animation
from jaxgesture.animation.step import as_image
from jaxgesture.core import tree
from jaxgesture.data import landmarks, poses, presenter_landmarks
from jaxgesture.data.batches import filled
from jaxgesture.data.datasets import ClipInfo, FrameDataset
from jaxgesture.data.presenter import Presentation
from jaxgesture.data.sound import read_audio
from jaxgesture.generation import kept, provenance
from jaxgesture.generation.held_out import Spoken, sample_spoken
from jaxgesture.generation.render import render
from jaxgesture.generation.writer import VideoWriter
from jaxgesture.motion.model import Motion

TRUE, REDRAWN, GENERATED = "true", "redrawn", "generated"
OTHER, SILENT = "other_speech", "without_speech"
_BATCH = 16


@dataclasses.dataclass(frozen=True)
class Making:
    """What is made of what.

    Attributes:
      animation: the base model.
      motion: the motion model; None makes no generated sets.
      dataset: frames and audio features.
      clips: of the dataset, to be judged.
      videos: the folder that the dataset was prepared from, for its sound; None leaves videos of
        others than the presenter silent.
      seed: of the noise, 0 or more.
      options: of sampling, see `Motion.batch`.
    """

    animation: Animation
    motion: Motion | None
    dataset: FrameDataset
    clips: Sequence[ClipInfo]
    videos: pathlib.Path | None = None
    seed: int = 0
    options: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def sets(self) -> tuple[str, ...]:
        """Names of the sets that are made."""
        if self.motion is None:
            return TRUE, REDRAWN
        # One clip alone has no other speech.
        others = (OTHER,) if len(self.clips) > 1 else ()
        return TRUE, REDRAWN, GENERATED, *others, SILENT


def make_videos(
    making: Making, out: pathlib.Path, tick: Callable[[str], object] = lambda name: None
) -> dict[str, pathlib.Path]:
    """Writes the videos; returns the folder of each set.

    Args:
      making: what is made of what.
      out: folder of the sets.
      tick: called with set and clip for each video that is there.

    Raises:
      UserError: `out` holds videos of something else, or cannot be written; a clip has no sound.
    """
    kept.begin(out, _record(making))
    folders = {name: out / name for name in making.sets()}
    # Only where a video is missing.
    motions = functools.cache(lambda: _motions(making))
    reader = functools.cache(presenter_landmarks.fit_reader)
    dataset = making.dataset
    for number, clip in enumerate(making.clips):
        place = pathlib.Path(_safe(clip.speaker)) / f"{_safe(clip.id)}.mp4"
        left = {name: folder / place for name, folder in folders.items()}
        left = {name: target for name, target in left.items() if not target.exists()}
        if left:
            frames = dataset.frames(clip)
            true = _features(making.animation, frames)
            code = making.animation.encode_source(as_image(frames[0]))
            play = poses.performance_of(clip, dataset.size, dataset.fps)
        for name, target in left.items():
            motion = true if name in (TRUE, REDRAWN) else motions()[name][number]
            drawn = frames
            if name != TRUE:
                drawn = np.concatenate(list(render(making.animation, code, motion, _BATCH)))
            target.parent.mkdir(parents=True, exist_ok=True)
            presenter_landmarks.write(target.with_suffix(".npz"), {"motion": motion})
            if play is not None:
                marks = presenter_landmarks.exact(play)
                if name != TRUE:
                    marks = reader(poses.identity_of(clip))(drawn, dataset.fps)
            elif name == TRUE and clip.has_boxes:
                marks = presenter_landmarks.of_boxes(dataset.boxes(clip), dataset.size, dataset.fps)
            else:
                marks = None
            if marks is not None:
                presenter_landmarks.write(target.with_suffix(landmarks.SUFFIX), marks)
            beats = _beats(dataset, clip, play)
            if beats is not None:
                lines = "".join(f"{moment:.3f}\n" for moment in beats)
                target.with_suffix(".beats.txt").write_text(lines)
            # The video comes last: where it is, all that belongs to it is.
            sound = _sound(making, clip, play)
            comment = None if name == TRUE else _comment(making, name, clip)
            with VideoWriter(
                target, dataset.size, dataset.fps, audio=sound, comment=comment
            ) as writer:
                writer.write(drawn)
        for name in folders:
            tick(f"{name} {clip.id}")
    return folders


def _record(making: Making) -> dict[str, object]:
    motion = making.motion
    return {
        "animation_sha256": making.animation.sha256,
        "motion_sha256": None if motion is None else tree.sha256(motion.variables),
        "dataset_sha256": making.dataset.sha256,
        "clips": [clip.id for clip in making.clips],
        "seed": making.seed,
        "options": dict(making.options),
        "sound": making.videos is not None,
    }


def _comment(making: Making, name: str, clip: ClipInfo) -> str:
    """The entry of a drawn video."""
    record = _record(making)
    hashes = {key: value for key, value in record.items() if key.endswith("_sha256")}
    return provenance.describe({"set": name, "clip": clip.id, **hashes, "seed": making.seed})


def _safe(name: str) -> str:
    """A name as a part of a path."""
    return "".join(c if c.isalnum() or c in "-_. " else "_" for c in name).strip(". ") or "_"


def _features(animation: Animation, frames: UInt8[np.ndarray, "t h w 3"]) -> np.ndarray:
    rows = [
        np.asarray(animation.extract_motion(as_image(part)))[:count]
        for part, count in filled(frames, _BATCH)
    ]
    return np.concatenate(rows)


def _motions(making: Making) -> dict[str, list[np.ndarray]]:
    """Generated motion of each clip, of each set that has some."""
    motion, clips = making.motion, making.clips
    if motion is None:
        return {}

    def spoken(number: int, shift: int) -> Spoken:
        own, heard = clips[number], clips[(number + shift) % len(clips)]
        first = _features(making.animation, making.dataset.frames(own, 0, 1))[0]
        audio = making.dataset.audio(heard)
        # As long as the clip: a shorter speech begins again.
        return Spoken(own.id, np.resize(audio, (own.frames, audio.shape[1])), first)

    def sample(shift: int, **options) -> list[np.ndarray]:
        speeches = [functools.partial(spoken, number, shift) for number in range(len(clips))]
        return sample_spoken(motion, speeches, seed=making.seed, **{**making.options, **options})

    return {
        GENERATED: sample(0),
        OTHER: sample(max(1, len(clips) // 2)),
        SILENT: sample(0, guidance=0.0),
    }


def _sound(
    making: Making, clip: ClipInfo, play: Presentation | None
) -> tuple[Float[np.ndarray, "n"], int] | None:
    """Samples of a clip and their rate; None where there are none."""
    if play is not None:
        return play.audio, play.sample_rate
    if making.videos is None or not clip.has_audio:
        return None
    samples, rate = read_audio(making.videos / clip.source)
    begin = round(clip.start * rate)
    return samples[begin : begin + round(clip.frames / making.dataset.fps * rate)], rate


def _beats(
    dataset: FrameDataset, clip: ClipInfo, play: Presentation | None
) -> Float[np.ndarray, "b"] | None:
    """Stressed beats of the presenter, else onsets of the sound; None without sound."""
    if play is not None:
        return play.beats
    return poses.onsets_of(dataset, clip) if clip.has_audio else None
