"""The lists of PATS: which intervals are asked for, and by what a video is found."""

import csv
import json
import pathlib

import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import pats_intervals
from jaxgesture.data.pats_intervals import Interval, choose

COLUMNS = ("dataset", "start_time", "end_time", "interval_id", "speaker", "video_link", "delta")
LINK = "https://www.youtube.com/watch?v="


def _row(name, speaker="jon", kind="train", **changes):
    row = dict(zip(COLUMNS, (kind, "0:01", "0:05", name, speaker, f"{LINK}{name:_<11}", ""),
                   strict=True))  # fmt: skip
    return {**row, **changes}


def _table(folder, *rows, columns=COLUMNS):
    path = folder / "cmu_intervals_df.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _subset(folder, content):
    path = folder / "subset.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


ROWS = (
    _row("1", "jon", "train"), _row("2", "jon", "dev"), _row("3", "seth", "test"),
    _row("4", "ellen", "train"),
)  # fmt: skip


def test_a_row_as_it_stands(tmp_path):
    choice = choose(_table(tmp_path, ROWS[0]), None, None)
    assert choice.rows == [
        Interval(2, "1", "jon", "train", f"{LINK}1__________", "0:01", "0:05")
    ] and not (choice.bad or choice.notes)  # fmt: skip


@pytest.mark.parametrize(
    ("speakers", "subset", "expected", "notes"),
    [
        (None, None, {"1": "train", "2": "validation", "3": "validation", "4": "train"}, 1),
        (["ellen"], None, {"4": "train"}, 0),
        (["jon", "seth"], None, {"1": "train", "2": "validation", "3": "validation"}, 1),
        # A subset has its own splits, whatever the list says.
        (None, {"train": ["2", 3], "test": ["1"]},
         {"1": "validation", "2": "train", "3": "train"}, 0),
        (["seth"], {"train": ["1", "3"]}, {"3": "train"}, 0),
        (None, {"train": ["1"], "dev": ["2"], "test": []}, {"1": "train", "2": "validation"}, 0),
    ],
)  # fmt: skip
def test_what_is_asked_for(tmp_path, speakers, subset, expected, notes):
    named = None if subset is None else _subset(tmp_path, subset)
    choice = choose(_table(tmp_path, *ROWS), named, speakers)
    assert {row.id: row.split for row in choice.rows} == expected
    assert len(choice.notes) == notes and not choice.bad


def test_both_held_out_sets_are_counted(tmp_path):
    notes = choose(_table(tmp_path, *ROWS), None, None).notes
    assert notes == ["the sets dev (1) and test (1) are both for validation"]


def test_intervals_of_the_subset_that_the_list_lacks(tmp_path):
    subset = _subset(tmp_path, {"train": ["1", *"abcdefg"]})
    (note,) = choose(_table(tmp_path, *ROWS), subset, None).notes
    assert note.startswith("7 of the 8 intervals of") and note.endswith("a, b, c, d, e ...")


def test_rows_that_cannot_be_used_are_named_with_their_line(tmp_path):
    rows = (
        ROWS[0], _row(""), _row("5", video_link=""), _row("1", "seth"), _row("6", kind="spare"),
    )  # fmt: skip
    choice = choose(_table(tmp_path, *rows), None, None)
    assert [row.id for row in choice.rows] == ["1"]
    assert choice.bad == {
        "cmu_intervals_df.csv line 3": "it has no interval_id",
        "cmu_intervals_df.csv line 4": "it has no video_link",
        "cmu_intervals_df.csv line 5": "interval 1 is in line 2 already",
        "cmu_intervals_df.csv line 6": "dataset 'spare' of interval 6 is none of train, dev, test",
    }
    # What is not asked for is not told.
    only = choose(_table(tmp_path, *rows), _subset(tmp_path, {"train": ["1"]}), ["jon"])
    assert not only.bad


@pytest.mark.parametrize(
    ("speakers", "subset", "message"),
    [
        (["john"], None, "has no speaker 'john'; .*jon"),
        (["jon"], {"train": ["3"]}, "has none of the intervals asked for; check subset and spea"),
        (None, {"train": ["99"]}, "has none of the intervals asked for"),
        (None, "{", "subset.json is not .*in JSON .*; copy it again"),
        (None, [], "no lists of ids by name"),
        (None, {"train": "1"}, "no lists of ids by name"),
        (None, {"train": [1.5]}, "no lists of ids by name"),
        (None, {}, "has the lists ; train and test are expected"),
        (None, {"train": ["1"], "spare": []}, "has the lists train, spare; train and test are"),
        (None, {"train": ["1"], "test": [1]}, "interval 1 for training and testing; correct it"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path, speakers, subset, message):
    named = None if subset is None else _subset(tmp_path, subset)
    with pytest.raises(UserError, match=message):
        choose(_table(tmp_path, *ROWS), named, speakers)


def test_files_that_are_missing_or_lack_a_column(tmp_path):
    with pytest.raises(UserError, match="nowhere.json cannot be read: No such file"):
        choose(_table(tmp_path, *ROWS), tmp_path / "nowhere.json", None)
    with pytest.raises(UserError, match="it has no column speaker, video_link; correct the first"):
        choose(_table(tmp_path, *ROWS, columns=COLUMNS[:4]), None, None)


@pytest.mark.parametrize(
    ("link", "video"),
    [
        (f"{LINK}dQw4w9WgXcQ&list=PL0&index=3", "dQw4w9WgXcQ"),
        ("youtu.be/dQw4w9WgXcQ?t=7", "dQw4w9WgXcQ"),
        ("//m.youtube-nocookie.com/embed/-Qw4w9WgXc_", "-Qw4w9WgXc_"),
        ("dQw4w9WgXcQ", "dQw4w9WgXcQ"),
    ],
)
def test_of_youtube_the_id_alone_is_loaded(link, video):
    assert pats_intervals.key(link) == video
    assert pats_intervals.address(link) == f"{LINK}{video}"


def test_other_addresses_stay_as_they_are():
    names = {
        "https://example.org/talks/a%20talk.mp4?x=1": "a talk",
        "https://notyoutube.com/watch?v=dQw4w9WgXcQ": "watch",
    }
    # And those that have no name at all.
    names |= {a: a for a in ("https://example.org/", "http://[b", "https://youtube.com/@somebody")}
    for link, name in names.items():
        assert pats_intervals.key(link) == name and pats_intervals.address(link) == link


def test_videos_by_what_their_names_hold():
    names = ["Title [abc] [dQw4w9WgXcQ].mp4", "x.f137.mp4", "x.mp4", "y.f137.mp4", "sub/z.mp4"]
    keys = pats_intervals.by_key({name: pathlib.Path(name) for name in names})
    assert keys == {
        "Title [abc] [dQw4w9WgXcQ]": names[0], "abc": names[0], "dQw4w9WgXcQ": names[0],
        "x": "x.mp4", "y": "y.f137.mp4", "z": "sub/z.mp4",
    }  # fmt: skip


def test_counts_and_names_in_messages():
    rows = [Interval(n, str(n), s, "train", "", "", "") for n, s in enumerate(["b", "a", "b"])]
    assert pats_intervals.counted(rows) == "3 intervals of a, b"
    assert pats_intervals.counted(rows[:1]) == "1 interval of b"
    assert (
        pats_intervals.listed(["c", "a"]) == "c, a" and pats_intervals.listed({"c", "a"}) == "a, c"
    )
    assert pats_intervals.listed("abcdef") == "a, b, c, d, e ..."
