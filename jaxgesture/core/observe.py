"""What a run says of its speed: time and share of peak, memory, hosts that lag, traces of steps."""

import os
import re
import sys
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgesture.core import accelerators
from jaxgesture.core.errors import UserError

# A host lags if it spends this much more of the time than the usual host away from its devices.
LAG = 0.1


class Speed:
    """Numbers of the steps between two lines of the log.

    Args:
        mesh: the devices.
        examples: of a step, over all of them.
    """

    def __init__(self, mesh: Mesh, examples: int):
        self._mesh, self._examples = mesh, examples
        self._flops: float | None = None
        self._device = jax.local_devices()[0]
        self._known = accelerators.find(self._device.device_kind)

    def compiled(self, program: Any) -> None:
        """Takes the operations of a step from its compiled program, a device's share.

        The compiler counts a loop as one turn: of a step with loops nothing is said.
        """
        loops = " while(" in program.as_text()
        self._flops = None if loops else (program.cost_analysis() or {}).get("flops")

    def values(self, steps: int, seconds: float, waited: float) -> dict[str, float]:
        """The numbers by name.

        Args:
            steps: done in the time.
            seconds: of the clock, but for saving, evaluating and compiling.
            waited: of them, for data.

        Returns:
            "examples_per_second", "examples_per_second_per_device", "step_seconds", "data_wait" (a
            share), "host_memory_gib" (this process's peak); where the device tells,
            "device_memory_gib" (its peak); where its peak speed is known, "share_of_peak", of the
            operations of a program without loops (`optim.accumulate` is one).
        """
        speed = self._examples * steps / seconds
        found = {
            "examples_per_second": speed,
            "examples_per_second_per_device": speed / self._mesh.size,
            "step_seconds": seconds / steps,
            "data_wait": waited / seconds,
            "host_memory_gib": _host_peak() / 2**30,
        }
        stats = self._device.memory_stats() or {}
        if "peak_bytes_in_use" in stats:
            found["device_memory_gib"] = stats["peak_bytes_in_use"] / 2**30
        if self._known is not None and self._flops:
            at_peak = self._flops / (self._known.teraflops * 1e12)
            found["share_of_peak"] = at_peak * steps / seconds
        return found


def lagging(waits: np.ndarray) -> str:
    """A line on the hosts that keep the others waiting, "" if there are none.

    Steps end together on all hosts, so that a slow one shows in the share of its time that it does
    not spend waiting for devices.

    Args:
        waits: of each process, shares of the time: waiting for data, and other work of the host.
    """
    away = waits.sum(axis=1)
    slow = np.flatnonzero(away > np.median(away) + LAG)
    if not len(slow):
        return ""
    told = ", ".join(
        f"process {i} ({waits[i, 0]:.0%} waiting for data, {waits[i, 1]:.0%} at other work)"
        for i in slow
    )
    return f"lagging: {told}; the usual one spends {np.median(away):.0%} so"


def gathered(waited: float, worked: float) -> np.ndarray:
    """The two shares of every process, (processes, 2); a collective operation."""
    from jax.experimental import multihost_utils

    own = np.array([waited, worked], np.float32)
    return np.reshape(multihost_utils.process_allgather(own), (-1, 2))


class Trace:
    """A trace of some steps, written by `jax.profiler` for TensorBoard and Perfetto.

    Args:
        steps: "N:M", the first and the last step; "" traces nothing.
        workdir: gets `profile/`.

    Raises:
        UserError: `steps` is no such range.
    """

    def __init__(self, steps: str, workdir: str | os.PathLike[str]):
        self.first, self.last = parse_steps(steps) if steps else (0, 0)
        host = f"/process{jax.process_index()}" if jax.process_count() > 1 else ""
        self.folder = f"{os.fspath(workdir)}/profile{host}"
        self._on = False

    def check(self, done: int, steps: int) -> None:
        """Refuses a trace of steps that this run does not do.

        Raises:
            UserError: if the run, from step `done` to `steps`, does not begin it.
        """
        if self.first and not done < self.first <= steps:
            raise UserError(
                f"--profile={self.first}:{self.last}: this run does steps {done + 1} to {steps}; "
                "name some of these"
            )

    def before(self, step: int) -> None:
        """Begins the trace if the step that is about to run (from 1) is its first."""
        if step == self.first and not self._on:
            jax.profiler.start_trace(self.folder)
            self._on = True

    def after(self, step: int, results: Any) -> str:
        """Ends the trace after its last step, once `results` are there; a line that says where."""
        if not self._on or step < self.last:
            return ""
        jax.block_until_ready(results)
        self.close()
        return f"traced steps {self.first} to {step} into {self.folder}; TensorBoard shows it"

    def close(self) -> None:
        """Ends the trace if it is on."""
        if self._on:
            jax.profiler.stop_trace()
            self._on = False


def parse_steps(text: str) -> tuple[int, int]:
    """Reads "N:M".

    Raises:
        UserError: the text is no range of steps.
    """
    found = re.fullmatch(r"(\d+):(\d+)", text)
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= first <= last:
        raise UserError(f"--profile={text} names no steps; give FIRST:LAST, such as 20:25")
    return first, last


def _host_peak() -> int:
    """Bytes of memory that this process held at most."""
    import resource

    # Kilobytes, but on macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
