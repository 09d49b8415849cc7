"""The folder that a dataset is built in: what is gone on with, what is not, and what is left."""

import errno
import json
import os

import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import building

WORK = {"kind": "test", "size": 8}


def _begin(folder, name="x"):
    """What a run leaves that has closed a record file."""
    (folder / building.JOURNAL).write_text("{}\n")
    (folder / name).write_text(name)


def _fail(out, *, keep, name="x", work=WORK):
    with pytest.raises(ZeroDivisionError), building.building(out, work, keep=keep) as folder:
        _begin(folder, name)
        raise ZeroDivisionError


def test_the_folder_appears_when_it_is_whole(tmp_path):
    out = tmp_path / "a" / "b" / "set"
    with building.building(out, WORK) as folder:
        assert folder == out.with_name("set.partial") and not out.exists()
        _begin(folder, "records")
        (folder / building.JOBS).mkdir()
        (folder / building.JOBS / "000000.json").write_text("{}")
    assert sorted(path.name for path in out.parent.iterdir()) == ["set"]
    # Only what was made is left, nothing of how it was made.
    assert [path.name for path in out.iterdir()] == ["records"]


def test_a_failure_leaves_nothing_unless_it_is_worth_keeping(tmp_path):
    out = tmp_path / "set"
    _fail(out, keep=False)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ZeroDivisionError), building.building(out, WORK, keep=True):
        raise ZeroDivisionError  # before anything was done
    assert not list(tmp_path.iterdir())
    _fail(out, keep=True)
    with building.building(out, WORK, keep=True) as folder:
        assert (folder / "x").read_text() == "x"
    assert (out / "x").exists()


def test_who_does_not_go_on_begins_anew(tmp_path):
    out = tmp_path / "set"
    _fail(out, keep=True)
    (tmp_path / "set.partial" / "below").mkdir()
    (tmp_path / "set.partial" / "link").symlink_to(tmp_path)
    with building.building(out, WORK) as folder:
        left = {path.name for path in folder.iterdir()}
    assert left == {"lock", "work.json"} and tmp_path.is_dir()


@pytest.mark.parametrize(
    ("change", "named"),
    [({"size": 9}, "size"), ({"more": [1]}, "more"), ({"kind": 1, "size": 0}, "kind, size")],
)
def test_the_beginning_of_another_work_is_refused(tmp_path, change, named):
    _fail(tmp_path / "set", keep=True)
    with (
        pytest.raises(UserError, match=f"made with other {named}; to go on with it, give the same"),
        building.building(tmp_path / "set", {**WORK, **change}, keep=True),
    ):
        raise AssertionError("not reached")
    assert (tmp_path / "set.partial" / "x").exists()


def test_other_versions_do_not_go_on(tmp_path, monkeypatch):
    _fail(tmp_path / "set", keep=True)
    found = {**building.versions(), "numpy": "0.1"}
    monkeypatch.setattr(building, "versions", lambda: found)
    with (
        pytest.raises(UserError, match="made with other numpy version"),
        building.building(tmp_path / "set", WORK, keep=True),
    ):
        raise AssertionError("not reached")


def test_versions_are_those_of_what_decides_the_records():
    found = building.versions()
    assert {"jaxgesture", "numpy", "array_record", "librosa"} <= set(found)
    assert all(text and text[0].isdigit() for text in found.values())


def test_files_that_are_nobodys(tmp_path):
    partial = tmp_path / "set.partial"
    partial.mkdir()
    for name in "dcba":
        (partial / name).touch()
    with (
        pytest.raises(UserError, match="set.partial holds a, b, c and is needed .*; move it away"),
        building.building(tmp_path / "set", WORK, keep=True),
    ):
        raise AssertionError("not reached")
    assert len(list(partial.iterdir())) == 5  # and the lock


def test_a_description_that_was_cut_short_is_the_beginning_of_nothing(tmp_path):
    partial = tmp_path / "set.partial"
    partial.mkdir()
    (partial / "work.json").write_text('{"kind"')
    with building.building(tmp_path / "set", WORK, keep=True) as folder:
        made = json.loads((folder / "work.json").read_text())
    assert made["kind"] == "test" and made["numpy version"]


@pytest.mark.parametrize("there", ["file", "full"])
def test_what_another_process_made_meanwhile_stays(tmp_path, there):
    out = tmp_path / "set"
    with (
        pytest.raises(UserError, match="was made by another process meanwhile"),
        building.building(out, WORK, keep=True) as folder,
    ):
        _begin(folder)
        if there == "full":
            out.mkdir()
            (out / "theirs").touch()
        else:
            out.touch()
    assert out.is_file() or (out / "theirs").exists()
    assert (tmp_path / "set.partial" / "x").exists()


def test_an_empty_folder_is_a_place(tmp_path):
    (tmp_path / "set").mkdir()
    with building.building(tmp_path / "set", WORK) as folder:
        (folder / "x").touch()
    assert (tmp_path / "set" / "x").exists()


def test_two_at_once(tmp_path):
    out = tmp_path / "set"
    with (
        building.building(out, WORK) as folder,
        pytest.raises(UserError, match="another process is writing .*set.partial; wait for it"),
        building.building(out, WORK),
    ):
        raise AssertionError("not reached")
    assert out.is_dir() and not folder.exists()


def test_the_root_of_a_disk_is_no_dataset():
    with (
        pytest.raises(UserError, match="/ is the root of a disk; name a folder on it, such as"),
        building.building("/", WORK),
    ):
        raise AssertionError("not reached")


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk of .*set is full; free some space, and the same command goes on"),
        (errno.EROFS, "cannot write .*set.partial/x: .*; name a writable place for the dataset"),
    ],
)
def test_what_the_disk_refuses(tmp_path, number, message):
    with (
        pytest.raises(UserError, match=message),
        building.building(tmp_path / "set", WORK) as folder,
    ):
        raise OSError(number, os.strerror(number), str(folder / "x"))


def test_other_errors_of_the_system_are_not_ours(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="video.mp4"),
        building.building(tmp_path / "set", WORK),
    ):
        raise FileNotFoundError(errno.ENOENT, "no such file", "video.mp4")


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, ""), True),
        (OSError(errno.EDQUOT, ""), True),
        (OSError(errno.EIO, ""), False),
        (OSError("no space left"), False),
        (ValueError(errno.ENOSPC), False),
    ],
)
def test_a_full_disk_is_known_by_its_number(error, full):
    assert building.disk_is_full(error) == full
