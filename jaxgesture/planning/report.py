"""A plan as text and as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxgesture.core import strict_json, tree
from jaxgesture.planning import timing

MODULES = 16  # rows of the table at most; the rest is one row
SHUFFLES = 6  # lines at most

Lines = list[tuple[str, str]]


def text(plan: Mapping[str, Any]) -> str:
    """A plan as lines to read."""
    compiled = "estimated_cycles" in plan
    lines = [*_head(plan), *_memory(plan)]
    lines += _compiled(plan) if compiled else _arithmetic(plan)
    lines += _speed(plan)
    if compiled:
        lines.append(("compiled", f"in {plan['compile_seconds']:.0f} s"))
    lines += _search(plan)
    shown = "\n".join(f"{name:<12}{value}" for name, value in lines) + "\n"
    if compiled:
        shown += "\n" + modules_table(plan) + "\n" + costliest_table(plan)
        if plan["scaling"]:
            shown += "\n" + scaling_table(plan)
    return shown


def to_json(plan: Mapping[str, Any]) -> str:
    """All numbers."""
    return strict_json.dumps(plan)


def modules_table(plan: Mapping[str, Any]) -> str:
    """Cycles by module: the passes, the share of all, the share of the peak, what bounds it."""
    rows: list[Sequence[str]] = [
        ("module", "forward", "backward", "again", "share", "GFLOP", "GB moved", "bound by")
    ]
    parts = plan["modules"]
    for part in parts[:MODULES]:
        cycles = part["cycles"]
        rows.append((
            part["name"], *(_mega(cycles[name]) for name in
                            (timing.FORWARD, timing.BACKWARD, timing.AGAIN)),
            f"{part['share']:.1%}", f"{part['flops'] / 1e9:.1f}", f"{part['traffic'] / 1e9:.2f}",
            part["bound"],
        ))  # fmt: skip
    if rest := parts[MODULES:]:
        sums = (_mega(sum(part["cycles"][name] for part in rest))
                for name in (timing.FORWARD, timing.BACKWARD, timing.AGAIN))  # fmt: skip
        share = sum(part["share"] for part in rest)
        rows.append((f"{len(rest)} more", *sums, f"{share:.1%}", "", "", ""))
    return "million cycles by module\n" + table(rows)


def costliest_table(plan: Mapping[str, Any]) -> str:
    """The operations with the most cycles."""
    rows = [("costliest operation", "module", "pass", "Mcycles", "share", "bound by", "result")]
    for one in plan["costliest"]:
        result = one["result"].partition("{")[0].lstrip("(")
        rows.append((
            one["operation"], one["module"], one["pass"], _mega(one["cycles"]),
            f"{one['share']:.1%}", one["bound"], result,
        ))  # fmt: skip
    return table(rows)


def scaling_table(plan: Mapping[str, Any]) -> str:
    """The step on other slices with as many rows a chip."""
    rows = [("chips", "compute, ms", "communication, ms", "efficiency", "if all overlaps")]
    rows += [
        (
            str(row["chips"]), f"{1e3 * row['compute']:.1f}", f"{1e3 * row['communication']:.2f}",
            f"{row['one_after_the_other']:.1%}", f"{row['overlapped']:.1%}",
        )
        for row in plan["scaling"]
    ]  # fmt: skip
    return "other slices by the model, as many rows a chip\n" + table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of texts, the first row the head; numbers lean right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = [all(_numeric(row[column]) for row in rows[1:]) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if leans else cell.ljust(width)
            for cell, width, leans in zip(row, widths, right, strict=True)
        ]
        return f"| {' | '.join(cells)} |"

    rule = "|".join(
        f"{'-' * (width + 1)}{':' if leans else '-'}"
        for width, leans in zip(widths, right, strict=True)
    )
    return "\n".join([line(rows[0]), f"|{rule}|", *map(line, rows[1:])]) + "\n"


def size(count: float) -> str:
    """Bytes for people."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if count >= unit / 4:
            return f"{count / unit:.{2 if unit == 2**30 else 1}f} {name}"
    return f"{count / 2**10:.1f} KiB"


def _numeric(cell: str) -> bool:
    return not cell or cell.rstrip("%").replace(".", "", 1).isdigit()


