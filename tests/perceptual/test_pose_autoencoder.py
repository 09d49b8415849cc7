"""The autoencoder of poses: golden files, published checkpoints, and what is refused."""

import argparse
import json
import pathlib
import sys
import types

import jax
import numpy as np
import pytest
import tolerances
from perceptual import released

from jaxgesture.core import inert
from jaxgesture.core.errors import UserError
from jaxgesture.evaluation.diversity import diversity, feature_distance
from jaxgesture.evaluation.frechet import frechet
from jaxgesture.evaluation.pose_embedding import PoseEmbedding
from jaxgesture.perceptual import pose_autoencoder as autoencoder

NAMES = {27: "fgd_embedding_27", 126: "fgd_motion_ae_126"}


def state_dict(shared, channels):
    make = released.procedural(shared).procedural_array
    shapes = json.loads((shared / f"parity/{NAMES[channels]}_state_dict.json").read_text())
    return {name: make(name, tuple(shape), 0) for name, shape in shapes.items()}


def golden_windows():
    """Two sets of 64 windows of each kind, and a permutation."""
    rng = np.random.Generator(np.random.PCG64(7000))
    sets = {
        channels: (
            0.5 * rng.standard_normal((64, 34, channels)),
            0.7 * rng.standard_normal((64, 34, channels)) + 0.1,
        )
        for channels in NAMES
    }
    return sets, rng.permutation(64)


@pytest.mark.parity
@pytest.mark.parametrize("channels", NAMES)
def test_golden(shared, channels):
    golden = np.load(shared / "parity/fgd_embedding_seed0.npz")
    sets, permutation = golden_windows()
    network = autoencoder.from_state_dict(state_dict(shared, channels), "golden file")
    assert network.config.channels == channels
    a, b = (PoseEmbedding(network)(windows) for windows in sets[channels])
    windows = sets[channels][0].astype(np.float32)
    model = autoencoder.PoseAutoencoderNetwork(network.config)
    with jax.default_matmul_precision("highest"):
        decoded = np.asarray(model.apply(network.variables, windows))
        spread = model.apply(network.variables, windows, method="encode")[1]
    latent = golden["mu_27" if channels == 27 else "z_126"]
    errors = {
        "feature": released.error(a[: len(latent)], latent),
        "decoded": released.error(
            decoded[: len(golden[f"recon_{channels}"])], golden[f"recon_{channels}"]
        ),
    }
    if channels == 27:
        errors["logvar"] = released.error(np.asarray(spread)[:8], golden["logvar_27"])
    else:
        assert spread is None
    relative = {
        "feature distance": feature_distance(a, b) / float(golden[f"feat_dist_{channels}"]) - 1,
        "diversity": diversity(a, permutation) / float(golden[f"diversity_{channels}"]) - 1,
    }
    if channels == 27:
        relative["fgd"] = frechet(a, b) / float(golden["fgd_27"]) - 1
        l1 = np.abs(decoded - windows).mean()
        relative["L1"] = l1 / float(golden["recon_l1_27"]) - 1
    else:
        relative["fgd"] = frechet(a[:, :32], b[:, :32]) / float(golden["fgd_126_first32"]) - 1
    print(errors, relative)
    assert max(errors.values()) <= tolerances.POSE_AUTOENCODER
    assert max(map(abs, relative.values())) <= tolerances.EMBEDDED


def arrays_of(network):
    """The arrays of a network by their published names, counters and all."""
    from jaxgesture.core import mapping

    entries = mapping.make_entries(autoencoder.template(network.config), autoencoder._RULES)
    table = mapping.Table("poses", "", entries)
    found = mapping.to_state_dict(network.variables, table)
    counters = {n.replace("running_mean", "num_batches_tracked") for n in found if "running" in n}
    counters = {n for n in counters if n.endswith("tracked")}
    return {
        name.replace("encoder.", "pose_encoder.", 1): array for name, array in found.items()
    } | {name.replace("encoder.", "pose_encoder.", 1): np.array(3) for name in counters}


