"""The results as tables for people and as JSON."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxgesture.benchmark.cases import PRECISIONS, TRAIN
from jaxgesture.benchmark.compare import BOUNDS, Measured, Result, framework
from jaxgesture.benchmark.end_to_end import EndToEnd
from jaxgesture.benchmark.program import Failure
from jaxgesture.benchmark.timing import SETTLE_S
from jaxgesture.core import strict_json

NONE = "-"
MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Report:
    """All that a run found.

    Attributes:
      subject: what was measured, one line.
      sides: names in the order of the columns; the first is the one ratios refer to.
      results: of the cases.
      peaks: {framework: {precision: operations a second}}.
      about: `environment.about()` and what the sides add to it.
      notes: what the reader must know, a line each.
      warnings: sides that do not compute the same, a line each.
      end_to_end: what a video takes, if that was measured.
    """

    subject: str
    sides: tuple[str, ...]
    results: tuple[Result, ...]
    peaks: Mapping[str, Mapping[str, float]]
    about: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    end_to_end: EndToEnd | None = None


def markdown(report: Report) -> str:
    """Two tables, times and needs, perhaps a third of a whole video, and how they came about."""
    parts = [f"**{report.subject}**", _times(report), _needs(report)]
    if report.end_to_end is not None:
        parts.append(_of_a_video(report.end_to_end))
    parts.append(_caption(report))
    return "\n\n".join(parts) + "\n"


def to_json(report: Report) -> str:
    """Everything, times in seconds, memory in bytes; null where nothing was measured."""
    cases = []
    for result in report.results:
        sides = {name: _side(report, result, name) for name in report.sides}
        cases.append({**dataclasses.asdict(result.case), "flops": result.flops, "sides": sides})
    found = {
        "subject": report.subject,
        "cases": cases,
        "peak_flops_per_s": report.peaks,
        "difference_bounds": BOUNDS,
        "about": report.about,
        "notes": report.notes,
        "warnings": report.warnings,
    }
    if report.end_to_end is not None:
        found["end_to_end"] = report.end_to_end.values()
    return strict_json.dumps(found)


def rate(result: Result, name: str) -> float | None:
    """Images, poses, pairs or segments a second."""
    side = result.sides.get(name)
    return result.case.batch / side.timing.median if isinstance(side, Measured) else None


def ratio(result: Result, name: str, reference: str) -> float | None:
    """A side's median time over the reference's."""
    side, other = result.sides.get(name), result.sides.get(reference)
    if isinstance(side, Measured) and isinstance(other, Measured):
        return side.timing.median / other.timing.median
    return None


def share_of_peak(report: Report, result: Result, name: str) -> float | None:
    """The rate of operations as a part of the same side's best matrix product."""
    side = result.sides.get(name)
    peak = report.peaks.get(framework(name), {}).get(result.case.precision)
    if not isinstance(side, Measured) or not peak or result.flops is None:
        return None
    return result.flops / side.timing.median / peak


def _side(report: Report, result: Result, name: str) -> dict[str, Any] | None:
    side = result.sides.get(name)
    if side is None:
        return None
    if isinstance(side, Failure):
        return {"failed": side.reason}
    return {
        "median_s": side.timing.median,
        "quartiles_s": (side.timing.low, side.timing.high),
        "repeats": side.timing.repeats,
        "per_s": rate(result, name),
        "time_ratio": ratio(result, name, report.sides[0]),
        "share_of_peak": share_of_peak(report, result, name),
        "memory_bytes": side.memory_bytes,
        "compile_s": side.compile_s,
        "difference": side.difference,
        "relative_difference": side.relative,
    }


def _times(report: Report) -> str:
    first, *others = report.sides
    header = ["task", "batch", "precision", *(f"{name}, ms" for name in report.sides)]
    header += [f"{name} / {first}" for name in others]
    header += [f"difference, {name}" for name in others]
    rows = []
    for result in report.results:
        row = _case(result)
        row += [_time(result.sides.get(name)) for name in report.sides]
        row += [_number(ratio(result, name, first), "{:.2f}") for name in others]
        for name in others:
            side = result.sides.get(name)
            row.append(_number(getattr(side, "relative", None), "{:.1e}"))
        rows.append(row)
    return _table(header, rows, left=1)


