import hashlib
import json
import pickle
import sys

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.perceptual import weights


def alexnet_state(seed=0):
    """All that torchvision's file has, the fully connected layers cut down to a few numbers."""
    rng = np.random.default_rng(seed)
    shapes = {entry.name: entry.shape for entry in weights.NETWORKS["alexnet"].table.entries}
    for index in (1, 4, 6):
        shapes |= {f"classifier.{index}.weight": (2, 3), f"classifier.{index}.bias": (2,)}
    return {name: rng.standard_normal(s).astype(np.float32) for name, s in shapes.items()}


@pytest.fixture(scope="module")
def i3d_state():
    """All that the published file has."""
    rng = np.random.default_rng(0)
    state = {}
    for entry in weights.NETWORKS["i3d"].table.entries:
        state[entry.name] = rng.standard_normal(entry.shape, np.float32)
        if entry.name.endswith("running_var"):
            steps = entry.name.replace("running_var", "num_batches_tracked")
            state[steps] = np.array(0, np.int64)
    return state


def save_torch(path, state):
    torch = pytest.importorskip("torch")
    torch.save({name: torch.from_numpy(array) for name, array in state.items()}, path)
    return path


def hashed(path):
    """The file under the name that PyTorch's hub would give it."""
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return path.rename(path.with_name(f"{path.stem}-{digits}{path.suffix}"))


def test_published_file(tmp_path):
    state = alexnet_state()
    path = hashed(save_torch(tmp_path / "alexnet-owt.pth", state))
    loaded = weights.load("alexnet", path)
    assert loaded.name == "alexnet" and loaded.source == str(path)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert set(loaded.params) == {f"features_{i}" for i in (0, 3, 6, 8, 10)}
    first = loaded.params["features_0"]
    assert first["kernel"].shape == (11, 11, 3, 64) and first["kernel"].dtype == np.float32
    assert first["kernel"][4, 7, 2, 50] == state["features.0.weight"][50, 2, 4, 7]
    np.testing.assert_array_equal(first["bias"], state["features.0.bias"])


def test_archive_without_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    state = alexnet_state()
    np.savez(tmp_path / "alexnet.npz", **state)
    loaded = weights.load("alexnet", tmp_path / "alexnet.npz")
    np.testing.assert_array_equal(
        loaded.params["features_10"]["kernel"], state["features.10.weight"].transpose(2, 3, 1, 0)
    )
    (tmp_path / "alexnet.pth").write_bytes(b"whatever")
    with pytest.raises(UserError, match="alexnet.pth needs PyTorch: pip install torch"):
        weights.load("alexnet", tmp_path / "alexnet.pth")


def test_heads(tmp_path):
    rng = np.random.default_rng(0)
    widths = (64, 192, 384, 256, 256)
    state = {
        f"lin{k}.model.1.weight": rng.uniform(0, 1, (1, c, 1, 1)).astype(np.float32)
        for k, c in enumerate(widths)
    }
    loaded = weights.load("lpips_alex", save_torch(tmp_path / "alex.pth", state))
    for k, c in enumerate(widths):
        kernel = loaded.params[f"lin_{k}"]["kernel"]
        assert kernel.shape == (1, 1, c, 1)
        np.testing.assert_array_equal(
            kernel[0, 0, :, 0], state[f"lin{k}.model.1.weight"][0, :, 0, 0]
        )
    with pytest.raises(UserError, match=r"not hold the weights of lpips_vgg .*lin1.* not \(1, 128"):
        weights.load("lpips_vgg", tmp_path / "alex.pth")
    # Only files of whole networks have more than is used.
    state["classifier.weight"] = np.zeros(2, np.float32)
    with pytest.raises(UserError, match=r"not known: 1: classifier.weight\); give alex.pth from"):
        weights.from_state_dict("lpips_alex", state, "here")


def test_network_of_videos(tmp_path, i3d_state):
    assert len(i3d_state) == 344
    path = save_torch(tmp_path / "i3d_pretrained_400.pt", i3d_state)
    loaded = weights.load("i3d", path)
    assert loaded.name == "i3d" and loaded.source == str(path)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    first, inner = loaded.params["Conv3d_1a_7x7"], loaded.params["Mixed_4c"]["b1b"]
    kernel = first["conv3d"]["kernel"]
    assert kernel.shape == (7, 7, 7, 3, 64) and kernel.dtype == np.float32
    assert kernel[1, 2, 3, 0, 50] == i3d_state["Conv3d_1a_7x7.conv3d.weight"][50, 0, 1, 2, 3]
    names = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    assert set(inner["bn"]) == set(names)
    for ours, theirs in names.items():
        np.testing.assert_array_equal(inner["bn"][ours], i3d_state[f"Mixed_4c.b1b.bn.{theirs}"])
    np.testing.assert_array_equal(
        loaded.params["logits"]["conv3d"]["bias"], i3d_state["logits.conv3d.bias"]
    )


