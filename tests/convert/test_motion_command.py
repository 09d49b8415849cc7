"""`jaxgesture convert motion`, there and back."""

import pytest
from cli import calling
from convert.checkpoints import BIAS, TINY, make_normaliser, same, tiny, write_checkpoint

from jaxgesture.convert import motion as released
from jaxgesture.core import weight_files
from jaxgesture.motion import model
from jaxgesture.motion.model import Motion, load_motion


@pytest.fixture
def state():
    return released.to_torch(tiny().variables)


@pytest.fixture
def normaliser(monkeypatch):
    return make_normaliser(monkeypatch)


@pytest.fixture
def convert(capsys, monkeypatch):
    """Runs the command; returns its status and what it printed on both streams."""
    monkeypatch.setitem(model.PRESETS, "tiny", TINY)

    def run(*arguments, preset="tiny"):
        status = calling.call("convert", "motion", *arguments, f"--preset={preset}")
        return (status, *capsys.readouterr())

    return run


def test_the_command_there_and_back(state, normaliser, convert, tmp_path):
    source, folder, file = (tmp_path / name for name in ("checkpoint.pt", "model", "again.pt"))
    write_checkpoint(source, state, normaliser)
    status, out, err = convert(f"--source={source}", f"--out={folder}")
    assert (status, err) == (0, "")
    assert out.startswith(f"{source}: {len(state)} tensors, ") and f"{folder}: written" in out
    same(released.to_torch(load_motion(folder).variables), state)
    status, out, err = convert(f"--source={folder}", f"--out={file}", "--to=torch")
    assert (status, err) == (0, "") and f"{file}: written" in out
    same(weight_files.read(file), state)
    # Once more, both ways: what stands there is the same, and of another model it is not.
    for arguments in ((f"--source={file}", f"--out={folder}"),
                      (f"--source={source}", f"--out={file}", "--to=torch")):  # fmt: skip
        assert "kept, it holds the same already" in convert(*arguments)[1]
    other = Motion(TINY, tiny().variables, animation_sha256="1" * 64)
    other.save(tmp_path / "other")
    status, _, err = convert(f"--source={tmp_path / 'other'}", f"--out={folder}")
    assert status == 1 and "exists and holds something else" in err
    # Sizes of a folder; and by default those of the published weights.
    arguments = (f"--source={file}", f"--out={tmp_path / 'third'}")
    assert convert(*arguments, preset=folder)[0] == 0
    assert calling.call("convert", "motion", *arguments[:1], f"--out={tmp_path / 'fourth'}") == 1
    assert not (tmp_path / "fourth").exists()


def test_the_command_writes_nothing_where_anything_is_wrong(state, convert, tmp_path):
    source = tmp_path / "m.npz"
    weight_files.write(source, {k: v for k, v in state.items() if k != BIAS})
    for out, to in (("folder", "jax"), ("new.npz", "torch")):
        status, text, err = convert(f"--source={source}", f"--out={tmp_path / out}", f"--to={to}")
        assert (status, text) == (1, "") and f"missing: 1: {BIAS}" in err
    assert [path.name for path in tmp_path.iterdir()] == ["m.npz"]
