"""A made-up PATS: the right part of the right video in time and place; the rest is listed."""

import json
import pathlib
import warnings

import numpy as np
import pytest
from media import make_video

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import pats, pats_intervals
from jaxgesture.data.datasets import FrameDataset
from jaxgesture.data.prepare import missing_links, prepare_pats

WIDTH, HEIGHT, FRAMES = 128, 72, 60
HEADER = ",dataset,delta_time,end_time,interval_id,start_time,speaker,video_link"
VIDEOS = {
    "seth": "Seth #1 [x] [sethID-0001].mkv",
    "oliver": "-liverID_01.mkv",
    "chemistry": "more/chemID_0001.mkv",
    "jon": "a daily piece.mkv",
}
LINKS = {
    "seth": "https://www.youtube.com/watch?v=sethID-0001",
    "oliver": "https://youtu.be/-liverID_01",
    "chemistry": "http://www.youtube.com/watch?v=chemID_0001&list=PL0",
    "jon": "http://www.example.com/clips/abc/a%20daily%20piece.html",
}
GONE = "https://www.youtube.com/watch?v=_gone-video"
ELSEWHERE = "http://www.example.com/clips/def/another-daily-piece"
LEFT_EDGES = {"seth": 50, "oliver": 48, "chemistry": 3, "jon": 56}  # of 0.395, 0.38, 0.031 of 128


