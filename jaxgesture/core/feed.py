"""Batches made and moved to the devices in a thread, ahead of the steps that use them."""

import queue
import threading
import time
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgesture.core import sharding

AHEAD = 2


class Feed:
    """Iterator over global device batches; a context manager that ends its thread.

    An error in the data is raised by the `next` that would have returned the batch, and by all
    that follow; so is the end of the batches.

    Attributes:
        waited: seconds spent in `next` since it was last set to 0.
    """

    def __init__(self, batches: Iterator[Mapping[str, np.ndarray]], mesh: Mesh):
        self.waited = 0.0
        self._batches = batches
        self._mesh = mesh
        self._queue: queue.Queue[dict[str, jax.Array] | BaseException] = queue.Queue(AHEAD)
        self._end: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="batches", daemon=True)

    def __enter__(self) -> "Feed":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join(timeout=10.0)

    def __iter__(self) -> "Feed":
        return self

    def __next__(self) -> dict[str, jax.Array]:
        if self._end is not None:
            raise self._end  # the thread has ended, nothing would ever come
        start = time.perf_counter()
        item = self._queue.get()
        self.waited += time.perf_counter() - start
        if isinstance(item, BaseException):
            self._end = item
            raise item
        return item

    def _put(self, item: dict[str, jax.Array] | BaseException) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def _fill(self) -> None:
        try:
            while not self._stop.is_set():
                self._put(sharding.put_batch(next(self._batches), self._mesh))
        except BaseException as error:  # noqa: BLE001 - StopIteration included, for `__next__`
            self._put(error)
        finally:
            # Generators and readers with worker processes end here and not at garbage collection.
            if hasattr(self._batches, "close"):
                self._batches.close()  # pyright: ignore[reportAttributeAccessIssue]
