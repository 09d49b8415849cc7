"""Reading videos: any container, codec, frame rate and rotation, at a steady rate, streaming.

Time zero of a clip is its first picture; `data.sound` uses the same zero, so frames and samples
stay together. Output frame k is the source frame nearest in time to `start + k / fps`, by the time
stamps of the file, so that a variable frame rate is no special case. HDR video is converted
without tone mapping, interlaced video without deinterlacing.
"""

import dataclasses
import math
import os
import sys
import warnings
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data.container import (
    Damage,
    audio_stream,
    check_file,
    decode,
    open_media,
    stated_seconds,
    timestamp,
    video_stream,
)
from jaxgesture.data.decoded import Renderer
from jaxgesture.data.image import Crop, read_image

__all__ = ["VideoInfo", "probe", "read_frames", "read_image"]

# Time stamps are rounded to the container's ticks: rates and halves are compared with this slack.
_SLACK = 1e-4
# Seeking decodes from a key frame at least this long before the start.
_SEEK_MARGIN = 1.0


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a video file says about itself.

    Attributes:
      path: the file.
      width: pixels, as shown: rotated, with square pixels.
      height: pixels, as shown.
      fps: mean frame rate of the file.
      seconds: length of the pictures.
      rotation: degrees clockwise that the stored pictures are turned for showing.
      has_audio: whether there is a sound track.
    """

    path: str
    width: int
    height: int
    fps: float
    seconds: float
    rotation: int
    has_audio: bool


def _open(path: str | os.PathLike[str]) -> tuple[Any, Any]:
    container = open_media(path, "video")
    stream = video_stream(container)
    if stream is None:
        container.close()
        raise UserError(f"{path} has no video track; give a video file")
    return container, stream


def _rate(stream: Any) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return Fraction(rate) if rate else Fraction(25)


class _Clock:
    """Gives each decoded frame a time in seconds that never runs backwards, from 0."""

    def __init__(self, step: Fraction):
        self.step = step
        self.offset = Fraction(0)
        self.started = False
        self.last: Fraction | None = None
        self.end = Fraction(0)

    def __call__(self, frame: Any) -> Fraction:
        stamp = timestamp(frame)
        if stamp is None:
            time = self.end
        else:
            if not self.started:
                self.offset, self.started = -stamp, True
            elif self.last is not None and stamp + self.offset < self.last:
                # A stream whose clock was set back goes on where it stood.
                self.offset = self.end - stamp
            time = stamp + self.offset
        length = frame.duration * frame.time_base if frame.duration and frame.time_base else None
        # Some files store nonsense as the length of a picture.
        if length is None or not 0 < length <= 10 * max(self.step, Fraction(1, 25)):
            length = self.step
        self.last, self.end = time, time + length
        return time


def _seek(container: Any, stream: Any, first: Any, start: float, damage: Damage) -> Any:
    """Returns frames from a key frame before `start` on, or None where the file cannot seek."""
    from av.error import FFmpegError

    zero = timestamp(first)
    if zero is None or stream.time_base is None:
        return None
    try:
        target = zero + Fraction(start - _SEEK_MARGIN).limit_denominator(1000)
        container.seek(int(target / stream.time_base), stream=stream, backward=True)
        frames = decode(container, stream, damage)
        frame = next(frames, None)
    except FFmpegError:
        return None
    stamp = None if frame is None else timestamp(frame)
    if stamp is None or stamp > zero + Fraction(start).limit_denominator(1000):
        return None
    return frame, frames


def _decoded(
    path: str | os.PathLike[str], start: float, damage: Damage
) -> tuple[Any, Any, Iterator[tuple[Fraction, Any]], _Clock]:
    """Opens a video; returns container, stream, its (time, frame) pairs, and the clock."""
    container, stream = _open(path)
    frames = decode(container, stream, damage)
    first = next(frames, None)
    clock = _Clock(1 / _rate(stream))
    if first is None:
        container.close()
        raise UserError(f"{path} holds no frame that can be decoded; export or copy it again")
    if start > 2 * _SEEK_MARGIN:
        clock(first)
        found = _seek(container, stream, first, start, damage)
        if found is None:
            container.close()
            return _decoded(path, 0.0, damage)
        first, frames = found
        clock.last, clock.end = None, Fraction(0)

    def pairs() -> Iterator[tuple[Fraction, Any]]:
        yield clock(first), first
        for frame in frames:
            yield clock(frame), frame

    return container, stream, pairs(), clock


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Returns size, rate, length and tracks of a video; decodes one frame only.

    Raises:
      UserError: missing, not a video, or without a single frame.
    """
    container, stream = _open(path)
    with container:
        frame = next(decode(container, stream, Damage()), None)
        if frame is None:
            raise UserError(f"{path} holds no frame that can be decoded; export or copy it again")
        width, height = Renderer(stream, None, None).shown(frame)
        rate = _rate(stream)
        seconds = stated_seconds(container, stream)
        if seconds is None and container.duration:
            seconds = container.duration / 1e6
        if seconds is None:
            # Raw streams store no length: their pictures are counted.
            count = 1 + sum(1 for _ in decode(container, stream, Damage()))
            seconds = float(count / rate)
        return VideoInfo(
            path=str(path),
            width=int(width),
            height=int(height),
            fps=float(rate),
            seconds=seconds,
            rotation=-round(frame.rotation) % 360,
            has_audio=audio_stream(container) is not None,
        )


