"""The batches of both stages, as functions of (seed, batch index); see `batches`."""

import dataclasses
import functools
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.types import NumpyBatch
from jaxgesture.data import augment as augmentation
from jaxgesture.data import batches
from jaxgesture.data.augment import AugmentConfig
from jaxgesture.data.batches import Batches
from jaxgesture.data.boxes import K
from jaxgesture.data.frames import FrameDataset
from jaxgesture.data.motions import MotionDataset

CACHE_BYTES = 2 * 2**30
AUGMENT_ON = ("host", "device")


class _FrameCache:
    """The frames of a split with their boxes, each decoded at its first use, in one process."""

    def __init__(self, dataset: FrameDataset, split: str):
        self._dataset, self._split = dataset, split
        self._images: np.ndarray | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"_dataset": self._dataset, "_split": self._split}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _images=None, _lock=threading.Lock())

    def record(self, record: int) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "k 4"]]:
        with self._lock:
            if self._images is None:
                count, size = self._dataset.count(self._split), self._dataset.size
                self._images = np.empty((count, size, size, 3), np.uint8)
                self._boxes = np.empty((count, K, 4), np.float32)
                self._there = np.zeros(count, bool)
        # Two threads may decode the same frame: they write the same pixels.
        if not self._there[record]:
            self._images[record], self._boxes[record] = self._dataset.record(self._split, record)
            self._there[record] = True
        return self._images[record], self._boxes[record]


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """Item i is frame i of the split as driving frame, with a source frame of the same clip."""

    dataset: FrameDataset
    split: str
    augment: AugmentConfig | None
    augment_on: str
    source: str
    record: Callable[[int], tuple[np.ndarray, np.ndarray]]
    boxes: bool = False
    describe: bool = False

    def __len__(self) -> int:
        return self.dataset.count(self.split)

    def example(self, item: int, rng: np.random.Generator) -> NumpyBatch:
        clip, index = self.dataset.locate(self.split, item)
        source = int(rng.integers(clip.frames))
        if self.source == "first":
            source = 0
        images, boxes = zip(self.record(clip.first + source), self.record(item), strict=True)
        changed = {}
        if self.boxes:
            changed["boxes"] = boxes[1]
        if self.augment is not None and self.augment.changes:
            change = augmentation.draw(self.augment, rng)
            if self.boxes:
                changed["boxes"] = change.apply_to_boxes(boxes[1])
            if self.augment_on == "device":
                changed |= change.numbers()
            else:
                images = [change.apply(image) for image in images]
        example = {"source": images[0], "driving": images[1], **changed}
        if self.describe:
            number = self.dataset.clips(self.split).index(clip)
            example["clip"], example["frame"] = (
                np.asarray(number, np.int32),
                np.asarray(index, np.int32),
            )
        return example


def _pair_items(
    dataset: FrameDataset,
    split: str,
    augment: AugmentConfig | None,
    source: str,
    *,
    augment_on: str = "host",
    cache: bool = False,
    boxes: bool = False,
    describe: bool = False,
) -> _Pairs:
    clips = dataset.clips(split)  # names the splits there are if this one is missing
    if source not in ("random", "first"):
        raise UserError(f"source={source!r} is unknown; use 'random' or 'first'")
    if augment_on not in AUGMENT_ON:
        raise UserError(f"augment_on={augment_on!r} is unknown; use 'device' or 'host'")
    if boxes and not any(clip.has_boxes for clip in clips):
        raise UserError(
            f"no {split!r} clip of {dataset.directory} has boxes of hands and face; put "
            "NAME.landmarks.npz beside the videos and prepare them again, or set "
            "loss.local and loss.local_style to 0"
        )
    partial = functools.partial(dataset.record, split)
    record = _FrameCache(dataset, split).record if cache else partial
    return _Pairs(dataset, split, augment, augment_on, source, record, boxes, describe)


