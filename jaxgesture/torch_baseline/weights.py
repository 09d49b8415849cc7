"""State dicts of the feature networks and the discriminator from the JAX package's variables.

The base model's names are those of `jaxgesture.convert.animation`.
"""

import re

import numpy as np
import torch
from torch import Tensor

from jaxgesture.core.types import AnyArray, PyTree

NAMES = {"kernel": "weight", "u": "weight_u", "v": "weight_v"}  # others are the same
SPECTRAL = re.compile(r"^(encoder\.\d+\.weight)$")  # normalised kernels of the discriminator


def feature_state(params: PyTree) -> dict[str, Tensor]:
    """A VGG's state dict, for `VGG.load_features`.

    Args:
      params: {"features_i": {"kernel": HWIO, "bias": O}} of `jaxgesture.perceptual`.
    """
    return {
        f"{module.replace('_', '.')}.{NAMES.get(leaf, leaf)}": _tensor(value)
        for module, leaves in params.items()
        for leaf, value in leaves.items()
    }


def discriminator_state(params: PyTree, stats: PyTree) -> dict[str, Tensor]:
    """A discriminator's state dict, for `Discriminator.load_state_dict`.

    Args:
      params: of `jaxgesture.animation.discriminator`, or gradients of them.
      stats: its vectors u and v; {} for gradients.
    """
    state = feature_state(params) | feature_state(stats)
    return {SPECTRAL.sub(r"\1_orig", name): value for name, value in state.items()}


def _tensor(value: AnyArray) -> Tensor:
    array = np.asarray(value)
    array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
    return torch.from_numpy(np.array(array, order="C"))
