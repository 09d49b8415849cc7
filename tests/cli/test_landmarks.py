"""The command landmarks: its summary, and what must be given."""

import contextlib
import functools

import numpy as np
import pytest
from cli import calling
from media import make_video

from jaxgesture.cli import landmarks
from jaxgesture.core.errors import UserError
from jaxgesture.data import holistic


@pytest.fixture
def run():
    return functools.partial(calling.run, landmarks)


class Nobody:
    def detect(self, image, milliseconds):
        hand = np.full((21, 2), np.nan)
        return holistic.Holistic(np.full((33, 3), np.nan), hand, hand, np.empty((0, 2)))


def test_files_and_summary(tmp_path, run, monkeypatch, capsys):
    models = []

    @contextlib.contextmanager
    def opened(model):
        models.append(model)
        yield Nobody()

    monkeypatch.setattr(holistic, "open_mediapipe", opened)
    frames = [np.full((16, 16, 3), 90, np.uint8)] * 3
    paths = [make_video(tmp_path / f"{name}.mp4", frames) for name in "ab"]
    run(f"--videos={paths[0]},{paths[1]}", "--model=m.task")
    assert models == ["m.task"] * 2
    text = capsys.readouterr().out
    assert "2 videos: landmarks made for 2, kept for 0, 0 skipped" in text
    assert "pictures     6" in text and "face         0.0% of the pictures" in text
    run(f"--videos={tmp_path}", "--model=m.task")
    assert "made for 0, kept for 2" in capsys.readouterr().out
    run(f"--videos={tmp_path}", "--model=m.task", "--overwrite")
    assert "made for 2, kept for 0" in capsys.readouterr().out and len(models) == 4


def test_what_must_be_given(tmp_path, run):
    with pytest.raises(UserError, match="--videos is missing"):
        run("--model=m.task")
    with pytest.raises(UserError, match="--model is missing: .* https://ai.google.dev"):
        run(f"--videos={tmp_path}")
