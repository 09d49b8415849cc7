"""Writing a frame dataset: clips in, one record a frame out, in order and in one pass."""

import dataclasses
import errno
import io
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.core.errors import UserError
from jaxgesture.data import boxes, records
from jaxgesture.data.frames import FORMAT, INDEX, KIND, ClipInfo, FrameDataset

_NAME = "jaxgesture_frames"
# Below this size blocks of chroma shared by 2 x 2 pixels are visible, and the saving is small.
_FULL_CHROMA_BELOW = 192
# A sound track may end this many frames before its pictures; its last row is held that long.
_HELD_AUDIO_ROWS = 2


@dataclasses.dataclass(frozen=True)
class ClipData:
    """A clip to be written.

    Attributes:
        id: unique in the dataset.
        split: "train" or "validation".
        frames: uint8 (size, size, 3) images; an iterator is consumed as it comes.
        audio: one row of features a frame, or None for a clip without sound. It may have more
            rows than there are frames, and up to two fewer (the last one is then held).
        speaker: who is seen.
        source: the file it came from.
        start: where in the source it starts, seconds.
        boxes: left_hand, right_hand, face and lips in every frame, x0, y0, x1, y1 as fractions of
            the frame, NaN where not seen; or None. Frames beyond its rows have none.
    """

    id: str
    split: str
    frames: Iterable[UInt8[np.ndarray, "h w 3"]]
    audio: Float[np.ndarray, "t a"] | None = None
    speaker: str = ""
    source: str = ""
    start: float = 0.0
    boxes: Float[np.ndarray, "t 4 4"] | None = None


def encode_image(image: UInt8[np.ndarray, "h w 3"], image_format: str, quality: int) -> bytes:
    """JPEG or PNG bytes; JPEGs below 192 pixels keep full chroma resolution."""
    from PIL import Image

    stream = io.BytesIO()
    if image_format == "png":
        Image.fromarray(image).save(stream, "PNG", compress_level=3)
    else:
        subsampling = 0 if image.shape[0] < _FULL_CHROMA_BELOW else 2
        Image.fromarray(image).save(stream, "JPEG", quality=quality, subsampling=subsampling)
    return stream.getvalue()


def _features(size: int, audio_size: int, image_format: str) -> Any:
    import tensorflow_datasets as tfds

    def numbers(*shape: int) -> Any:
        # As bytes a row is one copy; as a list of floats it is parsed number by number.
        return tfds.features.Tensor(
            shape=shape, dtype=np.float32, encoding=tfds.features.Encoding.BYTES
        )

    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(size, size, 3), encoding_format=image_format),
            "clip": tfds.features.Text(),
            "index": tfds.features.Scalar(np.int32),
            "has_audio": tfds.features.Scalar(np.bool_),
            "audio": numbers(audio_size),
            "boxes": numbers(boxes.K, 4),
        }
    )


def frame_settings(
    size: int, fps: float, audio_size: int, image_format: str, quality: int
) -> dict[str, Any]:
    """The settings that every frame dataset records, checked.

    Raises:
        UserError: a setting is out of range.
    """
    if image_format not in ("jpeg", "png"):
        raise UserError(f"image format {image_format!r} is unknown; use 'jpeg' or 'png'")
    if size < 1 or fps <= 0 or not 1 <= quality <= 100:
        raise UserError(
            f"size {size}, fps {fps:g} and quality {quality} must be positive, quality at most 100"
        )
    return {
        "size": size,
        "fps": float(fps),
        "audio_size": audio_size,
        "image_format": image_format,
        "quality": quality if image_format == "jpeg" else None,
    }


def existing_frames(
    directory: str | os.PathLike, settings: Mapping[str, Any], arguments: Mapping[str, Any]
) -> FrameDataset | None:
    """The finished dataset of the same settings and arguments, None where there is nothing yet.

    Raises:
        UserError: the folder holds something else.
    """
    found = records.finished(directory, INDEX, KIND, {**settings, **arguments}, FORMAT)
    return FrameDataset(directory) if found else None


