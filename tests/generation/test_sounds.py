"""Recordings of every length and kind: the right number of frames, or a clear error."""

import pathlib
import subprocess
import sys

import av
import numpy as np
import pytest
import soundfile
from generation.models import OPTIONS, make_animation, make_motion
from media import make_video

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import audio
from jaxgesture.generation import speech_to_motion
from jaxgesture.generation.jobs import Job
from jaxgesture.generation.long_sound import long_features, measured
from jaxgesture.generation.outputs import FORMATS
from jaxgesture.generation.pipeline import Studio
from jaxgesture.generation.speech_to_motion import features_of_file

PICTURE = np.full((64, 64, 3), 0.5, np.float32)


@pytest.fixture(scope="module")
def studio():
    animation = make_animation()
    return Studio(animation, make_motion(animation.sha256), **OPTIONS)


def speech(seconds: float, rate: int) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (0.3 * np.sin(900 * t) * np.sin(20 * t) + 0.01 * noise).astype(np.float32)


def encode(path: pathlib.Path, codec: str, samples: np.ndarray, rate: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], "fltp", "mono")
        frame.sample_rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write(path: pathlib.Path, kind: str, seconds: float, rate: int) -> None:
    """A recording of a kind."""
    samples = speech(seconds, rate)
    if kind in ("PCM_16", "PCM_24", "FLOAT"):
        soundfile.write(path, samples, rate, subtype=kind)
    elif kind == "silent channel":
        soundfile.write(path, np.stack([samples, np.zeros_like(samples)], -1), rate)
    elif kind == "clipped":
        soundfile.write(path, np.clip(20 * samples, -1, 1), rate, subtype="FLOAT")
    elif kind == "above one":
        soundfile.write(path, 20 * samples, rate, subtype="FLOAT")
    elif kind == "NaN":
        samples[100:140] = np.nan
        soundfile.write(path, samples, rate, subtype="FLOAT")
    elif kind == "video":
        pictures = [np.full((32, 32, 3), 90, np.uint8)] * round(25 * seconds)
        make_video(path, pictures, sound=(samples, rate))
    elif kind in ("FLAC", "OGG"):
        soundfile.write(path, samples, rate, format=kind)
    else:
        encode(path, kind, samples, rate)


# Codecs fill their last packet with silence: up to so many more frames where the file does not say
# where the sound ends.
@pytest.mark.parametrize(
    ("name", "kind", "seconds", "rate", "more"),
    [
        ("one.wav", "PCM_16", 0.04, 16000, 0),
        ("sample.wav", "PCM_16", 1 / 16000, 16000, 0),
        ("under.wav", "PCM_16", 3.19, 16000, 0),
        ("even.wav", "PCM_16", 3.2, 16000, 0),
        ("over.wav", "PCM_16", 3.21, 16000, 0),
        ("half.wav", "PCM_16", 0.86, 16000, 0),
        ("telephone.wav", "PCM_16", 1.0, 8000, 0),
        ("studio.wav", "PCM_16", 1.0, 96000, 0),
        ("deep.wav", "PCM_24", 1.0, 48000, 0),
        ("float.wav", "FLOAT", 1.0, 44100, 0),
        ("a.flac", "FLAC", 1.0, 44100, 0),
        ("a.ogg", "OGG", 1.0, 44100, 0),
        ("a.mp3", "libmp3lame", 1.0, 44100, 2),
        ("a.m4a", "aac", 1.0, 44100, 0),
        ("a.opus", "libopus", 1.0, 48000, 1),
        ("a.mp4", "video", 1.0, 44100, 0),
        ("left.wav", "silent channel", 1.0, 44100, 0),
        ("clipped.wav", "clipped", 1.0, 16000, 0),
        ("loud.wav", "above one", 1.0, 16000, 0),
    ],
)
def test_frames_of_a_recording(studio, tmp_path, name, kind, seconds, rate, more):
    path = tmp_path / name
    write(path, kind, seconds, rate)
    frames, motion = made(studio, path, tmp_path)
    expected = max(1, int(np.floor(25 * seconds + 0.5)))
    assert expected <= frames <= expected + more
    assert motion.shape == (frames, 147) and np.isfinite(motion).all()


