"""`jaxgesture convert animation`: every way there and back, and what it refuses."""

import sys

import numpy as np
import pytest
import tolerances
from animation.training import write_clips
from animation.weights import TINY, numpy_variables, pictures
from cli import calling
from convert.faults import FAULTS, write_harmful

from jaxgesture.animation import model
from jaxgesture.animation.model import Animation, load_animation
from jaxgesture.animation.step import as_image
from jaxgesture.core import export, tree, weight_files
from jaxgesture.data.datasets import MotionDataset
from jaxgesture.perceptual import weights

COUNTED = {"extractor/norm1": 5}


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert ours[name].dtype == array.dtype and ours[name].shape == array.shape, name
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(model.PRESETS, "tiny", TINY)


@pytest.fixture(scope="module")
def animation():
    return Animation(TINY, numpy_variables(), COUNTED)


@pytest.fixture
def convert(capsys):
    """Runs the command; returns its status and what it printed on both streams."""

    def run(*arguments, preset="tiny"):
        status = calling.call("convert", "animation", *arguments, f"--preset={preset}")
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def refuses(convert):
    """Runs the command where it fails; returns the message."""

    def run(*arguments, **options):
        status, out, err = convert(*arguments, **options)
        assert (status, out) == (1, "") and len(err.splitlines()) == 1, err
        assert err.startswith("jaxgesture: error: ")
        return err.removeprefix("jaxgesture: error: ").strip()

    return run


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".safetensors"])
def test_there_and_back(animation, convert, tmp_path, suffix):
    pytest.importorskip({".npz": "numpy", ".safetensors": "safetensors"}.get(suffix, "torch"))
    animation.save(tmp_path / "first")
    state = animation.state_dict()
    file = tmp_path / "new" / f"model{suffix}"
    status, out, err = convert(f"--source={tmp_path / 'first'}", f"--out={file}", "--to=torch")
    assert (status, err) == (0, "")
    first, second = out.splitlines()
    assert first == (
        f"{tmp_path / 'first'}: {len(state)} tensors, 114.8 k parameters, sha256 {animation.sha256}"
    )
    assert second == f"{file}: written"
    same(weight_files.read(file), state)
    status, out, err = convert(f"--source={file}", f"--out={tmp_path / 'second'}")
    assert (status, err) == (0, "") and f"sha256 {animation.sha256}\n" in out
    loaded = load_animation(tmp_path / "second")
    assert loaded.config == TINY and loaded.sha256 == animation.sha256
    assert loaded.counters["extractor/norm1"] == 5
    same(loaded.state_dict(), state)
    image = pictures(1)[0]
    np.testing.assert_array_equal(loaded.extract_motion(image), animation.extract_motion(image))
    assert {path.name for path in tmp_path.iterdir()} == {"first", "second", "new"}
    assert {path.name for path in (tmp_path / "second").iterdir()} == {export.FILE, export.WEIGHTS}


def test_the_file_is_like_the_released_one(animation, convert, tmp_path):
    torch = pytest.importorskip("torch")
    animation.save(tmp_path / "first")
    convert(f"--source={tmp_path / 'first'}", f"--out={tmp_path / 'm.pt'}", "--to=torch")
    found = torch.load(tmp_path / "m.pt", weights_only=True)["state_dict"]
    assert set(found) == {f"module.{name}" for name in animation.state_dict()}
    counter = found["module.pose_base.norm1.num_batches_tracked"]
    assert counter.dtype == torch.int64 and counter.shape == () and counter == 5


def test_other_commands_take_what_it_wrote(animation, convert, tmp_path, capsys):
    frames = write_clips(tmp_path / "frames", frames=3)
    weight_files.write(tmp_path / "m.npz", animation.state_dict())
    convert(f"--source={tmp_path / 'm.npz'}", f"--out={tmp_path / 'model'}")
    status = calling.call(
        "extract", f"--animation={tmp_path / 'model'}", f"--data={frames.directory}",
        f"--out={tmp_path / 'motion'}", "--batch=4",
    )  # fmt: skip
    assert status == 0, capsys.readouterr().err
    motion = MotionDataset(tmp_path / "motion")
    assert motion.weights_sha256 == animation.sha256
    expected = animation.extract_motion(as_image(frames.frames("c")))
    np.testing.assert_allclose(motion.motion("c"), expected, atol=tolerances.STAGE1_BATCHING)


def test_sizes_of_another_folder(animation, convert, refuses, tmp_path):
    animation.save(tmp_path / "first")
    weight_files.write(tmp_path / "m.npz", animation.state_dict())
    arguments = (f"--source={tmp_path / 'm.npz'}", f"--out={tmp_path / 'second'}")
    assert "does not hold the weights of the base model" in refuses(*arguments, preset="paper")
    assert "no preset 'papr'" in refuses(*arguments, preset="papr")
    assert not (tmp_path / "second").exists()
    assert convert(*arguments, preset=tmp_path / "first")[0] == 0
    assert load_animation(tmp_path / "second").config == TINY


