"""Opening media files with PyAV, and decoding them in spite of damage."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from jaxgesture.core.errors import UserError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

# FFmpeg opens pictures and even plain text as one-frame or ANSI-art "videos".
_NOT_MEDIA = frozenset({"tty", "image2"})


@dataclasses.dataclass
class Damage:
    """What could not be decoded: `packets` bad ones, and whether reading `stopped` early."""

    packets: int = 0
    stopped: bool = False


def check_file(path: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the absolute path of a readable file.

    Raises:
      UserError: it is missing, a directory, empty or unreadable.
    """
    # Not pathlib's, which fails for a file whose own name begins with a tilde.
    file = pathlib.Path(os.path.expanduser(path))
    try:
        if file.is_dir():
            raise UserError(f"{path} is a directory; give a file")
        if not file.exists():
            raise UserError(f"{path} does not exist; check the path")
        with file.open("rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); check its permissions"
        ) from error
    if empty:
        raise UserError(f"{path} is an empty file; copy or download it again")
    return file.absolute()


def open_media(path: str | os.PathLike[str], kind: str) -> "InputContainer":
    """Opens a video or sound file of any container format.

    Args:
      path: the file.
      kind: "video" or "audio", for the error message.

    Raises:
      UserError: missing, a directory, unreadable, or no media file.
    """
    import av
    from av.error import FFmpegError

    file = check_file(path)
    named = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind} file"
    advice = f"give {named}, or copy it again if it was cut off"
    try:
        # "file:" keeps names such as "12:30.mp4" from being read as a protocol.
        container = av.open(f"file:{file}", **_lenient(av.__version__))
    except (FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise UserError(f"{path} is not a readable {kind} file ({reason}); {advice}") from error
    name = container.format.name
    if name in _NOT_MEDIA or name.endswith("_pipe"):
        container.close()
        raise UserError(f"{path} is not {named}; {advice}")
    return container


def _lenient(version: str) -> dict[str, Any]:
    """Metadata that is no UTF-8 is no reason to fail; PyAV 19 replaces it without being told."""
    return {"metadata_errors": "replace"} if int(version.partition(".")[0]) < 19 else {}


def video_stream(container: "InputContainer") -> Any | None:
    """Returns the main moving picture, or None; cover art of a sound file does not count."""
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    streams = [s for s in streams if s.codec_context is not None]
    best = container.streams.best("video")
    return best if best in streams else next(iter(streams), None)


def audio_stream(container: "InputContainer") -> Any | None:
    """Returns the main sound track, or None."""
    best = container.streams.best("audio")
    return best if best is not None and best.codec_context is not None else None


def decode(container: "InputContainer", stream: "Stream", damage: Damage) -> Iterator[Any]:
    """Yields the frames of one stream in order of presentation.

    Packets that cannot be read or decoded are left out and counted in `damage`.
    """
    from av.error import EOFError as EndOfStream
    from av.error import FFmpegError

    if not stream.codec_context.is_open:
        stream.codec_context.thread_type = "AUTO"  # type: ignore[assignment]
    packets = container.demux(stream)  # type: ignore[arg-type]
    pictures = stream.type == "video"
    draining = False
    while not draining:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except FFmpegError:
            damage.stopped = True
            packet = None
        draining = packet is None or (packet.size == 0 and packet.dts is None)
        # A picture of half a packet is garbage; half a packet of samples is half as long.
        if packet is not None and packet.is_corrupt and pictures:
            damage.packets += 1
            continue
        try:
            frames = stream.codec_context.decode(packet)  # type: ignore[attr-defined]
        except EndOfStream:
            return
        except FFmpegError:
            damage.packets += 1
            continue
        for frame in frames:
            if frame.is_corrupt and pictures:
                damage.packets += 1
            else:
                yield frame


def timestamp(frame: Any) -> Fraction | None:
    """Returns the time of presentation in seconds, or None where the file stores none."""
    ticks = frame.pts if frame.pts is not None else frame.dts
    if ticks is None or frame.time_base is None:
        return None
    return ticks * frame.time_base


def stated_seconds(container: "InputContainer", stream: Any) -> float | None:
    """Returns the length that the file states for one track, or None where it states none."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    # Matroska keeps it as text, "00:00:04.000000000".
    tag = next((v for k, v in stream.metadata.items() if k.upper().startswith("DURATION")), "")
    try:
        hours, minutes, seconds = (float(part) for part in tag.split(":"))
        return 3600 * hours + 60 * minutes + seconds
    except ValueError:
        pass
    alone = len(container.streams.video) + len(container.streams.audio) == 1
    return container.duration / 1e6 if alone and container.duration else None


def video_origin(path: str | os.PathLike[str]) -> Fraction | None:
    """Returns the time stamp of the first picture, the zero of a clip, or None without video."""
    container = open_media(path, "video")
    with container:
        stream = video_stream(container)
        if stream is None:
            return None
        for frame in decode(container, stream, Damage()):
            return timestamp(frame)
    return None
