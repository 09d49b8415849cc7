"""What the presenter says: a score that grows at its end alone, and its envelope."""

import dataclasses

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data.presenter import perform
from jaxgesture.data.presenter import score as scores
from jaxgesture.data.presenter.control import control_times
from jaxgesture.data.presenter.score import VOWELS, write_score

SEEDS = range(6)


@pytest.mark.parametrize("seed", [*SEEDS, -3, 2**70])
def test_syllables_are_as_their_description_says(seed):
    score = write_score(seed, 30.0)
    fields = (score.duration, score.level, score.vowel, score.stressed, score.fricative,
              score.phrase)  # fmt: skip
    assert {len(field) for field in fields} == {len(score.onset)}
    assert (np.diff(score.onset) > 0).all() and 0.15 <= score.onset[0] <= 0.4
    assert (score.level > 0).all() and (score.level <= 1).all()
    assert score.vowel.min() >= 0 and score.vowel.max() < VOWELS
    assert (score.fricative >= 0).all() and (score.fricative <= 1).all()
    assert (score.duration >= 0.17).all() and (score.duration <= 0.33).all()
    # Syllables of a phrase follow each other without a gap, and fill it.
    ends = score.onset + score.duration
    same = np.diff(score.phrase) == 0
    np.testing.assert_allclose(ends[:-1][same], score.onset[1:][same], atol=1e-9)
    for number, (start, end) in enumerate(score.phrase_spans):
        own = score.phrase == number
        assert 5 <= own.sum() <= 15
        assert score.onset[own][0] == start and ends[own][-1] == pytest.approx(end)
    assert len(score.phrase_rise) == len(score.phrase_spans) == score.phrase[-1] + 1


def test_a_score_goes_on_beyond_its_end():
    score = write_score(1, 5.0)
    assert score.phrase_spans[-1, 1] > 5.0 + 3.0
    assert (score.beats < 5.0).all() and len(score.all_beats) > len(score.beats)
    np.testing.assert_array_equal(score.all_beats[: len(score.beats)], score.beats)
    np.testing.assert_array_equal(score.all_beats, score.onset[score.stressed] + 0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_longer_score_starts_with_the_shorter(seed):
    short, long = write_score(seed, 4.0), write_score(seed, 40.0)
    for name in ("onset", "duration", "level", "vowel", "stressed", "fricative", "phrase",
                 "phrase_spans", "phrase_rise"):  # fmt: skip
        part = getattr(short, name)
        np.testing.assert_array_equal(getattr(long, name)[: len(part)], part, err_msg=name)


def test_named_streams_are_independent():
    draws = {
        names: scores.generator(*names).random(4).tobytes()
        for names in ((0, 1), (1, 1), (-1, 1), (0, 2), (0, 2, 1), (0, 2, 2), (0, 12, 1))
    }
    assert len(set(draws.values())) == len(draws)
    assert scores.generator(-1).random() == scores.generator(2**64 - 1).random()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_envelope_peaks_at_the_level_of_each_syllable(seed):
    score = write_score(seed, 10.0)
    loud = scores.envelope(score)
    times = control_times(10.0)
    assert loud.shape == times.shape and loud.min() >= 0 and loud.max() <= 1
    for onset, duration, level in zip(score.onset, score.duration, score.level, strict=True):
        if onset + duration < 10.0:
            inside = (times >= onset) & (times <= onset + 0.5 * duration)
            assert loud[inside].max() >= level - 1e-9
    # Between phrases it is quiet.
    for (_, end), (start, _) in zip(score.phrase_spans, score.phrase_spans[1:], strict=False):
        if start < 10.0:
            middle = (times > 0.5 * (end + start)) & (times < start - 0.05)
            assert loud[middle].max(initial=0) < 0.02


def test_the_envelope_is_the_larger_of_its_syllables():
    score = write_score(4, 3.0)
    columns = ("onset", "duration", "level")
    alone = [
        scores.envelope(
            dataclasses.replace(score, **{name: getattr(score, name)[[i]] for name in columns})
        )
        for i in range(len(score.onset))
    ]
    np.testing.assert_allclose(scores.envelope(score), np.max(alone, axis=0), atol=1e-12)


@pytest.mark.parametrize("seconds", [np.inf, np.nan, -1.0])
def test_lengths_without_an_end_are_refused(seconds):
    with pytest.raises(UserError, match="is no clip; choose both greater than 0"):
        perform(seconds=seconds, size=32)
    with pytest.raises(UserError, match="is no clip"):
        perform(seconds=1.0, fps=seconds, size=32)
