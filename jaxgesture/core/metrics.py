"""What a run writes for people: scalars as JSON lines and TensorBoard events, images and videos.

`WORKDIR/metrics.jsonl` has one object a line: `{"step": 50, "time": 1.7e9, "train/loss": 0.25}`,
with "time" in seconds since 1970 and values that JSON has no number for as "nan", "inf", "-inf".
"""

import contextlib
import io
import itertools
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath
from jaxtyping import UInt8

from jaxgesture.core import workdir as workdirs
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.tensorboard import Board

FILE = "metrics.jsonl"
REWRITE_S = 60.0


class MetricWriter:
    """Writes below one work directory; only process 0 writes, the others' calls do nothing.

    Where the storage fails, training is not to end for it: there is a warning with a count, lines
    of `metrics.jsonl` wait in memory for the next call, TensorBoard gets a new file then, and
    pictures are left out.

    Args:
        workdir: created if missing.
        step: the step a run continues from (0 for a new one): lines of later steps, which the run
            will write again, are dropped. None keeps all.

    Attributes:
        failures: how many writes have failed.
    """

    def __init__(self, workdir: str | os.PathLike[str], step: int | None = None):
        self.workdir = workdirs.place(workdir)
        self.failures = 0
        self._active = jax.process_index() == 0
        if not self._active:
            return
        self.workdir.mkdir(parents=True, exist_ok=True)
        self._lines = _Lines(self.workdir / FILE, step)
        self._board: Board | None = None
        self._purge = None if step is None else step + 1
        # Now, since the libraries it needs may take seconds to load.
        self._show(step or 0, lambda board: None)

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._active:
            return
        with contextlib.suppress(OSError), workdirs.as_os_error(self.workdir):
            self._lines.flush()
        if lost := self._lines.waiting:
            _warn(f"{lost} lines of {self.workdir / FILE} could not be written and are lost")
        if self._board is not None:
            with contextlib.suppress(OSError), workdirs.as_os_error(self.workdir):
                self._board.close()

    def scalars(self, step: int, values: Mapping[str, Any], prefix: str = "") -> None:
        """Writes one line of scalars; `prefix` is put in front of every name ("eval/")."""
        if not self._active:
            return
        numbers = {f"{prefix}{name}": float(value) for name, value in values.items()}
        line = {name: v if math.isfinite(v) else str(v) for name, v in numbers.items()}
        self._lines.add(json.dumps({"step": step, "time": time.time(), **line}) + "\n")
        with self._guard(step, FILE, "its lines wait"):
            self._lines.due()
        self._show(step, lambda board: [board.scalar(step, *one) for one in numbers.items()])

    def image(self, step: int, name: str, image: UInt8[np.ndarray, "h w c"]) -> None:
        """Writes `images/NAME_STEP.png` and shows it in TensorBoard."""
        if not self._active:
            return
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(np.squeeze(image)).save(buffer, "png")
        self._save(step, name, "png", buffer.getvalue())
        self._show(step, lambda board: board.image(step, name, image))

    def video(self, step: int, name: str, video: UInt8[np.ndarray, "t h w c"], fps: float) -> None:
        """Writes `images/NAME_STEP.mp4` and shows it in TensorBoard as an animated image."""
        if not self._active:
            return
        self._save(step, name, "mp4", _mp4(video, fps))
        self._show(step, lambda board: board.video(step, name, video, fps))

    def _save(self, step: int, name: str, suffix: str, data: bytes) -> None:
        path = self.workdir / "images" / f"{name.replace('/', '_')}_{step:07d}.{suffix}"
        with self._guard(step, path.name, "it is left out"):
            path.parent.mkdir(exist_ok=True)
            try:
                path.write_bytes(data)
            except OSError:
                workdirs.remove(path)
                raise

    def _show(self, step: int, draw: Callable[[Board], object]) -> None:
        """Draws on the board; one that has failed is left for a new one at the next call."""
        with self._guard(step, "TensorBoard's file", "it is begun anew when there is room"):
            try:
                with workdirs.as_os_error(self.workdir):
                    if self._board is None:
                        self._board = Board(self.workdir / "tensorboard", self._purge)
                        self._purge = None
                    draw(self._board)
            except OSError:
                board, self._board = self._board, None
                if board is not None:
                    with contextlib.suppress(OSError):
                        board.close()
                raise

    @contextlib.contextmanager
    def _guard(self, step: int, what: str, then: str) -> Iterator[None]:
        try:
            with workdirs.as_os_error(self.workdir):
                yield
        except OSError as error:
            self.failures += 1
            # A disk may stay full for long: 1, 2, 4, 8, ... failures are told.
            if self.failures & (self.failures - 1) == 0:
                _warn(
                    f"{what} in {self.workdir} could not be written at step {step} "
                    f"({workdirs.reason(error)}): {then}; make room or mend the storage "
                    f"({self.failures} failed so far)"
                )


