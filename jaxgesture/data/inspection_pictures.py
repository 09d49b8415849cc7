"""The pictures of `inspection`: frames with boxes, audio features, batches, lengths of clips."""

import dataclasses
import functools
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.core.types import NumpyBatch
from jaxgesture.data import audio, boxes

INK, ACCENT, BLUE, MUTED = "#22313f", "#d1495b", "#30638e", "#7a8b99"
PART_COLOURS = dict(zip(boxes.PARTS, (ACCENT, "#3f9fe0", "#edae49", "#4cc38a"), strict=True))

_SIDE, _GAP, _MARGIN, _COLUMNS = 192, 14, 20, 6
_TITLE, _TEXT = 19, 13
_LINE = 2  # pixels, of a box
_DPI = 110
_BEAT: dict[str, Any] = {"color": INK, "linewidth": 0.9, "linestyle": (0, (4, 3)), "alpha": 0.55}
_MOTION: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -2.5, "vmax": 2.5}


@dataclasses.dataclass(frozen=True)
class Tile:
    """A picture of a contact sheet: boxes as fractions of it, in the order of `boxes.PARTS`."""

    image: UInt8[np.ndarray, "h w 3"]
    boxes: Float[np.ndarray, "k 4"]
    caption: str
    detail: str


def contact_sheet(tiles: Sequence[Tile], title: str, path: pathlib.Path) -> None:
    """Draws frames with their boxes and captions, and a legend, into a PNG.

    Args:
        tiles: at least one.
        title: above them.
        path: the PNG file.
    """
    columns = min(_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    pitch = _SIDE + 2 * (_TEXT + 5) + _GAP
    marked = any(np.isfinite(tile.boxes).all(-1).any() for tile in tiles)
    width, height = columns * (_SIDE + _GAP) - _GAP, rows * pitch - _GAP
    sheet, draw, top = _sheet(width, height, title, legend=marked)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        x, y = _MARGIN + column * (_SIDE + _GAP), top + row * pitch
        sheet.paste(_with_boxes(tile.image, tile.boxes), (x, y))
        below = y + _SIDE + 4
        draw.text((x, below), _fitted(tile.caption, _SIDE), fill=INK, font=_font(_TEXT))
        detail = _fitted(tile.detail, _SIDE)
        draw.text((x, below + _TEXT + 4), detail, fill=MUTED, font=_font(_TEXT))
    sheet.save(path)


def pairs(batch: NumpyBatch, title: str, path: pathlib.Path) -> None:
    """Draws a batch of stage 1 into a PNG: sources above their driving frames, with boxes if any.

    Args:
        batch: as `pipeline.pairs` gives it.
        title: above them.
        path: the PNG file.
    """
    label = 84
    count = len(batch["source"])
    none = np.tile(boxes.ABSENT, (count, boxes.K, 1))
    rows = {"source": (batch["source"], none), "driving": (batch["driving"], none)}
    if "boxes" in batch:
        rows["driving"] = (batch["driving"], batch["boxes"])
    pitch = _SIDE + _GAP
    width = label + count * pitch - _GAP
    sheet, draw, top = _sheet(width, len(rows) * pitch - _GAP, title, legend="boxes" in batch)
    for row, (name, (images, places)) in enumerate(rows.items()):
        y = top + row * pitch
        middle = (_MARGIN, y + _SIDE // 2)
        draw.text(middle, name, fill=INK, font=_font(_TEXT + 2), anchor="lm")
        for column, (image, place) in enumerate(zip(images, places, strict=True)):
            x = _MARGIN + label + column * pitch
            sheet.paste(_with_boxes(image, place), (x, y))
    sheet.save(path)


@functools.cache
def _font(size: int) -> Any:
    """DejaVu Sans, which matplotlib brings along: many alphabets, and the same in all pictures."""
    import matplotlib
    from PIL import ImageFont

    path = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


def _fitted(text: str, width: int) -> str:
    """The text, its middle left out where it has more pixels than `width`."""
    font = _font(_TEXT)
    shown, kept = text, len(text)
    while font.getlength(shown) > width and kept > 2:
        kept -= 1
        shown = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
    return shown


def _sheet(width: int, height: int, title: str, legend: bool) -> tuple[Any, Any, int]:
    """A white picture with a title and a legend of the boxes; where its content may begin."""
    from PIL import Image, ImageDraw

    font, small = _font(_TITLE), _font(_TEXT)
    names = [name.replace("_", " ") for name in boxes.PARTS] if legend else []
    square, space = 12, 18
    needed = sum(square + 6 + small.getlength(name) + space for name in names)
    # A narrow sheet has its legend in a line of its own.
    beside = font.getlength(title) + 2 * space + needed <= width
    width = round(max(width, font.getlength(title), needed))
    first, second = _MARGIN, _MARGIN + _TITLE + 10
    top = second + 6 if beside or not names else second + _TEXT + 16
    sheet = Image.new("RGB", (width + 2 * _MARGIN, top + height + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, first + _TITLE // 2), title, fill=INK, font=font, anchor="lm")
    x = _MARGIN + width - needed + space if beside else _MARGIN
    y = first + _TITLE // 2 if beside else second + _TEXT // 2
    for name, colour in zip(names, PART_COLOURS.values(), strict=False):
        draw.rectangle((x, y - square // 2, x + square, y + square // 2), fill=colour)
        draw.text((x + square + 6, y), name, fill=INK, font=small, anchor="lm")
        x += square + 6 + small.getlength(name) + space
    return sheet, draw, top


def _with_boxes(image: UInt8[np.ndarray, "h w 3"], places: Float[np.ndarray, "k 4"]) -> Any:
    from PIL import Image, ImageDraw

    picture = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    for place, colour in zip(places, PART_COLOURS.values(), strict=True):
        if np.isfinite(place).all():
            x0, y0, x1, y1 = (float(v) for v in np.round(place * (_SIDE - 1)))
            draw.rectangle((x0, y0, x1, y1), outline=colour, width=_LINE)
    return picture


def audio_features(
    rows: Float[np.ndarray, "t a"],
    fps: float,
    title: str,
    path: pathlib.Path,
    sound: tuple[Float[np.ndarray, "n"], int] | None = None,
) -> None:
    """Draws audio features over time into a PNG, with onset peaks and beats.

    Args:
        rows: the last 35 columns are those of `audio.COLUMNS`; what is before them is drawn as one
            more panel.
        fps: rows a second.
        title: above the panels.
        path: the PNG file.
        sound: samples and their rate in Hz, whose waveform is drawn above the features.
    """
    crafted, learned = rows[:, -audio.AUDIO_SIZE :], rows[:, : -audio.AUDIO_SIZE]
    panels = [(2.2, _draw_onsets), (2.2, _draw_mfcc), (1.8, _draw_chroma)]
    if sound is not None:
        panels.insert(0, (1.5, functools.partial(_draw_waveform, sound)))
    if learned.shape[1]:
        panels.append((2.2, functools.partial(_draw_learned, learned)))
    figure = _figure(11, 1.0 + sum(height for height, _ in panels))
    axes = figure.subplots(
        len(panels), 1, sharex=True, squeeze=False, height_ratios=[height for height, _ in panels]
    )[:, 0]
    for axis, (_, draw) in zip(axes, panels, strict=True):
        draw(axis, crafted, fps)
        for beat in np.flatnonzero(crafted[:, audio.COLUMNS.index("beat")]):
            dark = axis.images and axis.images[0].get_cmap().name == "magma"
            axis.axvline(beat / fps, **(_BEAT | {"color": "white"} if dark else _BEAT))
    axes[0].set_xlim(-0.5 / fps, (len(rows) - 0.5) / fps)
    axes[-1].set_xlabel("seconds", color=INK)
    _titled(figure, title)
    _save(figure, path)


def _columns(prefix: str) -> list[int]:
    return [i for i, name in enumerate(audio.COLUMNS) if name.startswith(prefix)]


def _draw_waveform(sound: tuple[Any, int], axis: Any, crafted: np.ndarray, fps: float) -> None:
    """The highest and the lowest sample of each hundredth of a second."""
    samples, rate = sound
    samples = samples[: round(len(crafted) / fps * rate)]
    starts = np.arange(0, len(samples), max(1, rate // 100))
    if len(starts):
        low, high = (limit.reduceat(samples, starts) for limit in (np.minimum, np.maximum))
        # Frame k is drawn at k / fps and hears what is around that moment.
        axis.fill_between(starts / rate, low, high, step="post", color=BLUE, linewidth=0)
    axis.spines[["top", "right"]].set_visible(False)
    _heading(axis, "waveform")


def _draw_onsets(axis: Any, crafted: np.ndarray, fps: float) -> None:
    seconds = np.arange(len(crafted)) / fps
    strength = crafted[:, audio.COLUMNS.index("onset_strength")]
    peaks = np.flatnonzero(crafted[:, audio.COLUMNS.index("onset")])
    axis.plot(seconds, strength, color=BLUE, linewidth=1.4, label="onset strength")
    axis.plot(seconds[peaks], strength[peaks], "o", color=ACCENT, markersize=5, label="onset peak")
    axis.plot([], [], **_BEAT, label="beat")
    axis.set_ylim(0, max(1.0, float(strength.max())) * 1.1)
    axis.spines[["top", "right"]].set_visible(False)
    _heading(axis, "onset strength")
    _legend(axis)


def _draw_mfcc(axis: Any, crafted: np.ndarray, fps: float) -> None:
    _heat(axis, crafted[:, _columns("mfcc_")], fps)
    axis.set_yticks(range(0, 20, 5))
    _heading(axis, "MFCC, each coefficient standardised")


def _draw_chroma(axis: Any, crafted: np.ndarray, fps: float) -> None:
    columns = _columns("chroma_")
    _image(axis, crafted[:, columns], 0.0, len(crafted), fps, cmap="magma", vmin=0, vmax=1)
    names = [audio.COLUMNS[i].removeprefix("chroma_") for i in columns]
    pitches = [name[0].upper() + name[1:].replace("s", "♯") for name in names]
    axis.set_yticks(range(0, len(pitches), 2), pitches[::2], fontsize=8)
    _heading(axis, "chroma CENS")


def _draw_learned(learned: np.ndarray, axis: Any, crafted: np.ndarray, fps: float) -> None:
    _heat(axis, learned, fps)
    _heading(axis, f"learned features, {learned.shape[1]} columns, each standardised")


def _heat(axis: Any, rows: np.ndarray, fps: float) -> None:
    spread = rows.std(0)
    level = (rows - rows.mean(0)) / np.where(spread > 0, spread, 1)
    _image(axis, level, 0.0, len(rows), fps, cmap="RdBu_r", vmin=-2.5, vmax=2.5)


def _image(axis: Any, rows: np.ndarray, first: float, count: int, fps: float, **how: Any) -> Any:
    """A heat map, time to the right, the first column of `rows` at the bottom."""
    extent = ((first - 0.5) / fps, (first + count - 0.5) / fps, -0.5, rows.shape[1] - 0.5)
    return axis.imshow(
        rows.T, origin="lower", aspect="auto", interpolation="nearest", extent=extent, **how
    )


def segments(
    batch: NumpyBatch,
    mean: Float[np.ndarray, "d"],
    std: Float[np.ndarray, "d"],
    title: str,
    path: pathlib.Path,
) -> None:
    """Draws a batch of stage 2 into a PNG: motion with its history, source and sound.

    Args:
        batch: as `pipeline.segments` gives it.
        mean: of every motion dimension.
        std: likewise.
        title: above the segments.
        path: the PNG file.
    """
    count = len(batch["motion"])
    columns = min(2, count)
    rows = -(-count // columns)
    figure = _figure(6.4 * columns + 0.8, 3.9 * rows + 0.5)
    whole = figure.add_gridspec(1, 2, width_ratios=[40 * columns, 1])
    grid = whole[0].subgridspec(rows, columns)
    scale = np.where(std > 0, std, 1)
    drawn: Any = None
    for number in range(count):
        inner = grid[divmod(number, columns)].subgridspec(
            2, 2, width_ratios=[34, 1], height_ratios=[3, 1.3]
        )
        motion = figure.add_subplot(inner[0, 0])
        source = figure.add_subplot(inner[0, 1])
        sound = figure.add_subplot(inner[1, 0], sharex=motion)
        row = {
            name: (batch[name][number] - mean) / scale for name in ("motion", "history", "source")
        }
        drawn = _draw_motion(motion, row, bool(batch["history_valid"][number]))
        _heading(motion, f"segment {number}: motion, {len(mean)} dimensions")
        source.imshow(row["source"][:, None], origin="lower", aspect="auto", **_MOTION)
        source.set_xticks([0], ["source"], fontsize=8)
        source.set_yticks([])
        _draw_sound(sound, batch["audio"][number], len(batch["history"][number]))
    bar = figure.colorbar(drawn, cax=figure.add_subplot(whole[1]))
    bar.set_label("standard deviations from the mean", color=INK, fontsize=9)
    bar.outline.set_visible(False)
    _titled(figure, title)
    _save(figure, path)


def _draw_motion(axis: Any, row: Mapping[str, np.ndarray], valid: bool) -> Any:
    past, length = len(row["history"]), len(row["motion"])
    drawn = _image(axis, row["motion"], 0, length, 1, **_MOTION)
    if past:
        if valid:
            _image(axis, row["history"], -past, past, 1, **_MOTION)
        else:
            axis.axvspan(-past - 0.5, -0.5, facecolor="#eef1f3", edgecolor=MUTED, hatch="////")
        axis.axvline(-0.5, color=INK, linewidth=1.6)
        name = "history" if valid else "no history"
        axis.text(
            -past / 2 - 0.5, 0.5, name, transform=axis.get_xaxis_transform(), rotation=90,
            ha="center", va="center", fontsize=8, color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
        )  # fmt: skip
    axis.set_xlim(-past - 0.5, length - 0.5)
    axis.set_ylim(-0.5, row["motion"].shape[1] - 0.5)
    axis.tick_params(labelbottom=False)
    return drawn


def _draw_sound(axis: Any, rows: np.ndarray, past: int) -> None:
    crafted = rows[:, -audio.AUDIO_SIZE :]
    strength = crafted[:, audio.COLUMNS.index("onset_strength")]
    peaks = np.flatnonzero(crafted[:, audio.COLUMNS.index("onset")])
    beats = np.flatnonzero(crafted[:, audio.COLUMNS.index("beat")])
    axis.plot(np.arange(len(rows)), strength, color=BLUE, linewidth=1.3)
    axis.plot(peaks, strength[peaks], "o", color=ACCENT, markersize=4)
    for beat in beats:
        axis.axvline(beat, **_BEAT)
    if past:
        axis.axvline(-0.5, color=INK, linewidth=1.6)
    axis.set_ylim(0, max(1.0, float(strength.max())) * 1.15)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("frame: onset strength, onset peaks (dots), beats (dashes)", fontsize=9)


def lengths(seconds: Mapping[str, Sequence[float]], path: pathlib.Path) -> None:
    """Draws how long the clips of every split are into a PNG.

    Args:
        seconds: split -> length of its clips.
        path: the PNG file.
    """
    every = np.concatenate([np.asarray(part, np.float64) for part in seconds.values()])
    figure = _figure(8, 3.8)
    axis = figure.subplots()
    low, high = float(every.min()), float(every.max())
    if high - low < 0.1:
        low, high = max(0.0, low - 0.5), high + 0.5
    # An odd number of bins has one in the middle, for clips that are all of one length.
    bins = min(31, max(9, round(2 * len(every) ** 0.5) | 1))
    colours = (BLUE, ACCENT, "#edae49", "#3c896d")
    axis.hist(
        [np.asarray(part) for part in seconds.values()],
        bins=bins,
        range=(low, high),
        stacked=True,
        color=[colours[i % len(colours)] for i in range(len(seconds))],
        label=[f"{split}, {len(part)} clips" for split, part in seconds.items()],
        edgecolor="white",
    )
    axis.set_xlabel("length of the clip, seconds", color=INK)
    axis.set_ylabel("clips", color=INK)
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.spines[["top", "right"]].set_visible(False)
    _heading(axis, f"{len(every)} clips, median {np.median(every):.1f} s")
    _legend(axis)
    _save(figure, path)


def _figure(width: float, height: float) -> Any:
    """A figure of its own: no state of pyplot is touched."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _heading(axis: Any, text: str) -> None:
    axis.set_title(text, loc="left", fontsize=10, color=INK)


def _legend(axis: Any) -> None:
    """Above the axis at the right, where no curve is; the heading is at the left."""
    axis.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, fontsize=9, borderpad=0.1
    )


def _titled(figure: Any, text: str) -> None:
    text = _fitted(text, round(figure.get_figwidth() * 65))  # this font is half as large again
    # Names of clips may hold dollar signs, which are no formulas.
    figure.suptitle(text, fontsize=13, color=INK, x=0.01, ha="left", parse_math=False)


def _save(figure: Any, path: pathlib.Path) -> None:
    with warnings.catch_warnings():
        # Of names in letters that the font lacks; they become squares.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure.savefig(path, dpi=_DPI)
