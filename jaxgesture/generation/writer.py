"""Writing videos, frame by frame, in constant memory: H.264 and AAC in MP4, VP9 and Opus in WebM.

Pictures are BT.709 limited range, 4:2:0, and tagged so. An odd width or height is made even by
repeating the last column or row, because 4:2:0 has no odd sizes. The file appears under its name
only when it is complete.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.core.errors import UserError
from jaxgesture.data.sound import audio_blocks, replace_not_finite
from jaxgesture.generation import provenance
from jaxgesture.generation.target import Target, Unfinished

Audio = tuple[Float[np.ndarray, "n"], int] | str | os.PathLike[str]

SUFFIXES = (".mp4", ".m4v", ".webm")

_BT709 = 1
_LIMITED = 1


class _Codecs(NamedTuple):
    """What goes into a container.

    Attributes:
      options: of the container.
      video: encoder, and its options; quality is its "crf".
      audio: encoder, its sample format, the rates it takes, and its highest bit rate.
    """

    options: dict[str, str]
    video: tuple[str, dict[str, str]]
    audio: tuple[str, str, tuple[int, ...], int]


_MP4 = _Codecs(
    {"movflags": "+faststart"},
    ("libx264", {"preset": "medium"}),
    (
        "aac",
        "fltp",
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
        128_000,
    ),
)
_WEBM = _Codecs(
    {},
    # Without a bit rate of 0 the quality is not followed. A speed of 4 is a tenth of the time.
    ("libvpx-vp9", {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}),
    ("libopus", "flt", (8000, 12000, 16000, 24000, 48000), 96_000),
)
# Samples handed to the encoder at a time.
_BLOCK = 8192


def _array_blocks(samples: Any, rate: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yields (n, channels) blocks of an array of samples, (n,) or (n, channels)."""
    for begin in range(0, len(samples), _BLOCK):
        block = samples[begin : begin + _BLOCK].astype(np.float32, copy=False)
        yield block.reshape(len(block), -1), rate


def _checked_audio(audio: Audio) -> Iterator[tuple[np.ndarray, int]]:
    if isinstance(audio, str | os.PathLike):
        return audio_blocks(audio)
    samples, rate = np.asarray(audio[0]), audio[1]
    if samples.ndim not in (1, 2) or not samples.size:
        raise UserError(
            f"the audio to write has the shape {samples.shape}; give (n,) or (n, channels) samples"
        )
    if not np.issubdtype(samples.dtype, np.floating):
        raise UserError(f"the audio to write must be float in [-1, 1], not {samples.dtype}")
    if int(rate) != rate or rate < 1:
        raise UserError(f"the audio's sample rate {rate} must be a whole number of Hz above 0")
    return _array_blocks(replace_not_finite(samples, "audio"), int(rate))


def check_target(path: str | os.PathLike[str]) -> None:
    """Checks, before the work begins, that a video can have this path.

    Raises:
      UserError: another ending than .mp4, .m4v or .webm, or a directory.
    """
    Target(path, SUFFIXES)


def _target(path: str | os.PathLike[str], audio: Audio | None) -> Target:
    target = Target(path, SUFFIXES)
    if isinstance(audio, str | os.PathLike) and target.path.exists():
        source = pathlib.Path(audio).expanduser()
        if source.exists() and target.path.samefile(source):
            raise UserError(f"{path} is also the audio file; write to another name")
    return target


