"""Trains the motion diffusion model: data, step and evaluation joined for the loop."""

import dataclasses
import functools
import os
import warnings
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, Sharding

from jaxgesture.core import config as configuration
from jaxgesture.core import loop, rng
from jaxgesture.core.checkpoint import CheckpointConfig
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.metrics import MetricWriter
from jaxgesture.core.optim import OptimConfig, free_keys, make_optimizer
from jaxgesture.core.sharding import MeshConfig, replicated
from jaxgesture.core.stage import RunKeywords
from jaxgesture.core.state import TrainState
from jaxgesture.core.types import NumpyBatch
from jaxgesture.data import batches as batching
from jaxgesture.data import pipeline
from jaxgesture.data.datasets import MotionDataset
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.losses import MotionLossConfig, example_losses
from jaxgesture.motion.model import STAGE
from jaxgesture.motion.normalisation import make_statistics
from jaxgesture.motion.representation import to_motion
from jaxgesture.motion.schedule import DIFFUSION_STEPS
from jaxgesture.motion.step import (
    DENOISER,
    compare,
    make_init,
    make_step,
    predict,
    prepare,
)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What the motion model is trained on.

    Attributes:
      directory: a dataset made by `jaxgesture extract`.
      batch_size: segments per step, over all devices.
      seed: of the order and of the source frames.
      stride: a segment starts every so many frames of a clip; 10 are 0.4 s.
      reverse: share of the examples that run backwards, motion and rows of audio features alike,
        see `pipeline.segments`.
      workers: processes that read ahead; 0 reads with threads.
      weights_sha256: if given, features of other stage 1 weights are refused.
    """

    directory: str = ""
    batch_size: int = 64
    seed: int = 0
    stride: int = 10
    reverse: float = 0.0
    workers: int = 0
    weights_sha256: str = ""


@dataclasses.dataclass(frozen=True)
class MotionOptimConfig(OptimConfig):
    """As `OptimConfig`, with the defaults of S2G-MDDiffusion."""

    name: str = "adan"
    learning_rate: float = 1e-4
    b1: float = 0.02
    b2: float = 0.08
    b3: float = 0.01
    weight_decay: float = 0.02
    ema_decay: float = 0.9999


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """How the motion model is judged while it trains: its loss on fixed noise.

    Attributes:
      split: the clips it is judged on.
      segments: at most so many segments, without overlap.
      batch_size: segments at once.
      noise_levels: diffusion steps at which each segment is judged, evenly spread.
    """

    split: str = "validation"
    segments: int = 64
    batch_size: int = 16
    noise_levels: int = 4

    def __post_init__(self):
        for name in ("segments", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"eval.{name} is {getattr(self, name)}; choose 1 or more")
        if not 1 <= self.noise_levels <= DIFFUSION_STEPS:
            raise UserError(
                f"eval.noise_levels is {self.noise_levels}; choose 1 to {DIFFUSION_STEPS}"
            )


# Frames that are converted at once for the statistics.
_ROWS = 256

SECTIONS = {
    "data": DataConfig,
    "model": MotionConfig,
    "loss": MotionLossConfig,
    "optim": MotionOptimConfig,
    "train": loop.TrainConfig,
    "checkpoint": CheckpointConfig,
    "eval": EvalConfig,
    "mesh": MeshConfig,
}


def training_statistics(dataset: MotionDataset, config: MotionConfig) -> dict[str, np.ndarray]:
    """The normalisation of a dataset's training split.

    Raises:
      UserError: no training clip has sound, or the sizes do not fit the model.
    """
    if dataset.audio_mean is None or dataset.audio_std is None:
        raise UserError(
            f"{dataset.directory} has no training clip with sound; prepare clips that have some"
        )
    mean, std = dataset.motion_mean, dataset.motion_std
    if config.standardise and config.representation == "euler":
        mean, std = _represented_moments(dataset, config)
    return make_statistics(
        config, audio_mean=dataset.audio_mean, audio_std=dataset.audio_std,
        motion_mean=mean, motion_std=std,
    )  # fmt: skip


def _represented_moments(
    dataset: MotionDataset, config: MotionConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation over the training split after `to_motion`, in one pass."""
    # Clips are of any length: in parts of one size they need one program.
    represent = jax.jit(lambda rows: to_motion(rows, config))
    count, origin = 0, None
    total, squares = np.zeros((2, config.motion_size))
    for clip in dataset.clips("train"):
        for part, size in batching.filled(dataset.motion(clip), _ROWS):
            rows = np.asarray(represent(part), np.float64)[:size]
            # Measured from a row of their own the squares are small: little cancels.
            origin = rows[:1] if origin is None else origin
            total += (rows - origin).sum(axis=0)
            squares += np.square(rows - origin).sum(axis=0)
            count += size
    assert origin is not None  # a split that is there has a clip, and a clip has a frame
    shift = total / count
    return origin[0] + shift, np.sqrt(np.maximum(squares / count - np.square(shift), 0))


