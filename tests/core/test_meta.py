"""What a checkpoint says of its run, and which other run may go on from it."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from jaxgesture.core import meta
from jaxgesture.core.errors import UserError

CONFIG = {"model": {"width": 8}, "train": {"steps": 10}}
STORED = {"stage": "motion", "config": CONFIG, "dataset_sha256": "a", "frozen_sha256": "f"}
GIVEN = {key: value for key, value in STORED.items() if key != "stage"}


def check(stored=STORED, given=GIVEN, **options):
    free = options.pop("free", ())
    meta.check(
        stored, options.pop("stage", "motion"), given, pathlib.Path("runs/x"), free, **options
    )


def test_the_same_run_goes_on():
    check()
    check(given={**GIVEN, "config": {**CONFIG, "train": {"steps": 20}}}, free=["train.steps"])
    # What is new since the workdir was begun, at its default.
    wider = {**GIVEN, "config": {**CONFIG, "model": {"width": 8, "deep": False}}}
    check(given=wider, defaults={"model": {"width": 4, "deep": False}})
    # Workdirs that are older than the hashes of data.
    check({key: STORED[key] for key in ("stage", "config", "frozen_sha256")})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dataset_sha256": "b"}, r"trained on other data \(dataset_sha256 differs\); point data"),
        ({"config": {}}, "model.width was 8, now '.absent.'; train.steps was 10"),
        ({"config": {**CONFIG, "model": {"width": 9}}}, "model.width was 8, now 9; set them back"),
        ({"frozen_sha256": "g"}, "other weights of the networks in its loss; give the same files"),
    ],
)
def test_another_run_is_told_what_differs(given, message):
    with pytest.raises(UserError, match=f"runs/x was .*{message}.* use another --workdir"):
        check(given={**GIVEN, **given})


def test_data_of_which_nothing_is_known_are_other_data():
    given = {key: value for key, value in GIVEN.items() if key != "dataset_sha256"}
    with pytest.raises(UserError, match="dataset_sha256 differs"):
        check(given=given)


def test_the_stage_is_named_before_all_other_differences():
    with pytest.raises(UserError, match="is the workdir of stage 'motion', not 'animation'"):
        check(given={"config": {}}, stage="animation")


def test_many_differences_are_counted():
    other = {"model": {f"key{k:02}": k for k in range(20)}, "train": {"steps": 10}}
    with pytest.raises(UserError) as caught:
        check(given={**GIVEN, "config": other})
    told = str(caught.value)
    assert (
        told.count(" was ") == 1 + meta.SHOWN and "key04 was '(absent)', now 4; model.key05" in told
    )
    assert " and 15 more; set them back" in told and "\n" not in told


def test_a_model_of_the_other_stage():
    meta.check_stage(pathlib.Path("a"), "motion", "motion")
    for found in ("animation", None):
        with pytest.raises(UserError, match=f"a holds a model of {found!r}; give one of 'motion'"):
            meta.check_stage(pathlib.Path("a"), found, "motion")


def test_what_is_stored():
    made = meta.make("motion", {"config": CONFIG, "stage": "wrong", "versions": "wrong"})
    assert made["stage"] == "motion" and made["config"] == CONFIG
    assert made["versions"]["python"] == sys.version.split()[0]
    assert set(meta.PACKAGES) < set(made["versions"])


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(meta, "PACKAGES", ("numpy", "no-such-package-anywhere"))
    found = meta.versions()
    assert found["no-such-package-anywhere"] == "not installed" and found["numpy"][0].isdigit()


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A repository with one commit; gives a function that runs git in it."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "clone"
    (folder / "package").mkdir(parents=True)
    (folder / "package" / "a.py").write_text("1\n")

    def git(*arguments):
        who = ("-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(folder), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    return folder, git


def test_the_commit_of_a_clone_and_whether_files_differ(clone):
    folder, git = clone
    head = git("rev-parse", "HEAD")
    assert meta.commit(folder) == head[:12]
    (folder / "new").touch()
    assert meta.commit(folder) == f"{head[:12]} dirty"
    git("add", "new")
    git("commit", "-qm", "two")
    assert meta.commit(folder) == git("rev-parse", "HEAD")[:12] != head[:12]


def test_somebody_elses_repository_says_nothing(clone, tmp_path):
    folder, _ = clone
    assert meta.commit(folder / "package") is None  # installed somewhere inside of it
    assert meta.commit(tmp_path / "none") is None


@pytest.mark.parametrize(
    "error", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 30)], ids=["none", "slow"]
)
def test_a_machine_without_a_git_that_answers(monkeypatch, tmp_path, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(meta.subprocess, "run", fail)
    assert meta.commit(tmp_path) is None


def test_a_meta_that_says_nothing():
    with pytest.raises(
        UserError, match="of runs/x does not say what it is of .* rename its folder"
    ):
        check(stored={})


@pytest.fixture
def second_of_two(monkeypatch):
    """Checks as process 1, while process 0 has another stage or meta."""

    def check(first, mine, stage="motion"):
        message = json.dumps({**first, "stage": stage})
        text = np.frombuffer(message.encode(), np.uint8)
        sent = iter([np.int32(text.size), text.astype(np.int32)])
        monkeypatch.setattr(jax, "process_count", lambda: 2)
        monkeypatch.setattr(jax, "process_index", lambda: 1)
        monkeypatch.setattr(multihost_utils, "broadcast_one_to_all", lambda mine: next(sent))
        gathered = lambda wrong: np.array([0, wrong])  # noqa: E731
        monkeypatch.setattr(multihost_utils, "process_allgather", gathered)
        meta.check_processes("motion", mine)

    return check


def test_processes_with_the_same_configuration(second_of_two):
    meta.check_processes("motion", GIVEN)  # alone
    elsewhere = {"directory": "/mnt/b", "workers": 2}, {"perceptual_weights": "/b/vgg19.pth"}
    here = {"directory": "/mnt/a", "workers": 0}, {"perceptual_weights": "/a/vgg19.pth"}
    first, mine = (
        {**GIVEN, "config": {**CONFIG, "data": data, "loss": loss}}
        for data, loss in (elsewhere, here)
    )
    second_of_two(first, mine)


@pytest.mark.parametrize(
    ("change", "stage", "message"),
    [
        ({"config": {**CONFIG, "model": {"width": 9}}}, "motion", "model.width is there 9, here 8"),
        ({"dataset_sha256": "b"}, "motion", "dataset_sha256 is there 'b', here 'a'"),
        ({}, "animation", "stage is there 'animation', here 'motion'"),
        ({"workdir": "b"}, "motion", "workdir is there 'b', here '.absent.'"),
    ],
)
def test_processes_with_other_configurations_are_refused(second_of_two, change, stage, message):
    with pytest.raises(UserError, match=f"{message}; start all with the same command"):
        second_of_two({**GIVEN, **change}, GIVEN, stage)


def test_the_first_process_names_the_others(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    monkeypatch.setattr(multihost_utils, "broadcast_one_to_all", lambda mine: mine)
    monkeypatch.setattr(multihost_utils, "process_allgather", lambda wrong: np.array([0, 1, 1]))
    with pytest.raises(UserError, match="of process 0: processes 1 and 2 of 3; its own line says"):
        meta.check_processes("motion", GIVEN)
