"""Jupyter and Colab: what a run shows while it trains, videos beside each other, files taken in.

IPython comes with every notebook and is imported when it is needed.
"""

import base64
import html
import os
import pathlib
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from jaxgesture.core.errors import DataWarning, UserError

# Widths of pictures, pixels of the screen.
WIDTH, VIDEO_WIDTH = 960, 240
_ROWS = 6  # of `history`


def start(*, preallocate: bool = True) -> None:
    """Prepares a kernel, and prints what it runs on.

    Progress bars are drawn every ten seconds (of what is imported from here on), warnings about
    data are one line, and compiled programs are kept between kernels.

    Args:
      preallocate: False lets JAX take GPU memory as it needs it, to leave some for PyTorch.
    """
    os.environ.setdefault("TQDM_MININTERVAL", "10")
    if not preallocate:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    import jaxgesture
    from jaxgesture.cli import main as cli

    warnings.showwarning = cli.show_warning
    warnings.simplefilter("always", DataWarning)
    # Bars are text; nothing misses the widgets.
    warnings.filterwarnings("ignore", message="IProgress not found")
    cli.use_compilation_cache()
    devices = jax.devices()
    print(
        f"jaxgesture {jaxgesture.__version__}, JAX {jax.__version__} on "
        f"{len(devices)} x {devices[0].device_kind}"
    )


class Live:
    """Curves and the newest pictures of a run, drawn anew while it trains: a hook of `train`.

        with Live("stage1", workdir) as live:
            train(config, workdir, hooks=[live])

    At the end of the block, also of one that was interrupted, the last state is shown.

    Args:
      stage: "stage1" or "stage2".
      workdir: of the training.
      every_s: seconds from one drawing to the next.
    """

    def __init__(self, stage: str, workdir: str | os.PathLike, *, every_s: float = 15.0):
        self._stage, self._every_s = stage, every_s
        self._workdir = pathlib.Path(workdir)
        self._shown = -float("inf")
        self._handles: dict[str, Any] = {}

    def __enter__(self) -> "Live":
        return self

    def __exit__(self, *exception: object) -> None:
        self.show()

    def __call__(self, step: int, state: Any, means: dict[str, float]) -> None:
        """Draws, if it is time."""
        if time.monotonic() - self._shown >= self._every_s:
            self.show()

    def show(self) -> None:
        """Draws what is there: where the run is, its curves, its newest strip of pictures."""
        from IPython.display import Image, Markdown

        from jaxgesture.core.metrics import FILE, read_scalars
        from jaxgesture.demo.page import loss_curves

        if not (self._workdir / FILE).is_file():
            return
        lines = read_scalars(self._workdir)
        if lines:
            self._update("step", Markdown(_where(lines)))
            loss_curves(self._stage, lines, self._workdir / "curves.png")
            self._update("curves", Image(str(self._workdir / "curves.png"), width=WIDTH))
        strips = _strips(self._workdir)
        if strips:
            self._update("strip", Image(str(strips[max(strips)]), width=WIDTH))
        self._shown = time.monotonic()

    def _update(self, name: str, content: Any) -> None:
        from IPython.display import display

        if name in self._handles:
            self._handles[name].update(content)
        else:
            self._handles[name] = display(content, display_id=True)


def _where(lines: Sequence[Mapping[str, Any]]) -> str:
    text = f"**step {lines[-1]['step']}**"
    seconds = [line["speed/step_seconds"] for line in lines if "speed/step_seconds" in line]
    return f"{text}, {seconds[-1]:.3g} s a step" if seconds else text


def _strips(workdir: pathlib.Path) -> dict[int, pathlib.Path]:
    """The first strip of each step that has some."""
    found: dict[int, pathlib.Path] = {}
    for path in sorted((workdir / "images").glob("*_*.png")):
        found.setdefault(int(path.stem.rpartition("_")[2]), path)
    return found


