"""Work directories: folders or `gs://` URLs, and what goes wrong with writing there.

Object stores have no folders and no appending: a file is there when it is whole. Of their URLs
Orbax and TensorStore know `gs://` alone.
"""

import contextlib
import errno
import importlib.util
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

import jax
from etils import epath

from jaxgesture.core.errors import UserError

# What etils and Orbax import for `gs://`, and what it is called where it is installed from.
STORE = {"gcsfs": "gcsfs", "google.cloud.storage": "google-cloud-storage"}
# TensorStore's words for what storage does to a write; it has no exceptions of its own.
_STATUS = re.compile(
    r"(RESOURCE_EXHAUSTED|PERMISSION_DENIED|UNAVAILABLE|DATA_LOSS|INTERNAL|ABORTED|UNKNOWN"
    r"|DEADLINE_EXCEEDED|FAILED_PRECONDITION|NOT_FOUND|OUT_OF_RANGE|CANCELLED|UNAUTHENTICATED): "
)


def place(workdir: str | os.PathLike[str]) -> epath.Path:
    """Returns a work directory as an absolute path; a URL, `gs://bucket/run`, stays as given.

    Raises:
        UserError: for a URL of another kind, or where packages for it are missing.
    """
    scheme = _scheme(workdir)
    if not scheme:
        return epath.Path(pathlib.Path(workdir).expanduser().resolve())
    if scheme != "gs":
        raise UserError(
            f"{os.fspath(workdir)}: checkpoints can be written to gs:// and to folders, and not to "
            f"{scheme}://; mount the bucket as a folder (s3: mountpoint-s3, az: blobfuse) and "
            "give that"
        )
    if missing := [package for module, package in STORE.items() if not _installed(module)]:
        raise UserError(
            f"{os.fspath(workdir)} needs more packages: pip install {' '.join(missing)}"
        )
    return epath.Path(os.fspath(workdir))


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of what the module is in
        return False


def is_url(workdir: str | os.PathLike[str]) -> bool:
    """Returns whether a work directory is one of an object store."""
    return bool(_scheme(workdir))


def _scheme(workdir: str | os.PathLike[str]) -> str:
    found = re.match(r"(\w+)://", os.fspath(workdir))
    return found[1] if found else ""


@contextlib.contextmanager
def as_os_error(path: epath.Path) -> Iterator[None]:
    """Raises the errors of an object store's own library as `OSError`, as those of a disk are."""
    try:
        yield
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        ours = package in ("builtins", __name__.partition(".")[0])
        if isinstance(error, OSError) or ours or not is_url(path):
            raise
        raise OSError(errno.EIO, reason(error), os.fspath(path)) from error


def lock(path: os.PathLike[str], create: bool = False) -> int | None:
    """Locks a file or folder for this process until the descriptor returned is closed.

    Args:
        path: of it.
        create: makes the file if it is missing. Only files that are opened for writing, which
            these are, can be locked on NFS.

    Returns:
        The descriptor; None where nothing can be locked (no such file, no such operating system).

    Raises:
        BlockingIOError: if another holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT if create else os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


@contextlib.contextmanager
def alone(folder: epath.Path) -> Iterator[None]:
    """Keeps other runs out of a work directory; two would mix their checkpoints and metrics.

    The lock is on its file `.lock`. Object stores and disks without locks let them in; some disks
    of several hosts know locks of one host only.

    Raises:
        UserError: if another run is in it.
    """
    descriptor = None
    if jax.process_index() == 0 and not is_url(folder):
        with contextlib.suppress(OSError):  # `check_writable` tells of it
            folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = lock(folder / ".lock", create=True)
        except BlockingIOError:
            raise UserError(
                f"another run is at work in {folder}; wait for its end, or give another --workdir"
            ) from None
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def check_writable(folder: epath.Path) -> None:
    """Creates a folder and writes into it, so that a run does not find out late that it cannot.

    Raises:
        UserError: if it cannot.
    """
    probe = folder / f".writable-{jax.process_index()}"
    try:
        with as_os_error(folder):
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.write_text("x")
            probe.unlink()
    except FileExistsError as error:
        raise UserError(
            f"{folder} is a file and should be a folder; move it away, or give another --workdir"
        ) from error
    except OSError as error:
        raise UserError(
            f"cannot write in {folder} ({reason(error)}); make room or get the rights, or give "
            "another --workdir"
        ) from error


def free_bytes(folder: epath.Path) -> int | None:
    """Returns the free space below a folder; None for an object store, which has no end."""
    return None if is_url(folder) else shutil.disk_usage(folder).free


def write_whole(path: epath.Path, text: str) -> None:
    """Writes a file that is there as a whole or, where that fails, as it was before."""
    if is_url(path):
        path.write_text(text)
        return
    temporary = path.with_suffix(".tmp")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def amount(size: float) -> str:
    """Returns a number of bytes for people: "40 kB", "1.5 GB"."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:  # three digits hold no 999.7
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def remove(path: epath.Path) -> None:
    """Removes a file or folder as far as that goes."""
    with contextlib.suppress(OSError):
        path.rmtree() if path.is_dir() else path.unlink(missing_ok=True)


def reason(error: BaseException) -> str:
    """Returns in a few words why storage failed."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # One line of what may be pages.
    first = next(iter(str(error).strip().splitlines()), "")
    if _STATUS.match(first):
        # "STATUS: Error writing NAME: Failed writing: FILE: No space left on device [code]"
        return first.split(" [")[0].rpartition(": ")[2][:120]
    return f"{type(error).__name__}: {first[:120]}"


def is_storage(error: BaseException) -> bool:
    """Returns whether an error of Orbax is about the storage, and not about what is saved.

    JAX's own errors, in the words of TensorStore's, are about devices and other processes; a
    barrier that nobody meets at is a `TimeoutError` without a number.
    """
    timed_out = isinstance(error, TimeoutError) and error.errno is None
    if timed_out or isinstance(error, jax.errors.JaxRuntimeError):
        return False
    return isinstance(error, OSError) or _STATUS.match(str(error)) is not None
