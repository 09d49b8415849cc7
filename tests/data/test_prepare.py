"""Preparing videos: what is used, what is left out and why, and that times stay together."""

import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import soundfile
from media import make_video, set_display_matrix

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import audio, prepare, presenter, sources
from jaxgesture.data.boxes import PARTS
from jaxgesture.data.datasets import FrameDataset
from jaxgesture.data.prepare import prepare_folder
from jaxgesture.data.segments import Segment

SIZE = 32
RATE = 16000


def _levels(frames: int) -> np.ndarray:
    """The grey level that tells which frame it is: coarse enough to survive a lossy codec."""
    return 20 + (np.arange(frames) * 37) % 210


def _video(path, frames: int, sound_seconds: float | None = None, fps: int = 25) -> None:
    """A made-up video whose frames are plain grey, with clicks at every second as its sound."""
    import av

    with av.open(str(path), "w") as out:
        picture = out.add_stream("libx264", rate=fps, options={"crf": "10", "g": "12"})
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        voice = out.add_stream("aac", rate=RATE, layout="mono") if sound_seconds else None
        for level in _levels(frames):
            image = np.full((48, 64, 3), level, np.uint8)
            out.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(picture.encode())
        if voice is not None:
            samples = np.random.default_rng(0).normal(size=round((sound_seconds or 0) * RATE)) / 20
            samples[::RATE] = 0.9
            frame = av.AudioFrame.from_ndarray(
                samples.astype(np.float32)[None], format="fltp", layout="mono"
            )
            frame.sample_rate = RATE
            out.mux(voice.encode(frame))
            out.mux(voice.encode())


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    (folder / "jon").mkdir()
    _video(folder / "jon" / "a long one.mp4", 100, sound_seconds=4.0)
    _video(folder / "mute #1.mkv", 30)
    _video(folder / "short.mp4", 30, sound_seconds=1.2)
    (folder / "text.mp4").write_text("not a video at all")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def _prepare(videos, out, **keywords):
    settings = {"size": SIZE, "image_format": "png", "progress": False, "validation": "last:1.2"}
    return prepare_folder(videos, out, **{**settings, **keywords})


