"""Plans: everything that is known of a subject on a slice or a node, as numbers with names."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jax.sharding import Mesh

from jaxgesture.core.errors import UserError
from jaxgesture.planning import arithmetic, hlo, program, search, timing
from jaxgesture.planning.chips import Node, Topology
from jaxgesture.planning.program import Program, TooLarge
from jaxgesture.planning.search import Attempt
from jaxgesture.planning.subjects import Subject

HOUR = 3600.0
COSTLIEST = 10
MAX = "max"  # in place of a batch: the largest that fits

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
      batch: rows on all chips; MAX for the largest that fits; None for the configuration's.
      attempts: programs to compile for MAX, at most.
      efficiency: for GPUs, the share of the peak that is assumed.
    """

    batch: int | str | None = None
    attempts: int = 6
    efficiency: float = arithmetic.EFFICIENCY

    def rows(self, subject: Subject, count: int) -> int:
        """Rows on all chips, where a number of them is asked for.

        Raises:
          UserError: none, or a number that does not divide over the chips.
        """
        batch = subject.batch_size if self.batch is None else self.batch
        if batch is None:
            batch = count
        assert isinstance(batch, int)
        if batch < 1:
            raise UserError(f"--batch={batch} is none; choose 1 or more, or max")
        if batch % count:
            raise UserError(
                f"a batch of {batch} does not divide over {count} chips; give "
                f"--batch={-(-batch // count) * count}, or --batch=max"
            )
        return batch


