"""A clip's records: one example a frame, whose pictures are as good as their format promises."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxgesture.core.errors import UserError
from jaxgesture.data import clips
from jaxgesture.data.clips import HELD_AUDIO_ROWS, ClipData

SETTINGS = {"size": 8, "audio_size": 5, "image_format": "png", "quality": 95}


def _pictures(count, size=8):
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), np.uint8)


def _records(clip, **changes):
    """The examples themselves, not encoded."""
    return list(clips.records(clip, {**SETTINGS, **changes}, dict))  # type: ignore[arg-type]


def _decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"source": "a.mp4", "start": 2.5}, "a.mp4 from 2.5 s"),
        ({"source": "a.mp4"}, "a.mp4"),
        ({"start": 60.0}, "x from 60 s"),
        ({}, "x"),
    ],
)
def test_the_place_of_a_clip(changes, expected):
    assert ClipData("x", "train", [], **changes).place == expected


@pytest.mark.parametrize("size", [1, 7, 64])
def test_png_keeps_every_pixel(size):
    image = _pictures(1, size)[0]
    data = clips.encode_image(image, "png", 1)
    np.testing.assert_array_equal(_decoded(data), image)
    assert clips.encode_image(image, "png", 100) == data


def test_jpeg_of_small_pictures_keeps_its_colours():
    """Red and blue columns, one pixel wide: with shared chroma they would become one purple."""
    for size, sharp in ((64, True), (191, True), (192, False)):
        image = np.zeros((size, size, 3), np.uint8)
        image[:, ::2, 0] = image[:, 1::2, 2] = 200
        data = clips.encode_image(image, "jpeg", 95)
        error = np.abs(_decoded(data).astype(int) - image).mean()
        assert (error < 5) == sharp, (size, error)


def test_a_better_quality_is_longer_and_closer():
    image = _pictures(1, 64)[0]
    coded = [clips.encode_image(image, "jpeg", quality) for quality in (30, 70, 95, 100)]
    errors = [np.abs(_decoded(data).astype(int) - image).mean() for data in coded]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 2
    assert [len(data) for data in coded] == sorted(len(data) for data in coded)


def test_every_frame_has_its_row_and_its_boxes():
    audio = np.arange(4 * 5, dtype=np.float64).reshape(4, 5)
    boxes = np.tile([0.1, 0.2, 0.3, 0.4], (2, 4, 1))
    pictures = _pictures(4)
    found = _records(ClipData("id", "train", pictures, audio, boxes=boxes))
    assert [example["index"] for example in found] == [0, 1, 2, 3]
    for number, example in enumerate(found):
        np.testing.assert_array_equal(_decoded(example["image"]), pictures[number])
        np.testing.assert_array_equal(example["audio"], audio[number].astype(np.float32))
        assert example["clip"] == "id" and example["has_audio"] is True
    assert all(example["audio"].dtype == np.float32 for example in found)
    seen = [np.isfinite(example["boxes"]).all() for example in found]
    assert seen == [True, True, False, False]


def test_a_clip_without_sound_or_boxes():
    (example,) = _records(ClipData("id", "train", _pictures(1)))
    assert example["has_audio"] is False and not example["audio"].any()
    assert example["boxes"].shape == (4, 4) and np.isnan(example["boxes"]).all()


def test_boxes_are_an_empty_table_where_there_are_none():
    assert ClipData("id", "train", []).placed_boxes().shape == (0, 4, 4)
    with pytest.raises(UserError, match="boxes of id must lie in"):
        ClipData("id", "train", [], boxes=np.full((1, 4, 4), 2.0)).placed_boxes()


def test_the_last_row_is_held_so_long_and_no_longer():
    audio = np.arange(10.0).reshape(2, 5)
    found = _records(ClipData("id", "train", _pictures(2 + HELD_AUDIO_ROWS), audio))
    np.testing.assert_array_equal([e["audio"] for e in found[1:]], [audio[1]] * 3)
    # More rows than frames are no fault: a sound track may go on behind its pictures.
    assert len(_records(ClipData("id", "train", _pictures(1), audio))) == 1
    with pytest.raises(UserError, match="id has 2 rows of audio features and more frames"):
        _records(ClipData("id", "train", _pictures(3 + HELD_AUDIO_ROWS), audio))
    with pytest.raises(UserError, match="id has 0 rows"):
        _records(ClipData("id", "train", _pictures(1), audio[:0]))


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (ClipData("id", "train", []), "id has no frames in the part asked for"),
        (ClipData("id", "train", [], source="a.mp4"), "a.mp4 has no frames"),
        (ClipData("id", "train", _pictures(1, 9)), r"frame 0 of id is uint8 \(9, 9, 3\)"),
        (ClipData("id", "train", _pictures(1)[..., 0]), r"frame 0 of id is uint8 \(8, 8\)"),
        (ClipData("id", "train", _pictures(1) / 255), r"is float64 .*uint8 \(8, 8, 3\) is exp"),
        (
            ClipData("id", "train", _pictures(1), np.zeros((1, 6))),
            r"id has \(6,\) audio columns, 5",
        ),
        (ClipData("id", "train", _pictures(1), np.zeros(5)), "id has .* audio columns, 5"),
    ],
)
def test_what_does_not_fit(clip, message):
    with pytest.raises(UserError, match=message):
        _records(clip)


def test_frames_are_taken_one_by_one():
    """A clip of any length needs the memory of one frame."""
    asked = []

    def frames():
        for number, picture in enumerate(_pictures(5)):
            asked.append(number)
            yield picture

    stream = clips.records(ClipData("id", "train", frames()), SETTINGS, dict)  # type: ignore[arg-type]
    for number in range(5):
        assert next(stream)["index"] == number  # type: ignore[index]
        assert asked == list(range(number + 1))


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_the_description_of_a_record(image_format):
    found = clips.features(12, 7, image_format)
    shapes = {name: found[name].shape for name in found}
    assert shapes == {
        "image": (12, 12, 3), "clip": (), "index": (), "has_audio": (), "audio": (7,),
        "boxes": (4, 4),
    }  # fmt: skip
