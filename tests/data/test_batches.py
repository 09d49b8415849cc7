"""Numbered batches of any items: each once an epoch, drawn by number, whoever reads them."""

import itertools

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import batches


class Numbers:
    """Items that are their own number, with a draw beside it."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def example(self, item, rng):
        return {"item": np.asarray(item), "draw": np.asarray(rng.random()), "row": np.full(3, item)}


def _endless(count, *, start=0, take=1, process=(0, 1), **changes):
    given = {"seed": 0, "batch_size": 4, "workers": 0, **changes}
    stream = batches.endless(Numbers(count), process=process, **given)(start)
    found = list(itertools.islice(stream, take))
    stream.close()  # type: ignore[attr-defined]
    return found


def _items(found):
    return np.concatenate([batch["item"] for batch in found])


@pytest.mark.parametrize(("count", "size"), [(1, 4), (3, 4), (4, 4), (10, 4), (7, 1), (5, 13)])
def test_every_epoch_is_a_permutation(count, size):
    take = -(-3 * count // size)
    order = _items(_endless(count, take=take, batch_size=size))[: 3 * count].reshape(3, count)
    assert (np.sort(order, axis=1) == np.arange(count)).all()
    if count >= 5:
        assert len({tuple(epoch) for epoch in order}) == 3


def test_the_shape_of_a_batch():
    (batch,) = _endless(10)
    assert {key: value.shape for key, value in batch.items()} == {
        "item": (4,), "draw": (4,), "row": (4, 3),
    }  # fmt: skip
    assert (batch["row"] == batch["item"][:, None]).all()


def test_a_batch_can_be_kept():
    """Rows are written into place: the next batch must not be written over this one."""
    first, second = _endless(10, take=2)
    again, _ = _endless(10, take=2)
    np.testing.assert_array_equal(first["row"], again["row"])
    assert not np.shares_memory(first["row"], second["row"])


def test_draws_hang_on_the_example_and_not_on_the_reader():
    whole = _endless(5, take=6, batch_size=6)
    draws = np.concatenate([batch["draw"] for batch in whole])
    assert len(set(draws)) == 36, "an item is drawn for anew in every epoch"
    # Another size of the batch, a later start and half of the hosts read the same examples.
    np.testing.assert_array_equal(_endless(5, take=18, batch_size=2)[7]["draw"], draws[14:16])
    np.testing.assert_array_equal(_endless(5, start=4, batch_size=6)[0]["draw"], draws[24:30])
    (late,) = _endless(5, start=3, batch_size=6, process=(1, 2))
    np.testing.assert_array_equal(late["draw"], draws[21:24])


@pytest.mark.parametrize("seed", [-1, 2**63, 10**25])
def test_any_integer_is_a_seed(seed):
    found, again, other = (_endless(50, batch_size=50, seed=s)[0] for s in (seed, seed, seed + 1))
    np.testing.assert_array_equal(found["item"], again["item"])
    assert (found["item"] != other["item"]).any() and (found["draw"] != other["draw"]).any()


def test_far_into_training():
    (batch,) = _endless(7, start=10**12)
    assert set(batch["item"]) <= set(range(7))


@pytest.mark.parametrize(
    ("count", "limit", "expected"),
    [
        (5, None, [0, 1, 2, 3, 4]),
        (5, 9, [0, 1, 2, 3, 4]),
        (9, 4, [0, 3, 5, 8]),
        (100, 2, [0, 99]),
        (100, 1, [0]),
        (1, 4, [0]),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_items_in_order_with_the_last_batch_filled(count, limit, expected, size):
    found = list(
        batches.in_order(Numbers(count), seed=0, batch_size=size, process=(0, 1), limit=limit)
    )
    assert all(len(batch["item"]) == size for batch in found)
    items, valid = _items(found), np.concatenate([batch["valid"] for batch in found])
    assert items[valid].tolist() == expected and valid[: len(expected)].all()
    # What fills the last batch repeats the last item.
    assert (items[~valid] == expected[-1]).all()


def test_hosts_read_the_rows_of_one_batch_in_order():
    whole = list(batches.in_order(Numbers(7), seed=3, batch_size=4, process=(0, 1), limit=None))
    parts = [
        list(batches.in_order(Numbers(7), seed=3, batch_size=4, process=(h, 2), limit=None))
        for h in range(2)
    ]
    for batch, halves in zip(whole, zip(*parts, strict=True), strict=True):
        for key, value in batch.items():
            np.testing.assert_array_equal(np.concatenate([half[key] for half in halves]), value)


def test_an_item_in_order_has_its_own_draw():
    every = batches.in_order(Numbers(20), seed=3, batch_size=4, process=(0, 1), limit=None)
    draws = np.concatenate([batch["draw"] for batch in every])
    few = next(batches.in_order(Numbers(20), seed=3, batch_size=2, process=(0, 1), limit=2))
    np.testing.assert_array_equal(few["draw"], draws[[0, 19]])


@pytest.mark.parametrize(
    ("size", "process", "message"),
    [
        (0, (0, 1), "the batch size is 0; it must be at least 1"),
        (4, (2, 2), "process 2 of 2 does not exist; count from 0"),
        (4, (-1, 2), "process -1 of 2 does not exist"),
        (5, (0, 2), "a batch of 5 cannot be split evenly over 2 hosts; use a multiple of 2"),
    ],
)
def test_batches_that_cannot_be_divided(size, process, message):
    with pytest.raises(UserError, match=message):
        _endless(3, batch_size=size, process=process)
    with pytest.raises(UserError, match=message):
        next(batches.in_order(Numbers(3), seed=0, batch_size=size, process=process, limit=None))


@pytest.mark.parametrize(("rows", "size"), [(1, 4), (4, 4), (7, 4), (9, 2)])
def test_batches_of_one_shape(rows, size):
    given = np.arange(rows * 2).reshape(rows, 2)
    parts = list(batches.filled(given, size))
    assert all(part.shape == (size, 2) and part.dtype == given.dtype for part, _ in parts)
    np.testing.assert_array_equal(np.concatenate([part[:count] for part, count in parts]), given)
    last, count = parts[-1]
    assert (last[count:] == given[-1]).all()


def test_fewer_than_no_workers():
    with pytest.raises(UserError, match="data.workers=-1 must be 0 or more"):
        batches.endless(None, seed=0, batch_size=2, workers=-1, process=(0, 1))


def test_a_split_to_judge_on_that_there_is_not():
    batches.check_judged("test", ["train", "test"])
    batches.check_judged("validation", ["train"])  # all clips are trained on
    with pytest.raises(UserError, match="eval.split='tets': .* did you mean 'test'"):
        batches.check_judged("tets", ["train", "test"])
