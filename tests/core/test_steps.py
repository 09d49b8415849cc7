"""The folders of steps and their digests, without Orbax: plain files stand for what it writes."""

import json
import warnings

import jax
import pytest
from etils import epath

from jaxgesture.core import checkpoint_files
from jaxgesture.core.errors import DataWarning, UserError


@pytest.fixture
def folder(tmp_path):
    made = epath.Path(tmp_path / "run" / "checkpoints")
    made.mkdir(parents=True)
    return made


def write(folder, step, **files):
    """A step with its digests; names of files have an item in front."""
    for name, text in {"state/a": "weights", "meta/metadata": "{}", **files}.items():
        path = folder / str(step) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    checkpoint_files.write_digests(folder / str(step))
    return folder / str(step)


def test_steps_are_the_folders_named_by_numbers_the_newest_first(folder):
    for name in ("9", "10", "100", "2.damaged", "3.orbax-checkpoint-tmp", "scores.json", "-4", "x"):
        (folder / name).mkdir()
    assert checkpoint_files.steps(folder) == [100, 10, 9]
    assert checkpoint_files.steps(folder / "none") == []


def test_a_whole_step_has_no_fault(folder):
    step = write(folder, 3, **{"state/d/large": "x" * 5000})
    assert checkpoint_files.fault(step) == ""
    digests = json.loads((step / checkpoint_files.DIGESTS).read_text())
    assert list(digests) == ["meta/metadata", "state/a", "state/d/large"]
    assert digests["state/d/large"][0] == 5000
    # Files that were not there, and those beside the items, are no fault.
    (step / "state/new").touch()
    (step / "commit_success.txt").touch()
    assert checkpoint_files.fault(step) == ""


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda step: (step / "state/a").unlink(), "state/a is missing"),
        (lambda step: (step / "state/a").write_text("weighted"), "state/a is not what was written"),
        (lambda step: (step / "state/a").write_text("weightz"), "state/a is not what was written"),
        (
            lambda step: (step / "digests.json").write_text("{"),
            "digests.json cannot be used, JSOND",
        ),
        (
            lambda step: (step / "digests.json").write_text("[]"),
            "digests.json cannot be used, Attr",
        ),
    ],
)
def test_the_first_fault_is_named(folder, damage, said):
    step = write(folder, 3)
    damage(step)
    assert checkpoint_files.fault(step).startswith(said)
    # What is wrong with another part does not matter to who reads this one.
    of_meta = checkpoint_files.fault(step, "meta/")
    assert of_meta.startswith(said) if "digests" in said else of_meta == ""


def test_a_step_that_is_a_file_and_one_without_digests(folder):
    (folder / "1").write_text("x")
    assert checkpoint_files.fault(folder / "1") == "it is not a folder"
    (write(folder, 2) / "digests.json").unlink()
    assert checkpoint_files.fault(folder / "2") == ""


def readable(*good):
    """Reads some steps; the others raise what Orbax might."""

    def read(step):
        if step not in good:
            raise ValueError(f"step {step} cannot be read\nlong trace")
        return f"state {step}"

    return read


def test_the_newest_that_can_be_read_is_taken(folder):
    for step in (1, 2, 3):
        write(folder, step)
    (folder / "3/state/a").write_text("damaged")
    with pytest.warns(DataWarning) as told:
        found = checkpoint_files.newest_readable(folder, None, readable(1, 3))
    assert found == ("state 1", [3, 2])
    texts = [str(warning.message) for warning in told]
    assert "checkpoints/3 cannot be read (state/a is not what was written); step 1" in texts[0]
    assert "checkpoints/2 cannot be read (ValueError: step 2 cannot be read); step 1" in texts[1]


def test_a_step_by_name_is_that_one_or_none(folder):
    for step in (1, 2):
        write(folder, step)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checkpoint_files.newest_readable(folder, 1, readable(1, 2)) == ("state 1", [])
    with pytest.raises(UserError, match=r"can be read \(newest: ValueError: step 1 cannot"):
        checkpoint_files.newest_readable(folder, 1, readable(2))
    with pytest.raises(UserError, match="no checkpoint of step 7 in .*run; there are 1, 2"):
        checkpoint_files.newest_readable(folder, 7, readable(1))
    with pytest.raises(UserError, match="none holds no trained model; train one there"):
        checkpoint_files.newest_readable(folder.parent.parent / "none/x", None, readable())


@pytest.mark.parametrize(
    "error",
    [UserError("another network"), MemoryError(), jax.errors.JaxRuntimeError("INTERNAL: device")],
)
def test_errors_that_no_older_step_would_mend_are_not_passed_over(folder, error):
    for step in (1, 2):
        write(folder, step)

    def read(step):
        raise error

    with pytest.raises(type(error)):
        checkpoint_files.newest_readable(folder, None, read)


def test_damaged_steps_are_set_aside_once_more(folder):
    write(folder, 2)
    (folder / "2.damaged/old").mkdir(parents=True)
    checkpoint_files.set_aside(folder, [2])
    assert [path.name for path in folder.iterdir()] == ["2.damaged"]
    assert (folder / "2.damaged/state/a").exists() and not (folder / "2.damaged/old").exists()


def test_only_what_failed_saves_left_is_removed(folder):
    for name in ("4.orbax-checkpoint-tmp", "4.orbax-checkpoint-tmp-123", "4", "4.damaged"):
        (folder / name / "in").mkdir(parents=True)
    checkpoint_files.remove_leftovers(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["4", "4.damaged"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("runs/a", ("runs/a", None)),
        ("runs/a@0", ("runs/a", 0)),
        ("runs/a@b@12", ("runs/a@b", 12)),
        ("runs/a@best", ("runs/a", "best")),
        ("@5", ("@5", None)),
        ("runs/a@-5", ("runs/a@-5", None)),
        ("runs/a@5x", ("runs/a@5x", None)),
        ("runs/a@", ("runs/a@", None)),
    ],
)
def test_a_step_behind_the_name_of_a_workdir(text, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checkpoint_files.split(text) == expected


@pytest.mark.parametrize("answer", [True, False])
def test_one_process_agrees_with_itself(answer):
    assert checkpoint_files.as_first_process(answer) is answer
    assert checkpoint_files.in_any_process(answer) is answer
