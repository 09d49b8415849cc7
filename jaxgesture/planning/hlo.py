"""What the text of a compiled program says of its operations: cycles, work, traffic, scope.

The text lists computations; the entry calls others: a loop's body as often as the text knows the
loop to turn ("known_trip_count", or what its condition counts up to), a branch once. What is inside
a fusion happens in one operation, the fusion. An operation costs what the compiler estimates
("estimated_cycles"), computes 2 x outputs x inputs of one output for each convolution in it (matrix
products are convolutions there), and moves its operands and results, except those that the layout
places on the chip, "S(1)".
Of gathers, scatters and sorts the compiler estimates no cycles: their rows are counted instead.
"""

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping

SHUFFLES = ("gather", "scatter", "sort")
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "f32": 4, "s32": 4,
          "u32": 4, "f64": 8, "s64": 8, "u64": 8}  # fmt: skip
_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?(?P<name>[\w.\-]+) = (?P<rest>.*)$")
_OPCODE = re.compile(r"([a-z][\w\-]*)\(")
_NAME = re.compile(r"%([\w.\-]+)")
_TYPE = re.compile(r"(\w+)\[([\d,]*)\](\{[^}]*\})?")
_CYCLES = re.compile(r'"?estimated_cycles"?:"?(\d+)')
_TRIPS = re.compile(r'"?known_trip_count"?:\s*\{"?n"?:\s*"?(\d+)')
_SCOPE = re.compile(r'op_name="([^"]*)"')
_CALLED = re.compile(r"\b(calls|body|condition|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_LABELS = re.compile(r"dim_labels=\w+_(\w+)->\w+")
_DILATION = re.compile(r"lhs_dilate=([\dx]+)")
# Bookkeeping, or copies that run beside the operations that they serve.
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "copy-done",
         "slice-done", "partition-id", "custom-call"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: unique in the program.
      types: of its results, as written.
      opcode: what it does.
      within: what stands between its parentheses.
      attributes: the rest of the line.
    """

    name: str
    types: str
    opcode: str
    within: str
    attributes: str

    @property
    def operands(self) -> list[str]:
        """Names of what it reads."""
        return _NAME.findall(self.within)


@dataclasses.dataclass(frozen=True)
class Operation:
    """An instruction that costs time, with all its turns.

    Attributes:
      name: of the instruction.
      opcode: of the instruction; "-start" is left out.
      scope: op_name, the path of transformations and modules that made it; empty if unknown.
      types: of its results.
      trips: how often it runs.
      cycles: of all its turns, as the compiler estimates them; 0 where it gives none.
      flops: of all its turns, those of convolutions and matrix products.
      traffic: bytes of operands and results that lie in the HBM, of all its turns.
      result: bytes of its results, of all its turns.
      group: chips that a collective joins; 0 for all of them, and for other operations.
      shuffle: one of SHUFFLES that no cycles are estimated of; empty for all others.
      rows: that a shuffle reads, writes or sorts, of all its turns.
    """

    name: str
    opcode: str
    scope: str
    types: str
    trips: int
    cycles: int
    flops: float
    traffic: int
    result: int
    group: int = 0
    shuffle: str = ""
    rows: int = 0


@dataclasses.dataclass(frozen=True)
class Text:
    """A program.

    Attributes:
      operations: all that it runs.
      unknown_loops: loops whose turns the text does not know; one turn is counted.
    """

    operations: tuple[Operation, ...]
    unknown_loops: int


def size(types: str, *, off_chip: bool = False) -> int:
    """Bytes of one or several types, such as "(f32[8,2]{1,0}, bf16[])".

    Args:
      types: as the text writes them.
      off_chip: count only what lies in the HBM.
    """
    total = 0
    for kind, shape, layout in _TYPE.findall(types):
        if not (off_chip and "S(1)" in layout):
            total += _BYTES.get(kind, 0) * math.prod(int(n) for n in shape.split(",") if n)
    return total


def read(text: str) -> Text:
    """Reads a compiled program's text.

    Raises:
      ValueError: it has no entry.
    """
    computations, entry = _computations(text)
    if entry is None:
        raise ValueError("a program without an entry")
    found: list[Operation] = []
    channels: set[str] = set()
    unknown = 0
    waiting = [(entry, 1)]
    while waiting:
        name, trips = waiting.pop()
        lines = {line.name: line for line in computations[name]}
        for line in lines.values():
            called, turns = _called(line), trips
            if line.opcode == "while":
                known = _turns(line, computations)
                unknown += known is None
                turns = trips * (known or 1)
            if line.opcode == "fusion":
                inside = [i for inner in called for i in computations[inner]]
                found += _collectives(inside, {}, trips, channels)
                found.append(_operation(line, lines, trips, inside, computations))
                continue
            waiting += [(inner, turns) for inner in called if inner in computations]
            if _kind(line.opcode) in COLLECTIVES:
                found += _collectives([line], lines, trips, channels)
            elif not called and line.opcode not in _FREE:
                found.append(_operation(line, lines, trips, [line], computations))
    return Text(tuple(found), unknown)


def _computations(text: str) -> tuple[dict[str, list[Instruction]], str | None]:
    computations: dict[str, list[Instruction]] = {}
    entry = current = None
    for line in text.splitlines():
        if not line.startswith(" "):
            head = _COMPUTATION.match(line)
            current = computations.setdefault(head["name"], []) if head else None
            if head and head["entry"]:
                entry = head["name"]
        elif current is not None and (match := _INSTRUCTION.match(line)):
            instruction = _instruction(match["name"], match["rest"])
            if instruction is not None:
                current.append(instruction)
    return computations, entry


def _instruction(name: str, rest: str) -> Instruction | None:
    # The first word in front of a parenthesis that is no layout: types have none in lower case.
    start = _closing(rest, 0) if rest.startswith("(") else rest.find(" ")
    match = _OPCODE.search(rest, max(start, 0))
    if match is None:
        return None
    end = _closing(rest, match.end() - 1)
    within = rest[match.end() : end]
    return Instruction(name, rest[: match.start()].strip(), match[1], within, rest[end:])


def _closing(text: str, opening: int) -> int:
    depth = 0
    for place in range(opening, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if not depth:
            return place
    return len(text)


def _turns(line: Instruction, computations: Mapping[str, list[Instruction]]) -> int | None:
    """How often a loop turns: what the text says, else what it counts up to; None if neither."""
    if known := _TRIPS.search(line.attributes):
        return int(known[1])
    condition = re.search(r"\bcondition=%?([\w.\-]+)", line.attributes)
    test = computations.get(condition[1], []) if condition else []
    ends = [int(i.within) for i in test if i.opcode == "constant" and i.within.isdigit()]
    counts = [i for i in test if i.opcode == "compare" and "direction=LT" in i.attributes]
    return ends[0] if len(ends) == len(counts) == 1 else None


def _called(line: Instruction) -> list[str]:
    names = [name for _, name in _CALLED.findall(line.attributes)]
    if branches := _BRANCHES.search(line.attributes):
        names += re.findall(r"[\w.\-]+", branches[1])
    if line.opcode == "call":
        names += re.findall(r"to_apply=%?([\w.\-]+)", line.attributes)
    return names


def _collectives(
    inside: list[Instruction],
    lines: Mapping[str, Instruction],
    trips: int,
    channels: set[str],
) -> Iterator[Operation]:
    """Each once: the start, the middle and the end of an asynchronous one share its channel."""
    for line in inside:
        if _kind(line.opcode) in COLLECTIVES:
            channel = re.search(r"channel_id=(\d+)", line.attributes)
            if channel is None or channel[1] not in channels:
                yield _operation(line, lines, trips, [], {})
            channels |= {channel[1]} if channel else set()


def _kind(opcode: str) -> str:
    return opcode.removesuffix("-start")


def _operation(
    line: Instruction,
    lines: Mapping[str, Instruction],
    trips: int,
    inside: list[Instruction],
    computations: Mapping[str, list[Instruction]],
) -> Operation:
    scope, cycles = _SCOPE.search(line.attributes), _CYCLES.search(line.attributes)
    known = {i.name: i for i in inside} if line.opcode == "fusion" else lines
    read = {name: lines[name].types for name in line.operands if name in lines}
    types = line.types
    if line.opcode.endswith("-start") and types.startswith("("):
        types = _results(line)
    shuffle, rows = ("", 0) if cycles else _shuffled(inside, known, computations)
    return Operation(
        name=line.name,
        opcode=_kind(line.opcode),
        scope=scope[1] if scope else "",
        types=types,
        trips=trips,
        cycles=trips * int(cycles[1]) if cycles else 0,
        flops=trips * sum(_flops(i, known, computations) for i in inside),
        traffic=trips * sum(size(t, off_chip=True) for t in (types, *read.values())),
        result=trips * size(types),
        group=_group(line.attributes) if _kind(line.opcode) in COLLECTIVES else 0,
        shuffle=shuffle,
        rows=trips * rows,
    )


def _results(line: Instruction) -> str:
    """The types of an asynchronous start's results, beside which it may name its operands."""
    every = [match[0] for match in _TYPE.finditer(line.types)]
    match _kind(line.opcode):
        case "all-reduce":
            kept = every
        case "all-gather":
            kept = every[len(every) // 2 :]
        case "collective-permute":
            kept = every[1:2]  # behind it come two counters
        case _:
            kept = every[:1]
    return ", ".join(kept)


def _group(attributes: str) -> int:
    if match := re.search(r"replica_groups=\[\d+,(\d+)\]", attributes):
        return int(match[1])
    if match := re.search(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}", attributes):
        sides = dict(re.findall(r"'(\w+)'=(\d+)", match[1]))
        return math.prod(int(sides[axis]) for axis in re.findall(r"'(\w+)'", match[2]))
    if match := re.search(r"replica_groups=\{\{([\d,]+)\}", attributes):
        return match[1].count(",") + 1
    return 0


def _flops(
    line: Instruction,
    lines: Mapping[str, Instruction],
    computations: Mapping[str, list[Instruction]],
) -> float:
    if line.opcode == "fusion":  # inside another
        inside = [i for inner in _called(line) for i in computations[inner]]
        known = {i.name: i for i in inside}
        return sum(_flops(i, known, computations) for i in inside)
    labels = _LABELS.search(line.attributes)
    if line.opcode != "convolution" or labels is None or line.operands[1] not in lines:
        return 0.0
    outputs = _elements(line.types)
    sides = _shape(lines[line.operands[1]].types)
    inputs = math.prod(n for n, label in zip(sides, labels[1], strict=True) if label != "o")
    # Zeros between the inputs are no work.
    dilation = _DILATION.search(line.attributes)
    holes = math.prod(map(int, dilation[1].split("x"))) if dilation else 1
    groups = 1
    for match in re.finditer(r"batch_group_count=(\d+)", line.attributes):
        groups *= int(match[1])
    return 2.0 * outputs * inputs / holes / groups


def _shuffled(
    inside: Iterable[Instruction],
    lines: Mapping[str, Instruction],
    computations: Mapping[str, list[Instruction]],
) -> tuple[str, int]:
    for line in inside:
        if line.opcode == "fusion":  # inside another
            within = [i for inner in _called(line) for i in computations.get(inner, ())]
            found = _shuffled(within, {i.name: i for i in within}, computations)
            if found[0]:
                return found
        if line.opcode == "gather":
            window = re.search(r"slice_sizes=\{([\d,]*)\}", line.attributes)
            sides = [int(n) for n in window[1].split(",") if n] if window else []
            return line.opcode, _elements(line.types) // max(math.prod(sides), 1)
        if line.opcode == "scatter":
            updates = lines[line.operands[-1]].types if line.operands[-1] in lines else line.types
            window = re.search(r"update_window_dims=\{([\d,]*)\}", line.attributes)
            axes = [int(n) for n in window[1].split(",") if n] if window else []
            shape = _shape(updates)
            return line.opcode, _elements(updates) // max(math.prod(shape[a] for a in axes), 1)
        if line.opcode == "sort":
            return line.opcode, _elements(line.types)
    return "", 0


def _elements(types: str) -> int:
    return math.prod(_shape(types))


def _shape(types: str) -> list[int]:
    """Of the first of some types."""
    match = _TYPE.search(types)
    return [int(n) for n in match[2].split(",") if n] if match else [0]
