import collections
import sys

import ml_dtypes
import numpy as np
import pytest

from jaxgesture.core import weight_files
from jaxgesture.core.errors import UserError

ARRAYS = {
    "first.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "first.count": np.asarray(7, np.int64),
    "second": np.asarray([1.5, -2.5], np.float64),
    "third": np.zeros((0, 3), np.float32),
}


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert type(ours[name]) is np.ndarray
        assert ours[name].dtype == array.dtype and ours[name].shape == array.shape, name
        np.testing.assert_array_equal(ours[name], array)


@pytest.mark.parametrize("suffix", weight_files.SUFFIXES)
def test_what_is_written_is_read(tmp_path, suffix):
    pytest.importorskip({".npz": "numpy", ".safetensors": "safetensors"}.get(suffix, "torch"))
    path = tmp_path / "new" / f"model{suffix.upper()}"
    # Also from arrays that are no plain blocks of memory.
    turned = {name: np.array(array, order="F") for name, array in ARRAYS.items()}
    for array in turned.values():
        array.flags.writeable = False
    weight_files.write(path, turned)
    same(weight_files.read(path), ARRAYS)
    assert list(path.parent.iterdir()) == [path]


def test_a_file_for_torch_is_like_a_released_one(tmp_path):
    torch = pytest.importorskip("torch")
    weight_files.write(tmp_path / "model.pt", ARRAYS)
    found = torch.load(tmp_path / "model.pt", weights_only=True)
    assert set(found) == {"state_dict"}
    assert set(found["state_dict"]) == {f"module.{name}" for name in ARRAYS}
    assert found["state_dict"]["module.first.count"].shape == ()


def test_wrappings_and_kinds_of_arrays():
    import jax.numpy as jnp

    torch = pytest.importorskip("torch")
    plain = {"a": np.ones(2, np.float32), "b.c": np.zeros((), np.int64)}
    tensors = collections.OrderedDict(
        a=torch.ones(2, requires_grad=True), **{"b.c": torch.zeros((), dtype=torch.int64)}
    )
    for given in (
        plain,
        tensors,
        {"state_dict": tensors, "epoch": 3},
        {f"module.{name}": array for name, array in plain.items()},
        {"state_dict": {f"module.{name}": array for name, array in tensors.items()}},
        {"a": jnp.ones(2), "b.c": np.int64(0)},
    ):
        same(weight_files.plain(given, "here"), plain)
    # Not in front of every name: it belongs to the name.
    mixed = {"module.a": plain["a"], "b": plain["a"]}
    same(weight_files.plain(mixed, "here"), mixed)


def test_bfloat16_stays_what_it_is(tmp_path):
    torch = pytest.importorskip("torch")
    values = torch.tensor([[1.0, -2.5], [3.140625, 1e30]]).T
    torch.save({"a": values.to(torch.bfloat16)}, tmp_path / "a.pt")
    (array,) = weight_files.read(tmp_path / "a.pt").values()
    assert array.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(
        array.astype(np.float32), values.to(torch.bfloat16).float().numpy()
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "here holds nothing, not named weights; give the file"),
        ({"state_dict": {}}, "here holds nothing"),
        ([1, 2], "here holds list, not named weights"),
        ({"epoch": 3, "a": np.ones(1)}, "here holds more than weights: epoch; give the file"),
        ({f"k{i}": "x" for i in range(7)}, r"more than weights: k0, k1, k2, k3, k4 \.\.\.; give"),
        ({"model": {"a": np.ones(1)}}, "here holds more than weights: model;"),
    ],
)
def test_what_is_no_state_dict(given, message):
    with pytest.raises(UserError, match=message):
        weight_files.plain(given, "here")


