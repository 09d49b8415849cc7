import os
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
from media import delay, noise

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data.sound import read_audio, resample
from jaxgesture.data.video import probe, read_frames
from jaxgesture.generation.outputs import FrameFolder
from jaxgesture.generation.writer import VideoWriter


def mono(seconds: float, rate: int) -> np.ndarray:
    return noise(seconds, rate)[:, 0]


def flashes(count: int, height: int = 32, width: int = 32) -> np.ndarray:
    """Dark frames with a white one every 13."""
    frames = np.full((count, height, width, 3), 20, np.uint8)
    frames[::13] = 250
    return frames


def write(path, frames, **options):
    with VideoWriter(path, frames.shape[1:3], **options) as writer:
        writer.write(frames)
    return path


@pytest.mark.parametrize("fps", [25, 30, Fraction(30000, 1001)])
def test_frames_are_exact(tmp_path, fps):
    path = write(tmp_path / "a.mp4", flashes(77), fps=fps)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == fps and stream.frames == 77
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        context = stream.codec_context
        tags = context.colorspace, context.color_primaries, context.color_trc, context.color_range
        assert tags == (1, 1, 1, 1)
        frames = list(container.decode(stream))
        assert len(frames) == 77
        for index, frame in enumerate(frames):
            assert frame.pts * frame.time_base == index / Fraction(fps)
    bright = [index for index, f in enumerate(read_frames(path, fps=float(fps))) if f.mean() > 128]
    assert bright == list(range(0, 77, 13))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_colours_survive(tmp_path):
    for colour in ((200, 60, 120), (255, 255, 255), (0, 0, 0), (10, 200, 40)):
        frames = np.full((3, 32, 32, 3), colour, np.uint8)
        got = next(read_frames(write(tmp_path / "a.mp4", frames)))
        assert np.abs(got.astype(int) - colour).max() <= 3


def test_pictures_survive(shared, tmp_path):
    frames = np.stack(list(read_frames(shared / "data/clips/seated_man.mp4", end=0.4)))
    got = np.stack(list(read_frames(write(tmp_path / "a.mp4", frames))))
    error = np.square(got.astype(float) - frames).mean()
    assert 10 * np.log10(255**2 / error) > 38


@pytest.mark.parametrize(
    ("rate", "frames", "seconds"),
    [(16000, 100, 4.0), (44100, 100, 3.99), (48000, 50, 4.0), (12800, 76, 3.01), (8000, 50, 2.0)],
)
def test_sound_starts_with_the_first_frame(tmp_path, rate, frames, seconds):
    samples = mono(seconds, rate)
    path = write(tmp_path / "a.mp4", flashes(frames), audio=(samples, rate))
    got, got_rate = read_audio(path)
    assert len(got) / got_rate == pytest.approx(seconds, abs=2e-3)
    # Another reader: what PyAV decodes, by its own time stamps.
    with av.open(str(path)) as container:
        blocks = list(container.decode(audio=0))
        assert container.streams.audio[0].codec_context.name == "aac"
    assert blocks[0].pts == 0
    plain = np.concatenate([block.to_ndarray()[0] for block in blocks])
    for heard in (got, plain):
        heard = heard if got_rate == rate else resample(heard, got_rate, rate)
        assert abs(delay(heard, samples)) / rate < 0.001
        length = min(len(heard), len(samples))
        assert np.corrcoef(heard[:length], samples[:length])[0, 1] > 0.9
    assert probe(path).seconds == pytest.approx(frames / 25)


def test_sound_from_a_file_keeps_its_channels(tmp_path):
    samples = np.stack([mono(2.0, 44100), -mono(2.0, 44100)], axis=-1)
    soundfile.write(tmp_path / "a.wav", samples, 44100)
    path = write(tmp_path / "a.mp4", flashes(50), audio=tmp_path / "a.wav")
    with av.open(str(path)) as container:
        blocks = [block.to_ndarray() for block in container.decode(audio=0)]
    got = np.concatenate(blocks, axis=1)
    assert got.shape[0] == 2
    for channel in range(2):
        assert abs(delay(got[channel], samples[:, channel])) < 20
        assert np.corrcoef(got[channel, :80000], samples[:80000, channel])[0, 1] > 0.9


def test_six_channels_are_mixed(tmp_path):
    samples = np.repeat(mono(1.0, 48000)[:, np.newaxis], 6, axis=1)
    path = write(tmp_path / "a.mp4", flashes(25), audio=(samples, 48000))
    got, _ = read_audio(path)
    assert np.corrcoef(got, samples[:, 0])[0, 1] > 0.9


@pytest.mark.parametrize(("height", "width"), [(33, 32), (32, 33), (31, 47), (1, 1)])
def test_odd_sizes_repeat_the_edge(tmp_path, height, width):
    frames = np.full((5, height, width, 3), 90, np.uint8)
    path = write(tmp_path / "a.mp4", frames)
    info = probe(path)
    assert (info.height, info.width) == (height + height % 2, width + width % 2)
    got = np.stack(list(read_frames(path, crop=None)))
    assert len(got) == 5 and np.abs(got.astype(int) - 90).max() <= 3


