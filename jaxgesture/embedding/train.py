"""Trains the autoencoder of poses: data, step and evaluation joined for the loop.

    loss = mean |decoded - window|

over all numbers of all frames, as the autoencoder of Yoon et al. 2020 is judged; its code adds no
term for the distribution of features where the feature is a mean, and neither does this.
"""

import dataclasses
import os
import warnings
from collections.abc import Mapping
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgesture.core import config as configuration
from jaxgesture.core import distributed, loop
from jaxgesture.core.checkpoint import CheckpointConfig
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.metrics import MetricWriter
from jaxgesture.core.optim import OptimConfig, free_keys, make_optimizer
from jaxgesture.core.sharding import MeshConfig
from jaxgesture.core.stage import RunKeywords
from jaxgesture.core.state import TrainState, apply_gradients, create_network, create_state
from jaxgesture.core.types import Array, Batch, Metrics
from jaxgesture.data import batches as batching
from jaxgesture.data import pose_vectors
from jaxgesture.embedding.windows import TRAIN, VALIDATION, Windows, collect
from jaxgesture.perceptual.pose_autoencoder import (
    NETWORK,
    STAGE,
    PoseAutoencoderConfig,
    PoseAutoencoderNetwork,
)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What the autoencoder is trained on.

    Attributes:
      directory: a folder with landmarks files, or a dataset made by `jaxgesture extract`.
      batch_size: windows per step, over all devices.
      seed: of the order.
      stride: a window begins every so many frames.
      workers: processes that read ahead; 0 reads with threads.
    """

    directory: str = ""
    batch_size: int = 128
    seed: int = 0
    stride: int = 5
    workers: int = 0


@dataclasses.dataclass(frozen=True)
class PoseOptimConfig(OptimConfig):
    """As `OptimConfig`, with the learning rate of Yoon et al. 2020."""

    learning_rate: float = 5e-4


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """How the autoencoder is judged while it trains: its loss on held-out windows.

    Attributes:
      windows: at most so many, evenly spread.
    """

    windows: int = 1024

    def __post_init__(self):
        if self.windows < 1:
            raise UserError(f"eval.windows is {self.windows}; choose 1 or more")


SECTIONS = {
    "data": DataConfig,
    "model": PoseAutoencoderConfig,
    "optim": PoseOptimConfig,
    "train": loop.TrainConfig,
    "checkpoint": CheckpointConfig,
    "eval": EvalConfig,
    "mesh": MeshConfig,
}


def make_init(config: PoseAutoencoderConfig, optimizer: optax.GradientTransformation):
    """Returns `init(key) -> state`."""

    def init(key: Array) -> TrainState:
        windows = jnp.zeros((1, pose_vectors.WINDOW, config.channels))
        variables: Mapping[str, Any] = PoseAutoencoderNetwork(config).init(key, windows)
        stats = variables["batch_stats"]
        network = create_network(variables["params"], optimizer, stats=stats)
        return create_state(**{NETWORK: network})

    return init


def make_step(config: PoseAutoencoderConfig, optimizer: optax.GradientTransformation):
    """Returns `step(state, batch, key) -> (state, metrics)`; nothing in it is random."""
    model = PoseAutoencoderNetwork(config)

    def step(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        del key
        network, windows = state.networks[NETWORK], batch["window"]

        def objective(params):
            decoded, changed = model.apply(
                {"params": params, "batch_stats": network.stats}, windows, train=True,
                mutable=["batch_stats"],
            )  # fmt: skip
            return jnp.abs(decoded - windows).mean(), changed["batch_stats"]

        (loss, stats), grads = jax.value_and_grad(objective, has_aux=True)(network.params)
        new, _ = apply_gradients(network, grads, optimizer, stats=stats)
        metrics: Metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads)}
        return TrainState(state.step + 1, {NETWORK: new}), metrics

    return step


def held_out_loss(
    config: PoseAutoencoderConfig, variables: Any, windows: Windows, most: int
) -> dict[str, float]:
    """The loss on held-out windows, and that of their mean frame, which knows nothing.

    Args:
      config: sizes.
      variables: {"params", "batch_stats"}.
      windows: at least one.
      most: at most so many of them, evenly spread.
    """
    picks = np.unique(np.linspace(0, len(windows) - 1, min(most, len(windows))).astype(int))
    rng = np.random.default_rng(0)
    rows = np.stack([windows.example(int(pick), rng)["window"] for pick in picks])
    decoded = np.asarray(PoseAutoencoderNetwork(config).apply(variables, rows))
    mean = rows.mean(axis=(0, 1))
    return {
        "loss": float(np.abs(decoded - rows).mean()),
        "loss_of_mean": float(np.abs(mean - rows).mean()),
    }


def train(config: Any, workdir: str | os.PathLike, **how: Unpack[RunKeywords]) -> TrainState:
    """Trains, or goes on training, the autoencoder in a work directory.

    Args:
      config: sections `data model optim train checkpoint eval mesh`, as
        `configs/pose_autoencoder.py` makes them.
      workdir: gets checkpoints and metrics.
      **how: time_limit_s, profile and hooks, see `core.stage.RunKeywords`.

    Raises:
      UserError: for a misspelt key, missing data, another number of channels than the data's, or a
        workdir of another configuration.
    """
    configuration.check_sections(config, SECTIONS)
    built: dict[str, Any] = {
        name: configuration.build(cls, config[name], name=name) for name, cls in SECTIONS.items()
    }
    data, model, optim, steps = built["data"], built["model"], built["optim"], built["train"]
    collection = collect(data.directory, data.stride)
    if collection.channels != model.channels:
        raise UserError(
            f"model.channels is {model.channels}, {collection.kind} have {collection.channels}; "
            f"set --config.model.channels={collection.channels}"
        )
    batches = batching.endless(
        collection.splits[TRAIN], seed=data.seed, batch_size=data.batch_size,
        workers=data.workers, process=(jax.process_index(), jax.process_count()),
    )  # fmt: skip
    held_out = collection.splits[VALIDATION]
    if not len(held_out):
        warnings.warn(
            f"{data.directory} has no held-out clip of {pose_vectors.WINDOW} frames: nothing is "
            "evaluated; give more clips",
            DataWarning,
            stacklevel=2,
        )

    def judge(state: TrainState, step: int, writer: MetricWriter) -> dict[str, float]:
        del step, writer
        network = state.networks[NETWORK]
        variables = distributed.here({"params": network.params, "batch_stats": network.stats})
        return held_out_loss(model, variables, held_out, built["eval"].windows)

    if optim.accumulate != 1:
        raise UserError(
            f"optim.accumulate={optim.accumulate}: the autoencoder is small enough for whole "
            "batches; leave it at 1"
        )
    optimizer = make_optimizer(optim, steps.steps)
    stage = loop.Stage(
        name=STAGE,
        init=make_init(model, optimizer),
        step=make_step(model, optimizer),
        evaluate=judge if len(held_out) else None,
        defaults=configuration.defaults(SECTIONS),
        meta={
            "config": {name: configuration.section(value) for name, value in built.items()},
            "dataset_sha256": collection.sha256,
            "about": collection.about,
        },
    )
    return loop.run(
        stage, batches, workdir, steps, built["checkpoint"], built["mesh"],
        free=free_keys(optim), **how,
    )  # fmt: skip
