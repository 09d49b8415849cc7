"""The base model between PyTorch and JAX, through the API; tests/cli has the command."""

import json
import pickle

import numpy as np
import pytest
from animation.weights import SIZES, TINY, ablated, numpy_variables, pictures
from convert.faults import BIAS, COUNTER, FAULTS, KERNEL, write_harmful
from perceptual import released

import jaxgesture
from jaxgesture.animation.config import AnimationConfig
from jaxgesture.animation.model import Animation, load_animation
from jaxgesture.core import export, tree, weight_files
from jaxgesture.core.errors import UserError


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert ours[name].dtype == array.dtype and ours[name].shape == array.shape, name
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


@pytest.fixture(scope="module")
def state():
    """A whole state dict of the smallest sizes, its counters all different."""
    state = Animation(TINY, numpy_variables()).state_dict()
    counters = sorted(name for name in state if name.endswith("num_batches_tracked"))
    assert COUNTER in counters
    return {**state, **{name: np.asarray(7 + i, np.int64) for i, name in enumerate(counters)}}


@pytest.mark.parity
@pytest.mark.slow
def test_all_released_tensors_come_back(shared):
    """651 of them at full size, each with values of its own."""
    make = released.procedural(shared).procedural_array
    shapes = json.loads((shared / "parity/ssl_state_dict.json").read_text())
    state = {name: make(name, tuple(shape), 0) for name, shape in shapes.items()}
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    state |= {name: np.asarray(3 + i, np.int64) for i, name in enumerate(counters)}
    animation = jaxgesture.load_animation(state)
    assert animation.config == AnimationConfig()
    learned = [shape for name, shape in shapes.items() if name.endswith((".weight", ".bias"))]
    count = tree.count(animation.variables["params"])
    assert count == sum(int(np.prod(shape)) for shape in learned) == 210_645_333
    back = animation.state_dict()
    assert len(back) == 651 and len(counters) == 45
    same(back, state)


@pytest.mark.parametrize("words", ["", "no_deviation", "no_enhancer", "no_motion_decoder"])
def test_names_and_layouts_are_those_of_the_twin(words):
    """PyTorch -> JAX -> PyTorch, and both compute the same with it."""
    torch = pytest.importorskip("torch")
    from jaxgesture.torch_baseline.network import AnimationNetwork

    switch = {words.removeprefix("no_"): False} if words else {}
    config = ablated(**switch)
    torch.manual_seed(0)
    twin = AnimationNetwork(config).eval()
    tensors = {name: torch.rand_like(t) / 4 for name, t in twin.state_dict().items() if t.ndim}
    tensors |= {name: t + 5 for name, t in twin.state_dict().items() if not t.ndim}
    # Kernels with a mean of 0, so that what they see makes a difference.
    tensors |= {name: t - 1 / 8 for name, t in tensors.items() if t.ndim > 1}
    twin.load_state_dict(tensors)
    animation = load_animation(tensors, preset=config)
    back = animation.state_dict()
    same(back, {name: tensor.numpy() for name, tensor in tensors.items()})
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in back.items()})
    if words:
        return
    source, driving = pictures(2)
    channels_first = [
        torch.from_numpy(i.transpose(2, 0, 1)[None].copy()) for i in (source, driving)
    ]
    with torch.no_grad():
        feature = twin.extract_motion(channels_first[1])
        picture = twin(*channels_first)
    np.testing.assert_allclose(animation.extract_motion(driving), feature[0], atol=1e-5)
    ours = animation.animate(animation.encode_source(source), animation.extract_motion(driving))
    assert picture.std() > 1e-3
    np.testing.assert_allclose(ours, picture[0].permute(1, 2, 0), atol=1e-4)


def test_ours_comes_back_too():
    animation = Animation(TINY, numpy_variables())
    loaded = load_animation(animation.state_dict(), preset=TINY)
    assert loaded.sha256 == animation.sha256
    same(tree.flatten(loaded.variables), tree.flatten(animation.variables))
    # What was trained here has counted nothing.
    counts = {k: int(v) for k, v in animation.state_dict().items() if k == COUNTER}
    assert counts == {COUNTER: 0} and set(loaded.counters.values()) == {0}


@pytest.mark.parametrize("form", ["plain", "module.", "state_dict", "tensors"])
def test_wrappings(state, form):
    wrapped = state
    if form == "tensors":
        torch = pytest.importorskip("torch")
        wrapped = {name: torch.from_numpy(array.copy()) for name, array in state.items()}
    if form in ("module.", "state_dict"):
        wrapped = {f"module.{name}": array for name, array in state.items()}
    if form == "state_dict":
        wrapped = {"epoch": 3, "state_dict": wrapped}
    same(load_animation(wrapped, preset=TINY).state_dict(), state)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".tar", ".npz", ".safetensors"])
