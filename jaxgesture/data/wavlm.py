"""WavLM's features of speech in front of the 35 hand-crafted ones, 25 rows a second.

The last hidden state of a WavLM model has a row for every 320 samples at 16 kHz. A copy of its last
row is appended, and the T rows are read, linearly, at n = ceil(T / 2) places with aligned ends:

    rows[i] = hidden[i (T - 1) / (n - 1)],  i = 0 ... n - 1

The model is a folder in the format of Hugging Face's transformers, which runs it. Nothing is
downloaded, and every tensor must fit: a weight that is missing would be a random one.

Source: arXiv 2110.13900 (WavLM); arXiv 2404.01862 (WavLM-Large's 1,024 columns for gestures).
"""

import contextlib
import functools
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxgesture.core import weight_files
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import NumpyBatch
from jaxgesture.data import audio
from jaxgesture.data.clips import HELD_AUDIO_ROWS
from jaxgesture.data.sound import resample

SAMPLE_RATE = 16000
HOP = 320  # samples a row of the hidden state
# Attention is quadratic in the rows, so a long clip is done in windows of at most 30 s, of which
# 2 s on either side are context only.
LONGEST, CONTEXT = 1500, 100
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
INSTALL = 'pip install "jaxgesture[wavlm]"'

_PREFIX = "wavlm."  # of the model's tensors where a file holds a head too
# What fine-tuned variants have beside the model, and the vector that masks rows in training.
_HEADS = (
    "lm_head.",
    "projector.",
    "classifier.",
    "layer_weights",
    "tdnn.",
    "objective.",
    "feature_extractor.weight",
    "feature_extractor.bias",
    "quantizer.",
    "project_q.",
    "project_hid.",
    "masked_spec_embed",
)
# The two factors of a normalised weight, as PyTorch named them before 2.0.
_RENAMED = {
    ".weight_g": ".parametrizations.weight.original0",
    ".weight_v": ".parametrizations.weight.original1",
}
# What the configuration decides besides the shapes of the weights.
_SETTINGS = (
    "conv_stride", "do_stable_layer_norm", "feat_extract_activation", "feat_extract_norm",
    "hidden_act", "layer_norm_eps", "max_bucket_distance", "num_attention_heads",
    "num_conv_pos_embedding_groups",
)  # fmt: skip
_SHOWN = 3  # names in a message


