"""A plan divides the devices as the training would, and refuses what it would refuse."""

import dataclasses
import itertools

import pytest
from planning.toys import WIDTH, toy

from jaxgesture.core import sharding
from jaxgesture.core.errors import UserError
from jaxgesture.core.sharding import MeshConfig
from jaxgesture.planning import arithmetic, chips
from jaxgesture.planning.subjects import EVERYWHERE

NODE = chips.Node(chips.GPUS["h100"], 8)
SHAPES = list(itertools.product((-2, -1, 0, 1, 2, 3, 4, 8, 16), repeat=2))


def asked(mesh, monkeypatch):
    """What training on eight GPUs makes of a mesh; None where it refuses."""
    monkeypatch.setattr(sharding.jax, "make_mesh", lambda shape, axes, **options: shape)
    try:
        return sharding.make_mesh(mesh, [None] * 8)
    except UserError:
        return None


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_mesh_is_that_of_the_training(shape, monkeypatch):
    expected = asked(MeshConfig(*shape), monkeypatch)
    if expected is None:
        with pytest.raises(UserError, match=r"do not divide 8 GPU\(s\); their product must be 8"):
            arithmetic.estimate(toy(MeshConfig(*shape)), NODE, 1)
    else:
        found = arithmetic.estimate(toy(MeshConfig(*shape)), NODE, 1)
        assert found.mesh == dict(zip(("data", "fsdp"), expected, strict=True))


def test_a_state_that_fills_the_memory_is_split_by_itself():
    state = toy().state_bytes
    # A quarter of what JAX takes of the memory holds a third of the state: four GPUs share it.
    small = dataclasses.replace(chips.GPUS["h100"].sheet, memory=int(4 * state / 3 / 0.75))
    node = chips.Node(chips.GPUS["h100"], 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chips, "_sheet", lambda kind: small)
        found = arithmetic.estimate(toy(), node, 1)
    assert found.mesh == {"data": 2, "fsdp": 4} and found.state == state / 4


def test_one_gpu_talks_to_nobody():
    alone = arithmetic.estimate(toy(), chips.Node(chips.GPUS["l4"], 1), 4)
    assert alone.communication == 0 and alone.mesh == {"data": 1, "fsdp": 1}
    assert alone.seconds == max(alone.compute, alone.moving)
    assert alone.bound == "memory"  # products of 128 x 128 for four rows


def test_drawing_and_sampling_exchange_nothing():
    subject = toy()
    weights = dataclasses.replace(subject.arguments[0], placement=EVERYWHERE)
    drawing = dataclasses.replace(subject, arguments=(weights, *subject.arguments[1:]))
    found = arithmetic.estimate(drawing, NODE, 4)
    assert drawing.state is None and found.state == 0 and found.communication == 0
    assert found.inputs == 4 * (2 * WIDTH**2 + 4 * WIDTH)


@pytest.mark.parametrize("efficiency", [0.1, 0.4, 1.0])
def test_the_assumed_efficiency_scales_the_operations_alone(efficiency):
    found, full = (arithmetic.estimate(toy(), NODE, 4, share) for share in (efficiency, 1.0))
    assert found.compute == pytest.approx(full.compute / efficiency)
    assert (found.moving, found.communication) == (full.moving, full.communication)


def test_more_rows_take_more_of_everything_but_gradients():
    few, many = (arithmetic.estimate(toy(), NODE, rows) for rows in (2, 2048))
    assert many.flops == 1024 * few.flops and many.inputs == 1024 * few.inputs
    assert many.activations > few.activations and many.moving > few.moving
    assert (many.state, many.communication) == (few.state, few.communication)
    assert many.memory == many.state + many.inputs + many.activations


@pytest.mark.parametrize(
    ("times", "bound"),
    [((3, 1, 2), "compute"), ((1, 3, 2), "memory"), ((1, 2, 3), "communication")],
)
def test_the_largest_time_bounds_a_step(times, bound):
    found = arithmetic.Estimate({}, 0.0, 0, 0, 0, *map(float, times))
    assert found.bound == bound and found.seconds == max(times[:2]) + times[2]
