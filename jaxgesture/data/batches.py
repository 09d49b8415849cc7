"""Numbered batches: one endless stream over Grain for any number of hosts and workers.

Examples are numbered globally: example g is row g % B of global batch g // B (B the global batch
size). Epoch e visits the n items of a split in the order of a permutation seeded by (seed, e), and
example g takes item permutation[g // n][g % n] and draws its own random numbers from (seed, g).
Batch k is therefore a function of (seed, k) alone: any batch can be the first, a host reads the
contiguous rows that are its own, and an epoch may end in the middle of a batch, so that a split
smaller than a batch works too.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np

from jaxgesture.core.config import nearest
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import NumpyBatch

Batches = Callable[[int], Iterator[NumpyBatch]]

_READ_THREADS = 4
_PREFETCHED_BATCHES = 4
_ENDLESS = 2**48
# Streams of random numbers of one seed: the order of an epoch, the draws of an example.
_ORDER, _DRAWS = 0, 1


class Items(Protocol):
    """Items of a split: how many, and the example made from one of them."""

    def __len__(self) -> int:
        """The number of items."""
        ...

    def example(self, item: int, rng: np.random.Generator) -> NumpyBatch:
        """The example of an item; what is random in it is drawn from `rng`."""
        ...


@functools.lru_cache(maxsize=8)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64([seed % 2**64, _ORDER, epoch])).permutation(count)


def _draws(seed: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed % 2**64, _DRAWS, number]))


@dataclasses.dataclass(frozen=True)
class _HostBatches:
    """A host's rows of all global batches from `start` on, as one endless list for Grain."""

    items: Items
    seed: int
    batch_size: int
    process: tuple[int, int]
    start: int

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, index: int) -> NumpyBatch:
        host, hosts = self.process
        local = self.batch_size // hosts
        first = (self.start + int(index)) * self.batch_size + host * local
        batch: NumpyBatch = {}
        # Row by row into place: examples that wait to be stacked are new memory for every batch,
        # which costs as much as decoding them.
        for row in range(local):
            for key, value in self._example(first + row).items():
                if not row:
                    batch[key] = np.empty((local, *value.shape), value.dtype)
                batch[key][row] = value
        return batch

    def _example(self, number: int) -> NumpyBatch:
        epoch, place = divmod(number, len(self.items))
        item = int(_epoch_order(self.seed, epoch, len(self.items))[place])
        return self.items.example(item, _draws(self.seed, number))


def _check(batch_size: int, process: tuple[int, int]) -> None:
    host, hosts = process
    if batch_size < 1:
        raise UserError(f"the batch size is {batch_size}; it must be at least 1")
    if not 0 <= host < hosts:
        raise UserError(f"process {host} of {hosts} does not exist; count from 0")
    if batch_size % hosts:
        raise UserError(
            f"a batch of {batch_size} cannot be split evenly over {hosts} hosts; "
            f"use a multiple of {hosts}"
        )


def check_judged(split: str, splits: Iterable[str]) -> None:
    """Raises a UserError if a dataset has no such split to judge a model on.

    One without "validation" clips is no mistake: then nothing is judged.
    """
    if split not in ("validation", *splits):
        raise UserError(f"eval.split={split!r}: the dataset has none; {nearest(split, splits)}")


def endless(
    items: Items, *, seed: int, batch_size: int, workers: int, process: tuple[int, int]
) -> Batches:
    """Batches without end, from any batch index on; the arguments are those of `pipeline.pairs`.

    Raises:
        UserError: the batch cannot be divided over the hosts.
    """
    _check(batch_size, process)
    if workers < 0:
        raise UserError(f"data.workers={workers} must be 0 or more")

    def batches(start: int) -> Iterator[NumpyBatch]:
        import grain

        dataset = grain.MapDataset.source(_HostBatches(items, seed, batch_size, process, start))
        read = grain.ReadOptions(
            num_threads=max(1, min(_READ_THREADS, os.cpu_count() or 1)),
            prefetch_buffer_size=_PREFETCHED_BATCHES,
        )
        stream = dataset.to_iter_dataset(read)
        if workers:
            from absl import flags

            # Grain's worker processes read absl flags, which nobody parses outside of absl.app.
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()
            stream = stream.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
        yield from stream

    return batches


def in_order(
    items: Items, *, seed: int, batch_size: int, process: tuple[int, int], limit: int | None
) -> Iterator[NumpyBatch]:
    """All items once, or `limit` of them evenly spread, in order; the last batch is filled up.

    An item's random numbers depend on the seed and the item only. "valid" is False for rows that
    repeat the last item to fill the last batch.

    Raises:
        UserError: the batch cannot be divided over the hosts.
    """
    _check(batch_size, process)
    host, hosts = process
    local = batch_size // hosts
    total = len(items)
    chosen = np.arange(total)
    if limit is not None and limit < total:
        chosen = np.linspace(0, total - 1, limit).round().astype(np.int64)
    for start in range(0, len(chosen), batch_size):
        numbers = range(start + host * local, start + (host + 1) * local)
        rows = []
        for number in numbers:
            item = int(chosen[min(number, len(chosen) - 1)])
            example = items.example(item, _draws(seed, item))
            rows.append({**example, "valid": np.asarray(number < len(chosen))})
        yield {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def filled(rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Batches of exactly `size` rows, so that a jitted function sees one shape.

    Args:
        rows: at least one row.
        size: rows of a batch.

    Yields:
        a batch, the last one filled up with copies of its last row, and how many rows count.
    """
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)]), len(part)
