"""A plan for GPUs by arithmetic: nothing is compiled, and nothing here has seen a GPU.

Exact: parameters, the state's bytes, operations (`planning.counting`). Estimated: activations, the
most bytes alive if the equations run in order and nothing is fused. Assumed: the share of the peak
that matrix units reach (`EFFICIENCY`), that convolutions and products read and write the memory
once, that the optimiser reads and writes the state once, and that gradients travel along a ring
beside nothing else. With rows b a GPU, n GPUs, P bytes of trained parameters:

    time = max(flops / (efficiency peak), (traffic + 2 state) / bandwidth)
           + rounds P (n - 1) / n / link

rounds = 2 for data parallelism (one all-reduce), 3 where the state is split (one gather of the
parameters, one all-reduce of the gradient).
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from jaxgesture.core import sharding, tree
from jaxgesture.planning import counting
from jaxgesture.planning.chips import Node
from jaxgesture.planning.subjects import EVERYWHERE, ROWS, Subject

EFFICIENCY = 0.4  # of the peak; what tuned convolution networks reach in bfloat16
FLOAT32_SHARE = 0.5  # of the bfloat16 peak: TF32
GPU_SHARE = 0.75  # of its memory, which JAX takes for itself unless told otherwise


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a step takes of one GPU.

    Attributes:
      mesh: name of an axis -> GPUs along it.
      flops: operations.
      state: bytes of parameters, optimiser, averages and statistics (this GPU's share).
      inputs: bytes of the batch and of frozen networks.
      activations: bytes besides, an estimate; with them parameters that are split at rest.
      compute: seconds of operations at the assumed efficiency.
      moving: seconds of memory traffic.
      communication: seconds of gradients.
    """

    mesh: dict[str, int]
    flops: float
    state: int
    inputs: int
    activations: int
    compute: float
    moving: float
    communication: float

    @property
    def memory(self) -> int:
        """Bytes in all."""
        return self.state + self.inputs + self.activations

    @property
    def seconds(self) -> float:
        """Of a step; communication overlaps with nothing."""
        return max(self.compute, self.moving) + self.communication

    @property
    def bound(self) -> str:
        """The largest of the three."""
        terms = {"compute": self.compute, "memory": self.moving,
                 "communication": self.communication}  # fmt: skip
        return max(terms, key=terms.__getitem__)


def estimate(subject: Subject, node: Node, rows: int, efficiency: float = EFFICIENCY) -> Estimate:
    """Estimates a step.

    Args:
      subject: what is planned.
      node: the GPUs.
      rows: on each GPU.
      efficiency: share of the peak that matrix units reach.

    Raises:
      UserError: the mesh does not divide the GPUs.
    """
    sheet = node.chip.sheet
    usable = int(GPU_SHARE * sheet.memory)
    shape = sharding.automatic(subject.mesh, node.count, subject.state_bytes, usable)
    data, fsdp = sharding.sides(shape, node.count, "GPU")
    counted = counting.count(subject.function, *subject.shapes(rows))
    state = sum(_held(leaf, fsdp) for leaf in jax.tree.leaves(subject.state))
    inputs = sum(
        tree.nbytes(argument.of(rows))
        for argument in subject.arguments
        if argument.placement in (ROWS, EVERYWHERE)
    )
    peak = sheet.teraflops * 1e12 * (1.0 if subject.dtype == "bfloat16" else FLOAT32_SHARE)
    count = sum(subject.parameters.values()) if subject.state is not None else 0
    trained = 4 * count
    rounds, gathered = 2, 0
    if fsdp > 1:
        rounds, gathered = 3, jnp.dtype(subject.dtype).itemsize * count
    return Estimate(
        mesh={"data": data, "fsdp": fsdp},
        flops=counted.flops,
        state=state,
        inputs=inputs,
        activations=counted.memory + gathered,
        compute=counted.flops / (efficiency * peak),
        moving=(counted.traffic + 2 * state) / sheet.bandwidth,
        communication=rounds * trained * (node.count - 1) / node.count / node.chip.link,
    )


def _held(leaf: jax.ShapeDtypeStruct, fsdp: int) -> int:
    """Bytes of an array of the state that one of the GPUs that share it keeps."""
    split = any(sharding.leaf_spec("", leaf.shape, fsdp))
    return math.prod(leaf.shape) * leaf.dtype.itemsize // (fsdp if split else 1)
