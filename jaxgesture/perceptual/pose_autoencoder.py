"""The autoencoder of gestures behind FGD (Yoon et al., ACM TOG 2020, arXiv 2009.02119).

It takes windows of 34 frames of any numbers: the 27 of `data.pose_vectors`, or motion features.
The feature of a window is

    encoder: convolutions over time c -> 32 -> 64 -> 64 (stride 2) -> 32, all numbers of the 12
        frames that are left, 384 -> 256 -> 128 -> latent; with `heads` two more layers, of which
        the mean is the feature and the other, the logarithm of a variance, is not used
    decoder: latent -> 64 -> 136 = 4 channels of 34 frames, convolutions 4 -> 32 -> 32 (transposed)
        -> 32 -> c

with batch normalisation and a leaky ReLU (slope 0.2) after each convolution but the last of either
half. The layers between fully connected ones have no activation: the published code gives the leaky
ReLU the slope 1 there.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgesture.core import config as configuration
from jaxgesture.core import export, inert, mapping, tree, weight_files
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import Array, Float, NumpyBatch, PyTree
from jaxgesture.layers.norm import BatchNorm
from jaxgesture.perceptual.weights import RANDOM, checked_hash

STAGE = "pose_autoencoder"
NETWORK = "autoencoder"
FRAMES = 34
SLOPE = 0.2
# Under which published checkpoints keep the weights, beside other things.
WRAPPERS = ("gen_dict", "motion_ae", "model_state_dict")
PUBLISHED_PREFIX = "pose_encoder."  # "encoder." in some files
PUBLISHED = "published; trained on vectors with depth less their mean, which it is not given here"
NOT_NEEDED = {r"num_batches_tracked$": "counters of training"}


@dataclasses.dataclass(frozen=True)
class PoseAutoencoderConfig:
    """Sizes of the network.

    Attributes:
      channels: numbers of a frame.
      latent: numbers of the feature.
      heads: the feature comes from a layer of its own, as in the published file of 27 channels.
    """

    channels: int = 27
    latent: int = 32
    heads: bool = False

    def __post_init__(self):
        if self.channels < 1 or self.latent < 1:
            raise UserError(
                f"model.channels={self.channels} and model.latent={self.latent}: choose 1 or more"
            )


class _Norm(nn.Module):
    """Batch normalisation of rows (b, c) or (b, t, c)."""

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        shape = (x.shape[0], 1, -1, x.shape[-1])
        return BatchNorm(name="norm")(x.reshape(shape), train=train).reshape(x.shape)


class _Conv(nn.Module):
    """A convolution over time with bias, without padding."""

    width: int
    kernel: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b t c"]) -> Float[Array, "b s d"]:
        shape = (self.kernel, x.shape[-1], self.width)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        y = lax.conv_general_dilated(
            x, kernel, (self.stride,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
        )
        return y + bias[None, None]


class _Transposed(nn.Module):
    """A transposed convolution of three taps over time: two frames more than before."""

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "b t c"]) -> Float[Array, "b s d"]:
        # Taps, outputs, inputs: PyTorch's order of a transposed convolution, turned round.
        shape = (3, self.width, x.shape[-1])
        kernel = self.param("kernel", nn.initializers.lecun_normal(in_axis=-1, out_axis=-2), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        y = lax.conv_general_dilated(
            x, kernel[::-1].transpose(0, 2, 1), (1,), [(2, 2)],
            dimension_numbers=("NWC", "WIO", "NWC"),
        )  # fmt: skip
        return y + bias[None, None]


class _Encoder(nn.Module):
    config: PoseAutoencoderConfig

    @nn.compact
    def __call__(self, x: Float[Array, "b t c"], train: bool) -> tuple[Array, Array | None]:
        layers = ((32, 3, 1), (64, 3, 1), (64, 4, 2))
        for number, (width, kernel, stride) in enumerate(layers):
            x = _Conv(width, kernel, stride, name=f"conv_{number}")(x)
            x = nn.leaky_relu(_Norm(name=f"conv_norm_{number}")(x, train), SLOPE)
        x = _Conv(32, name="conv_3")(x)
        x = x.transpose(0, 2, 1).reshape(len(x), -1)
        for number, width in enumerate((256, 128)):
            x = _Norm(name=f"dense_norm_{number}")(
                nn.Dense(width, name=f"dense_{number}")(x), train
            )
        x = nn.Dense(self.config.latent, name="dense_2")(x)
        if not self.config.heads:
            return x, None
        mean, spread = (nn.Dense(self.config.latent, name=name)(x) for name in ("mean", "logvar"))
        return mean, spread


class _Decoder(nn.Module):
    config: PoseAutoencoderConfig

    @nn.compact
    def __call__(self, x: Float[Array, "b k"], train: bool) -> Float[Array, "b t c"]:
        x = _Norm(name="dense_norm_0")(nn.Dense(64, name="dense_0")(x), train)
        x = nn.Dense(4 * FRAMES, name="dense_1")(x).reshape(len(x), 4, FRAMES).transpose(0, 2, 1)
        for number in range(2):
            x = _Transposed(32, name=f"transposed_{number}")(x)
            x = nn.leaky_relu(_Norm(name=f"transposed_norm_{number}")(x, train), SLOPE)
        x = _Conv(32, name="conv_0")(x)
        return _Conv(self.config.channels, name="conv_1")(x)


class PoseAutoencoderNetwork(nn.Module):
    """The two halves; `encode` gives feature and, with heads, the unused logarithm of variance."""

    config: PoseAutoencoderConfig

    def setup(self):
        """Names the halves."""
        self.encoder, self.decoder = _Encoder(self.config), _Decoder(self.config)

    def __call__(self, windows: Float[Array, "b t c"], *, train: bool = False) -> Array:
        """Windows, encoded and decoded."""
        return self.decoder(self.encoder(windows, train)[0], train)

    def encode(self, windows: Float[Array, "b t c"]) -> tuple[Array, Array | None]:
        """The feature of each window (b, k)."""
        return self.encoder(windows, False)


_RULES = (
    *(mapping.Rule(rf"encoder/conv_{k}", rf"encoder.net.{k}.0") for k in range(3)),
    *(mapping.Rule(rf"encoder/conv_norm_{k}/norm", rf"encoder.net.{k}.1") for k in range(3)),
    mapping.Rule(r"encoder/conv_3", r"encoder.net.3"),
    *(mapping.Rule(rf"encoder/dense_{k}", rf"encoder.out_net.{3 * k}") for k in range(3)),
    *(mapping.Rule(rf"encoder/dense_norm_{k}/norm", rf"encoder.out_net.{3 * k + 1}")
      for k in range(2)),
    mapping.Rule(r"encoder/mean", r"encoder.fc_mu"),
    mapping.Rule(r"encoder/logvar", r"encoder.fc_logvar"),
    *(mapping.Rule(rf"decoder/dense_{k}", rf"decoder.pre_net.{3 * k}") for k in range(2)),
    mapping.Rule(r"decoder/dense_norm_0/norm", r"decoder.pre_net.1"),
    *(mapping.Rule(rf"decoder/transposed_{k}", rf"decoder.net.{3 * k}") for k in range(2)),
    *(mapping.Rule(rf"decoder/transposed_norm_{k}/norm", rf"decoder.net.{3 * k + 1}")
      for k in range(2)),
    *(mapping.Rule(rf"decoder/conv_{k}", rf"decoder.net.{k + 6}") for k in range(2)),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class PoseAutoencoder:
    """A loaded network.

    Attributes:
      config: its sizes.
      variables: {"params", "batch_stats"}.
      source: where it comes from.
      sha256: of its file, or of its weights; empty for random ones.
      about: what it was trained on, where that is known.
    """

    config: PoseAutoencoderConfig
    variables: PyTree
    source: str
    sha256: str
    about: str = ""

    @property
    def label(self) -> str:
        """For reports: channels, source, hash, and what it was trained on."""
        kind = f"pose autoencoder of {self.config.channels} numbers a frame"
        if self.source == RANDOM:
            return f"{kind}, random weights: comparable with nothing published"
        about = f", {self.about}" if self.about else ""
        return f"{kind} ({self.source}, sha256 {self.sha256[:12]}{about})"


def template(config: PoseAutoencoderConfig) -> PyTree:
    """The variables as shape structs."""
    windows = jax.ShapeDtypeStruct((1, FRAMES, config.channels), jnp.float32)
    return jax.eval_shape(PoseAutoencoderNetwork(config).init, jax.random.key(0), windows)


def from_state_dict(arrays: Mapping[str, np.ndarray], source: str) -> PoseAutoencoder:
    """The network of a published state dict, whose sizes tell themselves.

    Raises:
      UserError: it is another network's; everything that does not fit is in one message.
    """
    state = {_plain(name): np.asarray(array) for name, array in arrays.items()}
    first, last = state.get("encoder.net.0.0.weight"), state.get("encoder.out_net.6.weight")
    if first is None or last is None or first.ndim != 3 or last.ndim != 2:
        raise UserError(
            f"{source} holds no autoencoder of poses: encoder.net.0.0.weight and "
            "encoder.out_net.6.weight are expected; give a checkpoint of Yoon et al. 2020 or HA2G, "
            "or a workdir of `jaxgesture train --config=configs/pose_autoencoder.py:paper`"
        )
    heads = "encoder.fc_mu.weight" in state
    config = PoseAutoencoderConfig(first.shape[1], last.shape[0], heads)
    table = mapping.Table(
        "an autoencoder of poses",
        "give a checkpoint of Yoon et al. 2020 or HA2G",
        mapping.make_entries(template(config), _RULES),
        NOT_NEEDED,
    )
    variables = mapping.to_variables(state, table, source)
    return PoseAutoencoder(config, variables, source, "", PUBLISHED)


def _plain(name: str) -> str:
    if name.startswith(PUBLISHED_PREFIX):
        return f"encoder.{name.removeprefix(PUBLISHED_PREFIX)}"
    return name


def load_pose_autoencoder(path: str | os.PathLike[str], channels: int = 27) -> PoseAutoencoder:
    """Loads an autoencoder of poses.

    Args:
      path: a work directory of `jaxgesture train --config=configs/pose_autoencoder.py`, a published
        checkpoint, whatever it pickles besides, or "random".
      channels: of random weights.

    Raises:
      UserError: missing, damaged, or another network's; nothing in a file is run.
    """
    if os.fspath(path) == RANDOM:
        return random(channels)
    place = pathlib.Path(path).expanduser()
    if place.is_file() or place.suffix.lower() in weight_files.SUFFIXES:
        if not place.is_file():
            raise UserError(f"there is no file {place}; '{RANDOM}' stands for random weights")
        found = from_state_dict(inert.read(place, WRAPPERS), str(place))
        return dataclasses.replace(found, sha256=checked_hash(place))
    network, meta = export.restore_trained(place, NETWORK, STAGE)
    config = configuration.build(PoseAutoencoderConfig, meta["config"]["model"], name="model")
    variables = {"params": network.params, "batch_stats": network.stats}
    return PoseAutoencoder(
        config, variables, str(place), tree.sha256(variables), meta.get("about", "")
    )


def random(channels: int, seed: int = 0) -> PoseAutoencoder:
    """Random weights, the same for the same seed on every machine."""
    config = PoseAutoencoderConfig(channels)
    rng = np.random.default_rng(seed)

    def draw(name: str, leaf: Any) -> np.ndarray:
        if name.endswith("kernel"):
            scale = np.sqrt(1 / np.prod(leaf.shape[:-1]))
            return (scale * rng.standard_normal(leaf.shape)).astype(np.float32)
        value = 1.0 if name.endswith(("scale", "var")) else 0.0
        return np.full(leaf.shape, value, np.float32)

    leaves: NumpyBatch = {n: draw(n, leaf) for n, leaf in tree.flatten(template(config)).items()}
    return PoseAutoencoder(config, tree.unflatten(leaves), RANDOM, "")
