"""Trains on some of the fake devices of this process."""

from jaxgesture.core import loop, sharding
from jaxgesture.core.checkpoint import CheckpointConfig


def train(stage, batches, workdir, steps, mesh, devices=None, hooks=()):
    """`loop.run` on all devices, or on those given."""
    make_mesh = sharding.make_mesh
    sharding.make_mesh = lambda config: make_mesh(config, devices)
    try:
        config = loop.TrainConfig(steps=steps, log_every=1)
        checkpoint = CheckpointConfig(every_steps=0)
        return loop.run(stage, batches, workdir, config, checkpoint, mesh, hooks=hooks)
    finally:
        sharding.make_mesh = make_mesh
