"""Slices and nodes: what is written, what is meant."""

import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.planning import chips


def test_slices():
    one = chips.parse("v5p:2x2x4")
    assert isinstance(one, chips.Topology)
    assert (one.count, one.name, one.accelerator) == (16, "v5p:2x2x4", "v5p-32")
    assert chips.parse("v5e:4x4").accelerator == "v5litepod-16"  # pyright: ignore


def test_nodes():
    node = chips.parse("gpu:8xh200")
    assert isinstance(node, chips.Node)
    assert (node.count, node.name, node.chip.sheet.memory) == (8, "gpu:8xh200", 141 * 10**9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v5:4x4", "no chip 'v5'; did you mean 'v5"),
        ("v5e", "give NAME:SHAPE"),
        ("v5e:4", "give NAME:SHAPE"),
        ("v5e:4x0", "a side of 0"),
        ("gpu:8", "give gpu:NUMBERxKIND"),
        ("gpu:0xh200", "give gpu:NUMBERxKIND"),
        ("gpu:8xh20", "no GPU 'h20'; did you mean 'h200'"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        chips.parse(text)


@pytest.mark.parametrize(
    "chip", [*chips.CHIPS.values(), *chips.GPUS.values()], ids=lambda c: c.name
)
def test_every_chip_has_its_own_data_sheet(chip):
    assert chip.sheet.kind == chip.kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v5e:2x2x2", "slices of v5e have 2 sides, such as v5e:2x2"),
        ("v5p:2x2", "slices of v5p have 3 sides, such as v5p:2x2x2"),
        ("v5e:100x100", "the largest slice of v5e is 16x16"),
        ("v6e:8x32", "the largest slice of v6e is 16x16"),
        ("v4:1x1x17", "the largest slice of v4 is 16x16x16"),
    ],
)
def test_slices_that_nobody_sells(text, message):
    with pytest.raises(UserError, match=message):
        chips.parse(text)


def test_the_largest_slices():
    for name, count in (("v5e:16x16", 256), ("v4:16x16x16", 4096), ("v5p:16x16x24", 6144)):
        assert chips.parse(name).count == count
    assert chips.parse("v5p:28x16x20").count == 8960
