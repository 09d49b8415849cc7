"""What `study make` writes: blind, balanced, complete."""

import json
import re
import warnings

import av
import numpy as np
import pytest
from media import make_video as make_other
from study import material

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.generation.writer import VideoWriter
from jaxgesture.study import kit, plans, videos


@pytest.fixture(scope="module")
def systems(tmp_path_factory):
    return material.make_systems(tmp_path_factory.mktemp("systems"))


@pytest.fixture
def made(systems, tmp_path):
    return kit.make(systems, tmp_path / "study", raters=6, clips=5)


def read(made):
    return json.loads(made.key.read_text()), json.loads((made.page / "study.json").read_text())


def packets(path):
    """What is coded in a file, of pictures and sound, with its time stamps."""
    with av.open(str(path)) as container:
        return [
            (p.stream.type, p.pts * p.time_base, bytes(p))
            for p in container.demux()
            if p.dts is not None
        ]


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_copies_hold_nothing_that_tells_the_systems_apart(suffix, tmp_path):
    source = tmp_path / f"drawn{suffix}"
    saying = "synthetic: made by a model"
    with VideoWriter(source, 32, 25, None, comment=saying) as writer:
        writer.write(np.zeros((12, 32, 32, 3), np.uint8))
    assert saying.encode() in source.read_bytes()
    first, second = (tmp_path / f"{name}{suffix}" for name in "ab")
    for target in (first, second):
        videos.copy_anonymously(source, target)
    assert packets(first) == packets(source) and first.read_bytes() == second.read_bytes()
    assert b"synthetic" not in first.read_bytes()


def test_the_folder(made, systems):
    key, public = read(made)
    assert {p.name for p in made.page.iterdir()} == {"index.html", "study.json", "videos"}
    assert made.key.parent == made.page.parent
    assert set(key["videos"]) == set(public["videos"]) and len(key["videos"]) == 12
    for token, video in key["videos"].items():
        source = systems[video["system"]] / f"{video['clip']}.mp4"
        assert packets(made.page / public["videos"][token]) == packets(source)
        assert video["source"] == str(source)
    assert {p.name for p in (made.page / "videos").iterdir()} == {
        f"{token}.mp4" for token in key["videos"]
    }
    page = (made.page / "index.html").read_text()
    (embedded,) = re.findall(r'<script id="study" type="application/json">(.*?)</script>', page)
    assert json.loads(embedded) == public
    assert not re.search(r"https?://|src=\"(?!data:)|@import", page)
    assert not re.search(r"/\*(STYLE|PROGRAM|STUDY)\*/", page)


def test_nothing_served_tells_system_or_clip(made):
    for path in made.page.rglob("*"):
        assert not re.search(r"ours|truth|clip\d", path.name)
    text = (made.page / "study.json").read_text() + (made.page / "index.html").read_text()
    assert not re.search(r"\bours\b|\btruth\b|clip\d|" + re.escape(str(made.key.parent)), text)
    _, public = read(made)
    # Neither list keeps the order in which the tokens were drawn.
    assert list(public["videos"]) == sorted(public["videos"])
    assert all(plan == sorted(plan) for plan in public["plans"])
    times = [p.stat().st_mtime_ns for p in sorted((made.page / "videos").iterdir())]
    assert times == sorted(times)


def test_tokens_are_new_each_time_and_plans_are_not(systems, tmp_path):
    pairs = []
    tokens = set()
    for name in "ab":
        key, _ = read(kit.make(systems, tmp_path / name, raters=3, clips=6, seed=4))
        pairs.append(
            [
                {(key["videos"][t]["system"], key["videos"][t]["clip"]) for t in plan}
                for plan in key["plans"]
            ]
        )
        tokens |= set(key["videos"])
    assert pairs[0] == pairs[1] and len(tokens) == 24


def test_the_text_that_is_printed(made):
    text = "\n".join(made.lines())
    assert "12 videos (3 systems x 4 clips), 6 plans of 5 videos" in text
    assert "each video is seen by 2 to 3 raters" in text
    assert f"{made.key} tells which system made which video: keep it private" in text
    assert "index.html?rater=1 to ?rater=6" in text
    assert f"jaxgesture study collect --key={made.key}" in text


@pytest.mark.parametrize("systems", [1, 2, 3, 5])
@pytest.mark.parametrize("clips", [1, 4, 12, 25])
@pytest.mark.parametrize("videos", [5, 12, 13])
def test_plans_are_balanced(systems, clips, videos):
    found = plans.make(systems, clips, raters=20, videos=videos)
    assert found.shape == (20, min(videos, systems * clips), 2)
    shown = np.zeros((systems, clips), int)
    for plan in found:
        own = np.zeros((systems, clips), int)
        np.add.at(own, (plan[:, 0], plan[:, 1]), 1)
        assert own.max() == 1
        assert np.ptp(own.sum(axis=0)) <= 1 and np.ptp(own.sum(axis=1)) <= 1
        shown += own
    # Measured over these cases: at most 2 between videos, 3 between systems and between clips.
    assert np.ptp(shown) <= 2
    assert np.ptp(shown.sum(axis=0)) <= 3 and np.ptp(shown.sum(axis=1)) <= 3


