"""Preparing videos: what is used, what is left out and why, and that times stay together."""

import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import soundfile
from data.made_videos import folder_of_videos, grey_levels, prepare_quickly, video

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import audio, prepare, presenter, sources
from jaxgesture.data.boxes import PARTS
from jaxgesture.data.datasets import FrameDataset
from jaxgesture.data.segments import Segment


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return folder_of_videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def prepared(videos, tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        return prepare_quickly(videos, tmp_path_factory.mktemp("out") / "set")


def test_report_lists_everything(prepared):
    assert not prepared.kept
    assert prepared.used == ["jon/a long one.mp4", "mute #1.mkv", "short.mp4"]
    assert set(prepared.skipped) == {"empty.mp4", "text.mp4"}
    assert "empty" in prepared.skipped["empty.mp4"]
    assert prepared.clips == {"train": 3, "validation": 1}
    assert prepared.seconds == {"train": pytest.approx(5.2), "validation": pytest.approx(1.2)}
    text = "\n".join(prepared.lines())
    assert "warning: 1 of 3 videos has no sound" in text and "mute #1.mkv" in text
    assert "2 of 3 videos have less than 2.4 s: used for training whole" in text
    assert "skipped  text.mp4   " in text


def test_cut_keeps_frames_and_sound_together(prepared, videos):
    dataset = FrameDataset(prepared.out)
    first, last = dataset.clip("jon/a long one"), dataset.clip("jon/a long one.last")
    assert (first.split, first.frames, first.start) == ("train", 70, 0.0)
    assert (last.split, last.frames, last.start) == ("validation", 30, 2.8)
    assert first.speaker == last.speaker == "jon" and dataset.clip("short").speaker == "short"
    seen = np.concatenate([dataset.frames(first), dataset.frames(last)]).mean((1, 2, 3))
    np.testing.assert_allclose(seen, grey_levels(100), atol=3)
    from jaxgesture.data import sound

    # Each clip has the features of its own sound, as a clip that is prepared alone would.
    samples, rate = sound.read_audio(videos / "jon" / "a long one.mp4")
    for clip, part in ((first, samples[: round(2.8 * rate)]), (last, samples[round(2.8 * rate) :])):
        rows = audio.features(part, rate, frames=clip.frames)
        np.testing.assert_array_equal(dataset.audio(clip), rows[: clip.frames])
    assert not dataset.clip("mute #1").has_audio


def test_same_call_keeps_and_another_is_refused(prepared, videos):
    again = prepare_quickly(videos, prepared.out)
    assert again.kept and "kept, it was made by the same command" in again.lines()[0]
    assert (again.used, again.clips) == (prepared.used, prepared.clips)
    assert again.skipped == prepared.skipped and again.warnings == prepared.warnings
    with pytest.raises(UserError, match="made with other validation; delete it or name another"):
        prepare_quickly(videos, prepared.out, validation="none")
    with pytest.raises(UserError, match="made with other size"):
        prepare_quickly(videos, prepared.out, size=48)


def test_changed_video_is_noticed(videos, tmp_path):
    file = tmp_path / "x.mp4"
    shutil.copy(videos / "short.mp4", file)
    prepare_quickly(file, tmp_path / "set")
    video(file, 29)
    with pytest.raises(UserError, match="made with other files"):
        prepare_quickly(file, tmp_path / "set")


def test_segments_and_named_validation_files(videos, tmp_path):
    report = prepare_quickly(
        videos,
        tmp_path / "set",
        validation=["short.mp4"],
        segments={
            "jon/a long one.mp4": [Segment(1.0, 2.0)],
            "mute #1.mkv": [Segment(9.0, 10.0)],
            "short.mp4": [Segment(0.0, 0.6), Segment(0.6, 1.2, id="end", speaker="x")],
        },
    )
    assert report.skipped == {
        "mute #1.mkv from 9 s": "it has no part 9-10 s, it has 1.20 s; correct the list"
    }
    dataset = FrameDataset(tmp_path / "set")
    assert [clip.id for clip in dataset.clips("validation")] == ["short.000", "end"]
    assert [clip.speaker for clip in dataset.clips("validation")] == ["short", "x"]
    clip = dataset.clip("jon/a long one")
    assert (clip.frames, clip.start) == (25, 1.0)
    levels = dataset.frames(clip).mean((1, 2, 3))
    np.testing.assert_allclose(levels, grey_levels(100)[25:50], atol=3)
    assert len(dataset.audio(clip)) == 25


def test_file_cut_off_in_its_middle_gives_what_it_has(videos, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    whole = (videos / "mute #1.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    shutil.copy(videos / "short.mp4", folder / "good.mp4")
    report = prepare_quickly(folder, tmp_path / "set")
    assert "good.mp4" in report.used
    assert any("cut.mkv" in text for text in [*report.warnings, *report.skipped.values()])


def test_sound_that_ends_early_is_reported(tmp_path):
    video(tmp_path / "x.mp4", 50, sound_seconds=1.0)
    report = prepare_quickly(tmp_path / "x.mp4", tmp_path / "set")
    assert any("the sound ends" in text for text in report.warnings)
    assert FrameDataset(tmp_path / "set").audio("x").shape == (50, audio.AUDIO_SIZE)


def test_other_frame_rates_serve_stage_1_only(videos, tmp_path):
    report = prepare_quickly(videos / "short.mp4", tmp_path / "set", fps=12.5)
    assert any("all 1 videos serve stage 1 only" in text for text in report.warnings)
    assert FrameDataset(tmp_path / "set").clips()[0].frames == 15


def test_crop_that_leaves_the_picture(videos, tmp_path):
    with pytest.raises(UserError, match="no clip was usable.*leaves the 64 x 48 picture"):
        prepare_quickly(videos / "short.mp4", tmp_path / "set", crop=(30, 0, 48))


def test_nothing_usable(videos, tmp_path):
    with pytest.raises(UserError, match=r"no clip was usable.*text.mp4: "):
        prepare_quickly(videos / "text.mp4", tmp_path / "set")
    assert not (tmp_path / "set").exists()
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="no video in"):
        prepare_quickly(tmp_path / "none", tmp_path / "set")
    with pytest.raises(UserError, match="no such video or folder"):
        prepare_quickly(tmp_path / "missing", tmp_path / "set")


@pytest.mark.parametrize("rule", ["last", "last:0", "hash:2", "first:3", "last:x"])
def test_rules_that_do_not_exist(videos, tmp_path, rule):
    with pytest.raises(UserError, match="is not understood; use 'last:4.0'"):
        prepare_quickly(videos, tmp_path / "set", validation=rule)


def test_unknown_names_in_arguments(videos, tmp_path):
    with pytest.raises(UserError, match="no such file among the videos: nobody.mp4"):
        prepare_quickly(videos, tmp_path / "set", validation=["nobody.mp4"])


def test_hash_rule_is_a_share_of_the_files():
    rng = np.random.default_rng(0)
    held = [sources.is_validation("hash:0.25", "x", rng.bytes(32).hex()) for _ in range(2000)]
    assert 0.2 < np.mean(held) < 0.3


def test_clip_ids_are_unique():
    assert sources.clip_ids(["a.mp4", "a.mov", "b/a.mp4", "c.d.mp4"]) == {
        "a.mp4": "a.mp4",
        "a.mov": "a.mov",
        "b/a.mp4": "b/a",
        "c.d.mp4": "c.d",
    }


def test_presenter(tmp_path):
    keywords = {"identities": 2, "clips": 2, "seconds": 1.2, "size": 32, "progress": False}
    out = tmp_path / "set"
    report = prepare.prepare_presenter(out, **keywords, validation_identities=[5])
    assert report.clips == {"train": 2, "validation": 3}
    dataset = FrameDataset(out)
    assert [clip.frames for clip in dataset.clips()] == [30] * 5
    assert {clip.speaker for clip in dataset.clips("train")} == {"identity00", "identity01"}
    sounds = [dataset.audio(clip).tobytes() for clip in dataset.clips()]
    assert len(set(sounds)) == 5
    assert report.boxes == 5 and dataset.has_boxes
    # Take 1 of identity 1, by the seed that `source` states.
    play = presenter.perform(1001, 1, 1.2, 32)
    expected = np.stack([play.boxes[part] for part in PARTS], axis=1) / 32
    np.testing.assert_allclose(dataset.boxes("identity01-take001"), expected, atol=1e-7)
    assert prepare.prepare_presenter(out, **keywords, validation_identities=[5]).kept
    with pytest.raises(UserError, match="made with other seed"):
        prepare.prepare_presenter(out, **keywords, validation_identities=[5], seed=1)
    with pytest.raises(UserError, match="named twice"):
        prepare.prepare_presenter(tmp_path / "x", **keywords, validation_identities=[1])


@pytest.mark.slow
def test_real_clips(shared, tmp_path):
    report = prepare_quickly(shared / "data" / "clips", tmp_path / "set", validation="last:4.0")
    assert report.clips["train"] == 6 and not report.skipped
    assert any(
        text.startswith("2 of 6 videos have no sound: they serve") for text in report.warnings
    )
    dataset = FrameDataset(tmp_path / "set")
    assert dataset.clip("seated_man").frames == 400
    assert dataset.clip("seated_man.last").frames == 100
    assert len(dataset.clips("train", need_audio=True)) == 4
    total = len(dataset.clips())
    assert f"boxes of hands and face for {total} of {total} clips" in report.lines()


MEASURE = """
import resource, sys
from jaxgesture.data.prepare import prepare_folder
prepare_folder(
    sys.argv[1], sys.argv[2], size=256, max_seconds=3.0, validation="none", progress=False
)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    peaks = []
    for seconds in (6, 60):
        video(tmp_path / f"{seconds}.mp4", 25 * seconds, sound_seconds=float(seconds))
        command = [sys.executable, "-c", MEASURE, tmp_path / f"{seconds}.mp4", tmp_path / "set"]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks.append(int(found.stdout))
        shutil.rmtree(tmp_path / "set")
    # The frames of a minute would be 295 MB.
    assert peaks[1] - peaks[0] < 60, peaks


def test_long_files_are_divided_evenly(videos, tmp_path):
    file = videos / "jon" / "a long one.mp4"
    report = prepare_quickly(file, tmp_path / "set", max_seconds=1.0, validation="last:1.2")
    dataset = FrameDataset(report.out)
    names = [f"a long one.{i:03d}" for i in range(3)]
    names += [f"a long one.last.{i:03d}" for i in range(2)]
    assert [clip.id for clip in dataset.clips()] == names
    assert [clip.frames for clip in dataset.clips()] == [23, 23, 24, 15, 15]
    assert [clip.start for clip in dataset.clips()] == [0.0, 0.92, 1.84, 2.8, 3.4]
    seen = np.concatenate([dataset.frames(clip) for clip in dataset.clips()]).mean((1, 2, 3))
    np.testing.assert_allclose(seen, grey_levels(100), atol=3)


def test_sound_beside_a_video_is_its_sound(videos, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy(videos / "mute #1.mkv", folder / "a.mkv")
    shutil.copy(videos / "short.mp4", folder / "b.mp4")
    rng = np.random.default_rng(3)
    noise = (rng.normal(size=round(1.2 * 22050)) / 10).astype(np.float32)
    for name in "ab":
        soundfile.write(folder / f"{name}.wav", noise, 22050, subtype="FLOAT")
    report = prepare_quickly(folder, tmp_path / "set")
    dataset = FrameDataset(report.out)
    rows = audio.features(noise, 22050, frames=30)
    for name in "ab":
        np.testing.assert_allclose(dataset.audio(name), rows, atol=1e-5)
    assert not any("no sound" in text for text in report.warnings)
    soundfile.write(folder / "a.wav", noise / 2, 22050)
    with pytest.raises(UserError, match="made with other sounds"):
        prepare_quickly(folder, tmp_path / "set")


def test_ids_are_compared_before_the_work(videos, tmp_path):
    parts = {"short.mp4": [Segment(0.0, 1.0, id="mute #1")], "mute #1.mkv": [Segment(0.0, 1.0)]}
    with pytest.raises(UserError, match="two clips are called 'mute #1', of mute #1.mkv and short"):
        prepare_quickly(videos, tmp_path / "set", segments=parts)
    assert not list(tmp_path.iterdir())
