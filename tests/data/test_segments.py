"""Lists of parts: times in every spelling, and all mistakes of a file at once."""

import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data.segments import Segment, parse_time, read_segments

NAMES = ["a.mp4", "b/c.mov", "b/d.mp4", "b/d.mkv", "name, with comma.mp4"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("62.5", 62.5),
        ("0", 0.0),
        (" 7 ", 7.0),
        (".5", 0.5),
        ("1e1", 10.0),
        ("1:02.5", 62.5),
        ("00:01:02.5", 62.5),
        ("100:00:00", 360000.0),
        ("0 days 00:01:02.500000", 62.5),
        ("0 days", 0.0),
        ("1 days 00:00:01", 86401.0),
        ("2 day, 0:00:01", 172801.0),
        ("0 days 00:01:02.500000123", 62.500000123),
        ("1900-01-01 00:01:02.5", 62.5),
        ("1900-01-01T00:01:02", 62.0),
        ("1900-01-02 00:00:01", 86401.0),
    ],
)
def test_times(text, seconds):
    assert parse_time(text) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "1:2:3:4", "soon", "NaT", "1:75 min"])
def test_what_is_no_time(text):
    with pytest.raises(UserError, match=r"is no time; write seconds \(62.5\) or a clock"):
        parse_time(text)


def test_what_pandas_prints():
    pandas = pytest.importorskip("pandas")
    for seconds in (0.0, 62.5, 3723.040001, 90000.25):
        delta = pandas.Timedelta(seconds=seconds)
        assert parse_time(str(delta)) == pytest.approx(seconds)
        stamp = pandas.Timestamp("1900-01-01") + delta
        assert parse_time(str(stamp)) == pytest.approx(seconds)


def _write(path, text: str, encoding: str = "utf-8"):
    path.write_text(text, encoding=encoding)
    return path


def test_parts_by_video(tmp_path):
    text = (
        "clip,start,end,split,crop,id,speaker\n"
        "a.mp4,1,2.5,validation,left,first,Ann\n"
        'b/c,0:01,0:02,,"10,20,100",,\n'
        '"name, with comma.mp4", 0, 1,,,,\n'
        "a.mp4,00:00:03,4,,landmarks,,\n"
    )
    for encoding in ("utf-8", "utf-8-sig"):
        found = read_segments(_write(tmp_path / "list.csv", text, encoding), NAMES)
        assert found == {
            "a.mp4": [
                Segment(1.0, 2.5, "validation", "left", "first", "Ann"),
                Segment(3.0, 4.0, "", "landmarks"),
            ],
            "b/c.mov": [Segment(1.0, 2.0, "", (10.0, 20.0, 100.0))],
            "name, with comma.mp4": [Segment(0.0, 1.0)],
        }


def test_all_mistakes_are_told(tmp_path):
    text = (
        "clip,start,end,split,crop,id\n"
        "nobody.mp4,0,1,,,\n"
        "a.mp4,2,1,,,\n"
        "a.mp4,x,1,,,\n"
        "a.mp4,0,1,test,,\n"
        "a.mp4,0,1,,middle,\n"
        "b/d,0,1,,,\n"
        "a.mp4,0,1,,,same\n"
        "a.mp4,1,2,,,same\n"
    )
    with pytest.raises(UserError) as caught:
        read_segments(_write(tmp_path / "list.csv", text), NAMES)
    message = str(caught.value)
    for part in (
        "line 2: no video is called 'nobody.mp4'", "line 3: end 1 does not lie after start 2",
        "line 4: 'x' is no time", "line 5: split 'test' is neither", "line 6: crop 'middle'",
        "line 7: 'b/d' may be any of b/d.mp4, b/d.mkv", "line 9: the id 'same' is that of line 8",
    ):  # fmt: skip
        assert part in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip;start;end\na.mp4;0;1\n", "no column clip, start, end .*separate the columns by com"),
        ("clip,start\na.mp4,0\n", "has no column end"),
        ("clip,start,end,spilt\na.mp4,0,1,train\n", "column 'spilt'; did you mean 'split'?"),
        ("clip,start,end\n", "lists no part"),
        ("", "has no column clip, start, end"),
        ("clip,start,end\na.mp4,1\n", "line 2: '' is no time"),
    ],
)
def test_files_that_are_no_list(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_segments(_write(tmp_path / "list.csv", text), NAMES)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_segments(tmp_path / "none.csv", NAMES)
    with pytest.raises(UserError, match="is not UTF-8 text"):
        read_segments(_write(tmp_path / "list.csv", "clip,start,end\né,0,1\n", "latin-1"), NAMES)
