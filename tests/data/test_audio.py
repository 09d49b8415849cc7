import concurrent.futures
import pickle

import filelock
import numpy as np
import pytest
from tolerances import AUDIO_MFCC, AUDIO_OTHER

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import audio


def compare(ours: np.ndarray, golden: np.ndarray) -> None:
    assert ours.shape == golden.shape and ours.dtype == np.float32
    difference = np.abs(ours - golden).max(axis=0)
    assert difference[1:21].max() <= AUDIO_MFCC
    assert difference[[0, *range(21, 33)]].max() <= AUDIO_OTHER
    np.testing.assert_array_equal(ours[:, 33:], golden[:, 33:])


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "parity/audio_baseline_seed0.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parity
def test_slice_parity(golden):
    """16 bit samples at 44.1 kHz, resampled, 81 rows cut to 80."""
    samples = golden["slice_pcm16_44100"] / np.float32(32768)
    compare(audio.features(samples, 44100, 80), golden["slice_features"])
    compare(audio.features(samples, 44100), golden["slice_features"])
    assert audio.start_tempo(samples, 44100) == pytest.approx(float(golden["slice_start_bpm"]))


@pytest.mark.parity
def test_long_parity(golden):
    """Samples at 12.8 kHz, every row, the start tempo of the clip's original given."""
    samples = golden["long_pcm16_12800"] / np.float32(32768)
    start = float(golden["long_start_bpm"])
    compare(audio.features(samples, 12800, 321, start_bpm=start), golden["long_features"])


@pytest.mark.parity
def test_extractor_parity(golden):
    samples = golden["slice_pcm16_44100"] / np.float32(32768)
    compare(audio.Baseline().features(samples, 44100, 80), golden["slice_features"])


def test_baseline_is_an_extractor():
    extractor: audio.Extractor = pickle.loads(pickle.dumps(audio.Baseline()))
    assert (extractor.name, extractor.size) == ("baseline-35", 35)
    noise = np.random.default_rng(0).standard_normal(3200).astype(np.float32) / 10
    rows = extractor.features(noise, 16000, 7)
    np.testing.assert_array_equal(rows, audio.features(noise, 16000, 7))
    assert rows.shape == (7, 35)


def test_columns():
    assert len(audio.COLUMNS) == len(set(audio.COLUMNS)) == audio.AUDIO_SIZE == 35
    assert audio.COLUMNS[0] == "onset_strength" and audio.COLUMNS[33:] == ("onset", "beat")


@pytest.mark.parametrize("rate", [8000, 12800, 48000])
@pytest.mark.parametrize("seconds", [0.0, 0.04, 0.5, 1.3])
@pytest.mark.parametrize("silent", [False, True])
def test_any_length_is_finite(rate, seconds, silent):
    count = max(1, round(seconds * rate))
    noise = np.random.default_rng(0).standard_normal(count).astype(np.float32) / 10
    table = audio.features(noise * (not silent), rate)
    assert table.shape == (max(1, int(count / rate * 25 + 0.5)), 35)
    assert np.isfinite(table).all()
    assert silent == (not table[:, 0].any()) or seconds < 0.5


def test_frames_asked_for():
    noise = np.random.default_rng(0).standard_normal(32000).astype(np.float32) / 10
    whole = audio.features(noise, 16000)
    assert whole.shape == (50, 35)
    np.testing.assert_array_equal(audio.features(noise, 16000, 10), whole[:10])
    longer = audio.features(noise, 16000, 70)
    assert longer.shape == (70, 35) and np.isfinite(longer).all()
    # Silence behind: nothing begins there.
    assert not longer[55:, 0].any()


def test_clicks_are_onsets():
    samples = np.zeros(12800 * 4, np.float32)
    for second in (1.0, 2.0, 3.0):
        begin = int(second * 12800)
        samples[begin : begin + 400] = np.random.default_rng(0).standard_normal(400) * 0.3
    onsets = np.flatnonzero(audio.features(samples, 12800)[:, 33])
    assert len(onsets) == 3
    assert np.abs(onsets / 25 - [1, 2, 3]).max() <= 0.12


def test_wrong_input():
    for samples in (np.zeros(0, np.float32), np.zeros((2, 800), np.float32)):
        with pytest.raises(UserError, match="one channel"):
            audio.features(samples, 16000)
    with pytest.raises(UserError, match="int16"):
        audio.features(np.zeros(800, np.int16), 16000)
    with pytest.raises(UserError, match="rate"):
        audio.features(np.zeros(800, np.float32), 0)
    with pytest.raises(UserError, match="at least one"):
        audio.features(np.zeros(800, np.float32), 16000, 0)
    broken = np.zeros(800, np.float32)
    broken[3] = np.nan
    with pytest.warns(DataWarning, match="1 audio samples"):
        assert np.isfinite(audio.features(broken, 16000)).all()


def test_one_process_at_a_time_computes_its_first_features(monkeypatch, tmp_path):
    """Another one holds the lock: the first features wait for it, later ones for nobody."""
    monkeypatch.setattr(audio, "_COMPILING", str(tmp_path / "lock"))
    monkeypatch.setattr(audio, "_compiled", False)
    sound = np.sin(np.arange(16000) / 20).astype(np.float32)
    other = filelock.FileLock(tmp_path / "lock", thread_local=False)
    other.acquire()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(audio.features, sound, 16000)
        with pytest.raises(concurrent.futures.TimeoutError):
            first.result(timeout=1.0)
        other.release()
        assert first.result(timeout=60).shape == (25, 35)
    with other:
        assert audio.features(sound, 16000).shape == (25, 35)