class VideoWriter(Unfinished):
    """Writes frames, and the sound that goes with them, to an MP4 or WebM file.

    Used as a context manager: leaving the block completes the file and gives it its name; leaving
    it by an exception removes what was written. The sound starts with the first frame and is
    written whole, even where it outlasts the frames.

    Args:
      path: the .mp4 or .webm file; missing folders are made, an existing file is replaced at the
        end.
      size: side of square frames, or (height, width), pixels.
      fps: frames a second, kept exactly.
      audio: (float samples (n,) or (n, channels) in [-1, 1], rate in Hz), or the path of a sound
        or video file, which is read in pieces. None writes no sound. More than two channels are
        mixed to one; rates that the encoder lacks are resampled.
      audio_seconds: length of the sound to write; None is all of it.
      crf: quality of the pictures; 18 is close to lossless to the eye, higher is smaller.
      comment: the entry that says what made the video, see `provenance`; None leaves it out.

    Raises:
      UserError: a path that cannot be written, a full disk, frames of another size or type, no
        frame at all, or audio that cannot be read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: int | tuple[int, int],
        fps: float | Fraction = 25,
        audio: Audio | None = None,
        *,
        audio_seconds: float | Fraction | None = None,
        crf: int = 18,
        comment: str | None = None,
    ):
        self.height, self.width = (size, size) if isinstance(size, int) else size
        if min(self.height, self.width) < 1:
            raise UserError(f"a video of {self.width} x {self.height} cannot be written")
        if not fps > 0:
            raise UserError(f"fps {fps} must be above 0")
        self.rate = Fraction(fps).limit_denominator(1001)
        self.frames = 0
        self._target = _target(path, audio)
        self._codecs = _WEBM if self._target.path.suffix.lower() == ".webm" else _MP4
        self._audio_seconds = audio_seconds
        self._comment = comment
        self._container: Any = None
        blocks = None if audio is None else _checked_audio(audio)
        # The first block tells rate and channels, and finds a bad file before anything is written.
        self._block = None if blocks is None else next(blocks, None)
        self._blocks = blocks
        self._samples = 0
        self._target.create()
        with self._guard():
            self._open(crf)

    def _open(self, crf: int) -> None:
        import av
        from av.video.reformatter import Interpolation, VideoReformatter

        options, (encoder, settings), (sound, _, rates, most) = self._codecs
        self._container = av.open(
            f"file:{self._target.part}",
            "w",
            format="webm" if self._codecs is _WEBM else "mp4",
            options=options,
        )
        if self._comment is not None:
            self._container.metadata["comment"] = self._comment
        video: Any = self._container.add_stream(encoder, rate=self.rate)
        video.width = self.width + self.width % 2
        video.height = self.height + self.height % 2
        video.pix_fmt = "yuv420p"
        video.options = {"crf": str(crf), **settings}
        context = video.codec_context
        context.time_base = 1 / self.rate
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        self._video = video
        self._reformatter = VideoReformatter()
        self._flags = int(
            Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
        )
        self._audio: Any = None
        if self._block is not None:
            block, rate = self._block
            # The nearest rate above keeps everything that was recorded.
            target = next((r for r in rates if r >= rate), rates[-1])
            self._layout = "stereo" if block.shape[1] == 2 else "mono"
            # AAC-LC holds at most 6 bits a sample and channel; Opus needs no more either.
            bits = min(most, 6 * target * (2 if self._layout == "stereo" else 1))
            self._audio = self._container.add_stream(sound, rate=target, layout=self._layout)
            self._audio.bit_rate = bits

    def write(self, frames: UInt8[np.ndarray, "b h w 3"] | UInt8[np.ndarray, "h w 3"]) -> None:
        """Appends one frame or a batch of them, RGB."""
        array = np.asarray(frames)
        batch = array[np.newaxis] if array.ndim == 3 else array
        expected = (self.height, self.width, 3)
        if batch.ndim != 4 or batch.shape[1:] != expected or batch.dtype != np.uint8:
            raise UserError(
                f"frames must be uint8 {expected}, not {array.dtype} {array.shape}; "
                f"convert them before writing {self._target.path.name}"
            )
        if self._container is None:
            raise UserError(f"{self._target.path} is complete; open another VideoWriter")
        with self._guard():
            for frame in batch:
                self._write(frame)

    def _write(self, frame: np.ndarray) -> None:
        import av

        even = np.pad(frame, ((0, self.height % 2), (0, self.width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        picture = self._reformatter.reformat(
            picture,
            format="yuv420p",
            dst_colorspace=_BT709,
            dst_color_range=_LIMITED,
            interpolation=self._flags,
        )
        picture.color_primaries = picture.color_trc = _BT709
        picture.pts, picture.time_base = self.frames, 1 / self.rate
        self._container.mux(self._video.encode(picture))
        self.frames += 1
        self._write_audio(self.frames / self.rate)

    def _write_audio(self, until: Fraction | None) -> None:
        """Encodes the sound up to a time in seconds, or to its end."""
        import av

        while self._block is not None and self._blocks is not None:
            block, rate = self._block
            if until is not None and self._samples >= until * rate:
                return
            if block.shape[1] > 2:
                block = block.mean(axis=1, keepdims=True)
            if self._audio_seconds is not None:
                left = round(self._audio_seconds * rate) - self._samples
                if left <= 0:
                    self._block = None
                    return
                block = block[:left]
            planar = self._codecs.audio[1].endswith("p")
            samples = np.clip(block, -1, 1).T if planar else np.clip(block, -1, 1).reshape(1, -1)
            samples = np.ascontiguousarray(samples, dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(
                samples, format=self._codecs.audio[1], layout=self._layout
            )
            frame.sample_rate = rate
            frame.pts, frame.time_base = self._samples, Fraction(1, rate)
            self._container.mux(self._audio.encode(frame))
            self._samples += len(block)
            self._block = next(self._blocks, None)

    def close(self) -> None:
        """Completes the file and gives it its name; does nothing the second time."""
        if self._container is None:
            return
        if not self.frames:
            self.abort()
            raise UserError(f"no frame was written to {self._target.path}; nothing was made")
        with self._guard():
            self._container.mux(self._video.encode(None))
            self._write_audio(None)
            if self._audio is not None:
                self._container.mux(self._audio.encode(None))
            container, self._container = self._container, None
            container.close()
            if self._comment is not None and self._codecs is _MP4:
                with self._target.part.open("ab") as stream:
                    stream.write(provenance.mp4_box())
            self._target.publish()

    def abort(self) -> None:
        """Removes what was written so far; nothing appears under the final name."""
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(Exception):
                container.close()
        self._target.discard()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Removes the unfinished file on any failure, and words those of the disk."""
        from av.error import FFmpegError

        try:
            yield
        except BaseException as error:
            self.abort()
            if isinstance(error, OSError | FFmpegError):
                raise self._target.error(error) from error
            raise
