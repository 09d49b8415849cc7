"""The motion model between PyTorch and JAX: names and published checkpoints."""

import functools
import json
import pickle
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest
from convert.checkpoints import BIAS, KERNEL, TINY, make_normaliser, same, tiny, write_checkpoint
from convert.faults import Harmful

import jaxgesture
from jaxgesture.convert import motion as released
from jaxgesture.core import tree, weight_files
from jaxgesture.core.errors import UserError
from jaxgesture.motion import model
from jaxgesture.motion.model import load_motion
from jaxgesture.motion.normalisation import identity_statistics, make_statistics

FREQUENCIES = "cond_encoder.0.rotary.freqs"


@pytest.fixture
def state():
    return released.to_torch(tiny().variables)


def back(weights, preset=TINY):
    return released.to_torch(load_motion(weights, preset=preset).variables)


@pytest.fixture
def normaliser(monkeypatch):
    return make_normaliser(monkeypatch)


def test_names_and_shapes_are_those_of_the_twin(state):
    torch = pytest.importorskip("torch")
    from jaxgesture.torch_baseline.denoiser import Denoiser

    twin = Denoiser(TINY)
    twin.load_state_dict({name: torch.from_numpy(v) for name, v in state.items()}, strict=True)
    same(back(twin.state_dict()), state)
    fresh = {name: value.numpy() for name, value in Denoiser(TINY).state_dict().items()}
    same(back(fresh), fresh)


@pytest.mark.parity
def test_published_names(shared):
    import jax

    from jaxgesture.motion.denoiser import init_params

    config = model.PRESETS["s2g"]
    params = jax.eval_shape(functools.partial(init_params, config), jax.random.key(0))
    template = {"params": params, "stats": identity_statistics(config)}
    entries = released.table(template, statistics=False).entries
    shapes = json.loads((shared / "parity/s2g_state_dict.json").read_text())
    assert {entry.name: list(entry.shape) for entry in entries} == shapes
    assert config.audio_size == 1059 and config.feature_size == 200


def test_ours_comes_back_and_is_a_copy(state):
    mine = {name: array.copy() for name, array in state.items()}
    loaded = load_motion(mine, preset=TINY)
    for array in mine.values():
        array[...] = 0
    same(released.to_torch(loaded.variables), state)
    same(*(jax_free(m.variables["params"]) for m in (loaded, tiny())))
    same(jax_free(loaded.variables["stats"]), identity_statistics(TINY))
    assert loaded.config == TINY and loaded.features == "baseline-35"


def jax_free(variables):
    return {name: np.asarray(value) for name, value in tree.flatten(variables).items()}


def test_statistics_travel_where_they_change_anything(state):
    statistics = make_statistics(TINY, audio_mean=np.full(35, 0.3), audio_std=np.full(35, 2.0))
    trained = {"params": tiny().variables["params"], "stats": statistics}
    arrays = released.to_torch(trained)
    assert arrays.keys() - state.keys() == {f"statistics.{name}" for name in statistics}
    assert not [name for name in state if name.startswith("statistics")]
    loaded = load_motion(arrays, preset=TINY)
    same(jax_free(loaded.variables["stats"]), statistics)
    del arrays["statistics.audio_mean"]
    with pytest.raises(UserError, match="missing: 1: statistics.audio_mean"):
        load_motion(arrays, preset=TINY)


def test_a_loaded_model_can_be_used_and_saved(state, tmp_path):
    loaded = load_motion(state, preset=TINY)
    audio = np.zeros((6, 35), np.float32)
    options = {"source_feature": np.zeros(12, np.float32), "steps": 2, "candidates": 1}
    sample = loaded.sample(audio, **options)
    np.testing.assert_array_equal(sample, tiny().sample(audio, **options))
    loaded.save(tmp_path / "model")
    same(released.to_torch(load_motion(tmp_path / "model").variables), state)


