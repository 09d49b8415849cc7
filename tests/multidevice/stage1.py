"""Trains the smallest base model on one device and on eight, and prints what came out as JSON.

Usage: stage1.py WORKDIR. Run with eight fake devices. The step is that of `jaxgesture train`, with
the discriminator and all losses; the feature networks are random and narrow.
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
from jaxgesture.core import loop, tree
from jaxgesture.core.sharding import MeshConfig
from jaxgesture.perceptual import vgg

STEPS = 2
ROWS = 8
CHANGES = {
    **ALL_LOSSES,
    "loss.scales": (1,),
    "loss.local_style": 1.0,
    "loss.adversarial_start": 0,
    "discriminator.widths": (8, 16),  # the second kernel is large enough to be split
    "optim.learning_rate": 0.01,
    "model.dtype": "float64",  # see `tolerances.STAGE1_MESHES`
}


def boxes():
    """Of each row other boxes, of two rows none: a mean over each device's own would be another."""
    rng = np.random.default_rng(0)
    first, side = rng.uniform(0, 0.5, (2, ROWS, 4, 2))
    made = np.concatenate((first, first + 0.1 + side), -1).astype(np.float32)
    made[rng.uniform(size=made.shape[:2]) < 0.4] = np.nan
    made[[2, 3]] = np.nan
    return made


def batches(start):
    for seed in range(start, start + STEPS):
        frames = (pictures(2 * ROWS, seed) * 255).round().astype(np.uint8)
        yield {"source": frames[:ROWS], "driving": frames[ROWS:], "boxes": boxes()}


def in_float64(values):
    def wider(x):
        return x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x

    return jax.tree.map(wider, values)


def main(workdir):
    jax.config.update("jax_enable_x64", True)
    config = make_config("", **CHANGES)
    parts = {key: configuration.build(cls, config[key], name=key) for key, cls in SECTIONS.items()}
    training = make_training(parts)
    frozen = {GLOBAL: networks.random(vgg.VGG19, 8), LOCAL: networks.random(vgg.VGG16, 8)}

    def init(key):
        return in_float64(make_init(training)(key))

    stage = loop.Stage("stage1", init, make_step(training), frozen=in_float64(frozen))

    def train(name, mesh, devices=None):
        """The metrics and the whole state after each step, and the last state where it lives."""
        seen = []

        def keep(step, state, means):
            seen.append((means, {k: np.array(v) for k, v in tree.flatten(state).items()}))

        workplace = f"{workdir}/{name}"
        now = fake_devices.train(stage, batches, workplace, STEPS, mesh, devices, hooks=[keep])
        return seen, now

    one, _ = train("one", MeshConfig(), jax.devices()[:1])
    many, now = train("many", MeshConfig(4, 2))
    out = {"metrics": {}, "state": {}, "moved": {}}
    for (metrics, state), (others, parted) in zip(one, many, strict=True):
        assert metrics.keys() == others.keys() and state.keys() == parted.keys()
        for name, value in metrics.items():
            error = abs(others[name] / value - 1)
            out["metrics"][name] = max(error, out["metrics"].get(name, 0))
        for name, leaf in state.items():
            error = float(np.abs(parted[name] - leaf).max())
            out["state"][name] = max(error, out["state"].get(name, 0))
    (_, before), (_, after) = one
    out["moved"] = {name: float(np.abs(after[name] - leaf).max()) for name, leaf in before.items()}
    out["shards"] = {
        name: leaf.addressable_shards[0].data.size / leaf.size
        for name, leaf in tree.flatten(now).items()
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main(sys.argv[1])
