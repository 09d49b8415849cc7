"""Where a result goes: a hidden file or folder beside it first, its own name when it is whole."""

import contextlib
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator, Sequence

from jaxgesture.core.errors import UserError


class Target:
    """The final path of a result, and the hidden one beside it that is written first.

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
        hidden = f".{self.path.stem}.{uuid.uuid4().hex[:8]}.part{self.path.suffix}"
        self.part = self.path.with_name(hidden)

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
            if folder:
                self.part.mkdir()
            else:
                self.part.touch()
        except OSError as error:
            raise self.error(error) from error

    def discard(self) -> None:
        """Removes what was written so far."""
        if self.part.is_dir():
            shutil.rmtree(self.part, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.part.unlink(missing_ok=True)

    def publish(self) -> None:
        """Gives the result its name; what had it before is replaced."""
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
