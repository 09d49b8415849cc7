"""Pictures of a run."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

INK, ACCENT, MUTED = "#22313f", "#d1495b", "#7a8b99"
COLOURS = (ACCENT, "#30638e", "#edae49", "#3c896d", MUTED)
MARGIN = 200  # pixels left of the rows, for their labels


def curves(
    lines: Sequence[Mapping[str, Any]],
    panels: Mapping[str, Mapping[str, str]],
    path: str | os.PathLike,
    *,
    log: Sequence[str] = (),
) -> None:
    """Draws curves of a run's metrics beside each other into a PNG.

    Args:
      lines: what `core.metrics.read_scalars` returns.
      panels: title -> {metric name: label}; metrics that were never logged are left out.
      path: the PNG file.
      log: titles of the panels whose vertical axis is logarithmic.
    """
    from matplotlib.figure import Figure

    # Not pyplot's, whose state a notebook shares with its user.
    figure = Figure(figsize=(5.2 * len(panels), 3.4), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)
    for axis, (title, metrics) in zip(axes[0], panels.items(), strict=True):
        for colour, (name, label) in zip(COLOURS, metrics.items(), strict=False):
            points = [(line["step"], line[name]) for line in lines if name in line]
            if points:
                x, y = zip(*points, strict=True)
                marker = "o" if len(x) == 1 else ""
                axis.plot(x, y, label=label, color=colour, linewidth=1.8, marker=marker)
        axis.set_title(title, color=INK, fontsize=11)
        axis.set_xlabel("step", color=INK)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.25)
        if title in log:
            axis.set_yscale("log")
        axis.spines[["top", "right"]].set_visible(False)
        if axis.lines:
            axis.legend(frameon=False, fontsize=8)
    figure.savefig(pathlib.Path(path), dpi=110)


def labelled_rows(
    rows: Mapping[str, Sequence[UInt8[np.ndarray, "h w 3"]]],
    path: str | os.PathLike,
    *,
    side: int = 128,
) -> None:
    """Draws rows of pictures, each with its label on the left, into a PNG.

    Args:
      rows: label -> pictures; rows may differ in length.
      path: the PNG file.
      side: side of each picture in pixels; smaller pictures are enlarged.
    """
    from PIL import Image, ImageDraw, ImageFont

    margin, gap = MARGIN, 4
    columns = max(len(row) for row in rows.values())
    sheet = Image.new(
        "RGB", (margin + columns * (side + gap), len(rows) * (side + gap) + gap), "white"
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for number, (label, pictures) in enumerate(rows.items()):
        top = gap + number * (side + gap)
        draw.multiline_text((10, top + side // 2 - 18), label, fill=INK, font=font)
        for column, picture in enumerate(pictures):
            image = Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)
            sheet.paste(image, (margin + column * (side + gap), top))
    sheet.save(pathlib.Path(path))
