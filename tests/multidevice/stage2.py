"""Trains a tiny motion model on eight fake devices, in one process or several, as the command does.

Usage: stage2.py FOLDER, which has the dataset already and gets the work directories. What was
trained is read from those; printed is the share of each array that one device holds.
"""

import json
import math
import sys

import jax
import ml_collections
import numpy as np

from jaxgesture.core import config as configuration
from jaxgesture.core import distributed, launch, sharding, tree
from jaxgesture.data.datasets import MotionClip, write_motion
from jaxgesture.motion import train as training

FEATURE_SIZE, AUDIO_SIZE = 21, 35
HALF, STEPS = 3, 6
ONE, MESH, FSDP = (1, 1), (4, 2), (1, 8)  # (data, fsdp)


def write_dataset(folder):
    """Clips of made-up motion, each of another length."""
    rng = np.random.default_rng(0)

    def clip(number):
        frames = 50 + 7 * number
        motion = np.tanh(0.1 * rng.standard_normal((frames, FEATURE_SIZE)).cumsum(0))
        audio = rng.standard_normal((frames, AUDIO_SIZE))
        split = "train" if number < 4 else "validation"
        return MotionClip(f"clip{number}", split, motion.astype("f4"), audio.astype("f4"))

    write_motion(
        f"{folder}/motion", [clip(number) for number in range(7)], feature_size=FEATURE_SIZE,
        frames_sha256="f" * 64, weights_sha256="w" * 64,
    )  # fmt: skip


def changes(folder):
    """What makes the configuration tiny."""
    return {
        "data.directory": f"{folder}/motion", "data.batch_size": 16,
        "model.feature_size": FEATURE_SIZE, "model.audio_size": AUDIO_SIZE,
        "model.segment_frames": 12, "model.width": 32, "model.feedforward": 32,
        "model.heads": 2, "model.layers": 1, "model.audio_layers": 1,
        "model.standardise": True, "model.representation": "euler",
        "model.dtype": "float64",  # see `tolerances.STAGE2_MESHES`
        "optim.learning_rate": 0.01, "optim.ema_decay": 0.9,
        "train.log_every": 1, "train.eval_every": HALF,
        # Three rows do not divide over the devices, and of the last batch only one counts.
        "eval.segments": 7, "eval.batch_size": 3, "eval.noise_levels": 2,
    }  # fmt: skip


def make_config(folder, mesh, steps):
    sections = {n: configuration.section(c()) for n, c in training.SECTIONS.items()}
    config = ml_collections.ConfigDict(sections)
    data, fsdp = mesh
    config.update_from_flattened_dict(
        changes(folder) | {"train.steps": steps, "mesh.data": data, "mesh.fsdp": fsdp}
    )
    return config


def in_float64(make_init):
    """`make_init` with a state that is float64 throughout."""

    def make(*arguments, **options):
        init = make_init(*arguments, **options)

        def wider(leaf):
            return leaf.astype("f8") if np.issubdtype(leaf.dtype, np.floating) else leaf

        return lambda key: jax.tree.map(wider, init(key))

    return make


def widen():
    """Makes this process train in float64."""
    jax.config.update("jax_enable_x64", True)
    training.make_init = in_float64(training.make_init)


def train(folder, name, mesh, steps):
    """The state in a work directory after so many steps, on the first of the devices."""
    make_mesh = sharding.make_mesh
    devices = jax.devices()[: math.prod(mesh)]
    sharding.make_mesh = lambda config, *rest: make_mesh(config, devices)
    try:
        return training.train(make_config(folder, mesh, steps), f"{folder}/{name}")
    finally:
        sharding.make_mesh = make_mesh


def shares(state):
    return {
        name: leaf.addressable_shards[0].data.size / leaf.size
        for name, leaf in tree.flatten(state.networks).items()
    }


def main(folder):
    """What one process does with eight devices."""
    train(folder, "one", ONE, STEPS)
    many = train(folder, "many", MESH, STEPS)
    train(folder, "fewer", MESH, HALF)
    train(folder, "fewer", ONE, STEPS)
    train(folder, "more", ONE, HALF)  # the pair goes on with it
    return shares(many)


def main_pair(folder):
    """What two processes do with four devices each."""
    assert len(jax.devices()) == 8 and len(jax.local_devices()) == 4
    train(folder, "pair", MESH, HALF)
    pair = train(folder, "pair", MESH, STEPS)
    train(folder, "more", MESH, STEPS)
    return shares(pair)


def main_four(folder):
    """What four processes do with two devices each, on another mesh."""
    assert len(jax.devices()) == 8 and len(jax.local_devices()) == 2
    return shares(train(folder, "four", FSDP, STEPS))


if __name__ == "__main__":
    with distributed.processes(launch.find(), distributed.Patience(), str):
        widen()
        main = {1: main, 2: main_pair, 4: main_four}[jax.process_count()]
        print(json.dumps(main(sys.argv[1])))
