"""Trains the toy of `core/toy.py` on four devices, in one process or in several.

Usage: toys.py WORKDIR STEPS. Steps are slow, so that a process can be killed within one.
"""

import json
import sys
import time

import jax
from core import toy

from jaxgesture.core import distributed, launch, loop
from jaxgesture.core.checkpoint import CheckpointConfig
from jaxgesture.core.sharding import MeshConfig

EVERY = 5
ROWS = 8


def batches(start):
    """This process's rows of the same global batches."""
    share = ROWS // jax.process_count()
    own = slice(share * jax.process_index(), share * (jax.process_index() + 1))
    for batch in toy.batches(start, size=ROWS):
        time.sleep(0.1)
        yield {name: rows[own] for name, rows in batch.items()}


def main(workdir, steps):
    train = loop.TrainConfig(steps=steps, log_every=1)
    checkpoint = CheckpointConfig(every_steps=EVERY, keep=0)
    mesh = MeshConfig(data=2, fsdp=2)
    patience = distributed.Patience(start_s=100.0, silent_s=30.0)
    with distributed.processes(launch.find(), patience, lambda: "that was all"):
        loop.run(toy.stage(), batches, workdir, train, checkpoint, mesh)
        print(json.dumps(jax.process_count()))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
