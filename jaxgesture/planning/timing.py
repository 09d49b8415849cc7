"""What bounds a compiled program, and which modules its time goes to.

An operation of c cycles, f operations and m bytes to and from the HBM takes t = c / clock, at
least f / peak and m / bandwidth. What bounds it is the larger of these two if that is half of t or
more, else neither (vector units, layout, latency). A collective of n chips with a result of r bytes
takes, along a ring with bandwidth w,

    all-reduce 2 r (n - 1) / n / w,   all-gather, all-to-all r (n - 1) / n / w,
    reduce-scatter r (n - 1) / w,     collective-permute r / w

and a latency. Between TPU chips w is taken as half of what the data sheet gives for all links.
Nothing says how much of this runs beside the computation: both bounds are given.
"""

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence

from jaxgesture.planning.chips import Chip
from jaxgesture.planning.hlo import COLLECTIVES, Operation

OUTSIDE = "outside the modules"
PASSES = FORWARD, BACKWARD, AGAIN = "forward", "backward", "again"
BOUNDS = ("compute", "memory", "neither")
LINK_SHARE = 0.5  # of all links: a ring runs along one axis of the slice at a time
HOP = 1e-6  # seconds from chip to chip, assumed
_WRAPPED = re.compile(r"^(\w+)\((.*)\)$")
# What transformations and loops write between the modules.
_NOT_MODULES = {"checkpoint", "rematted_computation", "remat", "closed_call", "while", "body",
                "cond", "custom_jvp_call", "custom_vjp_call", "pjit", "shard_map"}  # fmt: skip
_AGAIN = "rematted_computation"


@dataclasses.dataclass(frozen=True)
class Module:
    """What a module costs in one run on one chip.

    Attributes:
      name: of the module.
      cycles: pass -> estimated cycles; AGAIN is what rematerialisation computes again.
      flops: of its convolutions and matrix products.
      traffic: bytes to and from the HBM.
      bounds: what bounds it -> cycles.
    """

    name: str
    cycles: dict[str, int]
    flops: float
    traffic: int
    bounds: dict[str, int]

    @property
    def total(self) -> int:
        """Cycles of all passes."""
        return sum(self.cycles.values())

    @property
    def bound(self) -> str:
        """What bounds most of its cycles."""
        return max(BOUNDS, key=lambda name: self.bounds[name])


def module_of(scope: str, network: str, depth: int = 1) -> str:
    """The module that a scope names, such as "encoder" or "stack/self_attn".

    Args:
      scope: op_name of an operation, "jit(step)/jvp(Network.method)/encoder/first/conv/add".
      network: the module around all of them, which is left out.
      depth: names at most. Numbers at their ends are left out.
    """
    found = []
    for part in scope.split("/")[:-1]:
        function = ""
        while match := _WRAPPED.match(part):
            function, part = match[1], match[2]
        if function == "jit" or not part or part in _NOT_MODULES or "->" in part:
            continue
        if part.partition(".")[0] != network:
            found.append(re.sub(r"_\d+$", "", part))
    return "/".join(found[:depth]) or OUTSIDE


def pass_of(scope: str) -> str:
    """Whether an operation is of the forward pass, of the backward pass, or computed again."""
    if _AGAIN in scope:
        return AGAIN
    return BACKWARD if "transpose(" in scope else FORWARD


def bound_of(operation: Operation, chip: Chip) -> str:
    """What bounds an operation, one of BOUNDS."""
    time = seconds(operation.cycles, chip)
    at_peak = operation.flops / (chip.sheet.teraflops * 1e12)
    moving = operation.traffic / chip.sheet.bandwidth
    if max(at_peak, moving) < 0.5 * time:
        return "neither"
    return "compute" if at_peak >= moving else "memory"


def seconds(cycles: int, chip: Chip) -> float:
    """Cycles as time."""
    return cycles / (chip.gigahertz * 1e9)


def modules(operations: Iterable[Operation], chip: Chip, network: str, depth: int) -> list[Module]:
    """What each module costs, the costliest first; see `module_of`."""
    found: dict[str, Module] = {}
    for one in operations:
        if not one.cycles:
            continue
        name = module_of(one.scope, network, depth)
        if name not in found:
            found[name] = Module(name, _zeros(PASSES), 0.0, 0, _zeros(BOUNDS))
        module = found[name]
        module.cycles[pass_of(one.scope)] += one.cycles
        module.bounds[bound_of(one, chip)] += one.cycles
        found[name] = dataclasses.replace(
            module, flops=module.flops + one.flops, traffic=module.traffic + one.traffic
        )
    return sorted(found.values(), key=lambda module: -module.total)


