"""Jobs and their spools: done once, whole or not at all, and what went wrong is told in words."""

import errno
import pickle
import warnings

import numpy as np
import pytest

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import spools
from jaxgesture.data.clips import ClipData
from jaxgesture.data.record_writer import group_digest
from jaxgesture.data.spools import GivenClip, Outcome, SpooledClip, Spooler

SETTINGS = {"size": 8, "audio_size": 35, "image_format": "png", "quality": 95, "fps": 25.0}


def _clip(name, split="train", frames=2, **changes):
    images = np.random.default_rng(len(name)).integers(0, 256, (frames, 8, 8, 3), np.uint8)
    return ClipData(name, split, images, source=f"{name}.mp4", **changes)


class Several:
    """A job of clips; those that are errors are raised, those that are texts warned of."""

    name = "job.mp4"

    def __init__(self, *clips):
        self._clips = clips

    def clips(self):
        for clip in self._clips:
            if isinstance(clip, Exception):
                raise clip
            if isinstance(clip, str):
                warnings.warn(clip, DataWarning, stacklevel=1)
            else:
                yield clip


def _failing(frames, error):
    """A clip that fails behind some frames."""

    def pictures():
        yield from np.zeros((frames, 8, 8, 3), np.uint8)
        raise error

    return ClipData("bad", "train", pictures(), source="bad.mp4")


@pytest.fixture
def spooler(tmp_path):
    return Spooler(tmp_path, SETTINGS)


def test_what_is_spooled_comes_back(spooler, tmp_path):
    boxes = np.full((3, 4, 4), np.nan, np.float32)
    boxes[2, 1] = (0.1, 0.1, 0.5, 0.5)
    clips = (
        _clip("a", start=1 / 3, speaker="s"),
        _clip("b", split="validation", frames=3, boxes=boxes),
        _clip("c", frames=1, audio=np.ones((1, 35), np.float32)),
    )
    counted = []
    outcome = spooler.run(7, Several(*clips), counted.append)
    assert outcome == spooler.outcome(7) and outcome.skipped == outcome.warnings == []
    assert counted == [1] * 6 and outcome.frames == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "000007.json", "000007.train.spool", "000007.validation.spool",
    ]  # fmt: skip
    assert [(c.id, c.speaker, c.start) for c in outcome.clips] == [
        ("a", "s", 0.333333), ("b", "", 0.0), ("c", "", 0.0),
    ]  # fmt: skip
    assert [c.has_boxes for c in outcome.clips] == [False, True, False]
    assert [c.has_audio for c in outcome.clips] == [False, False, True]
    for clip in outcome.clips:
        records = list(clip.records(spooler.spool(7, clip.split)))
        assert list(map(len, records)) == clip.lengths and group_digest(records) == clip.sha256


def test_boxes_behind_the_last_frame_do_not_count(spooler):
    boxes = np.full((3, 4, 4), np.nan, np.float32)
    boxes[2] = (0.1, 0.1, 0.5, 0.5)
    (clip,) = spooler.run(0, GivenClip(_clip("a", frames=2, boxes=boxes)), None).clips
    assert not clip.has_boxes


def test_a_clip_that_fails_takes_nothing_of_the_others_with_it(spooler):
    refused = _failing(2, UserError("it is broken"))
    outcome = spooler.run(0, Several(_clip("a"), refused, _clip("c", frames=3)), None)
    assert [clip.id for clip in outcome.clips] == ["a", "c"]
    assert outcome.skipped == [("bad.mp4", "it is broken")]
    for clip in outcome.clips:
        assert group_digest(clip.records(spooler.spool(0, "train"))) == clip.sha256
    assert spooler.spool(0, "train").stat().st_size == sum(sum(c.lengths) for c in outcome.clips)


@pytest.mark.parametrize(
    ("error", "reason", "done"),
    [
        (UserError("say this"), "say this", True),
        (OSError(errno.EIO, "lost", "far/x.mp4"), "far/x.mp4 cannot be read: lost", False),
        (
            ValueError("odd\n  shape"),
            "it cannot be worked with (ValueError: odd shape); convert it to MP4 first",
            False,
        ),
    ],
)
def test_reasons_and_what_is_worth_another_try(spooler, error, reason, done):
    outcome = spooler.run(0, Several(error), None)
    assert outcome.skipped == [("job.mp4", reason)]
    # Of what a refusal depends on nothing changes; a system's fault may pass.
    assert (spooler.outcome(0) is not None) == done
    assert not list(spooler._folder.glob("*.spool")) and outcome.frames == 0


@pytest.mark.parametrize("place", ["", "spool"])
def test_a_disk_that_is_full_is_no_fault_of_a_clip(spooler, tmp_path, place):
    full = OSError(errno.ENOSPC, "No space left on device")
    own = OSError(errno.EIO, "Input/output error", str(tmp_path / "000000.train.spool"))
    with pytest.raises(OSError, match="space" if not place else "Input"):
        spooler.run(0, Several(_failing(1, own if place else full)), None)
    assert spooler.outcome(0) is None


def test_warnings_are_kept_once(spooler):
    outcome = spooler.run(0, Several("ends early", _clip("a"), "ends early", "is quiet"), None)
    assert outcome.warnings == spooler.outcome(0).warnings == ["ends early", "is quiet"]


def test_what_is_heard_and_what_is_shown(monkeypatch):
    shown, texts = [], []
    monkeypatch.setattr(
        warnings, "showwarning", lambda message, *rest, **more: shown.append(message)
    )
    own = warnings.showwarning
    with spools.heard(texts):
        for _ in range(2):
            warnings.warn("same", DataWarning, stacklevel=1)
        warnings.warn("other", RuntimeWarning, stacklevel=1)
    assert texts == ["same", "same"] and [str(message) for message in shown] == ["other"]
    assert warnings.showwarning is own


def test_groups_are_those_before_the_first_job_to_do(spooler):
    for number, job in ((0, Several(_clip("a"), _clip("b", "validation"))), (1, Several()),
                        (3, Several(_clip("d")))):  # fmt: skip
        spooler.run(number, job, None)
    assert spooler.groups() == {"train": 1, "validation": 1}
    spooler.run(2, Several(_clip("c")), None)
    assert spooler.groups() == {"train": 3, "validation": 1}
    assert spooler.outcome(1) == Outcome([], [], [])


def test_names_of_any_language_are_kept(spooler):
    clip = _clip("Größe 話す 🙂")
    spooler.run(0, GivenClip(clip), None)
    assert spooler.outcome(0).clips[0].id == clip.id
    assert GivenClip(clip).name == clip.place


def test_a_spooler_travels_without_its_encoder(spooler):
    first = spooler.run(0, GivenClip(_clip("a")), None)
    copy = pickle.loads(pickle.dumps(spooler))
    assert copy._encode is None and copy.fps == 25.0
    assert copy.run(1, GivenClip(_clip("a")), None).clips == first.clips


def test_a_spool_that_was_cut_short(tmp_path):
    spool = tmp_path / "x.spool"
    spool.write_bytes(b"abcdefgh")
    clip = SpooledClip("a", "train", "", "", 0.0, False, False, 2, [3, 2], "")
    assert list(clip.records(spool)) == [b"cde", b"fg"]
    spool.write_bytes(b"abcdef")
    with pytest.raises(OSError, match="cut short"):
        list(clip.records(spool))