def _needs(report: Report) -> str:
    header = ["task", "batch", "precision", "GFLOP", "side", "per s", "share of peak"]
    header += ["memory, MiB", "compile, s"]
    rows = []
    for result in report.results:
        flops = None if result.flops is None else result.flops / 1e9
        for name, side in result.sides.items():
            if not isinstance(side, Measured):
                continue
            memory = None if side.memory_bytes is None else side.memory_bytes / MIB
            rows.append(
                [
                    *_case(result),
                    _number(flops, "{:.3g}" if flops is not None and flops < 100 else "{:.0f}"),
                    name,
                    _number(rate(result, name), "{:.1f}"),
                    _number(share_of_peak(report, result, name), "{:.0%}"),
                    _number(memory, "{:.0f}"),
                    _number(side.compile_s, "{:.1f}"),
                ]
            )
    return _table(header, rows, left=1)


def _of_a_video(found: EndToEnd) -> str:
    header = ["end to end", "s per s of video", "share", "first run, s per s"]
    total, first = sum(found.seconds.values()), sum(found.first.values())
    rows = [
        [name, f"{spent:.3g}", f"{spent / total:.0%}", f"{found.first[name]:.3g}"]
        for name, spent in found.seconds.items()
    ]
    return _table(header, [*rows, ["all", f"{total:.3g}", "100%", f"{first:.3g}"]], left=1)


def _caption(report: Report) -> str:
    used = {result.case.precision for result in report.results}
    bounds = ", ".join(f"{BOUNDS[name]:g} in {name}" for name in PRECISIONS if name in used)
    lines = [
        "Times: median of repeats that interleave over the sides, with half the distance of the "
        f"quartiles; every call waits for its results, and short ones follow {1e3 * SETTLE_S:.0f} "
        f"ms of untimed calls. A ratio above 1 means that {report.sides[0]} is faster.",
        f"Difference: the largest one of the output from that of {report.sides[0]} under the same "
        f"weights and inputs, as a part of the output's range ({TRAIN}: of each loss of the first "
        f"step, as a part of it). A warning tells of more than {bounds}.",
        "GFLOP: of the program as XLA counts it before it optimises; the same number serves all "
        "sides. Share of peak: against the best large square matrix product in the same precision "
        f"on the same device and in the same framework, measured here: {_peaks(report)}.",
        "Memory, weights and inputs included: XLA's plan of arguments, outputs and temporaries for "
        "JAX; the most that was allocated during a call for PyTorch on a GPU. Compile: lowering "
        "and compiling without a cache for JAX, the first call for torch.compile; it is in no "
        "other number.",
        *report.notes,
        *(() if report.end_to_end is None else (report.end_to_end.caption(),)),
        *(f"WARNING: {line}" for line in report.warnings),
        *_failures(report),
        _environment(report.about),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _peaks(report: Report) -> str:
    return "; ".join(
        f"{name} " + ", ".join(f"{value / 1e9:.0f} GFLOP/s in {p}" for p, value in rates.items())
        for name, rates in report.peaks.items()
    )


def _failures(report: Report) -> list[str]:
    return [
        f"{result.case}, {name}: {side.reason}"
        for result in report.results
        for name, side in result.sides.items()
        if isinstance(side, Failure)
    ]


def _environment(about: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    rest = "; ".join(
        f"{name.replace('_', ' ')}: {value if value is not None else 'unknown'}"
        for name, value in about.items()
        if name != "versions"
    )
    return f"{rest}\n- {versions}"


def _case(result: Result) -> list[str]:
    return [result.case.task, str(result.case.batch), result.case.precision]


def _time(side: Measured | Failure | None) -> str:
    if side is None:
        return NONE
    if isinstance(side, Failure):
        return "out of memory" if side.out_of_memory else "failed"
    ms = 1e3 * side.timing.median
    digits = max(0, 2 - math.floor(math.log10(ms))) if ms > 0 else 0
    return f"{ms:.{min(digits, 3)}f} ±{side.timing.spread:.0%}"


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else form.format(value)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """A Markdown table that also reads well as text; columns behind `left` are right-aligned."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if i < left else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return "\n".join([line(header), line(rule), *(line(row) for row in rows)])
