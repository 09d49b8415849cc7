"""Trains the base model: data, step and evaluation joined for the loop."""

import dataclasses
import functools
import os
import warnings
from typing import Any

import jax
import numpy as np
import optax

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.animation.losses import LossConfig
from jaxgesture.animation.model import STAGE, Animation
from jaxgesture.animation.step import GENERATOR, as_image, make_init, make_step
from jaxgesture.core import config as configuration
from jaxgesture.core import loop
from jaxgesture.core.checkpoint import CheckpointConfig
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.metrics import MetricWriter
from jaxgesture.core.optim import OptimConfig, free_keys, make_optimizer
from jaxgesture.core.sharding import MeshConfig
from jaxgesture.core.state import TrainState
from jaxgesture.data import batches, pipeline
from jaxgesture.data.augment import AugmentConfig
from jaxgesture.data.datasets import ClipInfo, FrameDataset
from jaxgesture.evaluation import reconstruction


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What the base model is trained on.

    Attributes:
      directory: a dataset made by `jaxgesture prepare`.
      batch_size: pairs of frames per step, over all devices.
      seed: of the order and the augmentation.
      source: "random", any frame of the clip as source, or "first".
      workers: processes that read ahead; 0 reads with threads.
      augment: random changes, the same for both frames of a pair.
    """

    directory: str = ""
    batch_size: int = 20
    seed: int = 0
    source: str = "random"
    workers: int = 0
    augment: AugmentConfig = AugmentConfig()


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """How the base model is judged while it trains.

    Attributes:
      split: the clips it is judged on.
      clips: at most so many of them.
      frames: driving frames per clip, evenly spread.
      strips: clips that are drawn as pictures.
    """

    split: str = "validation"
    clips: int = 8
    frames: int = 50
    strips: int = 2


SECTIONS = {
    "data": DataConfig,
    "model": AnimationConfig,
    "loss": LossConfig,
    "optim": OptimConfig,
    "train": loop.TrainConfig,
    "checkpoint": CheckpointConfig,
    "eval": EvalConfig,
    "mesh": MeshConfig,
}


def evaluation_clip(dataset: FrameDataset, clip: ClipInfo, frames: int) -> reconstruction.Clip:
    """A clip with its controls.

    Source and mean frame come from the training part of the same file where there is one; a clip
    of its own lends its first frame and its own mean.
    """
    part = [
        other
        for other in (dataset.clips("train") if clip.split != "train" else ())
        if other.source == clip.source
    ]
    reference = part[0] if part else clip
    first = 0 if part else 1  # never the source itself
    count = min(frames, clip.frames - first)
    picks = np.unique(np.linspace(first, clip.frames - 1, max(count, 1)).round().astype(int))
    images = np.stack([dataset.frame(clip, int(i)) for i in picks])
    if part:
        spread = np.unique(np.linspace(0, reference.frames - 1, 200).round().astype(int))
        mean = np.stack([dataset.frame(reference, int(i)) for i in spread])
    else:
        mean = dataset.frames(clip)
    return reconstruction.Clip(
        dataset.frame(reference, 0), images, mean.mean(0, dtype=np.float64) / 255.0
    )


def redraw(animation: Animation, source: np.ndarray, driving: np.ndarray, batch: int = 16):
    """Driving frames uint8 (t, h, w, 3) redrawn from one source image uint8 (h, w, 3)."""
    code = animation.encode_source(as_image(source))
    images = []
    for part, count in batches.filled(driving, batch):
        features = animation.extract_motion(as_image(part))
        images.append(np.asarray(animation.animate(code, features))[:count])
    return np.concatenate(images)


def evaluate(
    animation: Animation, dataset: FrameDataset, config: EvalConfig
) -> list[reconstruction.Reconstruction]:
    """Redraws the validation clips."""
    clips = [clip for clip in dataset.clips(config.split) if clip.frames > 1]
    picks = np.unique(np.linspace(0, len(clips) - 1, min(config.clips, len(clips))).astype(int))
    return [
        reconstruction.reconstruct(
            functools.partial(redraw, animation),
            evaluation_clip(dataset, clips[int(i)], config.frames),
        )
        for i in picks
    ]


def make_optimizers(
    optim: OptimConfig, opening_steps: int, steps: int
) -> tuple[optax.GradientTransformation, optax.GradientTransformation | None]:
    """The optimisers of the training and of its opening, None without one.

    Each has a schedule of its own, over its own steps. The opening warms up for at most half its
    length and knows no boundaries.

    Args:
      optim: the configuration of both.
      opening_steps: `loss.read_out_steps`.
      steps: of the whole training, `train.steps`.

    Raises:
      UserError: if the opening, or the warm-up after it, leaves no steps.
    """
    warmup = optim.warmup_steps if optim.schedule == "cosine" else 0
    if opening_steps and opening_steps + warmup >= steps:
        raise UserError(
            f"loss.read_out_steps={opening_steps} and a warm-up of {warmup} steps leave nothing of "
            f"train.steps={steps}; train longer, or set --config.loss.read_out_steps and "
            "--config.optim.warmup_steps to less"
        )
    optimizer = make_optimizer(optim, steps - opening_steps)
    if not opening_steps:
        return optimizer, None
    own = dataclasses.replace(
        optim,
        schedule="constant" if optim.schedule == "step" else optim.schedule,
        warmup_steps=min(optim.warmup_steps, opening_steps // 2),
    )
    return optimizer, make_optimizer(own, opening_steps)


def train(
    config: Any, workdir: str | os.PathLike, *, time_limit_s: float | None = None
) -> TrainState:
    """Trains, or goes on training, the base model in a work directory.

    Args:
      config: sections `data model loss optim train checkpoint eval mesh`, as `configs/stage1.py`
        makes them.
      workdir: gets checkpoints, metrics, pictures.
      time_limit_s: stop, save and evaluate after this many seconds.

    Raises:
      UserError: for a misspelt key, missing data, or a workdir of another configuration.
    """
    configuration.check_sections(config, SECTIONS)
    built: dict[str, Any] = {
        name: configuration.build(cls, config[name], name=name) for name, cls in SECTIONS.items()
    }
    data, model, optim, steps = built["data"], built["model"], built["optim"], built["train"]
    if not data.directory:
        raise UserError(
            "data.directory is empty; prepare a dataset with `jaxgesture prepare` and give it as "
            "--config.data.directory=DIR"
        )
    dataset = FrameDataset(data.directory, size=model.size)
    stream = pipeline.pairs(
        dataset,
        split="train",
        batch_size=data.batch_size,
        seed=data.seed,
        augment=data.augment,
        source=data.source,
        workers=data.workers,
        process=(jax.process_index(), jax.process_count()),
    )
    loss, ema_decay = built["loss"], optim.ema_decay or None
    optimizer, opening = make_optimizers(optim, loss.read_out_steps, steps.steps)
    average: dict[str, Any] = {"ema_decay": ema_decay, "ema_warmup": optim.ema_warmup}

    def judge(state: TrainState, step: int, writer: MetricWriter) -> dict[str, float]:
        generator = state.networks[GENERATOR]
        params = generator.params if generator.ema is None else generator.ema
        animation = Animation(model, {"params": params, "batch_stats": generator.stats})
        results = evaluate(animation, dataset, built["eval"])
        for i, item in enumerate(results[: built["eval"].strips]):
            writer.image(step, f"reconstruction_{i}", reconstruction.strip(item))
        return reconstruction.mean_scores(results)

    judged = built["eval"].split
    can_judge = judged in dataset.splits and any(c.frames > 1 for c in dataset.clips(judged))
    if not can_judge:
        warnings.warn(
            f"{data.directory} has no {judged!r} clips of two frames: nothing is evaluated",
            DataWarning,
            stacklevel=2,
        )
    stage = loop.Stage(
        name=STAGE,
        init=make_init(model, optimizer, ema=ema_decay is not None, read_out=loss.read_out > 0),
        step=make_step(model, loss, optimizer, **average),
        opening=make_step(model, loss, opening, **average, redraws=False) if opening else None,
        opening_steps=loss.read_out_steps,
        evaluate=judge if can_judge else None,
        meta={
            "config": {name: configuration.section(value) for name, value in built.items()},
            "dataset_sha256": dataset.sha256,
        },
    )
    return loop.run(
        stage,
        stream,
        workdir,
        steps,
        built["checkpoint"],
        built["mesh"],
        time_limit_s=time_limit_s,
        free=free_keys(optim),
    )
