"""Where arrays live: one mesh with the axes "data" and "fsdp", and rules to place a state on it.

A batch is split over both axes. Large leaves of the state are split over "fsdp" only, along their
largest divisible axis, so `fsdp=1` is plain data parallelism and `data=1` full sharding. The
compiler inserts the communication; steps are written as if for one device, but say where they use
parameters whole (`gathered`): left to itself the compiler splits products, and sends activations
about.
"""

import contextlib
import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgesture.core import tree
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import PyTree

AXES = ("data", "fsdp")
# Splitting a small leaf costs more in communication than it saves in memory.
MIN_SHARDED_SIZE = 2**10
# Of a device's memory; gradients, activations and the compiler's copies need the rest.
STATE_SHARE = 0.25

Rule = tuple[str, PartitionSpec]


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """The mesh's shape.

    Attributes:
        data: devices along "data"; -1 (auto) means all that `fsdp` leaves.
        fsdp: devices along "fsdp", over which the state is split. -1 (auto) takes as few as leave
            the state at most `STATE_SHARE` of a device's memory, 1 where that memory is not known
            (CPUs); with `data` given, all that it leaves.
    """

    data: int = -1
    fsdp: int = -1


def make_mesh(config: MeshConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """Returns the mesh over all devices (or the `jax.Device`s given).

    Raises:
        UserError: if the shape does not use each device exactly once.
    """
    devices = jax.devices() if devices is None else list(devices)
    shape = sides(config, len(devices))
    # Automatic axes: explicit ones cannot convolve with kernels split over "fsdp".
    return jax.make_mesh(shape, AXES, axis_types=(AxisType.Auto,) * 2, devices=devices)


def sides(config: MeshConfig, total: int, what: str = "device") -> tuple[int, int]:
    """Returns the number of devices along "data" and along "fsdp".

    Args:
        config: the shape asked for.
        total: number of devices.
        what: one of them is called, in the message.

    Raises:
        UserError: if the shape does not use each device exactly once.
    """
    data, fsdp = config.data, config.fsdp
    if fsdp == -1:
        fsdp = 1 if data < 1 or total % data else total // data
    if data == -1 and fsdp >= 1 and total % fsdp == 0:
        data = total // fsdp
    if data < 1 or fsdp < 1 or data * fsdp != total:
        raise UserError(
            f"mesh.data={config.data} and mesh.fsdp={fsdp} do not divide {total} {what}(s); "
            f"their product must be {total} (mesh.data=-1 takes what mesh.fsdp leaves)"
        )
    return data, fsdp


def automatic(config: MeshConfig, count: int, state_bytes: int, memory: int | None) -> MeshConfig:
    """Returns the mesh's shape with "fsdp" chosen where it is -1 and "data" does not give it.

    Args:
        config: the shape asked for.
        count: number of devices.
        state_bytes: of the whole state, see `tree.nbytes`.
        memory: bytes of one device's memory; None where it is not known.
    """
    if config.fsdp != -1 or config.data != -1:
        return config
    divisors = [n for n in range(1, count + 1) if count % n == 0]
    enough = (n for n in divisors if memory is None or state_bytes / n <= STATE_SHARE * memory)
    return dataclasses.replace(config, fsdp=next(enough, count))


def leaf_spec(
    name: str, shape: tuple[int, ...], fsdp: int, rules: Sequence[Rule] = ()
) -> PartitionSpec:
    """Returns the placement of one leaf.

    That is the first rule whose pattern is found in its name, else its largest axis divisible by
    `fsdp`, else (or if the leaf is small) a copy on every device.
    """
    for pattern, spec in rules:
        if re.search(pattern, name):
            return spec
    if fsdp == 1 or math.prod(shape) < MIN_SHARDED_SIZE:
        return PartitionSpec()
    # The last of equally large axes: the output channels of a square kernel.
    for axis in sorted(range(len(shape)), key=lambda a: (shape[a], a), reverse=True):
        if shape[axis] % fsdp == 0:
            return PartitionSpec(*(None,) * axis, "fsdp")
    return PartitionSpec()


def state_shardings(abstract_state: PyTree, mesh: Mesh, rules: Sequence[Rule] = ()) -> PyTree:
    """Returns the sharding of every leaf, in a pytree like the state (optimiser and EMA included).

    Args:
        abstract_state: arrays or shape structs.
        mesh: from `make_mesh`.
        rules: pairs of a regular expression, searched in the leaf's name ("/" between parts), and
            the partition spec it gets.
    """
    fsdp = mesh.shape["fsdp"]
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: NamedSharding(
            mesh, leaf_spec(tree.key_name(path), tuple(leaf.shape), fsdp, rules)
        ),
        abstract_state,
    )


def with_shardings(abstract_state: PyTree, shardings: PyTree) -> PyTree:
    """Returns the shape structs with their shardings, the target of a restore."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        abstract_state,
        shardings,
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of a batch: its first axis over all devices."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of a value that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def within(mesh: Mesh) -> contextlib.AbstractContextManager[Any]:
    """Where a step is traced for a mesh, so that `gathered` and `split` know it."""
    return jax.set_mesh(mesh)


def gathered(params: PyTree) -> PyTree:
    """Asks for parameters, or sums of gradients, that each device holds whole for a while.

    What is computed with parameters is then split by rows of the batch only. Changes nothing
    outside of `within`, or where nothing is split.
    """
    return jax.tree.map(lambda x: _placed(x, PartitionSpec()), params)


def split(params: PyTree) -> PyTree:
    """Asks for a pytree like the parameters, such as their gradient, split as a state is.

    By the shapes alone: a state placed by rules is moved there afterwards.
    """
    fsdp = _fsdp()
    return jax.tree.map(lambda x: _placed(x, leaf_spec("", x.shape, fsdp)), params)


def _fsdp() -> int:
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if mesh.empty else mesh.shape["fsdp"]


def _placed(x: jax.Array, spec: PartitionSpec) -> jax.Array:
    return x if _fsdp() == 1 else jax.lax.with_sharding_constraint(x, spec)


def put_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Puts this process's rows of a global batch onto its devices.

    Raises:
        UserError: if the rows do not divide evenly over this process's devices.
    """
    target = batch_sharding(mesh)
    local = mesh.local_mesh.size
    for name, rows in batch.items():
        if rows.ndim == 0 or rows.shape[0] % local:
            raise UserError(
                f"data.batch_size gives {rows.shape[0] if rows.ndim else 'no'} rows of {name!r} a "
                f"host, which do not divide over its {local} devices; make data.batch_size a "
                f"multiple of {mesh.size}"
            )
    return {
        name: jax.make_array_from_process_local_data(target, rows) for name, rows in batch.items()
    }
