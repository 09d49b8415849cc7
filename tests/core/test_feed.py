"""Batches are made and moved while steps run, and the wait for them is measured."""

import itertools
import threading
import time

import jax
import numpy as np
import pytest
import toy

from jaxgesture.core import loop, sharding
from jaxgesture.core.checkpoint import CheckpointConfig
from jaxgesture.core.errors import UserError
from jaxgesture.core.feed import AHEAD, Feed
from jaxgesture.core.metrics import read_scalars
from jaxgesture.core.sharding import MeshConfig

PAUSE = 0.04


def _mesh():
    return sharding.make_mesh(MeshConfig())


def _numbered(count, pause=0.0, taken=None):
    for i in range(count):
        time.sleep(pause)
        if taken is not None:
            taken.append(i)
        yield {"x": np.full((8, 1), i, np.float32)}


def test_batches_come_in_order_on_the_devices_and_then_end():
    with Feed(_numbered(5), _mesh()) as feed:
        found = list(feed)
        with pytest.raises(StopIteration):  # again, and does not wait for ever
            next(feed)
    assert [int(batch["x"][0, 0]) for batch in found] == list(range(5))
    assert all(isinstance(batch["x"], jax.Array) for batch in found)


def test_batches_are_made_during_the_steps():
    count = 10
    with Feed(_numbered(count, PAUSE), _mesh()) as feed:
        next(feed)
        feed.waited = 0.0
        start = time.perf_counter()
        for _ in range(count - 1):
            time.sleep(PAUSE)  # the step
            next(feed)
        seconds = time.perf_counter() - start
    # One behind the other they would take twice the pause each.
    assert seconds < 1.6 * PAUSE * (count - 1)
    assert feed.waited < 0.5 * seconds


def test_waiting_for_a_slow_source_is_counted():
    with Feed(_numbered(6, PAUSE), _mesh()) as feed:
        next(feed)
        feed.waited = 0.0
        start = time.perf_counter()
        for _ in range(5):
            next(feed)
        seconds = time.perf_counter() - start
    assert 0.9 * seconds < feed.waited <= seconds
    assert feed.waited > 4 * PAUSE


def test_not_more_is_made_than_is_needed_soon():
    taken = []
    with Feed(_numbered(50, taken=taken), _mesh()) as feed:
        next(feed)
        deadline = time.monotonic() + 5
        while len(taken) < AHEAD + 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        # The one that was taken, the queue, and one that waits to get into it.
        assert len(taken) == AHEAD + 2


def test_errors_reach_the_step_and_stay():
    def broken():
        yield {"x": np.zeros((8, 1), np.float32)}
        raise UserError("file is damaged at record 3")

    with Feed(broken(), _mesh()) as feed:
        next(feed)
        for _ in range(2):
            with pytest.raises(UserError, match="damaged at record 3"):
                next(feed)


def test_leaving_ends_thread_and_source():
    closed = []

    def source():
        try:
            yield from _numbered(10**6)
        finally:
            closed.append(threading.current_thread().name)

    with Feed(source(), _mesh()) as feed:
        next(feed)
    assert closed == ["batches"]
    assert "batches" not in [thread.name for thread in threading.enumerate()]


def _waits(workdir, source_pause, step_pause):
    def step(state, batch, key):
        new, metrics = toy.step(state, batch, key)

        def wait(loss):
            time.sleep(step_pause)
            return loss

        shape = jax.ShapeDtypeStruct((), np.float32)
        return new, {**metrics, "loss": jax.pure_callback(wait, shape, metrics["loss"])}

    def batches(start):
        for batch in toy.batches(start):
            time.sleep(source_pause)
            yield batch

    train = loop.TrainConfig(steps=12, log_every=4, eval_every=0)
    loop.run(toy.stage(step=step), batches, workdir, train, CheckpointConfig(), MeshConfig())
    lines = list(itertools.islice(read_scalars(workdir), 1, None))
    return [line["speed/data_wait"] for line in lines if "speed/data_wait" in line]


def test_the_loop_prints_the_share_of_its_time_that_it_waits(tmp_path):
    slow_source = _waits(tmp_path / "source", PAUSE, 0.0)
    slow_step = _waits(tmp_path / "step", 0.0, PAUSE)
    assert len(slow_source) == len(slow_step) == 2
    assert min(slow_source) > 0.5  # a step takes time too, the more the busier the cores
    assert max(slow_step) < 0.2