def pairs(
    dataset: FrameDataset,
    *,
    split: str,
    batch_size: int,
    seed: int,
    augment: AugmentConfig | None = None,
    augment_on: str = "host",
    source: str = "random",
    workers: int = 0,
    cache: bool | None = None,
    boxes: bool = False,
    process: tuple[int, int] = (0, 1),
) -> Batches:
    """Stage 1 batches without end: in every epoch each frame of the split drives once.

    Args:
        dataset: the frames.
        split: "train" or "validation".
        batch_size: rows of the global batch.
        seed: of the order and of all draws.
        augment: the change drawn for each pair, applied to both images alike; None for none.
        augment_on: "host" changes the images here; "device" gives them as they are, with the
            change as numbers, for `animation.augment.pair`. The numbers are the same.
        source: "random", any frame of the driving frame's clip, or "first", the clip's first.
        workers: processes that read ahead; 0 reads ahead with threads of this process.
        cache: keep decoded frames in memory. By default they are kept if the split needs less
            than 2 GiB and there are no worker processes (each would keep a copy of its own).
        boxes: with the boxes of the driving frame, changed as it is.
        process: (index of this host, number of hosts); a host gets its contiguous rows.

    Returns:
        A function: global batch index to start at -> iterator of
        {"source": uint8 (b, h, w, 3), "driving": uint8 (b, h, w, 3)}; if asked for, also "boxes":
        float32 (b, 4, 4), fractions in the order of `boxes.PARTS`, NaN for what is not seen, and
        of a change still to be made `Augmentation.numbers`: "flip" (b,) and, where they are drawn,
        "crop" (b, 4) and "colour" (b, 3, 4).

    Raises:
        UserError: no such split, no boxes in it, an unknown word, or the batch cannot be divided
            over the hosts.
    """
    if cache is None:
        size = dataset.count(split) * dataset.size**2 * 3
        cache = workers == 0 and size < CACHE_BYTES
    items = _pair_items(
        dataset, split, augment, source, augment_on=augment_on, cache=cache, boxes=boxes
    )
    return batches.endless(
        items, seed=seed, batch_size=batch_size, workers=workers, process=process
    )


def pairs_in_order(
    dataset: FrameDataset,
    *,
    split: str = "validation",
    batch_size: int,
    seed: int = 0,
    source: str = "first",
    limit: int | None = None,
    process: tuple[int, int] = (0, 1),
) -> Iterator[NumpyBatch]:
    """Every frame of a split once as driving frame, in order and unchanged, for evaluation.

    Args:
        dataset: the frames.
        split: "train" or "validation".
        batch_size: rows of every global batch; the last one is filled up with its last row.
        seed: of the random sources; a frame's source depends on nothing else.
        source: "first" or "random", as in `pairs`.
        limit: take only this many frames, evenly spread over the split.
        process: (index of this host, number of hosts).

    Yields:
        `pairs` batches with, besides, "clip": int32 (b,) index into `dataset.clips(split)`,
        "frame": int32 (b,) index of the driving frame in its clip, and "valid": bool (b,), False
        for rows that only fill the last batch.
    """
    items = _pair_items(dataset, split, None, source, describe=True)
    yield from batches.in_order(
        items, seed=seed, batch_size=batch_size, process=process, limit=limit
    )


class _ClipCache:
    """Motion and audio of clips, the most recently used ones kept up to `CACHE_BYTES`."""

    def __init__(self, dataset: MotionDataset):
        self._dataset = dataset
        self._kept: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"_dataset": self._dataset}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_dataset"])

    def clip(self, clip_id: str) -> tuple[np.ndarray, np.ndarray]:
        with self._lock:
            if clip_id in self._kept:
                self._kept[clip_id] = self._kept.pop(clip_id)
                return self._kept[clip_id]
        arrays = self._dataset.arrays(clip_id)
        with self._lock:
            if clip_id not in self._kept:
                self._kept[clip_id] = arrays
                self._bytes += sum(array.nbytes for array in arrays)
            while self._bytes > CACHE_BYTES and len(self._kept) > 1:
                oldest = self._kept.pop(next(iter(self._kept)))
                self._bytes -= sum(array.nbytes for array in oldest)
        return arrays


@dataclasses.dataclass(frozen=True)
class _Segments:
    """Item i is the segment `starts[i]` = (clip id, first frame)."""

    starts: tuple[tuple[str, int], ...]
    segment_frames: int
    history_frames: int
    cache: _ClipCache
    reverse: float = 0.0

    def __len__(self) -> int:
        return len(self.starts)

    def example(self, item: int, rng: np.random.Generator) -> NumpyBatch:
        clip_id, start = self.starts[item]
        motion, audio = self.cache.clip(clip_id)
        source = motion[int(rng.integers(len(motion)))]
        if self.reverse and rng.random() < self.reverse:
            # Of the clip played backwards the same frames, with what then comes before them.
            start = len(motion) - start - self.segment_frames
            motion, audio = motion[::-1], audio[: len(motion)][::-1]
        stop = start + self.segment_frames
        past = start >= self.history_frames
        history = np.zeros((self.history_frames, motion.shape[1]), np.float32)
        if past:
            history[:] = motion[start - self.history_frames : start]
        return {
            "motion": motion[start:stop],
            "history": history,
            "history_valid": np.asarray(past),
            "audio": audio[start:stop],
            "source": source,
        }