class _Lines:
    """The end of `metrics.jsonl`, with the lines that are not in it yet.

    On a disk, lines are appended. An object store knows whole files only: there all of it is
    written again, at most once in `REWRITE_S` seconds.
    """

    def __init__(self, path: epath.Path, step: int | None):
        _mend(path, step)
        self._path, self._pending, self._rewrites = path, [], workdirs.is_url(path)
        self._written = path.read_text() if self._rewrites and path.exists() else ""
        self._size = path.stat().length if path.exists() else 0
        self._last = -math.inf

    @property
    def waiting(self) -> int:
        return len(self._pending)

    def add(self, line: str) -> None:
        self._pending.append(line)

    def due(self) -> None:
        if not self._rewrites or time.monotonic() - self._last > REWRITE_S:
            self.flush()

    def flush(self) -> None:
        if not self._pending:
            return
        text = "".join(self._pending)
        if self._rewrites:
            self._path.write_text(self._written + text)
            self._written += text
            self._last = time.monotonic()
        else:
            self._append(text.encode())
        self._pending.clear()

    def _append(self, data: bytes) -> None:
        try:
            with open(self._path, "ab") as file:
                file.write(data)
        except OSError:
            # A part of a line would be in the way of the next.
            with contextlib.suppress(OSError):
                os.truncate(self._path, self._size)
            raise
        self._size += len(data)


def _warn(message: str) -> None:
    warnings.warn(message, DataWarning, stacklevel=4)


def read_scalars(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Returns the lines of `metrics.jsonl` in order; a last line cut short by a kill is left out.

    Raises:
        UserError: if the workdir has no such file, or a line in its middle is broken.
    """
    path = workdirs.place(workdir) / FILE
    if not path.exists():
        raise UserError(f"{path} does not exist; is --workdir the folder of a training run?")
    lines, broken = _lines(path)
    if broken:
        raise UserError(f"{path} line {broken[0]} is not JSON of a step; mend or delete the line")
    return [
        {k: float(v) if v in ("nan", "inf", "-inf") else v for k, v in line.items()}
        for line in lines
    ]


def _lines(path: epath.Path) -> tuple[list[dict[str, Any]], list[int]]:
    """What the lines hold, and the numbers of those that are broken, but for the last."""
    lines = path.read_bytes().decode(errors="replace").split("\n")
    out, broken = [], []
    for number, line in enumerate(lines):
        if not line:
            continue
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            found = None
        if isinstance(found, dict) and isinstance(found.get("step"), int):
            out.append(found)
        # Only what is being written when a process dies may be broken.
        elif number != len(lines) - 1:
            broken.append(number + 1)
    return out, broken


def _mend(path: epath.Path, step: int | None) -> None:
    """Drops a half-written last line, and the lines after `step` if one is given.

    Others that are broken go too, with a warning; the file as it was stays beside it.
    """
    if not path.exists():
        return
    lines, broken = _lines(path)
    if broken:
        try:
            with workdirs.as_os_error(path):
                kept = f"the file as it was is {_set_aside(path).name}"
        except OSError as error:
            kept = f"the file as it was could not be kept ({workdirs.reason(error)})"
        _warn(
            f"{path}: {len(broken)} broken lines, the first is line {broken[0]}, are left out; "
            f"{kept}"
        )
    kept = [line for line in lines if step is None or line["step"] <= step]
    workdirs.write_whole(path, "".join(json.dumps(line) + "\n" for line in kept))


def _set_aside(path: epath.Path) -> epath.Path:
    """Copies a file to a name that is free."""
    numbers = (f"{path.name}.damaged{number or ''}" for number in itertools.count())
    target = next(t for t in (path.with_name(name) for name in numbers) if not t.exists())
    path.copy(target)
    return target


def _mp4(video: np.ndarray, fps: float) -> bytes:
    from fractions import Fraction

    import av

    # yuv420p stores colour at half the resolution: sides must be even.
    pads = [(0, 0), (0, video.shape[1] % 2), (0, video.shape[2] % 2), (0, 0)]
    video = np.pad(video, pads, mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = video.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
