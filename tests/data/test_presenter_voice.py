"""The presenter's score and voice: speech-like statistics that audio features can see."""

import librosa
import numpy as np
import pytest

from jaxgesture.data.presenter import perform
from jaxgesture.data.presenter.looks import look_of
from jaxgesture.data.presenter.score import write_score


@pytest.fixture(scope="module")
def score():
    return write_score(1, 120.0)


def test_phrases_syllables_and_beats(score):
    gaps = score.phrase_spans[1:, 0] - score.phrase_spans[:-1, 1]
    assert gaps.min() >= 0.3 and gaps.max() <= 0.9
    rate = 1.0 / score.duration
    assert 3.0 <= np.median(rate) <= 6.0 and rate.min() > 2.9 and rate.max() < 6.1
    inside = np.diff(score.beats)
    assert 0.5 <= np.median(inside) <= 1.2
    assert score.level[score.stressed].min() > score.level[~score.stressed].max()


def test_loudness_of_the_voice_is_the_score_s():
    clip = perform(3, 0, 8.0, 32)
    power = librosa.feature.rms(y=clip.audio, frame_length=1024, hop_length=640)[0][: len(clip)]
    assert np.corrcoef(power, clip.loudness)[0, 1] > 0.98


def test_beats_stand_out_in_the_onset_strength():
    clip = perform(3, 0, 20.0, 32)
    strength = librosa.onset.onset_strength(y=clip.audio, sr=clip.sample_rate, hop_length=160)
    rows = np.rint(clip.beats * 100).astype(int)[:, None] + np.arange(-6, 7)
    at_beats = strength[np.clip(rows, 0, len(strength) - 1)].max(axis=1)
    windows = strength[: len(strength) // 13 * 13].reshape(-1, 13).max(axis=1)
    # Measured: 2.6 times.
    assert np.median(at_beats) > 1.4 * np.median(windows)


@pytest.mark.parametrize("identity", [0, 2])
def test_pitch_is_the_speaker_s(identity):
    audio = perform(3, identity, 4.0, 32).audio
    pitch, voiced, _ = librosa.pyin(audio, fmin=60, fmax=500, sr=16_000)
    expected = look_of(identity).voice.pitch
    assert voiced.mean() > 0.4
    assert abs(12 * np.log2(np.nanmedian(pitch) / expected)) < 4.0
    assert np.nanstd(12 * np.log2(pitch / expected)) > 1.0
