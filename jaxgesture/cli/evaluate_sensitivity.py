"""The subject "metrics" of jaxgesture evaluate: which metric sees which damage."""

from typing import TYPE_CHECKING

from absl import flags as absl_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import UserError

if TYPE_CHECKING:
    from jaxgesture.evaluation.lpips import Lpips
    from jaxgesture.evaluation.video_summary import Summary

_IDENTITIES, _SECONDS = 4, 8.0


def run(values: absl_flags.FlagValues, lpips: "Lpips | None") -> None:
    """Damages clips of the presenter by grades, and measures them."""
    from tqdm import tqdm

    from jaxgesture.cli import evaluate_videos
    from jaxgesture.core import meta
    from jaxgesture.evaluation import sensitivity, video_scores, video_sets, video_summary
    from jaxgesture.generation import damaged

    out = evaluate_videos.folder_of(values)
    if values.clips < 4:
        raise UserError(f"--clips={values.clips} have no quarter to damage; give 4 or more")
    tools = evaluate_videos.make_tools(values, lpips)
    chosen = damaged.grades()
    with tqdm(total=values.clips * (len(chosen) + 1), desc="damage", unit="video") as bar:
        folders = damaged.write_clips(
            out / "videos", chosen, clips=values.clips, identities=_IDENTITIES, seconds=_SECONDS,
            size=values.size, tick=lambda name: bar.update(),
        )  # fmt: skip
    true = video_sets.find(folders[damaged.TRUE])
    sets = {"undamaged": true}
    sets |= {grade.folder: video_sets.find(folders[grade.folder]) for grade in chosen}
    with tqdm(total=values.clips, desc="evaluate", unit="clip") as bar:
        measured = video_scores.measure(sets, true, tools, lambda name: bar.update())
    summary = video_summary.summarise(measured)
    rows = [
        sensitivity.Grade(grade.damage, grade.amount, _values(summary, grade.folder))
        for grade in chosen
    ]
    begin = _values(summary, "undamaged")
    labels = [network.label for network in tools.features.values()]
    labels += [lpips.label] if lpips is not None else []
    versions = ", ".join(f"{name} {version}" for name, version in meta.versions().items())
    caption = [
        f"{values.clips} clips of {_SECONDS:g} s by {_IDENTITIES} presenters at {values.size} "
        f"pixels, {values.frames} pictures and {values.fvd_windows} FVD windows of each; landmarks "
        "and beats are exact, and the first row is of the clips against themselves.",
        *(f"{label}." for label in labels),
        f"Measured at commit {meta.commit() or 'unknown'} with {versions}.",
    ]
    text = sensitivity.markdown(begin, rows, caption)
    print(text, end="")
    protocol = {"clips": values.clips, "size": values.size, "networks": labels,
                "versions": meta.versions(), "commit": meta.commit()}  # fmt: skip
    flags.write_outputs(
        {
            out / "metrics.md": text,
            out / "metrics.json": sensitivity.to_json(begin, rows, protocol),
        }
    )


def _values(summary: "Summary", label: str) -> dict[str, float]:
    from jaxgesture.evaluation.reconstruction import MODEL

    found = {name: score.value for name, score in summary.sets[label].items()}
    found |= {name: interval.mean for name, interval in summary.alignment[label].items()}
    found |= {name: interval.mean for name, interval in summary.landmarks[label].items()}
    regions = summary.pictures[label].get(MODEL, {})
    for region, metrics in regions.items():
        found |= {f"{metric} {region}": interval.mean for metric, interval in metrics.items()}
    return found
