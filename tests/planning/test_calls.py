"""Computations that call others: branches, calls, loops in loops, fusions in fusions."""

import pytest

from jaxgesture.planning import hlo

HEAD = "ENTRY %main (p: f32[8,8]) -> f32[8,8] {\n  %p = f32[8,8]{1,0} parameter(0)\n"
CYCLES = 'backend_config={"estimated_cycles":"10"}'
PRODUCT = (
    "  %w = f32[8,16]{1,0} parameter(1)\n"
    "  %product = f32[4,16]{1,0} convolution(%p, %w), dim_labels=bf_io->bf"
)
FLOPS = 2 * 4 * 16 * 8


def program(entry, *computations):
    return hlo.read("\n".join([*computations, f"{HEAD}{entry}\n}}\n"]))


def computation(name, *lines):
    return "\n".join([f"%{name} (a: f32[8,8]) -> f32[8,8] {{", *lines, "}"])


def body(name, line=f"  %x = f32[8,8]{{1,0}} negate(%a), {CYCLES}"):
    return computation(name, "  %a = f32[8,8]{1,0} parameter(0)", line)


def loop(name, inner, turns):
    trips = f'{{"known_trip_count":{{"n":"{turns}"}}}}'
    return f"  %{name} = f32[8,8]{{1,0}} while(%p), body=%{inner}, backend_config={trips}"


@pytest.mark.parametrize(
    "branches",
    [
        "true_computation=%one, false_computation=%two",
        "branch_computations={%one, %two}",
    ],
)
def test_every_branch_counts_once(branches):
    line = f"  %choice = f32[8,8]{{1,0}} conditional(%p, %p, %p), {branches}"
    found = program(line, body("one"), body("two"))
    assert [(o.name, o.trips, o.cycles) for o in found.operations] == [("x", 1, 10)] * 2
    assert found.unknown_loops == 0


def test_a_call_is_what_it_calls():
    found = program("  %c = f32[8,8]{1,0} call(%p), to_apply=%one", body("one"))
    assert [(o.name, o.cycles) for o in found.operations] == [("x", 10)]


def test_what_a_reduction_applies_is_no_call():
    """It happens inside of the operation, which is counted itself."""
    line = f"  %r = f32[8]{{0}} reduce(%p, %p), dimensions={{1}}, to_apply=%one, {CYCLES}"
    assert [o.name for o in program(line, body("one")).operations] == ["r"]


def test_loops_in_loops_multiply_their_turns():
    outer = computation("outer", loop("inner_loop", "inner", 5))
    found = program(loop("outer_loop", "outer", 3), outer, body("inner"))
    assert [(o.name, o.trips, o.cycles) for o in found.operations] == [("x", 15, 150)]


@pytest.mark.parametrize(
    ("test", "turns"),
    [
        ("constant(6)|compare(%a, %n), direction=LT", 6),
        ("constant(6)|compare(%a, %n), direction=LE", None),
        ("constant(6)|constant(7)|compare(%a, %n), direction=LT", None),
        ("constant(true)", None),
    ],
)
def test_only_a_loop_that_counts_up_to_one_number_is_known(test, turns):
    lines = [f"  %n{i} = s32[] {part}" for i, part in enumerate(test.split("|"))]
    line = "  %loop = f32[8,8]{1,0} while(%p), condition=%until, body=%one"
    found = program(line, computation("until", *lines), body("one"))
    assert found.unknown_loops == (turns is None)
    assert [o.trips for o in found.operations if o.name == "x"] == [turns or 1]


@pytest.mark.parametrize(
    ("more", "divisor"),
    [("", 1), (", batch_group_count=4", 4), (", window={size=1 lhs_dilate=2}", 2)],
)
def test_the_work_of_a_fusion_in_a_fusion(more, divisor):
    inner = computation("inner", "  %p = f32[4,8]{1,0} parameter(0)", PRODUCT + more)
    outer = body("outer", "  %f = f32[4,16]{1,0} fusion(%a), kind=kLoop, calls=%inner")
    line = f"  %g = f32[4,16]{{1,0}} fusion(%p), kind=kOutput, calls=%outer, {CYCLES}"
    (found,) = program(line, inner, outer).operations
    assert (found.name, found.flops) == ("g", FLOPS / divisor)


def test_a_collective_in_a_fusion_is_an_operation_of_its_own():
    gathers = "  %x = f32[16,8]{1,0} all-gather(%a), replica_groups=[4,2]<=[8], dimensions={0}"
    line = f"  %g = f32[16,8]{{1,0}} fusion(%p), kind=kCustom, calls=%one, {CYCLES}"
    looped = body("two", line.replace("%p", "%a"))
    found = program(loop("l", "two", 3), body("one", gathers), looped).operations
    assert {(o.opcode, o.trips, o.result, o.group) for o in found} == {
        ("all-gather", 3, 3 * 4 * 16 * 8, 2), ("fusion", 3, 3 * 4 * 16 * 8, 0),
    }  # fmt: skip


@pytest.mark.parametrize("inside", ["gather", "scatter", "sort"])
def test_a_shuffle_with_an_estimate_is_none(inside):
    plain = f"  %s = f32[40,8]{{1,0}} {inside}(%p, %p), slice_sizes={{1,8}}"
    (without,), (known,) = (program(p).operations for p in (plain, f"{plain}, {CYCLES}"))
    assert without.shuffle == inside and without.rows > 0 and without.cycles == 0
    assert (known.shuffle, known.rows, known.cycles) == ("", 0, 10)


@pytest.mark.parametrize(
    ("types", "total"),
    [
        ("", 0), ("f32[]", 4), ("pred[7]", 7), ("(s64[2], u8[3], bf16[5])", 16 + 3 + 10),
        ("token[]", 0), ("f32[0,9]", 0),
    ],
)  # fmt: skip
def test_bytes_of_types(types, total):
    assert hlo.size(types) == total


def test_bookkeeping_costs_nothing_and_results_on_the_chip_are_no_traffic():
    near = "  %n = f32[8,8]{1,0:S(1)} negate(%p)"
    lines = ["  %t = (f32[8,8]{1,0}) tuple(%p)", "  %b = f32[64]{0} bitcast(%p)", near]
    (found,) = program("\n".join(lines)).operations
    assert (found.name, found.traffic, found.result) == ("n", 4 * 64, 4 * 64)
