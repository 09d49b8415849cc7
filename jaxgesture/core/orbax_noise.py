"""Keeps Orbax's own account of errors off the screen: each of them reaches its caller as well."""

import logging
import os
import sys
import traceback
import types

from jaxgesture.core import workdir as workdirs

_LIBRARY = os.sep + os.path.join("orbax", "checkpoint") + os.sep
_reported = sys.unraisablehook


def mute() -> None:
    """Drops what Orbax logs with a traceback or leaves behind; a second call changes nothing."""
    global _reported
    # Its own logger is absl's; asyncio tells of what nobody waited for.
    for name in ("absl", "asyncio"):
        logger = logging.getLogger(name)
        if _tells not in logger.filters:
            logger.addFilter(_tells)
    if sys.unraisablehook is not _report:
        _reported, sys.unraisablehook = sys.unraisablehook, _report


def _tells(record: logging.LogRecord) -> bool:
    if not record.exc_info:
        return True
    _, error, trace = record.exc_info
    # Of many writes to a full disk one reaches the caller; the others have no traceback.
    if record.name == "asyncio" and error is not None and trace is None:
        return not workdirs.is_storage(error)
    return _LIBRARY not in record.pathname and not _theirs(record.exc_info[2])


def _theirs(trace: types.TracebackType | None) -> bool:
    return any(_LIBRARY in frame.filename for frame in traceback.extract_tb(trace))


def _report(what: "sys.UnraisableHookArgs") -> None:
    # Of several reads or writes that fail, those that end after the first one's error has ended
    # their event loop.
    late = isinstance(what.exc_value, RuntimeError) and "Event loop is closed" in str(
        what.exc_value
    )
    if not (late or _theirs(what.exc_traceback)):
        _reported(what)
