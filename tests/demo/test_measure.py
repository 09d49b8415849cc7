"""Whether the mouth follows the speech, of models that are made up."""

import functools
import types
from typing import Any

import numpy as np
import pytest

from jaxgesture.data import presenter
from jaxgesture.demo import measure
from jaxgesture.demo.measure import Speech

SIZE, SECONDS = 64, 3.0
perform = functools.cache(presenter.perform)  # frames are drawn once for all tests
SPEECHES = [Speech(910_000, 0), Speech(910_001, 1), Speech(910_002, 0)]


@pytest.fixture(scope="module")
def plays():
    return [perform(s.seed, s.identity, SECONDS, SIZE, 25.0) for s in SPEECHES]


class Animation:
    """Knows the frames of each performance by its first one."""

    size = SIZE

    def __init__(self, plays):
        self.plays = plays

    def _number(self, picture):
        assert picture.dtype == np.float32 and picture.max() <= 1
        return [np.allclose(play.frame(0) / 255, picture) for play in self.plays].index(True)

    def extract_motion(self, picture):
        return np.array([self._number(picture)], np.float32)

    def encode_source(self, picture):
        return self._number(picture)


@pytest.fixture
def measured(plays, monkeypatch):
    """Measures models that give a performance's own frames, at chosen places."""

    def run(choose):
        asked = []

        def speech_to_motion(motion, audio, rate, *, source_feature):
            asked.append((motion, rate, int(source_feature[0])))
            return np.array([[len(asked) - 1]])

        def render(animation, source, poses):
            assert source == asked[-1][2]
            frames = choose(int(poses[0, 0]))
            yield from (frames[:40], frames[40:])

        monkeypatch.setattr(measure, "speech_to_motion", speech_to_motion)
        monkeypatch.setattr(measure, "render", render)
        monkeypatch.setattr(measure.presenter, "perform", perform)
        motion: Any = types.SimpleNamespace()
        animation: Any = Animation(plays)
        found = measure.mouth_follows_speech(animation, motion, SPEECHES, SECONDS)
        assert asked == [(motion, 16_000, k) for k in range(3)]
        assert found["mouth_margin"] == found["mouth_own_speech"] - found["mouth_other_speech"]
        return found

    return run


def test_a_perfect_model_is_the_presenter_itself(measured, plays):
    found = measured(lambda number: plays[number].frames)
    assert found["mouth_own_speech"] == found["true_mouth_own_speech"] > 0.7
    assert found["mouth_other_speech"] == found["true_mouth_other_speech"]
    assert found["mouth_margin"] > 0.4


def test_a_mouth_that_stays_as_it_is_follows_nothing(measured, plays):
    found = measured(lambda number: np.repeat(plays[number].frames[:1], len(plays[number]), 0))
    assert found["mouth_own_speech"] == found["mouth_other_speech"] == 0
    assert found["true_mouth_own_speech"] > 0.7


def test_a_mouth_that_says_something_else_does_not_follow(measured, plays):
    """The same speaker and picture, but the words of another performance."""
    others = [perform(s.seed + 50, s.identity, SECONDS, SIZE, 25.0) for s in SPEECHES]
    found = measured(lambda number: others[number].frames)
    assert found["mouth_own_speech"] < 0.5 * found["true_mouth_own_speech"]
