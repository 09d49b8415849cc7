"""A function compiled for a TPU slice that is not here, and what its program says of itself.

The compiler is the real one (`libtpu`), the numbers are those of the program it makes: operations,
memory, communication, and its own estimate of cycles. What it says of time are estimates: see
`planning.timing`.
"""

import collections
import contextlib
import dataclasses
import importlib.util
import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import Mesh

from jaxgesture.core import sharding
from jaxgesture.core.errors import UserError
from jaxgesture.core.sharding import MeshConfig
from jaxgesture.planning import hlo
from jaxgesture.planning.chips import Topology
from jaxgesture.planning.subjects import EVERYWHERE, ROWS, STATE, Subject

# The compiler says it in two ways: at the end of its work, or at once where no hope is.
_USED = (
    re.compile(r"Used ([\d.]+)([KMG]?) of ([\d.]+)([KMG]?) hbm"),
    re.compile(r"\(([\d.]+)([KMG]?)\) exceeds available HBM \(([\d.]+)([KMG]?)\)"),
)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled function, a chip's share.

    Attributes:
      flops: operations of one run, as the compiler counts them (loops of one turn).
      arguments: bytes of what it takes.
      temporaries: bytes besides, at most at one time.
      outputs: bytes of results that take no argument's place.
      text: its operations.
      seconds: that compiling took.
    """

    flops: float
    arguments: int
    temporaries: int
    outputs: int
    text: hlo.Text
    seconds: float

    @property
    def memory(self) -> int:
        """Bytes in all."""
        return self.arguments + self.temporaries + self.outputs

    @property
    def cycles(self) -> int:
        """The compiler's estimates, summed."""
        return sum(operation.cycles for operation in self.text.operations)

    @property
    def collectives(self) -> dict[str, tuple[int, int]]:
        """Kind -> (number, bytes of their results)."""
        found: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
        for one in self.text.operations:
            if one.opcode in hlo.COLLECTIVES:
                found[one.opcode][0] += one.trips
                found[one.opcode][1] += one.result
        return {kind: (count, size) for kind, (count, size) in found.items()}


@dataclasses.dataclass(frozen=True)
class TooLarge:
    """A function that the compiler refused for want of memory.

    Attributes:
      memory: bytes that it would need on a chip.
      limit: bytes that it may use.
      seconds: that the attempt took.
    """

    memory: int
    limit: int
    seconds: float


def devices(topology: Topology) -> list[Any]:
    """The chips of a slice that is not here.

    Raises:
      UserError: libtpu is not installed, or knows no such slice.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            'planning for a TPU needs its compiler: pip install "jaxgesture[plan]" (libtpu); no '
            "TPU is needed. For GPUs it is not needed: --topology=gpu:8xh200"
        )
    # There is no metadata server to ask which slice this is, and no chip that two could fight for.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    os.environ["TPU_ACCELERATOR_TYPE"] = topology.accelerator
    from jax.experimental import topologies

    try:
        found = topologies.get_topology_desc(platform="tpu", topology_name=topology.name)
    except Exception as error:  # whatever the compiler says of a slice it does not know
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"--topology={topology.name}: the compiler knows no such slice ({first[:160]}); it "
            "knows those of whole machines, such as v5e:2x4, v5e:4x4, v5e:16x16, v5p:2x2x2, "
            "v5p:4x4x4, v6e:2x4 and v6e:16x16"
        ) from error
    return list(found.devices)


def make_mesh(
    subject: Subject, chips: list[Any], memory: int | None, mesh: MeshConfig | None = None
) -> Mesh:
    """The mesh that training would make.

    Args:
      subject: what is planned.
      chips: from `devices`.
      memory: bytes of a chip's memory; None where it is not known.
      mesh: its shape; the configuration's if None.

    Raises:
      UserError: it does not divide the chips.
    """
    shape = sharding.automatic(mesh or subject.mesh, len(chips), subject.state_bytes, memory)
    return sharding.make_mesh(shape, chips)


def compile_for(subject: Subject, grid: Mesh, batch_size: int) -> Program | TooLarge:
    """Compiles a subject for the chips of a mesh.

    Args:
      subject: what is planned.
      grid: from `make_mesh`.
      batch_size: rows on all chips.

    Raises:
      UserError: the batch does not divide over the chips, or the compiler fails.
    """
    if batch_size % grid.size:
        least = -(-batch_size // grid.size) * grid.size
        raise UserError(
            f"a batch of {batch_size} does not divide over {grid.size} chips; give --batch={least}"
        )
    places: Mapping[str, Any] = {
        EVERYWHERE: sharding.replicated(grid),
        ROWS: sharding.batch_sharding(grid),
        STATE: sharding.state_shardings(subject.state, grid) if subject.state is not None else None,
    }
    jitted = jax.jit(
        subject.function,
        in_shardings=tuple(places[argument.placement] for argument in subject.arguments),
        out_shardings=jax.tree.map(places.__getitem__, subject.results),
        donate_argnums=tuple(i for i, a in enumerate(subject.arguments) if a.placement == STATE),
    )
    with sharding.within(grid):
        lowered = jitted.lower(*subject.shapes(batch_size))
    begun = time.monotonic()
    try:
        with _uncached():
            compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        seconds = time.monotonic() - begun
        if (refused := too_large(str(error), seconds)) is not None:
            return refused
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"the compiler failed at a batch of {batch_size} on {grid.size} chips: {first[:300]}; "
            "try another batch, mesh or topology"
        ) from error
    return _read(compiled, time.monotonic() - begun)


@contextlib.contextmanager
def _uncached() -> Iterator[None]:
    """Without the persistent cache, which cannot read a program for chips that are not here."""
    before = jax.config.jax_enable_compilation_cache  # pyright: ignore
    try:
        jax.config.update("jax_enable_compilation_cache", False)
        compilation_cache.reset_cache()
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()


def too_large(message: str, seconds: float) -> TooLarge | None:
    """What an error of the compiler says of the memory that was missing; None of another error."""
    match = next((found for one in _USED if (found := one.search(message))), None)
    if "RESOURCE_EXHAUSTED" not in message or match is None:
        return None
    used, limit = (int(float(match[i]) * _UNITS[match[i + 1]]) for i in (1, 3))
    return TooLarge(used, limit, seconds)


def _read(compiled: Any, seconds: float) -> Program:
    memory = compiled.memory_analysis()
    costs = compiled.cost_analysis() or {}
    return Program(
        flops=float(costs.get("flops", 0.0)),
        arguments=int(memory.argument_size_in_bytes),
        temporaries=int(memory.temp_size_in_bytes),
        outputs=int(memory.output_size_in_bytes - memory.alias_size_in_bytes),
        text=hlo.read(compiled.as_text()),
        seconds=seconds,
    )
