"""Trains the smallest base model on eight devices in one process or in several.

Usage: stage1.py FOLDER FLOATS NAME... with meshes of `MESHES`. The step is that of `jaxgesture
train`, with the discriminator and all losses; the feature networks are random and narrow. Process 0
writes FOLDER/NAME.npz, the metrics and the state after each step, and prints what one device holds
and how often the step was traced.
"""

import json
import sys

import jax
import numpy as np
from animation.training import ALL_LOSSES, make_config
from animation.weights import pictures
from multidevice import fake_devices
from perceptual import networks

from jaxgesture.animation.losses import GLOBAL, LOCAL
from jaxgesture.animation.step import make_init, make_step
from jaxgesture.animation.train import SECTIONS, make_training
from jaxgesture.core import config as configuration
from jaxgesture.core import distributed, launch, loop, tree
from jaxgesture.core.sharding import MeshConfig
from jaxgesture.perceptual import vgg

STEPS = 2
ROWS = 8
ONE = (1, 1)
MESHES = {"one": ONE, "dp8": (8, 1), "fsdp8": (1, 8), "2x4": (2, 4), "pair": (2, 4), "four": (2, 4)}
CHANGES = {
    **ALL_LOSSES,
    "loss.scales": (1,),
    "loss.local_style": 1.0,
    "loss.adversarial_start": 0,
    "discriminator.widths": (8, 16),  # the second kernel is large enough to be split
}
# By FLOATS. In float32 the published rate: a larger one soon makes much of what is rounded.
RATES = {"float64": 0.01, "float32": 2e-4}


def boxes():
    """Of each row other boxes, of two rows none: a mean over each device's own would be another."""
    rng = np.random.default_rng(0)
    first, side = rng.uniform(0, 0.5, (2, ROWS, 4, 2))
    made = np.concatenate((first, first + 0.1 + side), -1).astype(np.float32)
    made[rng.uniform(size=made.shape[:2]) < 0.4] = np.nan
    made[[2, 3]] = np.nan
    return made


def batches(start):
    """This process's rows of the same global batches."""
    share = ROWS // jax.process_count()
    own = slice(share * jax.process_index(), share * (jax.process_index() + 1))
    for seed in range(start, start + STEPS):
        frames = (pictures(2 * ROWS, seed) * 255).round().astype(np.uint8)
        batch = {"source": frames[:ROWS], "driving": frames[ROWS:], "boxes": boxes()}
        yield {name: rows[own] for name, rows in batch.items()}


def in_float64(values):
    def wider(x):
        return x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x

    return jax.tree.map(wider, values)


def make_stage(floats, traces):
    """The stage, whose step notes that it is traced."""
    rate = {"optim.learning_rate": RATES[floats], "model.dtype": floats}
    config = make_config("", **CHANGES, **rate)
    parts = {key: configuration.build(cls, config[key], name=key) for key, cls in SECTIONS.items()}
    training = make_training(parts)
    frozen = {GLOBAL: networks.random(vgg.VGG19, 8), LOCAL: networks.random(vgg.VGG16, 8)}
    wider = in_float64 if floats == "float64" else lambda values: values
    step = make_step(training)

    def traced(*arguments):
        traces.append(1)
        return step(*arguments)

    # A program that makes a part of the parameters on each device rounds a few of them otherwise,
    # and the warp magnifies that: all begin with what one device makes.
    first = jax.device_get(jax.jit(make_init(training))(jax.random.key(0)))
    return loop.Stage("stage1", lambda key: wider(first), traced, frozen=wider(frozen))


def train(folder, name, floats):
    """What process 0 prints of one training; its numbers go to a file."""
    seen, traces, found = [], [], {}

    def keep(step, state, means):
        whole = tree.flatten(distributed.here(state))
        found.update({f"{step}/state/{k}": np.array(v) for k, v in whole.items()})
        found.update({f"{step}/metrics/{k}": np.array(v) for k, v in means.items()})
        seen.append(step)

    mesh = MESHES[name]
    devices = jax.devices()[:1] if mesh == ONE else None
    now = fake_devices.train(
        make_stage(floats, traces), batches, f"{folder}/{name}-{floats}", STEPS, MeshConfig(*mesh),
        devices, hooks=[keep],
    )  # fmt: skip
    assert seen == list(range(1, STEPS + 1))
    if jax.process_index() == 0:
        np.savez(f"{folder}/{name}-{floats}.npz", **found)
    shards = {k: v.addressable_shards[0].data.size / v.size for k, v in tree.flatten(now).items()}
    return {"shards": shards, "traces": len(traces)}


def main(folder, floats, *names):
    jax.config.update("jax_enable_x64", floats == "float64")
    with distributed.processes(launch.find(), distributed.Patience(), str):
        print(json.dumps({name: train(folder, name, floats) for name in names}))


if __name__ == "__main__":
    main(*sys.argv[1:])
