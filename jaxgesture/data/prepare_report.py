"""What became of the input of `prepare`: used, left out and why, and counted warnings."""

import dataclasses
import pathlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from jaxgesture.core.errors import UserError
from jaxgesture.data.frame_writer import existing_frames, write_frames
from jaxgesture.data.frames import FrameDataset
from jaxgesture.data.record_writer import CARD
from jaxgesture.data.spools import Job

# Lines of each kind that are printed.
_SHOWN = 40
# Reasons in an error, which is one line.
_REASONS = 5


@dataclasses.dataclass
class PrepareReport:
    """What became of the input.

    Attributes:
        out: the dataset's folder.
        kept: True if a finished dataset of the same arguments was there already.
        clips: clips of the dataset by split.
        seconds: length of the clips by split.
        boxes: clips that have boxes of the speaker's hands or face.
        used: the files that gave at least one clip.
        skipped: file, or part of a file, -> the reason why it was left out.
        warnings: what was usable only in part, counted.
    """

    out: pathlib.Path
    kept: bool = False
    clips: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    boxes: int = 0
    used: list[str] = dataclasses.field(default_factory=list)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def warn(self, text: str) -> None:
        """Adds a warning, once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def skip(self, name: str, reason: str) -> None:
        """Adds what is left out; a second reason of one name is put behind the first."""
        before = self.skipped.get(name)
        if before is None:
            self.skipped[name] = reason
        elif reason not in before:
            self.skipped[name] = f"{before}; {reason}"

    def lines(self) -> list[str]:
        """The report as lines to print."""
        parts = [f"{n} {s} clips ({self.seconds[s]:.1f} s)" for s, n in self.clips.items()]
        head = f"{self.out}: {', '.join(parts)}, of {len(self.used)} files"
        lines = [f"{head}; kept, it was made by the same command" if self.kept else head]
        total = sum(self.clips.values())
        boxes = f"boxes of hands and face for {self.boxes} of {total} clips"
        if self.boxes < total:
            boxes += "; the others have no local loss and no figures of hands and lips"
        lines.append(boxes)
        shown = list(self.skipped.items())[:_SHOWN]
        width = max((len(name) for name, _ in shown), default=0)
        lines += [f"skipped  {name:<{width}}  {why}" for name, why in shown]
        lines += [f"warning: {text}" for text in self.warnings[:_SHOWN]]
        more = len(self.skipped) + len(self.warnings) - (len(lines) - 2)
        if more:
            lines.append(f"... and {more} more of these: {self.out / CARD} has them all")
        return lines


def kept(report: PrepareReport, settings: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Whether the dataset is there already; then the report of its making is taken over."""
    dataset = existing_frames(report.out, settings, arguments)
    if dataset is None:
        return False
    report.kept = True
    report.skipped = dict(dataset.report["skipped"])
    report.warnings = list(dataset.report["warnings"])
    _count(report, dataset)
    return True


def _count(report: PrepareReport, dataset: FrameDataset) -> None:
    for split in dataset.splits:
        clips = dataset.clips(split)
        report.clips[split] = len(clips)
        report.seconds[split] = sum(clip.seconds for clip in clips)
    report.boxes = sum(clip.has_boxes for clip in dataset.clips())
    report.used = list(dict.fromkeys(clip.source for clip in dataset.clips()))
    if "validation" not in report.clips:
        report.warn("no clip is for validation; --validation=last:4.0 makes some")
    if "train" not in report.clips:
        report.warn("no clip is for training; --validation=last:4.0 leaves some of every video")


def write(
    report: PrepareReport,
    jobs: Sequence[Job],
    settings: Mapping[str, Any],
    arguments: Mapping[str, Any],
    total: int,
    progress: bool,
    workers: int = 0,
) -> None:
    """Writes what the jobs give with a progress bar of `total` frames; completes the report.

    Raises:
        UserError: no clip was usable; it names the reasons.
    """
    from tqdm import tqdm

    bar = tqdm(total=total, unit="frame", disable=not progress, desc=f"preparing {report.out}")
    with bar:
        try:
            dataset = write_frames(
                report.out,
                size=settings["size"],
                fps=settings["fps"],
                audio_size=settings["audio_size"],
                features=settings["features"],
                image_format=settings["image_format"],
                quality=settings["quality"] or 100,
                arguments=arguments,
                jobs=jobs,
                workers=workers,
                on_error=report.skip,
                on_warning=report.warn,
                progress=bar.update,
                report=lambda: {"skipped": report.skipped, "warnings": report.warnings},
                card={"command": shlex.join(sys.argv)},
            )
        except UserError as error:
            if not report.skipped or "no clip was usable" not in str(error):
                raise
            reasons = [f"{name}: {why}" for name, why in report.skipped.items()]
            more = f"; and {len(reasons) - _REASONS} more" if len(reasons) > _REASONS else ""
            raise UserError(f"{error} ({'; '.join(reasons[:_REASONS])}{more})") from error
    _count(report, dataset)
