"""Frames as records: one example a frame, so that a pair of frames is two reads and two decodes.

Every record holds an encoded image, the id of its clip, the frame's index in the clip, its row of
audio features and its boxes of the speaker's parts. The frames of a clip are consecutive records of
one split, so `clips.json` needs only the first record and the count of each clip. `frame_writer`
makes such datasets.
"""

import bisect
import dataclasses
import io
import os
import pathlib
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.core.errors import UserError
from jaxgesture.data import records

INDEX = "clips.json"
KIND = "frames"
_JPEG = b"\xff\xd8"
# 2: records have boxes. 3: the index names the audio features; clips end within a record file.
FORMAT = 3


@dataclasses.dataclass(frozen=True)
class ClipInfo:
    """A clip as the index has it.

    Attributes:
        id: unique in the dataset.
        split: "train" or "validation".
        first: the record of its first frame, counted in its split.
        frames: number of frames.
        has_audio: whether its rows of audio features are measured (else they are zeros).
        has_boxes: whether any of its frames has a box (else they are all NaN).
        speaker: who is seen; clips of one speaker share it.
        source: the file it came from, relative to the folder that was prepared.
        start: where in the source it starts, seconds.
        seconds: its length.
    """

    id: str
    split: str
    first: int
    frames: int
    has_audio: bool
    has_boxes: bool
    speaker: str
    source: str
    start: float
    seconds: float


