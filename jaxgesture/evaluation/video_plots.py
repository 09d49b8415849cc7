"""Plots of sets of videos, as SVG texts for a page."""

import io
import itertools
from collections.abc import Mapping

import numpy as np

from jaxgesture.evaluation import gestures
from jaxgesture.evaluation.clip_scores import REFERENCE, ClipScores, Measured
from jaxgesture.evaluation.plots import COLOURS, INK, MUTED
from jaxgesture.evaluation.video_sets import ARMS, FPS
from jaxgesture.evaluation.video_summary import clip_values

_LONGEST = 28  # letters of a label
_TITLES = {
    "psnr full": "PSNR, dB",
    "lpips full": "LPIPS",
    "ha2g_bc": "HA2G BC",
    "bailando_bas": "Bailando BAS",
    "emage_bc": "EMAGE BC",
    "shoulders": "landmark distance, shoulders",
}


def colours(measured: Measured) -> dict[str, str]:
    """A colour for each system."""
    labels = [label for label in measured.systems if label != REFERENCE]
    return {REFERENCE: INK, **dict(zip(labels, itertools.cycle(COLOURS), strict=False))}


def scatter(measured: Measured) -> str | None:
    """Every clip as a point: speed of the hands against the true one, and its scores.

    None where there is nothing to show.
    """
    panels = [_speeds(measured), *(_against(measured, *pair) for pair in _pairs(measured))]
    panels = [panel for panel in panels if panel is not None]
    if not panels:
        return None
    figure, axes = _figure(len(panels))
    for axis, (x, y, equal, points) in zip(axes, panels, strict=True):
        for label, values in points.items():
            rows = np.array(values)
            axis.scatter(
                *rows.T, s=22, alpha=0.7, color=colours(measured)[label], label=_plain(label)
            )
        if equal:
            most = max(axis.get_xlim()[1], axis.get_ylim()[1])
            axis.plot([0, most], [0, most], color=MUTED, linewidth=0.8)
            axis.set_xlim(0, most)
            axis.set_ylim(0, most)
        axis.set_xlabel(x, color=INK)
        axis.set_ylabel(y, color=INK)
        axis.legend(frameon=False, fontsize=8)
    return _svg(figure)


def speed_over_time(measured: Measured, system: str, name: str) -> str | None:
    """Speed of the hands of one recording, true and of a system, with the beats of its speech.

    None where neither's joints are known.
    """
    sets = {label: measured.systems[label] for label in (REFERENCE, system)}
    clips = {label: found[name] for label, found in sets.items() if name in found}
    clips = {label: clip for label, clip in clips.items() if clip.joints is not None}
    if not clips:
        return None
    figure, (axis,) = _figure(1, (9.6, 2.7))
    for label, clip in clips.items():
        speed = _hand_speed(clip)
        width = 2.2 if label == REFERENCE else 1.4
        shown = "true" if label == REFERENCE else _plain(label)
        times = np.arange(len(speed)) / FPS
        axis.plot(times, speed, color=colours(measured)[label], linewidth=width, label=shown)
    onsets = next((clip.beats for clip in clips.values() if clip.beats is not None), None)
    if onsets is not None and len(onsets):
        axis.vlines(onsets, 0, 0.06, transform=axis.get_xaxis_transform(), color=MUTED,
                    linewidth=1.2, label="beats of the speech")  # fmt: skip
    axis.set_xlabel("seconds", color=INK)
    axis.set_ylabel("speed of the hands, sides/s", color=INK)
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False, fontsize=8, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    return _svg(figure)


def _plain(label: str) -> str:
    """A label as letters, and short: between dollars matplotlib would set formulas."""
    short = label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"
    # What begins with an underscore it leaves out of the legend.
    lead = " " if short.startswith("_") else ""
    return lead + short.replace("$", r"\$")


def _hand_speed(clip: ClipScores) -> np.ndarray:
    assert clip.joints is not None
    return gestures.hand_speed(clip.joints, ARMS, FPS)


_Panel = tuple[str, str, bool, Mapping[str, list[tuple[float, float]]]]


def _speeds(measured: Measured) -> _Panel | None:
    true = measured.systems[REFERENCE]
    points: dict[str, list[tuple[float, float]]] = {}
    for label, clips in measured.systems.items():
        for name, clip in clips.items():
            pair = true.get(name)
            if label == REFERENCE or pair is None or pair.joints is None or clip.joints is None:
                continue
            both = float(_hand_speed(pair).mean()), float(_hand_speed(clip).mean())
            points.setdefault(label, []).append(both)
    title = "mean speed of the hands"
    return (f"{title}, true", f"{title}, generated", True, points) if points else None


def _pairs(measured: Measured) -> list[tuple[str, str]]:
    known: dict[str, None] = {}
    for label, clips in measured.systems.items():
        for clip in clips.values() if label != REFERENCE else ():
            known |= dict.fromkeys(clip_values(clip))
    names = [name for name in _TITLES if name in known]
    return [(names[0], names[1])] if len(names) > 1 else []


def _against(measured: Measured, x: str, y: str) -> _Panel | None:
    points: dict[str, list[tuple[float, float]]] = {}
    for label, clips in measured.systems.items():
        for clip in clips.values() if label != REFERENCE else ():
            values = clip_values(clip)
            if np.isfinite([values.get(x, np.nan), values.get(y, np.nan)]).all():
                points.setdefault(label, []).append((values[x], values[y]))
    return (_TITLES[x], _TITLES[y], False, points) if points else None


def _figure(columns: int, size: tuple[float, float] | None = None):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, columns, figsize=size or (4.8 * columns, 3.6), layout="constrained", squeeze=False
    )
    for axis in axes[0]:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes[0])


def _svg(figure) -> str:
    import matplotlib.pyplot as plt

    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    plt.close(figure)
    # What stands before the element is for files of their own.
    return text.getvalue()[text.getvalue().index("<svg") :]
