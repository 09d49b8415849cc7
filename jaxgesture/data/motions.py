"""Motion features as records: one example a clip, tied to the frames and weights they came from.

`motion.json` names the fingerprint of the frame dataset and of the stage 1 weights, and holds the
mean and standard deviation, over the training split, of every motion dimension and audio column.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import UserError
from jaxgesture.data import record_writer, records
from jaxgesture.data.audio import BASELINE
from jaxgesture.data.building import building

INDEX = "motion.json"
KIND = "motion"
# 2: the index names the audio features.
FORMAT = 2
_NAME = "jaxgesture_motion"


@dataclasses.dataclass(frozen=True)
class MotionClip:
    """A clip of motion to be written.

    Attributes:
        id: of the clip in the frame dataset.
        split: "train" or "validation".
        motion: one motion feature a frame.
        audio: one row of audio features a frame, or None for a clip without sound.
        speaker: who is seen.
    """

    id: str
    split: str
    motion: Float[np.ndarray, "t d"]
    audio: Float[np.ndarray, "t a"] | None = None
    speaker: str = ""


@dataclasses.dataclass(frozen=True)
class MotionInfo:
    """A clip as the index has it; `record` is its record in its split."""

    id: str
    split: str
    record: int
    frames: int
    has_audio: bool
    speaker: str


class _Moments:
    """Mean and standard deviation of columns, clip by clip, in float64."""

    def __init__(self, size: int):
        self._count = 0
        self._mean = np.zeros(size)
        self._squares = np.zeros(size)

    def add(self, rows: np.ndarray) -> None:
        rows = rows.astype(np.float64)
        mean = rows.mean(axis=0)
        # Merging of two sets' moments (Chan et al. 1979): no cancellation, whatever the mean is.
        total = self._count + len(rows)
        delta = mean - self._mean
        self._squares += ((rows - mean) ** 2).sum(axis=0)
        self._squares += delta**2 * (self._count * len(rows) / total)
        self._mean += delta * (len(rows) / total)
        self._count = total

    def result(self) -> tuple[list[float], list[float]] | tuple[None, None]:
        if not self._count:
            return None, None
        return self._mean.tolist(), np.sqrt(self._squares / self._count).tolist()


def _features(feature_size: int, audio_size: int) -> Any:
    import tensorflow_datasets as tfds

    def rows(size: int) -> Any:
        return tfds.features.Tensor(
            shape=(None, size), dtype=np.float32, encoding=tfds.features.Encoding.BYTES
        )

    return tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "motion": rows(feature_size),
            "audio": rows(audio_size),
            "has_audio": tfds.features.Scalar(np.bool_),
        }
    )


def _arguments(
    frames_sha256: str,
    weights_sha256: str,
    feature_size: int,
    features: str,
    audio_size: int,
    fps: float,
) -> dict[str, Any]:
    return {
        "frames_sha256": frames_sha256,
        "weights_sha256": weights_sha256,
        "feature_size": feature_size,
        "features": features,
        "audio_size": audio_size,
        "fps": fps,
    }


def write_motion(
    directory: str | os.PathLike,
    clips: Iterable[MotionClip],
    *,
    feature_size: int,
    frames_sha256: str,
    weights_sha256: str,
    features: str = BASELINE,
    audio_size: int = 35,
    fps: float = 25.0,
    shard_bytes: int = record_writer.SHARD_BYTES,
) -> "MotionDataset":
    """Writes a motion dataset, or keeps the finished one of the same frames and weights.

    Args:
        directory: its folder; it appears when everything is written.
        clips: consumed one by one; not touched where a finished dataset is kept.
        feature_size: length of a motion feature.
        frames_sha256: `FrameDataset.sha256` of the frames.
        weights_sha256: fingerprint of the stage 1 weights that made the features.
        features: name of the audio features.
        audio_size: columns of the audio features.
        fps: frames a second.
        shard_bytes: a record file is closed once it holds this many bytes.

    Raises:
        UserError: the folder holds another dataset, no clip was given, a clip's shapes do not
            fit, or a feature is not finite.
    """
    arguments = _arguments(frames_sha256, weights_sha256, feature_size, features, audio_size, fps)
    if records.finished(directory, INDEX, KIND, arguments, FORMAT):
        return MotionDataset(directory)
    moments = {"motion": _Moments(feature_size), "audio": _Moments(audio_size)}
    infos: dict[str, MotionInfo] = {}
    with building(directory, arguments) as folder:
        writer = record_writer.RecordWriter(
            folder, _NAME, _features(feature_size, audio_size), shard_bytes
        )
        try:
            for clip in clips:
                if clip.id in infos:
                    raise UserError(f"two motion clips are called {clip.id!r}")
                infos[clip.id] = _write_clip(writer, clip, feature_size, audio_size, moments)
        except BaseException:
            writer.close()
            raise
        if not infos:
            raise UserError(f"there was no clip to write, so {directory} was not written")
        motion_mean, motion_std = moments["motion"].result()
        audio_mean, audio_std = moments["audio"].result()
        index = {
            "kind": KIND,
            "format": FORMAT,
            **arguments,
            "arguments": arguments,
            "motion_mean": motion_mean,
            "motion_std": motion_std,
            "audio_mean": audio_mean,
            "audio_std": audio_std,
            "clips": [dataclasses.asdict(info) for info in infos.values()],
        }
        card = {**arguments, **_card(infos.values(), fps)}
        description = "Motion features of clips with their audio features."
        writer.finish(INDEX, index, description, card)
    return MotionDataset(directory)


def _card(infos: Iterable[MotionInfo], fps: float) -> dict[str, Any]:
    """What is in it, for people: clips and hours by split."""
    splits: dict[str, dict[str, Any]] = {}
    for info in infos:
        part = splits.setdefault(info.split, {"clips": 0, "frames": 0, "clips_with_sound": 0})
        part["clips"] += 1
        part["frames"] += info.frames
        part["clips_with_sound"] += info.has_audio
    for part in splits.values():
        part["hours"] = round(part["frames"] / fps / 3600, 4)
    return {"splits": splits}


def _write_clip(
    writer: record_writer.RecordWriter,
    clip: MotionClip,
    feature_size: int,
    audio_size: int,
    moments: dict[str, _Moments],
) -> MotionInfo:
    motion = np.ascontiguousarray(clip.motion, np.float32)
    audio = clip.audio
    if audio is None:
        audio = np.zeros((len(motion), audio_size), np.float32)
    audio = np.ascontiguousarray(audio, np.float32)
    if motion.ndim != 2 or motion.shape[1] != feature_size or not len(motion):
        raise UserError(f"motion of {clip.id} is {motion.shape}, (t, {feature_size}) is expected")
    if audio.shape != (len(motion), audio_size):
        raise UserError(
            f"audio of {clip.id} is {audio.shape}, {(len(motion), audio_size)} is expected"
        )
    if not (np.isfinite(motion).all() and np.isfinite(audio).all()):
        raise UserError(f"motion or audio features of {clip.id} are not finite; check the weights")
    if clip.split == "train":
        moments["motion"].add(motion)
        if clip.audio is not None:
            moments["audio"].add(audio)
    has_audio = clip.audio is not None
    record = writer.encode(
        {"id": clip.id, "motion": motion, "audio": audio, "has_audio": has_audio}
    )
    digest = record_writer.group_digest([record])
    number = writer.add(clip.split, 1, digest, lambda: [record])
    return MotionInfo(clip.id, clip.split, number, len(motion), has_audio, clip.speaker)


class MotionDataset:
    """Random access to the clips of a finished motion dataset.

    Args:
        directory: the folder `write_motion` made.

    Attributes:
        feature_size: length d of a motion feature.
        features: name of the audio features.
        audio_size: columns a of the audio features.
        fps: frames a second.
        frames_sha256: fingerprint of the frame dataset it was made from.
        weights_sha256: fingerprint of the stage 1 weights it was made with.
        sha256: fingerprint of the content.
        motion_mean: float32 (d,), over the training split; None without training clips.
        motion_std: likewise.
        audio_mean: float32 (a,), over the training clips with sound; None without any.
        audio_std: likewise.

    Raises:
        UserError: missing, not a motion dataset, or incomplete.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = pathlib.Path(directory).expanduser()
        index = records.read_index(self.directory, INDEX, KIND, FORMAT)
        self.feature_size: int = index["feature_size"]
        self.features: str = index["features"]
        self.audio_size: int = index["audio_size"]
        self.fps: float = index["fps"]
        self.frames_sha256: str = index["frames_sha256"]
        self.weights_sha256: str = index["weights_sha256"]
        self.sha256: str = index["sha256"]

        def vector(name: str) -> np.ndarray | None:
            return None if index[name] is None else np.asarray(index[name], np.float32)

        self.motion_mean, self.motion_std = vector("motion_mean"), vector("motion_std")
        self.audio_mean, self.audio_std = vector("audio_mean"), vector("audio_std")
        self.records = records.RecordReader(self.directory, index)
        self._splits = tuple(index["shards"])
        self._clips = {clip["id"]: MotionInfo(**clip) for clip in index["clips"]}

    def clips(self, split: str | None = None, need_audio: bool = False) -> tuple[MotionInfo, ...]:
        """The clips of a split, of all splits for None; only those with sound if asked for.

        Raises:
            UserError: the dataset has no clips in that split.
        """
        if split is not None and split not in self._splits:
            raise UserError(
                f"{self.directory} has no {split!r} clips, only {', '.join(self._splits)}"
            )
        return tuple(
            clip
            for clip in self._clips.values()
            if split in (None, clip.split) and (clip.has_audio or not need_audio)
        )

    def arrays(
        self, clip: MotionInfo | str
    ) -> tuple[Float[np.ndarray, "t d"], Float[np.ndarray, "t a"]]:
        """Motion and audio features of a clip in one read; audio is zero where it has no sound."""
        name = clip if isinstance(clip, str) else clip.id
        if name not in self._clips:
            raise UserError(f"{self.directory} has no clip {name!r}; its clips are in {INDEX}")
        info = self._clips[name]
        example = self.records.read(info.split, info.record)
        return example["motion"], example["audio"]

    def motion(self, clip: MotionInfo | str) -> Float[np.ndarray, "t d"]:
        """The motion features of a clip."""
        return self.arrays(clip)[0]

    def audio(self, clip: MotionInfo | str) -> Float[np.ndarray, "t a"]:
        """The audio features of a clip.

        Raises:
            UserError: the clip has no sound.
        """
        name = clip if isinstance(clip, str) else clip.id
        if name in self._clips and not self._clips[name].has_audio:
            raise UserError(f"clip {name} has no sound, so it has no audio features")
        return self.arrays(clip)[1]

    def require(
        self, *, frames_sha256: str | None = None, weights_sha256: str | None = None
    ) -> None:
        """Refuses motion features that were made from other frames or with other weights.

        Raises:
            UserError: a given fingerprint is not the one recorded.
        """
        for what, wanted, found in (
            ("frames", frames_sha256, self.frames_sha256),
            ("stage 1 weights", weights_sha256, self.weights_sha256),
        ):
            if wanted is not None and wanted != found:
                raise UserError(
                    f"{self.directory} was made from other {what} ({found[:12]}, not "
                    f"{wanted[:12]}); run `jaxgesture extract` again"
                )
