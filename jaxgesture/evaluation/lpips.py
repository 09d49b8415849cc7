"""LPIPS of whole sets of pictures: numpy arrays in and out, weights named and labelled."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from jaxgesture.core.types import Array
from jaxgesture.evaluation.batched import in_batches
from jaxgesture.perceptual import weights
from jaxgesture.perceptual.lpips import lpips
from jaxgesture.perceptual.weights import Weights

BACKBONES = {"alex": "alexnet", "vgg": "vgg16"}
BATCH = 16
PIXELS = 2**20  # of all pictures of a batch together, for the memory's sake


@functools.partial(jax.jit, static_argnames="net")
def _distances(
    params: Mapping[str, Any],
    truth: Float[Array, "b h w 3"],
    candidates: Float[Array, "b k h w 3"],
    net: str,
) -> Float[Array, "b k"]:
    # The maps of the truth, which is not mapped over, are computed once for all candidates.
    return jax.vmap(lambda image: lpips(params, image, truth, net), in_axes=1, out_axes=1)(
        candidates
    )


@dataclasses.dataclass(frozen=True)
class Lpips:
    """The distance with its weights; a `comparison.Metric`.

    Attributes:
      net: "alex" or "vgg".
      backbone: weights of AlexNet or VGG-16.
      heads: weights of its maps.
    """

    net: str
    backbone: Weights
    heads: Weights

    @property
    def label(self) -> str:
        """Version, network, and where the weights come from."""
        random = weights.RANDOM in (self.backbone.source, self.heads.source)
        warning = "; with random weights not comparable to published values" if random else ""
        return (
            f"LPIPS v0.1 on {self.backbone.name} ({_origin(self.backbone)}), heads "
            f"({_origin(self.heads)}){warning}"
        )

    def __call__(
        self,
        candidates: Sequence[Float[np.ndarray, "n h w 3"]],
        truth: Float[np.ndarray, "n h w 3"],
    ) -> Float[np.ndarray, "k n"]:
        """The distance of every picture of every candidate from the true one, images in [0, 1].

        Raises:
          UserError: if the images are too small for the network.
        """
        params = {"features": self.backbone.params, "heads": self.heads.params}

        def distances(rows: np.ndarray, *others: np.ndarray) -> Any:
            stacked = np.stack(others, 1).astype(np.float32)
            return _distances(params, rows.astype(np.float32), stacked, self.net)

        pixels = (len(candidates) + 1) * truth.shape[1] * truth.shape[2]
        size = max(1, min(BATCH, PIXELS // pixels))
        with jax.default_matmul_precision("highest"):
            return in_batches(distances, size, truth, *candidates).T


def load_lpips(net: str, backbone: str, heads: str) -> Lpips:
    """Loads the distance's weights, or makes random ones.

    Args:
      net: "alex" or "vgg".
      backbone: file of torchvision's AlexNet or VGG-16, or "random".
      heads: file of the lpips package, or "random".

    Raises:
      UserError: see `perceptual.weights.load`.
    """
    return Lpips(net, weights.load(BACKBONES[net], backbone), weights.load(f"lpips_{net}", heads))


def _origin(loaded: Weights) -> str:
    return f"{loaded.source}, sha256 {loaded.sha256[:12]}" if loaded.sha256 else loaded.source
