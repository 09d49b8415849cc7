"""Frame records: what is written comes back, in order, from single reads; damage is named."""

import dataclasses
import json
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import records
from jaxgesture.data.datasets import ClipData, FrameDataset, write_frames

SIZE = 16


def _clip(clip_id: str, split: str, frames: int, mute: bool = False, seed: int = 0) -> ClipData:
    rng = np.random.default_rng([seed, len(clip_id), frames])
    audio = None if mute else rng.normal(size=(frames, 35)).astype(np.float32)
    images = rng.integers(0, 256, (frames, SIZE, SIZE, 3), np.uint8)
    source = f"{clip_id}.mp4"
    # No box in the clips that are cut off, none of a right hand in the others.
    low = rng.uniform(0, 0.5, (frames, 4, 2)).astype(np.float32)
    boxes = np.concatenate([low, low + 0.5], axis=-1)
    boxes[:, 1] = np.nan
    there = None if clip_id.endswith(".last") else boxes
    return ClipData(clip_id, split, images, audio, speaker="s", source=source, boxes=there)


def _clips() -> list[ClipData]:
    # Splits come interleaved, as they do when every file is cut in two.
    return [
        _clip("a", "train", 5),
        _clip("a.last", "validation", 3),
        _clip("mute", "train", 4, mute=True),
        _clip("b", "train", 7),
        _clip("b.last", "validation", 2),
    ]


def _write(directory: pathlib.Path, **keywords) -> FrameDataset:
    keywords = {"size": SIZE, "image_format": "png", **keywords}
    return write_frames(directory, keywords.pop("clips", _clips()), **keywords)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> FrameDataset:
    # A few records a file, so that there are several of a split.
    return _write(tmp_path_factory.mktemp("frames") / "set", shard_bytes=4000)


def test_content_comes_back_in_order(dataset):
    assert len(list(dataset.directory.glob("*-train.array_record-*"))) > 2
    assert dataset.splits == ("train", "validation")
    assert (dataset.count("train"), dataset.count("validation")) == (16, 5)
    for clip in _clips():
        info = dataset.clip(clip.id)
        assert (info.frames, info.split, info.source) == (
            len(clip.frames),
            clip.split,
            f"{clip.id}.mp4",
        )
        np.testing.assert_array_equal(dataset.frames(info), clip.frames)
        np.testing.assert_array_equal(dataset.frames(info, 1, 3), clip.frames[1:3])
        np.testing.assert_array_equal(dataset.frame(clip.id, 1), clip.frames[1])
        assert info.has_audio == (clip.audio is not None)
        if clip.audio is not None:
            np.testing.assert_array_equal(dataset.audio(info), clip.audio)
        assert info.has_boxes == (clip.boxes is not None)
        expected = np.full((info.frames, 4, 4), np.nan) if clip.boxes is None else clip.boxes
        found = dataset.boxes(info)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
        image, boxes = dataset.record(info.split, info.first + 1)
        np.testing.assert_array_equal(image, clip.frames[1])
        np.testing.assert_array_equal(boxes, expected[1])
    assert [clip.id for clip in dataset.clips("train", need_audio=True)] == ["a", "b"]
    for record in range(16):
        clip, index = dataset.locate("train", record)
        assert clip.first + index == record and 0 <= index < clip.frames


def test_tfds_opens_the_folder_and_keeps_the_order(dataset):
    import tensorflow_datasets as tfds

    source = tfds.builder_from_directory(dataset.directory).as_data_source(split="train")
    written = [
        (c.id, i, c.frames[i])
        for c in _clips()
        if c.split == "train"
        for i in range(99)[: len(c.frames)]
    ]
    assert len(source) == len(written)
    for example, (clip_id, index, image) in zip(source, written, strict=True):
        assert (example["clip"].decode(), example["index"]) == (clip_id, index)
        assert example["has_audio"] == (clip_id != "mute")
        np.testing.assert_array_equal(example["image"], image)


def test_tfds_lists_and_loads_it_by_name(dataset, tmp_path):
    import tensorflow_datasets as tfds

    info = tfds.builder_from_directory(dataset.directory).info
    assert {name: split.num_examples for name, split in info.splits.items()} == {
        "train": 16, "validation": 5,
    }  # fmt: skip
    assert info.full_name == "jaxgesture_frames/1.0.0"
    assert {"image", "clip", "index", "audio", "boxes"} <= set(info.features)
    # By name, from a folder laid out as TFDS does it.
    (tmp_path / "jaxgesture_frames").mkdir()
    (tmp_path / "jaxgesture_frames" / "1.0.0").symlink_to(dataset.directory)
    source = tfds.data_source("jaxgesture_frames", data_dir=tmp_path, split="train")
    assert len(source) == 16 and source[0]["clip"] == b"a"


