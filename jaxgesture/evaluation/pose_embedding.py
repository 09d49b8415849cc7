"""Embedded windows of poses or motion features, for FGD and diversity."""

import dataclasses
import functools

import jax
import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import UserError
from jaxgesture.core.types import Array, PyTree
from jaxgesture.evaluation.batched import in_batches
from jaxgesture.perceptual.pose_autoencoder import (
    PoseAutoencoder,
    PoseAutoencoderConfig,
    PoseAutoencoderNetwork,
)

BATCH = 64


@functools.partial(jax.jit, static_argnums=0)
def _encode(config: PoseAutoencoderConfig, variables: PyTree, windows: Array) -> Array:
    return PoseAutoencoderNetwork(config).apply(variables, windows, method="encode")[0]  # pyright: ignore


@dataclasses.dataclass(frozen=True)
class PoseEmbedding:
    """The features that an autoencoder finds in windows of 34 frames."""

    network: PoseAutoencoder

    @property
    def label(self) -> str:
        """Kind, source and hash of the network."""
        return self.network.label

    def __call__(self, windows: Float[np.ndarray, "n t c"]) -> Float[np.ndarray, "n k"]:
        """The feature of each window.

        Raises:
          UserError: frames of other numbers than the network takes.
        """
        config = self.network.config
        if windows.shape[-1] != config.channels:
            raise UserError(
                f"frames of {windows.shape[-1]} numbers do not fit the {self.label}; give an "
                "embedding that was trained on such frames"
            )
        if not len(windows):
            return np.zeros((0, config.latent))

        def encode(rows: np.ndarray) -> Array:
            return _encode(config, self.network.variables, rows.astype(np.float32))

        with jax.default_matmul_precision("highest"):
            return in_batches(encode, BATCH, windows).astype(np.float64)