def _segment_items(
    dataset: MotionDataset,
    split: str,
    segment_frames: int,
    history_frames: int,
    stride: int,
    reverse: float = 0.0,
) -> _Segments:
    if not 0 <= reverse <= 1:
        raise UserError(f"data.reverse is {reverse:g}; it is a share, choose 0 to 1")
    if stride < 1 or segment_frames < 1:
        raise UserError(f"segments of {segment_frames} every {stride} frames: both must be >= 1")
    clips = dataset.clips(split, need_audio=True)
    usable = [clip for clip in clips if clip.frames >= segment_frames]
    if not usable:
        raise UserError(
            f"{dataset.directory}: no {split!r} clip with sound has {segment_frames} frames; "
            "prepare longer clips, or lower the segment length"
        )
    if len(usable) < len(clips):
        short = [clip.id for clip in clips if clip.frames < segment_frames]
        warnings.warn(
            f"{len(short)} of {len(clips)} {split!r} clips are shorter than {segment_frames} "
            f"frames and are left out: {', '.join(short[:5])}{' ...' if short[5:] else ''}",
            DataWarning,
            stacklevel=3,
        )
    starts = tuple(
        (clip.id, start)
        for clip in usable
        for start in range(0, clip.frames - segment_frames + 1, stride)
    )
    return _Segments(starts, segment_frames, history_frames, _ClipCache(dataset), reverse)


def segments(
    dataset: MotionDataset,
    *,
    split: str,
    batch_size: int,
    seed: int,
    segment_frames: int = 80,
    history_frames: int = 4,
    stride: int = 10,
    reverse: float = 0.0,
    workers: int = 0,
    process: tuple[int, int] = (0, 1),
) -> Batches:
    """Stage 2 batches without end: in every epoch each segment of the split comes once.

    Args:
        dataset: motion and audio features.
        split: "train" or "validation".
        batch_size: rows of the global batch.
        seed: of the order and of the source frames.
        segment_frames: length of a segment.
        history_frames: frames before the segment that the model may see.
        stride: a segment starts every so many frames of a clip.
        reverse: share of the examples of which motion and audio run backwards, drawn anew in every
            epoch. Their history is the frames after the segment, backwards, and is not valid at
            the end of the clip. The rows of audio features change their order only; those that
            look in one direction, such as onsets, are not what reversed sound would have.
        workers: processes that read ahead; 0 reads ahead with threads of this process.
        process: (index of this host, number of hosts); a host gets its contiguous rows.

    Returns:
        A function: global batch index to start at -> iterator of {"motion": (b, t, d),
        "history": (b, history_frames, d), "history_valid": bool (b,), "audio": (b, t, a),
        "source": (b, d)}, float32. Where a segment has no full history before it, at the start of
        its clip, `history` is zero and `history_valid` False. `source` is the motion feature of
        a random frame of the same clip. Audio features are raw, not normalised.

    Raises:
        UserError: no such split, no clip with sound long enough, or the batch cannot be divided.

    Warns:
        DataWarning: clips shorter than a segment are left out, with their number.
    """
    items = _segment_items(dataset, split, segment_frames, history_frames, stride, reverse)
    return batches.endless(
        items, seed=seed, batch_size=batch_size, workers=workers, process=process
    )


def segments_in_order(
    dataset: MotionDataset,
    *,
    split: str = "validation",
    batch_size: int,
    seed: int = 0,
    segment_frames: int = 80,
    history_frames: int = 4,
    stride: int = 80,
    limit: int | None = None,
    process: tuple[int, int] = (0, 1),
) -> Iterator[NumpyBatch]:
    """Every segment of a split once, in order; `segments` batches with "valid": bool (b,)."""
    items = _segment_items(dataset, split, segment_frames, history_frames, stride)
    yield from batches.in_order(
        items, seed=seed, batch_size=batch_size, process=process, limit=limit
    )