class WavLM:
    """The features of a WavLM model, then the 35 of `audio.features`; an `audio.Extractor`.

    1,059 columns with WavLM-Large. The model runs on the CPU in float32, without dropout: the same
    sound, machine and `threads` give the same rows, in any process. A process loads it when it
    first asks for features (1.3 GB for WavLM-Large); it is no part of what is pickled.

    The sound is brought to zero mean and unit variance, over its whole length, if `do_normalize` of
    preprocessor_config.json says so (true where the file does not name it, as in transformers).
    Without that file it is if config.json's `feat_extract_norm` is "layer", as for WavLM-Large.

    Attributes:
        name: "wavlm-1059:" and 12 digits of the SHA-256 of the weight file and of what the
            configuration decides besides shapes; ":raw" behind if the sound is not normalised.
        size: columns.
        folder: the model's folder, absolute.
        normalise: whether the sound is normalised.
        threads: PyTorch's threads at most, fewer where the process has fewer. The number may change
            the last digits, so it does not depend on the number of worker processes.
    """

    def __init__(self, folder: str | os.PathLike[str], *, threads: int = 2):
        """Reads the whole model once, so that what is wrong with it is known before the work.

        Args:
            folder: holds config.json, model.safetensors or pytorch_model.bin, and perhaps
                preprocessor_config.json.
            threads: see the class.

        Raises:
            UserError: a file is missing, damaged or not WavLM's, a tensor is missing, unknown or of
                another shape, the model does not make 50 rows a second, or torch or transformers
                is not installed.
        """
        if threads < 1:
            raise UserError(f"{threads} threads for WavLM are too few; use 1 or more")
        self.folder = pathlib.Path(folder).expanduser().absolute()
        self.threads = threads
        weights = _weights(self.folder)
        config = _read_json(self.folder / "config.json")
        _check_config(self.folder, config)
        model = _load(self.folder)
        self.normalise = _normalises(self.folder, model.config.feat_extract_norm)
        self.size = int(model.config.hidden_size) + audio.AUDIO_SIZE
        with weights.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
        settings = {key: getattr(model.config, key) for key in _SETTINGS}
        digest.update(json.dumps(settings, sort_keys=True).encode())
        self.name = f"wavlm-{self.size}:{digest.hexdigest()[:12]}"
        self.name += "" if self.normalise else ":raw"

    def features(
        self, samples: Float[np.ndarray, "n"], sample_rate: int, frames: int
    ) -> Float[np.ndarray, "t a"]:
        """Returns one row for each of `frames` video frames, WavLM's columns first.

        Sound that ends at most two frames early is continued by its last row, sound that ends
        earlier by silence.

        Args:
            samples: mono, in about [-1, 1], of any length above 0.
            sample_rate: Hz; other rates than 16,000 are resampled.
            frames: rows to return, at least 1.

        Returns:
            (frames, size) float32, finite.

        Raises:
            UserError: as `audio.features`; or the model gives what is not finite.
        """
        signal = audio.checked(samples, sample_rate)
        crafted = audio.features(signal, sample_rate, frames)
        sound = resample(signal, sample_rate, SAMPLE_RATE)
        if self.normalise:
            sound = normalise(sound)
        model = _model(self.folder)
        seen = _seen(model.config)
        early = frames - _rows(len(sound), seen)
        if early > HELD_AUDIO_ROWS or len(sound) < seen:
            longer = max(seen, frames * SAMPLE_RATE // audio.FRAME_RATE)
            sound = np.pad(sound, (0, max(0, longer - len(sound))))
        rows = to_25_rows(self._hidden(model, sound, seen))[:frames]
        if not np.isfinite(rows).all():
            raise UserError(f"{self.folder} gives features that are not finite; get it anew")
        rows = np.pad(rows, ((0, frames - len(rows)), (0, 0)), mode="edge")
        return np.concatenate([rows, crafted], axis=1)

    def _hidden(self, model: Any, sound: np.ndarray, seen: int) -> Float[np.ndarray, "t h"]:
        """The last hidden state of sound at 16 kHz, 50 rows a second."""
        import torch

        parts = []
        with _at_most(self.threads), torch.inference_mode():
            for start, stop, first, last in windows((len(sound) - seen) // HOP + 1):
                piece = np.ascontiguousarray(sound[start * HOP : (stop - 1) * HOP + seen])
                hidden = model(torch.from_numpy(piece)[None]).last_hidden_state[0].numpy()
                parts.append(hidden[first - start : last - start])
        return np.concatenate(parts)


def to_25_rows(hidden: Float[np.ndarray, "t h"]) -> Float[np.ndarray, "n h"]:
    """Returns 25 rows a second of a hidden state of 50, see the equation of this module.

    Args:
        hidden: T >= 1 rows.

    Returns:
        ceil((T + 1) / 2) rows, float32.
    """
    return halve_rows(np.concatenate([hidden, hidden[-1:]]))


def halve_rows(rows: Float[np.ndarray, "t h"]) -> Float[np.ndarray, "n h"]:
    """Returns ceil(T / 2) of T rows, float32, by linear interpolation with aligned ends."""
    count = math.ceil(len(rows) / 2)
    position = np.linspace(0, len(rows) - 1, count)
    before = np.minimum(position.astype(int), max(0, len(rows) - 2))
    weight = (position - before)[:, None]
    after = np.minimum(before + 1, len(rows) - 1)
    return (rows[before] * (1 - weight) + rows[after] * weight).astype(np.float32)


def normalise(sound: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Returns sound with zero mean and unit variance; silence stays silent."""
    # 1e-7 is the feature extractor's of transformers.
    return ((sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)).astype(np.float32)


def windows(rows: int) -> list[tuple[int, int, int, int]]:
    """Divides rows of a hidden state evenly into the fewest windows of at most 30 s.

    Windows overlap by 4 s and are joined in the middle of that.

    Returns:
        (start, stop, first, last) of each: computed from row `start` to `stop`, of which `first` to
        `last` are kept.
    """
    count = 1 if rows <= LONGEST else math.ceil(rows / (LONGEST - 2 * CONTEXT))
    edges = [rows * i // count for i in range(count + 1)]
    return [
        (max(0, first - CONTEXT), min(rows, last + CONTEXT), first, last)
        for first, last in zip(edges[:-1], edges[1:], strict=True)
    ]


def _seen(config: Any) -> int:
    """Samples that a row of the hidden state is made of before attention, 400 for WavLM."""
    seen, stride = 1, 1
    for kernel, step in zip(config.conv_kernel, config.conv_stride, strict=True):
        seen += (kernel - 1) * stride
        stride *= step
    return seen


def _rows(samples: int, seen: int) -> int:
    """Rows at 25 a second of so many samples, 0 if they are too few for any."""
    hidden = (samples - seen) // HOP + 1
    return math.ceil((hidden + 1) / 2) if hidden > 0 else 0


def _weights(folder: pathlib.Path) -> pathlib.Path:
    """The weight file of a model's folder; of two the one that transformers prefers."""
    wanted = f"config.json and {' or '.join(WEIGHTS)}"
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(
            f"WavLM's folder {folder} {what}; give a local folder with {wanted}, nothing is "
            "downloaded"
        )
    found = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    if not found or not (folder / "config.json").is_file():
        missing = " or ".join(WEIGHTS) if not found else "config.json"
        raise UserError(f"WavLM's folder {folder} has no {missing}; it must hold {wanted}")
    return found[0]


def _read_json(path: pathlib.Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); get it again from its source") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no settings; get it again from its source")
    return content


def _check_config(folder: pathlib.Path, config: Mapping[str, Any]) -> None:
    kind = config.get("model_type")
    if kind != "wavlm":
        raise UserError(f"{folder / 'config.json'} is of a model of type {kind!r}; give WavLM's")
    if config.get("add_adapter"):
        raise UserError(
            f"the model of {folder} has an adapter, which makes fewer than 50 rows a second; give "
            "the model without"
        )


def _normalises(folder: pathlib.Path, feat_extract_norm: str) -> bool:
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return feat_extract_norm == "layer"
    settings = _read_json(path)
    rate = settings.get("sampling_rate", SAMPLE_RATE)
    if rate != SAMPLE_RATE:
        raise UserError(f"{path} is for sound at {rate} Hz, WavLM's is {SAMPLE_RATE}; get it anew")
    return bool(settings.get("do_normalize", True))


@functools.lru_cache(maxsize=1)
def _model(folder: pathlib.Path) -> Any:
    """The model of a folder, once in a process."""
    return _load(folder)


def _load(folder: pathlib.Path) -> Any:
    """A `transformers.WavLMModel` that evaluates, every tensor of it from the weight file."""
    weights = _weights(folder)
    settings = _read_json(folder / "config.json")
    try:
        import torch
        from transformers import (  # pyright: ignore[reportMissingImports]
            WavLMConfig,
            WavLMModel,
        )
    except ImportError as error:
        reason = (str(error).strip().splitlines() or ["unknown"])[0]
        raise UserError(f"WavLM needs PyTorch and transformers ({reason}): {INSTALL}") from error
    try:
        config = WavLMConfig.from_dict(dict(settings))
        # Rows are masked in training only, by a vector that not every file has.
        config.mask_time_prob = config.mask_feature_prob = 0.0
        # Without memory: every tensor comes from the file, and random ones would take long.
        with torch.device("meta"):
            model = WavLMModel(config)
    except Exception as error:
        # Settings that do not fit end in errors of many kinds.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"no WavLM model can be made of {folder / 'config.json'} ({reason[:160]}); get it "
            "again from its source"
        ) from error
    if math.prod(config.conv_stride) != HOP:
        raise UserError(
            f"the model of {folder} has a row for every {math.prod(config.conv_stride)} samples, "
            f"not {HOP}; give a model of WavLM's strides"
        )
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    arrays = _fitting(weight_files.read(weights), wanted, weights)
    tensors = {}
    for name in wanted:
        # One by one, so that little is held twice.
        tensors[name] = torch.from_numpy(np.array(arrays.pop(name), np.float32))
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def _fitting(
    arrays: NumpyBatch, wanted: Mapping[str, tuple[int, ...]], path: pathlib.Path
) -> NumpyBatch:
    """The model's arrays, without the heads of fine-tuned variants.

    Raises:
        UserError: one is missing, unknown or of another shape; the first few are named.
    """
    prefixed = any(name.startswith(_PREFIX) for name in arrays)
    found: NumpyBatch = {}
    unknown = []
    for name, array in arrays.items():
        own = name.removeprefix(_PREFIX)
        for old, new in _RENAMED.items():
            if own.endswith(old):
                own = own.removesuffix(old) + new
        if own in wanted and name.startswith(_PREFIX) == prefixed:
            found[own] = array
        elif not own.startswith(_HEADS):
            unknown.append(name)
    missing = [name for name in wanted if name not in found]
    shapes = [
        f"{name} {array.shape} instead of {wanted[name]}"
        for name, array in found.items()
        if array.shape != wanted[name]
    ]
    wrong = [
        f"{what}: {_few(names)}"
        for what, names in (("missing", missing), ("unknown", unknown), ("other shape", shapes))
        if names
    ]
    if wrong:
        raise UserError(
            f"{path} does not fit the config.json beside it ({'; '.join(wrong)}); get both again "
            "from one source"
        )
    return found


def _few(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


@contextlib.contextmanager
def _at_most(threads: int) -> Iterator[None]:
    """Bounds PyTorch's threads meanwhile; its own number is the share that the process has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(before, threads))
    try:
        yield
    finally:
        torch.set_num_threads(before)
