"""Plans for GPUs, from numbers that can be done by hand."""

import dataclasses

import pytest
from planning.toys import WIDTH, toy

from jaxgesture.core.errors import UserError
from jaxgesture.core.sharding import MeshConfig
from jaxgesture.planning import arithmetic, chips

NODE = chips.Node(chips.GPUS["h200"], 8)
# Forward two products, backward three (the rows need no gradient).
FLOPS = 5 * 2 * 4 * WIDTH**2


def test_time_and_memory():
    found = arithmetic.estimate(toy(), NODE, 4, efficiency=0.5)
    assert found.flops == FLOPS and found.state == 2 * 4 * WIDTH**2
    assert found.inputs == 4 * 4 * WIDTH and found.mesh == {"data": 8, "fsdp": 1}
    # TF32 has half of the peak of bfloat16.
    assert found.compute == pytest.approx(FLOPS / (0.5 * 0.5 * 989e12))
    assert found.communication == pytest.approx(2 * 8 * WIDTH**2 * 7 / 8 / 0.45e12)
    assert found.seconds == max(found.compute, found.moving) + found.communication
    assert found.bound == "communication"


def test_a_split_state_is_smaller_and_talks_more():
    whole = arithmetic.estimate(toy(MeshConfig(fsdp=1)), NODE, 4)
    split = arithmetic.estimate(toy(MeshConfig(fsdp=4)), NODE, 4)
    assert split.state == whole.state / 4 and split.mesh == {"data": 2, "fsdp": 4}
    # While it computes a GPU holds the parameters whole.
    assert split.activations == whole.activations + 2 * 4 * WIDTH**2
    assert split.communication == pytest.approx(1.5 * whole.communication)


def test_bfloat16_is_twice_as_fast():
    half = dataclasses.replace(toy(), dtype="bfloat16")
    ours, theirs = (arithmetic.estimate(one, NODE, 4).compute for one in (toy(), half))
    assert ours == 2 * theirs


@pytest.mark.parametrize("mesh", [MeshConfig(fsdp=3), MeshConfig(data=3, fsdp=2)])
def test_a_mesh_that_does_not_divide(mesh):
    with pytest.raises(UserError, match=r"do not divide 8 GPU\(s\)"):
        arithmetic.estimate(toy(mesh), NODE, 4)
