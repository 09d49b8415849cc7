"""A folder of all that goes wrong: what is usable is used, the rest is named with a reason."""

import os
import pathlib
import re
import shutil
import tempfile
from fractions import Fraction

import disks
import numpy as np
import pytest
import soundfile
from media import make_video, set_display_matrix

from jaxgesture.core.errors import UserError
from jaxgesture.data import sources
from jaxgesture.data.datasets import FrameDataset
from jaxgesture.data.prepare import prepare_folder

SIZE = 32
STRANGE = 'it\'s "so" #1 100% имя 名.mp4'


def _pictures(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    return [np.full((height, width, 3), 30 + 4 * i % 200, np.uint8) for i in range(count)]


def _noise(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(rate)
    return rng.normal(size=(round(seconds * rate), channels)).astype(np.float32) / 10


def _fill(folder: pathlib.Path) -> None:
    voice = (_noise(1.2, 16000)[:, 0], 16000)
    good = make_video(folder / "good.mp4", _pictures(30), sound=voice)
    data = good.read_bytes()
    (folder / "truncated.mp4").write_bytes(data[: len(data) // 2])
    (folder / "zero.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no video\n" * 100)
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "linked").symlink_to(_elsewhere(folder), target_is_directory=True)
    shutil.copy(good, folder / STRANGE)
    make_video(folder / "sound ends.mp4", _pictures(50), sound=(voice[0], 16000))
    make_video(folder / "sound goes on.mp4", _pictures(10), sound=voice)
    make_video(folder / "mute.mp4", _pictures(30))
    times = [Fraction(i * i, 700) for i in range(30)]
    make_video(folder / "variable.mp4", _pictures(30), times=times, sound=voice)
    set_display_matrix(make_video(folder / "turned.mp4", _pictures(30)), 0, 1, -1, 0)
    make_video(folder / "one a second.mp4", _pictures(3), fps=1)
    make_video(folder / "eight.mkv", _pictures(30, 8, 8), codec="ffv1", pix_fmt="yuv444p")
    make_video(folder / "odd.mkv", _pictures(30, 65, 49), codec="ffv1", pix_fmt="yuv444p")
    make_video(folder / "ten bits.mkv", _pictures(30), codec="ffv1", pix_fmt="yuv420p10le")
    for channels in (1, 2, 6):
        for rate in (8000, 44100, 96000):
            name = f"{channels} at {rate}"
            make_video(folder / f"{name}.mp4", _pictures(30))
            soundfile.write(folder / f"{name}.wav", _noise(1.2, rate, channels), rate)


def _elsewhere(folder: pathlib.Path) -> pathlib.Path:
    other = folder.parent / "elsewhere"
    other.mkdir()
    make_video(other / "far.mp4", _pictures(30))
    return other


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad") / "videos"
    folder.mkdir()
    _fill(folder)
    out = folder.parent / "set"
    return prepare_folder(folder, out, size=SIZE, validation="none", progress=False)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("truncated.mp4", "not a readable video file .*copy it again if it was cut off"),
        ("zero.mp4", "is an empty file; copy or download it again"),
        ("text.mp4", "is not a (readable )?video file"),
        ("gone.mp4", "cannot be read: No such file"),
    ],
)
def test_what_cannot_be_used_is_named(report, name, reason):
    assert re.search(reason, report.skipped[name])


def test_nothing_else_is_left_out(report):
    assert set(report.skipped) == {"truncated.mp4", "zero.mp4", "text.mp4", "gone.mp4"}
    sounds = {
        f"{channels} at {rate}.mp4" for channels in (1, 2, 6) for rate in (8000, 44100, 96000)
    }
    others = {
        "good.mp4", STRANGE, "sound ends.mp4", "sound goes on.mp4", "mute.mp4", "variable.mp4",
        "turned.mp4", "one a second.mp4", "eight.mkv", "odd.mkv", "ten bits.mkv", "linked/far.mp4",
    }  # fmt: skip
    assert set(report.used) == sounds | others
    text = "\n".join(report.lines())
    assert all(f"skipped  {name}" in text for name in report.skipped)


@pytest.mark.parametrize(
    "warning",
    [
        "sound ends.mp4: the sound ends 0.8. s before the pictures; taken as silence",
        "sound goes on.mp4: the sound goes on for 0.8. s after the pictures; not used",
        "7 of 21 videos have no sound: they serve stage 1 only .*mute.mp4",
        "1 of 21 videos has less than 15 pictures a second.*one a second.mp4",
        "1 of 21 videos has squares of less than 16 pixels.*eight.mkv",
    ],
)
def test_what_is_usable_in_part_is_told(report, warning):
    assert any(re.search(warning, text) for text in report.warnings), report.warnings


def test_lengths_and_sound(report):
    dataset = FrameDataset(report.out)
    frames = {clip.source: clip.frames for clip in dataset.clips()}
    short = {"sound ends.mp4": 50, "sound goes on.mp4": 10, "one a second.mp4": 75}
    for name, count in frames.items():
        if name != "variable.mp4":
            assert count == short.get(name, 30), name
    # Its pictures come at i^2 / 700 s.
    assert abs(frames["variable.mp4"] - 29 * 29 / 700 * 25) <= 2
    for clip in dataset.clips():
        expected = " at " in clip.source or clip.source in (
            "good.mp4", STRANGE, "sound ends.mp4", "sound goes on.mp4", "variable.mp4",
        )  # fmt: skip
        assert clip.has_audio == expected, clip.source
        if expected:
            rows = dataset.audio(clip)
            assert rows.shape == (clip.frames, 35) and np.isfinite(rows).all()


def test_variable_rate_shows_the_nearest_picture(report):
    dataset = FrameDataset(report.out)
    levels = dataset.frames("variable").mean((1, 2, 3))
    times = np.arange(30) ** 2 / 700
    nearest = [30 + 4 * np.abs(times - k / 25).argmin() for k in range(len(levels))]
    np.testing.assert_allclose(levels[:-1], nearest[:-1], atol=4)


def test_unreadable_file_is_named():
    owner = os.geteuid() or 65534
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        file = folder / "secret.mp4"
        file.write_bytes(b"x")
        file.chmod(0)
        before = os.geteuid()
        os.seteuid(owner)
        try:
            found, failed = sources.hashes({"secret.mp4": file}, progress=False)
        finally:
            os.seteuid(before)
        assert not found and "secret.mp4 cannot be read: Permission denied" in failed["secret.mp4"]
    finally:
        shutil.rmtree(folder)


def test_full_disk(tmp_path):
    with disks.small_disk(tmp_path / "disk", 900 << 10) as disk:
        rng = np.random.default_rng(0)
        videos = tmp_path / "videos"
        videos.mkdir()
        for number in range(4):
            noise = [rng.integers(0, 255, (64, 64, 3), np.uint8) for _ in range(25)]
            make_video(videos / f"{number}.mkv", noise, codec="ffv1", pix_fmt="yuv444p")
        settings = {"size": 64, "image_format": "png", "validation": "none", "progress": False}
        for workers in (0, 1):
            with pytest.raises(UserError, match="the disk of .*set is full; free some space"):
                prepare_folder(videos, disk / "set", workers=workers, **settings)
            assert not (disk / "set").exists()
        left = list((disk / "set.partial").glob("jobs/*.json"))
        assert left
        disks.resize(disk, 20 << 20)
        report = prepare_folder(videos, disk / "set", **settings)
        assert report.clips == {"train": 4}
