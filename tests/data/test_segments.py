"""Lists of parts of videos: every way to write a time; all mistakes of a list are named at once."""

import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data.segments import Segment, parse_time, read_segments

NAMES = ["a.mp4", "jon/b.mp4", "jon/b.mov", "caf\u00e9, #1.mkv"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12.5", 12.5),
        (" 7 ", 7),
        (".5", 0.5),
        ("1e2", 100),
        ("0", 0),
        ("1:02.5", 62.5),
        ("75:10", 4510),
        ("00:01:02.5", 62.5),
        ("100:00:01", 360001),
        ("0 days 00:01:02.500000", 62.5),
        ("0 days 00:01:02.500000123", 62.500000123),
        ("1 days 00:00:01", 86401),
        ("2 days", 172800),
        ("1 day, 0:00:01", 86401),
        ("1 days +00:00:01", 86401),
        ("P0DT0H1M2.5S", 62.5),
        ("1900-01-01 00:01:02.5", 62.5),
        ("1900-01-01T00:01:02.500000", 62.5),
        ("1900-01-01", 0),
        ("1900-01-02 00:00:01", 86401),
        ("1970-01-01 00:01:02.5+00:00", 62.5),
        ("1970-01-03 00:00:00", 172800),
        ("2024-02-29 01:00:00", 3600),
    ],
)
def test_times(text, seconds):
    assert parse_time(text) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "-1", "nan", "inf", "1e999", "NaT", "1,5", "12s", "1:60", "1:60:00", "0:0:60",
        "1:2:3:4", "-1 days +23:59:59", "0 days 24:00:00", "1 days 00:01", "1900-02-30 00:00:01",
        "1900-01-01 25:00:00", "1900-01-01 00:01", "2024-01-01 0:00:01+02:00", "\u0663",
    ],
)  # fmt: skip
def test_what_is_no_time(text):
    with pytest.raises(UserError, match=r"is no time; write seconds \(62.5\) or a cl") as caught:
        parse_time(text)
    assert repr(text) in str(caught.value)


def test_what_pandas_prints():
    pandas = pytest.importorskip("pandas")
    for seconds in (0.0, 62.5, 3723.040001, 90000.25):
        delta = pandas.Timedelta(seconds=seconds)
        assert parse_time(str(delta)) == pytest.approx(seconds)
        stamp = pandas.Timestamp("1900-01-01") + delta
        assert parse_time(str(stamp)) == pytest.approx(seconds)


def _read(folder, text: str | bytes):
    path = folder / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_segments(path, NAMES)


def test_all_columns_in_any_order(tmp_path):
    found = _read(
        tmp_path,
        "\ufeffspeaker,clip,end,start,crop,split,id\r\n"
        'x,a.mp4,0:05,1.5,"10,0,40.5",train,first\r\n'
        ",,,,,,\r\n"
        "\r\n"
        ',"cafe\u0301, #1.mkv",1:00:00,0 days 00:00:01,landmarks\r\n'
        ", a ,9,8,,validation,\r\n",
    )
    assert found == {
        "a.mp4": [
            Segment(1.5, 5.0, "train", (10.0, 0.0, 40.5), "first", "x"),
            Segment(8.0, 9.0, "validation"),
        ],
        "caf\u00e9, #1.mkv": [Segment(1.0, 3600.0, crop="landmarks")],
    }


def test_name_without_suffix_must_fit_one_video(tmp_path):
    assert list(_read(tmp_path, "clip,start,end\njon/b.mov,0,1\n")) == ["jon/b.mov"]
    with pytest.raises(UserError, match="line 2: 'jon/b' may be any of jon/b.mp4, jon/b.mov"):
        _read(tmp_path, "clip,start,end\njon/b,0,1\n")


def test_all_wrong_lines_are_named(tmp_path):
    with pytest.raises(UserError) as caught:
        _read(
            tmp_path,
            "clip,start,end,split,crop,id\n"
            "a.mp4,0,1,,,one\n"
            "jon/c.mp4,0,1,,,\n"
            "a.mp4,5,5,,,\n"
            "a.mp4,x,1,trian,middle,\n"
            "a.mp4,0\n"
            "a.mp4,0,1,,,one\n"
            ',0,1,,"1,2,-3",\n'
            "nobody,0,1,,,\n",
        )
    text = str(caught.value)
    for line, reason in (
        (3, "no video is called 'jon/c.mp4'; did you mean 'jon/b.mp4'?"),
        (4, "end 5 does not lie after start 5"),
        (5, "'x' is no time"),
        (5, "split 'trian' is neither train nor validation"),
        (5, "crop 'middle' is not understood; use center"),
        (6, "'' is no time"),
        (7, "the id 'one' is that of line 2"),
        (8, "no clip is named"),
        (8, "crop '1,2,-3' is not understood"),
        (9, "no video is called 'nobody'; write its path below the folder"),
    ):
        assert f"line {line}: {reason}" in text
    assert "line 2: " not in text and "\n" not in text and text.endswith("correct these lines")


def test_many_wrong_lines_are_counted(tmp_path):
    with pytest.raises(UserError, match="line 21: .*; and 30 more; correct") as caught:
        _read(tmp_path, "clip,start,end\n" + "a.mp4,2,1\n" * 50)
    assert "line 22: " not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,start,ende\na.mp4,0,1\n", "no column end; there .*'ende'; did you mean 'end'"),
        ("clip,start,end,start\na.mp4,0,1,2\n", "it has column 'start' twice"),
        ("", "it has no column clip, start, end; correct the first line"),
        ("clip,start,end\n\n", "lists no part; write one line for each: clip,start,end"),
        ("clip;start;end\na.mp4;0;1\n", "is separated by semicolons; separate .* by commas"),
        ("clip\tstart\tend\na.mp4\t0\t1\n", "is separated by tabs"),
        ("clip,start,end,crop\na.mp4,0,1,5,5,9\n", "line 2: 6 values for 4 columns; put values"),
        ('clip,start,end\n"a.mp4,0,1\n', "line 2: .*correct the quotes of that line"),
        (b"clip,start,end\na.mp4,0,1\ncaf\xe9,0,1\n", r"is not UTF-8 text \(line 3\); save it"),
        ("clip,start,end\n".encode("utf-16"), r"is not UTF-8 text \(line 1\)"),
    ],
)
def test_what_is_no_list(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        _read(tmp_path, text)


def test_missing_list(tmp_path):
    with pytest.raises(UserError, match="nowhere.csv cannot be read: No such file"):
        read_segments(tmp_path / "nowhere.csv", NAMES)