def decode_image(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of JPEG or PNG bytes, RGB.

    JPEGs go through simplejpeg, which gives what Pillow gives, bit for bit, in 0.5 to 0.7 of the
    time, and refuses damaged data that Pillow takes.
    """
    if data.startswith(_JPEG):
        import simplejpeg

        return simplejpeg.decode_jpeg(data)
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB") if image.mode != "RGB" else image)


class FrameDataset:
    """Random access to the frames of a finished dataset.

    Boxes are float32 x0, y0, x1, y1 as fractions of the frame, in the order of `boxes.PARTS`; NaN
    for what is not seen. They come from landmarks beside the videos (`landmarks`), or from the
    presenter, which knows its own.

    Args:
        directory: the folder `write_frames` made.
        size: if given, the side in pixels that the frames must have.

    Attributes:
        size: side of the frames, pixels.
        fps: frames a second.
        features: name of the audio features.
        audio_size: columns of the audio features.
        sha256: fingerprint of the content.
        arguments: what it was made from.
        report: what its maker had to say.

    Raises:
        UserError: missing, not a frame dataset, incomplete, of another size, or written by another
            version.
    """

    def __init__(self, directory: str | os.PathLike, *, size: int | None = None):
        self.directory = pathlib.Path(directory).expanduser()
        index = records.read_index(self.directory, INDEX, KIND, FORMAT)
        self.size: int = index["size"]
        self.fps: float = index["fps"]
        self.features: str = index["features"]
        self.audio_size: int = index["audio_size"]
        self.sha256: str = index["sha256"]
        self.arguments: dict[str, Any] = index["arguments"]
        self.report: dict[str, Any] = index["report"]
        if size is not None and size != self.size:
            raise UserError(
                f"{self.directory} has frames of {self.size} pixels, {size} are configured; "
                f"prepare them again with --size={size} or change the model's size"
            )
        self.records = records.RecordReader(self.directory, index)
        try:
            self._clips = tuple(ClipInfo(**clip) for clip in index["clips"])
        except TypeError as error:
            raise UserError(
                f"{self.directory / INDEX} is damaged ({error}); prepare the dataset again"
            ) from error
        self._by_id = {clip.id: clip for clip in self._clips}
        self._by_split = {
            split: tuple(clip for clip in self._clips if clip.split == split)
            for split in index["shards"]
        }
        for split, clips in self._by_split.items():
            frames = sum(clip.frames for clip in clips)
            if frames != self.records.count(split):
                raise UserError(
                    f"{self.directory / INDEX} is damaged: {frames} {split} frames in its clips, "
                    f"{self.records.count(split)} records; prepare the dataset again"
                )
        self._firsts = {s: [clip.first for clip in clips] for s, clips in self._by_split.items()}

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have clips."""
        return tuple(self._by_split)

    @property
    def has_boxes(self) -> bool:
        """Whether any clip has boxes."""
        return any(clip.has_boxes for clip in self._clips)

    def clips(self, split: str | None = None, need_audio: bool = False) -> tuple[ClipInfo, ...]:
        """The clips of a split, of all splits for None; only those with sound if asked for.

        Raises:
            UserError: the dataset has no clips in that split.
        """
        if split is not None and split not in self._by_split:
            raise UserError(
                f"{self.directory} has no {split!r} clips, only {', '.join(self.splits)}; "
                "prepare it again with another --validation"
            )
        found = self._clips if split is None else self._by_split[split]
        return tuple(clip for clip in found if clip.has_audio or not need_audio)

    def count(self, split: str) -> int:
        """Frames of a split; 0 where there is no such split."""
        return self.records.count(split)

    def clip(self, clip: ClipInfo | str) -> ClipInfo:
        """A clip by its id.

        Raises:
            UserError: no clip has that id.
        """
        if isinstance(clip, ClipInfo):
            return clip
        if clip not in self._by_id:
            raise UserError(f"{self.directory} has no clip {clip!r}; its clips are in {INDEX}")
        return self._by_id[clip]

    def locate(self, split: str, record: int) -> tuple[ClipInfo, int]:
        """The clip that record `record` of a split belongs to, and the frame's index in it."""
        clip = self._by_split[split][bisect.bisect_right(self._firsts[split], record) - 1]
        return clip, record - clip.first

    def record(
        self, split: str, record: int
    ) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "k 4"]]:
        """Pixels and boxes of record `record` of a split: one read, one decode.

        Raises:
            UserError: the record or its image is damaged.
        """
        example = self.records.read(split, record)
        try:
            image = decode_image(example["image"])
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"{self.records.where(split, record)}: {error}") from error
        if image.shape != (self.size, self.size, 3):
            raise UserError(f"{self.records.where(split, record)}: its image is {image.shape}")
        return image, example["boxes"]

    def image(self, split: str, record: int) -> UInt8[np.ndarray, "h w 3"]:
        """The pixels alone, as `record` gives them."""
        return self.record(split, record)[0]

    def frame(self, clip: ClipInfo | str, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """Frame `index` of a clip, RGB in [0, 255]."""
        info = self.clip(clip)
        if not 0 <= index < info.frames:
            raise IndexError(f"frame {index} of {info.frames} in clip {info.id}")
        return self.image(info.split, info.first + index)

    def frames(
        self, clip: ClipInfo | str, start: int = 0, stop: int | None = None
    ) -> UInt8[np.ndarray, "t h w 3"]:
        """Frames `start` to `stop` (exclusive, the clip's end by default) of a clip."""
        info = self.clip(clip)
        span = range(info.frames)[start:stop]
        images = np.empty((len(span), self.size, self.size, 3), np.uint8)
        for row, index in enumerate(span):
            images[row] = self.image(info.split, info.first + index)
        return images

    def audio(self, clip: ClipInfo | str) -> Float[np.ndarray, "t a"]:
        """The audio features of a clip, one row a frame; no image is decoded.

        Raises:
            UserError: the clip has no sound.
        """
        info = self.clip(clip)
        if not info.has_audio:
            raise UserError(f"clip {info.id} has no sound, so it has no audio features")
        return self._rows(info, "audio")

    def boxes(self, clip: ClipInfo | str) -> Float[np.ndarray, "t k 4"]:
        """The boxes of a clip, one row a frame, all NaN if it has none; no image is decoded."""
        return self._rows(self.clip(clip), "boxes")

    def _rows(self, info: ClipInfo, feature: str) -> np.ndarray:
        rows = range(info.first, info.first + info.frames)
        return np.stack([self.records.read(info.split, i)[feature] for i in rows])
