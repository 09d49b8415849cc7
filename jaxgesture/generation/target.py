"""Where a result goes: a hidden file or folder beside it first, its own name when it is whole."""

import abc
import contextlib
import os
import pathlib
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from jaxgesture.core import workdir as workdirs
from jaxgesture.core.errors import UserError

_DIGITS = 8


class Unfinished(abc.ABC):
    """A result that is written piece by piece.

    Used as a context manager: leaving the block completes it; leaving it by an exception removes
    what was written.
    """

    @abc.abstractmethod
    def close(self) -> None:
        """Completes the result and gives it its name."""

    @abc.abstractmethod
    def abort(self) -> None:
        """Removes what was written so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class Target:
    """The final path of a result, and the hidden one beside it that is written first.

    The hidden one is locked while it is written: what a killed process has left is told from what
    another one is writing, and is removed when the same result is begun again.

    Attributes:
      path: where the result appears when it is complete.
      part: what is written meanwhile; its ending is that of `path`.
    """

    def __init__(self, path: str | os.PathLike[str], suffixes: Sequence[str] = ()):
        """Checks, before the work begins, that a file can have this path.

        Args:
          path: of the result.
          suffixes: endings that a file may have; none stands for a folder.

        Raises:
          UserError: another ending, or a folder where a file is wanted and the other way round.
        """
        self.path = pathlib.Path(path).expanduser().absolute()
        if suffixes and self.path.suffix.lower() not in suffixes:
            listed = " or ".join(
                (", ".join(suffixes[:-1]), suffixes[-1]) if suffixes[1:] else suffixes
            )
            raise UserError(f"{path} must end in {listed}; choose the name by what is written")
        if suffixes and self.path.is_dir():
            raise UserError(f"{path} is a directory; give a file name")
        if not suffixes and self.path.is_file():
            raise UserError(f"{path} is a file; give the name of a folder")
        # Its name, with a place for the digits that no other writer has.
        self._hidden = f".{self.path.stem}.", f".part{self.path.suffix}"
        self.part = self.path.with_name(uuid.uuid4().hex[:_DIGITS].join(self._hidden))
        self._lock: int | None = None

    def error(self, error: BaseException) -> UserError:
        """The words for a failure of the disk."""
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return UserError(
            f"cannot write {self.path} ({reason}); free space or choose another output folder"
        )

    def create(self, folder: bool = False) -> None:
        """Makes the hidden file or folder, and the folders that it lies in.

        Raises:
          UserError: it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._remove_left()
            if folder:
                self.part.mkdir()
            else:
                self.part.touch()
            self._lock = _locked(self.part)
        except OSError as error:
            raise self.error(error) from error

    def _remove_left(self) -> None:
        """Removes what processes that were killed have left of this result."""
        name = re.compile(f"[0-9a-f]{{{_DIGITS}}}".join(map(re.escape, self._hidden)))
        beside: list[pathlib.Path] = []
        with contextlib.suppress(OSError):  # a folder that may be written, but not listed
            beside = list(self.path.parent.iterdir())
        for left in (path for path in beside if name.fullmatch(path.name)):
            lock = _locked(left)
            if lock is not None:
                _remove(left)
                os.close(lock)

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def discard(self) -> None:
        """Removes what was written so far."""
        self._unlock()
        _remove(self.part)

    def publish(self) -> None:
        """Gives the result its name; what had it before is replaced."""
        self._unlock()
        if self.part.is_dir() and self.path.is_dir():
            old = self.part.with_name(f"{self.part.name}.old")
            os.rename(self.path, old)
            os.rename(self.part, self.path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(self.part, self.path)

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Removes the unfinished result on any failure, and words those of the disk."""
        try:
            yield
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):
                raise self.error(error) from error
            raise


def _locked(path: pathlib.Path) -> int | None:
    """A descriptor that locks a file or folder; None where another has it, or nothing can."""
    try:
        return workdirs.lock(path)
    except BlockingIOError:
        return None


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
