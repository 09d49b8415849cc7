"""The program around the commands: its help, its errors in one line, and its cache."""

import errno
import os
import pathlib
import types
import warnings

import jax
import pytest

from jaxgesture.cli import flags, main
from jaxgesture.core.errors import DataWarning, UserError


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs a command whose work is a function; returns its status and both streams."""

    def run(work):
        module = types.ModuleType("draw")
        module.__doc__ = "jaxgesture draw: draws."
        module.FLAGS = flags.new()  # type: ignore[attr-defined]
        module.run = work  # type: ignore[attr-defined]
        monkeypatch.setattr(main, "COMMANDS", {"draw": "draws"})
        monkeypatch.setitem(__import__("sys").modules, "jaxgesture.cli.draw", module)
        status = main.main(["jaxgesture", "draw"])
        return (status, *capsys.readouterr())

    return run


def _raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"], []])
def test_usage(capsys, arguments):
    # Without a command it is an error all the same.
    assert main.main(["jaxgesture", *arguments]) == (0 if arguments else 1)
    out = capsys.readouterr().out
    assert out == main.usage() + "\n"
    for name, text in main.COMMANDS.items():
        assert f"  {name:<10}{text}\n" in out and len(name) < 10


def test_a_command_that_ends_well(command):
    assert command(lambda: print("done")) == (0, "done\n", "")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (UserError("one\n  two;  three"), 1, "one two; three"),
        (KeyboardInterrupt(), 130, "interrupted; the same command goes on from what was saved"),
        (
            PermissionError(errno.EACCES, "Permission denied", "out/x"),
            1,
            "out/x: Permission denied; check path, rights and disk space",
        ),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            1,
            "a file: No space left on device; check path, rights and disk space",
        ),
    ],
)
def test_errors_are_one_line(command, error, status, message):
    assert command(_raising(error)) == (status, "", f"jaxgesture: error: {message}\n")


@pytest.mark.parametrize("error", [OSError("no number"), ZeroDivisionError("a bug")])
def test_errors_that_no_user_can_mend_are_shown_whole(command, error):
    with pytest.raises(type(error), match=str(error)):
        command(_raising(error))


@pytest.mark.filterwarnings("default")
def test_warnings_of_data_are_shown_each_time(command):
    def work():
        for _ in range(2):
            warnings.warn("a.wav is silent", DataWarning, stacklevel=1)
        warnings.warn("soon", DeprecationWarning, stacklevel=1)
        warnings.warn("odd", RuntimeWarning, stacklevel=1)

    status, out, err = command(work)
    lines = err.splitlines()
    assert (status, out) == (0, "")
    assert lines[:2] == ["jaxgesture: warning: a.wav is silent"] * 2
    assert len(lines) == 3 and lines[2].endswith("RuntimeWarning: odd")


@pytest.mark.parametrize("given", ["", "XDG_CACHE_HOME"])
def test_compiled_programs_are_kept_below_the_users_cache(monkeypatch, tmp_path, given):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path) if given else "")
    monkeypatch.setattr(pathlib.Path, "home", lambda: tmp_path / "home")
    before = jax.config.values["jax_compilation_cache_dir"]
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        main.use_compilation_cache()
        found = jax.config.values["jax_compilation_cache_dir"]
        base = tmp_path if given else tmp_path / "home" / ".cache"
        assert found == str(base / "jaxgesture" / "xla")
        # What is set already is left alone.
        jax.config.update("jax_compilation_cache_dir", "elsewhere")
        main.use_compilation_cache()
        assert jax.config.values["jax_compilation_cache_dir"] == "elsewhere"
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_ctrl_c_while_a_library_starts(command):
    def work():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            text = "Encountered an error while initializing the extension."
            raise ImportError(text) from error

    status, _, err = command(work)
    assert status == 130 and err.startswith("jaxgesture: error: interrupted; ")
    with pytest.raises(ImportError):
        command(_raising(ImportError("Encountered an error while initializing the extension.")))
