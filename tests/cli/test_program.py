"""What all commands share: warnings, Ctrl-C, the module as a program, sizes that are refused."""

import subprocess
import sys

import pytest

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.cli import main as cli
from jaxgesture.core.checkpoint import CheckpointConfig
from jaxgesture.core.errors import UserError


def test_warnings_are_one_line_too(capsys):
    from jaxgesture.core.errors import DataWarning

    cli.show_warning(DataWarning("speech.wav is silent"), DataWarning, "file.py", 3)
    assert capsys.readouterr().err == "jaxgesture: warning: speech.wav is silent\n"
    cli.show_warning(FutureWarning("soon"), FutureWarning, "file.py", 3)
    assert capsys.readouterr().err == ""


def test_ctrl_c_is_a_message(capsys, monkeypatch):
    from jaxgesture.cli import prepare

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "run", interrupted)
    assert cli.run("prepare", ["prepare", "presenter"]) == 130
    assert "interrupted; the same command goes on" in capsys.readouterr().err


def test_the_module_is_the_program():
    done = subprocess.run(
        [sys.executable, "-m", "jaxgesture.cli", "trian"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "jaxgesture: error: no command 'trian'; did you mean 'train'?\n"


def test_sizes_that_make_no_network():
    with pytest.raises(UserError, match="encoder_widths"):
        AnimationConfig(encoder_widths=(0, 0, 0, 0))
    with pytest.raises(UserError, match="checkpoint.keep=-1"):
        CheckpointConfig(keep=-1)
