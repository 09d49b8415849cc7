"""Which videos to prepare, what belongs to them, and which of them are for validation."""

import concurrent.futures
import hashlib
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from jaxgesture.core.errors import UserError

SUFFIXES = frozenset(
    ".3gp .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split()
)

# Sound beside a video, in order of preference.
SOUND_SUFFIXES = (".wav", ".flac", ".m4a", ".aac", ".mp3", ".ogg", ".opus")


def files_below(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """All files below a folder; links to folders are followed, each folder is entered once."""
    entered: set[str] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:
            below.clear()
            continue
        entered.add(real)
        below.sort()
        yield from (pathlib.Path(folder) / name for name in names)


def sound_beside(video: pathlib.Path) -> pathlib.Path | None:
    """A sound file of the same name beside a video; None where there is none."""
    suffixes = [form for suffix in SOUND_SUFFIXES for form in (suffix, suffix.upper())]
    return next((f for s in suffixes if (f := video.with_suffix(s)).is_file()), None)


def find_videos(videos: str | os.PathLike | Iterable[str | os.PathLike]) -> dict[str, pathlib.Path]:
    """The files to prepare, by a name relative to what they have in common, in order of name.

    A folder is searched with its subfolders, links followed, for files with a video suffix; a list
    is taken whole.

    Raises:
        UserError: no such file or folder, or no video in it.
    """
    if isinstance(videos, str | os.PathLike):
        # Not pathlib's, which fails for a file whose own name begins with a tilde.
        root = pathlib.Path(os.path.expanduser(videos))
        if root.is_dir():
            found = [path for path in files_below(root) if path.suffix.lower() in SUFFIXES]
            if not found:
                raise UserError(f"no video in {root}; looked for {' '.join(sorted(SUFFIXES))}")
            named = {path.relative_to(root).as_posix(): path for path in found}
            return dict(sorted(named.items()))
        videos = [root]
    paths = [pathlib.Path(os.path.expanduser(path)) for path in videos]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing or not paths:
        raise UserError(f"no such video or folder: {', '.join(missing) or '(nothing was named)'}")
    root = pathlib.Path(os.path.commonpath([path.absolute().parent for path in paths]))
    named = {path.absolute().relative_to(root).as_posix(): path for path in paths}
    return dict(sorted(named.items()))


def signature(path: pathlib.Path) -> tuple[int, int]:
    """Length and time of the last change of a file: others if it was written to.

    Raises:
        OSError: it cannot be looked at.
    """
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def file_sha256(path: pathlib.Path) -> str:
    """The SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hashes(paths: dict[str, pathlib.Path], progress: bool) -> tuple[dict[str, str], dict[str, str]]:
    """The SHA-256 of files by name, and name -> reason for those that cannot be read."""
    from tqdm import tqdm

    found: dict[str, str] = {}
    failed: dict[str, str] = {}
    for name in [name for name in paths if not _is_text(name)]:
        shown = name.encode("unicode_escape", "surrogateescape").decode("ascii", "replace")
        failed[shown] = "its name is no text in UTF-8; rename it"
        paths = {other: path for other, path in paths.items() if other != name}

    def one(path: pathlib.Path) -> str | OSError:
        try:
            return file_sha256(path)
        except OSError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        results = threads.map(one, paths.values())
        bar = tqdm(
            zip(paths.items(), results, strict=True),
            total=len(paths),
            unit="file",
            desc="reading the videos",
            disable=not progress,
            leave=False,
        )
        for (name, path), result in bar:
            if isinstance(result, OSError):
                failed[name] = f"{path} cannot be read: {result.strerror}"
            else:
                found[name] = result
    return found, failed


def digests(paths: Mapping[str, pathlib.Path | None]) -> dict[str, str]:
    """The SHA-256 of those files that are there, by name; "unreadable" if they cannot be read.

    What is wrong with such a file is said when it is used.
    """
    found = {}
    for name, path in paths.items():
        if path is not None:
            try:
                found[name] = file_sha256(path)
            except OSError:
                found[name] = "unreadable"
    return found


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def last_seconds(validation: str | Sequence[str]) -> float | None:
    """The N of "last:N"; None for other rules.

    Raises:
        UserError: the rule is none of those that exist, or its number is out of range.
    """
    if not isinstance(validation, str) or validation == "none":
        return None
    rule, _, number = validation.partition(":")
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if rule == "last" and 0 < value < math.inf:
        return value
    if rule == "hash" and 0 < value < 1:
        return None
    raise UserError(
        f"validation={validation!r} is not understood; use 'last:4.0' (the last seconds of each "
        "file), 'hash:0.1' (a share of the files), 'none', or a list of file names"
    )


def is_validation(validation: str | Sequence[str], name: str, sha256: str) -> bool:
    """Whether a whole file is for validation, by its name or the hash of its content."""
    if not isinstance(validation, str):
        return name in validation
    if validation.startswith("hash:"):
        return int(sha256[:8], 16) / 2**32 < float(validation.partition(":")[2])
    return False


def clip_ids(names: Iterable[str]) -> dict[str, str]:
    """Clip ids: names without suffix, with it where two would be the same."""
    bare = {name: str(pathlib.PurePosixPath(name).with_suffix("")) for name in names}
    counts: dict[str, int] = {}
    for value in bare.values():
        counts[value] = counts.get(value, 0) + 1
    return {name: value if counts[value] == 1 else name for name, value in bare.items()}
