"""The folder that a dataset is built in, beside its final name, until it is complete.

It is called `DIRECTORY.partial` and renamed at the end, so a crash never leaves half a dataset
under the name that training reads. A lock in it keeps other processes away, and ends with the
process.
"""

import contextlib
import errno
import importlib.metadata
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from jaxgesture.core.errors import UserError

# What lies in the folder beside records, until it is complete.
JOBS, JOURNAL = "jobs", "journal.jsonl"
_WORK, _LOCK = "work.json", "lock"
FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_PACKAGES = (
    "jaxgesture", "array_record", "tensorflow-datasets", "numpy", "pillow", "av", "librosa",
    "scipy", "soxr",
)  # fmt: skip


def versions() -> dict[str, str]:
    """The versions of the packages that decide what records hold."""
    return {package: importlib.metadata.version(package) for package in _PACKAGES}


def disk_is_full(error: BaseException) -> bool:
    """Whether an error says that the disk, or the user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in FULL


@contextlib.contextmanager
def building(
    directory: str | os.PathLike, work: Mapping[str, Any], keep: bool = False
) -> Iterator[pathlib.Path]:
    """The folder `DIRECTORY.partial`, renamed to `DIRECTORY` if the block ends well.

    Args:
        directory: the final name; no such folder, or an empty one. Links are followed.
        work: what is being made, JSON values. What a run that was stopped left under the partial
            name is gone on with if it was making the same with the same versions.
        keep: whether anything in there can be gone on with; else a failure removes it, and so does
            the next run.

    Raises:
        UserError: the partial folder has something else in it, or clips of another work; another
            process is writing it, it cannot be made, or the disk is full.
    """
    final = pathlib.Path(os.path.realpath(pathlib.Path(directory).expanduser()))
    if os.path.ismount(final):
        raise UserError(f"{final} is the root of a disk; name a folder on it, such as {final}/data")
    partial = final.with_name(final.name + ".partial")
    made = json.loads(json.dumps({**work, **{f"{n} version": v for n, v in versions().items()}}))
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with _locked(partial):
            _check_is_free(final)
            if not (keep and _goes_on(partial, made)):
                _empty(partial)
                _write_work(partial, made)
            try:
                yield partial
            except BaseException:
                if not (keep and _is_begun(partial)):
                    shutil.rmtree(partial, ignore_errors=True)
                raise
            _check_is_free(final)
            if final.is_dir():
                final.rmdir()
            os.replace(partial, final)
            shutil.rmtree(final / JOBS, ignore_errors=True)
            for leftover in (JOURNAL, _WORK, _LOCK):
                (final / leftover).unlink(missing_ok=True)
    except OSError as error:
        if disk_is_full(error):
            raise UserError(
                f"the disk of {final} is full; free some space, and the same command goes on from "
                "what is written, or name another place"
            ) from error
        if error.filename is not None and str(error.filename).startswith(str(partial)):
            raise UserError(
                f"cannot write {error.filename}: {error.strerror}; name a writable place for the "
                "dataset"
            ) from error
        raise


def _check_is_free(final: pathlib.Path) -> None:
    if final.exists() and (not final.is_dir() or any(final.iterdir())):
        raise UserError(
            f"{final} was made by another process meanwhile; the same command again looks at it"
        )


def _goes_on(partial: pathlib.Path, made: Mapping[str, Any]) -> bool:
    """Whether the folder holds the beginning of this very work.

    Raises:
        UserError: it holds clips of another work, or files that are nobody's.
    """
    begun = partial / _WORK
    if not begun.is_file():
        if strange := sorted(p.name for p in partial.iterdir() if p.name != _LOCK):
            raise UserError(
                f"{partial} holds {', '.join(strange[:3])} and is needed for the work; move it "
                "away, or name another folder"
            )
        return False
    try:
        there = json.loads(begun.read_text(encoding="utf-8"))
    except ValueError:
        there = {}
    if there == made:
        return True
    if not _is_begun(partial):
        return False
    keys = [k for k in sorted({*there, *made}) if there.get(k) != made.get(k)]
    raise UserError(
        f"{partial} holds the beginning of a dataset made with other {', '.join(keys)}; to go on "
        "with it, give the same command; to begin anew, delete it"
    )


def _write_work(partial: pathlib.Path, made: Mapping[str, Any]) -> None:
    text = json.dumps(made, indent=1, sort_keys=True)
    (partial / _WORK).write_text(text, encoding="utf-8")


def _is_begun(partial: pathlib.Path) -> bool:
    """Whether something is there to go on with."""
    journal = partial / JOURNAL
    written = journal.is_file() and journal.stat().st_size > 0
    return written or any(partial.glob(f"{JOBS}/*.spool"))


def _empty(folder: pathlib.Path) -> None:
    for path in folder.iterdir():
        if path.name == _LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    """Holds a folder's lock, which ends with the process, however it ends."""
    import fcntl

    path = folder / _LOCK
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A folder that was complete and renamed just now took its lock along.
            taken = os.fstat(stream.fileno()).st_ino != path.stat().st_ino
        except (BlockingIOError, FileNotFoundError):
            taken = True
        if taken:
            raise UserError(
                f"another process is writing {folder}; wait for it, or name another folder"
            ) from None
        yield
