"""What inspect says of a dataset, and its pictures: sizes, places of boxes, odd datasets."""

import dataclasses
import warnings

import numpy as np
import pytest
from PIL import Image, ImageColor

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import audio, boxes, inspection, inspection_pictures
from jaxgesture.data.datasets import ClipData, MotionClip, write_frames, write_motion

SIZE = 16


def rows(count, columns=audio.AUDIO_SIZE):
    table = np.random.default_rng(0).random((count, columns)).astype(np.float32)
    table[:, -2:] = 0
    table[::5, -2] = table[::10, -1] = 1
    return table


def places(count):
    """A left hand in every frame, and in the last one a face."""
    found = np.full((count, 4, 4), np.nan, np.float32)
    found[:, 0] = [0.25, 0.5, 0.5, 0.75]
    found[-1, 2] = [0.5, 0.125, 0.75, 0.375]
    return found


def clip(name, speaker="ann", split="train", frames=30, sound=True, marked=True):
    return ClipData(
        id=name,
        split=split,
        frames=[np.full((SIZE, SIZE, 3), 8 * i, np.uint8) for i in range(frames)],
        audio=rows(frames) if sound else None,
        speaker=speaker,
        source=f"{name}.mp4",
        boxes=places(frames) if marked else None,
    )


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames") / "talks"
    said = {"skipped": {"x.mp4": "x.mp4 is empty"}, "warnings": ["2 clips are short"]}
    write_frames(
        folder,
        [
            clip("a"),
            clip("b", "bob", sound=False, marked=False),
            clip("c", split="validation", frames=10),
        ],
        size=SIZE,
        report=lambda: said,
    )
    return folder


def write_motions(folder, clips, columns=audio.AUDIO_SIZE):
    rng = np.random.default_rng(1)
    return write_motion(
        folder,
        [
            MotionClip(
                name, split, rng.random((count, 6)), rows(count, columns) if sound else None, "ann"
            )
            for name, split, count, sound in clips
        ],
        feature_size=6,
        frames_sha256="f" * 64,
        weights_sha256="e" * 64,
        audio_size=columns,
    )


def names(found):
    return [path.name for path in found.pictures]


def test_frames_in_words(frames):
    before = sorted(path.name for path in frames.iterdir())
    found = inspection.inspect(frames)
    table = [line.split() for line in found.lines]
    assert ["ann", "train", "1", "30", "0.000", "0:00:01", "1", "1"] in table
    assert ["ann", "validation", "1", "10", "0.000", "0:00:00", "1", "1"] in table
    assert ["bob", "train", "1", "30", "0.000", "0:00:01", "0", "0"] in table
    assert ["all", "train", "2", "60", "0.001", "0:00:02", "1", "1"] in table
    text = "\n".join(found.lines)
    for part in (
        str(frames),
        "16 x 16 pixels, 25 a second",
        "baseline-35, 35 columns",
        "array_record ",
        "1 of 3 clips (b) without sound",
        "1 of 3 clips (b) without boxes",
        "skipped  x.mp4  x.mp4 is empty",
        "warning: 2 clips are short",
    ):
        assert part in text
    assert sorted(path.name for path in frames.iterdir()) == before


def test_the_columns_are_aligned(frames):
    lines = inspection.inspect(frames).lines
    first = next(i for i, line in enumerate(lines) if line.startswith("speaker"))
    assert len({len(line) for line in lines[first : first + 8]}) == 1


def test_frames_in_pictures(frames):
    found = inspection.inspect(frames)
    assert names(found) == ["contact-sheet.png", "pairs.png", "audio.png", "lengths.png"]
    assert {path.parent for path in found.pictures} == {frames.with_name("talks-inspect")}
    for path in found.pictures:
        with Image.open(path) as picture:
            assert picture.format == "PNG" and min(picture.size) > 200
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 20


def test_boxes_are_drawn_where_they_are(tmp_path):
    tile = inspection_pictures.Tile(np.zeros((SIZE, SIZE, 3), np.uint8), places(1)[0], "a", "train")
    path = tmp_path / "sheet.png"
    inspection_pictures.contact_sheet([tile], "one", path)
    pixels = np.array(Image.open(path).convert("RGB"))
    inside = np.argwhere((pixels == 0).all(-1))
    top, left = inside.min(0)
    side = inspection_pictures._SIDE
    picture = pixels[top : top + side, left : left + side]
    for part, box in zip(boxes.PARTS, places(1)[0], strict=True):
        colour = ImageColor.getrgb(inspection_pictures.PART_COLOURS[part])
        drawn = np.argwhere((picture == colour).all(-1))
        if np.isfinite(box).all():
            corners = [*drawn.min(0)[::-1], *drawn.max(0)[::-1]]
            np.testing.assert_allclose(corners, box * (side - 1), atol=1)
        else:
            assert not len(drawn)


def test_the_frame_with_the_most_boxes_is_shown(frames):
    dataset = inspection.FrameDataset(frames)
    assert inspection._tile(dataset, dataset.clip("a")).detail == "train, 1.2 of 1.2 s"
    assert inspection._tile(dataset, dataset.clip("b")).detail.startswith("train, 0.6 of")


def test_clips_of_all_speakers_and_splits():
    @dataclasses.dataclass
    class Clip:
        speaker: str
        split: str
        number: int

    clips = [
        Clip(speaker, split, i)
        for speaker, count in (("a", 40), ("b", 2), ("c", 5))
        for split in ("train", "validation")
        for i in range(count)
    ]
    chosen = inspection.spread(clips, 12)  # pyright: ignore[reportArgumentType]
    groups = [(c.speaker, c.split) for c in chosen]
    assert len(chosen) == 12 and groups == sorted(groups)
    assert all(groups.count(group) == 2 for group in groups)
    assert len(inspection.spread(clips, 4)) == 4  # pyright: ignore[reportArgumentType]
    assert inspection.spread(clips[:3], 24) == clips[:3]  # pyright: ignore[reportArgumentType]


