"""Weight files of the frozen networks: which they are, what must be in them, and loading them.

A file is taken whole or not at all: every array that the network has must be there with its shape,
and nothing may be there that is neither known nor named as not needed.
"""

import dataclasses
import hashlib
import math
import os
import pathlib
import re
import zlib
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.core import mapping, weight_files
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import PyTree
from jaxgesture.perceptual import i3d, layout, lpips, vgg

RANDOM = "random"  # in place of a path
# PyTorch's hub writes the first digits of a file's SHA-256 into its name.
HASHED_NAME = re.compile(r"-([0-9a-f]{8,64})\.pth$")

RULES = (
    mapping.Rule(r"features_(\d+)", r"features.\1"),
    mapping.Rule(r"lin_(\d)", r"lin\1.model.1"),
    mapping.Rule(r"((?:Conv3d|Mixed|logits)\w*)", r"\1"),
)
TORCHVISION, LPIPS = "torchvision", "the lpips package, v0.1"
MM_DIFFUSION = "the FVD evaluation of MM-Diffusion"
NOT_NEEDED = {
    TORCHVISION: {r"^classifier\.": "the fully connected layers, behind every map that is used"},
    LPIPS: {},
    MM_DIFFUSION: {r"\.bn\.num_batches_tracked$": "training's count of steps"},
}


@dataclasses.dataclass(frozen=True)
class Network:
    """What is known of a network's weight file.

    Attributes:
      file: its name where it is published.
      origin: who publishes it.
      table: all arrays that must be in it, and what may be.
    """

    file: str
    origin: str
    table: mapping.Table


def _network(name: str, file: str, origin: str, params: PyTree) -> Network:
    entries = mapping.make_entries({"params": params}, RULES)
    remedy = f"give {file} from {origin}"
    return Network(file, origin, mapping.Table(name, remedy, entries, NOT_NEEDED[origin]))


def _array(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _features(network: layout.Layout) -> PyTree:
    return {
        layout.parameter_name(index): {
            "kernel": _array(conv.kernel, conv.kernel, conv.inputs, conv.outputs),
            "bias": _array(conv.outputs),
        }
        for index, conv in network.convs().items()
    }


def _heads(net: str) -> PyTree:
    return {
        lpips.head_name(index): {"kernel": _array(1, 1, width, 1)}
        for index, width in enumerate(lpips.head_widths(net))
    }


NETWORKS = {
    name: _network(name, file, origin, params)
    for name, file, origin, params in (
        ("vgg16", "vgg16-397923af.pth", TORCHVISION, _features(vgg.VGG16)),
        ("vgg19", "vgg19-dcbb9e9d.pth", TORCHVISION, _features(vgg.VGG19)),
        ("alexnet", "alexnet-owt-7be5be79.pth", TORCHVISION, _features(lpips.ALEXNET)),
        ("lpips_alex", "alex.pth", LPIPS, _heads("alex")),
        ("lpips_vgg", "vgg.pth", LPIPS, _heads("vgg")),
        ("i3d", "i3d_pretrained_400.pt", MM_DIFFUSION, i3d.shapes()),
    )
}


@dataclasses.dataclass(frozen=True)
class Weights:
    """The parameters of a frozen network and where they come from.

    Attributes:
      name: of the network, a key of `NETWORKS`.
      params: nested dictionaries of float32 NumPy arrays, kernels as HWIO (in front of them time).
      source: the file, or "random".
      sha256: of the file, in hexadecimal; empty for random weights.
    """

    name: str
    params: PyTree
    source: str
    sha256: str


def load(name: str, path: str | os.PathLike, *, key: str = "", off: Sequence[str] = ()) -> Weights:
    """Loads a frozen network's weights from a file, or makes random ones.

    Args:
      name: a key of `NETWORKS`.
      path: a file that `core.weight_files.read` takes, or "random".
      key: the config key that holds the path, such as "loss.global_weights", for the message.
      off: the config keys that turn the use of the network off at 0, for the message.

    Raises:
      UserError: no path, no such file, a file that is damaged, renamed or not readable without
        running code, or one that does not fit the network; everything that does not fit is in one
        message.
      ValueError: an unknown name.
    """
    network = _known(name)
    path = os.fspath(path)
    if not path:
        raise UserError(_no_path(network, key, off))
    if path == RANDOM:
        return Weights(name, random_params(name), RANDOM, "")
    file = pathlib.Path(path).expanduser()
    if not file.is_file():
        named = f"--config.{key}={path}" if key else path
        what = "that is a folder" if file.is_dir() else "there is no such file"
        raise UserError(f"{named}: {what}; '{RANDOM}' stands for random features")
    sha256 = checked_hash(file)
    params = from_state_dict(name, weight_files.read(file), path)
    return Weights(name, params, path, sha256)


def from_state_dict(name: str, arrays: Mapping[str, np.ndarray], source: str) -> PyTree:
    """The parameters of a network from the arrays of its file.

    Args:
      name: a key of `NETWORKS`.
      arrays: by the file's names, in PyTorch's layout.
      source: where they come from, for the message.

    Raises:
      UserError: names that are missing or not known, other shapes or types, values that are not
        finite; all of them in one message.
      ValueError: an unknown name.
    """
    return mapping.to_variables(arrays, _known(name).table, source)["params"]


def random_params(name: str, seed: int = 0) -> PyTree:
    """Random weights, the same for the same seed on every machine.

    Kernels are He-normal (standard deviation sqrt(2 / inputs), which keeps the size of the maps),
    biases zero, batch normalisation the identity but for its epsilon, heads uniform in [0, 1):
    random features still tell images and videos apart.

    Raises:
      ValueError: an unknown name.
    """
    arrays = {}
    for entry in _known(name).table.entries:
        stream = zlib.crc32(f"{seed}:{name}:{entry.name}".encode())
        rng = np.random.Generator(np.random.PCG64(stream))
        if entry.name.startswith("lin"):
            array = rng.uniform(0, 1, entry.shape)
        elif entry.leaf.endswith("kernel"):
            scale = math.sqrt(2 / math.prod(entry.shape[1:]))
            array = scale * rng.standard_normal(entry.shape)
        else:
            array = np.full(entry.shape, float(entry.leaf.endswith(("scale", "var"))))
        arrays[entry.name] = array.astype(np.float32)
    return from_state_dict(name, arrays, RANDOM)


def _known(name: str) -> Network:
    if name not in NETWORKS:
        raise ValueError(f"no frozen network {name!r}; choose one of {', '.join(NETWORKS)}")
    return NETWORKS[name]


def _no_path(network: Network, key: str, off: Sequence[str]) -> str:
    wanted = f"{network.file} from {network.origin}"
    if not key:
        return f"no weight file; give the path of {wanted}, or '{RANDOM}' for random features"
    flags = " ".join(f"--config.{name}=0" for name in off)
    none = f", or {flags} to do without" if flags else ""
    return (
        f"{key} is empty, and the loss needs {wanted}: set --config.{key}=PATH, "
        f"or '{RANDOM}' for random features{none}"
    )


def checked_hash(file: pathlib.Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
      UserError: it cannot be read, or its name tells the beginning of another.
    """
    try:
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    named = HASHED_NAME.search(file.name)
    if named and not sha256.startswith(named[1]):
        raise UserError(
            f"{file} is damaged or renamed: its name says that its SHA-256 begins with {named[1]}, "
            f"but it begins with {sha256[: len(named[1])]}; download it again, or give it a name "
            "without a hash if it is meant to be another file"
        )
    return sha256