@pytest.fixture
def reads(monkeypatch):
    """Indices of the records that a test reads."""
    indices = []
    read = records.RecordReader.read
    monkeypatch.setattr(
        records.RecordReader,
        "read",
        lambda self, split, index: indices.append(index) or read(self, split, index),
    )
    return indices


def test_two_frames_are_two_reads(dataset, reads):
    dataset.frame("b", 6)
    dataset.frame("b", 0)
    assert reads == [15, 9]


def test_image_and_boxes_are_one_read(dataset, reads):
    dataset.record("train", 3)
    assert reads == [3]


def test_boxes_that_end_early_or_are_nowhere(tmp_path):
    clip, blind = _clip("a", "train", 5), _clip("b", "train", 4)
    clips = [
        dataclasses.replace(clip, boxes=clip.boxes[:2]),
        dataclasses.replace(blind, boxes=np.full((4, 4, 4), np.nan)),
    ]
    dataset = _write(tmp_path / "set", clips=clips)
    found = dataset.boxes("a")
    np.testing.assert_array_equal(found[:2], clip.boxes[:2])
    assert np.isnan(found[2:]).all()
    assert [info.has_boxes for info in dataset.clips()] == [True, False] and dataset.has_boxes
    assert not _write(tmp_path / "blind", clips=clips[1:]).has_boxes


def test_boxes_are_part_of_the_fingerprint(tmp_path, dataset):
    clips = _clips()
    clips[0].boxes[0, 0, 0] /= 2
    assert _write(tmp_path / "set", clips=clips).sha256 != dataset.sha256


def test_datasets_of_other_versions_are_refused(tmp_path):
    out = _write(tmp_path / "set").directory
    index = json.loads((out / "clips.json").read_text())
    for number, age in ((None, "older"), (index["format"] + 1, "newer")):
        other = {key: value for key, value in index.items() if key != "format"}
        for clip in other["clips"]:
            clip.pop("has_boxes", None)
        if number is not None:
            other["format"] = number
        (out / "clips.json").write_text(json.dumps(other))
        message = f"set was written by an? {age} version of jaxgesture; .* prepare it again"
        with pytest.raises(UserError, match=message):
            FrameDataset(out)
        with pytest.raises(UserError, match=message):
            _write(out)


def test_jpeg_is_close(tmp_path):
    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    image = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], ramp[:1, None]), -1)
    clip = ClipData("ramp", "train", [image])
    found = _write(tmp_path / "set", clips=[clip], size=64, image_format="jpeg").frame("ramp", 0)
    assert np.abs(found.astype(int) - image).max() <= 6


def test_fingerprint_is_of_the_content(tmp_path, dataset):
    assert _write(tmp_path / "other_files", arguments={"by": "me"}).sha256 == dataset.sha256
    changed = [*_clips()[:-1], _clip("b.last", "validation", 2, seed=1)]
    assert _write(tmp_path / "changed", clips=changed).sha256 != dataset.sha256
    bytes_of = {p.name: p.read_bytes() for p in dataset.directory.glob("*.array_record-*")}
    again = _write(tmp_path / "again", shard_bytes=4000)
    assert bytes_of == {p.name: p.read_bytes() for p in again.directory.glob("*.array_record-*")}


def test_finished_dataset_is_kept_and_another_refused(tmp_path):
    def never():
        raise AssertionError("clips were asked for")
        yield

    out = tmp_path / "set"
    made = _write(out, arguments={"videos": ["x"]})
    assert _write(out, clips=never(), arguments={"videos": ["x"]}).sha256 == made.sha256
    with pytest.raises(UserError, match="made with other videos; delete it or name another"):
        _write(out, arguments={"videos": ["y"]})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        _write(tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").exists()
    (tmp_path / "empty").mkdir()
    assert _write(tmp_path / "empty").count("train") == 16


def test_failed_clip_leaves_no_trace(tmp_path):
    def broken():
        yield np.zeros((SIZE, SIZE, 3), np.uint8)
        raise UserError("bad.mp4 is cut off")

    bad = ClipData("bad", "train", broken())
    failed = []
    found = _write(
        tmp_path / "set",
        clips=[bad, *_clips()],
        on_error=lambda name, reason: failed.append((name, reason)),
    )
    assert failed == [("bad", "bad.mp4 is cut off")]
    assert found.count("train") == 16 and found.clips("train")[0].id == "a"
    with pytest.raises(UserError, match="cut off"):
        _write(tmp_path / "raised", clips=[ClipData("bad", "train", broken())])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]
    with pytest.raises(UserError, match="no clip was usable"):
        _write(tmp_path / "none", clips=[])


