"""Commands run in this process, and what they print."""

import functools
import warnings

import pytest
from cli import calling


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """The commands set how warnings are shown; that must not outlive a test."""
    with warnings.catch_warnings():
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        yield


@pytest.fixture
def call(capsys):
    """Runs a command line; returns its status and what it printed on both streams."""

    def run(*arguments):
        status = calling.call(*arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def fails(call):
    """Runs a command line that fails, after so many warnings; returns the message."""

    def run(*arguments, warned=0):
        status, out, err = call(*arguments)
        *before, error = [line for line in err.splitlines() if line.startswith("jaxgesture:")]
        assert (status, out, len(before)) == (1, "", warned), err
        assert err.splitlines()[-1] == error and error.startswith("jaxgesture: error: ")
        assert all(line.startswith("jaxgesture: warning: ") for line in before)
        assert "Traceback" not in err
        return error.removeprefix("jaxgesture: error: ")

    return run


@pytest.fixture
def run(call, request):
    """As `call`, of the module's own COMMAND."""
    return functools.partial(call, *request.module.COMMAND)


@pytest.fixture
def refuses(fails, request):
    """As `fails`, of the module's own COMMAND."""
    return functools.partial(fails, *request.module.COMMAND)