@functools.cache
def _make_judge(config: MotionConfig, loss: MotionLossConfig, everywhere: Sharding):
    """Per-example losses of a batch at one noise level, with and without the audio.

    Every device gets them whole: a process can only read what its own devices hold.
    """

    def judge(params, stats, batch, number, t):
        inputs = prepare(config, stats, batch)
        size = len(inputs["motion"])
        steps = jnp.full((size,), t)
        key = rng.stream(jax.random.key(0), "validation")
        key = jax.random.fold_in(jax.random.fold_in(key, number), t)
        noise = jax.random.normal(key, inputs["motion"].shape)
        mask = batch["history_valid"] if config.history_frames else None

        def losses(keep):
            prediction = predict(
                config, params, inputs, steps, noise, keep=jnp.full((size,), keep),
                history_mask=mask,
            )  # fmt: skip
            return example_losses(compare(prediction, inputs, mask), loss)

        return {**losses(True), "loss_without_audio": losses(False)["loss"]}

    return jax.jit(judge, out_shardings=everywhere)


def validation_loss(
    config: MotionConfig,
    loss: MotionLossConfig,
    params: Any,
    stats: Any,
    batches: list[NumpyBatch],
    noise_levels: int = 4,
) -> dict[str, float]:
    """Mean losses on fixed noise at evenly spread diffusion steps, and each step's total.

    "loss_without_audio" is the total with the null condition: the gap to "loss" is what the audio
    tells the model.

    Args:
      config: of the network.
      loss: weights of the parts.
      params: the network's parameters, on one device or on a mesh.
      stats: the normalisation.
      batches: raw features with "valid" (b,), False for rows that do not count; the same in every
        process.
      noise_levels: number of diffusion steps.
    """
    levels = ((np.arange(noise_levels) + 0.5) / noise_levels * DIFFUSION_STEPS).astype(np.int32)
    everywhere = jax.tree.leaves(params)[0].sharding
    if isinstance(everywhere, NamedSharding):
        everywhere = replicated(everywhere.mesh)  # pyright: ignore[reportArgumentType]
    judge = _make_judge(config, loss, everywhere)
    sums: dict[str, float] = {}
    count = sum(int(batch["valid"].sum()) for batch in batches)
    for number, batch in enumerate(batches):
        arrays = {
            name: jax.make_array_from_process_local_data(everywhere, value)
            for name, value in batch.items()
            if name != "valid"
        }
        judged = [judge(params, stats, arrays, np.int32(number), t) for t in levels]
        for t, values in zip(levels, jax.device_get(judged), strict=True):
            for name, rows in values.items():
                part = float((np.asarray(rows, np.float64) * batch["valid"]).sum()) / count
                sums[name] = sums.get(name, 0.0) + part / noise_levels
                if name == "loss":
                    sums[f"loss_t{t:03d}"] = sums.get(f"loss_t{t:03d}", 0.0) + part
    return sums