def _pictures() -> list[np.ndarray]:
    """Red tells the column, green the frame."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[..., 0] = 2 * np.arange(WIDTH)
    pictures = []
    for number in range(FRAMES):
        picture[..., 1] = 10 + 4 * number
        pictures.append(picture.copy())
    return pictures


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("videos")
    (folder / "more").mkdir()
    voice = np.random.default_rng(0).normal(size=FRAMES * 640).astype(np.float32) / 10
    for speaker, name in VIDEOS.items():
        sound = (voice, 16000) if speaker == "seth" else None
        make_video(folder / name, _pictures(), codec="ffv1", pix_fmt="yuv444p", sound=sound)
    return folder


def _row(name: int | str, speaker: str, start: str, end: str, **other: str) -> str:
    kind, link = other.get("dataset", "train"), other.get("link", LINKS.get(speaker, ""))
    return f"{name},{kind},0.0,{end},{name},{start},{speaker},{link}"


ROWS = [
    _row(100, "seth", "00:00:00.4", "00:00:01.2"),
    _row(101, "oliver", "0 days 00:00:01.000000", "0 days 00:00:02.000000"),
    _row(102, "chemistry", "1900-01-01 00:00:00.2", "1900-01-01 00:00:01"),
    _row(103, "jon", "0.8", "2.4", dataset="dev"),
    _row(104, "seth", "1.2", "2.0", dataset="test"),
    _row(105, "oliver", "1", "2", link=GONE),
    _row(106, "oliver", "4", "5", link=GONE),
    _row(107, "jon", "4", "5", link=ELSEWHERE),
    _row(108, "jon", "soon", "5"),
    _row(109, "jon", "2", "1"),
    _row(110, "jon", "2", "7"),
    _row(111, "jon", "70", "71"),
    _row(112, "rock", "0.2", "1", link=LINKS["jon"]),
    _row(113, "seth", "0", "0.4", dataset="none"),
    _row(100, "seth", "0", "0.4"),
    _row(114, "seth", "0", "0.4", link=" "),
]


def _list(folder: pathlib.Path, rows=ROWS) -> pathlib.Path:
    path = folder / "list.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def _subset(folder: pathlib.Path, **lists) -> pathlib.Path:
    path = folder / "subset.json"
    path.write_text(json.dumps(lists))
    return path


def _prepare(folder: pathlib.Path, videos: pathlib.Path, rows=ROWS, **keywords):
    settings = {"size": HEIGHT, "image_format": "png", "progress": False, **keywords}
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        return prepare_pats(_list(folder, rows), videos, folder / "set", **settings)


def _place(dataset: FrameDataset, clip: str) -> tuple[int, int]:
    """The source column and frame where a clip starts; all its pixels must go on from there."""
    images = dataset.frames(clip).astype(np.float64)
    column = round(images[:, :, 0, 0].mean() / 2)
    frame = round((images[0, :, :, 1].mean() - 10) / 4)
    columns = np.broadcast_to(2 * (column + np.arange(HEIGHT)), images.shape[:3])
    np.testing.assert_allclose(images[..., 0], columns, atol=4)
    np.testing.assert_allclose(
        images[..., 1].mean((1, 2)), 10 + 4 * (frame + np.arange(len(images))), atol=1.5
    )
    return column, frame


@pytest.fixture(scope="module")
def everything(videos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("all")
    subset = _subset(folder, train=[100, *range(105, 112), 900], test=["101", "102", "103", "901"])
    return _prepare(folder, videos, subset=subset), folder


def test_right_part_in_time_and_place(everything):
    report, _ = everything
    dataset = FrameDataset(report.out)
    assert report.clips == {"train": 1, "validation": 3} and report.used == sorted(VIDEOS.values())
    for clip, speaker, first, frames in (
        ("100", "seth", 10, 20),
        ("101", "oliver", 25, 25),
        ("102", "chemistry", 5, 20),
        ("103", "jon", 20, 40),
    ):
        info = dataset.clip(clip)
        assert (info.speaker, info.source) == (speaker, VIDEOS[speaker])
        assert (info.frames, info.start) == (frames, first / 25)
        assert info.split == ("train" if speaker == "seth" else "validation")
        assert _place(dataset, clip) == (LEFT_EDGES[speaker], first)
        assert info.has_audio == (speaker == "seth")
    assert dataset.audio("100").shape == (20, 35)


def test_what_is_left_out_is_listed(everything):
    report, folder = everything
    gone = "no video is called _gone-video or has it in [brackets]; 2 intervals of oliver left out"
    other = (
        "no video is called another-daily-piece or has it in [brackets]; 1 interval of jon left out"
    )
    assert report.skipped == {
        GONE: gone,
        ELSEWHERE: other,
        "list.csv line 10": "interval 108: 'soon' is no time; write seconds (62.5) or a clock "
        "(00:01:02.5), from 0 on",
        "list.csv line 11": "interval 109: its end 1 does not lie after its start 2",
        "list.csv line 12": "interval 110: 2 to 7 s leave a daily piece.mkv, which has 2.40 s; is "
        "it another video?",
        "list.csv line 13": "interval 111: 70 to 71 s leave a daily piece.mkv, which has 2.40 s; "
        "is it another video?",
        "list.csv line 16": "interval 100 is in line 2 already",
    }
    table = folder / "list.csv"
    assert report.warnings == [
        f"2 of the 13 intervals of {folder / 'subset.json'} are not in {table}: 900, 901",
        "3 of 11 intervals are left out because 2 videos are missing; `prepare pats "
        "--list-downloads` prints their addresses",
        "videos without sound, which serve stage 1 only: -liverID_01.mkv, a daily piece.mkv, "
        "more/chemID_0001.mkv",
    ]


def test_same_call_keeps_and_another_list_is_refused(everything, videos):
    report, folder = everything
    again = _prepare(folder, videos, subset=folder / "subset.json")
    assert again.kept and again.skipped == report.skipped and again.warnings == report.warnings
    arguments = FrameDataset(report.out).arguments
    assert set(arguments["files"]) == set(VIDEOS.values())
    assert arguments["crops"] == {k: pats.CROPS[k] for k in ("chemistry", "jon", "oliver", "seth")}
    with pytest.raises(UserError, match="made with other crops"):
        _prepare(folder, videos, subset=folder / "subset.json", crops={"jon": "left"})
    with pytest.raises(UserError, match="made with other intervals"):
        _prepare(folder, videos, ROWS[:4], subset=folder / "subset.json")


def test_whole_list_with_crops_and_speakers(videos, tmp_path):
    report = _prepare(
        tmp_path,
        videos,
        speakers=["seth", "jon", "rock"],
        crops={"seth": 0.25, "jon": "left", "fallon": 0.1},
        max_seconds=0.64,
    )
    dataset = FrameDataset(report.out)
    assert {clip.id: clip.split for clip in dataset.clips()} == {
        "100": "train", "112": "train", "103": "validation", "104": "validation"
    }  # fmt: skip
    assert {clip.frames for clip in dataset.clips()} == {16}
    places = {clip.id: _place(dataset, clip.id) for clip in dataset.clips()}
    assert places == {"100": (32, 10), "104": (32, 30), "103": (0, 20), "112": (28, 5)}
    text = "\n".join(report.lines())
    for warning in (
        "the sets dev (1) and test (1) are both for validation",
        "no crop is known for rock: the square in the middle is kept",
        "a crop is given for 'fallon', of whom no interval is used",
        "4 intervals are longer than 0.64 s: cut off there",
    ):
        assert f"warning: {warning}" in text
    assert report.skipped["list.csv line 15"].startswith("dataset 'none' of interval 113 is none")
    assert report.skipped["list.csv line 17"] == "it has no video_link"


def test_missing_links_are_lines_for_yt_dlp(videos, tmp_path):
    table = _list(tmp_path)
    assert missing_links(table, videos) == [GONE, ELSEWHERE]
    assert missing_links(table, videos, speakers=["jon"]) == [ELSEWHERE]
    assert missing_links(table, videos, subset=_subset(tmp_path, train=["105"])) == [GONE]
    (tmp_path / "none").mkdir()
    assert missing_links(table, tmp_path / "none") == [
        LINKS["seth"],
        "https://www.youtube.com/watch?v=-liverID_01",
        "https://www.youtube.com/watch?v=chemID_0001",
        LINKS["jon"],
        GONE,
        ELSEWHERE,
    ]
    with pytest.raises(UserError, match="there is no folder .*nowhere; make it"):
        missing_links(table, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("link", "key"),
    [
        ("https://www.youtube.com/watch?v=-b_d5fgh1jk", "-b_d5fgh1jk"),
        ("youtube.com/watch?t=3&v=-b_d5fgh1jk#x", "-b_d5fgh1jk"),
        ("https://m.youtube.com/embed/-b_d5fgh1jk?rel=0", "-b_d5fgh1jk"),
        ("-b_d5fgh1jk", "-b_d5fgh1jk"),
        ("http://cc.com/video-clips/abc123/the-long-title-of-it", "the-long-title-of-it"),
        ("http://cc.com/a/clip.html?x=/b#c", "clip"),
        ("http://cc.com/", "http://cc.com/"),
        ("https://www.youtube.com/watch?v=short", "https://www.youtube.com/watch?v=short"),
        ("http://[", "http://["),
    ],
)
def test_what_a_link_is_found_by(link, key):
    assert pats_intervals.key(link) == key


def test_whole_files_go_before_pictures_alone():
    names = ["a [-b_d5fgh1jk].f137.mp4", "b [-b_d5fgh1jk].mp4", "c_d5fgh1jkl.f1.mp4"]
    found = pats_intervals.by_key({name: pathlib.Path(name) for name in names})
    assert found["-b_d5fgh1jk"] == names[1] and found["c_d5fgh1jkl"] == names[2]


def test_crop_that_leaves_a_video_is_named(videos, tmp_path):
    report = _prepare(tmp_path, videos, ROWS[:2], crops={"seth": 0.5})
    assert report.used == [VIDEOS["oliver"]]
    assert report.skipped["list.csv line 2"].endswith(
        "the square of full height at 0.5 of the width leaves the 128 x 72 picture of "
        "Seth #1 [x] [sethID-0001].mkv; give another rule, --crops=seth=RULE"
    )


def test_crops_as_text_and_as_file(tmp_path):
    found = pats.read_crops("seth=0.4, jon = left ,x=landmarks")
    assert found == {"seth": 0.4, "jon": "left", "x": "landmarks"}
    path = tmp_path / "crops=.csv"
    path.write_text("crop,speaker\n0.1,seth\ncenter,jon\n")
    assert pats.read_crops(str(path)) == {"seth": 0.1, "jon": "center"}
    for text in ("seth=1", "seth=-0.1", "seth=nan", "seth=middle", "=left", "seth=left,jon"):
        with pytest.raises(UserError, match="is not understood; give the left edge"):
            pats.read_crops(text)
    with pytest.raises(UserError, match="nowhere.csv' is neither a CSV file nor rules"):
        pats.read_crops("nowhere.csv")


def test_nothing_usable(videos, tmp_path):
    with pytest.raises(UserError, match="no interval of .* is usable.*_gone-video or has it in"):
        _prepare(tmp_path, videos, ROWS[5:7])
    lost = [_row(i, "seth", "0", "1", link=f"http://x.org/{i}") for i in range(9)]
    with pytest.raises(UserError, match=r"\(list.csv line 11: interval 108: 'soon'.*and 5 more\)"):
        _prepare(tmp_path, videos, [*lost, ROWS[8]])
    assert not (tmp_path / "set").exists()


def test_lists_that_cannot_be_used(videos, tmp_path):
    with pytest.raises(UserError, match="has no speaker 'sehth'; did you mean 'seth'"):
        _prepare(tmp_path, videos, speakers=["sehth"])
    with pytest.raises(UserError, match="has none of the intervals asked for"):
        _prepare(tmp_path, videos, subset=_subset(tmp_path, train=[1]))
    with pytest.raises(UserError, match="has interval 100 for training and testing"):
        _prepare(tmp_path, videos, subset=_subset(tmp_path, train=[100], test=["100"]))
    with pytest.raises(UserError, match="has the lists tests; train and test are expected"):
        _prepare(tmp_path, videos, subset=_subset(tmp_path, tests=[100]))
    (tmp_path / "bad.json").write_text("[1, 2]")
    with pytest.raises(UserError, match=r"bad.json is not .*in JSON"):
        _prepare(tmp_path, videos, subset=tmp_path / "bad.json")
    (tmp_path / "other.csv").write_text("interval_id,speaker\n1,jon\n")
    with pytest.raises(UserError, match="it has no column dataset, start_time, end_time, video_l"):
        missing_links(tmp_path / "other.csv", videos)
