"""Trains the base model: data, step and evaluation joined for the loop."""

import dataclasses
import functools
import os
import warnings
from collections.abc import Mapping
from typing import Any, Unpack

import jax
import numpy as np
import optax

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.animation.discriminator import DiscriminatorConfig
from jaxgesture.animation.losses import LossConfig, load_frozen
from jaxgesture.animation.model import STAGE, Animation
from jaxgesture.animation.step import (
    GENERATOR,
    Training,
    as_image,
    make_init,
    make_opening,
    make_step,
)
from jaxgesture.core import config as configuration
from jaxgesture.core import distributed, loop
from jaxgesture.core.checkpoint import CheckpointConfig
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.metrics import MetricWriter
from jaxgesture.core.optim import OptimConfig, free_keys, make_optimizer
from jaxgesture.core.sharding import MeshConfig
from jaxgesture.core.stage import RunKeywords
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
      augment_on: where they are made: "device", in the training step, or "host", by the processes
        that read. At 256 pixels a host core feeds three times as many pairs with "device"; the
        pictures are the same but for rounding.
    """

    directory: str = ""
    batch_size: int = 20
    seed: int = 0
    source: str = "random"
    workers: int = 0
    augment: AugmentConfig = AugmentConfig()
    augment_on: str = "device"


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
    "discriminator": DiscriminatorConfig,
    "optim": OptimConfig,
    "train": loop.TrainConfig,
    "checkpoint": CheckpointConfig,
    "eval": EvalConfig,
    "mesh": MeshConfig,
}


# What may change when a training goes on, beside what may in any stage.
_FREE = ("data.augment_on", "loss.perceptual_weights", "loss.local_weights")


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
        dataset.frame(reference, 0),
        images,
        mean.mean(0, dtype=np.float64) / 255.0,
        dataset.boxes(clip)[picks] if clip.has_boxes else None,
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


def discriminator_optimizer(
    optim: OptimConfig, loss: LossConfig, steps: int
) -> optax.GradientTransformation | None:
    """The discriminator's optimiser, None without an adversarial loss.

    It is the generator's at another rate, without warm-up, counting from the discriminator's first
    step; a "step" schedule keeps its boundaries where they are in the whole training.

    Args:
      optim: the generator's.
      loss: the weights.
      steps: of the whole training, `train.steps`.

    Raises:
      UserError: if the discriminator would never begin.
    """
    if not loss.adversarial:
        return None
    begins = loss.read_out_steps + loss.adversarial_start
    if begins >= steps:
        raise UserError(
            f"the adversarial loss would begin at step {begins} of train.steps={steps}: lower "
            "loss.adversarial_start, train longer, or set --config.loss.adversarial=0"
        )
    later = [boundary - loss.adversarial_start for boundary in optim.boundaries]
    passed = sum(boundary <= 0 for boundary in later) if optim.schedule == "step" else 0
    own = dataclasses.replace(
        optim,
        learning_rate=loss.discriminator_rate * optim.learning_rate * optim.decay_factor**passed,
        warmup_steps=0,
        boundaries=tuple(boundary for boundary in later if boundary > 0),
    )
    return make_optimizer(own, steps - begins)


def make_training(built: Mapping[str, Any]) -> Training:
    """What the training step is made of, from the sections of a configuration.

    Raises:
      UserError: if the steps do not suffice for opening, warm-up or discriminator.
    """
    optim, loss, steps = built["optim"], built["loss"], built["train"].steps
    loss.check_sizes(built["model"].size)
    optimizer, opening = make_optimizers(optim, loss.read_out_steps, steps)
    return Training(
        model=built["model"],
        loss=loss,
        optimizer=optimizer,
        opening_optimizer=opening,
        discriminator=built["discriminator"],
        discriminator_optimizer=discriminator_optimizer(optim, loss, steps),
        ema_decay=optim.ema_decay or None,
        ema_warmup=optim.ema_warmup,
        accumulate=optim.accumulate,
    )


def train(config: Any, workdir: str | os.PathLike, **how: Unpack[RunKeywords]) -> TrainState:
    """Trains, or goes on training, the base model in a work directory.

    Args:
      config: sections `data model loss discriminator optim train checkpoint eval mesh`, as
        `configs/stage1.py` makes them.
      workdir: gets checkpoints, metrics, pictures.
      **how: time_limit_s, profile and hooks, see `core.stage.RunKeywords`.

    Raises:
      UserError: for a misspelt key, missing data, or a workdir of another configuration.
    """
    configuration.check_sections(config, SECTIONS)
    built: dict[str, Any] = {
        name: configuration.build(cls, config[name], name=name) for name, cls in SECTIONS.items()
    }
    data, model, loss = built["data"], built["model"], built["loss"]
    if not data.directory:
        raise UserError(
            "data.directory is empty; prepare a dataset with `jaxgesture prepare` and give it as "
            "--config.data.directory=DIR"
        )
    training = make_training(built)
    frozen, about_frozen = load_frozen(loss)
    dataset = FrameDataset(data.directory, size=model.size)
    stream = pipeline.pairs(
        dataset,
        split="train",
        batch_size=data.batch_size,
        seed=data.seed,
        augment=data.augment,
        augment_on=data.augment_on,
        source=data.source,
        workers=data.workers,
        boxes=loss.looks_closer,
        process=(jax.process_index(), jax.process_count()),
    )

    def judge(state: TrainState, step: int, writer: MetricWriter) -> dict[str, float]:
        generator = state.networks[GENERATOR]
        # Every process draws all: one that only waited would be no faster.
        variables = {"params": generator.eval_params, "batch_stats": generator.stats}
        animation = Animation(model, distributed.here(variables))
        results = evaluate(animation, dataset, built["eval"])
        for i, item in enumerate(results[: built["eval"].strips]):
            writer.image(step, f"reconstruction_{i}", reconstruction.strip(item))
        return reconstruction.mean_scores(results)

    judged = built["eval"].split
    batches.check_judged(judged, dataset.splits)
    can_judge = judged in dataset.splits and any(c.frames > 1 for c in dataset.clips(judged))
    if not can_judge:
        warnings.warn(
            f"{data.directory} has no {judged!r} clips of two frames: nothing is evaluated",
            DataWarning,
            stacklevel=2,
        )
    stage = loop.Stage(
        name=STAGE,
        init=make_init(training),
        step=make_step(training),
        opening=make_opening(training),
        opening_steps=loss.read_out_steps,
        frozen=frozen or None,
        evaluate=judge if can_judge else None,
        defaults=configuration.defaults(SECTIONS),
        meta={
            "config": {name: configuration.section(value) for name, value in built.items()},
            "dataset_sha256": dataset.sha256,
            **about_frozen,
        },
    )
    return loop.run(
        stage,
        stream,
        workdir,
        built["train"],
        built["checkpoint"],
        built["mesh"],
        free=(*free_keys(built["optim"]), *_FREE),
        **how,
    )
