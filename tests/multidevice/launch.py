"""Runs programs on fake devices, in one process or in several that train together."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys

import jax

HERE = pathlib.Path(__file__).parent
# The programs run a few times: compiling them with care takes longer than it saves.
QUICK = "--xla_backend_optimization_level=0"


def script(name, *arguments):
    """The command for a script of this folder."""
    return [sys.executable, str(HERE / name), *map(str, arguments)]


@contextlib.contextmanager
def started(command, *, processes=1, devices=8, flags=""):
    """Starts a command in some processes and kills what is left of them at the end.

    Args:
      command: the same for all; the environment tells each which it is.
      processes: how many.
      devices: fake devices of each.
      flags: more flags for XLA.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": jax.config.values["jax_compilation_cache_dir"],
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {flags}",
    }
    if processes > 1:
        environment["JAX_COORDINATOR_ADDRESS"] = f"localhost:{free_port()}"
        environment["JAX_NUM_PROCESSES"] = str(processes)
    running = [
        subprocess.Popen(
            command,
            env={**environment, "JAX_PROCESS_ID": str(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(processes)
    ]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


def run(command, *, processes=1, devices=8, flags="", timeout=300):
    """What process 0 prints last, as JSON, when all have ended well; arguments as of `started`."""
    with started(command, processes=processes, devices=devices, flags=flags) as running:
        ended = [process.communicate(timeout=timeout) for process in running]
        for process, (_, err) in zip(running, ended, strict=True):
            assert process.returncode == 0, err[-3000:]
    return json.loads(ended[0][0].splitlines()[-1])


def free_port():
    """A port that nobody uses, and the next one neither, most likely."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]