def test_single_frames_and_batches_are_the_same(tmp_path):
    frames = flashes(30)
    write(tmp_path / "a.mp4", frames)
    with VideoWriter(tmp_path / "b.mp4", 32) as writer:
        writer.write(frames[:7])
        writer.write(frames[7])
        for frame in frames[8:]:
            writer.write(frame)
        assert writer.frames == 30
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_the_name_appears_only_when_complete(tmp_path):
    path = tmp_path / "new" / "folder" / "a.mp4"
    writer = VideoWriter(path, 32, audio=(mono(2, 16000), 16000))
    writer.write(flashes(20))
    assert not path.exists()
    writer.close()
    writer.close()
    assert os.listdir(path.parent) == ["a.mp4"]
    with pytest.raises(UserError, match="is complete"):
        writer.write(flashes(1))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_nothing(tmp_path, error):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"older")
    with pytest.raises(error), VideoWriter(path, 32, audio=(mono(2, 16000), 16000)) as writer:
        writer.write(flashes(30))
        raise error
    assert os.listdir(tmp_path) == ["a.mp4"] and path.read_bytes() == b"older"


KILLED = """
import os, sys
import numpy as np
from jaxgesture.generation.outputs import FrameFolder
from jaxgesture.generation.writer import VideoWriter
for output in (VideoWriter(sys.argv[1], 32), FrameFolder(sys.argv[2])):
    output.write(np.zeros((3, 32, 32, 3), np.uint8))
os._exit(9)
"""


def test_what_a_killed_process_left_is_removed(tmp_path):
    names = "a [1].mp4", "frames"
    paths = [str(tmp_path / name) for name in names]
    subprocess.run([sys.executable, "-c", KILLED, *paths], check=False)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == 2 and all(".part" in name for name in left)
    other = tmp_path / ".a [1].preview.01234567.part.mp4"  # of another result
    other.touch()
    with VideoWriter(paths[0], 32) as first, FrameFolder(paths[1]) as second:
        first.write(flashes(2))
        second.write(flashes(2))
        assert not any((tmp_path / name).exists() for name in left)
        write(tmp_path / "a [1].mp4", flashes(3))  # another at the same time
        first.write(flashes(2))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*names, other.name])
    assert len(list(read_frames(paths[0]))) == 4


def test_wrong_frames(tmp_path):
    for frames in (
        np.zeros((2, 16, 16, 3), np.uint8),
        np.zeros((2, 32, 32, 3), np.float32),
        np.zeros((32, 32), np.uint8),
    ):
        with (
            pytest.raises(UserError, match=r"frames must be uint8 \(32, 32, 3\)"),
            VideoWriter(tmp_path / "a.mp4", 32) as writer,
        ):
            writer.write(frames)
    with (
        pytest.raises(UserError, match="no frame was written"),
        VideoWriter(tmp_path / "a.mp4", 32),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_wrong_paths_and_sound(tmp_path):
    def error_of(path, **options) -> str:
        with pytest.raises(UserError) as caught:
            VideoWriter(path, 32, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.mp4").mkdir()
    assert "cannot write" in error_of(tmp_path / "file" / "a.mp4")
    assert "is a directory" in error_of(tmp_path / "folder.mp4")
    assert "must end in .mp4" in error_of(tmp_path / "a.avi")
    assert "cannot write" in error_of("/proc/nowhere/a.mp4")
    good = tmp_path / "a.mp4"
    assert "does not exist" in error_of(good, audio=tmp_path / "missing.wav")
    assert "(n,)" in error_of(good, audio=(np.zeros(0, np.float32), 16000))
    assert "int16" in error_of(good, audio=(np.zeros(10, np.int16), 16000))
    assert "rate" in error_of(good, audio=(np.zeros(10, np.float32), 0))
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.mp4"]
    write(good, flashes(30), audio=(mono(1, 16000), 16000))
    assert "is also the audio file" in error_of(good, audio=good)


def test_samples_that_are_not_numbers(tmp_path):
    samples = mono(1, 16000)
    samples[5] = np.nan
    with pytest.warns(DataWarning, match="1 audio samples"):
        write(tmp_path / "a.mp4", flashes(25), audio=(samples, 16000))
    assert np.isfinite(read_audio(tmp_path / "a.mp4")[0]).all()


FULL_DISK = """
import resource, sys
import numpy as np
from jaxgesture.core.errors import UserError
from jaxgesture.generation.writer import VideoWriter

# A limit on file sizes fails as a full disk does, in the middle of a write.
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
rng = np.random.default_rng(0)
try:
    with VideoWriter(sys.argv[1], 128) as writer:
        for _ in range(200):
            writer.write(rng.integers(0, 255, (128, 128, 3), np.uint8))
except UserError as error:
    print("caught", error)
"""


def test_a_full_disk(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "a.mp4")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout.startswith("caught cannot write"), result.stdout + result.stderr
    assert "free space" in result.stdout and result.stdout.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_long_sound_is_not_held_in_memory(tmp_path):
    """A hundred seconds of stereo sound (35 MB as float32) pass through from a file."""

    def resident() -> int:
        with open("/proc/self/statm") as stream:
            return int(stream.read().split()[1]) * 4096

    block = (np.sin(np.arange(441000) / 20) * 9000).astype(np.int16)
    with soundfile.SoundFile(tmp_path / "a.wav", "w", 44100, 2, "PCM_16") as file:
        for _ in range(10):
            file.write(np.stack([block, block], axis=-1))
    with VideoWriter(tmp_path / "a.mp4", 32, fps=1, audio=tmp_path / "a.wav") as writer:
        writer.write(flashes(30))
        before = resident()
        writer.write(flashes(70))
        assert resident() - before < 12e6
    assert len(read_audio(tmp_path / "a.mp4")[0]) == 100 * 44100
