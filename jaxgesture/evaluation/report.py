"""A table of reconstruction with the protocol that its numbers hang on, as Markdown and JSON."""

import dataclasses
from collections.abc import Mapping

from jaxgesture.core import strict_json
from jaxgesture.evaluation import regions
from jaxgesture.evaluation.comparison import Scores, rows

FORMATS = {"psnr": "{:.2f}", "ssim": "{:.3f}", "lpips": "{:.3f}"}
NONE = "-"
MEANS = "over the frames of a clip, then over clips"


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What the numbers hang on besides the models.

    Attributes:
      data: the dataset's folder.
      dataset_sha256: its fingerprint.
      split: the clips that were judged.
      clips: their number.
      frames: driving frames in all.
      size: side of the frames in pixels.
      lpips: network, weights and hashes; empty where LPIPS is left out.
      weights: model -> hash of its weights.
      versions: package -> version.
      commit: of this program's clone; None where it is none.
    """

    data: str
    dataset_sha256: str
    split: str
    clips: int
    frames: int
    size: int
    lpips: str
    weights: Mapping[str, str]
    versions: Mapping[str, str]
    commit: str | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """The averages of models on the same clips, by name, and their protocol."""

    models: Mapping[str, Mapping[str, Scores]]
    protocol: Protocol


def markdown(report: Report) -> str:
    """The table and its caption."""
    table, metrics = rows(report.models), _metrics(report)
    titles = " / ".join(name.upper() for name in metrics)
    lines = ["| | " + " | ".join(f"{region}: {titles}" for region in regions.REGIONS) + " |"]
    lines.append("|---" * (len(regions.REGIONS) + 1) + "|")
    for label, values in table.items():
        cells = [_cell(values[region], metrics) for region in regions.REGIONS]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join((*lines, "", *(f"- {line}" for line in _caption(report)))) + "\n"


def to_json(report: Report) -> str:
    """The table in full precision, counts and protocol; infinite values are "inf"."""
    found = {
        "rows": rows(report.models),
        "pictures": {region: s.used for region, s in _first(report).items()},
        "boxes_absent": {region: s.absent for region, s in _first(report).items()},
        "crop": regions.RULE,
        "means": MEANS,
        "protocol": dataclasses.asdict(report.protocol),
    }
    return strict_json.dumps(found)


def _first(report: Report) -> Mapping[str, Scores]:
    return next(iter(report.models.values()))


def _metrics(report: Report) -> list[str]:
    return [name for name in FORMATS if name != "lpips" or report.protocol.lpips]


def _cell(values: Mapping[str, float], metrics: list[str]) -> str:
    return " / ".join(FORMATS[name].format(values[name]) for name in metrics) if values else NONE


def _caption(report: Report) -> list[str]:
    protocol = report.protocol
    boxes = [
        f"{scores.absent} of {scores.absent + scores.used} {region} boxes"
        for region, scores in _first(report).items()
        if regions.REGIONS[region]
    ]
    hashes = "; ".join(f"{name} sha256 {value}" for name, value in protocol.weights.items())
    versions = ", ".join(f"{name} {version}" for name, version in protocol.versions.items())
    return [
        f"{protocol.clips} clips of split {protocol.split} of {protocol.data} (sha256 "
        f"{protocol.dataset_sha256}), {protocol.frames} driving frames of {protocol.size} x "
        f"{protocol.size} pixels; means {MEANS}.",
        "PSNR in dB and SSIM (Gaussian window of 11, sigma 1.5) of values in [0, 1]. "
        f"{protocol.lpips or 'LPIPS is left out, because no weights were given'}.",
        f"Boxes: {regions.RULE}. Not there, and left out: {', '.join(boxes)}. full: the frames as "
        "they are.",
        "The training part is that of the same file where there is one, else the clip itself.",
        f"Weights: {hashes}.",
        f"Measured at commit {protocol.commit or 'unknown'} with {versions}.",
    ]
