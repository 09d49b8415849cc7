"""The subject "model" of jaxgesture evaluate: a trained model in, videos and a report out."""

import dataclasses
import pathlib
from typing import TYPE_CHECKING

import numpy as np
from absl import flags as absl_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import UserError

if TYPE_CHECKING:
    from jaxgesture.animation.model import Animation
    from jaxgesture.data.datasets import ClipInfo, FrameDataset
    from jaxgesture.evaluation.lpips import Lpips
    from jaxgesture.motion.model import Motion

_CHOICES = {"guidance": float, "candidates": int, "selection": str, "steps": int, "sampler": str}
_WITHOUT = {
    "Generation": "a motion model: --model=STAGE1,STAGE2 generates for held-out speech too",
}


def run(values: absl_flags.FlagValues, lpips: "Lpips | None") -> None:
    """Makes videos of held-out clips with the models of --model, and evaluates them."""
    from tqdm import tqdm

    from jaxgesture.animation.model import load_animation
    from jaxgesture.cli import evaluate_videos
    from jaxgesture.data.datasets import FrameDataset
    from jaxgesture.generation import held_out_videos
    from jaxgesture.motion.model import check_seed, load_motion

    data = flags.required(values, "data", "name the dataset made by jaxgesture prepare")
    out = evaluate_videos.folder_of(values)
    if not 1 <= len(values.model) <= 2 or not all(values.model):
        raise UserError("--model takes stage 1, or stage 1 and stage 2 with a comma between them")
    check_seed(values.seed)
    options = {name: _one(values, name, kind) for name, kind in _CHOICES.items()}
    tools = evaluate_videos.make_tools(values, lpips)
    animation = load_animation(values.model[0])
    dataset = FrameDataset(data, size=animation.size)
    motion = None
    if len(values.model) == 2:
        motion = load_motion(values.model[1])
        for name, ours, theirs in (
            ("feature_size", motion.feature_size, animation.feature_size),
            ("audio_size", motion.audio_size, dataset.audio_size),
            ("audio features", motion.features, dataset.features),
        ):
            if ours != theirs:
                raise UserError(
                    f"{values.model[1]} has {name} {ours!r}, the rest {theirs!r}; give the two "
                    "stages of one model, and a dataset with its audio features"
                )
        motion.batch(1, **options)  # what it refuses it refuses before the work begins
    clips = _clips(dataset, values.split, values.clips, motion is not None)
    videos = None if values.videos is None else pathlib.Path(values.videos).expanduser()
    if videos is not None and not videos.is_dir():
        raise UserError(f"--videos={videos} is no folder; name the one that was prepared")
    making = held_out_videos.Making(animation, motion, dataset, clips, videos, values.seed, options)
    with tqdm(total=len(clips) * len(making.sets()), desc="make videos", unit="video") as bar:

        def tick(name: str) -> None:
            bar.set_postfix_str(name[-32:], refresh=False)
            bar.update()

        folders = held_out_videos.make_videos(making, out / "videos", tick)
    systems = {n: str(f) for n, f in folders.items() if n != held_out_videos.TRUE}
    report = evaluate_videos.compare(
        systems, str(folders[held_out_videos.TRUE]), tools, lpips,
        {
            "dataset": {"data": str(dataset.directory), "sha256": dataset.sha256},
            "split": values.split,
            "weights": _hashes(animation, motion),
            "landmarks": "of the synthetic presenter exact in true frames, in drawn ones read by "
            "ridge regression, hands always; of others boxes in true frames alone",
            "sampling": {**options, "seed": values.seed},
        },
    )  # fmt: skip
    missing = {**report.missing, **(_WITHOUT if motion is None else {})}
    if motion is not None and held_out_videos.OTHER not in making.sets():
        missing["Motion for other speech"] = "two held-out clips or more"
    evaluate_videos.write(dataclasses.replace(report, missing=missing), out)


def _hashes(animation: "Animation", motion: "Motion | None") -> dict[str, str]:
    from jaxgesture.core import tree

    found = {"stage 1": animation.sha256}
    return found if motion is None else {**found, "stage 2": tree.sha256(motion.variables)}


def _one(values: absl_flags.FlagValues, name: str, kind: type):
    given = values[name].value or []
    if len(given) != 1:
        raise UserError(f"--{name} has {len(given)} values; evaluate model takes one")
    try:
        return kind(given[0])
    except ValueError as error:
        raise UserError(f"--{name}={given[0]}: {error}") from error


def _clips(dataset: "FrameDataset", split: str, count: int, need_audio: bool) -> "list[ClipInfo]":
    usable = [clip for clip in dataset.clips(split, need_audio=need_audio) if clip.frames > 1]
    if not usable or count < 1:
        what = "with sound " if need_audio else ""
        raise UserError(
            f"{dataset.directory} has {len(usable)} {split!r} clips {what}of two frames or more, "
            f"and --clips={count} of them are asked for; at least one is needed"
        )
    rows = np.unique(np.linspace(0, len(usable) - 1, min(count, len(usable))).round().astype(int))
    return [usable[row] for row in rows]
