"""Stopped runs: the same call goes on, and the records are those of a run that was not stopped."""

import dataclasses
import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import building, frame_writer, record_writer, spools
from jaxgesture.data.clips import ClipData
from jaxgesture.data.datasets import FrameDataset, write_frames

SIZE = 16
LAST = 6  # number of the last job


@dataclasses.dataclass(frozen=True)
class Made:
    """A job of two clips of random pictures; `log` is a file that says who was asked for them.

    The last one waits as long as there is a file LOG.hold.
    """

    number: int
    log: pathlib.Path | None = None
    fault: str = ""

    @property
    def name(self) -> str:
        return f"{self.number}.mp4"

    def clips(self):
        if self.log is not None:
            with self.log.open("a") as stream:
                stream.write(f"{self.number}\n")
            while self.number == LAST and self.log.with_suffix(".hold").exists():
                time.sleep(0.01)
        rng = np.random.default_rng(self.number)
        for split, frames in (("train", 4 + self.number % 3), ("validation", 3)):
            images = rng.integers(0, 256, (frames, SIZE, SIZE, 3), np.uint8)
            audio = rng.normal(size=(frames, 35)).astype(np.float32)
            if self.fault == "crash" and split == "validation":
                os._exit(7)
            if self.fault == "network":
                raise OSError(errno.EIO, "Input/output error", f"share/{self.name}")
            if self.fault == "bug":
                raise ZeroDivisionError("in a decoder")
            if self.fault == "refuse" and split == "validation":
                raise UserError("it is broken")
            yield ClipData(f"{self.number}-{split}", split, images, audio, source=self.name)


def _write(out, jobs, **keywords) -> FrameDataset:
    settings = {"size": SIZE, "image_format": "png", "shard_bytes": 9000, "arguments": {"by": "me"}}
    return write_frames(out, jobs=jobs, **{**settings, **keywords})


def _jobs(log=None) -> list[Made]:
    return [Made(number, log) for number in range(LAST + 1)]


