"""The report of prepare: everything is named once, and long lists are cut with their number."""

import pathlib

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import frame_writer, prepare_report
from jaxgesture.data.clips import ClipData
from jaxgesture.data.prepare_report import PrepareReport
from jaxgesture.data.spools import GivenClip

OUT = pathlib.Path("data/x")
SETTINGS = frame_writer.frame_settings(16, 25.0, 35, "png", 95)


def _job(name, split="train", frames=2, **changes):
    images = np.zeros((frames, 16, 16, 3), np.uint8)
    return GivenClip(ClipData(name, split, images, source=f"{name}.mp4", **changes))


def _write(report, jobs, arguments=None):
    prepare_report.write(report, jobs, SETTINGS, arguments or {"by": "test"}, 4, False)
    return report


def test_a_second_reason_is_put_behind_the_first():
    report = PrepareReport(OUT)
    for reason in ("too short", "no sound", "too short", "sound"):
        report.skip("a.mp4", reason)
    report.skip("b.mp4", "broken")
    assert report.skipped == {"a.mp4": "too short; no sound", "b.mp4": "broken"}


def test_a_warning_is_told_once():
    report = PrepareReport(OUT)
    for text in ("one", "two", "one"):
        report.warn(text)
    assert report.warnings == ["one", "two"]


def test_lines():
    report = PrepareReport(
        OUT,
        clips={"train": 3, "validation": 1},
        seconds={"train": 12.34, "validation": 4.0},
        boxes=4,
        used=["a.mp4", "b.mp4"],
        skipped={"c.mp4": "broken", "longer.mp4": "too short"},
        warnings=["the light flickers"],
    )
    assert report.lines() == [
        "data/x: 3 train clips (12.3 s), 1 validation clips (4.0 s), of 2 files",
        "boxes of hands and face for 4 of 4 clips",
        "skipped  c.mp4       broken",
        "skipped  longer.mp4  too short",
        "warning: the light flickers",
    ]
    report.boxes, report.kept = 1, True
    first, second, *_ = report.lines()
    assert first.endswith("of 2 files; kept, it was made by the same command")
    assert second.startswith("boxes of hands and face for 1 of 4 clips; the others have no local")


@pytest.mark.parametrize(
    ("skipped", "warnings", "more"), [(40, 40, 0), (41, 3, 1), (0, 45, 5), (100, 50, 70)]
)
def test_long_lists_are_cut_with_their_number(skipped, warnings, more):
    report = PrepareReport(OUT, clips={"train": 1}, seconds={"train": 1.0}, boxes=1)
    report.skipped = {str(n): "broken" for n in range(skipped)}
    report.warnings = [f"warning {n}" for n in range(warnings)]
    lines = report.lines()
    assert len(lines) == 2 + min(skipped, 40) + min(warnings, 40) + bool(more)
    if more:
        assert lines[-1] == f"... and {more} more of these: data/x/dataset_card.json has them all"


def test_what_was_written_is_counted(tmp_path):
    boxes = np.full((2, 4, 4), np.nan)
    boxes[:, 2] = (0.2, 0.2, 0.6, 0.6)
    jobs = [_job("a", boxes=boxes), _job("b"), _job("c", "validation", 5), _job("d", frames=0)]
    report = _write(PrepareReport(tmp_path / "set"), jobs)
    assert report.clips == {"train": 2, "validation": 1}
    assert report.seconds == {"train": 0.16, "validation": 0.2}
    assert report.boxes == 1 and report.used == ["a.mp4", "b.mp4", "c.mp4"] and not report.kept
    assert report.skipped == {"d.mp4": "d.mp4 has no frames in the part asked for"}
    # The same call finds what was said the first time.
    again = PrepareReport(tmp_path / "set")
    assert prepare_report.kept(again, SETTINGS, {"by": "test"}) and again.kept
    assert (again.clips, again.skipped, again.used) == (report.clips, report.skipped, report.used)
    assert not prepare_report.kept(PrepareReport(tmp_path / "other"), SETTINGS, {})


@pytest.mark.parametrize(
    ("split", "missing"), [("train", "no clip is for validation"), ("validation", "for training")]
)
def test_a_split_that_is_missing(tmp_path, split, missing):
    report = _write(PrepareReport(tmp_path / "set"), [_job("a", split)])
    (text,) = report.warnings
    assert missing in text and "--validation=last:4.0" in text


def test_nothing_usable_names_the_first_reasons(tmp_path):
    jobs = [_job(str(n), frames=0) for n in range(7)]
    with pytest.raises(UserError, match=r"0\.mp4 has no frames.*4\.mp4: .*and 2 more") as caught:
        _write(PrepareReport(tmp_path / "set"), jobs)
    assert "5.mp4" not in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_format": "gif"}, "image format 'gif' is unknown; use 'jpeg' or 'png'"),
        ({"size": 0}, "size 0, fps 25 and quality 95 must be positive"),
        ({"size": 4097}, "size at most 4096"),
        ({"fps": 1001}, "fps at most 1000"),
        ({"fps": float("nan")}, "fps nan and"),
        ({"quality": 0}, "quality 0 must be positive"),
        ({"quality": 101}, "quality at most 100"),
    ],
)
def test_settings_out_of_range(change, message):
    settings = {"size": 16, "fps": 25, "audio_size": 35, "image_format": "jpeg", "quality": 95}
    with pytest.raises(UserError, match=message):
        frame_writer.frame_settings(**{**settings, **change})


def test_quality_belongs_to_jpeg():
    found = [frame_writer.frame_settings(1, 1000, 35, form, 100) for form in ("jpeg", "png")]
    assert [one["quality"] for one in found] == [100, None]
    assert {type(one["fps"]) for one in found} == {float}


def test_clips_or_jobs(tmp_path):
    with pytest.raises(UserError, match="give clips or jobs, not both"):
        frame_writer.write_frames(tmp_path / "x", [], size=16, jobs=[_job("a")])
