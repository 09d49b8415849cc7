"""Batches are a function of seed and index, whatever hosts, workers and starting point are."""

import itertools
import pickle

import numpy as np
import pytest

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import augment, pipeline
from jaxgesture.data.augment import AugmentConfig
from jaxgesture.data.datasets import ClipData, MotionClip, write_frames, write_motion

SIZE = 16


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Frames that say which they are: red is the clip, green the frame's index in it.

    So do their boxes, but clip c has none: x0 of the left hand is the clip, y0 the index, in 64ths.
    """

    def clip(clip_id, split, number, count):
        images = np.zeros((count, SIZE, SIZE, 3), np.uint8)
        images[..., 0] = number
        images[..., 1] = np.arange(count)[:, None, None]
        boxes = np.full((count, 4, 4), np.nan, np.float32)
        boxes[:, 0] = (number / 64, 0, 1, 1)
        boxes[:, 0, 1] = np.arange(count) / 64
        there = split == "train" and clip_id != "c"
        return ClipData(clip_id, split, images, boxes=boxes if there else None)

    clips = [
        clip("a", "train", 1, 5),
        clip("v", "validation", 9, 5),
        clip("b", "train", 2, 1),
        clip("c", "train", 3, 17),
        clip("w", "validation", 8, 2),
    ]
    out = tmp_path_factory.mktemp("frames") / "set"
    return write_frames(out, clips, size=SIZE, image_format="png")


def _take(stream, count):
    return list(itertools.islice(stream, count))


def _label(images):
    return [(int(image[0, 0, 0]), int(image[0, 0, 1])) for image in images]


def _assert_same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def test_every_frame_drives_once_an_epoch_with_a_source_of_its_clip(frames):
    batches = _take(pipeline.pairs(frames, split="train", batch_size=4, seed=0)(0), 23)
    for batch in batches:
        assert batch["source"].shape == batch["driving"].shape == (4, SIZE, SIZE, 3)
        assert batch["source"].dtype == np.uint8
    driving = [label for batch in batches for label in _label(batch["driving"])]
    source = [label for batch in batches for label in _label(batch["source"])]
    everything = {(1, i) for i in range(5)} | {(2, 0)} | {(3, i) for i in range(17)}
    epochs = [driving[start : start + 23] for start in range(0, 92, 23)]
    for epoch in epochs:
        assert set(epoch) == everything and len(epoch) == 23
    assert epochs[0] != epochs[1]
    assert all(s[0] == d[0] for s, d in zip(source, driving, strict=True))
    assert len({s for s in source if s[0] == 3}) > 10
    first = next(pipeline.pairs(frames, split="train", batch_size=23, seed=0, source="first")(0))
    assert {label[1] for label in _label(first["source"])} == {0}


# What a training may ask for: changed here, or numbers of a change to be made in the step.
STREAMS = {
    "pairs": {"augment": AugmentConfig(), "boxes": True},
    "pairs, changed later": {"augment": AugmentConfig(), "augment_on": "device"},
    "segments": {"segment_frames": 12, "history_frames": 4, "stride": 3, "reverse": 0.5},
}
# Of 8 rows: 23 frames and 8 segments end their epochs within batches and between them.
BATCHES = 10


def _stream(name, frames, motion, **keywords):
    given = {"split": "train", "batch_size": 8, "seed": 3, **STREAMS[name], **keywords}
    if name == "segments":
        return pipeline.segments(motion, **given)
    return pipeline.pairs(frames, **given)


def _global_batches(name, frames, motion, start, count, hosts, workers):
    """What the hosts of a training that starts at batch `start` have, side by side."""
    streams = [
        _take(_stream(name, frames, motion, process=(h, hosts), workers=workers)(start), count)
        for h in range(hosts)
    ]
    return [
        {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        for parts in zip(*streams, strict=True)
    ]


@pytest.mark.filterwarnings("ignore::jaxgesture.core.errors.DataWarning")
@pytest.mark.parametrize("name", STREAMS)
def test_any_hosts_go_on_from_any_batch(name, frames, motion):
    whole = _take(_stream(name, frames, motion)(0), BATCHES)
    for one, other in itertools.combinations(whole, 2):
        assert any(not np.array_equal(one[key], other[key]) for key in one)
    for hosts, start in itertools.product((1, 2, 4), range(BATCHES - 1)):
        found = _global_batches(name, frames, motion, start, 2, hosts, workers=0)
        for k, batch in enumerate(found):
            _assert_same(batch, whole[start + k])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxgesture.core.errors.DataWarning")
@pytest.mark.parametrize(
    ("name", "hosts", "workers", "start"),
    [
        ("pairs", 1, 1, 0),
        ("pairs, changed later", 2, 2, 7),
        ("pairs", 4, 1, 5),
        ("segments", 1, 2, 4),
    ],
)
def test_worker_processes_make_the_same_batches(name, hosts, workers, start, frames, motion):
    whole = _take(_stream(name, frames, motion)(0), start + 5)[start:]
    found = _global_batches(name, frames, motion, start, 5, hosts, workers)
    for one, other in zip(found, whole, strict=True):
        _assert_same(one, other)


def test_changes_to_be_made_later_are_those_made_here(frames):
    keywords = {"split": "train", "batch_size": 23, "seed": 1, "boxes": True}
    config = AugmentConfig(0.5, 0.3, 0.2, 0.2, 0.2)
    here = next(pipeline.pairs(frames, augment=config, **keywords)(0))
    later = next(pipeline.pairs(frames, augment=config, augment_on="device", **keywords)(0))
    np.testing.assert_array_equal(here["boxes"], later["boxes"])
    assert later["flip"].dtype == bool and later["crop"].dtype == np.float32
    for row in range(23):
        change = augment.Augmentation(
            bool(later["flip"][row]),
            tuple(later["crop"][row].tolist()),
            tuple(later["colour"][row].reshape(-1).tolist()),
        )
        for key in ("source", "driving"):
            np.testing.assert_allclose(change.apply(later[key][row]), here[key][row], atol=1)
    flips = next(pipeline.pairs(frames, augment=AugmentConfig(1, 0, 0, 0, 0), augment_on="device",
                                **keywords)(0))  # fmt: skip
    assert set(flips) == {"source", "driving", "boxes", "flip"} and flips["flip"].all()
    none = augment.NO_AUGMENTATION
    plain = next(pipeline.pairs(frames, augment=none, augment_on="device", **keywords)(0))
    assert set(plain) == {"source", "driving", "boxes"}


def test_seed_and_cache(frames):
    keywords = {"split": "train", "batch_size": 6, "augment": AugmentConfig()}
    cached = _take(pipeline.pairs(frames, seed=1, cache=True, **keywords)(0), 9)
    fresh = _take(pipeline.pairs(frames, seed=1, cache=False, **keywords)(0), 9)
    for one, other in zip(cached, fresh, strict=True):
        _assert_same(one, other)
    other_seed = next(pipeline.pairs(frames, seed=2, **keywords)(0))
    assert not np.array_equal(other_seed["driving"], cached[0]["driving"])


def test_batches_do_not_share_memory_with_the_cache(frames):
    batches = pipeline.pairs(frames, split="train", batch_size=23, seed=0, cache=True)
    before = next(batches(0))
    for array in before.values():
        array[:] = 7
    assert set(_label(next(batches(0))["driving"])) != {(7, 7)}


def test_split_smaller_than_a_batch(frames):
    batch = next(pipeline.pairs(frames, split="validation", batch_size=20, seed=0)(2))
    assert len(batch["driving"]) == 20 and len(set(_label(batch["driving"]))) == 7


@pytest.mark.parametrize("cache", [True, False])
def test_boxes_of_the_driving_frames(frames, cache):
    keywords = {"split": "train", "batch_size": 23, "seed": 4, "cache": cache}
    batches = _take(pipeline.pairs(frames, boxes=True, **keywords)(0), 2)
    for batch, without in zip(batches, pipeline.pairs(frames, **keywords)(0), strict=False):
        boxes = batch.pop("boxes")
        _assert_same(batch, without)
        assert boxes.shape == (23, 4, 4) and boxes.dtype == np.float32
        for (clip, index), rows in zip(_label(batch["driving"]), boxes, strict=True):
            assert np.isnan(rows[1:]).all()
            if clip == 3:
                assert np.isnan(rows[0]).all()
            else:
                np.testing.assert_array_equal(rows[0] * 64, [clip, index, 64, 64])


def test_boxes_are_changed_as_their_frames_are(frames):
    keywords = {"split": "train", "batch_size": 23, "seed": 4, "augment": AugmentConfig(1, 0.2)}
    batch = next(pipeline.pairs(frames, boxes=True, **keywords)(0))
    _assert_same(
        {key: batch[key] for key in ("source", "driving")},
        next(pipeline.pairs(frames, **keywords)(0)),
    )
    there = np.isfinite(batch["boxes"]).all(-1)
    # The six frames of clips a and b: the mirror image has the box at the right hand.
    assert there.sum(0).tolist() == [0, 6, 0, 0]
    found = batch["boxes"][there]
    assert (found[:, 0] == 0).all() and found.min() >= 0 and found.max() <= 1


def test_splits_without_boxes_are_refused(frames):
    message = "no 'validation' clip of .* has boxes.* put NAME.landmarks.npz beside the videos"
    with pytest.raises(UserError, match=message) as caught:
        pipeline.pairs(frames, split="validation", batch_size=2, seed=0, boxes=True)
    assert "loss.local and loss.local_style to 0" in str(caught.value)
    assert frames.has_boxes


def test_items_travel_to_workers_without_the_cache(frames):
    items = pipeline._pair_items(frames, "train", None, "random", cache=True)
    items.record(0)
    assert len(pickle.dumps(items)) < 5000
    copy = pickle.loads(pickle.dumps(items))
    for found, expected in zip(copy.record(3), items.record(3), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_pairs_in_order(frames):
    batches = list(pipeline.pairs_in_order(frames, batch_size=3))
    assert [len(batch["driving"]) for batch in batches] == [3, 3, 3]
    merged = {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}
    assert merged["valid"].tolist() == [True] * 7 + [False] * 2
    assert merged["clip"].tolist()[:7] == [0] * 5 + [1] * 2
    assert merged["frame"].tolist()[:7] == [0, 1, 2, 3, 4, 0, 1]
    assert _label(merged["driving"])[:7] == [(9, i) for i in range(5)] + [(8, 0), (8, 1)]
    assert _label(merged["source"])[:7] == [(9, 0)] * 5 + [(8, 0)] * 2
    assert len(list(pipeline.pairs_in_order(frames, batch_size=3, limit=2))) == 1
    halves = [list(pipeline.pairs_in_order(frames, batch_size=4, process=(h, 2))) for h in (0, 1)]
    whole = list(pipeline.pairs_in_order(frames, batch_size=4))
    for k, batch in enumerate(whole):
        _assert_same({key: np.concatenate([h[k][key] for h in halves]) for key in batch}, batch)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"batch_size": 6, "process": (0, 4)}, "multiple of 4"),
        ({"batch_size": 0}, "at least 1"),
        ({"batch_size": 4, "process": (2, 2)}, "does not exist"),
        ({"batch_size": 4, "split": "test"}, "no 'test' clips"),
        ({"batch_size": 4, "source": "last"}, "unknown"),
        ({"batch_size": 4, "augment_on": "moon"}, "use 'device' or 'host'"),
    ],
)
def test_wrong_arguments(frames, keywords, message):
    with pytest.raises(UserError, match=message):
        pipeline.pairs(frames, **{"split": "train", "seed": 0, **keywords})


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_damage_during_training_names_file_and_place(tmp_path, workers):
    images = np.random.default_rng(0).integers(0, 256, (40, SIZE, SIZE, 3), np.uint8)
    clips = [ClipData("a", "train", images[:20]), ClipData("b", "train", images[20:])]
    dataset = write_frames(tmp_path / "set", clips, size=SIZE, image_format="png", shard_bytes=1)
    file = sorted(tmp_path.glob("set/*.array_record-*"))[1]
    data = bytearray(file.read_bytes())
    at = data.index(dataset.records.read("train", 31)["image"]) + 400
    data[at : at + 4] = bytes(255 - value for value in data[at : at + 4])
    file.write_bytes(data)
    damaged = pipeline.pairs(
        type(dataset)(dataset.directory), split="train", batch_size=8, seed=0, workers=workers
    )
    with pytest.raises(UserError, match=rf"{file.name} is damaged at record 11, .*at byte \d+"):
        _take(damaged(0), 5)


def _motion_clip(clip_id, split, frames, number, mute=False):
    motion = np.zeros((frames, 3), np.float32)
    motion[:, 0], motion[:, 1] = number, np.arange(frames)
    return MotionClip(clip_id, split, motion, None if mute else motion[:, [1, 1]] + 100)


@pytest.fixture(scope="module")
def motion(tmp_path_factory):
    clips = [
        _motion_clip("a", "train", 30, 1),
        _motion_clip("mute", "train", 30, 2, mute=True),
        _motion_clip("exact", "train", 12, 3),
        _motion_clip("short", "train", 11, 4),
        _motion_clip("v", "validation", 40, 5),
    ]
    return write_motion(
        tmp_path_factory.mktemp("motion") / "set",
        clips,
        feature_size=3,
        audio_size=2,
        frames_sha256="f" * 64,
        weights_sha256="w" * 64,
    )


SEGMENT = {"segment_frames": 12, "history_frames": 4, "stride": 3}


def test_segments(motion):
    with pytest.warns(DataWarning, match="1 of 3 'train' clips are shorter than 12 frames"):
        batches = pipeline.segments(motion, split="train", batch_size=8, seed=0, **SEGMENT)
    batch = next(batches(0))
    assert {key: value.shape for key, value in batch.items()} == {
        "motion": (8, 12, 3),
        "history": (8, 4, 3),
        "history_valid": (8,),
        "audio": (8, 12, 2),
        "source": (8, 3),
    }
    assert batch["history_valid"].dtype == bool and batch["motion"].dtype == np.float32
    # Starts 0, 3, ..., 18 of clip 1 and 0 of clip 3: eight segments, one epoch.
    starts = sorted((int(m[0, 0]), int(m[0, 1])) for m in batch["motion"])
    assert starts == [(1, s) for s in range(0, 19, 3)] + [(3, 0)]
    for row in range(8):
        clip, start = batch["motion"][row, 0, :2]
        np.testing.assert_array_equal(batch["motion"][row, :, 1], start + np.arange(12))
        np.testing.assert_array_equal(batch["audio"][row, :, 0], 100 + start + np.arange(12))
        assert batch["source"][row, 0] == clip
        # A segment that starts at frame 3 has three frames before it, not four: no past.
        assert batch["history_valid"][row] == (start >= 4)
        if start >= 4:
            np.testing.assert_array_equal(batch["history"][row, :, 1], start - 4 + np.arange(4))
        else:
            assert not batch["history"][row].any()


@pytest.mark.filterwarnings("ignore::jaxgesture.core.errors.DataWarning")
def test_segments_run_backwards(motion):
    keywords = {"split": "train", "batch_size": 8, "seed": 0, **SEGMENT}
    forwards = next(pipeline.segments(motion, **keywords)(0))
    backwards = next(pipeline.segments(motion, reverse=1.0, **keywords)(0))
    for key in ("motion", "audio"):
        np.testing.assert_array_equal(backwards[key], forwards[key][:, ::-1])
    np.testing.assert_array_equal(backwards["source"], forwards["source"])
    for row in range(8):
        clip, last = forwards["motion"][row, -1, :2]
        left = (30 if clip == 1 else 12) - 1 - last
        assert backwards["history_valid"][row] == (left >= 4)
        past = last + np.arange(4, 0, -1) if left >= 4 else np.zeros(4)
        np.testing.assert_array_equal(backwards["history"][row, :, 1], past)
    assert backwards["history_valid"].sum() == 5
    mixed = _take(pipeline.segments(motion, reverse=0.25, **keywords)(0), 20)
    share = np.mean([batch["motion"][:, 0, 1] > batch["motion"][:, 1, 1] for batch in mixed])
    assert 0.15 < share < 0.35
    with pytest.raises(UserError, match="data.reverse is 2; .* choose 0 to 1"):
        pipeline.segments(motion, reverse=2, **keywords)


def test_segments_in_order_and_too_short_clips(motion):
    keywords = {"segment_frames": 12, "stride": 12}
    batches = list(pipeline.segments_in_order(motion, batch_size=2, **keywords))
    starts = [int(m[0, 1]) for batch in batches for m in batch["motion"]]
    assert starts == [0, 12, 24, 24]
    assert [v for batch in batches for v in batch["valid"]] == [True, True, True, False]
    with pytest.raises(UserError, match="no 'validation' clip with sound has 80 frames"):
        pipeline.segments(motion, split="validation", batch_size=2, seed=0)