def _bytes(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.array_record-*"))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> FrameDataset:
    return _write(tmp_path_factory.mktemp("whole") / "set", _jobs())


def test_files_end_with_clips(whole):
    index = json.loads((whole.directory / "clips.json").read_text())
    assert len(index["shards"]["train"]) >= 3
    edges = np.cumsum([shard["records"] for shard in index["shards"]["train"]])
    ends = {clip.first + clip.frames for clip in whole.clips("train")}
    assert set(edges.tolist()) <= ends


def test_going_on_after_any_frame_gives_the_same_bytes(whole, tmp_path):
    total = sum(clip.frames for clip in whole.clips())
    for stop in range(1, total, 5):
        out, log = tmp_path / f"set{stop}", tmp_path / f"log{stop}"
        seen = 0

        def stopped(number, stop=stop):
            nonlocal seen
            seen += number
            if seen >= stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            _write(out, _jobs(log), progress=stopped)
        done = len(log.read_text().split()) - 1
        assert not out.exists()
        again = _write(out, _jobs(log))
        assert _bytes(again.directory) == _bytes(whole.directory)
        assert again.sha256 == whole.sha256
        # No job is done twice but the one that was stopped.
        assert len(log.read_text().split()) == len(_jobs()) + 1, done
        assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("moment", ["rename", "tfds"])
def test_going_on_after_a_stop_while_finishing(whole, tmp_path, monkeypatch, moment):
    calls = []

    def broken(*arguments, **keywords):
        calls.append(arguments)
        if moment == "tfds" or len(calls) > 1:
            raise KeyboardInterrupt
        return finish(*arguments, **keywords)

    finish = record_writer._SplitWriter.finish
    with monkeypatch.context() as patch:
        if moment == "tfds":
            patch.setattr(record_writer, "_write_tfds", broken)
        else:
            patch.setattr(record_writer._SplitWriter, "finish", broken)
        with pytest.raises(KeyboardInterrupt):
            _write(tmp_path / "set", _jobs())
    log = tmp_path / "log"
    again = _write(tmp_path / "set", _jobs(log))
    assert _bytes(again.directory) == _bytes(whole.directory) and again.sha256 == whole.sha256
    assert not log.exists()


def test_record_file_that_was_lost_is_made_again(whole, tmp_path):
    out = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        _write(out, [*_jobs()[:6], Stops()])
    partial = tmp_path / "set.partial"
    closed = sorted(partial.glob("train.*.writing"))
    assert len(closed) >= 2
    closed[0].unlink()
    again = _write(out, _jobs())
    assert _bytes(again.directory) == _bytes(whole.directory)


@dataclasses.dataclass(frozen=True)
class Stops:
    name: str = "stops"

    def clips(self):
        raise KeyboardInterrupt
        yield


def test_other_arguments_or_versions_are_told(whole, tmp_path, monkeypatch):
    out, log = tmp_path / "set", tmp_path / "log"
    with pytest.raises(KeyboardInterrupt):
        _write(out, [*_jobs()[:6], Stops()])
    with pytest.raises(
        UserError, match="set.partial holds the beginning of .* with other by; to go"
    ):
        _write(out, _jobs(), arguments={"by": "you"})
    real = building.versions()
    with monkeypatch.context() as patch:
        patch.setattr(building, "versions", lambda: {**real, "pillow": "0.1"})
        with pytest.raises(UserError, match="made with other pillow version; to go on"):
            _write(out, _jobs())
    assert _write(out, _jobs(log)).sha256 == whole.sha256
    assert log.read_text().split() == ["6"]


def test_what_is_nobodys_stays(tmp_path):
    partial = tmp_path / "set.partial"
    partial.mkdir()
    (partial / "thesis.doc").write_text("mine")
    with pytest.raises(UserError, match="set.partial holds thesis.doc and is needed"):
        _write(tmp_path / "set", _jobs())
    assert (partial / "thesis.doc").read_text() == "mine"


def test_links_and_empty_folders_as_the_place(whole, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk", target_is_directory=True)
    made = _write(tmp_path / "link", _jobs())
    assert _bytes(tmp_path / "disk") == _bytes(whole.directory) and made.sha256 == whole.sha256
    assert (tmp_path / "link").is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk", "link"]


def test_second_process_does_not_touch_what_the_first_has_made(tmp_path, monkeypatch):
    """It comes between the last look and the rename."""
    replace = os.replace
    caught = []

    def late(source, target):
        if str(source).endswith("set.partial"):
            with pytest.raises(UserError) as error:
                _write(tmp_path / "set", _jobs())
            caught.append(str(error.value))
        replace(source, target)

    monkeypatch.setattr(building.os, "replace", late)
    made = _write(tmp_path / "set", _jobs())
    assert "another process is writing" in caught[0] and len(made.clips()) == 14


def test_spool_that_was_cut_short_is_made_again(whole, tmp_path):
    out, log = tmp_path / "set", tmp_path / "log"
    with pytest.raises(KeyboardInterrupt):
        _write(out, [*_jobs()[:6], Stops()], shard_bytes=10**9)
    spool = tmp_path / "set.partial" / "jobs" / "000003.train.spool"
    spool.write_bytes(spool.read_bytes()[:-5])
    again = _write(out, _jobs(log))
    assert again.sha256 == whole.sha256 and _bytes(out) == _bytes(whole.directory)
    assert log.read_text().split() == ["3", "6"]


def test_what_may_pass_is_tried_again(whole, tmp_path):
    failed = {}
    faulty = [*_jobs()[:2], Made(2, fault="network"), *_jobs()[3:6], Stops()]
    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path / "set", faulty, on_error=failed.__setitem__)
    assert failed == {"2.mp4": "share/2.mp4 cannot be read: Input/output error"}
    assert _write(tmp_path / "set", _jobs()).sha256 == whole.sha256


def test_any_error_of_one_job_costs_one_job(tmp_path):
    failed = {}
    _write(tmp_path / "set", [Made(0), Made(1, fault="bug")], on_error=failed.__setitem__)
    assert failed["1.mp4"].startswith("it cannot be worked with (ZeroDivisionError: ")


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_give_the_same_bytes(whole, tmp_path, workers):
    frames = []
    made = _write(tmp_path / "set", _jobs(), workers=workers, progress=frames.append)
    assert _bytes(made.directory) == _bytes(whole.directory) and made.sha256 == whole.sha256
    assert sum(frames) == sum(clip.frames for clip in whole.clips())


def test_process_that_dies_costs_one_job(tmp_path):
    jobs = [Made(0), Made(1, fault="crash"), Made(2), Made(3, fault="refuse"), Made(4)]
    failed = {}
    made = _write(tmp_path / "set", jobs, workers=2, on_error=failed.__setitem__)
    assert set(failed) == {"1.mp4", "3.mp4"}
    assert "was killed" in failed["1.mp4"] and failed["3.mp4"] == "it is broken"
    names = [clip.id for clip in made.clips("train")]
    assert names == ["0-train", "2-train", "3-train", "4-train"]


SCRIPT = """
import pathlib, sys
sys.path.insert(0, {folder!r})
import test_interrupted
if __name__ == "__main__":
    jobs = test_interrupted._jobs(pathlib.Path({log!r}))
    test_interrupted._write({out!r}, jobs, workers={workers})
"""


@pytest.mark.parametrize(("first", "second"), [(0, 2), (2, 0)])
def test_kill_in_the_middle(whole, tmp_path, first, second):
    out, log = tmp_path / "set", tmp_path / "log"
    folder = os.fspath(pathlib.Path(__file__).parent)

    def begin(workers):
        values = {"folder": folder, "log": str(log), "out": str(out), "workers": workers}
        script = tmp_path / "make.py"
        script.write_text(SCRIPT.format(**values))
        return subprocess.Popen([sys.executable, str(script)])

    log.with_suffix(".hold").touch()
    process = begin(first)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "set.partial").glob("jobs/*.json"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    log.with_suffix(".hold").unlink()
    done = len(list((tmp_path / "set.partial").glob("jobs/*.json")))
    before = len(log.read_text().split())
    assert begin(second).wait(timeout=240) == 0
    assert _bytes(out) == _bytes(whole.directory)
    assert FrameDataset(out).sha256 == whole.sha256
    assert len(log.read_text().split()) - before <= 7 - done + first
    assert not list(tmp_path.glob("*.partial"))


def test_two_processes_do_not_write_one_dataset(tmp_path):
    arguments = frame_writer.frame_settings(SIZE, 25.0, 35, "png", 95)
    with (
        building.building(tmp_path / "set", arguments),
        pytest.raises(UserError, match="another process is writing .*set.partial; wait for it"),
    ):
        _write(tmp_path / "set", _jobs())


def test_full_disk_keeps_what_is_written(whole, tmp_path, monkeypatch):
    run = spools.Spooler.run

    def full(self, number, job, progress):
        if number == 4:
            raise OSError(errno.ENOSPC, "No space left on device", "000004.spool")
        return run(self, number, job, progress)

    log = tmp_path / "log"
    with monkeypatch.context() as patch:
        patch.setattr(spools.Spooler, "run", full)
        with pytest.raises(UserError, match="disk of .*set is full; free some space, and the same"):
            _write(tmp_path / "set", _jobs(log))
    again = _write(tmp_path / "set", _jobs(log))
    assert _bytes(again.directory) == _bytes(whole.directory)
    assert log.read_text().split() == list("0123456")


def test_card_tells_what_is_in_it(whole):
    card = json.loads((whole.directory / "dataset_card.json").read_text())
    assert card["sha256"] == whole.sha256 and card["arguments"]["by"] == "me"
    assert card["all"]["clips"] == 14 and card["splits"]["validation"]["frames"] == 21
    assert card["all"]["hours"] == pytest.approx(card["all"]["frames"] / 25 / 3600, abs=1e-4)
    assert card["sources"] == [f"{n}.mp4" for n in range(7)]
    assert {"jaxgesture", "pillow", "av"} <= set(card["written_with"])


def test_script_without_a_guard_is_told(tmp_path):
    folder = os.fspath(pathlib.Path(__file__).parent)
    script = tmp_path / "make.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {folder!r})\nimport test_interrupted as t\n"
        f"t._write({str(tmp_path / 'set')!r}, t._jobs(), workers=1)\n"
    )
    found = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert found.returncode and "must call this below `if __name__ ==" in found.stderr
