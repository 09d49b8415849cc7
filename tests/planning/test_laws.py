"""Laws that counts, searches and the model of communication keep, whatever the numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.planning import hlo, search, timing
from jaxgesture.planning.chips import CHIPS
from jaxgesture.planning.counting import count
from jaxgesture.planning.search import Attempt
from jaxgesture.planning.subjects import array

PRODUCT = 2 * 4**3


@pytest.mark.parametrize("rows", [1, 3, 32])
def test_operations_grow_with_the_rows(rows):
    def step(rows, weights):
        return jax.vmap(lambda row: jnp.tanh(row @ weights).sum())(rows)

    found = count(jax.grad(lambda *a: step(*a).sum(), argnums=1), array(rows, 2, 4), array(4, 4))
    assert found.flops == rows * 2 * (2 * 2 * 4 * 4)


@pytest.mark.parametrize(
    ("function", "products"),
    [
        (lambda x: jax.lax.fori_loop(0, 3, lambda i, y: y @ y, x), 3),
        (lambda x: jax.lax.scan(lambda c, _: (jax.lax.fori_loop(0, 2, lambda i, y: y @ y, c), None),
                                x, length=5)[0], 10),
        (lambda x: jax.jit(lambda y: jax.jit(lambda z: z @ z)(y) @ y)(x), 2),
        (lambda x: jax.checkpoint(lambda y: y @ y)(x), 1),
        # How often such a loop turns is not known: once is counted.
        (lambda x: jax.lax.while_loop(lambda y: y[0, 0] < 1, lambda y: y @ y, x), 1),
        (lambda x: jax.lax.switch(0, [jnp.tanh, lambda y: y @ y @ y @ y, lambda y: y @ y], x), 3),
        (lambda x: x + 1, 0),
    ],
)  # fmt: skip
def test_what_is_inside_counts_as_often_as_it_runs(function, products):
    assert count(function, array(4, 4)).flops == products * PRODUCT


def test_groups_of_a_convolution_share_its_work():
    def convolve(groups):
        def function(x, kernel):
            return jax.lax.conv_general_dilated(
                x, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"),
                feature_group_count=groups,
            )  # fmt: skip

        return count(function, array(1, 10, 8), array(3, 8 // groups, 8)).flops

    assert convolve(1) == 2 * 10 * 8 * 3 * 8
    assert convolve(4) == convolve(1) / 4


def test_half_precision_takes_half_of_the_traffic():
    def traffic(dtype):
        return count(jnp.matmul, array(8, 8, dtype=dtype), array(8, 8, dtype=dtype)).traffic

    assert traffic(jnp.bfloat16) == traffic(jnp.float32) / 2


def searched(memory, limit=1000, **options):
    asked = []

    def attempt(rows):
        assert rows not in asked, "each attempt takes minutes"
        asked.append(rows)
        return Attempt(rows, memory(rows), memory(rows) <= limit, limit)

    return search.largest(attempt, limit, **options)


def test_the_answer_is_right_for_any_growing_memory():
    rng = np.random.default_rng(0)
    for _ in range(60):
        steps = rng.integers(1, 60, 1200)
        if rng.random() < 0.5:
            steps[rng.integers(1, 40) :] //= rng.integers(1, 9)  # the compiler begins to save
        memory = np.cumsum(np.maximum(steps, 1))
        most = int((memory <= 1000).sum())
        made = searched(lambda rows, memory=memory: int(memory[min(rows, len(memory)) - 1]),
                        attempts=99)  # fmt: skip
        assert search.best(made).rows == most and search.is_settled(made)


def test_what_always_fits_ends_at_the_most_that_anybody_wants():
    made = searched(lambda rows: 1)
    assert search.best(made).rows == search.MOST and not search.is_settled(made)
    assert len(made) <= 3


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_single_attempt_is_no_bracket(attempts):
    made = searched(lambda rows: 10 * rows, attempts=attempts)
    low, high = search.bracket(made)
    assert len(made) == attempts and low.fits and high is None


@pytest.mark.parametrize("step", [1, 3, 8])
def test_how_near_the_answer_is(step):
    made = searched(lambda rows: rows + rows**2 // 1000, step=step, attempts=40)
    low, high = search.bracket(made)
    assert high is not None and high.rows - low.rows == step
    assert all(one.rows % step == 0 for one in made) and search.is_settled(made, step)


def test_one_row_too_many_says_how_much_is_missing():
    with pytest.raises(UserError, match=r"needs 2\.00 GiB of 1\.00; try --config\.model\.remat"):
        searched(lambda rows: rows * 2**31, limit=2**30)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_sides_of_a_slice_are_as_equal_as_they_come(dimensions):
    for power in range(10):
        sides = timing.sides(2**power, dimensions)
        assert len(sides) == dimensions and np.prod(sides) == 2**power
        assert list(sides) == sorted(sides) and sides[-1] <= 2 * sides[0]


def operation(**changes):
    one = hlo.Operation("a", "all-reduce", "", "f32[]", 1, 0, 0.0, 0, 10**6)
    return dataclasses.replace(one, **changes)


@pytest.mark.parametrize("kind", hlo.COLLECTIVES)
def test_collectives_add_up_and_need_someone_to_talk_to(kind):
    one, other = operation(opcode=kind), operation(opcode=kind, result=3 * 10**6, trips=2)
    single, second = (timing.communication([o], (2, 4), 1e11) for o in (one, other))
    assert timing.communication([one, other], (2, 4), 1e11) == pytest.approx(single + second)
    assert timing.communication([operation(opcode="fusion")], (2, 4), 1e11) == 0
    if kind != "collective-permute":
        assert timing.communication([one], (1, 1), 1e11) == 0
    # A better link shortens what is sent, and not the way.
    hops = timing.HOP * (1 + 3)
    faster = timing.communication([one], (2, 4), 2e11)
    assert faster - hops == pytest.approx((single - hops) / 2)
    # In a loop it goes that way at every turn.
    looped = timing.communication([operation(opcode=kind, trips=3)], (2, 4), 1e11)
    assert looped - single == pytest.approx(2 * hops)


def test_efficiency_falls_with_the_chips_and_overlapping_never_hurts():
    work = operation(opcode="fusion", cycles=1_500_000)
    rows = timing.scaling([work, operation()], CHIPS["v5e"], (4, 4), 1)
    shares = [row.one_after_the_other for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert all(0 < row.one_after_the_other <= row.overlapped <= 1 for row in rows)


def test_cycles_of_a_module_are_those_of_its_operations():
    scopes = ["jit(step)/jvp(Net)/a_0/mul", "jit(step)/transpose(jvp(Net))/a_1/mul",
              "jit(step)/jvp(Net)/b/mul", ""]  # fmt: skip
    operations = [operation(opcode="fusion", scope=s, cycles=k + 1) for k, s in enumerate(scopes)]
    operations.append(operation(opcode="fusion", scope=scopes[0]))  # of no cycles
    found = timing.modules(operations, CHIPS["v4"], "Net", 1)
    assert [(part.name, part.total) for part in found] == [
        (timing.OUTSIDE, 4), ("a", 3), ("b", 3),
    ]  # fmt: skip
    assert sum(part.total for part in found) == sum(one.cycles for one in operations)
    assert all(sum(part.bounds.values()) == part.total for part in found)
