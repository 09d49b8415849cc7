"""What is read from a compiled program's text."""

import pytest
from planning.texts import PROGRAM

from jaxgesture.planning import hlo

CONVOLUTION = 2 * 4 * 32 * 32 * 128 * (3 * 3 * 64)


@pytest.fixture(scope="module")
def program():
    return hlo.read(PROGRAM)


def one(program, name):
    (found,) = [o for o in program.operations if o.name == name]
    return found


def test_a_fusion_is_one_operation_with_the_work_inside_it(program):
    found = one(program, "convolution_fusion")
    assert (found.cycles, found.flops, found.trips) == (9000, CONVOLUTION, 1)
    assert found.scope == "jit(step)/jvp(Net.redraw)/encoder/first/conv/conv_general_dilated"
    # The kernel lies on the chip: only the input and the result move.
    assert found.traffic == 2 * 4 * 32 * 32 * (64 + 128)
    assert one(program, "multiply_fusion").flops == 0


def test_a_loop_counts_as_often_as_it_turns(program):
    runs = sorted(o.trips for o in program.operations if o.name == "negate.4")
    assert runs == [1, 50] and program.unknown_loops == 1
    assert sum(o.cycles for o in program.operations) == 9000 + 4000 + 51 * 30


def test_a_loop_counts_up_to_what_its_condition_says():
    counted = PROGRAM.replace(
        "ROOT %constant.2 = pred[]{:T(512)} constant(true)",
        "%constant.2 = s32[]{:T(128)} constant(7)\n"
        "  ROOT %compare.2 = pred[]{:T(512)} compare(%d, %constant.2), direction=LT",
    )
    found = hlo.read(counted)
    assert sorted(o.trips for o in found.operations if o.name == "negate.4") == [7, 50]
    assert not found.unknown_loops


def test_collectives_have_the_bytes_of_their_results_and_their_group(program):
    found = one(program, "all-reduce.1")
    assert (found.opcode, found.result, found.group) == ("all-reduce", 4 * 65, 2)
    found = one(program, "all-gather-start.1")
    assert (found.opcode, found.result, found.group) == ("all-gather", 4 * 512, 8)
    assert sum(o.opcode in hlo.COLLECTIVES for o in program.operations) == 2


def test_what_is_asynchronous_counts_once():
    """A gather's start, middle and end are fusions that each name it, by one channel."""
    line = "  %g{} = f32[512]{{0}} all-gather(%p{}), channel_id=3, replica_groups=[2,8]<=[16]\n"
    fused = (
        "%fused.{0} (p{0}: f32[64]) -> f32[512] {{\n  %p{0} = f32[64]{{0}} parameter(0)\n{1}}}\n\n"
    )
    call = "  %f{0} = f32[512]{{0}} fusion(%p), kind=kCustom, calls=%fused.{0}\n"
    text = "".join(fused.format(i, line.format(i, i)) for i in range(3))
    text += "ENTRY %main (p: f32[64]) -> f32[512] {\n  %p = f32[64]{0} parameter(0)\n"
    found = hlo.read(text + "".join(call.format(i) for i in range(3)) + "}\n")
    gathers = [o for o in found.operations if o.opcode == "all-gather"]
    assert [(o.result, o.group) for o in gathers] == [(4 * 512, 8)]


@pytest.mark.parametrize(
    ("kind", "types", "size"),
    [
        ("collective-permute", "(f32[512]{0}, f32[512]{0}, u32[]{:T(128)}, u32[]{:T(128)})", 512),
        ("all-reduce", "(f32[512]{0}, f32[64]{0})", 576),
        ("all-gather", "((f32[8]{0}, f32[1]{0}), (f32[64]{0}, f32[8]{0}))", 72),
    ],
)
def test_the_results_of_an_asynchronous_start(kind, types, size):
    text = "ENTRY %main (p: f32[8]) -> f32[8] {\n  %p = f32[8]{0} parameter(0)\n"
    found = hlo.read(f"{text}  %s = {types} {kind}-start(%p), channel_id=1\n}}\n")
    assert one(found, "s").result == 4 * size


def test_what_no_cycles_are_estimated_of_has_its_rows(program):
    found = {o.name: (o.shuffle, o.rows) for o in program.operations if o.shuffle}
    assert found == {
        "gather_fusion": ("gather", 40),
        "scatter_fusion": ("scatter", 40),
        "sort.1": ("sort", 40),
    }


def test_other_ways_to_write_a_group():
    line = "  %r = f32[8]{0} all-reduce(%p), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%sum\n"
    text = "ENTRY %main (p: f32[8]) -> f32[8] {\n  %p = f32[8]{0} parameter(0)\n" + line + "}\n"
    assert hlo.read(text).operations[0].group == 4
    named = "mesh['axis_0'=1,'axis_1'=2,'axis_2'=3], device_ids=([2,3]T(1,0)) {'axis_1'}"
    assert hlo.read(text.replace("{{0,1,2,3},{4,5,6,7}}", named)).operations[0].group == 2
    everyone = text.replace("{{0,1,2,3},{4,5,6,7}}", "{}")
    assert hlo.read(everyone).operations[0].group == 0


def test_zeros_between_the_inputs_of_a_convolution_are_no_work():
    text = PROGRAM.replace("pad=1_1x1_1}", "pad=1_1x1_1 lhs_dilate=2x2}")
    assert one(hlo.read(text), "convolution_fusion").flops == CONVOLUTION / 4


def test_sizes():
    assert hlo.size("(bf16[2,3]{1,0:T(8,128)}, f32[]{:T(128)})") == 16
    assert hlo.size("(bf16[2,3]{1,0:T(8,128)S(1)}, f32[])", off_chip=True) == 4


def test_a_text_without_an_entry():
    with pytest.raises(ValueError, match="without an entry"):
        hlo.read("HloModule nothing\n")