def test_weight_files(state, tmp_path, suffix):
    pytest.importorskip({".npz": "numpy", ".safetensors": "safetensors"}.get(suffix, "torch"))
    weight_files.write(tmp_path / f"model{suffix}", state)
    animation = load_animation(str(tmp_path / f"model{suffix}"), preset=TINY)
    same(animation.state_dict(), state)


def test_what_is_loaded_is_a_copy(state):
    mine = {name: array.copy() for name, array in state.items()}
    animation = load_animation(mine, preset=TINY)
    for array in mine.values():
        array[...] = 0
    same(animation.state_dict(), state)


def test_counters_survive_a_folder_and_do_not_count_as_weights(state, tmp_path):
    animation = load_animation(state, preset=TINY)
    assert len(animation.counters) == sum(name.endswith("num_batches_tracked") for name in state)
    animation.save(tmp_path / "model")
    again = load_animation(tmp_path / "model")
    assert again.counters == animation.counters and again.config == TINY
    same(again.state_dict(), state)
    other = load_animation({**state, COUNTER: np.asarray(999)}, preset=TINY)
    assert other.sha256 == animation.sha256
    assert other.state_dict()[COUNTER] == 999
    # A folder of a version that knew no counters.
    description = json.loads((tmp_path / "model" / export.FILE).read_text())
    del description["counters"]
    (tmp_path / "model" / export.FILE).write_text(json.dumps(description))
    assert load_animation(tmp_path / "model").state_dict()[COUNTER] == 0


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("way", ["state dict", ".pt", ".npz"])
def test_one_thing_wrong(state, tmp_path, fault, way):
    change, said = FAULTS[fault]
    wrong, source = change(state), "the state dict"
    weights = wrong
    if way != "state dict":
        if way == ".pt":
            pytest.importorskip("torch")
        weights = source = tmp_path / f"model{way}"
        weight_files.write(weights, wrong)
    with pytest.raises(UserError) as caught:
        load_animation(weights, preset=TINY)
    message = str(caught.value)
    assert message.startswith(f"{source} does not hold the weights of the base model (")
    assert said in message and "\n" not in message and message.count(" 1: ") == 1


def test_other_sizes(state):
    with pytest.raises(UserError) as caught:
        load_animation(state)
    message = str(caught.value)
    assert "\n" not in message and "of the preset's sizes" in message
    assert "missing: " in message and " more; of another shape: " in message
    wider = AnimationConfig(**{**SIZES, "decoder_widths": (16, 8, 16)})
    with pytest.raises(UserError, match=r"conv_img.weight is \(3, 8, 3, 3\), not \(3, 16, 3, 3\)"):
        load_animation(state, preset=wider)


@pytest.mark.parametrize("left", [0, 1, 100, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".pt", ".npz", ".safetensors"])
def test_truncated(state, tmp_path, suffix, left):
    pytest.importorskip({".npz": "numpy", ".safetensors": "safetensors"}.get(suffix, "torch"))
    path = tmp_path / f"model{suffix}"
    weight_files.write(path, state)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(left * len(whole)) if 0 < left < 1 else left])
    with pytest.raises(UserError, match=rf"model\{suffix} is damaged.*get it again") as caught:
        load_animation(path, preset=TINY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".npz"])
def test_code_in_a_file_is_not_run(tmp_path, suffix):
    if suffix != ".npz":
        pytest.importorskip("torch")
    mark = tmp_path / "ran"
    path = write_harmful(tmp_path / f"model{suffix}", mark)
    with pytest.raises(UserError, match=rf"model\{suffix} is damaged") as caught:
        load_animation(path, preset=TINY)
    assert "\n" not in str(caught.value) and not mark.exists()
    # The trap is real: opened as a pickle it does run.
    if suffix == ".npz":
        with np.load(path, allow_pickle=True) as arrays:
            _ = arrays[KERNEL]
    elif suffix == ".pth":
        pickle.loads(path.read_bytes())
    else:
        import torch

        torch.load(path, weights_only=False)
    assert mark.exists()


def test_what_is_no_state_dict(tmp_path):
    with pytest.raises(UserError, match="no weight file .*none.pt; check the path"):
        load_animation(tmp_path / "none.pt")
    (tmp_path / "model.h5").touch()
    with pytest.raises(
        UserError, match="model.h5: the name of a weight file must end in .pt, .pth"
    ):
        load_animation(tmp_path / "model.h5")
    with pytest.raises(UserError, match="the state dict holds nothing, not named weights"):
        load_animation({})
    with pytest.raises(UserError, match="holds more than weights: epoch; give the file"):
        load_animation({"epoch": 3, BIAS: np.zeros(3, np.float32)})
    with pytest.raises(UserError, match="no preset 'papr'.*did you mean 'paper'"):
        load_animation({}, preset="papr")
