"""What a run writes for people: scalars as JSON lines and TensorBoard events, images and videos.

`WORKDIR/metrics.jsonl` has one object a line: `{"step": 50, "time": 1.7e9, "train/loss": 0.25}`,
with "time" in seconds since 1970 and values that JSON has no number for as "nan", "inf", "-inf".
"""

import io
import json
import math
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from jaxgesture.core.errors import UserError

FILE = "metrics.jsonl"


class MetricWriter:
    """Writes below one work directory; only process 0 writes, the others' calls do nothing.

    Args:
        workdir: created if missing.
        step: the step a run continues from (0 for a new one): lines of later steps, which the run
            will write again, are dropped. None keeps all.
    """

    def __init__(self, workdir: str | os.PathLike[str], step: int | None = None):
        self.workdir = pathlib.Path(workdir).expanduser().resolve()
        self._active = jax.process_index() == 0
        if not self._active:
            return
        from tensorboardX import SummaryWriter

        self.workdir.mkdir(parents=True, exist_ok=True)
        _mend(self.workdir / FILE, step)
        self._file = (self.workdir / FILE).open("a", encoding="utf-8")
        self._board = SummaryWriter(
            str(self.workdir / "tensorboard"), purge_step=None if step is None else step + 1
        )

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._active:
            self._file.close()
            self._board.close()

    def scalars(self, step: int, values: Mapping[str, Any], prefix: str = "") -> None:
        """Writes one line of scalars; `prefix` is put in front of every name ("eval/")."""
        if not self._active:
            return
        numbers = {f"{prefix}{name}": float(value) for name, value in values.items()}
        line = {name: v if math.isfinite(v) else str(v) for name, v in numbers.items()}
        self._file.write(json.dumps({"step": step, "time": time.time(), **line}) + "\n")
        self._file.flush()
        for name, value in numbers.items():
            self._board.add_scalar(name, value, step)

    def image(self, step: int, name: str, image: UInt8[np.ndarray, "h w c"]) -> None:
        """Writes `images/NAME_STEP.png` and shows it in TensorBoard."""
        if not self._active:
            return
        from PIL import Image

        Image.fromarray(np.squeeze(image)).save(self._path("images", name, step, "png"))
        self._board.add_image(name, image, step, dataformats="HWC")

    def video(self, step: int, name: str, video: UInt8[np.ndarray, "t h w c"], fps: float) -> None:
        """Writes `images/NAME_STEP.mp4` and shows it in TensorBoard as an animated image."""
        if not self._active:
            return
        _write_mp4(self._path("images", name, step, "mp4"), video, fps)
        self._add_animation(step, name, video, fps)

    def _path(self, folder: str, name: str, step: int, suffix: str) -> pathlib.Path:
        path = self.workdir / folder / f"{name.replace('/', '_')}_{step:07d}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        return path

    def _add_animation(self, step: int, name: str, video: np.ndarray, fps: float) -> None:
        # `add_video` needs moviepy; the event format takes any encoded image, GIF included.
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
        writer = self._board.file_writer
        if writer is not None:
            writer.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)


def read_scalars(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Returns the lines of `metrics.jsonl` in order; a last line cut short by a kill is left out.

    Raises:
        UserError: if the workdir has no such file, or a line in its middle is broken.
    """
    path = pathlib.Path(workdir).expanduser() / FILE
    if not path.exists():
        raise UserError(f"{path} does not exist; is --workdir the folder of a training run?")
    return [
        {k: float(v) if v in ("nan", "inf", "-inf") else v for k, v in line.items()}
        for line in _lines(path)
    ]


def _lines(path: pathlib.Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    out = []
    for number, line in enumerate(lines):
        if not line:
            continue
        try:
            out.append(json.loads(line))
        except json.JSONDecodeError:
            # Only what is being written when a process dies may be broken.
            if number != len(lines) - 1:
                raise UserError(
                    f"{path} line {number + 1} is not JSON; mend or delete the line"
                ) from None
    return out


def _mend(path: pathlib.Path, step: int | None) -> None:
    """Drops a half-written last line, and the lines after `step` if one is given."""
    if not path.exists():
        return
    kept = [line for line in _lines(path) if step is None or line["step"] <= step]
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
    temporary.replace(path)


def _write_mp4(path: pathlib.Path, video: np.ndarray, fps: float) -> None:
    from fractions import Fraction

    import av

    # yuv420p stores colour at half the resolution: sides must be even.
    pads = [(0, 0), (0, video.shape[1] % 2), (0, video.shape[2] % 2), (0, 0)]
    video = np.pad(video, pads, mode="edge")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = video.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
