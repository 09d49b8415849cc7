"""What became of the input of `prepare`: used, left out and why, and counted warnings."""

import contextlib
import dataclasses
import pathlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data.frame_writer import ClipData, existing_frames, write_frames
from jaxgesture.data.frames import FrameDataset


@dataclasses.dataclass
class PrepareReport:
    """What became of the input.

    Attributes:
        out: the dataset's folder.
        kept: True if a finished dataset of the same arguments was there already.
        clips: clips of the dataset by split.
        seconds: length of the clips by split.
        boxes: clips that have boxes of the speaker's parts.
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

    def lines(self) -> list[str]:
        """The report as lines to print."""
        parts = [f"{n} {s} clips ({self.seconds[s]:.1f} s)" for s, n in self.clips.items()]
        head = f"{self.out}: {', '.join(parts)}"
        lines = [f"{head}; kept, it was made by the same command" if self.kept else head]
        total = sum(self.clips.values())
        lines.append(f"boxes of hands and face for {self.boxes} of {total} clips")
        lines += [f"skipped {name}: {reason}" for name, reason in self.skipped.items()]
        return lines + [f"warning: {text}" for text in self.warnings]


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
        report.warnings.append("no clip is for validation; --validation=last:4.0 makes some")


@contextlib.contextmanager
def collected_warnings(report: PrepareReport) -> Iterator[None]:
    """Puts `DataWarning`s into the report instead of printing them; others go on as usual."""
    shown = warnings.showwarning

    def show(message: Any, category: type[Warning], *args: Any, **kwargs: Any) -> None:
        if issubclass(category, DataWarning):
            report.warnings.append(str(message))
        else:
            shown(message, category, *args, **kwargs)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = show
        yield


def write(
    report: PrepareReport,
    clips: Iterable[ClipData],
    settings: Mapping[str, Any],
    arguments: Mapping[str, Any],
    total: int,
    progress: bool,
) -> None:
    """Writes the clips with a progress bar of `total` frames, and completes the report.

    Raises:
        UserError: no clip was usable; it names the reasons.
    """
    from tqdm import tqdm

    def skip(clip: ClipData, error: Exception) -> None:
        part = f"{clip.source} from {clip.start:g} s" if clip.start else clip.source
        report.skipped[part] = str(error)

    bar = tqdm(total=total, unit="frame", disable=not progress, desc=f"preparing {report.out}")
    with bar, collected_warnings(report):
        try:
            dataset = write_frames(
                report.out,
                clips,
                size=settings["size"],
                fps=settings["fps"],
                audio_size=settings["audio_size"],
                image_format=settings["image_format"],
                quality=settings["quality"] or 100,
                arguments=arguments,
                on_error=skip,
                progress=bar.update,
                report=lambda: {"skipped": report.skipped, "warnings": report.warnings},
            )
        except UserError as error:
            if not report.skipped:
                raise
            reasons = "; ".join(f"{name}: {why}" for name, why in report.skipped.items())
            raise UserError(f"{error} ({reasons})") from error
    _count(report, dataset)
