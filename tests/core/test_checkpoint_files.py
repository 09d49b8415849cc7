"""Every kind of damage to the newest step: it is passed over, with a warning, by all that read."""

import json
import shutil
import warnings

import jax
import numpy as np
import pytest

from jaxgesture.core import checkpoint_files
from jaxgesture.core.checkpoint import CheckpointConfig, Checkpoints, restore_networks
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.state import Network, TrainState

# Arrays of more than 1 kB have files of their own; the small one is inside of an index.
WEIGHTS = np.random.default_rng(0).standard_normal((100, 100)).astype("f4")


def make_state(step):
    params = {"large": jax.numpy.asarray(WEIGHTS + step), "small": jax.numpy.full(3, float(step))}
    return TrainState(jax.numpy.int32(step), {"one": Network(params, {}, {})})


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    with Checkpoints(folder, CheckpointConfig(every_steps=1)) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, make_state(step), {"batch": step}, {"stage": "toy"})
    return folder


@pytest.fixture
def run(good, tmp_path):
    shutil.copytree(good, tmp_path / "run")
    return tmp_path / "run"


def flip(path, place=0.5):
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 4
    path.write_bytes(bytes(data))


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def largest(folder):
    return max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)


def stand_in(folder):
    remove(folder)
    folder.write_text("no folder")


DAMAGES = {
    "a byte of an array": lambda folder: flip(largest(folder)),
    "an array's file is cut": lambda folder: cut(largest(folder)),
    "an array's file is empty": lambda folder: empty(largest(folder)),
    "an array's file is missing": lambda folder: remove(largest(folder)),
    "a byte of the index": lambda folder: flip(folder / "state" / "manifest.ocdbt"),
    "the index is missing": lambda folder: remove(folder / "state" / "manifest.ocdbt"),
    "a byte of the shapes": lambda folder: flip(folder / "state" / "_METADATA"),
    "the shapes are missing": lambda folder: remove(folder / "state" / "_METADATA"),
    "a digit of the position": lambda folder: flip(folder / "data" / "metadata", 0.9),
    "a byte of the meta": lambda folder: flip(folder / "meta" / "metadata", 0.7),
    "the meta is missing": lambda folder: remove(folder / "meta"),
    "the state is missing": lambda folder: remove(folder / "state"),
    "the digests are cut": lambda folder: cut(folder / "digests.json"),
    "a digit of the digests": lambda folder: (folder / "digests.json").write_text(
        (folder / "digests.json").read_text().replace("1", "2")
    ),
    "nothing is left": lambda folder: [remove(entry) for entry in list(folder.iterdir())],
    "a file stands for the folder": stand_in,
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_newest_step_is_passed_over(run, kind, capfd):
    DAMAGES[kind](run / "checkpoints" / "2")
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), make_state(0)
    )
    with pytest.warns(DataWarning, match=r"checkpoints/2 cannot be read \(.+\); step 1 is used"):
        networks, about = restore_networks(run)
    assert about["step"] == 1
    np.testing.assert_array_equal(networks["one"].params["large"], WEIGHTS + 1)
    with Checkpoints(run, CheckpointConfig(every_steps=1)) as checkpoints:
        assert checkpoints.meta() == {"stage": "toy"}
        with pytest.warns(DataWarning, match=r"checkpoints/2 cannot be read"):
            state, data, _ = checkpoints.restore(target)
        assert (int(state.step), data) == (1, {"batch": 1})
        assert checkpoints.save(2, make_state(2), {"batch": 2}, {"stage": "toy"})
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert names == ["1", "2", "2.damaged"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        assert restore_networks(run)[1]["step"] == 2
    assert "Traceback" not in capfd.readouterr().err


def test_marks_around_a_whole_step_do_not_matter(run):
    for name in ("commit_success.txt", "_CHECKPOINT_METADATA"):
        remove(run / "checkpoints" / "2" / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        assert restore_networks(run)[1]["step"] == 2


def test_a_step_of_an_older_version_has_no_digests(run):
    remove(run / "checkpoints" / "2" / "digests.json")
    assert restore_networks(run)[1]["step"] == 2
    remove(largest(run / "checkpoints" / "2"))
    with pytest.warns(DataWarning, match="step 1 is used"):
        assert restore_networks(run)[1]["step"] == 1


def test_digests_are_of_every_file_of_the_items(run):
    folder = run / "checkpoints" / "2"
    named = set(json.loads((folder / "digests.json").read_text()))
    items = {f.relative_to(folder).as_posix() for f in folder.rglob("*/*") if f.is_file()}
    assert named == items and any(name.startswith("state/ocdbt.process_0/d/") for name in named)


def test_a_step_that_is_asked_for_is_not_replaced(run):
    flip(largest(run / "checkpoints" / "2"))
    with pytest.raises(UserError, match="can be read .*is not what was written"):
        restore_networks(run, step=2)
    with pytest.raises(UserError, match="can be read .*is not what was written"):
        restore_networks(f"{run}@2")
    assert restore_networks(f"{run}@1")[1]["step"] == 1
    with pytest.raises(UserError, match="no checkpoint of step 7 .* there are 1, 2"):
        restore_networks(f"{run}@7")


def test_a_folder_may_be_called_like_a_step(run):
    odd = run.parent / "run@1"
    shutil.copytree(run, odd)
    assert checkpoint_files.split(odd) == (str(odd), None)
    assert restore_networks(odd)[1]["step"] == 2
    assert checkpoint_files.split(f"{odd}@1") == (str(odd), 1)
    assert checkpoint_files.split("runs/a@best") == ("runs/a", "best")
    assert checkpoint_files.split("runs/a@worst") == ("runs/a@worst", None)
