"""A clip to be written, and its records: one example a frame."""

import dataclasses
import importlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.core.errors import UserError
from jaxgesture.data import boxes

# Below this size blocks of chroma shared by 2 x 2 pixels are visible, and the saving is small.
_FULL_CHROMA_BELOW = 192
# A sound track may end this many frames before its pictures; its last row is held that long.
HELD_AUDIO_ROWS = 2


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

    @property
    def place(self) -> str:
        """The source, and where in it the clip starts; for messages."""
        source = self.source or self.id
        return f"{source} from {self.start:g} s" if self.start else source

    def placed_boxes(self) -> Float[np.ndarray, "t 4 4"]:
        """The boxes, checked; no row where there are none.

        Raises:
            UserError: they have another shape or leave the frame.
        """
        none = np.empty((0, boxes.K, 4), np.float32)
        return none if self.boxes is None else boxes.checked(self.boxes, self.id)


def features(size: int, audio_size: int, image_format: str) -> Any:
    """The features of a frame's record, for TFDS."""
    tfds = importlib.import_module("tensorflow_datasets")

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


def records(
    clip: ClipData, settings: Mapping[str, Any], encode: Callable[[Mapping[str, Any]], bytes]
) -> Iterator[bytes]:
    """The records of a clip, frame by frame.

    Args:
        clip: its frames are consumed.
        settings: "size", "audio_size", "image_format" and "quality" of the dataset.
        encode: makes the bytes of an example, see `record_writer.RecordEncoder`.

    Raises:
        UserError: frames, audio features and boxes do not fit, or there is no frame.
    """
    size = settings["size"]
    silence = np.zeros(settings["audio_size"], np.float32)
    if clip.audio is not None and clip.audio.shape[1:] != silence.shape:
        raise UserError(
            f"{clip.id} has {clip.audio.shape[1:]} audio columns, {silence.size} are expected"
        )
    places = clip.placed_boxes()
    unseen = np.tile(boxes.ABSENT, (boxes.K, 1))
    count = 0
    for i, frame in enumerate(clip.frames):
        if frame.shape != (size, size, 3) or frame.dtype != np.uint8:
            raise UserError(
                f"frame {i} of {clip.id} is {frame.dtype} {frame.shape}, "
                f"uint8 {(size, size, 3)} is expected"
            )
        row = silence
        if clip.audio is not None:
            if i >= len(clip.audio) + HELD_AUDIO_ROWS or not len(clip.audio):
                raise UserError(
                    f"{clip.id} has {len(clip.audio)} rows of audio features and more frames"
                )
            row = clip.audio[min(i, len(clip.audio) - 1)]
        yield encode(
            {
                "image": encode_image(frame, settings["image_format"], settings["quality"]),
                "clip": clip.id,
                "index": i,
                "has_audio": clip.audio is not None,
                "audio": np.asarray(row, np.float32),
                "boxes": places[i] if i < len(places) else unseen,
            }
        )
        count += 1
    if not count:
        raise UserError(f"{clip.source or clip.id} has no frames in the part asked for")
