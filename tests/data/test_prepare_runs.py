"""Whole runs of `prepare folder` over real files: processes, kills, and files that change."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from media import make_video

from jaxgesture.core.errors import UserError
from jaxgesture.data import prepare, video
from jaxgesture.data.datasets import FrameDataset
from jaxgesture.data.prepare import prepare_folder
from jaxgesture.data.segments import Segment

SETTINGS = {"size": 32, "validation": "last:0.4", "progress": False}
RATE = 16000


def _pictures(count: int, level: int = 30) -> list[np.ndarray]:
    return [np.full((48, 64, 3), level + 4 * (i % 40), np.uint8) for i in range(count)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "videos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        sound = (rng.normal(size=RATE).astype(np.float32) / 10, RATE)
        make_video(folder / f"{number}.mp4", _pictures(25, 20 + 5 * number), sound=sound)
    return folder


def _bytes(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.array_record-*"))}


@pytest.fixture(scope="module")
def whole(videos):
    prepare_folder(videos, videos.parent / "whole", **SETTINGS)
    return videos.parent / "whole"


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_make_the_same_bytes(videos, whole, tmp_path, workers):
    prepare_folder(videos, tmp_path / "set", workers=workers, **SETTINGS)
    assert _bytes(tmp_path / "set") == _bytes(whole)
    assert FrameDataset(tmp_path / "set").sha256 == FrameDataset(whole).sha256


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(1, 0), (0, 2)])
def test_the_command_killed_and_given_again(videos, whole, tmp_path, first, second):
    out = tmp_path / "set"

    def begin(workers):
        return subprocess.Popen(
            [
                sys.executable, "-m", "jaxgesture.cli", "prepare", "folder", f"--videos={videos}",
                f"--out={out}", "--size=32", "--validation=last:0.4", f"--workers={workers}",
            ],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    process = begin(first)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "set.partial").glob("jobs/*.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    assert begin(second).wait(timeout=240) == 0
    assert _bytes(out) == _bytes(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_name_that_is_no_text_is_listed(videos, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    good = ["good.mp4", "no\u00a0break \u200d.mp4"]
    for name in good:
        shutil.copy(videos / "0.mp4", folder / name)
    bad = os.fsencode(folder) + b"/caf\xe9.mp4"
    pathlib.Path(os.fsdecode(bad)).write_bytes((videos / "1.mp4").read_bytes())
    report = prepare_folder(folder, tmp_path / "set", **SETTINGS)
    assert report.used == good
    ((name, reason),) = report.skipped.items()
    assert name.startswith("caf") and "rename it" in reason
    "\n".join(report.lines()).encode()


def test_suffix_of_the_sound_in_capitals(videos, tmp_path):
    make_video(tmp_path / "a.mp4", _pictures(25))
    soundfile.write(tmp_path / "a.WAV", np.ones(RATE) / 10, RATE)
    report = prepare_folder(tmp_path / "a.mp4", tmp_path / "set", **SETTINGS)
    assert not any("no sound" in text for text in report.warnings)
    assert FrameDataset(report.out).clip("a").has_audio


def test_parts_that_overlap_do_not_share_what_is_held_out(videos, tmp_path):
    parts = {"0.mp4": [Segment(0.0, 1.0), Segment(0.4, 1.0), Segment(0.7, 0.9)]}
    report = prepare_folder(videos, tmp_path / "set", segments=parts, **SETTINGS)
    clips = FrameDataset(report.out).clips()
    spans = {c.id: (c.split, round(25 * c.start), c.frames) for c in clips}
    assert spans == {
        "0.000": ("train", 0, 15),
        "0.000.last": ("validation", 15, 10),
        "0.001": ("train", 10, 5),
    }


def test_part_beyond_the_end_is_told(videos, tmp_path):
    report = prepare_folder(
        videos, tmp_path / "set", segments={"0.mp4": [Segment(0.2, 9.0)]}, **SETTINGS
    )
    assert "0.mp4: the part 0.2-9 s ends with the video, at 1.00 s" in report.warnings


def test_video_that_changes_while_it_is_read(videos, tmp_path, monkeypatch):
    folder = tmp_path / "videos"
    shutil.copytree(videos, folder)
    read = video.read_frames

    def replaced(path, **keywords):
        yield from read(path, **keywords)
        if path.name == "3.mp4":
            shutil.copy(folder / "4.mp4", path)

    monkeypatch.setattr(video, "read_frames", replaced)
    report = prepare_folder(folder, tmp_path / "set", **{**SETTINGS, "validation": "none"})
    assert report.skipped == {
        "3.mp4": "it was changed while it was read; prepare it again when it is whole"
    }
    assert report.clips == {"train": 4}


def test_pictures_behind_the_stated_end(tmp_path, monkeypatch):
    import dataclasses

    path = make_video(tmp_path / "a.mp4", _pictures(80))
    probe = video.probe
    monkeypatch.setattr(video, "probe", lambda p: dataclasses.replace(probe(p), seconds=1.0))
    report = prepare_folder(path, tmp_path / "set", **{**SETTINGS, "validation": "none"})
    assert FrameDataset(report.out).clips()[0].frames == 50
    assert any("go on after the stated end at 1.00 s" in text for text in report.warnings)


def test_crop_by_landmarks(videos, tmp_path):
    file = tmp_path / "a.mp4"
    shutil.copy(videos / "0.mp4", file)
    settings = {**SETTINGS, "validation": "none", "crop": "landmarks"}
    with pytest.raises(UserError, match="a.mp4 has no landmarks to crop by; make them with"):
        prepare_folder(file, tmp_path / "set", **settings)
    (tmp_path / "a.landmarks.npz").write_bytes(b"no landmarks")
    with pytest.raises(UserError, match="no crop by its landmarks: .*is no readable .npz file"):
        prepare_folder(file, tmp_path / "set", **settings)
    boxes = {
        "left_hand_box": np.tile([50.0, 20, 62, 30], (25, 1)),
        "right_hand_box": np.tile([2.0, 20, 10, 30], (25, 1)),
        "face_box": np.tile([26.0, 4, 40, 18], (25, 1)),
    }
    np.savez(
        tmp_path / "a.landmarks.npz", pose=np.full((25, 33, 3), np.nan), fps=np.array(25.0), **boxes
    )
    report = prepare_folder(file, tmp_path / "set", **settings)
    text = "a.mp4: the square cannot hold hands and face in all frames of 1 clips"
    assert text in report.warnings and report.boxes == 1


@pytest.mark.parametrize("keywords", [{"max_seconds": np.inf}, {"max_seconds": 0.01}])
def test_lengths_that_make_no_clip(videos, tmp_path, keywords):
    with pytest.raises(UserError, match="cannot be made; choose more seconds|must be positive"):
        prepare_folder(videos, tmp_path / "set", **{**SETTINGS, **keywords})


@pytest.mark.parametrize("keywords", [{"fps": np.inf}, {"fps": 0}, {"size": 10**8}])
def test_settings_out_of_range(videos, tmp_path, keywords):
    with pytest.raises(UserError, match="must be positive, size at most 4096, fps at most 1000"):
        prepare_folder(videos, tmp_path / "set", **{**SETTINGS, **keywords})


def test_everything_held_out_is_told(videos, tmp_path):
    names = [path.name for path in videos.iterdir()]
    report = prepare_folder(videos, tmp_path / "set", **{**SETTINGS, "validation": names})
    assert any("no clip is for training" in text for text in report.warnings)


def test_reasons_are_few_and_only_where_they_matter(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02d}.mp4").touch()
    with pytest.raises(UserError, match="no clip was usable.*00.mp4: .*; and 25 more") as caught:
        prepare_folder(folder, tmp_path / "set", **SETTINGS)
    assert len(str(caught.value)) < 1500


def test_damaged_descriptions_are_named(whole, tmp_path):
    for name, text, message in (
        ("features.json", "{", "features.json of .* is damaged"),
        ("dataset_info.json", "x", "dataset_info.json or .* is damaged"),
    ):
        copy = tmp_path / name
        shutil.copytree(whole, copy)
        (copy / name).write_text(text)
        with pytest.raises(UserError, match=message):
            FrameDataset(copy).image("train", 0)
    copy = tmp_path / "clips"
    shutil.copytree(whole, copy)
    index = (copy / "clips.json").read_text()
    for old, new, message in (
        ('"frames": 15', '"frames": 1000000', "frames in its clips"),
        ('"format": 3', '"format": "x"', "clips.json is damaged"),
        ('"has_boxes"', '"has_bxes"', "clips.json is damaged"),
    ):
        assert old in index
        (copy / "clips.json").write_text(index.replace(old, new, 1))
        with pytest.raises(UserError, match=message):
            FrameDataset(copy)


def test_wavlm_features_in_a_dataset(videos, tmp_path):
    from jaxgesture.data.audio import Baseline

    class Wide(Baseline):
        """Stands for WavLM: more columns in front of the 35, and another name."""

        def __init__(self):
            object.__setattr__(self, "name", "wide-40")
            object.__setattr__(self, "size", 40)

        def features(self, samples, sample_rate, frames):
            rows = super().features(samples, sample_rate, frames)
            return np.concatenate([np.full((frames, 5), 7, np.float32), rows], axis=1)

    file = videos / "0.mp4"
    report = prepare_folder(file, tmp_path / "set", extractor=Wide(), **SETTINGS)
    dataset = FrameDataset(report.out)
    assert (dataset.features, dataset.audio_size) == ("wide-40", 40)
    assert (dataset.audio("0")[:, :5] == 7).all()
    with pytest.raises(UserError, match="made with other audio_size, features"):
        prepare_folder(file, tmp_path / "set", **SETTINGS)
    assert prepare.PrepareReport is type(report)