def made(studio, path, folder):
    """Frames of the video, and the motion in them."""
    job = Job(PICTURE, path, folder / "made.mp4", motion_out=folder / "made.npy")
    (outcome,) = studio.run([job], progress=False)
    if outcome.error:
        raise outcome.error
    with av.open(str(job.out)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert frames == outcome.frames
    return frames, np.load(folder / "made.npy")


def test_samples_that_are_no_numbers_are_silence(studio, tmp_path):
    write(tmp_path / "nan.wav", "NaN", 1.0, 16000)
    with pytest.warns(DataWarning, match="40 audio samples are not finite"):
        frames, motion = made(studio, tmp_path / "nan.wav", tmp_path)
    assert frames == 25 and np.isfinite(motion).all()


def test_far_too_loud_sound(studio, tmp_path):
    samples = speech(1.0, 16000)
    soundfile.write(tmp_path / "integers.wav", 32768 * samples, 16000, subtype="FLOAT")
    with pytest.warns(DataWarning, match="scale it to"):
        frames, motion = made(studio, tmp_path / "integers.wav", tmp_path)
    assert frames == 25 and np.isfinite(motion).all()
    soundfile.write(tmp_path / "huge.wav", 1e30 * samples, 16000, subtype="FLOAT")
    with pytest.raises(UserError, match="huge.wav: the sound reaches 3.*must be scaled to"):
        made(studio, tmp_path / "huge.wav", tmp_path)


def test_no_sound_at_all(studio, tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    make_video(tmp_path / "mute.mp4", [np.zeros((32, 32, 3), np.uint8)] * 3)
    for name, message in (("none.wav", "no audio sample"), ("mute.mp4", "no audio track")):
        with pytest.raises(UserError, match=message):
            made(studio, tmp_path / name, tmp_path)
    assert not (tmp_path / "made.mp4").exists()


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "mp4"])
def test_formats(studio, tmp_path, format):
    write(tmp_path / "a.wav", "PCM_16", 1.0, 16000)
    out = tmp_path / ("pictures" if format == "frames" else f"a{FORMATS[format][0]}")
    for _ in range(2):  # the second time, in place of the first
        (outcome,) = studio.run([Job(PICTURE, tmp_path / "a.wav", out, format)], progress=False)
        assert outcome.error is None and outcome.frames == 25
    if format == "frames":
        assert sorted(p.name for p in out.iterdir()) == [f"{i:06d}.png" for i in range(25)]
        (out / "mine.txt").touch()
        (outcome,) = studio.run([Job(PICTURE, tmp_path / "a.wav", out, format)], progress=False)
        assert "holds mine.txt" in str(outcome.error) and (out / "mine.txt").exists()
    elif format == "motion":
        with np.load(out, allow_pickle=False) as arrays:
            assert arrays["motion"].shape == (25, 147)
    else:
        with av.open(str(out)) as container:
            names = [stream.codec_context.name for stream in container.streams]
            assert sum(1 for _ in container.decode(video=0)) == 25
        assert "vp9" in names[0] and "opus" in names[1]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("rate", [24000, 12800])
def test_features_in_blocks_are_those_of_the_whole(tmp_path, monkeypatch, rate):
    samples = speech(95.3, rate)
    samples *= np.repeat(np.random.default_rng(1).random(96), rate)[: len(samples)]
    samples = samples.astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    rows = 2400
    whole = audio.features(samples, rate, rows)
    blocks = long_features(tmp_path / "a.wav", measured(tmp_path / "a.wav"), rows)
    assert blocks.shape == whole.shape == (rows, 35)
    np.testing.assert_allclose(blocks[:, :33], whole[:, :33], atol=1e-4)  # 0 measured
    np.testing.assert_array_equal(blocks[:, 33:], whole[:, 33:])
    assert whole[:, 33].sum() > 20 and whole[:, 34].sum() > 20
    # What decides between the two ways is the length alone.
    found, frames = features_of_file(tmp_path / "a.wav", 80)
    np.testing.assert_array_equal(found[:2382], blocks[:2382])
    assert frames == 2383
    monkeypatch.setattr(speech_to_motion, "LONGEST", 100.0)
    np.testing.assert_allclose(features_of_file(tmp_path / "a.wav", 80)[0], found, atol=1e-4)


def test_long_silence_has_features(tmp_path, monkeypatch):
    monkeypatch.setattr(speech_to_motion, "LONGEST", 1.0)
    soundfile.write(tmp_path / "a.wav", np.zeros(32000), 16000)
    with pytest.warns(DataWarning, match="a.wav is silent"):
        found, frames = features_of_file(tmp_path / "a.wav", 20)
    assert frames == 50 and found.shape == (60, 35)
    expected = audio.features(np.zeros(32000, np.float32), 16000, 60)
    np.testing.assert_array_equal(found, expected)


PEAK = """
import pathlib, resource, sys
import numpy as np
from generation.models import make_animation, make_motion
from jaxgesture.generation.jobs import Job
from jaxgesture.generation.pipeline import Studio

animation = make_animation()
studio = Studio(animation, make_motion(animation.sha256), candidates=2, steps=2)
sound = pathlib.Path(sys.argv[1])
picture = np.full((64, 64, 3), 0.5, np.float32)
job = Job(picture, sound, sound.with_suffix(".mp4"), motion_out=sound.with_suffix(".npy"))
(outcome,) = studio.run([job], progress=False)
assert outcome.error is None, outcome.error
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(tmp_path):
    """Ten minutes need what half a minute needs, and their last minute is like their first."""
    minute = speech(60, 16000)
    peaks = {}
    for seconds in (30, 600):
        path = tmp_path / f"{seconds}.wav"
        soundfile.write(path, np.tile(minute, 10)[: seconds * 16000], 16000)
        run = subprocess.run(
            [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, timeout=600,
            cwd=pathlib.Path(__file__).parents[1],
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        peaks[seconds] = int(run.stdout)
    assert peaks[600] < 1.1 * peaks[30], peaks  # 847 and 872 MB measured
    motion = np.load(tmp_path / "600.npy")
    assert len(motion) == 15000
    first, last = motion[:1500], motion[-1500:]
    assert 0.8 < last.std(axis=0).mean() / first.std(axis=0).mean() < 1.25
    speeds = [np.abs(np.diff(part, axis=0)).mean() for part in (first, last)]
    assert 0.8 < speeds[1] / speeds[0] < 1.25
