"""What is kept off the screen is Orbax's own account of errors, and nothing else."""

import asyncio
import logging
import sys
import types

import pytest

from jaxgesture.core import orbax_noise

ORBAX = "/site-packages/orbax/checkpoint/handlers.py"
OURS = "/project/jaxgesture/core/checkpoint.py"


def failure(file, error=None):
    """An error raised by code that lies in a file of that name."""
    try:
        exec(compile("raise given", file, "exec"), {"given": error or ValueError("no")})
    except Exception as caught:  # noqa: BLE001 - any that is given
        return caught
    raise AssertionError


@pytest.fixture
def muted(monkeypatch):
    """Mutes anew, beside a hook that notes what it is told; all is as before afterwards."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    before = {name: list(logging.getLogger(name).filters) for name in ("absl", "asyncio")}
    for name in before:
        logging.getLogger(name).filters = []
    orbax_noise.mute()
    yield told
    for name, filters in before.items():
        logging.getLogger(name).filters = filters


def logged(name, caplog, file, error=None):
    """Whether a logger tells of something."""
    caplog.clear()
    info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord(name, logging.ERROR, file, 1, "said", None, info)
    logger = logging.getLogger(name)
    logger.addHandler(caplog.handler)
    try:
        logger.handle(record)
    finally:
        logger.removeHandler(caplog.handler)
    return bool(caplog.records)


@pytest.mark.parametrize("name", ["absl", "asyncio"])
def test_tracebacks_of_orbax_are_dropped_and_all_else_is_told(muted, caplog, name):
    assert not logged(name, caplog, ORBAX, failure(OURS))
    assert not logged(name, caplog, OURS, failure(ORBAX))
    assert logged(name, caplog, OURS, failure(OURS))
    # What Orbax has to say without an error, a warning perhaps, is no noise.
    assert logged(name, caplog, ORBAX)


def test_writes_that_nobody_waited_for_are_dropped(muted, caplog):
    full = ValueError(
        "RESOURCE_EXHAUSTED: Error writing x: Failed writing: No space left on device"
    )
    for error in (full, OSError(28, "No space left on device")):  # without a traceback
        assert not logged("asyncio", caplog, OURS, error)
        assert logged("absl", caplog, OURS, error)
    assert logged("asyncio", caplog, OURS, ValueError("no"))
    assert logged("asyncio", caplog, OURS, failure(OURS, OSError(104, "Connection reset")))


def test_other_loggers_are_left_alone(muted, caplog):
    assert logged("jaxgesture", caplog, ORBAX, failure(ORBAX))


def unraisable(error):
    what = types.SimpleNamespace(
        exc_value=error, exc_type=type(error), exc_traceback=error.__traceback__
    )
    sys.unraisablehook(what)  # pyright: ignore[reportArgumentType]
    return what


def test_what_nobody_can_raise_any_more(muted):
    unraisable(failure(ORBAX))
    unraisable(failure(OURS, RuntimeError("Event loop is closed")))
    assert muted == []
    shown = [unraisable(failure(OURS)), unraisable(failure(OURS, RuntimeError("another")))]
    assert muted == shown


def test_a_closed_event_loop_says_what_is_looked_for(muted):
    """The words are Python's own, which another version might change."""
    loop = asyncio.new_event_loop()
    loop.close()
    try:
        loop.call_soon(print)
    except RuntimeError as error:
        unraisable(error)
    assert muted == []


def test_muting_again_changes_nothing(muted):
    hook = sys.unraisablehook
    counts = [len(logging.getLogger(name).filters) for name in ("absl", "asyncio")]
    orbax_noise.mute()
    assert sys.unraisablehook is hook and counts == [1, 1]
    assert [len(logging.getLogger(name).filters) for name in ("absl", "asyncio")] == counts
    # A hook of its own in front of itself would never end.
    unraisable(failure(OURS))
    assert len(muted) == 1