def history(workdir: str | os.PathLike) -> Any:
    """How the first clip of a run's strips came to be: the truth, then the model's pictures.

    Args:
      workdir: of a training that has drawn some.

    Returns:
      An image to display, a row for each of some steps.

    Raises:
      UserError: nothing was drawn.
    """
    import numpy as np
    from IPython.display import Image
    from PIL import Image as Pictures

    from jaxgesture.evaluation import plots

    folder = pathlib.Path(workdir)
    strips = _strips(folder)
    if not strips:
        raise UserError(f"{folder} has no pictures yet; train on, to an evaluation at least")
    steps = sorted(strips)
    if len(steps) > _ROWS:
        steps = [steps[i] for i in np.linspace(0, len(steps) - 1, _ROWS).round().astype(int)]
    rows: dict[str, list[np.ndarray]] = {}
    for step in steps:
        strip = np.asarray(Pictures.open(strips[step]).convert("RGB"))
        # Of squares: the truth, what the model makes of it, and in stage 1 a control.
        side = strip.shape[1] // 8
        rows.setdefault("truth", _squares(strip[:side], side))
        rows[f"step {step}"] = _squares(strip[side : 2 * side], side)
    path = folder / "history.png"
    plots.labelled_rows(rows, path, side=96)
    return Image(str(path), width=WIDTH)


def scores(workdir: str | os.PathLike) -> Any:
    """A table to display of the newest PSNR on held-out clips, with its controls.

    Args:
      workdir: of a training of stage 1.

    Raises:
      UserError: nothing was judged yet.
    """
    from jaxgesture.core.metrics import FILE, read_scalars

    folder = pathlib.Path(workdir)
    lines = read_scalars(folder) if (folder / FILE).is_file() else []
    judged = [line for line in lines if "eval/psnr" in line]
    if not judged:
        raise UserError(f"{folder} was not judged yet; train on, to an evaluation at least")
    values = [(name[5:], x) for name, x in judged[-1].items() if name.startswith("eval/psnr")]
    return table(["held-out clips", f"dB at step {judged[-1]['step']}"], *values)


def _squares(row: Any, side: int) -> list[Any]:
    return [row[:, i : i + side] for i in range(0, row.shape[1], side)]


def show(*paths: str | os.PathLike, width: int = WIDTH) -> None:
    """Displays picture files below each other."""
    from IPython.display import Image, display

    for path in paths:
        display(Image(os.fspath(path), width=width))


def videos(files: Mapping[str, str | os.PathLike], *, width: int = VIDEO_WIDTH) -> Any:
    """Videos and pictures beside each other, embedded, each below its label.

    Args:
      files: label -> an MP4, WebM, PNG or JPEG file.
      width: of each, pixels of the screen.
    """
    from IPython.display import HTML

    cells = []
    for label, file in files.items():
        path = pathlib.Path(file)
        suffix = path.suffix.lower().removeprefix(".")
        data = base64.b64encode(path.read_bytes()).decode()
        if suffix in ("mp4", "webm"):
            kind, end = "video", " controls loop playsinline></video>"
        else:
            kind, end = "img", ">"
            suffix = {"jpg": "jpeg"}.get(suffix, suffix)
        media = {"video": "video", "img": "image"}[kind]
        source = f'{kind} width="{width}" src="data:{media}/{suffix};base64,{data}"'
        cells.append(
            '<figure style="display: inline-block; margin: 0 8px 8px 0">'
            f"<figcaption>{html.escape(label)}</figcaption><{source}{end}</figure>"
        )
    return HTML("".join(cells))


def table(head: Sequence[str], *rows: Sequence[Any]) -> Any:
    """A table to display; floats have three digits."""
    from IPython.display import Markdown

    from jaxgesture.planning import report

    texts = [[f"{x:.3g}" if isinstance(x, float) else str(x) for x in row] for row in rows]
    return Markdown(report.table([list(head), *texts]))


def upload(what: str) -> pathlib.Path:
    """Asks for a file in Colab, and returns where it was put.

    Args:
      what: is asked for, such as "a picture of the speaker".

    Raises:
      UserError: outside Colab, or where no file was chosen.
    """
    if "google.colab" not in sys.modules:
        raise UserError(
            f"only Colab asks for files: put {what} beside the notebook and give its path instead "
            'of "upload"'
        )
    from google.colab import files  # pyright: ignore[reportMissingImports]

    print(f"choose {what}:")
    chosen = files.upload()
    if not chosen:
        raise UserError(f"no file was chosen; run the cell again and choose {what}")
    return pathlib.Path(next(iter(chosen))).absolute()