def test_neither_sound_nor_boxes(tmp_path):
    folder = tmp_path / "bare"
    write_frames(folder, [clip("b", frames=1, sound=False, marked=False)], size=SIZE)
    found = inspection.inspect(folder, tmp_path / "out" / "deep")
    assert names(found) == ["contact-sheet.png", "pairs.png", "lengths.png"]
    assert all(path.parent == tmp_path / "out" / "deep" for path in found.pictures)


def test_validation_only(tmp_path):
    folder = tmp_path / "held-out"
    write_frames(folder, [clip("$a_1$", speaker="", split="validation", frames=3)], size=SIZE)
    assert len(inspection.inspect(folder).pictures) == 4


@pytest.mark.parametrize("columns", [35, 1059])
def test_motion(tmp_path, columns):
    folder = tmp_path / "motion"
    write_motions(folder, [("a", "train", 120, True), ("b", "train", 90, False)], columns)
    found = inspection.inspect(folder)
    assert names(found) == ["segments.png", "audio.png", "lengths.png"]
    text = "\n".join(found.lines)
    for part in ("6 numbers", f"{columns} columns", "f" * 64, "e" * 64, "1 of 2 clips (b)"):
        assert part in text
    assert "with boxes" not in text and "warning" not in text


def test_motion_that_is_short_mute_or_held_out(tmp_path):
    write_motions(tmp_path / "short", [("a", "train", 20, True), ("b", "train", 12, True)])
    with pytest.warns(DataWarning, match="1 of 2 'train' clips are shorter than 20"):
        found = inspection.inspect(tmp_path / "short")
    assert any("shows segments of 20" in line for line in found.lines)
    assert "segments.png" in names(found)
    write_motions(tmp_path / "mute", [("a", "train", 90, False)])
    found = inspection.inspect(tmp_path / "mute")
    assert names(found) == ["lengths.png"]
    assert any("no batch of stage 2" in line for line in found.lines)
    write_motions(tmp_path / "held", [("a", "validation", 90, True)])
    assert "segments.png" in names(inspection.inspect(tmp_path / "held"))


def test_the_last_35_columns_are_the_known_ones(monkeypatch, tmp_path):
    seen = []
    draw = inspection_pictures._draw_chroma
    monkeypatch.setattr(
        inspection_pictures, "_draw_chroma", lambda a, r, f: seen.append(r) or draw(a, r, f)
    )
    table = rows(30, 40)
    inspection_pictures.audio_features(table, 25.0, "$x_1", tmp_path / "a.png")
    np.testing.assert_array_equal(seen[0], table[:, 5:])


def test_the_waveform_is_drawn_above_the_features(tmp_path):
    samples = np.zeros(16000, np.float32)
    samples[8000:12000] = np.resize([0.5, -0.5], 4000)
    for name, sound in (("with.png", (samples, 16000)), ("without.png", None)):
        inspection_pictures.audio_features(rows(25, 35), 25.0, "x", tmp_path / name, sound)
    images = [
        np.asarray(Image.open(tmp_path / n).convert("RGB")) for n in ("with.png", "without.png")
    ]
    assert images[0].shape[0] > images[1].shape[0] and images[0].shape[1] == images[1].shape[1]
    top = images[0][: images[0].shape[0] - images[1].shape[0]].astype(int)
    blue = np.abs(top - ImageColor.getrgb(inspection_pictures.BLUE)).max(-1) < 12
    columns = np.flatnonzero(blue.sum(0) > 0.3 * len(top))  # where it is loud: 0.5 to 0.75 s
    width = top.shape[1]
    assert 0.15 * width < len(columns) < 0.35 * width and columns[0] > 0.45 * width


def test_the_presenter_needs_no_folder_for_its_waveform(tmp_path, monkeypatch):
    drawn = []
    draw = inspection_pictures.audio_features
    monkeypatch.setattr(
        inspection_pictures, "audio_features", lambda *a: drawn.append(a[-1]) or draw(*a)
    )
    known = dataclasses.replace(clip("a", frames=30), source="presenter seed 3 identity 1")
    for folder, one in ((tmp_path / "known", known), (tmp_path / "other", clip("b", frames=30))):
        write_frames(folder, [one], size=SIZE)
        inspection.inspect(folder)
    (samples, rate), nothing = drawn
    assert len(samples) == round(30 / 25 * rate) and nothing is None


def test_long_and_foreign_names_fit():
    width = inspection_pictures._SIDE
    for name in ("a" * 90, "лекция номер один, очень длинная, часть 12", "x"):
        shown = inspection_pictures._fitted(name, width)
        assert inspection_pictures._font(inspection_pictures._TEXT).getlength(shown) <= width
        assert shown[0] == name[0] and shown[-1] == name[-1]


def test_what_cannot_be_inspected(tmp_path, frames):
    with pytest.raises(UserError, match="there is no folder .*; name one that prepare or extract"):
        inspection.inspect(tmp_path / "nothing")
    with pytest.raises(UserError, match="holds neither clips.json nor motion.json"):
        inspection.inspect(tmp_path)
    with pytest.raises(UserError, match="lies in the dataset"):
        inspection.inspect(frames, frames / "pictures")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be made .*; name another one"):
        inspection.inspect(frames, tmp_path / "file")
    assert not (frames / "pictures").exists()


def test_pyplot_is_left_alone(frames):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inspection.inspect(frames)
    assert plt.get_fignums() == before