def write_frames(
    directory: str | os.PathLike,
    clips: Iterable[ClipData],
    *,
    size: int,
    fps: float = 25.0,
    audio_size: int = 35,
    image_format: str = "jpeg",
    quality: int = 95,
    arguments: Mapping[str, Any] | None = None,
    on_error: Callable[[ClipData, Exception], None] | None = None,
    progress: Callable[[int], Any] | None = None,
    report: Callable[[], Mapping[str, Any]] | None = None,
    shard_bytes: int = records.SHARD_BYTES,
) -> FrameDataset:
    """Writes a frame dataset, or keeps the finished one that is there.

    Args:
        directory: its folder; it appears when everything is written.
        clips: what to write, consumed clip by clip and frame by frame. Not touched where a
            finished dataset of the same arguments is found.
        size: side of the square frames, pixels.
        fps: frames a second of all clips.
        audio_size: columns of the audio features.
        image_format: "jpeg" or "png".
        quality: of JPEG, 1 to 100.
        arguments: what the clips were made from, as JSON values; a finished dataset is kept only
            if these and the settings above are the same.
        on_error: called with a clip whose frames raise `UserError` or `OSError`: the clip is left
            out and the rest is written. Without it the error is raised.
        progress: called with 1 after every frame.
        report: called when all clips are written; its JSON values are kept as `report`.
        shard_bytes: a record file is closed once it holds this many bytes.

    Raises:
        UserError: the folder holds another dataset, no clip was usable, two clips share an id, or
            a clip's frames, audio features and boxes do not fit.
    """
    settings = frame_settings(size, fps, audio_size, image_format, quality)
    existing = existing_frames(directory, settings, arguments or {})
    if existing is not None:
        return existing
    arguments = {**settings, **(arguments or {})}
    with records.building(directory) as folder:
        writer = records.RecordWriter(
            folder, _NAME, _features(size, audio_size, image_format), shard_bytes
        )
        try:
            infos = _write_clips(writer, folder, clips, settings, on_error, progress)
        finally:
            writer.close()
        if not infos:
            raise UserError(f"no clip was usable, so {directory} was not written")
        index = {
            "kind": KIND,
            "format": FORMAT,
            **settings,
            "arguments": arguments,
            "report": dict(report()) if report is not None else {},
            "clips": [dataclasses.asdict(info) for info in infos],
        }
        writer.finish(INDEX, index, "Frames of speakers with their rows of audio features.")
    return FrameDataset(directory)


def _write_clips(
    writer: records.RecordWriter,
    folder: pathlib.Path,
    clips: Iterable[ClipData],
    settings: Mapping[str, Any],
    on_error: Callable[[ClipData, Exception], None] | None,
    progress: Callable[[int], Any] | None,
) -> list[ClipInfo]:
    """Adds the clips in order; a clip goes in whole or not at all."""
    infos: list[ClipInfo] = []
    ids: set[str] = set()
    for clip in clips:
        if clip.id in ids:
            raise UserError(f"two clips are called {clip.id!r}; rename one of the sources")
        spool = folder / "clip.spool"
        # A clip can fail at its last frame, so its records wait in a file of their own.
        try:
            lengths = _spool(writer, spool, clip, settings, progress)
        except (UserError, OSError) as error:
            spool.unlink(missing_ok=True)
            if on_error is None or getattr(error, "errno", None) == errno.ENOSPC:
                raise
            on_error(clip, error)
            continue
        first = writer.count(clip.split)
        with spool.open("rb") as stream:
            for length in lengths:
                writer.add(clip.split, stream.read(length))
        spool.unlink()
        ids.add(clip.id)
        infos.append(
            ClipInfo(
                id=clip.id,
                split=clip.split,
                first=first,
                frames=len(lengths),
                has_audio=clip.audio is not None,
                has_boxes=bool(np.isfinite(_boxes(clip)[: len(lengths)]).any()),
                speaker=clip.speaker,
                source=clip.source,
                start=round(clip.start, 6),
                seconds=round(len(lengths) / settings["fps"], 6),
            )
        )
    return infos


def _boxes(clip: ClipData) -> Float[np.ndarray, "t 4 4"]:
    none = np.empty((0, boxes.K, 4), np.float32)
    return none if clip.boxes is None else boxes.checked(clip.boxes, clip.id)


def _spool(
    writer: records.RecordWriter,
    path: pathlib.Path,
    clip: ClipData,
    settings: Mapping[str, Any],
    progress: Callable[[int], Any] | None,
) -> list[int]:
    """Writes a clip's records one after the other and returns their lengths."""
    size, lengths = settings["size"], []
    silence = np.zeros(settings["audio_size"], np.float32)
    if clip.audio is not None and clip.audio.shape[1:] != silence.shape:
        raise UserError(
            f"{clip.id} has {clip.audio.shape[1:]} audio columns, {silence.size} are expected"
        )
    places = _boxes(clip)
    unseen = np.tile(boxes.ABSENT, (boxes.K, 1))
    with path.open("wb") as stream:
        for i, frame in enumerate(clip.frames):
            if frame.shape != (size, size, 3) or frame.dtype != np.uint8:
                raise UserError(
                    f"frame {i} of {clip.id} is {frame.dtype} {frame.shape}, "
                    f"uint8 {(size, size, 3)} is expected"
                )
            row = silence
            if clip.audio is not None:
                if i >= len(clip.audio) + _HELD_AUDIO_ROWS or not len(clip.audio):
                    raise UserError(
                        f"{clip.id} has {len(clip.audio)} rows of audio features and more frames"
                    )
                row = clip.audio[min(i, len(clip.audio) - 1)]
            record = writer.encode(
                {
                    "image": encode_image(frame, settings["image_format"], settings["quality"]),
                    "clip": clip.id,
                    "index": i,
                    "has_audio": clip.audio is not None,
                    "audio": np.asarray(row, np.float32),
                    "boxes": places[i] if i < len(places) else unseen,
                }
            )
            stream.write(record)
            lengths.append(len(record))
            if progress is not None:
                progress(1)
    if not lengths:
        raise UserError(f"{clip.source or clip.id} has no frames in the part asked for")
    return lengths
