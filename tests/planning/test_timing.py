"""Modules, bounds and communication, from numbers that can be done by hand."""

import dataclasses

import pytest
from planning.texts import PROGRAM

from jaxgesture.planning import hlo, timing
from jaxgesture.planning.chips import CHIPS

CHIP = CHIPS["v5e"]
OPERATION = hlo.Operation("fusion.1", "fusion", "", "f32[]", 1, 1_500_000, 0.0, 0, 0)


@pytest.mark.parametrize(
    ("scope", "depth", "module"),
    [
        ("jit(step)/jvp(Net.redraw)/encoder/first/conv/conv_general_dilated", 1, "encoder"),
        ("jit(step)/transpose(jvp(Net))/encoder/first/conv/add", 3, "encoder/first/conv"),
        ("jit(step)/jvp(Net)/Net.denoise/stack_3/self_attn/dot_general", 3, "stack/self_attn"),
        ("jit(step)/jvp(Discriminator)/encoder_0/conv_general_dilated", 1, "Discriminator"),
        ("jit(step)/transpose(jvp(vgg19))/relu/jit(relu)/max", 2, "vgg19/relu"),
        ("jit(step)/jvp(Net)/a_1/bthc,bshc->bhts/dot_general", 3, "a"),
        ("jit(step)/transpose(jvp(Net))/rematted_computation/checkpoint/up_0/mul", 1, "up"),
        ("jit(step)/reduce_sum", 1, timing.OUTSIDE),
        ("", 1, timing.OUTSIDE),
    ],
)
def test_the_module_of_a_scope(scope, depth, module):
    assert timing.module_of(scope, "Net", depth) == module


def test_the_pass_of_a_scope():
    assert timing.pass_of("jit(step)/jvp(Net)/up/mul") == timing.FORWARD
    assert timing.pass_of("jit(step)/transpose(jvp(Net))/up/mul") == timing.BACKWARD
    again = "jit(step)/transpose(jvp(Net))/rematted_computation/up/mul"
    assert timing.pass_of(again) == timing.AGAIN


def test_what_bounds_an_operation():
    """1.5 M cycles are 1 ms on v5e, in which 197 GFLOP or 0.82 GB are possible."""
    for flops, traffic, bound in (
        (0.6 * 197e9, 0, "compute"),
        (0, 0.6 * 0.82e9, "memory"),
        (0.6 * 197e9, 0.7 * 0.82e9, "memory"),
        (0.4 * 197e9, 0.4 * 0.82e9, "neither"),
    ):
        one = dataclasses.replace(OPERATION, flops=flops, traffic=int(traffic))
        assert timing.bound_of(one, CHIP) == bound


def test_modules_and_the_costliest():
    operations = hlo.read(PROGRAM).operations
    first, second, third = timing.modules(operations, CHIP, "Net", 1)
    assert (first.name, first.cycles["forward"], first.cycles["backward"]) == ("encoder", 9000, 0)
    assert (second.name, second.cycles["backward"]) == ("decoder", 4000)
    assert (third.name, third.total) == ("sampler", 51 * 30)
    assert first.flops > 0 and first.total == sum(first.bounds.values())
    assert [one.name for one in timing.costliest(operations, 2)] == [
        "convolution_fusion", "multiply_fusion",
    ]  # fmt: skip


def test_what_the_cycles_leave_out():
    found = timing.shuffles(hlo.read(PROGRAM).operations, "Net", 1)
    assert {(one.module, one.kind, one.count, one.rows) for one in found} == {
        ("warp", "gather", 1, 40), ("warp", "scatter", 1, 40), ("warp", "sort", 1, 40),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "bytes_sent"),
    [
        ("all-reduce", 2 * 15 / 16),
        ("all-gather", 15 / 16),
        ("all-to-all", 15 / 16),
        ("reduce-scatter", 15),
        ("collective-permute", 1),
    ],
)
def test_communication(kind, bytes_sent):
    one = dataclasses.replace(OPERATION, opcode=kind, result=10**9)
    expected = bytes_sent * 1e9 / (0.5 * 2e11) + 6 * timing.HOP
    assert timing.communication([one], (4, 4), 2e11) == pytest.approx(expected)


def test_slices_of_any_size():
    assert timing.sides(8, 2) == (2, 4) and timing.sides(256, 2) == (16, 16)
    assert timing.sides(128, 3) == (4, 4, 8) and timing.sides(8, 3) == (2, 2, 2)


def test_sums_grow_with_a_slice_that_is_all_fsdp():
    reduced = dataclasses.replace(OPERATION, opcode="all-reduce", result=10**8, cycles=0, group=16)
    gathered = dataclasses.replace(reduced, opcode="all-gather")
    for one, grows in ((reduced, True), (gathered, False)):
        here, there = timing.scaling([one], CHIP, (4, 4), 16, (16, 256))
        assert (there.communication > 1.04 * here.communication) == grows, one.opcode


def test_scaling():
    reduced = dataclasses.replace(OPERATION, opcode="all-reduce", result=10**8, cycles=0)
    gathered = dataclasses.replace(reduced, opcode="all-gather", group=4)
    rows = timing.scaling([OPERATION, reduced, gathered], CHIP, (4, 4), 4, (8, 16, 256))
    assert [row.compute for row in rows] == [1e-3] * 3
    ring, split = 2 * 1e8 / 1e11, 1e8 / 1e11 * 3 / 4
    for row, hops in zip(rows, (4, 6, 30), strict=True):
        n = row.chips
        spent = ring * (n - 1) / n + split + 2 * hops * timing.HOP
        assert row.communication == pytest.approx(spent)
        assert row.one_after_the_other == pytest.approx(1e-3 / (1e-3 + spent))
        assert row.overlapped == pytest.approx(1e-3 / spent)
