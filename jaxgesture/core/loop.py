"""The training loop: what is trained, from where, until when.

A run is a pure function of its configuration: step k gets batch k and the key
`step_key(key(seed), k)`, so stopping and resuming changes nothing. The same command with the same
workdir resumes; the position in the data is the step.
"""

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgesture.core import (
    accelerators,
    checkpoint_files,
    distributed,
    meta,
    rng,
    sharding,
    tree,
)
from jaxgesture.core import workdir as workdirs
from jaxgesture.core.checkpoint import CheckpointConfig, Checkpoints
from jaxgesture.core.errors import UserError
from jaxgesture.core.feed import Feed
from jaxgesture.core.interrupt import StopRequests
from jaxgesture.core.metrics import MetricWriter
from jaxgesture.core.observe import Trace
from jaxgesture.core.runner import Runner
from jaxgesture.core.stage import Hook, Stage, TrainConfig
from jaxgesture.core.state import TrainState, abstract, initialize
from jaxgesture.core.types import NumpyBatch

# What may change between two runs in one workdir without making it another training.
FREE = ("train.steps", "train.log_every", "train.eval_every", "checkpoint", "eval", "mesh")


def run(
    stage: Stage,
    batches: Callable[[int], Iterator[NumpyBatch]],
    workdir: str | os.PathLike[str],
    train: TrainConfig,
    checkpoint: CheckpointConfig,
    mesh: sharding.MeshConfig,
    rules: Sequence[sharding.Rule] = (),
    time_limit_s: float | None = None,
    *,
    profile: str = "",
    hooks: Sequence[Hook] = (),
    free: Sequence[str] = FREE,
) -> TrainState:
    """Trains until `train.steps`, from the newest checkpoint of the workdir if it has one.

    Args:
        stage: the model.
        batches: gives the iterator that starts at a batch index; each item is this process's rows
            of the global batch. It is advanced in a thread.
        workdir: gets `checkpoints/`, `metrics.jsonl`, `tensorboard/` and `images/`.
        train: length and cadence.
        checkpoint: when to save; the last step is always saved.
        mesh: shape of the device mesh.
        rules: where single leaves of the state live (`sharding.state_shardings`).
        time_limit_s: stop, save and evaluate after this many seconds.
        profile: "N:M" traces steps N to M into `profile/`, see `observe.Trace`.
        hooks: called with (step, state, mean metrics) at every log step; they must not keep the
            state, whose buffers the next step takes over.
        free: sections or keys of `stage.meta["config"]` that may differ from the stored ones.

    Returns:
        The state after the last step.

    Raises:
        UserError: if the workdir belongs to another configuration or another run is at work in it,
            if processes were started differently, if the devices divide neither the mesh nor the
            batch, if the data ends, or at a loss that is not finite (no
            checkpoint is written then; the last good one stays).
        SystemExit: after SIGTERM (status 0) or Ctrl-C (status 130), once the state is saved.
    """
    start_time = time.monotonic()
    folder = workdirs.place(workdir)
    distributed.meet()
    # Hosts may see the same disk at different places.
    meta.check_processes(stage.name, {**stage.meta, "workdir": folder.name})
    trace = Trace(profile, folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; give a folder as --workdir")
    if checkpoint.best_metric and (stage.evaluate is None or not train.eval_every):
        raise UserError(
            f"checkpoint.best_metric={checkpoint.best_metric!r} needs evaluations: give "
            "train.eval_every more than 0 and, where nothing is evaluated, data to evaluate on"
        )
    key = jax.random.key(train.seed)
    init_key = rng.stream(key, "init")
    shapes = abstract(stage.init, init_key)
    device_mesh = sharding.make_mesh(_settled(mesh, shapes))
    with workdirs.alone(folder), Checkpoints(folder, checkpoint) as checkpoints:
        stored = checkpoints.meta()
        if stored is not None:
            meta.check(stored, stage.name, stage.meta, folder, free, stage.defaults)
        if checkpoints.latest() is None:
            state = initialize(stage.init, init_key, device_mesh, rules)
        else:
            target = sharding.with_shardings(
                shapes, sharding.state_shardings(shapes, device_mesh, rules)
            )
            state = checkpoints.restore(target)[0]
        step = int(state.step)
        with MetricWriter(folder, step) as writer:
            runner = Runner(stage, state, step, key, train, checkpoints, writer, device_mesh)
            runner.say(
                f"{stage.name}: {'resuming at' if step else 'starting at'} step {step} of "
                f"{train.steps}, {_describe(state)}, on {_describe_mesh(device_mesh)}"
            )
            if step >= train.steps:
                runner.say(f"nothing to do: {folder} has {step} of {train.steps} steps")
                with distributed.attended():
                    if not checkpoint_files.as_first_process(
                        jax.process_index() == 0 and runner.evaluated()
                    ):
                        runner.evaluate()
                return state
            trace.check(step, train.steps)
            checkpoints.check_room(state)
            deadline = math.inf if time_limit_s is None else start_time + time_limit_s
            with StopRequests() as stop, Feed(batches(step), device_mesh) as feed:
                with distributed.attended():
                    return runner.train(feed, rules, stop, deadline, hooks, trace)


def _settled(mesh: sharding.MeshConfig, shapes: TrainState) -> sharding.MeshConfig:
    """The mesh's shape with nothing left to choose; the same in every process."""
    devices = jax.devices()
    memory = accelerators.memory(jax.local_devices()[0])
    settled = sharding.automatic(mesh, len(devices), tree.nbytes(shapes), memory)
    if jax.process_count() == 1:
        return settled
    from jax.experimental import multihost_utils

    # Hosts may be told of slightly different memories.
    fsdp = multihost_utils.broadcast_one_to_all(np.int32(settled.fsdp))
    return dataclasses.replace(settled, fsdp=int(fsdp))


def _describe(state: TrainState) -> str:
    counts = {name: tree.count(network.params) for name, network in state.networks.items()}
    return ", ".join(f"{name} {tree.format_count(n)} parameters" for name, n in counts.items())


def _describe_mesh(mesh: Mesh) -> str:
    kind = mesh.devices.flat[0].device_kind
    return f"{mesh.size} x {kind} (data {mesh.shape['data']}, fsdp {mesh.shape['fsdp']})"