def _warn_damage(
    path: str | os.PathLike[str],
    container: Any,
    stream: Any,
    damage: Damage,
    seen: int,
    length: float | None,
) -> None:
    """Warns, with the count, of frames that could not be read.

    `length` is where the pictures ended, seconds, or None if they were not read to their end.
    """
    lost = damage.packets
    stated = stated_seconds(container, stream)
    if length is not None and stated is not None:
        missing = stated - length
        if missing > max(0.25, 2.5 / float(_rate(stream))):
            lost = max(lost, round(missing * float(_rate(stream))))
    if lost or damage.stopped:
        warnings.warn(
            f"{path} is cut off or damaged: {max(lost, 1)} frames could not be read, {seen} were; "
            "these are used",
            DataWarning,
            stacklevel=3,
        )


def read_frames(
    path: str | os.PathLike[str],
    *,
    fps: float = 25.0,
    size: int | None = None,
    crop: Crop = "center",
    start: float = 0.0,
    end: float | None = None,
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yields the frames of a video at a steady rate; only a few are in memory at a time.

    There are floor((min(end, length) - start) * fps + 0.5) frames, at least one.

    Args:
      path: the file.
      fps: frames a second to yield.
      size: side of the square, pixels; None keeps the size of the crop.
      crop: see `image.crop_box`, in pixels of the picture as shown; with None whole pictures are
        yielded, their shorter side scaled to `size`.
      start: seconds from the first picture.
      end: seconds from the first picture; None reads to the end.

    Yields:
      RGB pictures, (size, size, 3) unless `crop` is None.

    Raises:
      UserError: missing, not a video, no frame that can be decoded, `start` after the end, or a
        crop that leaves the picture. Of a damaged or cut-off file what can be read is yielded,
        then a `DataWarning` counts what could not.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise UserError(f"fps {fps} must be above 0")
    if not (math.isfinite(start) and start >= 0):
        raise UserError(f"start {start} must be 0 or more seconds")
    if end is not None and end <= start:
        raise UserError(f"end {end} s must lie after start {start} s")
    check_file(path)
    return _read_frames(path, fps, size, crop, start, end)


def _read_frames(
    path: str | os.PathLike[str],
    fps: float,
    size: int | None,
    crop: Crop,
    start: float,
    end: float | None,
) -> Iterator[np.ndarray]:
    damage = Damage()
    container, stream, pairs, clock = _decoded(path, start, damage)
    limit = sys.maxsize if end is None else max(1, math.floor((end - start) * fps + 0.5 + _SLACK))
    with container:
        render = Renderer(stream, size, crop)
        index = seen = 0
        held: Any = None
        held_time = 0.0
        # Chosen already, but not known yet to lie inside the length of the video.
        pending: list[tuple[float, np.ndarray]] = []
        for stamp, frame in pairs:
            time, seen = float(stamp), seen + 1
            if time < start:
                # Damage before the part that is asked for does not matter.
                damage.packets = 0
            if held is not None:
                picture = None
                while index < limit and start + index / fps <= (held_time + time) / 2 + 1e-9:
                    picture = render(held) if picture is None else picture.copy()
                    pending.append(((index + 0.5) / fps + start - _SLACK / fps, picture))
                    index += 1
                    # At once, because a picture that stands for minutes is yielded many times.
                    while pending and pending[0][0] <= time:
                        yield pending.pop(0)[1]
            while pending and pending[0][0] <= time:
                yield pending.pop(0)[1]
            held, held_time = frame, time
            if index >= limit and not pending:
                _warn_damage(path, container, stream, damage, seen, None)
                return
        length = float(clock.end)
        if start >= length:
            raise UserError(f"{path} is {length:.2f} s long; start at less than {start:g} s")
        count = max(1, min(limit, math.floor((length - start) * fps + 0.5 + _SLACK)))
        yielded = index - len(pending)
        for _, picture in pending[: max(0, count - yielded)]:
            yield picture
        if index < count:
            picture = render(held)
            for _ in range(index, count):
                yield picture.copy()
        _warn_damage(path, container, stream, damage, seen, length if count < limit else None)
