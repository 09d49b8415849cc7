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
        ("v5e:2x2x2", "slices of v5e have 2 sides, such as v5e:2x2"),
        ("v5p:2x2", "slices of v5p have 3 sides, such as v5p:2x2x2"),
        ("v5e:100x100", "the largest slice of v5e has 256 chips, 16x16"),
        ("v6e:8x32", "the largest slice of v6e has 256 chips, 16x16"),
        ("v4:16x16x17", "the largest slice of v4 has 4096 chips$"),
        ("v5p:16x20x28", "the largest slice of v5p has 6144 chips$"),
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
    ("name", "count"),
    [("v5e:16x16", 256), ("v4:12x12x24", 3456), ("v5p:16x16x24", 6144), ("v5p:4x4x148", 2368)],
)
def test_large_slices(name, count):
    assert chips.parse(name).count == count
