"""The videos of a study: one folder a system, clips matched by file name, checked for browsers."""

import pathlib
import warnings
from collections.abc import Mapping
from typing import NamedTuple

from jaxgesture.core.errors import DataWarning, UserError

SUFFIXES = (".mp4", ".webm", ".m4v")
# What Chrome, Firefox and Safari all play. OpenCV's mp4v is none of it, and shows a black picture.
_CODECS = ("h264", "vp8", "vp9", "av1")
_PIXELS = ("yuv420p", "yuvj420p")
# Shown in messages, at most.
_NAMED = 5
# Between the systems' versions of a clip, seconds.
_LENGTH = 0.5


class Video(NamedTuple):
    """A video that browsers play.

    Attributes:
      path: the file.
      size: (width, height), pixels.
      seconds: length; nan where the file does not say.
      sound: whether there is a sound track.
    """

    path: pathlib.Path
    size: tuple[int, int]
    seconds: float
    sound: bool


def match(systems: Mapping[str, pathlib.Path]) -> dict[str, dict[str, Video]]:
    """The clips that every system has, by name, with the video of each system.

    Warns of clips that some systems lack, which are left out, and of what may give a system away
    or keep it from being judged: other sizes or lengths than the other systems', no sound.

    Args:
      systems: name -> folder of .mp4, .webm or .m4v files; other files are passed over.

    Returns:
      clip -> system -> video, both in the order of names and of `systems`.

    Raises:
      UserError: a folder that is missing or empty, two files of one clip in a folder, no clip in
        common, a file that browsers do not play.
    """
    found = {system: _files(system, folder) for system, folder in systems.items()}
    names = sorted(set().union(*found.values()))
    common = [name for name in names if all(name in files for files in found.values())]
    for system, files in found.items():
        missing = [name for name in names if name not in files]
        if missing:
            warnings.warn(
                f"system {system} lacks {_listed(missing)}, which other systems have; left out",
                DataWarning,
                stacklevel=2,
            )
    if not common:
        raise UserError(
            f"no clip is common to the systems {', '.join(systems)}: the same clip must have the "
            "same file name in each folder; rename the files"
        )
    refused: list[str] = []
    clips = {}
    for name in common:
        probed = {system: _probe(files[name], refused) for system, files in found.items()}
        clips[name] = {system: video for system, video in probed.items() if video}
    if refused:
        raise UserError(
            f"browsers do not play {_listed(refused)}; write H.264 anew: ffmpeg -i IN -c:v libx264 "
            "-pix_fmt yuv420p -c:a aac OUT.mp4"
        )
    _warn_of_differences(clips)
    return clips


def copy_anonymously(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies pictures and sound as they are coded, and nothing else that the file holds.

    What programs write beside them, that a video is drawn and by which model, would tell raters
    who look into a file which system it is of.

    Args:
      source: a video of `match`.
      target: of the same format.

    Raises:
      OSError: the file cannot be read or written.
    """
    import av

    # Without versions of libraries, and without random numbers.
    options = {"fflags": "+bitexact"}
    if target.suffix.lower() != ".webm":
        options["movflags"] = "+faststart"
    with (
        av.open(f"file:{source}") as given,
        av.open(f"file:{target}", "w", options=options) as made,
    ):
        streams = {
            stream.index: made.add_stream_from_template(stream)
            for stream in given.streams
            if isinstance(stream, (av.VideoStream, av.AudioStream))
        }
        for packet in given.demux([given.streams[index] for index in streams]):
            if packet.dts is not None:  # else the end of a stream
                packet.stream = streams[packet.stream.index]
                made.mux(packet)


def _files(system: str, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    if not folder.is_dir():
        raise UserError(f"system {system}: there is no folder {folder}; give NAME=FOLDER")
    files: dict[str, pathlib.Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in files:
            raise UserError(
                f"system {system}: {files[path.stem].name} and {path.name} in {folder} are the "
                "same clip; keep one of them"
            )
        files[path.stem] = path
    if not files:
        raise UserError(f"system {system}: {folder} has no {', '.join(SUFFIXES)} files")
    return files


def _probe(path: pathlib.Path, refused: list[str]) -> Video | None:
    """What a file holds; adds it to `refused`, with the reason, if a browser would not play it."""
    import av
    from av.error import FFmpegError

    try:
        with av.open(f"file:{path}") as container:
            if not container.streams.video:
                refused.append(f"{path} (no picture)")
                return None
            stream = container.streams.video[0]
            context = stream.codec_context
            # The decoder may be named for its library, such as libdav1d.
            codec, pixels = context.codec.canonical_name, context.pix_fmt
            size = (context.width, context.height)
            seconds = float("nan")
            if stream.duration is not None and stream.time_base is not None:
                # Of pictures alone: sound may outlast them.
                seconds = float(stream.duration * stream.time_base)
            elif container.duration is not None:
                seconds = container.duration / av.time_base
            sound = bool(container.streams.audio)
    except (FFmpegError, OSError) as error:
        refused.append(f"{path} ({error.strerror or error})")
        return None
    if codec not in _CODECS:
        refused.append(f"{path} (codec {codec})")
        return None
    if pixels not in _PIXELS:
        refused.append(f"{path} (pixel format {pixels})")
        return None
    return Video(path, size, seconds, sound)


def _warn_of_differences(clips: Mapping[str, Mapping[str, Video]]) -> None:
    silent = [str(v.path) for videos in clips.values() for v in videos.values() if not v.sound]
    size = [n for n, videos in clips.items() if len({v.size for v in videos.values()}) > 1]
    length = [
        name
        for name, videos in clips.items()
        if max(v.seconds for v in videos.values()) - min(v.seconds for v in videos.values())
        > _LENGTH
    ]
    for names, what in (
        (silent, "no sound in {}; synchrony with speech cannot be judged there"),
        (size, "the systems' pictures differ in size for {}, which gives systems away"),
        (length, f"the systems' videos differ by more than {_LENGTH} s in length for {{}}"),
    ):
        if names:
            warnings.warn(what.format(_listed(names)), DataWarning, stacklevel=3)


def _listed(names: list[str]) -> str:
    """Their number, and the first of them."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)}: {', '.join(names[:_NAMED])}{more}"