def test_twelve_clips_of_three_systems_are_balanced_exactly():
    found = plans.make(3, 12, raters=21, videos=12)
    assert all(len(set(plan[:, 1])) == 12 for plan in found)  # nobody hears a speech twice
    _, counts = np.unique(found.reshape(-1, 2), axis=0, return_counts=True)
    assert len(counts) == 36 and set(counts) == {7}
    assert not np.array_equal(found, plans.make(3, 12, raters=21, videos=12, seed=1))


def test_clips_that_a_system_lacks_are_counted_and_named(tmp_path):
    systems = material.make_systems(tmp_path, clips=3)
    (systems["other"] / "clip1.mp4").unlink()
    (systems["other"] / "notes.txt").write_text("no video")
    material.make_video(systems["truth"] / "extra.m4v")
    with pytest.warns(DataWarning) as caught:
        made = kit.make(systems, tmp_path / "study")
    texts = [str(w.message) for w in caught]
    assert "system other lacks 2: clip1, extra, which other systems have; left out" in texts
    assert "system ours lacks 1: extra, which other systems have; left out" in texts
    assert (made.systems, made.clips, made.plan, len(texts)) == (3, 2, 6, 2)


def test_what_gives_systems_away_is_said(tmp_path):
    systems = material.make_systems(tmp_path, clips=2, systems=("ours", "truth"))
    material.make_video(systems["ours"] / "clip0.mp4", size=48, sound=False)
    material.make_video(systems["ours"] / "clip1.mp4", frames=40)
    with pytest.warns(DataWarning) as caught:
        kit.make(systems, tmp_path / "study")
    texts = "\n".join(str(w.message) for w in caught)
    assert f"no sound in 1: {systems['ours'] / 'clip0.mp4'}; synchrony" in texts
    assert "pictures differ in size for 1: clip0" in texts
    assert "differ by more than 0.5 s in length for 1: clip1" in texts


def test_webm_keeps_its_name(tmp_path):
    systems = material.make_systems(tmp_path, clips=1, suffix=".webm", systems=("ours",))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        made = kit.make(systems, tmp_path / "study")
    assert [p.suffix for p in (made.page / "videos").iterdir()] == [".webm"]


def test_videos_that_browsers_do_not_play(tmp_path):
    (tmp_path / "ours").mkdir()
    frames = list(np.zeros((3, 32, 32, 3), np.uint8))
    make_other(tmp_path / "ours" / "a.mp4", frames, codec="mpeg4")
    make_other(tmp_path / "ours" / "b.mp4", frames, pix_fmt="yuv444p")
    (tmp_path / "ours" / "c.mp4").write_text("no video")
    with pytest.raises(UserError, match="browsers do not play 3: ") as caught:
        kit.make({"ours": tmp_path / "ours"}, tmp_path / "study")
    message = str(caught.value)
    assert "a.mp4 (codec mpeg4)" in message and "b.mp4 (pixel format yuv444p)" in message
    assert "c.mp4 (Invalid data" in message and "ffmpeg -i IN -c:v libx264" in message
    assert not (tmp_path / "study").exists()


def test_titles_and_questions_are_text_on_the_page(systems, tmp_path):
    title = "</script><b>Gestures & more</b> /*STUDY*/"
    asked = [kit.question("lips=How well do the lips fit = the words?"), kit.question("realness")]
    made = kit.make(systems, tmp_path / "s", title=title, questions=asked, send_to="To <a@b.c>")
    page = (made.page / "index.html").read_text()
    assert "</script><b>" not in page and page.count("</script>") == 2
    (embedded,) = re.findall(r'type="application/json">(.*?)</script>', page)
    found = json.loads(embedded)
    assert (found["title"], found["send_to"]) == (title, "To <a@b.c>")
    assert [q["name"] for q in found["questions"]] == ["lips", "realness"]
    assert found["questions"][0]["text"] == "How well do the lips fit = the words?"
    assert found["questions"][1] == kit.QUESTIONS[0]._asdict()


def test_videos_that_nobody_sees_are_counted(systems, tmp_path):
    with pytest.warns(DataWarning, match="3 of 12 videos are shown to nobody; raise --raters"):
        kit.make(systems, tmp_path / "study", raters=3, clips=3)


def test_a_study_is_never_overwritten(systems, made):
    before = made.key.read_text()
    with pytest.raises(UserError, match="never overwritten"):
        kit.make(systems, made.key.parent)
    assert made.key.read_text() == before


def test_an_empty_folder_is_taken_and_nothing_is_left_behind(systems, tmp_path):
    (tmp_path / "study").mkdir()
    kit.make(systems, tmp_path / "study")
    assert [p.name for p in tmp_path.iterdir()] == ["study"]
