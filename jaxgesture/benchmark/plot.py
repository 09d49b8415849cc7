"""The times of a benchmark as a picture."""

import os
import pathlib

from jaxgesture.benchmark.compare import Measured, Result
from jaxgesture.benchmark.program import Failure
from jaxgesture.benchmark.report import Report
from jaxgesture.core.errors import UserError

# Of the sides in their order; the first is JAX.
COLOURS = ("#d1495b", "#30638e", "#edae49", "#3c896d")
INK = "#22313f"
_THICK = 0.8  # of all bars of a case, of the distance between cases


def bars(report: Report, path: str | os.PathLike) -> None:
    """Draws the median times with their quartiles into a PNG: a panel for each precision.

    Args:
      report: what was measured.
      path: the PNG file.

    Raises:
      UserError: nothing was measured.
    """
    from matplotlib.figure import Figure

    panels: dict[str, list[Result]] = {}
    for result in report.results:
        panels.setdefault(result.case.precision, []).append(result)
    if not panels:
        raise UserError("nothing was measured, so there is nothing to draw; run the benchmark")
    most = max(len(results) for results in panels.values())
    height = 1.0 + 0.24 * most * len(report.sides)
    figure = Figure(figsize=(5.6 * len(panels), height), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (precision, results) in zip(axes, panels.items(), strict=True):
        _panel(axis, report.sides, results)
        axis.set_title(precision, loc="left", fontsize=11, color=INK)
    axes[0].legend(frameon=False, fontsize=9)
    figure.suptitle(report.subject, fontsize=12, color=INK, x=0.01, ha="left", parse_math=False)
    figure.savefig(pathlib.Path(path), dpi=110)


def _panel(axis, sides: tuple[str, ...], results: list[Result]) -> None:
    thick = _THICK / len(sides)
    for number, (name, colour) in enumerate(zip(sides, COLOURS, strict=False)):
        places, times, spans = [], [], []
        for row, result in enumerate(results):
            side = result.sides.get(name)
            place = row + (number - (len(sides) - 1) / 2) * thick
            if isinstance(side, Measured):
                timing = side.timing
                places.append(place)
                times.append(1e3 * timing.median)
                spans.append((timing.median - timing.low, timing.high - timing.median))
            elif isinstance(side, Failure):
                why = "out of memory" if side.out_of_memory else "failed"
                axis.text(
                    0.01, place, f"{name}: {why}", transform=axis.get_yaxis_transform(),
                    va="center", fontsize=8, color=colour,
                )  # fmt: skip
        errors = [[1e3 * max(0.0, span[end]) for span in spans] for end in (0, 1)]
        axis.barh(
            places, times, thick * 0.92, xerr=errors if spans else None, color=colour, label=name,
            error_kw={"elinewidth": 1, "ecolor": INK},
        )  # fmt: skip
    axis.set_yticks(range(len(results)), [f"{r.case.task} × {r.case.batch}" for r in results])
    axis.set_ylim(len(results) - 0.5, -0.5)
    axis.set_xscale("log")
    axis.set_xlabel("ms, logarithmic: shorter is faster", color=INK)
    axis.grid(axis="x", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
