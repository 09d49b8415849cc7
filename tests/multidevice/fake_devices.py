"""Runs a script of this folder on eight fake devices, and trains on some of them there."""

import json
import os
import pathlib
import subprocess
import sys

import jax

from jaxgesture.core import loop, sharding
from jaxgesture.core.checkpoint import CheckpointConfig


def run(script, workdir, *, flags="", timeout=300):
    """What a script of this folder prints as JSON, in a process of its own.

    Args:
      script: its file name.
      workdir: its argument.
      flags: more flags for XLA.
      timeout: in seconds.
    """
    done = subprocess.run(
        [sys.executable, str(pathlib.Path(__file__).with_name(script)), str(workdir)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count=8 {flags}",
        },
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


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
