"""Reading sound: any container, codec, sample format and channel layout.

Time zero is the first picture where the file has pictures (see `data.video`), else the first
sample: sound that starts before is cut, sound that starts later is preceded by silence, and holes
in the time stamps are filled with silence, so that sample n is heard at n / rate seconds.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data.container import (
    Damage,
    audio_stream,
    decode,
    open_media,
    stated_seconds,
    timestamp,
    video_origin,
    video_stream,
)

# Peak below which a track counts as silent: -80 dB of full scale.
SILENCE = 1e-4
# Holes between these lengths (s) are silence; shorter ones are jitter of the time stamps, longer
# ones a clock that was set anew.
_JITTER, _LONGEST_HOLE = 0.05, 60.0
# Longest padding of the last packet that an encoder adds, samples.
_PADDING = 4096
# Containers whose stated length is exact.
_EXACT = ("wav", "mov", "flac", "matroska")


def _to_float(frame: Any) -> np.ndarray:
    """Returns float32 (n, channels) in [-1, 1] of a decoded frame."""
    array = frame.to_ndarray()
    channels = frame.layout.nb_channels
    array = array.T if frame.format.is_planar else array.reshape(-1, channels)
    kind = frame.format.name.rstrip("p")
    if kind == "u8":
        return (array.astype(np.float32) - 128) / np.float32(128)
    if kind == "s16":
        return array.astype(np.float32) / np.float32(2**15)
    if kind in ("s32", "s64"):
        return (array / 2.0 ** (31 if kind == "s32" else 63)).astype(np.float32)
    return array.astype(np.float32)


def replace_not_finite(samples: np.ndarray, name: str) -> np.ndarray:
    """Returns samples with NaN and infinity replaced by 0, with a counted warning."""
    bad = ~np.isfinite(samples)
    if not bad.any():
        return samples
    warnings.warn(
        f"{name}: {int(bad.sum())} audio samples are not finite numbers; 0 was put in their place",
        DataWarning,
        stacklevel=3,
    )
    return np.where(bad, samples.dtype.type(0), samples)


def audio_blocks(
    path: str | os.PathLike[str],
) -> Iterator[tuple[Float[np.ndarray, "n channels"], int]]:
    """Yields the sound track in short blocks, each with its sample rate (Hz).

    Nothing is mixed or resampled, and memory does not grow with the length of the file.

    Raises:
      UserError: missing, no sound file, no audio track, or no sample that can be decoded.
    """
    container = open_media(path, "audio")
    with container:
        stream = audio_stream(container)
        if stream is None:
            raise UserError(f"{path} has no audio track; give a file with sound")
        origin = video_origin(path) if video_stream(container) is not None else None
        damage = Damage()
        rate = 0
        shape: tuple[int, int] | None = None
        clock: Fraction | None = origin
        position = heard = not_finite = 0
        behind: list[np.ndarray] = []
        stated_end: Fraction | None = None
        if "mp4" in container.format.name and stream.duration and stream.start_time is not None:
            stated_end = (stream.start_time + stream.duration) * stream.time_base
        for frame in decode(container, stream, damage):
            block = _to_float(frame)
            if not len(block):
                continue
            if shape is None:
                rate, shape = frame.sample_rate, (frame.sample_rate, block.shape[1])
            elif shape != (frame.sample_rate, block.shape[1]):
                raise UserError(
                    f"{path} changes its sample rate or channels midway; convert it to WAV first"
                )
            bad = ~np.isfinite(block)
            not_finite += int(bad.sum())
            block[bad] = 0
            stamp = timestamp(frame)
            if stamp is not None:
                if clock is None:
                    clock = stamp
                hole = round((stamp - clock) * rate) - position
                if not heard and hole < 0:
                    # Before the first picture.
                    block = block[-hole:]
                    if not len(block):
                        continue
                elif hole > _LONGEST_HOLE * rate or hole < -_JITTER * rate:
                    clock = stamp - Fraction(position, rate)
                elif hole > (_JITTER * rate if heard else 0):
                    yield np.zeros((hole, block.shape[1]), np.float32), rate
                    position += hole
            heard += len(block)
            if stated_end is not None and clock is not None:
                # What lies behind the stated end is the encoder's padding if it is short.
                room = max(0, round((stated_end - clock) * rate) - position)
                behind.append(block[room:])
                block = block[:room]
                if sum(map(len, behind)) > _PADDING:
                    stated_end = None
                    block = np.concatenate([block, *behind])
            if len(block):
                position += len(block)
                yield block, rate
        if not position:
            raise UserError(f"{path} holds no audio sample; give a recording of some length")
        if not_finite:
            warnings.warn(
                f"{path}: {not_finite} audio samples are not finite numbers; 0 was put in their "
                "place",
                DataWarning,
                stacklevel=3,
            )
        stated = stated_seconds(container, stream) or 0.0
        exact = container.format.name.split(",")[0] in _EXACT
        cut = exact and stated - position / rate > 0.25 and origin is None
        if damage.packets or damage.stopped or cut:
            lost = max(0.0, stated - position / rate)
            warnings.warn(
                f"{path} is cut off or damaged: {max(damage.packets, 1)} audio packets could not "
                f"be read ({lost:.2f} s); {position / rate:.2f} s were",
                DataWarning,
                stacklevel=3,
            )


def resample(
    samples: Float[np.ndarray, "n"], rate: int | float, target: int
) -> Float[np.ndarray, "m"]:
    """Returns mono samples at another rate (soxr, high quality), ceil(n * target / rate) long."""
    if rate == target:
        return samples
    import librosa

    return librosa.resample(samples, orig_sr=rate, target_sr=target, res_type="soxr_hq")


def read_audio(
    path: str | os.PathLike[str], *, sample_rate: int | None = None
) -> tuple[Float[np.ndarray, "n"], int]:
    """Returns the sound track of a sound or video file, mixed to mono (mean of the channels).

    Args:
      path: the file.
      sample_rate: Hz to resample to; None keeps the rate of the file.

    Returns:
      float32 samples in about [-1, 1], and their rate in Hz.

    Raises:
      UserError: missing, no sound file, no audio track, zero length. A silent track and samples
        that are not numbers (replaced by 0) give a `DataWarning`.
    """
    blocks, rate = [], 0
    for block, block_rate in audio_blocks(path):
        rate = block_rate
        blocks.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1))
    samples = np.concatenate(blocks)
    del blocks
    if float(np.max(np.abs(samples))) < SILENCE:
        warnings.warn(
            f"{path} is silent: no speech will drive the motion", DataWarning, stacklevel=2
        )
    if sample_rate is not None and sample_rate != rate:
        samples, rate = resample(samples, rate, sample_rate), sample_rate
    return samples, rate


def stated_length(path: str | os.PathLike[str]) -> float | None:
    """Returns the length in seconds that a file states for its sound; None where it states none.

    Raises:
      UserError: missing, or no sound file.
    """
    container = open_media(path, "audio")
    with container:
        stream = audio_stream(container)
        return None if stream is None else stated_seconds(container, stream)


def read_spans(
    path: str | os.PathLike[str], spans: Sequence[tuple[float, float]]
) -> Iterator[tuple[Float[np.ndarray, "n"], int]]:
    """Yields parts of the sound track, mixed to mono, each with its rate in Hz.

    The file is read once; memory is needed for one part.

    Args:
      path: the file.
      spans: (start, end) in seconds, in order of their starts; they may overlap. What lies behind
        the end of the track is left out, so that a part may be short or empty.

    Raises:
      UserError: missing, no sound file, no audio track, or no sample that can be decoded.
    """
    blocks = audio_blocks(path)
    held: list[np.ndarray] = []
    # The samples that are held are `first` to `end` of the track.
    first = end = rate = 0
    more = True
    for start, stop in spans:
        while more and (not rate or end < round(stop * rate)):
            found = next(blocks, None)
            if found is None:
                more = False
                break
            block, rate = found
            held.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1))
            end += len(block)
            while held and first + len(held[0]) <= round(start * rate):
                first += len(held.pop(0))
        while held and first + len(held[0]) <= round(start * rate):
            first += len(held.pop(0))
        samples = np.concatenate(held) if held else np.zeros(0, np.float32)
        begin = max(0, round(start * rate) - first)
        yield samples[begin : max(begin, round(stop * rate) - first)].copy(), rate