def test_names_that_are_no_weight_files(tmp_path):
    with pytest.raises(UserError, match="no weight file .*none.npz; check the path"):
        weight_files.read(tmp_path / "none.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(UserError, match="no weight file .*folder.npz"):
        weight_files.read(tmp_path / "folder.npz")
    (tmp_path / "model.h5").touch()
    for act in (weight_files.read, lambda path: weight_files.write(path, ARRAYS)):
        with pytest.raises(
            UserError, match="model.h5: the name of a weight file must end in .pt, "
        ):
            act(tmp_path / "model.h5")
    assert (tmp_path / "model.h5").stat().st_size == 0


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".safetensors", ".pickle"])
def test_damaged_bytes_are_one_error(tmp_path, suffix):
    """Whatever a reader makes of garbage: files cut and with bytes changed."""
    torch = pytest.importorskip("torch")
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path / f"model{suffix}"
    if suffix == ".pickle":  # PyTorch's files before they were archives
        path = tmp_path / "model.pth"
        tensors = {"a": torch.arange(5.0), "b": torch.zeros(3, 2)}
        torch.save(tensors, path, _use_new_zipfile_serialization=False)
    else:
        weight_files.write(path, ARRAYS)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for trial in range(150):
        damaged = bytearray(whole[: rng.integers(len(whole))] if trial % 3 == 0 else whole)
        for _ in range(int(rng.integers(1, 30)) if damaged else 0):
            damaged[rng.integers(min(len(damaged), 2000))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            weight_files.read(path)
        except UserError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refused > 100


def test_archives_of_something_else(tmp_path):
    np.save(tmp_path / "array.npy", np.ones(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    with pytest.raises(UserError, match="array.npz is damaged or no archive of arrays"):
        weight_files.read(tmp_path / "array.npz")
    import zipfile

    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(UserError, match="text.npz holds more than weights: readme.txt"):
        weight_files.read(tmp_path / "text.npz")


def test_packages_that_are_not_installed(tmp_path, monkeypatch):
    (tmp_path / "model.pt").write_bytes(b"whatever")
    (tmp_path / "model.safetensors").write_bytes(b"whatever")
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(UserError, match="model.pt needs PyTorch: pip install torch"):
        weight_files.read(tmp_path / "model.pt")
    with pytest.raises(UserError, match="needs a package: pip install safetensors"):
        weight_files.read(tmp_path / "model.safetensors")
    for name in ("pt", "safetensors"):
        with pytest.raises(UserError, match=f"writing .*new.{name} needs a package: pip install"):
            weight_files.write(tmp_path / "folder" / f"new.{name}", ARRAYS)
    assert not (tmp_path / "folder").exists()
    weight_files.write(tmp_path / "new.npz", ARRAYS)
    same(weight_files.read(tmp_path / "new.npz"), ARRAYS)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    weight_files.write(path, ARRAYS)
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(
        UserError, match="cannot write .*model.npz: No space left on device; choose"
    ):
        weight_files.write(path, {"a": np.ones(1)})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write .*choose another place"):
        weight_files.write(tmp_path / "file" / "model.npz", ARRAYS)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_what_is_often_found_in_place_of_a_weight_file(tmp_path):
    torch = pytest.importorskip("torch")
    for name, content, said in (
        ("lfs.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("page.pth", b"<!DOCTYPE html><html></html>", "is a web page"),
        ("tensors.bin", (2).to_bytes(8, "little") + b"{}", "rename it to .safetensors"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=said):
            weight_files.read(tmp_path / name)
    script = torch.jit.script(torch.nn.Linear(2, 2))
    script.save(tmp_path / "script.pt")
    with pytest.raises(UserError, match="is a TorchScript archive"):
        weight_files.read(tmp_path / "script.pt")
    for name, tensor in (
        ("meta", torch.empty(2, device="meta")), ("sparse", torch.eye(2).to_sparse()),
    ):  # fmt: skip
        torch.save({"weight": tensor}, tmp_path / f"{name}.pt")
        with pytest.raises(UserError, match="weight is no plain array"):
            weight_files.read(tmp_path / f"{name}.pt")


def test_flipped_bytes_in_a_pytorch_file_are_noticed(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pt"
    torch.save({"weight": torch.zeros(4096)}, path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(UserError, match="a.pt is damaged"):
        weight_files.read(path)