def _mega(cycles: float) -> str:
    return f"{cycles / 1e6:.2f}"


def _head(plan: Mapping[str, Any]) -> Lines:
    parameters = ", ".join(
        f"{name} {tree.format_count(count)}" for name, count in plan["parameters"].items()
    )
    mesh = ", ".join(f"{name} {size}" for name, size in plan["mesh"].items())
    return [
        ("plan", f"{plan['what']}, {plan['stage']}, {plan['dtype']}; parameters: {parameters}"),
        ("by", plan["method"]),
        ("place", f"{plan['topology']}, {plan['chips']} chips; mesh {mesh}"),
        ("batch", f"{plan['batch_size']} {plan['unit']}, {plan['rows_per_chip']} a chip"),
        ("operations", f"{plan['flops'] / 1e12:.3f} TFLOP a chip"),
    ]


def _memory(plan: Mapping[str, Any]) -> Lines:
    memory = dict(plan["memory"])
    limit = memory.pop("of")
    total = sum(memory.values())
    parts = ", ".join(f"{name} {size(count)}" for name, count in memory.items())
    left = f"{size(limit - total)} left" if total <= limit else f"{size(total - limit)} TOO MUCH"
    return [("memory", f"{size(total)} of {size(limit)} a chip: {parts}; {left}")]


def _compiled(plan: Mapping[str, Any]) -> Lines:
    bounds = ", ".join(f"{name} {share:.0%}" for name, share in plan["bounds"].items())
    lines = [
        ("collectives", f"{kind}: {row['count']}, {size(row['bytes'])}")
        for kind, row in plan["collectives"].items()
    ]
    lines += [
        ("step", f"{1e3 * plan['step_seconds']:.1f} ms estimated: "
         f"{1e3 * plan['compute_seconds']:.1f} of cycles and "
         f"{1e3 * plan['communication_seconds']:.1f} of communication beside nothing"),
        ("bound by", f"{bounds} of the cycles (neither: vector units, layout, latency)"),
    ]  # fmt: skip
    if plan["unknown_loops"]:
        lines.append(
            ("loops", f"{plan['unknown_loops']} whose turns are not known: counted as one")
        )
    clock = plan["gigahertz"] * 1e9
    lines += [
        ("no estimate", f"{one['module']}: {one['count']} {one['kind']}s of {one['rows']} rows, "
         f"{1e3 * one['rows'] / clock:.1f} ms more at one cycle a row")
        for one in plan["without_estimate"][:SHUFFLES]
    ]  # fmt: skip
    return lines


def _arithmetic(plan: Mapping[str, Any]) -> Lines:
    return [
        ("step", f"{1e3 * plan['step_seconds']:.1f} ms: the larger of "
         f"{1e3 * plan['compute_seconds']:.1f} of operations at {plan['efficiency']:.0%} of the "
         f"peak and {1e3 * plan['moving_seconds']:.1f} of memory traffic, and "
         f"{1e3 * plan['communication_seconds']:.1f} of communication; bound by {plan['bound']}"),
    ]  # fmt: skip


def _speed(plan: Mapping[str, Any]) -> Lines:
    speed = f"{plan['rows_per_second']:.0f} {plan['unit']}/s"
    if "frames_per_second" in plan and plan["unit"] != "frames":
        speed += f", {plan['frames_per_second']:.0f} frames/s"
    if "hours" in plan:
        speed += f"; {plan['steps']} steps in {plan['hours']:.1f} hours"
    return [
        ("of the peak", f"{plan['share_of_peak']:.0%}; at the peak it would take "
         f"{1e3 * plan['seconds_at_peak']:.1f} ms"),
        ("speed", speed),
    ]  # fmt: skip


def _search(plan: Mapping[str, Any]) -> Lines:
    attempts = plan["search"]
    if len(attempts) < 2:
        return []
    tried = ", ".join(
        f"{one['rows']} {'fits' if one['fits'] else 'does not'} ({size(one['memory'])})"
        for one in sorted(attempts, key=lambda one: one["rows"])
    )
    settled = (
        ""
        if plan["search_settled"] in (True, None)
        else ("; not settled: more may fit, raise --attempts")
    )
    return [("largest", f"{plan['rows_per_chip']} a chip; tried {tried}{settled}")]
