"""The demo's pictures and its page."""

import html
import pathlib
import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgesture.core.pixels import to_pixels
from jaxgesture.data.presenter import Presentation
from jaxgesture.evaluation import plots
from jaxgesture.evaluation.reconstruction import Reconstruction

COLUMNS = 8


def generation_strip(
    source: np.ndarray, play: Presentation, generated: np.ndarray, path: pathlib.Path
) -> None:
    """Source, true and generated frames at the same moments of the speech."""
    moments = np.linspace(10, len(generated) - 10, COLUMNS).round().astype(int)
    plots.labelled_rows(
        {
            "source\n(the only picture\nthe models see)": [source],
            "the presenter's\nown performance": [play.frame(int(i)) for i in moments],
            "generated from\nthe sound alone": [generated[i] for i in moments],
        },
        path,
    )


def reconstruction_strip(items: Mapping[str, Reconstruction], path: pathlib.Path) -> None:
    """Driving frames and what the base model redraws from the source."""
    rows = {}
    for name, item in items.items():
        picks = np.linspace(0, len(item.clip.frames) - 1, COLUMNS - 1).round().astype(int)
        rows[f"{name}:\nsource, driving"] = [item.clip.source, *item.clip.frames[picks]]
        rows[f"{name}:\nredrawn"] = [item.clip.source, *to_pixels(item.generated[picks])]
    plots.labelled_rows(rows, path)


def loss_curves(stage: str, lines: Sequence[Mapping[str, Any]], path: pathlib.Path) -> None:
    """Loss and what shows learning, against the step."""
    if stage == "stage1":
        panels = {
            "training loss": {
                "train/loss_pixel_1": "absolute difference",
                "train/loss_motion": "where the frames differ",
            },
            "decoded motion": {"train/loss_read_out": "share of the change it does not tell"},
            "held-out PSNR, dB": {
                "eval/psnr": "true driving frame",
                "eval/psnr_wrong_driving": "wrong driving frame",
                "eval/psnr_mean_frame": "mean frame",
                "eval/psnr_source_unchanged": "source unchanged",
            },
        }
    else:
        panels = {
            "training loss": {
                "train/loss": "loss",
                "train/position": "position",
                "train/velocity": "velocity",
                "train/acceleration": "acceleration",
            },
            "held-out loss": {"eval/loss": "with audio", "eval/loss_without_audio": "without"},
        }
    plots.curves(lines, panels, path, log=("training loss",))


def tables(results: Mapping[str, float]) -> str:
    """The measured numbers as HTML rows."""
    rows = []
    for group, label in (
        ("stage1", "all held-out clips"),
        ("stage1_known_speakers", "new clips of trained speakers"),
        ("stage1_new_speakers", "speakers never seen"),
    ):
        names = (
            "psnr", "psnr_source_unchanged", "psnr_own_mean_frame", "psnr_wrong_driving",
            "above_own_mean_frame", "above_wrong_driving",
        )  # fmt: skip
        cells = "".join(f"<td>{results[f'{group}/{name}']:.2f}</td>" for name in names)
        rows.append(f"<tr><td>{label}</td>{cells}</tr>")
    return "\n".join(rows)


def write(out: pathlib.Path, record: Mapping[str, Any]) -> None:
    """Writes `index.html`, which shows everything the demo made."""
    results = record["results"]
    template = (pathlib.Path(__file__).with_name("page.html")).read_text()
    times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in record["seconds"].items())
    text = string.Template(template).substitute(
        stage1_rows=tables(results),
        mouth_own=f"{results['stage2/mouth_own_speech']:.2f}",
        mouth_other=f"{results['stage2/mouth_other_speech']:.2f}",
        mouth_margin=f"{results['stage2/mouth_margin']:.2f}",
        true_own=f"{results['stage2/true_mouth_own_speech']:.2f}",
        true_other=f"{results['stage2/true_mouth_other_speech']:.2f}",
        command=html.escape(record.get("command", "jaxgesture demo")),
        times=html.escape(times),
    )
    temporary = out / ".index.html.tmp"
    temporary.write_text(text)
    temporary.replace(out / "index.html")
