"""Small media files for the tests, made with PyAV, and sounds to find again in them."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def number_frame(index: int, width: int, height: int) -> np.ndarray:
    """A flat grey picture whose level tells its number: 30 + 4 * index."""
    return np.full((height, width, 3), 30 + 4 * index, np.uint8)


def noise(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """Smooth noise, (n, channels): it survives lossy codecs and has one clear correlation peak."""
    raw = np.random.default_rng(0).standard_normal((round(seconds * rate), channels))
    kernel = np.hanning(12) / np.hanning(12).sum()
    smooth = np.stack([np.convolve(raw[:, c], kernel, "same") for c in range(channels)], axis=-1)
    return (0.5 * smooth / np.abs(smooth).max()).astype(np.float32)


def delay(heard: np.ndarray, original: np.ndarray) -> int:
    """Samples by which `heard` comes later than `original`."""
    length = len(heard) + len(original)
    spectrum = np.fft.rfft(heard, length) * np.conj(np.fft.rfft(original, length))
    peak = int(np.argmax(np.fft.irfft(spectrum, length)))
    return peak if peak < length // 2 else peak - length


def make_video(
    path: Path,
    frames: list[np.ndarray],
    *,
    fps: float | Fraction = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: list[Fraction] | None = None,
    sound: tuple[np.ndarray, int] | None = None,
    format: str | None = None,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.options = options or {}
        stream.bit_rate = 8_000_000
        base = Fraction(1, 12800) if times else 1 / rate
        stream.codec_context.time_base = base
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        track = None
        if sound is not None:
            track = container.add_stream("aac", rate=sound[1], layout="mono")
        for index, array in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
            picture = picture.reformat(format=pix_fmt)
            picture.time_base = base
            picture.pts = int(times[index] / base) if times else index
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if track is not None and sound is not None:
            block = av.AudioFrame.from_ndarray(sound[0][np.newaxis], "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = sound[1], 0, Fraction(1, sound[1])
            container.mux(track.encode(block))
            container.mux(track.encode(None))
    return path


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Writes x' = a x + c y, y' = b x + d y into every track header of an MP4 file."""
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd")
    while at >= 0:
        assert data[at + 4] == 0, "version 0 header expected"
        rows = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
        struct.pack_into(">9i", data, at + 44, *rows)
        at = data.find(b"tkhd", at + 4)
    path.write_bytes(bytes(data))