@pytest.mark.parametrize("form", ["module.", "state_dict", "ema", "model", "tensors"])
def test_wrappings(state, form):
    wrapped = state
    if form == "tensors":
        torch = pytest.importorskip("torch")
        wrapped = {name: torch.from_numpy(array) for name, array in state.items()}
    if form in ("module.", "ema"):
        wrapped = {f"module.{name}": array for name, array in state.items()}
    if form == "state_dict":
        wrapped = {"state_dict": wrapped}
    if form == "ema":
        last = {name: array + 1 for name, array in state.items()}
        wrapped = {"model_state_dict": last, "ema_state_dict": wrapped, "normalizer": object()}
    if form == "model":
        wrapped = {"model_state_dict": wrapped, "ema_state_dict": None, "epoch": 3}
    same(back(wrapped), state)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("average", [True, False])
def test_published_checkpoints(state, normaliser, tmp_path, monkeypatch, prefix, average):
    """With an object of a class that is not there, and where PyTorch is not."""
    torch = pytest.importorskip("torch")
    path = tmp_path / "checkpoint.pt"
    without = {} if average else {"ema_state_dict": None}
    write_checkpoint(path, state, normaliser, prefix=prefix, **without)
    monkeypatch.delitem(sys.modules, "made_up_scripts")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)  # it does hold the object
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    if average:
        same(back(path), state)
        return
    moved = {name: array + np.float32(1) for name, array in state.items()}
    with pytest.raises(UserError, match="checkpoint.pt holds other rotary frequencies"):
        back(path)
    found = released.read(path)
    moved[KERNEL] = found[KERNEL]  # the only one that the optimiser moved
    same(found, moved)


@pytest.mark.parametrize("place", ["normalizer", "args", KERNEL])
def test_code_in_a_file_is_not_run(state, tmp_path, place):
    torch = pytest.importorskip("torch")
    path, mark = tmp_path / "checkpoint.pt", tmp_path / "ran"
    if place == KERNEL:
        tensors = {name: torch.from_numpy(array) for name, array in state.items()}
        torch.save({"ema_state_dict": {**tensors, KERNEL: Harmful(mark)}}, path)
        with pytest.raises(UserError, match=f"holds more than weights: {KERNEL};"):
            load_motion(path, preset=TINY)
    else:
        write_checkpoint(path, state, None, **{place: Harmful(mark)})
        same(back(path), state)
    assert not mark.exists()
    torch.load(path, weights_only=False)  # the trap is real
    assert mark.exists()


class Chain:
    """Pickles as calls of what other calls gave, with state, items and elements."""

    def __reduce__(self):
        return (Made(), ("1",), {"a": 1}, iter([1, 2]), iter([("k", "v")]))


class Made:
    def __call__(self, *args):
        raise AssertionError("called")

    def __reduce__(self):
        return (getattr, (eval, "__call__"))