def test_network_of_videos_does_not_fit(tmp_path, i3d_state):
    state = dict(i3d_state)
    state["Mixed_3b.b0.conv3d.weight"] = state["Mixed_3b.b0.conv3d.weight"][..., 0]
    state["logits.conv3d.bias"] = state["logits.conv3d.bias"][:399]
    state["Mixed_5d.b0.bn.bias"] = np.zeros(3, np.float32)
    del state["Mixed_5c.b3b.bn.running_mean"]
    with pytest.raises(UserError) as caught:
        weights.from_state_dict("i3d", state, "somewhere")
    message = str(caught.value)
    for part in (
        "missing: 1: Mixed_5c.b3b.bn.running_mean;",
        "not known: 1: Mixed_5d.b0.bn.bias;",
        "of another shape: 2: Mixed_3b.b0.conv3d.weight is (64, 192, 1, 1), not (64, 192, 1, 1, 1)",
        "logits.conv3d.bias is (399,), not (400,)",
        "give i3d_pretrained_400.pt from the FVD evaluation of MM-Diffusion",
    ):
        assert part in message
    path = save_torch(tmp_path / "i3d_pretrained_400.pt", alexnet_state())
    with pytest.raises(
        UserError, match=r"not hold the weights of i3d \(missing: 287: .*features.0"
    ):
        weights.load("i3d", path)
    torch = pytest.importorskip("torch")
    torch.save({"logits.conv3d.bias": torch.zeros(400), "epoch": 3}, path)
    with pytest.raises(UserError, match="holds more than weights: epoch"):
        weights.load("i3d", path)


def test_every_misfit_is_in_one_message(tmp_path):
    state = alexnet_state()
    state["features.0.weight"] = state["features.0.weight"][:, :2]
    state["features.3.bias"] = state["features.3.bias"].astype(np.float64)
    state["features.6.bias"][7] = np.nan
    state["features.12.weight"] = np.zeros(3, np.float32)
    del state["features.8.weight"], state["features.10.bias"]
    path = save_torch(tmp_path / "alexnet.pth", state)
    with pytest.raises(UserError) as caught:
        weights.load("alexnet", path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        str(path),
        "missing: 2: features.10.bias, features.8.weight;",
        "not known: 1: features.12.weight;",
        "of another shape: 1: features.0.weight is (64, 2, 11, 11), not (64, 3, 11, 11);",
        "of another type: 1: features.3.bias is float64, not float32;",
        "not finite: 1: features.6.bias)",
        "alexnet-owt-7be5be79.pth from torchvision",
    ):
        assert part in message


def test_another_networks_file_lists_a_few_names(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, **alexnet_state())
    with pytest.raises(UserError, match=r"weights of vgg19 \(missing: 28: .* and 20 more"):
        weights.load("vgg19", path)


def test_wrong_hash(tmp_path):
    path = save_torch(tmp_path / "alexnet-owt-7be5be79.pth", alexnet_state())
    begins = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    with pytest.raises(UserError, match=f"damaged or renamed.* with 7be5be79, but .*{begins};"):
        weights.load("alexnet", path)
    # The archive of the same arrays is another file, and its name claims nothing.
    np.savez(tmp_path / "alexnet-owt-7be5be79.npz", **alexnet_state())
    assert weights.load("alexnet", tmp_path / "alexnet-owt-7be5be79.npz").sha256


@pytest.mark.parametrize("suffix", ["npz", "pth"])
def test_truncated(tmp_path, suffix):
    path = tmp_path / f"alexnet.{suffix}"
    if suffix == "npz":
        np.savez(path, **alexnet_state())
    else:
        save_torch(path, alexnet_state())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=rf"alexnet\.{suffix} is damaged"):
        weights.load("alexnet", path)


def test_truncated_under_a_published_name(tmp_path):
    path = hashed(save_torch(tmp_path / "alexnet-owt.pth", alexnet_state()))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="damaged or renamed"):
        weights.load("alexnet", path)


