"""WavLM's features, with a tiny random model in the real file format."""

import json
import pathlib
import pickle
import re
import shutil
import sys

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import audio, wavlm
from jaxgesture.data.wavlm import WavLM

# Absolute errors: of the interpolation, 5.8e-5 measured (PyTorch's positions are float32), and of
# the model run by hand, which may use more threads, 2.4e-7.
INTERPOLATION = 2e-4
BY_HAND = 1e-5

# The strides of the real one in three layers: 320 samples a row, of which each sees 325.
TINY = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "num_buckets": 32,
    "conv_dim": (8, 8, 8),
    "conv_stride": (5, 8, 8),
    "conv_kernel": (10, 8, 8),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(samples).astype(np.float32) / 10 + 0.02


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """The model's folder; nothing is written to it."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("wavlm")
    torch.manual_seed(0)
    model = transformers.WavLMModel(transformers.WavLMConfig(**TINY))
    with torch.no_grad():
        # Every new one has these alike, which would hide one that is not read.
        for tensor in model.parameters():
            tensor.add_(0.05 * torch.randn_like(tensor))
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(original, tmp_path):
    """A copy to be spoilt."""
    return shutil.copytree(original, tmp_path / "wavlm")


def by_hand(folder: pathlib.Path, samples: np.ndarray, normalised: bool = True) -> np.ndarray:
    """The last hidden state that transformers gives for sound at 16 kHz."""
    import torch
    import transformers  # pyright: ignore[reportMissingImports]

    prepare = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalised)
    values = prepare(samples, sampling_rate=16000, return_tensors="pt").input_values
    model = transformers.WavLMModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.no_grad():
        return model(values).last_hidden_state[0].numpy()


def arrays_of(folder: pathlib.Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def write(folder: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import save_file

    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})


def edit(path: pathlib.Path, **values) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parity
def test_interpolation_parity(shared):
    with np.load(shared / "parity/audio_baseline_seed0.npz", allow_pickle=False) as golden:
        hidden = np.random.Generator(np.random.PCG64(5000)).standard_normal((161, 8))
        hidden = hidden.astype(np.float32)
        for ours, name in (
            (wavlm.halve_rows(hidden), "interp_161_to_81"),
            (wavlm.to_25_rows(hidden[:159]), "interp_159_appended_to_80"),
        ):
            assert ours.shape == golden[name].shape and ours.dtype == np.float32
            assert np.abs(ours - golden[name]).max() <= INTERPOLATION


def test_few_rows():
    hidden = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(wavlm.to_25_rows(hidden[:1]), hidden[:1])
    np.testing.assert_array_equal(wavlm.to_25_rows(hidden[:2]), hidden[:2])
    np.testing.assert_array_equal(wavlm.to_25_rows(hidden), hidden[[0, 2]])


@pytest.mark.parametrize("rows", [1, 1499, 1500, 1501, 2600, 2601, 2999, 9000])
def test_windows(rows):
    found = wavlm.windows(rows)
    assert [w[2] for w in found] == [0, *(w[3] for w in found[:-1])] and found[-1][3] == rows
    assert (len(found) == 1) == (rows <= 1500)
    for start, stop, first, last in found:
        assert stop - start <= 1500 and first < last
        assert start == (first - 100 if first else 0)
        assert stop == (last + 100 if last < rows else rows)


def test_columns_are_the_models_then_the_35(original):
    extractor = WavLM(original)
    samples = noise(51200)
    rows = extractor.features(samples, 16000, 80)
    hidden = by_hand(original, samples)
    assert rows.shape == (80, 59) and rows.dtype == np.float32 and hidden.shape == (159, 24)
    assert hidden.std() > 0.5 and extractor.size == 59
    np.testing.assert_allclose(rows[:, :24], wavlm.to_25_rows(hidden), rtol=0, atol=BY_HAND)
    np.testing.assert_array_equal(rows[:, 24:], audio.features(samples, 16000, 80))
    np.testing.assert_array_equal(extractor.features(samples, 16000, 80), rows)


def test_other_rates_are_resampled(original):
    tone = np.sin(np.arange(44100, dtype=np.float32) * 2 * np.pi * 300 / 44100) / 4
    slower = np.sin(np.arange(16000, dtype=np.float32) * 2 * np.pi * 300 / 16000) / 4
    extractor = WavLM(original)
    rows = extractor.features(tone, 44100, 25)[:, :24]
    difference = np.abs(rows - extractor.features(slower, 16000, 25)[:, :24])
    assert difference[2:-2].max() < 1e-2 * np.abs(rows).max()


def test_the_random_state_of_training_has_no_part(original):
    import torch

    extractor = WavLM(original)
    rows = extractor.features(noise(8000), 16000, 12)
    torch.manual_seed(5)
    wavlm._model.cache_clear()
    np.testing.assert_array_equal(extractor.features(noise(8000), 16000, 12), rows)


def test_threads_are_bounded_meanwhile(original):
    import torch

    used = []
    extractor = WavLM(original, threads=1)
    hook = wavlm._model(extractor.folder).register_forward_hook(
        lambda *_: used.append(torch.get_num_threads())
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        extractor.features(noise(640), 16000, 1)
        assert torch.get_num_threads() == 2 and used == [1]
    finally:
        torch.set_num_threads(before)
        hook.remove()


@pytest.mark.parametrize("samples", [1, 324, 325, 640, 15999, 16001])
@pytest.mark.parametrize("frames", [1, 25, 27, 60])
def test_any_length_has_its_rows(original, samples, frames):
    rows = WavLM(original).features(noise(samples), 16000, frames)
    assert rows.shape == (frames, 59) and np.isfinite(rows).all()


def test_sound_that_is_short(original):
    extractor = WavLM(original)
    samples = noise(16000)
    whole = extractor.features(samples, 16000, 25)[:, :24]
    np.testing.assert_array_equal(extractor.features(samples, 16000, 10)[:, :24], whole[:10])
    held = extractor.features(samples, 16000, 27)[:, :24]
    np.testing.assert_array_equal(held, whole[[*range(25), 24, 24]])
    # More is silence behind the sound that was normalised.
    silent = np.pad(wavlm.normalise(samples), (0, 3 * 640))
    expected = wavlm.to_25_rows(by_hand(original, silent, normalised=False))
    longer = extractor.features(samples, 16000, 28)[:, :24]
    np.testing.assert_allclose(longer, expected, rtol=0, atol=BY_HAND)


def test_a_long_clip_in_windows(original, monkeypatch):
    extractor = WavLM(original)
    samples = noise(16000 * 4)
    single = extractor.features(samples, 16000, 100)[:, :24]
    expected = wavlm.to_25_rows(by_hand(original, samples))
    np.testing.assert_allclose(single, expected, rtol=0, atol=BY_HAND)
    monkeypatch.setattr(wavlm, "LONGEST", 120)
    monkeypatch.setattr(wavlm, "CONTEXT", 30)
    joined = extractor.features(samples, 16000, 100)[:, :24]
    assert joined.shape == single.shape
    # Alike, row for row, and no row of another time: the context is not all.
    error = np.linalg.norm(joined - single, axis=1) / np.linalg.norm(single, axis=1)
    shifted = np.linalg.norm(joined[1:] - single[:-1], axis=1).mean()
    assert 0 < error.max() < 0.05  # 0.014 measured
    assert np.linalg.norm(joined - single, axis=1).mean() < shifted / 30


def test_name_covers_what_shapes_do_not_show(folder):
    before = WavLM(folder).name
    edit(folder / "config.json", layer_norm_eps=0.1)
    assert WavLM(folder).name != before


def test_normalising_is_the_preprocessors(folder):
    samples = noise(8000)
    settings = folder / "preprocessor_config.json"
    names = {WavLM(folder).name}
    edit(settings, do_normalize=False)
    plain = WavLM(folder)
    names.add(plain.name)
    assert len(names) == 2 and plain.name.endswith(":raw") and not plain.normalise
    expected = wavlm.to_25_rows(by_hand(folder, samples, normalised=False))
    rows = plain.features(samples, 16000, 12)[:, :24]
    np.testing.assert_allclose(rows, expected[:12], rtol=0, atol=BY_HAND)
    settings.write_text("{}")
    assert WavLM(folder).normalise
    settings.unlink()
    assert WavLM(folder).normalise
    edit(settings.with_name("config.json"), feat_extract_norm="group")
    with pytest.raises(UserError, match="unknown: feature_extractor"):
        WavLM(folder)


def test_without_preprocessor_a_group_norm_is_not_normalised(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.WavLMConfig(**{**TINY, "feat_extract_norm": "group"})
    transformers.WavLMModel(config).save_pretrained(tmp_path)
    assert not WavLM(tmp_path).normalise


def test_silence(original):
    rows = WavLM(original).features(np.zeros(3200, np.float32), 16000, 5)
    assert np.isfinite(rows).all()


def test_another_process_gets_no_model(original):
    extractor = WavLM(original)
    rows = extractor.features(noise(3200), 16000, 5)
    pickled = pickle.dumps(extractor)
    assert len(pickled) < 1000
    wavlm._model.cache_clear()
    again: audio.Extractor = pickle.loads(pickled)
    assert (again.name, again.size) == (extractor.name, extractor.size)
    np.testing.assert_array_equal(again.features(noise(3200), 16000, 5), rows)
    np.testing.assert_array_equal(again.features(noise(3200), 16000, 5), rows)
    assert wavlm._model.cache_info().misses == 1


def test_the_name_tells_the_weights(folder):
    before = WavLM(folder).name
    assert re.fullmatch("wavlm-59:[0-9a-f]{12}", before) and WavLM(folder).name == before
    arrays = arrays_of(folder)
    arrays["encoder.layer_norm.bias"][0] += 1
    write(folder, arrays)
    assert WavLM(folder).name != before


def test_pytorch_file_of_a_fine_tuned_model(folder):
    """Old names of the normalised weight, half precision, a prefix and a head."""
    import torch

    samples = noise(3200)
    rows = WavLM(folder).features(samples, 16000, 5)
    tensors = {}
    for name, array in arrays_of(folder).items():
        for old, new in wavlm._RENAMED.items():
            name = name.replace(new, old)
        tensors[f"wavlm.{name}"] = torch.from_numpy(array)
    assert any(name.endswith(".weight_g") for name in tensors)
    tensors["lm_head.weight"] = torch.zeros(3, 24)
    tensors["feature_extractor.weight"] = torch.zeros(3, 24)
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    wavlm._model.cache_clear()
    np.testing.assert_array_equal(WavLM(folder).features(samples, 16000, 5), rows)
    torch.save({k: v.half() for k, v in tensors.items()}, folder / "pytorch_model.bin")
    wavlm._model.cache_clear()
    half = WavLM(folder).features(samples, 16000, 5)
    assert half.dtype == np.float32 and 0 < np.abs(half - rows).max() < 0.02
    del tensors["wavlm.encoder.layer_norm.bias"]
    tensors["encoder.layer_norm.bias"] = torch.zeros(24)
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="missing: encoder.layer_norm.bias; unknown: encoder.layer"):
        WavLM(folder)


def test_every_tensor_must_fit(folder):
    arrays = arrays_of(folder)
    lost = [name for name in arrays if name.startswith("encoder.layers.1.")]
    write(folder, {name: array for name, array in arrays.items() if name not in lost})
    with pytest.raises(UserError, match=r"missing: encoder.layers.1.* and \d+ more\)"):
        WavLM(folder)
    write(folder, {**arrays, "encoder.layers.2.new": np.zeros(2, np.float32)})
    with pytest.raises(UserError, match=r"\(unknown: encoder.layers.2.new\)"):
        WavLM(folder)
    write(folder, {**arrays, "encoder.layer_norm.bias": np.zeros(23, np.float32)})
    with pytest.raises(UserError, match=r"encoder.layer_norm.bias \(23,\) instead of \(24,\)"):
        WavLM(folder)
    arrays["encoder.layer_norm.bias"][0] = np.nan
    write(folder, arrays)
    with pytest.raises(UserError, match="not finite"):
        WavLM(folder).features(noise(640), 16000, 1)


def test_truncated_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="is damaged or no safetensors file"):
        WavLM(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv_stride": [5, 8, 4]}, "a row for every 160 samples"),
        ({"conv_stride": [5, 8]}, "no WavLM model can be made"),
        ({"hidden_size": "large"}, "no WavLM model can be made"),
        ({"num_hidden_layers": 1}, "unknown: encoder.layers.1"),
    ],
)
def test_settings_that_do_not_fit(folder, changes, message):
    edit(folder / "config.json", **changes)
    with pytest.raises(UserError, match=message):
        WavLM(folder)


def made_up(folder: pathlib.Path, **config) -> pathlib.Path:
    """Files of the right names; no model can be loaded from them."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "wavlm", **config}))
    (folder / "model.safetensors").touch()
    return folder


