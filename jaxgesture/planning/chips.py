"""What a step can be planned for: slices of TPU chips, and nodes of GPUs.

A place is written NAME:SHAPE: v5e:4x4 (sixteen chips), v5p:4x4x4, or gpu:8xh200. Peaks, memories
and bandwidths are those of `core.accelerators`.
"""

import dataclasses
import math
import re

from jaxgesture.core.accelerators import Accelerator, find
from jaxgesture.core.config import nearest
from jaxgesture.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class Chip:
    """One TPU chip.

    Attributes:
      name: as topologies have it.
      kind: as JAX has it.
      gigahertz: of the clock that the compiler's estimated cycles count.
      link: bytes a second that a chip sends over all its links to other chips.
      accelerator: how Cloud TPU names a slice, with {count} for cores or chips.
      cores: that `accelerator` counts a chip.
      sides: of a slice: two, of at most 16 chips each, or three.
      most: chips of the largest slice.
    """

    name: str
    kind: str
    gigahertz: float
    link: float
    accelerator: str
    cores: int = 1
    sides: int = 2
    most: int = 256

    @property
    def sheet(self) -> Accelerator:
        """Its data sheet."""
        return _sheet(self.kind)


@dataclasses.dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
      name: as --topology has it.
      kind: as JAX has it.
      link: bytes a second that a GPU sends to others of its node (NVLink, else PCI Express).
    """

    name: str
    kind: str
    link: float

    @property
    def sheet(self) -> Accelerator:
        """Its data sheet."""
        return _sheet(self.kind)


_SIDE = 16  # of a slice of two sides, at most
# The largest slices: Cloud TPU's pages of each version. Links: "interchip interconnect bandwidth"
# of its system architecture pages. The clocks are those with which dense convolutions compiled
# here take the time that the peak allows.
CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v4", "TPU v4", 1.05, 0.30e12, "v4-{count}", 2, 3, 4096),
        Chip("v5e", "TPU v5 lite", 1.5, 0.20e12, "v5litepod-{count}"),
        Chip("v5p", "TPU v5", 1.75, 0.60e12, "v5p-{count}", 2, 3, 6144),
        Chip("v6e", "TPU v6 lite", 1.75, 0.40e12, "v6e-{count}"),
    )
}
# Those with bfloat16 and TF32, which the estimates are of. NVLink's data sheets name both
# directions together; this is one of them.
GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("b200", "NVIDIA B200", 0.90e12),
        Gpu("h200", "NVIDIA H200", 0.45e12),
        Gpu("h100", "NVIDIA H100", 0.45e12),
        Gpu("h100pcie", "NVIDIA H100 PCIe", 0.064e12),
        Gpu("a100", "NVIDIA A100", 0.30e12),
        Gpu("a100-40gb", "NVIDIA A100-SXM4-40GB", 0.30e12),
        Gpu("l40s", "NVIDIA L40S", 0.032e12),
        Gpu("l4", "NVIDIA L4", 0.016e12),
    )
}


def _sheet(kind: str) -> Accelerator:
    found = find(kind)
    if found is None:
        raise ValueError(f"no data sheet of {kind!r}")
    return found


@dataclasses.dataclass(frozen=True)
class Topology:
    """A slice of chips."""

    chip: Chip
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of chips."""
        return math.prod(self.shape)

    @property
    def name(self) -> str:
        """As it is written."""
        return f"{self.chip.name}:{'x'.join(map(str, self.shape))}"

    @property
    def accelerator(self) -> str:
        """As Cloud TPU names the slice."""
        return self.chip.accelerator.format(count=self.count * self.chip.cores)


@dataclasses.dataclass(frozen=True)
class Node:
    """GPUs that are linked with each other."""

    chip: Gpu
    count: int

    @property
    def name(self) -> str:
        """As it is written."""
        return f"gpu:{self.count}x{self.chip.name}"


def parse(text: str) -> Topology | Node:
    """Reads NAME:SHAPE.

    Raises:
      UserError: an unknown chip, no shape, or one that no slice has.
    """
    name, _, shape = text.partition(":")
    if name == "gpu":
        return _node(text, shape)
    if name not in CHIPS:
        raise UserError(
            f"--topology={text}: no chip {name!r}; {nearest(name, CHIPS)}, or gpu:8xh200"
        )
    if not re.fullmatch(r"\d+(x\d+){1,2}", shape):
        raise UserError(f"--topology={text}: give NAME:SHAPE, such as v5e:4x4 or v5p:4x4x4")
    sides = tuple(map(int, shape.split("x")))
    if min(sides) < 1:
        raise UserError(f"--topology={text}: a side of 0 chips is none")
    chip = CHIPS[name]
    if len(sides) != chip.sides:
        shown = "x".join(["2"] * chip.sides)
        raise UserError(
            f"--topology={text}: slices of {name} have {chip.sides} sides, such as {name}:{shown}"
        )
    if math.prod(sides) > chip.most or (chip.sides == 2 and max(sides) > _SIDE):
        flat = f", {_SIDE}x{_SIDE}" if chip.sides == 2 else ""
        raise UserError(
            f"--topology={text}: the largest slice of {name} has {chip.most} chips{flat}"
        )
    return Topology(chip, sides)


def _node(text: str, shape: str) -> Node:
    match = re.fullmatch(r"(\d+)x([\w-]+)", shape)
    if match is None or int(match[1]) < 1:
        raise UserError(f"--topology={text}: give gpu:NUMBERxKIND, such as gpu:8xh200")
    if match[2] not in GPUS:
        raise UserError(f"--topology={text}: no GPU {match[2]!r}; {nearest(match[2], GPUS)}")
    return Node(GPUS[match[2]], int(match[1]))
