"""What is to be generated: which pictures with which recordings, and under which names."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Collection, Sequence
from typing import Any

from jaxgesture.core.config import nearest
from jaxgesture.core.errors import UserError
from jaxgesture.generation.outputs import FORMATS, Output

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
SOUNDS = (
    ".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus", ".wma", ".aif", ".aiff", ".mp4",
    ".m4v", ".mov", ".mkv", ".webm", ".avi",
)  # fmt: skip
_ROWS = 4


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture that is to speak one recording.

    Attributes:
      image: a picture file, or an array.
      audio: a sound or video file.
      out: what is written: a file, or a folder of pictures.
      format: one of `FORMATS`.
      preview: seconds that are written first, as a video of their own.
      motion_out: a .npy file of the motion features besides.
      besides: further outputs.
    """

    image: Any
    audio: str | os.PathLike[str]
    out: pathlib.Path
    format: str = "mp4"
    preview: float | None = None
    motion_out: pathlib.Path | None = None
    besides: tuple[Output, ...] = ()

    @property
    def preview_path(self) -> pathlib.Path:
        """Of the first seconds: NAME.preview.mp4 beside NAME.mp4."""
        return self.out.with_name(f"{self.out.stem}.preview{self.out.suffix}")


def listed(names: Sequence[str], suffixes: Sequence[str], what: str) -> list[pathlib.Path]:
    """Files by name; a folder stands for the files in it that have one of the endings, sorted.

    What was generated into the folder is left out, so that it may be the output as well.

    Raises:
      UserError: a folder without any, or an empty name.
    """
    files = []
    for name in names:
        if not name:
            raise UserError(f"a {what} has an empty name; look for a comma too many")
        path = pathlib.Path(name).expanduser()
        if not path.is_dir():
            files.append(path)
            continue
        inside = [p for p in sorted(path.iterdir()) if p.suffix.lower() in suffixes]
        inside = [p for p in inside if p.is_file() and not p.name.startswith(".")]
        stems = {p.stem for p in inside}
        inside = [p for p in inside if not (_is_preview(p, stems) or read_record(record_path(p)))]
        if not inside:
            raise UserError(f"{name} holds no {what} ({' '.join(suffixes)}); give another folder")
        files += inside
    return files


def rows_of(jobs: int) -> int:
    """Recordings to sample in one batch where nothing is said."""
    return min(_ROWS, jobs)


def record_path(out: pathlib.Path) -> pathlib.Path:
    """Of the record beside a result: NAME.mp4.json beside NAME.mp4."""
    return out.with_name(f"{out.name}.json")


def read_record(path: pathlib.Path) -> dict[str, Any] | None:
    """The record of a result; None where there is none, or none of ours."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    known = isinstance(found, dict) and isinstance(found.get("made_from"), dict)
    return found if known else None


def _is_preview(path: pathlib.Path, stems: Collection[str]) -> bool:
    """Whether a file is the preview of what has one of the names."""
    videos = (*FORMATS["mp4"], *FORMATS["webm"])
    stem = path.stem.removesuffix(".preview")
    return path.suffix.lower() in videos and stem != path.stem and stem in stems


def chosen_format(out: str | None, given: str | None) -> str:
    """The format that is asked for, or else that of the name of the output; MP4 for a folder.

    Raises:
      UserError: an unknown one.
    """
    if given is None:
        suffix = pathlib.Path(out or "").suffix.lower()
        return next((name for name, known in FORMATS.items() if suffix in known), "mp4")
    if given not in FORMATS:
        raise UserError(f"--format={given}: there is none such; {nearest(given, FORMATS)}")
    return given


def make_jobs(
    images: Sequence[str],
    audios: Sequence[str],
    *,
    out: str | None,
    format: str,
    pairs: bool = False,
    preview: float | None = None,
    motion_out: str | None = None,
) -> list[Job]:
    """Every picture with every recording, or the first with the first and so on.

    One picture and one recording, each named as a file, give the output that `out` names (in it, if
    it is a folder that exists or that has no ending). Otherwise `out` is a folder, and the outputs
    are named after their recordings; where there are several pictures, after picture and recording,
    PICTURE_RECORDING, or after the picture where there is one recording.

    Args:
      images: picture files and folders of them.
      audios: sound or video files and folders of them.
      out: file or folder; by default video.mp4 (or of another format), or the folder videos.
      format: one of `FORMATS`.
      pairs: as many pictures as recordings, in their order.
      preview: see `Job`.
      motion_out: see `Job`.

    Raises:
      UserError: numbers that make no pairs, names that clash, or an output of another kind.
    """
    pictures, sounds = listed(images, PICTURES, "picture"), listed(audios, SOUNDS, "recording")
    if pairs and len(pictures) != len(sounds):
        raise UserError(
            f"--pairs with {len(pictures)} pictures and {len(sounds)} recordings; give as many of "
            "each, or leave --pairs out for every picture with every recording"
        )
    if preview is not None and not (format in ("mp4", "webm") and 0.04 <= preview < float("inf")):
        raise UserError(
            f"--preview={preview:g} with --format={format}: choose at least 0.04 s, of a video"
        )
    # Pictures within recordings: a recording's features are computed once.
    couples = (
        list(zip(pictures, sounds, strict=True)) if pairs
        else [(picture, sound) for sound in sounds for picture in pictures]
    )  # fmt: skip
    suffix = next(iter(FORMATS[format]), "")
    folders = any(pathlib.Path(name).expanduser().is_dir() for name in (*images, *audios))
    if len(couples) == 1 and not folders:
        named = pathlib.Path(out or (f"video{suffix}" if suffix else "frames")).expanduser()
        if suffix and (named.is_dir() or not named.suffix):
            named = named / f"{sounds[0].stem}{suffix}"
        _check_ending(named, format)
        more = pathlib.Path(motion_out).expanduser() if motion_out else None
        if more is not None and more.suffix != ".npy":
            raise UserError(f"--motion_out={motion_out} must end in .npy; or use --format=motion")
        return [Job(*couples[0], named, format, preview, more)]
    if motion_out:
        raise UserError("--motion_out is for one video; use --format=motion for several")
    folder = pathlib.Path(out or "videos").expanduser()
    if folder.suffix.lower() in sum(FORMATS.values(), ()):
        raise UserError(
            f"--out={out} names one file for {len(couples)} outputs; name a folder instead"
        )
    jobs: dict[pathlib.Path, Job] = {}
    for picture, sound in couples:
        parts = [picture.stem] * (len(pictures) > 1) + [sound.stem] * (len(sounds) > 1)
        path = folder / ("_".join(parts or [sound.stem]) + suffix)
        if path in jobs:
            other = jobs[path]
            raise UserError(
                f"{picture} with {sound} and {other.image} with {other.audio} would both become "
                f"{path}; rename one, or give them in calls of their own"
            )
        jobs[path] = Job(picture, sound, path, format, preview)
    return list(jobs.values())


def _check_ending(path: pathlib.Path, format: str) -> None:
    known, suffix = FORMATS[format], path.suffix.lower()
    others = sum((FORMATS[name] for name in FORMATS if name != format), ())
    if known and suffix in others:
        raise UserError(
            f"--out={path} with --format={format}: the name must end in {known[0]}, or leave "
            "--format out"
        )
    if known and suffix not in known:
        raise UserError(
            f"--out={path}: the name must end in {known[0]} (other formats: {', '.join(others)}), "
            "or be that of a folder, which must exist if there is a dot in its name"
        )
    if not known and suffix in others:
        raise UserError(f"--out={path} with --format=frames: name a folder, for the pictures")