def write(path, network, legacy, **more):
    """A checkpoint as the published training writes it, with objects beside the weights."""
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(np.array(v)) for name, v in arrays_of(network).items()}
    content = {
        "args": argparse.Namespace(n_poses=34, name="x"), "epoch": 100, "pose_dim": 27,
        "gen_dict": tensors, **more,
    }  # fmt: skip
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)


def equal(ours, theirs):
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize("legacy", [False, True])
def test_published_checkpoint_is_read_as_data(tmp_path, monkeypatch, legacy):
    module = types.ModuleType("made_up_scripts")

    class Vocabulary:
        def __init__(self):
            self.words = {"a": 1}

        def __setstate__(self, state):
            raise AssertionError("an object of the file was built")

    Vocabulary.__module__, Vocabulary.__qualname__ = "made_up_scripts", "Vocabulary"
    module.Vocabulary = Vocabulary  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "made_up_scripts", module)
    path = tmp_path / "model_checkpoint.bin"
    network = autoencoder.random(27)
    write(path, network, legacy, lang_model=Vocabulary())
    monkeypatch.delitem(sys.modules, "made_up_scripts")
    found = autoencoder.load_pose_autoencoder(path)
    equal(found.variables, network.variables)
    assert found.config == network.config and found.sha256
    assert str(path) in found.label and found.sha256[:12] in found.label


class Evil:
    """Would run a command where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_in_a_file_is_run(tmp_path, legacy):
    mark = tmp_path / "ran"
    path = tmp_path / "model.bin"
    write(path, autoencoder.random(27), legacy, extra=Evil(mark))
    autoencoder.load_pose_autoencoder(path)
    assert not mark.exists()


def test_damaged_older_files(tmp_path):
    path = tmp_path / "model.bin"
    write(path, autoencoder.random(27), True)
    whole = path.read_bytes()
    for end in (30, 2000, len(whole) - 5000):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError, match="damaged"):
            inert.read(path, autoencoder.WRAPPERS)
    path.write_bytes(b"\x80\x02 nonsense")
    with pytest.raises(UserError):
        inert.read(path, autoencoder.WRAPPERS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("pose_encoder.net.0.0.weight"), "holds no autoencoder of poses"),
        (lambda a: a.pop("decoder.net.7.bias"), "missing: 1: decoder.net.7.bias"),
        (lambda a: a.update(extra=np.zeros(3, np.float32)), "not known: 1: extra"),
        (lambda a: a.update({"decoder.net.7.bias": np.zeros(5, np.float32)}), "of another shape"),
        (lambda a: a["decoder.net.7.bias"].fill(np.nan), "not finite"),
    ],
)
def test_wrong_arrays(tmp_path, change, message):
    arrays = arrays_of(autoencoder.random(27))
    change(arrays)
    path = tmp_path / "poses.npz"
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=message):
        autoencoder.load_pose_autoencoder(path)


def test_places_that_hold_no_network(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        autoencoder.load_pose_autoencoder(tmp_path / "none.bin")
    with pytest.raises(UserError, match="no folder"):
        autoencoder.load_pose_autoencoder(tmp_path / "none")
    with pytest.raises(UserError):
        autoencoder.load_pose_autoencoder(tmp_path)


def test_random_weights_tell_windows_apart():
    network = autoencoder.load_pose_autoencoder("random", channels=9)
    assert "comparable with nothing published" in network.label
    embed = PoseEmbedding(network)
    windows = np.random.default_rng(0).standard_normal((70, 34, 9))
    features = embed(windows)
    assert features.shape == (70, 32) and features.dtype == np.float64
    assert features.std(axis=0).min() > 1e-3
    np.testing.assert_allclose(embed(windows[64:]), features[64:], atol=1e-6)
    assert embed(windows[:0]).shape == (0, 32)
    with pytest.raises(UserError, match="frames of 4 numbers do not fit"):
        embed(windows[..., :4])