@pytest.fixture(scope="module")
def prepared(videos, tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        return _prepare(videos, tmp_path_factory.mktemp("out") / "set")


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
    np.testing.assert_allclose(seen, _levels(100), atol=3)
    from jaxgesture.data import sound

    # Each clip has the features of its own sound, as a clip that is prepared alone would.
    samples, rate = sound.read_audio(videos / "jon" / "a long one.mp4")
    for clip, part in ((first, samples[: round(2.8 * rate)]), (last, samples[round(2.8 * rate) :])):
        rows = audio.features(part, rate, frames=clip.frames)
        np.testing.assert_array_equal(dataset.audio(clip), rows[: clip.frames])
    assert not dataset.clip("mute #1").has_audio


def test_same_call_keeps_and_another_is_refused(prepared, videos):
    again = _prepare(videos, prepared.out)
    assert again.kept and "kept, it was made by the same command" in again.lines()[0]
    assert (again.used, again.clips) == (prepared.used, prepared.clips)
    assert again.skipped == prepared.skipped and again.warnings == prepared.warnings
    with pytest.raises(UserError, match="made with other validation; delete it or name another"):
        _prepare(videos, prepared.out, validation="none")
    with pytest.raises(UserError, match="made with other size"):
        _prepare(videos, prepared.out, size=48)


def test_changed_video_is_noticed(videos, tmp_path):
    file = tmp_path / "x.mp4"
    shutil.copy(videos / "short.mp4", file)
    _prepare(file, tmp_path / "set")
    _video(file, 29)
    with pytest.raises(UserError, match="made with other files"):
        _prepare(file, tmp_path / "set")


def test_segments_and_named_validation_files(videos, tmp_path):
    report = _prepare(
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
    np.testing.assert_allclose(levels, _levels(100)[25:50], atol=3)
    assert len(dataset.audio(clip)) == 25


def test_file_cut_off_in_its_middle_gives_what_it_has(videos, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    whole = (videos / "mute #1.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    shutil.copy(videos / "short.mp4", folder / "good.mp4")
    report = _prepare(folder, tmp_path / "set")
    assert "good.mp4" in report.used
    assert any("cut.mkv" in text for text in [*report.warnings, *report.skipped.values()])


def test_sound_that_ends_early_is_reported(tmp_path):
    _video(tmp_path / "x.mp4", 50, sound_seconds=1.0)
    report = _prepare(tmp_path / "x.mp4", tmp_path / "set")
    assert any("the sound ends" in text for text in report.warnings)
    assert FrameDataset(tmp_path / "set").audio("x").shape == (50, audio.AUDIO_SIZE)


def test_other_frame_rates_serve_stage_1_only(videos, tmp_path):
    report = _prepare(videos / "short.mp4", tmp_path / "set", fps=12.5)
    assert any("all 1 videos serve stage 1 only" in text for text in report.warnings)
    assert FrameDataset(tmp_path / "set").clips()[0].frames == 15


def _landmarks(path, rows: int, fps: float = 25, down: float = 0.0) -> None:
    """Landmarks of a 64 x 48 picture: hands beside each other, the face above, all moving down."""
    moved = np.arange(rows)[:, None] * [0, down, 0, down]
    pose = np.full((rows, 33, 3), np.nan)
    pose[:, 9], pose[:, 10] = (34, 14, 1), (30, 14, 1)
    pose[..., 1] += moved[:, 1:2]
    np.savez(
        path,
        pose=pose,
        left_hand_box=moved + [40, 30, 50, 40],
        right_hand_box=moved + [2, 30, 12, 40],
        face_box=moved + [26, 4, 38, 18],
        fps=np.array(float(fps)),
    )


def test_landmarks_beside_videos_become_boxes(videos, tmp_path):
    for name in ("short.mp4", "mute #1.mkv", "jon/a long one.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(videos / name, tmp_path / "videos" / name)
    folder = tmp_path / "videos"
    _landmarks(folder / "short.landmarks.npz", 30)
    _landmarks(folder / "jon" / "a long one.landmarks.npz", 100, down=0.05)
    (folder / "mute #1.landmarks.npz").write_bytes(b"not landmarks")
    report = _prepare(folder, tmp_path / "set")
    text = "\n".join(report.lines())
    assert "boxes of hands and face for 3 of 4 clips" in text
    assert "mute #1.mkv has no boxes" in text
    assert "mute #1.landmarks.npz is no readable .npz file" in text and not report.skipped
    dataset = FrameDataset(tmp_path / "set")
    # The square in the middle keeps columns 8 to 56: most of the right hand is outside.
    found = dataset.boxes("short")
    left, right, face, lips = np.moveaxis(found, 1, 0)
    np.testing.assert_allclose(left, np.tile([32, 30, 42, 40], (30, 1)) / 48, atol=1e-6)
    assert np.isnan(right).all()
    np.testing.assert_allclose(face, np.tile([18, 4, 30, 18], (30, 1)) / 48, atol=1e-6)
    np.testing.assert_allclose(lips[0] * 48, [20.4, 10.4, 27.6, 17.6], atol=1e-4)
    assert not dataset.clip("mute #1").has_boxes and np.isnan(dataset.boxes("mute #1")).all()
    parts = [dataset.boxes(f"jon/a long one{end}") for end in ("", ".last")]
    assert [len(part) for part in parts] == [70, 30]
    top = np.concatenate(parts)[:, 0, 1] * 48
    np.testing.assert_allclose(top, 30 + 0.05 * np.arange(100), atol=1e-4)
    assert _prepare(folder, tmp_path / "set").lines()[1:] == report.lines()[1:]


def test_landmarks_follow_crop_segment_and_rate(videos, tmp_path):
    shutil.copy(videos / "jon" / "a long one.mp4", tmp_path / "a.mp4")
    _landmarks(tmp_path / "a.landmarks.npz", 40, fps=12.5, down=0.1)
    report = _prepare(
        tmp_path / "a.mp4",
        tmp_path / "set",
        crop=(0, 8, 40),
        segments={"a.mp4": [Segment(1.0, 4.0)]},
        validation="none",
    )
    assert any("landmarks end 0.80 s before the pictures" in text for text in report.warnings)
    boxes = FrameDataset(tmp_path / "set").boxes("a")
    right = boxes[:, 1]
    # Output frame k shows the moment 1 + k / 25 s, which is row 12.5 + k / 2.
    rows = np.ceil(12.5 + np.arange(75) / 2 - 0.5 - 1e-6)
    there = rows < 40
    np.testing.assert_allclose(right[:, 1][there], (22 + 0.1 * rows[there]) / 40, atol=1e-5)
    assert np.isnan(boxes[55:]).all() and np.isfinite(right[:54]).all()


def test_landmarks_of_a_turned_video(tmp_path):
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[10:30, 20:50] = 255
    path = make_video(tmp_path / "a.mp4", [picture] * 5)
    # Shown turned clockwise, 64 wide and 96 high: x' = 63 - y, y' = x.
    set_display_matrix(path, 0, 1, -1, 0)
    box = np.tile([64.0 - 30, 20.0, 64.0 - 10, 50.0], (5, 1))
    np.savez(
        tmp_path / "a.landmarks.npz",
        pose=np.full((5, 33, 3), np.nan),
        left_hand_box=box,
        right_hand_box=np.full((5, 4), np.nan),
        face_box=np.full((5, 4), np.nan),
        fps=np.array(25.0),
    )
    _prepare(path, tmp_path / "set", size=64, crop="top")
    image, boxes = FrameDataset(tmp_path / "set").record("train", 1)
    np.testing.assert_allclose(boxes[0] * 64, [34, 20, 54, 50], atol=1e-4)
    rows, columns = (np.flatnonzero(image[..., 0].max(axis) > 127) for axis in (1, 0))
    edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(edges, boxes[0] * 64, atol=1)


def test_changed_landmarks_are_noticed(videos, tmp_path):
    file, marks = tmp_path / "x.mp4", tmp_path / "x.landmarks.npz"
    shutil.copy(videos / "short.mp4", file)
    assert _prepare(file, tmp_path / "a").boxes == 0
    _landmarks(marks, 30)
    with pytest.raises(UserError, match="made with other landmarks"):
        _prepare(file, tmp_path / "a")
    assert _prepare(file, tmp_path / "b").boxes == 1
    assert _prepare(file, tmp_path / "b").kept
    _landmarks(marks, 30, down=0.1)
    with pytest.raises(UserError, match="made with other landmarks"):
        _prepare(file, tmp_path / "b")


def test_crop_that_leaves_the_picture(videos, tmp_path):
    with pytest.raises(UserError, match="no clip was usable.*leaves the 64 x 48 picture"):
        _prepare(videos / "short.mp4", tmp_path / "set", crop=(30, 0, 48))


def test_nothing_usable(videos, tmp_path):
    with pytest.raises(UserError, match=r"no clip was usable.*text.mp4: "):
        _prepare(videos / "text.mp4", tmp_path / "set")
    assert not (tmp_path / "set").exists()
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="no video in"):
        _prepare(tmp_path / "none", tmp_path / "set")
    with pytest.raises(UserError, match="no such video or folder"):
        _prepare(tmp_path / "missing", tmp_path / "set")


@pytest.mark.parametrize("rule", ["last", "last:0", "hash:2", "first:3", "last:x"])
def test_rules_that_do_not_exist(videos, tmp_path, rule):
    with pytest.raises(UserError, match="is not understood; use 'last:4.0'"):
        _prepare(videos, tmp_path / "set", validation=rule)


def test_unknown_names_in_arguments(videos, tmp_path):
    with pytest.raises(UserError, match="no such file among the videos: nobody.mp4"):
        _prepare(videos, tmp_path / "set", validation=["nobody.mp4"])


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
    report = _prepare(shared / "data" / "clips", tmp_path / "set", validation="last:4.0")
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


def test_boxes_of_a_real_clip(shared, tmp_path):
    part = {"seated_man.mp4": [Segment(4.0, 7.0)]}
    _prepare(shared / "data" / "clips" / "seated_man.mp4", tmp_path / "set", size=64, segments=part)
    dataset = FrameDataset(tmp_path / "set")
    found = np.concatenate([dataset.boxes(clip) for clip in dataset.clips()])
    there = np.isfinite(found).all(-1)
    assert len(found) == 75 and (there.mean(0) > 0.5).all() and there[:, 2:].all()
    seen = found[there]
    assert seen.min() >= 0 and seen.max() <= 1 and (seen[:, 2:] > seen[:, :2]).all()
    middle = (found[..., :2] + found[..., 2:]) / 2
    left, right, face, lips = np.nanmedian(middle, axis=0)
    assert face[1] < lips[1] < min(left[1], right[1]) and right[0] < left[0]
    np.testing.assert_allclose(lips[0], face[0], atol=0.1)


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
        _video(tmp_path / f"{seconds}.mp4", 25 * seconds, sound_seconds=float(seconds))
        command = [sys.executable, "-c", MEASURE, tmp_path / f"{seconds}.mp4", tmp_path / "set"]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks.append(int(found.stdout))
        shutil.rmtree(tmp_path / "set")
    # The frames of a minute would be 295 MB.
    assert peaks[1] - peaks[0] < 60, peaks


def test_long_files_are_divided_evenly(videos, tmp_path):
    file = videos / "jon" / "a long one.mp4"
    report = _prepare(file, tmp_path / "set", max_seconds=1.0, validation="last:1.2")
    dataset = FrameDataset(report.out)
    names = [f"a long one.{i:03d}" for i in range(3)]
    names += [f"a long one.last.{i:03d}" for i in range(2)]
    assert [clip.id for clip in dataset.clips()] == names
    assert [clip.frames for clip in dataset.clips()] == [23, 23, 24, 15, 15]
    assert [clip.start for clip in dataset.clips()] == [0.0, 0.92, 1.84, 2.8, 3.4]
    seen = np.concatenate([dataset.frames(clip) for clip in dataset.clips()]).mean((1, 2, 3))
    np.testing.assert_allclose(seen, _levels(100), atol=3)


def test_sound_beside_a_video_is_its_sound(videos, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy(videos / "mute #1.mkv", folder / "a.mkv")
    shutil.copy(videos / "short.mp4", folder / "b.mp4")
    rng = np.random.default_rng(3)
    noise = (rng.normal(size=round(1.2 * 22050)) / 10).astype(np.float32)
    for name in "ab":
        soundfile.write(folder / f"{name}.wav", noise, 22050, subtype="FLOAT")
    report = _prepare(folder, tmp_path / "set")
    dataset = FrameDataset(report.out)
    rows = audio.features(noise, 22050, frames=30)
    for name in "ab":
        np.testing.assert_allclose(dataset.audio(name), rows, atol=1e-5)
    assert not any("no sound" in text for text in report.warnings)
    soundfile.write(folder / "a.wav", noise / 2, 22050)
    with pytest.raises(UserError, match="made with other sounds"):
        _prepare(folder, tmp_path / "set")


def test_ids_are_compared_before_the_work(videos, tmp_path):
    parts = {"short.mp4": [Segment(0.0, 1.0, id="mute #1")], "mute #1.mkv": [Segment(0.0, 1.0)]}
    with pytest.raises(UserError, match="two clips are called 'mute #1', of mute #1.mkv and short"):
        _prepare(videos, tmp_path / "set", segments=parts)
    assert not list(tmp_path.iterdir())
