"""TensorBoard's event files, written in the caller's thread.

`tensorboardX.SummaryWriter` writes in a thread of its own: a full disk ends that thread without a
word, and soon after that the run waits for it forever.
"""

import io
import itertools
import os
import time
import types
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import UInt8

# A file system may take long to flush, and an object store takes the whole file.
FLUSH_S = 30.0
_numbers = itertools.count()


class _Object:
    """An event file in an object store, written as a whole whenever it is flushed."""

    def __init__(self, path: str):
        self._path, self._buffer = epath.Path(path), io.BytesIO()

    def write(self, data: bytes) -> None:
        self._buffer.write(data)

    def flush(self) -> None:
        self._path.write_bytes(self._buffer.getvalue())

    def close(self) -> None:
        self.flush()


class Board:
    """One event file; every method may raise an OSError, after which it is of no more use.

    Args:
        folder: created if missing; TensorBoard shows all event files in it as one.
        purge_step: events of this step and later ones in older files are hidden.
    """

    def __init__(self, folder: epath.Path, purge_step: int | None = None):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog  # pyright: ignore
        from tensorboardX.record_writer import register_writer_factory

        # Its own needs another package than the rest.
        objects = types.SimpleNamespace(open=_Object, directory_check=lambda path: None)
        register_writer_factory("gs", objects)
        folder.mkdir(parents=True, exist_ok=True)
        # Its own name holds the second, which two runs may share; TensorBoard reads by name, so
        # that the later file has to have the later name for a purge to hide what was before it.
        suffix = f".{os.getpid()}.{next(_numbers):06d}"
        self._writer = EventsWriter(os.path.join(os.fspath(folder), "events"), suffix)
        self._flushed = 0.0
        if purge_step is not None:
            start = SessionLog(status=SessionLog.START)
            self._write(purge_step, session_log=start)

    def scalar(self, step: int, name: str, value: float) -> None:
        """Adds a number."""
        from tensorboardX.summary import scalar

        self._write(step, summary=scalar(name, value))

    def image(self, step: int, name: str, image: UInt8[np.ndarray, "h w c"]) -> None:
        """Adds a picture."""
        from tensorboardX.summary import image as summarize

        self._write(step, summary=summarize(name, image, dataformats="HWC"))

    def video(self, step: int, name: str, video: UInt8[np.ndarray, "t h w c"], fps: float) -> None:
        """Adds an animated picture."""
        # tensorboardX needs moviepy for it; the format takes any encoded image, GIF included.
        from PIL import Image
        from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore

        first, *rest = [Image.fromarray(frame) for frame in video]
        buffer = io.BytesIO()
        first.save(buffer, "gif", save_all=True, append_images=rest, duration=1000 / fps, loop=0)
        image = Summary.Image(
            encoded_image_string=buffer.getvalue(),
            height=video.shape[1],
            width=video.shape[2],
            colorspace=3,
        )
        self._write(step, summary=Summary(value=[Summary.Value(tag=name, image=image)]))

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()

    def _write(self, step: int, **what: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore

        self._writer.write_event(Event(wall_time=time.time(), step=step, **what))
        if time.monotonic() - self._flushed > FLUSH_S:
            self._writer.flush()
            self._flushed = time.monotonic()
