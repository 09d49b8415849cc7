import struct
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
from media import delay, make_video, noise, number_frame

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data.sound import audio_blocks, read_audio


def encode(path, samples, rate, codec, layout="mono", format="fltp"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("subtype", "error"),
    [("PCM_U8", 1 / 128), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("PCM_32", 0), ("FLOAT", 0),
     ("DOUBLE", 0)],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_wav(tmp_path, subtype, error, channels):
    samples = noise(0.3, 22050, channels)
    soundfile.write(tmp_path / "a.wav", samples, 22050, subtype=subtype)
    got, rate = read_audio(tmp_path / "a.wav")
    assert rate == 22050 and got.dtype == np.float32
    np.testing.assert_allclose(got, samples.mean(axis=1), atol=error + 1e-7)


@pytest.mark.parametrize(
    ("name", "codec", "layout", "rate"),
    [
        ("a.flac", "flac", "stereo", 48000),
        ("a.mp3", "libmp3lame", "mono", 44100),
        ("a.m4a", "aac", "stereo", 44100),
        ("a.mp4", "aac", "mono", 16000),
        ("a.ogg", "libopus", "mono", 48000),
        ("a.webm", "libopus", "stereo", 48000),
        ("a.mka", "aac", "5.1", 48000),
    ],
)
def test_codecs_keep_their_place(tmp_path, name, codec, layout, rate):
    samples = noise(1.0, rate, {"mono": 1, "stereo": 2, "5.1": 6}[layout])
    path = encode(tmp_path / name, samples, rate, codec, layout)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got, got_rate = read_audio(path)
    assert got_rate == rate
    assert abs(delay(got, samples.mean(axis=1))) / rate < 0.001
    assert abs(len(got) / rate - 1.0) < (1e-6 if name in ("a.flac", "a.m4a", "a.mp4") else 0.06)


def test_resampling(tmp_path):
    time = np.arange(44100) / 44100
    soundfile.write(tmp_path / "a.wav", np.sin(2 * np.pi * 440 * time) / 2, 44100, subtype="FLOAT")
    got, rate = read_audio(tmp_path / "a.wav", sample_rate=16000)
    assert rate == 16000 and len(got) == 16000
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) / 2
    np.testing.assert_allclose(got[500:-500], expected[500:-500], atol=1e-4)


def test_sound_of_a_video_starts_with_its_first_picture(tmp_path):
    samples = noise(2.0, 16000)[:, 0]
    frames = [number_frame(index, 32, 32) for index in range(40)]
    for offset in (0, 10):
        times = [Fraction(offset + index, 25) for index in range(40)]
        path = make_video(tmp_path / "a.mkv", frames, times=times, sound=(samples, 16000))
        got, rate = read_audio(path)
        # Matroska rounds to milliseconds.
        assert abs(delay(got, samples) / rate + offset / 25) < 0.002


def test_holes_in_the_time_stamps_are_silence(tmp_path):
    samples = noise(0.5, 16000)
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for start in (0, 16000):
            frame = av.AudioFrame.from_ndarray((samples.T * 32767).astype(np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    got, _ = read_audio(tmp_path / "a.mkv")
    assert len(got) == 24000
    assert np.abs(got[8000:16000]).max() == 0
    np.testing.assert_allclose(got[16000:], got[:8000], atol=1e-4)


def test_blocks_are_short_and_keep_the_channels(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(20.0, 16000, 2), 16000)
    blocks = [block for block, _ in audio_blocks(tmp_path / "a.wav")]
    assert max(len(block) for block in blocks) <= 16000
    assert all(block.shape[1] == 2 for block in blocks)


def test_silence_is_a_warning(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 16000)
    with pytest.warns(DataWarning, match=r"a\.wav is silent"):
        samples, _ = read_audio(tmp_path / "a.wav")
    assert len(samples) == 8000


def test_samples_that_are_not_numbers(tmp_path):
    samples = noise(0.5, 16000)[:, 0]
    samples[[10, 20, 30]] = np.nan, np.inf, -np.inf
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    with pytest.warns(DataWarning, match="3 audio samples are not finite"):
        got, _ = read_audio(tmp_path / "a.wav")
    assert np.isfinite(got).all() and not got[[10, 20, 30]].any() and got[11] == samples[11]


def test_truncated_file(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(4.0, 16000), 16000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.warns(DataWarning, match="cut off or damaged"):
        samples, _ = read_audio(path)
    assert 16000 < len(samples) < 48000
    # The sizes in a WAV header are often wrong: it is read to the end of the file.
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(2.0, 16000), 16000)
    path.write_bytes(path.read_bytes()[:32044])
    assert len(read_audio(path)[0]) == 16000


def test_errors(tmp_path, shared):
    def error_of(path) -> str:
        with pytest.raises(UserError) as caught:
            read_audio(path)
        message = str(caught.value)
        assert str(path) in message and "\n" not in message and ";" in message
        return message

    assert "does not exist" in error_of(tmp_path / "missing.wav")
    assert "is a directory" in error_of(tmp_path)
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    assert "holds no audio sample" in error_of(tmp_path / "none.wav")
    (tmp_path / "empty.wav").touch()
    assert "is an empty file" in error_of(tmp_path / "empty.wav")
    (tmp_path / "text.wav").write_text("hello\n" * 50)
    assert "is not a" in error_of(tmp_path / "text.wav")
    assert "has no audio track" in error_of(shared / "data/clips/ted_silent_1.mp4")
    assert "is not a" in error_of(shared / "data/stills/pats_001.png")


def test_header_without_a_length(tmp_path):
    """Programs that write WAV to a pipe leave the sizes open."""
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1.0, 16000), 16000)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 4, 0xFFFFFFFF)
    struct.pack_into("<I", data, data.index(b"data") + 4, 0xFFFFFFFF)
    path.write_bytes(bytes(data))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        samples, _ = read_audio(path)
    assert len(samples) == 16000


def test_real_files(shared):
    lengths = {"pats_001.wav": 14.4196, "jfk.flac": 11.0, "walden_24khz.wav": 8.1387}
    for name, seconds in lengths.items():
        path = shared / "data/speech" / name
        samples, rate = read_audio(path)
        assert len(samples) / rate == pytest.approx(seconds, abs=1e-3)
        reference, _ = soundfile.read(path, dtype="float32", always_2d=True)
        np.testing.assert_allclose(samples, reference.mean(axis=1), atol=1e-6)
