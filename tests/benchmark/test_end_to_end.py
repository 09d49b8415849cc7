"""Whole videos of tiny models: the parts' seconds, and what is refused."""

import dataclasses
import wave

import numpy as np
import pytest
from generation.models import save_models

from jaxgesture.benchmark import end_to_end
from jaxgesture.core.errors import UserError
from jaxgesture.generation.pipeline import PARTS
from jaxgesture.motion.model import load_motion


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Both models, saved."""
    folder = tmp_path_factory.mktemp("models")
    save_models(folder)
    return str(folder / "animation"), str(folder / "motion")


@pytest.mark.slow
def test_seconds_of_each_part(folders, monkeypatch):
    monkeypatch.setattr(end_to_end, "MADE_UP_S", 1.0)
    found = end_to_end.prepare(*folders, None, steps=2, runs=2)()
    assert tuple(found.seconds) == tuple(found.first) == PARTS
    assert (found.frames, found.runs) == (25, 2) and "made-up speech" in found.about
    assert all(value > 0 for value in found.seconds.values())
    assert sum(found.first.values()) > sum(found.seconds.values())
    assert found.values()["seconds_per_second"] == found.seconds


def test_what_is_refused_before_anything_runs(folders, tmp_path):
    with pytest.raises(UserError, match="--audio: there is no file"):
        end_to_end.prepare(*folders, str(tmp_path / "none.wav"), steps=2)
    with pytest.raises(UserError, match="none"):
        end_to_end.prepare(folders[0], str(tmp_path / "none"), None, steps=2)


def test_a_recording_that_is_none_says_so_before_anything_runs(folders, tmp_path):
    text = tmp_path / "notes.wav"
    text.write_text("no sound")
    with pytest.raises(UserError, match="notes.wav"):
        end_to_end.prepare(*folders, str(text), steps=2, runs=1)


def test_other_audio_features_are_refused_with_what_to_do(folders, tmp_path):
    motion = dataclasses.replace(load_motion(folders[1]), features="wavlm-1059:0123456789ab")
    motion.save(tmp_path / "motion")
    with pytest.raises(UserError, match="wavlm-1059.*'baseline-35' alone; give a") as caught:
        end_to_end.prepare(folders[0], str(tmp_path / "motion"), None, steps=2)
    assert "--wavlm" not in str(caught.value)


def test_made_up_speech(tmp_path):
    samples = end_to_end.made_up_speech(2.0)
    assert samples.shape == (2 * end_to_end.RATE,) and np.abs(samples).max() <= 1
    loud = np.abs(samples).reshape(40, -1).max(1)
    assert loud.max() > 0.3 and loud.min() < 0.05  # syllables and pauses
    end_to_end.write_speech(tmp_path / "a.wav", 2.0)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getnframes() == len(samples)
