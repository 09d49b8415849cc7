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


@pytest.mark.parametrize("hosts", [2, 4])
@pytest.mark.parametrize("start", [0, 7])
def test_hosts_get_their_rows_of_the_same_batches(frames, hosts, start):
    keywords = {"split": "train", "batch_size": 8, "seed": 3, "augment": AugmentConfig()}
    # Batches 7 to 9 of 8 rows run over the ends of epochs of 23 frames.
    whole = _take(pipeline.pairs(frames, **keywords)(0), start + 3)[start:]
    parts = [
        _take(pipeline.pairs(frames, process=(host, hosts), **keywords)(start), 3)
        for host in range(hosts)
    ]
    for k in range(3):
        joined = {
            key: np.concatenate([part[k][key] for part in parts]) for key in ("source", "driving")
        }
        _assert_same(joined, whole[k])


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


@pytest.mark.slow
def test_worker_processes_give_the_same_batches(frames):
    keywords = {"split": "train", "batch_size": 4, "seed": 5, "augment": AugmentConfig()}
    keywords["boxes"] = True
    alone = _take(pipeline.pairs(frames, **keywords)(3), 5)
    helped = _take(pipeline.pairs(frames, workers=2, **keywords)(3), 5)
    for one, other in zip(alone, helped, strict=True):
        _assert_same(one, other)


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
    ],
)
def test_wrong_arguments(frames, keywords, message):
    with pytest.raises(UserError, match=message):
        pipeline.pairs(frames, **{"split": "train", "seed": 0, **keywords})


def test_damage_during_training_reaches_the_user(frames, monkeypatch):
    def damaged(split, record):
        raise UserError("file is damaged at record 3")

    monkeypatch.setattr(frames, "record", damaged)
    with pytest.raises(UserError, match="damaged at record 3"):
        next(pipeline.pairs(frames, split="train", batch_size=2, seed=0)(0))


def test_augmentation_changes_both_images_alike():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 32, 3), np.uint8)
    change = augment.draw(AugmentConfig(), np.random.default_rng(4))
    np.testing.assert_array_equal(change.apply(image), change.apply(image.copy()))
    nothing = augment.draw(augment.NO_AUGMENTATION, rng)
    np.testing.assert_array_equal(nothing.apply(image), image)
    flipped = augment.draw(AugmentConfig(1, 0, 0, 0, 0), rng)
    np.testing.assert_array_equal(flipped.apply(image), image[:, ::-1])
    # A horizontal ramp shows which part was kept and how it was scaled.
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (64, 64, 3))
    for seed in range(20):
        change = augment.draw(AugmentConfig(0, 0.5, 0, 0, 0), np.random.default_rng(seed))
        x0, y0, x1, y1 = change.box
        assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 and 0.5 <= x1 - x0 <= 1
        columns = change.apply(ramp)[0, :, 0].astype(float)
        expected = 4 * ((x0 + (x1 - x0) * (np.arange(64) + 0.5) / 64) * 64 - 0.5)
        np.testing.assert_allclose(columns[2:-2], expected[2:-2], atol=1.5)


def test_boxes_follow_the_pixels():
    def bounds(image):
        """The bright square, by the half of its level on both sides."""
        edges = []
        for axis in (0, 1):
            profile = image[..., 0].max(axis=axis).astype(float)
            inside = np.flatnonzero(profile > 127)
            edges.append((inside[0] / size, (inside[-1] + 1) / size))
        (x0, x1), (y0, y1) = edges
        return x0, y0, x1, y1

    size = 200
    rng = np.random.default_rng(0)
    flips = 0
    for seed in range(40):
        low = rng.integers(0, 120, 2)
        high = low + rng.integers(40, 80, 2)
        image = np.zeros((size, size, 3), np.uint8)
        image[low[1] : high[1], low[0] : high[0]] = 255
        boxes = np.full((4, 4), np.nan, np.float32)
        boxes[0] = np.array([*low, *high]) / size
        change = augment.draw(AugmentConfig(0.5, 0.4, 0, 0, 0), np.random.default_rng(seed))
        found = change.apply_to_boxes(boxes)
        flips += change.flip
        row = found[int(change.flip)]
        assert found.shape == (4, 4) and np.isnan(np.delete(found, int(change.flip), 0)).all()
        if np.isnan(row).any():
            left = (change.apply(image)[..., 0] > 127).sum() * (change.box[2] - change.box[0]) ** 2
            assert left < 0.52 * np.prod(high - low)
        else:
            np.testing.assert_allclose(row, bounds(change.apply(image)), atol=1.5 / size)
    assert 10 < flips < 30


def test_boxes_without_augmentation_stay():
    boxes = np.random.default_rng(0).uniform(0, 1, (3, 4, 4)).astype(np.float32)
    nothing = augment.draw(augment.NO_AUGMENTATION, np.random.default_rng(0))
    np.testing.assert_array_equal(nothing.apply_to_boxes(boxes), boxes)
    change = augment.draw(AugmentConfig(1, 0.5), np.random.default_rng(1))
    rows = np.sort(boxes.reshape(3, 4, 2, 2), axis=2).reshape(3, 4, 4)
    expected = np.stack([change.apply_to_boxes(row) for row in rows])
    np.testing.assert_array_equal(change.apply_to_boxes(rows), expected)


def test_colour_jitter_is_what_it_says():
    pixels = np.array([[[10, 60, 200], [127, 127, 127], [250, 250, 250]]], np.uint8)
    config = AugmentConfig(0, 0, 0.2, 0.2, 0.2)
    rng = np.random.default_rng(1)
    rng.random(4)
    brightness, contrast, saturation = 1 + rng.uniform(-1, 1, 3) * 0.2
    luma = (pixels * [0.299, 0.587, 0.114]).sum(-1, keepdims=True)
    expected = saturation * pixels + (1 - saturation) * luma
    expected = brightness * (contrast * (expected - 127.5) + 127.5)
    found = augment.draw(config, np.random.default_rng(1)).apply(pixels)
    np.testing.assert_allclose(found, np.clip(expected, 0, 255), atol=1)
    with pytest.raises(UserError, match="augment.flip is 2"):
        AugmentConfig(flip=2)


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
def test_segments_of_hosts_and_starts(motion):
    keywords = {"split": "train", "batch_size": 6, "seed": 2, **SEGMENT}
    whole = _take(pipeline.segments(motion, **keywords)(0), 8)[5:]
    halves = [_take(pipeline.segments(motion, process=(h, 2), **keywords)(5), 3) for h in (0, 1)]
    for k, batch in enumerate(whole):
        _assert_same({key: np.concatenate([h[k][key] for h in halves]) for key in batch}, batch)


def test_segments_in_order_and_too_short_clips(motion):
    keywords = {"segment_frames": 12, "stride": 12}
    batches = list(pipeline.segments_in_order(motion, batch_size=2, **keywords))
    starts = [int(m[0, 1]) for batch in batches for m in batch["motion"]]
    assert starts == [0, 12, 24, 24]
    assert [v for batch in batches for v in batch["valid"]] == [True, True, True, False]
    with pytest.raises(UserError, match="no 'validation' clip with sound has 80 frames"):
        pipeline.segments(motion, split="validation", batch_size=2, seed=0)