def for_slice(subject: Subject, topology: Topology, request: Request, say: Say) -> dict[str, Any]:
    """Compiles the subject for a slice of TPU chips.

    Args:
      subject: what is planned.
      topology: the slice.
      request: with which batch.
      say: is told what is being done.

    Returns:
      the plan, see `compiled_plan`.

    Raises:
      UserError: libtpu is missing, the slice is unknown, or the program does not fit.
    """
    asked = None if request.batch == MAX else request.rows(subject, topology.count)
    chips = program.devices(topology)
    memory = topology.chip.sheet.memory
    grid = program.make_mesh(subject, chips, memory)
    where = f"{subject.what} of {subject.stage} for {topology.name}"
    made: dict[int, Program | TooLarge] = {}

    def attempt(rows: int) -> Attempt:
        say(f"compiling {where}, {rows} {subject.unit} a chip ...")
        made[rows] = found = program.compile_for(subject, grid, rows * topology.count)
        fits = isinstance(found, Program)
        limit = memory if isinstance(found, Program) else found.limit
        say(
            f"  {'fits' if fits else 'does not fit'}: {found.memory / 2**30:.2f} GiB a chip; "
            f"compiled in {found.seconds:.0f} s"
        )
        return Attempt(rows, found.memory, fits, limit)

    if asked is None:
        attempts = search.largest(attempt, memory, attempts=request.attempts, step=subject.parts)
    else:
        attempts = [attempt(asked // topology.count)]
    rows = search.best(attempts).rows if any(a.fits for a in attempts) else attempts[0].rows
    chosen = made[rows]
    if isinstance(chosen, TooLarge):
        raise UserError(
            f"{rows} {subject.unit} a chip do not fit: {chosen.memory / 2**30:.2f} GiB of "
            f"{chosen.limit / 2**30:.2f}; try a smaller --batch, --batch=max, "
            "--config.model.remat=True, a larger mesh.fsdp, or chips with more memory"
        )
    return compiled_plan(subject, topology, grid, rows, chosen, attempts)


def compiled_plan(
    subject: Subject, topology: Topology, grid: Mesh, rows: int, found: Program,
    attempts: Sequence[Attempt],
) -> dict[str, Any]:  # fmt: skip
    """All that is known of a compiled program; sizes in bytes, times in seconds, a chip's share."""
    chip, operations = topology.chip, found.text.operations
    compute = timing.seconds(found.cycles, chip)
    spent = timing.communication(operations, topology.shape, chip.link)
    products = sum(one.flops for one in operations)
    parts = timing.modules(operations, chip, subject.network, subject.depth)
    cycles = max(found.cycles, 1)
    return {
        **_head(subject, topology.name, topology.count, dict(grid.shape), rows),
        "method": "compiled by the TPU compiler, never run on a TPU",
        "flops": products,
        "memory": {
            "arguments": found.arguments,
            "temporaries": found.temporaries,
            "outputs": found.outputs,
            "of": min([chip.sheet.memory, *(a.limit for a in attempts)]),
        },
        "collectives": {
            kind: {"count": count, "bytes": size}
            for kind, (count, size) in found.collectives.items()
        },
        "estimated_cycles": found.cycles,
        "gigahertz": chip.gigahertz,
        "unknown_loops": found.text.unknown_loops,
        "compute_seconds": compute,
        "communication_seconds": spent,
        **_speed(subject, topology.count, rows, compute + spent, products, chip.sheet.teraflops),
        "bounds": {
            bound: sum(part.bounds[bound] for part in parts) / cycles for bound in timing.BOUNDS
        },
        "modules": [
            {**dataclasses.asdict(part), "share": part.total / cycles, "bound": part.bound}
            for part in parts
        ],
        "costliest": [
            {
                "operation": one.name,
                "module": timing.module_of(one.scope, subject.network, 3),
                "pass": timing.pass_of(one.scope),
                "scope": one.scope,
                "cycles": one.cycles,
                "share": one.cycles / cycles,
                "bound": timing.bound_of(one, chip),
                "result": one.types[:100],
            }
            for one in timing.costliest(operations, COSTLIEST)
        ],
        "without_estimate": [
            dataclasses.asdict(one)
            for one in timing.shuffles(operations, subject.network, subject.depth)
        ],
        "scaling": _scaling(subject, topology, grid, operations),
        **_search(subject, attempts),
        "compile_seconds": found.seconds,
    }


def for_node(subject: Subject, node: Node, request: Request, say: Say) -> dict[str, Any]:
    """Estimates the subject on GPUs; see `planning.arithmetic`.

    Args:
      subject: what is planned.
      node: the GPUs.
      request: with which batch.
      say: is told what is being done.

    Raises:
      UserError: the batch or the mesh does not divide, or not one row fits.
    """
    sheet = node.chip.sheet
    made: dict[int, arithmetic.Estimate] = {}

    def attempt(rows: int) -> Attempt:
        say(f"counting {subject.what} of {subject.stage}, {rows} {subject.unit} a GPU ...")
        found = made[rows] = arithmetic.estimate(subject, node, rows, request.efficiency)
        return Attempt(rows, found.memory, found.memory <= sheet.memory, sheet.memory)

    if request.batch == MAX:
        attempts = search.largest(
            attempt, sheet.memory, attempts=request.attempts, step=subject.parts
        )
        rows = search.best(attempts).rows
    else:
        rows = request.rows(subject, node.count) // node.count
        attempts = [attempt(rows)]
    found = made[rows]
    return {
        **_head(subject, node.name, node.count, found.mesh, rows),
        "method": "arithmetic, nothing compiled and nothing run",
        "efficiency": request.efficiency,
        "flops": found.flops,
        "memory": {
            "state": found.state,
            "inputs": found.inputs,
            "activations, an estimate": found.activations,
            "of": sheet.memory,
        },
        "compute_seconds": found.compute,
        "moving_seconds": found.moving,
        "communication_seconds": found.communication,
        "bound": found.bound,
        **_speed(subject, node.count, rows, found.seconds, found.flops, sheet.teraflops),
        **_search(subject, attempts),
    }


def _search(subject: Subject, attempts: Sequence[search.Attempt]) -> dict[str, Any]:
    return {
        "search": [dataclasses.asdict(one) for one in attempts],
        "search_settled": search.is_settled(list(attempts), subject.parts)
        if len(attempts) > 1
        else None,
    }


def _head(
    subject: Subject, where: str, count: int, mesh: Mapping[str, int], rows: int
) -> dict[str, Any]:
    return {
        "stage": subject.stage,
        "what": subject.what,
        "topology": where,
        "chips": count,
        "mesh": dict(mesh),
        "unit": subject.unit,
        "batch_size": rows * count,
        "rows_per_chip": rows,
        "dtype": subject.dtype,
        "parameters": dict(subject.parameters),
        "state_bytes": subject.state_bytes,
    }


def _speed(
    subject: Subject, count: int, rows: int, seconds: float, flops: float, teraflops: float
) -> dict[str, Any]:
    at_peak = flops / (teraflops * 1e12)
    speed = {
        "step_seconds": seconds,
        "seconds_at_peak": at_peak,
        "share_of_peak": at_peak / seconds if seconds else 0.0,
        "rows_per_second": rows * count / seconds if seconds else 0.0,
    }
    if subject.frames:
        speed["frames_per_second"] = speed["rows_per_second"] * subject.frames
    if subject.steps is not None:
        speed |= {"steps": subject.steps, "hours": subject.steps * seconds / HOUR}
    return speed


def _scaling(
    subject: Subject, topology: Topology, grid: Mesh, operations: Sequence[hlo.Operation]
) -> list[dict[str, Any]]:
    if subject.state is None:  # rows of inference never meet
        return []
    rows = timing.scaling(operations, topology.chip, topology.shape, grid.shape["fsdp"])
    return [
        {
            **dataclasses.asdict(row),
            "one_after_the_other": row.one_after_the_other,
            "overlapped": row.overlapped,
        }
        for row in rows
    ]