def test_not_a_models_folder(tmp_path):
    with pytest.raises(UserError, match="large does not exist; give a local folder"):
        WavLM("microsoft/wavlm-large")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UserError, match="is a file"):
        WavLM(file)
    folder = made_up(tmp_path / "model")
    with pytest.raises(UserError, match="use 1 or more"):
        WavLM(folder, threads=0)
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match="has no config.json"):
        WavLM(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="has no model.safetensors or pytorch_model.bin"):
        WavLM(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "holds no settings"),
        ('{"model_type": "hubert"}', "of type 'hubert'"),
        ('{"model_type": "wavlm", "add_adapter": true}', "adapter"),
    ],
)
def test_settings_of_another_model(tmp_path, text, message):
    (made_up(tmp_path) / "config.json").write_text(text)
    with pytest.raises(UserError, match=message):
        WavLM(tmp_path)


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_package_is_missing(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r'pip install "jaxgesture\[wavlm\]"'):
        WavLM(made_up(tmp_path))


def test_another_rate_than_the_models(folder):
    edit(folder / "preprocessor_config.json", sampling_rate=8000)
    with pytest.raises(UserError, match="for sound at 8000 Hz"):
        WavLM(folder)


def test_wrong_sound(original):
    extractor = WavLM(original)
    with pytest.raises(UserError, match="one channel"):
        extractor.features(np.zeros((2, 800), np.float32), 16000, 1)
    with pytest.raises(UserError, match="at least one"):
        extractor.features(noise(800), 16000, 0)