def train(config: Any, workdir: str | os.PathLike, **how: Unpack[RunKeywords]) -> TrainState:
    """Trains, or goes on training, the motion model in a work directory.

    Args:
      config: sections `data model loss optim train checkpoint eval mesh`, as `configs/stage2.py`
        makes them.
      workdir: gets checkpoints and metrics.
      **how: time_limit_s, profile and hooks, see `core.stage.RunKeywords`.

    Raises:
      UserError: for a misspelt key, missing data, sizes that are not the dataset's, or a workdir of
        another configuration.
    """
    configuration.check_sections(config, SECTIONS)
    built: dict[str, Any] = {
        name: configuration.build(cls, config[name], name=name) for name, cls in SECTIONS.items()
    }
    data, model, optim, steps = built["data"], built["model"], built["optim"], built["train"]
    judged = built["eval"]
    if not data.directory:
        raise UserError(
            "data.directory is empty; extract motion features with `jaxgesture extract` and give "
            "them as --config.data.directory=DIR"
        )
    dataset = MotionDataset(data.directory)
    if data.weights_sha256:
        dataset.require(weights_sha256=data.weights_sha256)
    for name in ("feature_size", "audio_size"):
        if getattr(model, name) != getattr(dataset, name):
            raise UserError(
                f"model.{name} is {getattr(model, name)}, the dataset's {getattr(dataset, name)}; "
                f"set --config.model.{name}={getattr(dataset, name)}"
            )
    shape = {"segment_frames": model.segment_frames, "history_frames": model.past_frames}
    batches = pipeline.segments(
        dataset,
        split="train",
        batch_size=data.batch_size,
        seed=data.seed,
        stride=data.stride,
        reverse=data.reverse,
        workers=data.workers,
        process=(jax.process_index(), jax.process_count()),
        **shape,
    )

    @functools.cache
    def validation() -> list[NumpyBatch]:
        ordered = pipeline.segments_in_order(
            dataset, split=judged.split, batch_size=judged.batch_size, limit=judged.segments,
            stride=model.segment_frames, **shape,
        )  # fmt: skip
        return list(ordered)

    def judge(state: TrainState, step: int, writer: MetricWriter) -> dict[str, float]:
        del step, writer
        network = state.networks[DENOISER]
        return validation_loss(
            model, built["loss"], network.eval_params, network.stats, validation(),
            judged.noise_levels,
        )  # fmt: skip

    optimizer = make_optimizer(optim, steps.steps)
    ema_decay = optim.ema_decay or None
    batching.check_judged(judged.split, {clip.split for clip in dataset.clips()})
    statistics = training_statistics(dataset, model)
    can_judge = any(
        clip.split == judged.split and clip.frames >= model.segment_frames
        for clip in dataset.clips(need_audio=True)
    )
    if not can_judge:
        warnings.warn(
            f"{data.directory} has no {judged.split!r} clip with sound of {model.segment_frames} "
            "frames: nothing is evaluated",
            DataWarning,
            stacklevel=2,
        )
    stage = loop.Stage(
        name=STAGE,
        init=make_init(model, optimizer, statistics, ema=ema_decay is not None),
        step=make_step(
            model,
            built["loss"],
            optimizer,
            ema_decay=ema_decay,
            ema_warmup=optim.ema_warmup,
            accumulate=optim.accumulate,
        ),  # fmt: skip
        evaluate=judge if can_judge else None,
        defaults=configuration.defaults(SECTIONS),
        meta={
            "config": {name: configuration.section(value) for name, value in built.items()},
            "dataset_sha256": dataset.sha256,
            "features": dataset.features,
            "weights_sha256": dataset.weights_sha256,
        },
    )
    return loop.run(
        stage,
        batches,
        workdir,
        steps,
        built["checkpoint"],
        built["mesh"],
        free=free_keys(optim),
        **how,
    )