def test_interrupted_run_leaves_no_dataset_and_can_be_run_again(tmp_path):
    def interrupted():
        yield _clip("a", "train", 5)
        raise KeyboardInterrupt

    out = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        _write(out, clips=interrupted())
    assert not out.exists()
    # What a killed process leaves behind.
    (tmp_path / "set.partial").mkdir()
    (tmp_path / "set.partial" / "clip.spool").write_bytes(b"half")
    assert _write(out).count("train") == 16
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (ClipData("x", "train", np.zeros((1, 8, 8, 3), np.uint8)), "is expected"),
        (ClipData("x", "train", np.zeros((1, SIZE, SIZE, 3), np.float32)), "uint8"),
        (ClipData("x", "train", _clip("x", "train", 9).frames, np.zeros((6, 35))), "6 rows"),
        (ClipData("x", "train", _clip("x", "train", 2).frames, np.zeros((2, 34))), "columns"),
        (dataclasses.replace(_clip("x", "train", 2), boxes=np.ones((2, 4, 4)) * 9), "fractions"),
        (dataclasses.replace(_clip("x", "train", 2), boxes=np.ones((2, 3, 4))), "is expected"),
        (_clip("a", "train", 2), "two clips are called 'a'"),
    ],
)
def test_clips_that_do_not_fit_are_refused(tmp_path, clip, message):
    with pytest.raises(UserError, match=message):
        _write(tmp_path / "set", clips=[_clip("a", "train", 2), clip])


def test_last_audio_row_is_held_for_two_frames(tmp_path):
    audio = np.arange(4 * 35, dtype=np.float32).reshape(4, 35)
    clip = ClipData("x", "train", _clip("x", "train", 6).frames, audio)
    rows = _write(tmp_path / "set", clips=[clip]).audio("x")
    np.testing.assert_array_equal(rows[:4], audio)
    np.testing.assert_array_equal(rows[4:], audio[[3, 3]])


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        FrameDataset(tmp_path / "missing")
    with pytest.raises(UserError, match="not a finished frames dataset"):
        FrameDataset(tmp_path)
    out = _write(tmp_path / "set", shard_bytes=4000).directory
    with pytest.raises(UserError, match="frames of 16 pixels, 64 are configured"):
        FrameDataset(out, size=64)
    with pytest.raises(UserError, match="no 'test' clips, only train, validation"):
        FrameDataset(out).clips("test")
    with pytest.raises(UserError, match="has no clip 'zz'"):
        FrameDataset(out).frame("zz", 0)
    with pytest.raises(UserError, match="mute has no sound"):
        FrameDataset(out).audio("mute")
    file = next(out.glob("*-train.array_record-00001*"))
    data = file.read_bytes()
    file.write_bytes(data[:-10])
    with pytest.raises(UserError, match=f"{file.name} has {len(data) - 10} bytes"):
        FrameDataset(out)
    file.unlink()
    with pytest.raises(UserError, match=f"{file.name} is missing"):
        FrameDataset(out)
    (out / "clips.json").write_text('{"kind": "frames", ')
    with pytest.raises(UserError, match="clips.json is damaged"):
        FrameDataset(out)


def test_damaged_record_names_file_and_place(tmp_path):
    out = _write(tmp_path / "set").directory
    file = next(out.glob("*-train.array_record-*"))
    data = bytearray(file.read_bytes())
    place = [i for i in range(len(data)) if data[i : i + 4] == b"\x89PNG"][7]
    data[place + 300] ^= 255
    file.write_bytes(data)
    dataset = FrameDataset(out)
    with pytest.raises(UserError, match=rf"{file.name} is damaged at record 7"):
        dataset.image("train", 7)
    assert dataset.image("train", 6).shape == (SIZE, SIZE, 3)


def test_dataset_travels_to_another_process(dataset):
    dataset.frame("a", 0)
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy.frame("b", 3), _clips()[3].frames[3])


def test_index_is_plain_json(dataset):
    index = json.loads((dataset.directory / "clips.json").read_text())
    assert index["sha256"] == dataset.sha256 and len(index["clips"]) == 5


def test_no_tensorflow(dataset):
    code = (
        "import sys\n"
        "from jaxgesture.data.datasets import FrameDataset\n"
        "assert 'tensorflow_datasets' not in sys.modules and 'grain' not in sys.modules\n"
        f"FrameDataset({str(dataset.directory)!r}).frame('a', 0)\n"
        "from jaxgesture.data import pipeline\n"
        f"data = FrameDataset({str(dataset.directory)!r})\n"
        "next(pipeline.pairs(data, split='train', batch_size=2, seed=0)(0))\n"
        "assert not {'tensorflow', 'torch'} & set(sys.modules)\n"
    )
    root = pathlib.Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
