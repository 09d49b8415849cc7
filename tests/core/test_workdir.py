"""Where a run writes, and in which words it says that it cannot."""

import errno

import jax
import pytest
from etils import epath

from jaxgesture.core import workdir
from jaxgesture.core.errors import UserError


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (7, "7 B"), (999, "999 B"), (1000, "1 kB"), (40_000, "40 kB"),
        (999_499, "999 kB"), (999_600, "1 MB"), (150e6, "150 MB"), (999.7e6, "1.0 GB"),
        (1.5e9, "1.5 GB"), (12_345.6e9, "12,345.6 GB"),
    ],
)  # fmt: skip
def test_bytes_for_people(size, text):
    assert workdir.amount(size) == text


def test_bytes_for_people_are_never_written_with_powers():
    for power in range(13):
        for digits in (1, 9.949, 9.951, 99.49, 99.51, 999.4, 999.51, 999.99):
            assert "e" not in workdir.amount(digits * 10**power)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "No space left on device"),
        (OSError("odd"), "OSError: odd"),
        (ValueError("first line\nsecond"), "ValueError: first line"),
        (KeyError(), "KeyError: "),
        (
            ValueError("UNKNOWN: Error writing x: Failed writing: f: File too large [code='2']\n1"),
            "File too large",
        ),
        (ValueError("RESOURCE_EXHAUSTED: quota"), "quota"),
    ],
)
def test_reasons_in_a_few_words(error, text):
    assert workdir.reason(error) == text


def test_reasons_are_short_however_long_the_error():
    for error in (ValueError("x" * 9000), ValueError("DATA_LOSS: " + "y" * 9000)):
        assert len(workdir.reason(error)) < 150


@pytest.mark.parametrize(
    ("error", "storage"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (PermissionError(1, "Operation not permitted"), True),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), True),
        (ValueError("UNAVAILABLE: try again"), True),
        (ValueError("NOT_FOUND: the file"), True),
        # A barrier at which nobody meets, devices, and mistakes of the program.
        (TimeoutError("nobody came"), False),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"), False),
        (ValueError("an array of another shape"), False),
        (ValueError("so UNAVAILABLE: is a word within"), False),
        (TypeError(), False),
    ],
)
def test_what_the_storage_is_to_blame_for(error, storage):
    assert workdir.is_storage(error) == storage


@pytest.mark.parametrize(
    ("place", "url"),
    [("gs://bucket/run", True), ("s3://x", True), ("runs/a", False), ("/a/gs:/b", False)],
)
def test_urls(place, url):
    assert workdir.is_url(place) == url


def test_folders_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert workdir.place("runs/../a") == epath.Path(tmp_path / "a")
    assert workdir.place("~/run") == epath.Path(tmp_path / "home/run")


def test_a_file_is_there_as_a_whole_or_as_it_was(tmp_path, monkeypatch):
    path = epath.Path(tmp_path / "metrics.jsonl")
    workdir.write_whole(path, "one\n")
    workdir.write_whole(path, "two\n")
    assert path.read_text() == "two\n"
    with monkeypatch.context() as patch:
        patch.setattr(type(path), "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full"):
            workdir.write_whole(path, "three\n")
    assert path.read_text() == "two\n" and list(tmp_path.iterdir()) == [tmp_path / path.name]


def test_a_probe_leaves_nothing_behind(tmp_path):
    workdir.check_writable(epath.Path(tmp_path / "new" / "folder"))
    assert list(tmp_path.rglob("*")) == [tmp_path / "new", tmp_path / "new/folder"]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write in .*file/x \(.*\); make room or get the"):
        workdir.check_writable(epath.Path(tmp_path / "file" / "x"))


def test_removing_what_is_not_there_is_no_error(tmp_path):
    (tmp_path / "folder/in").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name in ("folder", "file", "nothing", "folder"):
        workdir.remove(epath.Path(tmp_path / name))
    assert not list(tmp_path.iterdir())


def test_free_space_is_that_of_the_disk(tmp_path, monkeypatch):
    used = type("Usage", (), {"free": 12345})
    monkeypatch.setattr(workdir.shutil, "disk_usage", lambda folder: used)
    assert workdir.free_bytes(epath.Path(tmp_path)) == 12345
    assert workdir.free_bytes(epath.Path("gs://bucket/run")) is None


def test_two_runs_in_one_folder_are_refused(tmp_path):
    folder = epath.Path(tmp_path / "run")
    with workdir.alone(folder):
        with pytest.raises(UserError, match="another run is at work in .*run; wait for its end"):
            with workdir.alone(folder):
                pytest.fail("it came in")
        with workdir.alone(epath.Path(tmp_path / "other")):
            pass
    with workdir.alone(folder):  # it has ended
        pass
    assert [file.name for file in folder.iterdir()] == [".lock"]


def test_what_cannot_be_locked_is_left_to_others(tmp_path):
    assert workdir.lock(tmp_path / "missing") is None
    (tmp_path / "file").write_text("mine")
    with workdir.alone(epath.Path(tmp_path / "file" / "run")):
        pass