def test_any_way_to_build_an_object_is_inert(state, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "checkpoint.pt"
    things = [Chain(), {1, "a"}, complex(1, 2), np.float64(3), np.arange(3), tmp_path, range(3)]
    for protocol in (2, 4):
        torch.save({"ema_state_dict": {}, "things": things}, path, pickle_protocol=protocol)
        with pytest.raises(UserError, match="checkpoint.pt holds nothing, not named weights"):
            load_motion(path, preset=TINY)
    write_checkpoint(path, state, None, things=things)
    same(back(path), state)


def test_tensors_of_every_kind(tmp_path):
    torch = pytest.importorskip("torch")
    whole = torch.arange(24.0).reshape(2, 3, 4)
    tensors = {
        "turned": whole.permute(2, 0, 1), "part": whole[1, :, ::2], "empty": whole[:0],
        "number": whole[1, 2, 3], "whole": whole, "parameter": torch.nn.Parameter(whole[0]),
        **{str(d): torch.tensor([0, 1, 0]).to(d) for d in (
            torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
            torch.int8, torch.uint8, torch.bool)},
    }  # fmt: skip
    torch.save({"model_state_dict": tensors}, tmp_path / "a.pt")
    found = released.read(tmp_path / "a.pt")
    same(found, weight_files.plain(tensors, "here"))
    assert found["torch.bfloat16"].dtype == ml_dtypes.bfloat16
    assert found["turned"].flags["C_CONTIGUOUS"] and found["turned"].flags["WRITEABLE"]


def test_everything_wrong_is_one_message(state):
    wrong = {name: array for name, array in state.items() if name != BIAS}
    wrong |= {"third.weight": np.ones(3, np.float32), KERNEL: state[KERNEL].T}
    wrong["final_layer.bias"] = wrong["final_layer.bias"].astype(np.float64)
    wrong["null_cond_hidden"] = wrong["null_cond_hidden"] * np.float32(np.nan)
    with pytest.raises(UserError) as caught:
        load_motion(wrong, preset=TINY)
    message = str(caught.value)
    assert message.startswith("the state dict does not hold the weights of the motion model (")
    for part in (
        f"missing: 1: {BIAS};", "not known: 1: third.weight;",
        f"of another shape: 1: {KERNEL} is (16, 48), not (48, 16);",
        "of another type: 1: final_layer.bias is float64, not float32;",
        "not finite: 1: null_cond_hidden);",
    ):  # fmt: skip
        assert part in message
    assert "\n" not in message and 'preset="s2g"' in message
    assert "--preset=s2g (published" in message and "give a whole file" in message


@pytest.mark.parametrize(
    "change", [lambda f: f * np.float32(1.001), lambda f: f[::-1].copy()], ids=["scaled", "turned"]
)
def test_other_rotary_frequencies(state, change):
    said = f"other rotary frequencies than .* computes with .*{FREQUENCIES}"
    with pytest.raises(UserError, match=said):
        load_motion({**state, FREQUENCIES: change(state[FREQUENCIES])}, preset=TINY)
    names = [name for name in state if name.endswith(".freqs")]
    with pytest.raises(UserError, match=said.replace(FREQUENCIES, "rotary.freqs")):
        load_motion({**state, **{n: change(state[n]) for n in names}}, preset=TINY)
    # The last bit may be another, and comes back as it was.
    near = {n: np.nextafter(state[n], np.float32(2)) for n in names}
    same(back({**state, **near}), {**state, **near})


def test_sizes(state):
    with pytest.raises(UserError, match="no preset 'papr' of the motion model; did you mean"):
        jaxgesture.load_motion({}, preset="papr")
    with pytest.raises(UserError, match="the state dict holds nothing, not named weights"):
        load_motion({}, preset="s2g")
    with pytest.raises(UserError, match="missing: 163: .* more; not known: 4: ") as caught:
        load_motion(state, preset="s2g")
    assert "null_history_embed; of another shape: " in str(caught.value)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_files_that_are_damaged(state, normaliser, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, state, normaliser)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for trial in range(60):
        damaged = bytearray(whole[: rng.integers(len(whole))] if trial % 3 == 0 else whole)
        for _ in range(int(rng.integers(1, 30)) if damaged else 0):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            load_motion(path, preset=TINY)
        except UserError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refused > 40
    with pytest.raises(UserError, match="no weight file .*none.pt; check the path"):
        load_motion(tmp_path / "none.pt", preset=TINY)
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    with pytest.raises(UserError, match="is a TorchScript archive"):
        load_motion(tmp_path / "script.pt", preset=TINY)


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "order"),
    [
        (0, (5,), (1,), "little"), (3, (2,), (1,), "little"), (0, (2, 3), (0, 1), "little"),
        (0, (-1,), (1,), "little"), (0, (2,), (-1,), "little"), (0, (2**62, 4), (0, 0), "little"),
        (0, (2,), (1,), "big"),
    ],
)  # fmt: skip
def test_tensors_that_reach_beyond_their_numbers(tmp_path, offset, shape, strides, order):
    """Files made by hand, their checksums right."""
    torch = pytest.importorskip("torch")
    numbers = torch.arange(4.0)

    class Tensor:
        def __reduce__(self):
            storage = torch.storage.TypedStorage(
                wrap_storage=numbers.untyped_storage(), dtype=numbers.dtype, _internal=True
            )
            return (torch._utils._rebuild_tensor_v2, (storage, offset, shape, strides, False, {}))

    torch.save({"model_state_dict": {"a": Tensor()}}, tmp_path / "whole.pt")
    with (
        zipfile.ZipFile(tmp_path / "whole.pt") as whole,
        zipfile.ZipFile(tmp_path / "a.pt", "w") as made,
    ):
        for name in whole.namelist():
            made.writestr(name, order if name.endswith("byteorder") else whole.read(name))
    with pytest.raises(UserError, match=r"a.pt is damaged or no PyTorch file \("):
        released.read(tmp_path / "a.pt")
