"""What is written of a speech: a video, pictures in a folder, motion features.

Each is written piece by piece and appears under its name when it is complete.
"""

import abc
import contextlib
import os
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.core.errors import UserError
from jaxgesture.generation import provenance
from jaxgesture.generation.target import Target, Unfinished
from jaxgesture.generation.writer import VideoWriter

FPS = 25
# The formats, and the endings that their files may have; pictures go into a folder.
FORMATS: dict[str, tuple[str, ...]] = {
    "mp4": (".mp4", ".m4v"),
    "webm": (".webm",),
    "frames": (),
    "motion": (".npz",),
}
_PICTURE = "{:06d}.png"
_PICTURES = re.compile(r"\d{6}\.png")


class Output(Unfinished):
    """What is written of a speech, piece by piece.

    Attributes:
      drawn: it is made of frames; else of motion features.
    """

    drawn = True

    @abc.abstractmethod
    def write(self, rows: np.ndarray) -> None:
        """Appends frames or motion features."""


class Video(Output):
    """A video with its sound; the first `limit` frames of what is written, or all.

    `comment` is the entry that says what made it, see `provenance`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: int,
        audio: str | os.PathLike[str],
        limit: int | None = None,
        comment: str | None = None,
    ):
        # Speech and sound track are read with the same decoder: sound starts with the first frame.
        seconds = None if limit is None else limit / FPS
        self._writer = VideoWriter(
            path, size, FPS, audio=audio, audio_seconds=seconds, comment=comment
        )
        self._left = limit

    def write(self, rows: UInt8[np.ndarray, "b h w 3"]) -> None:
        """Appends frames; the last one that is wanted completes the file."""
        if self._left is None:
            self._writer.write(rows)
        elif self._left > 0:
            self._writer.write(rows[: self._left])
            self._left -= len(rows)
            if self._left <= 0:
                self.close()

    def close(self) -> None:
        """Completes the file; nothing happens the second time."""
        self._writer.close()

    def abort(self) -> None:
        """Removes an unfinished file."""
        self._writer.abort()


class FrameFolder(Output):
    """PNG pictures in a folder, 000000.png and so on.

    Args:
      path: the folder; one that holds nothing but such pictures is replaced.
      comment: the entry of each picture that says what made it, see `provenance`.

    Raises:
      UserError: the folder holds something else, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], comment: str | None = None):
        self._target = Target(path)
        check_folder(path)
        self._target.create(folder=True)
        self._count = 0
        self._info = None if comment is None else provenance.png_info(comment)

    def write(self, rows: UInt8[np.ndarray, "b h w 3"]) -> None:
        """Appends frames."""
        from PIL import Image

        with self._target.guard():
            for frame in rows:
                name = self._target.part / _PICTURE.format(self._count)
                Image.fromarray(frame).save(name, pnginfo=self._info)
                self._count += 1

    def close(self) -> None:
        """Gives the folder its name."""
        with self._target.guard():
            self._target.publish()

    def abort(self) -> None:
        """Removes an unfinished folder."""
        self._target.discard()


def check_folder(path: str | os.PathLike[str]) -> None:
    """Checks that a folder may be replaced by one of pictures.

    Raises:
      UserError: it holds something else.
    """
    folder = Target(path).path
    if folder.is_dir():
        other = next((e.name for e in os.scandir(folder) if not _PICTURES.fullmatch(e.name)), None)
        if other is not None:
            raise UserError(
                f"{path} holds {other}, which is no numbered picture; give a new folder for frames"
            )


class MotionFile(Output):
    """Motion features: .npz with `motion` (t, d) float32, `fps` and what else is said, or .npy.

    Args:
      path: the file.
      shape: of all features.
      about: further arrays of an .npz.
    """

    drawn = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        shape: tuple[int, int],
        about: Mapping[str, Any] | None = None,
    ):
        self._target = Target(path, (".npz", ".npy"))
        self._target.create()
        self._about = {"fps": FPS, **(about or {})}
        self._archive: zipfile.ZipFile | None = None
        with self._target.guard():
            if self._target.path.suffix.lower() == ".npz":
                self._archive = zipfile.ZipFile(self._target.part, "w")
                self._rows: Any = self._archive.open(_entry("motion"), "w", force_zip64=True)
            else:
                self._rows = self._target.part.open("wb")
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(self._rows, header)

    def write(self, rows: Float[np.ndarray, "t d"]) -> None:
        """Appends motion features."""
        with self._target.guard():
            self._rows.write(np.ascontiguousarray(rows, "<f4").tobytes())

    def close(self) -> None:
        """Completes the file and gives it its name."""
        with self._target.guard():
            self._rows.close()
            if self._archive is not None:
                for name, value in self._about.items():
                    with self._archive.open(_entry(name), "w") as stream:
                        np.lib.format.write_array(stream, np.asarray(value), allow_pickle=False)
                self._archive.close()
            self._target.publish()

    def abort(self) -> None:
        """Removes an unfinished file."""
        with contextlib.suppress(OSError, ValueError):
            self._rows.close()
            if self._archive is not None:
                self._archive.close()
        self._target.discard()


class Kept(Output):
    """Motion features that are kept in memory."""

    drawn = False

    def __init__(self):
        self._rows: list[np.ndarray] = []

    @property
    def motion(self) -> Float[np.ndarray, "t d"]:
        """All that was written."""
        return np.concatenate(self._rows)

    def write(self, rows: Float[np.ndarray, "t d"]) -> None:
        """Appends motion features."""
        self._rows.append(rows)

    def close(self) -> None:
        """There is nothing to complete."""

    def abort(self) -> None:
        """There is nothing to remove."""


def _entry(name: str) -> zipfile.ZipInfo:
    # The default date of an entry is fixed: same motion, same bytes.
    return zipfile.ZipInfo(f"{name}.npy")