class Harmful:
    """Makes a file where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("form", ["zip", "pickle", "npz"])
def test_code_in_a_file_is_not_run(tmp_path, form):
    mark = tmp_path / "ran"
    # The trap is real: an ordinary pickle of it does run.
    pickle.loads(pickle.dumps(Harmful(mark))).close()
    assert mark.exists()
    mark.unlink()
    state = {"features.0.weight": Harmful(mark)}
    path = tmp_path / ("alexnet.npz" if form == "npz" else "alexnet.pth")
    if form == "npz":
        np.savez(path, **{k: np.array(v, dtype=object) for k, v in state.items()})
    elif form == "pickle":
        pytest.importorskip("torch")
        path.write_bytes(pickle.dumps(state, protocol=2))
    else:
        pytest.importorskip("torch").save(state, path)
    with pytest.raises(UserError, match=rf"{path.name} is damaged, or|{path.name} is damaged or"):
        weights.load("alexnet", path)
    assert not mark.exists()


def test_no_path_names_the_file_and_the_keys():
    with pytest.raises(UserError) as caught:
        weights.load("vgg19", "", key="loss.global_weights", off=("loss.global", "loss.style"))
    message = str(caught.value)
    for part in (
        "vgg19-dcbb9e9d.pth from torchvision",
        "--config.loss.global_weights=PATH",
        "'random'",
        "--config.loss.global=0 --config.loss.style=0 to do without",
    ):
        assert part in message
    with pytest.raises(UserError, match="alex.pth from the lpips package.*'random'"):
        weights.load("lpips_alex", "")


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match="vgg19-dcbb9e9d.pth: there is no such file"):
        weights.load("vgg19", tmp_path / "vgg19-dcbb9e9d.pth")


def test_unknown_network():
    with pytest.raises(ValueError, match="no frozen network 'vgg11'; choose one of vgg16, vgg19"):
        weights.load("vgg11", "random")


def test_random_weights_are_the_same_every_time():
    loaded = weights.load("alexnet", "random")
    again = weights.load("alexnet", "random").params
    assert loaded.source == "random" and loaded.sha256 == ""
    for name, module in loaded.params.items():
        kernel = module["kernel"]
        fan_in = kernel.shape[0] * kernel.shape[1] * kernel.shape[2]
        assert kernel.dtype == np.float32
        assert kernel.std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.02)
        assert abs(kernel.mean()) < 0.01
        np.testing.assert_array_equal(module["bias"], 0)
        np.testing.assert_array_equal(kernel, again[name]["kernel"])
    other = weights.random_params("alexnet", seed=1)
    assert (other["features_0"]["kernel"] != loaded.params["features_0"]["kernel"]).mean() > 0.99
    # The same shape, but another module: another stream.
    assert (
        weights.random_params("vgg16")["features_19"]["kernel"][0, 0, 0, 0]
        != (weights.random_params("vgg16")["features_21"]["kernel"][0, 0, 0, 0])
    )
    for head in weights.random_params("lpips_vgg").values():
        assert 0 <= head["kernel"].min() < 0.2 and 0.8 < head["kernel"].max() < 1


def test_random_network_of_videos():
    params = weights.load("i3d", "random").params
    inner = params["Mixed_3c"]["b1b"]
    kernel = inner["conv3d"]["kernel"]
    assert kernel.shape == (3, 3, 3, 128, 192)
    assert kernel.std() == pytest.approx(np.sqrt(2 / (27 * 128)), rel=0.02)
    for name, value in {"scale": 1, "bias": 0, "mean": 0, "var": 1}.items():
        np.testing.assert_array_equal(inner["bn"][name], np.full(192, value, np.float32))
    np.testing.assert_array_equal(params["logits"]["conv3d"]["bias"], 0)
    # As drawn where this was written; the streams do not depend on the machine.
    np.testing.assert_allclose(kernel[0, 0, 0, :2, 0], [0.03184804, 0.04458167], rtol=1e-6)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["vgg16", "vgg19", "alexnet", "i3d"])
def test_names_and_shapes_are_the_published_ones(shared, name):
    published = json.loads((shared / f"parity/{name}_state_dict.json").read_text())
    ours = {entry.name: list(entry.shape) for entry in weights.NETWORKS[name].table.entries}
    # The manifest of VGG-19 ends where its use ends, at relu5_1.
    behind = {k for k in ours if name == "vgg19" and int(k.split(".")[1]) > 28}
    assert len(behind) == (6 if name == "vgg19" else 0)
    used = {k: v for k, v in published.items() if not k.endswith("num_batches_tracked")}
    assert {k: v for k, v in ours.items() if k not in behind} == used
