"""The report on sets of videos: Markdown in the layout of the paper's tables, and JSON."""

import dataclasses
import html
from collections.abc import Mapping, Sequence
from typing import Any

from jaxgesture.core import strict_json
from jaxgesture.data import pose_vectors
from jaxgesture.evaluation import clip_scores, published, regions
from jaxgesture.evaluation.clip_scores import Measured
from jaxgesture.evaluation.video_summary import Summary, clip_values, summarise
from jaxgesture.evaluation.video_tables import SETS, published_tables, tables

# Of the protocol, where videos were made by a model.
_ABOUT = ("dataset", "split", "weights", "sampling", "landmarks")


@dataclasses.dataclass(frozen=True)
class VideoReport:
    """Everything that is written.

    Attributes:
      measured: what the numbers are of.
      summary: the numbers.
      missing: metric -> what to supply, of those that were not computed.
      protocol: what the numbers hang on, JSON values.
      labels: network behind a metric, a line each.
    """

    measured: Measured
    summary: Summary
    missing: Mapping[str, str]
    protocol: Mapping[str, Any]
    labels: Sequence[str]


def make(
    measured: Measured, missing: Mapping[str, str], protocol: Mapping[str, Any],
    labels: Sequence[str],
) -> VideoReport:  # fmt: skip
    """A report of what was measured."""
    return VideoReport(measured, summarise(measured), missing, protocol, labels)


def markdown(report: VideoReport) -> str:
    """The whole report as text."""
    parts = ["# Evaluation"]
    for table in (*tables(report.summary), *published_tables()):
        parts.append(f"## {table.title}")
        heads = _line(table.columns) + "\n" + "|---" * len(table.columns) + "|"
        parts.append("\n".join([heads, *map(_line, table.rows)]))
        if table.notes:
            parts.append(_listed(table.notes))
    if report.missing:
        lines = [f"{metric}: {why}" for metric, why in report.missing.items()]
        parts.append(f"## Not computed\n\n{_listed(lines)}")
    if report.measured.problems:
        parts.append(f"## What was left out or changed\n\n{_listed(problems(report))}")
    parts.append(f"## Protocol\n\n{_listed(caption(report))}")
    return "\n\n".join(parts) + "\n"


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {html.escape(line, quote=False)}" for line in lines)


def _line(cells: Sequence[str]) -> str:
    escaped = (html.escape(cell, quote=False).replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(escaped) + " |"


def problems(report: VideoReport, most: int = 40) -> list[str]:
    """A line for each problem, with its number; after `most` the others are counted."""
    lines = [
        text + (f" ({count} times)" if count > 1 else "")
        for text, count in report.measured.problems.items()
    ]
    if len(lines) > most:
        lines = [*lines[:most], f"and {len(lines) - most} more: all are in report.json"]
    return lines


def to_json(report: VideoReport) -> str:
    """All numbers in full precision, of every clip too."""
    summary = report.summary
    found = {
        "sets": _plain(summary.sets),
        "alignment": _plain(summary.alignment),
        "alignment_other_speech": _plain(summary.other),
        "alignment_own_less_other": _plain(summary.gain),
        "pictures": _plain(summary.pictures),
        "boxes_absent_and_present": summary.absent,
        "landmarks": _plain(summary.landmarks),
        "speakers": _plain(summary.speakers),
        "clips": {
            label: {name: clip_values(clip) for name, clip in clips.items()}
            for label, clips in report.measured.systems.items()
        },
        "not_computed": dict(report.missing),
        "problems": dict(report.measured.problems),
        "seconds": report.measured.seconds,
        "networks": list(report.labels),
        "protocol": report.protocol,
        "published": {
            "generation": published.GENERATION,
            "reconstruction": published.RECONSTRUCTION,
        },
    }
    return strict_json.dumps(found)


def caption(report: VideoReport) -> list[str]:
    """What the numbers hang on, line by line."""
    protocol, summary = report.protocol, report.summary
    versions = ", ".join(f"{name} {version}" for name, version in protocol["versions"].items())
    sets = ", ".join(f"{label} {count}" for label, count in summary.clips.items())
    pairs = ", ".join(f"{label} {count}" for label, count in summary.pairs.items())
    spent = ", ".join(f"{name} {s:.1f} s" for name, s in report.measured.seconds.items())
    return [
        f"Clips: {sets}. Pairs with the reference: {pairs}.",
        f"Folders: {'; '.join(f'{name} {path}' for name, path in protocol['folders'].items())}.",
        f"Pictures: the largest square in the middle at {protocol['size']} x {protocol['size']} "
        f"pixels, {protocol['fps']:g} frames a second, at most {protocol['frames']} a clip, evenly "
        f"spread. Crops of hands and lips: {regions.RULE}.",
        "PSNR in dB and SSIM (Gaussian window of 11, sigma 1.5) of values in [0, 1].",
        *(f"{label}." for label in report.labels),
        *_windows(report),
        *(f"{name}: {_words(protocol[name])}." for name in _ABOUT if name in protocol),
        "Means are over clips, with 95 % bootstrap intervals over clips; Frechet distances and "
        "diversity with the standard error of a jackknife over ten groups of clips, the true ones "
        "held fixed.",
        f"Time: {spent}.",
        f"Measured at commit {protocol['commit'] or 'unknown'} with {versions}.",
    ]


def _windows(report: VideoReport) -> list[str]:
    """What Frechet distances and diversity are computed from."""
    lines = []
    for label, scores in report.summary.sets.items():
        parts = [f"{SETS[n]} {s.windows} windows of {s.clips} clips" for n, s in scores.items()]
        if parts:
            lines.append(f"{label}: {', '.join(parts)}.")
    if not lines:
        return []
    windows = report.protocol["fvd_windows"]
    return [
        f"FVD: at most {windows} windows of 16 frames of each clip, at {report.protocol['size']} "
        f"pixels first and then at 224. FGD: windows of {pose_vectors.WINDOW} frames every "
        f"{clip_scores.STRIDE}, poses at {pose_vectors.FPS:g} a second, motion features at their "
        "own rate.",
        *lines,
    ]


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return str(value)


def _plain(value: Any) -> Any:
    """Named tuples as dictionaries, all the way down."""
    if hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value
