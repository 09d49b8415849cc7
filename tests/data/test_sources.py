"""Which files are taken, what belongs to them, and which of them are held out."""

import hashlib
import math
import os

import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import sources


def _touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_files_of_folders_in_the_same_order_everywhere(tmp_path):
    _touch(tmp_path, "b/2.mp4", "a/1.mp4", "c.mp4", "a/z/3.mp4", "Ä/ü.mp4")
    found = [path.relative_to(tmp_path).as_posix() for path in sources.files_below(tmp_path)]
    assert sorted(found) == ["a/1.mp4", "a/z/3.mp4", "b/2.mp4", "c.mp4", "Ä/ü.mp4"]
    assert [name for name in found if "/" in name] == ["a/1.mp4", "a/z/3.mp4", "b/2.mp4", "Ä/ü.mp4"]


def test_links_to_folders_are_followed_and_circles_are_not(tmp_path):
    elsewhere = _touch(tmp_path / "disk", "talk.mp4")
    here = _touch(tmp_path / "here", "a/own.mp4")
    (here / "linked").symlink_to(elsewhere)
    (here / "twice").symlink_to(elsewhere)
    (here / "a" / "up").symlink_to(here)
    (here / "broken").symlink_to(tmp_path / "nowhere")
    found = [p for p in sources.files_below(here) if p.is_file()]
    names = sorted(path.relative_to(here).as_posix() for path in found)
    assert names == ["a/own.mp4", "linked/talk.mp4"]
    assert list(sources.find_videos(here)) == names


@pytest.mark.parametrize("suffix", sorted(sources.SUFFIXES))
def test_every_suffix_in_small_letters_and_in_capitals(tmp_path, suffix):
    _touch(tmp_path, f"a{suffix}", f"b{suffix.upper()}", f"c{suffix}.txt", f"d{suffix[1:]}")
    assert list(sources.find_videos(tmp_path)) == [f"a{suffix}", f"b{suffix.upper()}"]


def test_a_list_is_named_below_what_it_has_in_common(tmp_path, monkeypatch):
    _touch(tmp_path, "x/a/1.mp4", "x/b/2.strange", "~y.mp4")
    both = [tmp_path / "x/b/2.strange", str(tmp_path / "x/a/1.mp4")]
    found = sources.find_videos(both)
    assert list(found) == ["a/1.mp4", "b/2.strange"] and found["b/2.strange"] == both[0]
    # A file alone is named by its name, wherever it lies and however it is written.
    assert list(sources.find_videos(both[0])) == ["2.strange"]
    monkeypatch.chdir(tmp_path / "x")
    assert list(sources.find_videos(["a/1.mp4", tmp_path / "x/a/1.mp4"])) == ["1.mp4"]
    monkeypatch.chdir(tmp_path)
    assert list(sources.find_videos("~y.mp4")) == ["~y.mp4"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing", "no such video or folder: .*missing"),
        (["a.mp4", "gone.mp4", "lost.mp4"], "no such video or folder: .*gone.mp4, .*lost.mp4"),
        ([], "nothing was named"),
        ("empty", r"no video in .*empty; looked for \.3gp \.avi .* \.wmv"),
        (["empty"], "no such video or folder: .*empty"),
    ],
)
def test_nothing_to_prepare(tmp_path, given, message):
    _touch(tmp_path, "a.mp4", "empty/notes.txt")
    paths = tmp_path / given if isinstance(given, str) else [tmp_path / name for name in given]
    with pytest.raises(UserError, match=message):
        sources.find_videos(paths)


def test_sound_beside_in_order_of_preference(tmp_path):
    video = tmp_path / "my.talk.mp4"
    assert sources.sound_beside(video) is None
    (tmp_path / "my.talk.wav").mkdir()
    _touch(tmp_path, "my.wav", "my.talk.mp4.wav")
    assert sources.sound_beside(video) is None
    for suffix in [".OPUS", ".ogg", ".m4a", ".flac"]:
        _touch(tmp_path, f"my.talk{suffix}")
        assert sources.sound_beside(video) == tmp_path / f"my.talk{suffix}"


def test_a_written_file_has_another_signature(tmp_path):
    path = _touch(tmp_path, "a.mp4") / "a.mp4"
    before = sources.signature(path)
    assert sources.signature(path) == before
    path.write_bytes(b"longer than it was")
    longer = sources.signature(path)
    os.utime(path, ns=(1, 1))
    assert len({before, longer, sources.signature(path)}) == 3
    with pytest.raises(OSError):
        sources.signature(tmp_path / "gone")


def test_hashes_and_what_cannot_be_read(tmp_path):
    _touch(tmp_path, "a", "b")
    paths = {"a": tmp_path / "a", "gone": tmp_path / "gone", "b": tmp_path / "b"}
    found, failed = sources.hashes(paths, progress=False)
    assert found == {name: hashlib.sha256(name.encode()).hexdigest() for name in ("a", "b")}
    assert list(failed) == ["gone"] and "cannot be read: No such file" in failed["gone"]
    # Beside a video: what is not there is left out, what cannot be read is another content.
    there = sources.digests({"a": tmp_path / "a", "none": None, "gone": tmp_path / "gone"})
    assert there == {"a": found["a"], "gone": "unreadable"}


@pytest.mark.parametrize(
    ("rule", "seconds"),
    [
        ("last:4.0", 4.0),
        ("last:1e-3", 0.001),
        ("hash:0.1", None),
        ("none", None),
        (["a.mp4"], None),
        ((), None),
    ],
)
def test_rules_for_what_is_held_out(rule, seconds):
    assert sources.last_seconds(rule) == seconds


@pytest.mark.parametrize(
    "rule",
    ["", "last", "last:", "last:0", "last:-1", "last:inf", "last:nan", "hash:0", "hash:1", "4.0",
     "hash:nan", "first:2", "None", "last:4:5", "all"],
)  # fmt: skip
def test_rules_that_are_none(rule):
    with pytest.raises(UserError, match=r"is not understood; use 'last:4\.0'"):
        sources.last_seconds(rule)


def test_the_hash_rule_takes_its_share_and_grows():
    digests = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(2000)]
    chosen = {
        share: {d for d in digests if sources.is_validation(f"hash:{share}", "any", d)}
        for share in (0.05, 0.1, 0.5)
    }
    for share, files in chosen.items():
        # Three deviations of a binomial share.
        assert abs(len(files) - 2000 * share) < 3 * math.sqrt(2000 * share * (1 - share))
    # Another share moves no file that was held out back into training.
    assert chosen[0.05] < chosen[0.1] < chosen[0.5]


def test_other_rules_hold_out_by_name_or_not_at_all():
    low = "0" * 64
    assert sources.is_validation(["a.mp4", "b.mp4"], "b.mp4", "f" * 64)
    assert not sources.is_validation(["a.mp4"], "dir/a.mp4", low)
    assert not any(sources.is_validation(rule, "a.mp4", low) for rule in ("none", "last:4.0"))


def test_clip_ids():
    names = ["a.mp4", "dir/a.mp4", "b.tar.mp4", "c.mp4", "c.mov", "dir.x/c.mp4", "noend"]
    ids = sources.clip_ids(names)
    assert ids == {
        "a.mp4": "a", "dir/a.mp4": "dir/a", "b.tar.mp4": "b.tar", "c.mp4": "c.mp4",
        "c.mov": "c.mov", "dir.x/c.mp4": "dir.x/c", "noend": "noend",
    }  # fmt: skip
    assert len(set(ids.values())) == len(names)