def _zeros(names: Sequence[str]) -> dict[str, int]:
    return dict.fromkeys(names, 0)


def costliest(operations: Iterable[Operation], count: int = 10) -> list[Operation]:
    """The operations with the most cycles, the costliest first."""
    known = (one for one in operations if one.cycles)
    return sorted(known, key=lambda one: -one.cycles)[:count]


@dataclasses.dataclass(frozen=True)
class Shuffle:
    """Gathers, scatters or sorts of a module, of which the compiler estimates no cycles.

    Attributes:
      module: that they are of.
      kind: one of `hlo.SHUFFLES`.
      count: how many run.
      rows: that they read, write or sort together.
    """

    module: str
    kind: str
    count: int
    rows: int


def shuffles(operations: Iterable[Operation], network: str, depth: int) -> list[Shuffle]:
    """What the sum of cycles leaves out, the most rows first."""
    found: dict[tuple[str, str], list[int]] = {}
    for one in operations:
        if one.shuffle:
            key = module_of(one.scope, network, depth), one.shuffle
            count, rows = found.get(key, [0, 0])
            found[key] = [count + one.trips, rows + one.rows]
    rows = [Shuffle(*key, *value) for key, value in found.items()]
    return sorted(rows, key=lambda one: -one.rows)


def communication(
    operations: Iterable[Operation], shape: Sequence[int], link: float, share: float = LINK_SHARE
) -> float:
    """Seconds of all collectives, one after the other.

    Args:
      operations: of the program.
      shape: sides of the slice.
      link: bytes a second over all links of a chip.
      share: of `link` that a ring gets.
    """
    chips, wide = math.prod(shape), link * share
    total = 0.0
    for one in operations:
        if one.opcode in COLLECTIVES:
            total += _sent(one.opcode, one.result, one.group or chips) / wide
            total += one.trips * HOP * sum(side - 1 for side in shape)
    return total


def _sent(kind: str, result: int, chips: int) -> float:
    if kind == "reduce-scatter":
        return result * (chips - 1)
    if kind == "collective-permute":
        return result
    return result * (chips - 1) / chips * (2 if kind == "all-reduce" else 1)


def sides(count: int, dimensions: int) -> tuple[int, ...]:
    """A slice of `count` chips, a power of two, with sides as equal as they come."""
    power = count.bit_length() - 1
    short, longer = divmod(power, dimensions)
    return tuple(2 ** (short + (d >= dimensions - longer)) for d in range(dimensions))


@dataclasses.dataclass(frozen=True)
class Scale:
    """What a step takes on more or fewer chips with the same rows a chip.

    Attributes:
      chips: number of chips.
      compute: seconds of computation, the same everywhere.
      communication: seconds of collectives.
    """

    chips: int
    compute: float
    communication: float

    @property
    def one_after_the_other(self) -> float:
        """Share of the time that is computation, if nothing overlaps."""
        return self.compute / (self.compute + self.communication)

    @property
    def overlapped(self) -> float:
        """The same, if all communication runs beside the computation."""
        return self.compute / max(self.compute, self.communication)


def scaling(
    operations: Sequence[Operation], chip: Chip, shape: Sequence[int], fsdp: int,
    counts: Sequence[int] = (8, 16, 32, 64, 128, 256),
) -> list[Scale]:  # fmt: skip
    """The model of the top of this file on other slices.

    Collectives over the "fsdp" axis keep their chips, all others grow with the slice, and so do
    sums over a slice that is nothing but "fsdp".

    Args:
      operations: of a program for a slice.
      chip: of that slice.
      shape: of that slice.
      fsdp: chips that the state is split over.
      counts: numbers of chips, powers of two.
    """
    here = math.prod(shape)
    compute = seconds(sum(one.cycles for one in operations), chip)
    rows = []
    for count in counts:
        there = [
            dataclasses.replace(one, group=_regrouped(one, here, fsdp, count))
            for one in operations
            if one.opcode in COLLECTIVES
        ]
        spent = communication(there, sides(count, len(shape)), chip.link)
        rows.append(Scale(count, compute, spent))
    return rows


def _regrouped(one: Operation, here: int, fsdp: int, count: int) -> int:
    group = one.group or here
    # Where "fsdp" is the whole slice, a larger one has a "data" axis, too, to sum gradients over.
    if 1 < fsdp and group == fsdp and (group < here or one.opcode != "all-reduce"):
        return min(fsdp, count)
    return max(round(group * count / here), 1)
