"""Studies that cannot be made, and the parts that they are made of."""

import os

import disks
import numpy as np
import pytest
from study import material

from jaxgesture.core.errors import UserError
from jaxgesture.study import kit, plans, videos
from jaxgesture.study.kit import QUESTIONS, Question


@pytest.fixture(scope="module")
def systems(tmp_path_factory):
    return material.make_systems(tmp_path_factory.mktemp("systems"), clips=2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("overall", QUESTIONS[3]),
        ("overall = Is it good? ", Question("overall", "Overall quality", "Is it good?")),
        ("eye_contact=Looks at you?", Question("eye_contact", "Eye contact", "Looks at you?")),
        ("a=b=c", Question("a", "A", "b=c")),
    ],
)
def test_questions(text, expected):
    assert kit.question(text) == expected


@pytest.mark.parametrize("text", ["", "Überall=x", "2nd=x", "two words=x", "-a"])
def test_names_that_are_none(text):
    with pytest.raises(UserError, match="write NAME=TEXT with a name of small letters, digits and"):
        kit.question(text)


@pytest.mark.parametrize("text", ["nice", "nice=", " nice =  "])
def test_names_of_which_no_text_is_known(text):
    with pytest.raises(UserError, match="write nice=TEXT; without a text there are realness, div"):
        kit.question(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"questions": []}, "each question needs a name of its own"),
        ({"questions": [QUESTIONS[0], QUESTIONS[0]]}, "name every --question once"),
        ({"seed": -1}, "seed is -1; choose 0 or more"),
        ({"raters": 0}, "--raters=0 leaves nobody to rate; at least 1 is needed"),
        ({"clips": 2}, "--clips=2 is too few for a rater to see each of 3 systems; at least 3"),
    ],
)
def test_numbers_that_make_no_study(systems, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        kit.make(systems, tmp_path / "study", **changes)
    assert not list(tmp_path.iterdir()), "nothing is left of it"


def test_a_study_of_nothing(tmp_path):
    with pytest.raises(UserError, match="a study needs a system at least; give --systems=NAME"):
        kit.make({}, tmp_path / "study")


def test_a_file_is_no_place(systems, tmp_path):
    (tmp_path / "study").touch()
    with pytest.raises(UserError, match="exists and is not empty; a study is never overwritten"):
        kit.make(systems, tmp_path / "study")


def test_a_disk_that_refuses_leaves_nothing(systems, tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError(28, os.strerror(28), str(target))

    monkeypatch.setattr(kit.videos, "copy_anonymously", refuse)
    with pytest.raises(UserError, match="cannot be written: No space left .*; free some space"):
        kit.make(systems, tmp_path / "study")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing(systems, tmp_path):
    with disks.small_disk(tmp_path / "disk", 64 * 1024) as disk:
        with pytest.raises(UserError, match="cannot be written: No space left .*; free some space"):
            kit.make(systems, disk / "study")
        assert not list(disk.iterdir())


def test_one_system_is_a_study(systems, tmp_path):
    made = kit.make({"ours": systems["ours"]}, tmp_path / "study", raters=3, clips=9)
    assert (made.systems, made.clips, made.plan, made.least, made.most) == (1, 2, 2, 3, 3)
    assert "each video is seen by 3 raters" in made.lines()[0]


def test_what_is_put_into_the_page_is_not_searched():
    page = kit.page({"title": "/*STYLE*/ </script><b>\u2028", "n": 1})
    assert "</script><b>" not in page and "/*STYLE*/ \\u003c/script>" in page


@pytest.mark.parametrize("seed", range(3))
def test_plans_hang_on_their_seed_alone(seed):
    first, again = (plans.make(3, 7, raters=9, videos=8, seed=seed) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    # More raters get more plans; those there are stay.
    np.testing.assert_array_equal(plans.make(3, 7, raters=4, videos=8, seed=seed), first[:4])


def test_clips_are_matched_by_name_in_any_case_of_their_suffix(tmp_path):
    made = material.make_systems(tmp_path, clips=2, systems=("a", "b"))
    (made["a"] / "clip0.mp4").rename(made["a"] / "clip0.MP4")
    (made["a"] / ".hidden.mp4").write_bytes(b"no video")
    (made["b"] / "clip0.json").write_text("{}")
    found = videos.match(made)
    assert list(found) == ["clip0", "clip1"] and list(found["clip0"]) == ["a", "b"]
    one = found["clip0"]["a"]
    assert one.path.name == "clip0.MP4" and one.size == (32, 32) and one.sound
    assert one.seconds == pytest.approx(12 / 25, abs=0.02)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"system b: .* has no \.mp4, \.webm, \.m4v files"),
        (["other.mp4"], "no clip is common to the systems a, b: the same clip must have the same"),
        (["clip0.mp4", "clip0.webm"], "clip0.mp4 and clip0.webm in .* are the same clip; keep one"),
        (None, "system b: there is no folder .*; give NAME=FOLDER"),
    ],
)
@pytest.mark.filterwarnings("ignore::jaxgesture.core.errors.DataWarning")
def test_folders_that_do_not_fit(tmp_path, names, message):
    made = material.make_systems(tmp_path, clips=1, systems=("a",))
    made["b"] = tmp_path / "b"
    if names is not None:
        made["b"].mkdir()
        for name in names:
            (made["b"] / name).write_bytes((made["a"] / "clip0.mp4").read_bytes())
    with pytest.raises(UserError, match=message):
        videos.match(made)


@pytest.mark.parametrize(("content", "reason"), [(b"", "Invalid data"), (b"text" * 99, "Invalid")])
def test_files_that_no_browser_plays(tmp_path, content, reason):
    made = material.make_systems(tmp_path, clips=1, systems=("a",))
    (made["a"] / "clip0.mp4").write_bytes(content)
    with pytest.raises(UserError, match=rf"browsers do not play 1: .*clip0.mp4 \({reason}.*ffmpeg"):
        videos.match(made)


def test_a_kit_says_how_often_a_video_is_seen(tmp_path):
    made = kit.Kit(tmp_path / "page", tmp_path / "key.json", 2, 3, 4, 5, 1, 1)
    assert "by 1 raters" in made.lines()[0]
    assert "by 1 to 4 raters" in made._replace(most=4).lines()[0]