def test_what_stands_there_already(animation, convert, refuses, tmp_path):
    other = Animation(TINY, numpy_variables(seed=1))
    weight_files.write(tmp_path / "m.npz", animation.state_dict())
    weight_files.write(tmp_path / "other.npz", other.state_dict())
    for to, place in (("jax", "folder"), ("torch", "file.npz")):
        out = tmp_path / place
        arguments = (f"--source={tmp_path / 'm.npz'}", f"--out={out}", f"--to={to}")
        assert convert(*arguments)[1].endswith(f"{out}: written\n")
        files = {path: path.read_bytes() for path in (tmp_path / place, *tmp_path.glob("folder/*"))
                 if path.is_file()}  # fmt: skip
        times = {path: path.stat().st_mtime_ns for path in files}
        status, text, _ = convert(*arguments)
        assert status == 0 and text.endswith(f"{out}: kept, it holds the same already\n")
        message = refuses(f"--source={tmp_path / 'other.npz'}", *arguments[1:])
        assert message == (
            f"{out} exists and holds something else; choose another --out, or delete it"
        )
        assert {path: path.read_bytes() for path in files} == files
        assert {path: path.stat().st_mtime_ns for path in files} == times
    # The weights are the same, and the counters are not.
    counted = Animation(TINY, animation.variables, {"extractor/norm1": 6})
    weight_files.write(tmp_path / "counted.npz", counted.state_dict())
    assert "holds something else" in refuses(
        f"--source={tmp_path / 'counted.npz'}", f"--out={tmp_path / 'folder'}"
    )


def test_what_is_no_model_is_not_overwritten(animation, convert, refuses, tmp_path):
    source = f"--source={tmp_path / 'm.npz'}"
    weight_files.write(tmp_path / "m.npz", animation.state_dict())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    (tmp_path / "damaged.npz").write_bytes(b"no archive")
    (tmp_path / "text").write_text("dear")
    for out, to in (("mine", "jax"), ("text", "jax"), ("damaged.npz", "torch")):
        message = refuses(source, f"--out={tmp_path / out}", f"--to={to}")
        assert f"{out} exists and holds something else" in message
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    assert (tmp_path / "damaged.npz").read_bytes() == b"no archive"
    assert (tmp_path / "text").read_text() == "dear"
    (tmp_path / "empty").mkdir()
    assert convert(source, f"--out={tmp_path / 'empty'}")[0] == 0
    assert load_animation(tmp_path / "empty").sha256 == animation.sha256


@pytest.mark.parametrize("fault", [*FAULTS, "truncated", "pickle", "archive", "objects"])
def test_one_thing_wrong_writes_nothing(animation, refuses, tmp_path, fault):
    pytest.importorskip("torch")
    mark = tmp_path / "ran"
    source = tmp_path / {"pickle": "m.pth", "objects": "m.npz"}.get(fault, "m.pt")
    if fault in FAULTS:
        change, said = FAULTS[fault]
        weight_files.write(source, change(animation.state_dict()))
    elif fault == "truncated":
        weight_files.write(source, animation.state_dict())
        source.write_bytes(source.read_bytes()[:-1000])
        said = "m.pt is damaged or no PyTorch file ("
    else:
        write_harmful(source, mark)
        said = f"{source} is damaged"
    for out, to in (("folder", "jax"), ("new.npz", "torch")):
        message = refuses(f"--source={source}", f"--out={tmp_path / out}", f"--to={to}")
        assert said in message and str(source) in message
        assert [path.name for path in tmp_path.iterdir()] == [source.name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--source is missing: name the weights"),
        (["--source=x"], "--out is missing"),
        (
            ["--source=x", "--out=y", "--to=pytorch"],
            "--to=pytorch is not known; did you mean 'torch'",
        ),
        (
            ["--source=x", "--out=y.pt"],
            "y.pt names a weight file; name a folder, or add --to=torch",
        ),
        (["--source=x", "--out=y", "--to=torch"], "y: the name of a weight file must end in .pt"),
        (["--source=x", "--out=y.npz", "--to=torch"], "no folder x"),
        (["--source=x.pt", "--out=y"], "no weight file x.pt; check the path"),
    ],
)
def test_arguments_that_do_not_fit(refuses, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in refuses(*arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_where_a_file_should_be(refuses, tmp_path):
    (tmp_path / "y.npz").mkdir()
    message = refuses("--source=x", f"--out={tmp_path / 'y.npz'}", "--to=torch")
    assert "y.npz is a folder; name a file in it" in message


def test_a_network_that_judges_becomes_readable_without_torch(tmp_path, capsys, monkeypatch):
    torch = pytest.importorskip("torch")
    entries = weights.NETWORKS["alexnet"].table.entries
    rng = np.random.default_rng(0)
    used = {entry.name: rng.standard_normal(entry.shape).astype(np.float32) for entry in entries}
    state = used | {"classifier.1.weight": np.ones((2, 3), np.float32)}
    source, out = tmp_path / "alexnet.pth", tmp_path / "alexnet.npz"
    torch.save({name: torch.from_numpy(array) for name, array in state.items()}, source)
    there = weights.load("alexnet", source).params
    arguments = ("convert", "alexnet", f"--source={source}", f"--out={out}")
    assert calling.call(*arguments) == 0
    assert "10 of 11 tensors are used" in capsys.readouterr().out
    assert calling.call(*arguments) == 0
    assert "kept" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    same(tree.flatten(weights.load("alexnet", out).params), tree.flatten(there))
    assert calling.call("convert", "vgg16", f"--source={out}", f"--out={tmp_path / 'b.npz'}") == 1
    assert "does not hold the weights" in capsys.readouterr().err
    assert not (tmp_path / "b.npz").exists()
