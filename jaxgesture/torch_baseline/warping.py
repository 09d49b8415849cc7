"""Warping calculator (arXiv 2409.17674, eq. 4).

The enhanced feature is read as a one-channel volume whose depth is its channel axis. Output voxel
p = (x_w, y_h, z_d), on the lattice 2 i / (n - 1) - 1 of each axis, is sampled at
    q = p + (R_hw @ p + t),
trilinearly, with zeros outside, at index ((q + 1) n - 1) / 2 of each axis: the lattice is that of
aligned corners and the sampling is not, as the published weights expect.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from jaxgesture.torch_baseline.blocks import at_least_float32


def lattice(n: int) -> Float[Tensor, "n"]:
    """Places from -1 to 1, n of them, rounded as the published weights expect; linspace is not."""
    i = np.arange(n, dtype=np.float32)
    return torch.from_numpy(np.float32(2) * i / np.float32(max(n - 1, 1)) - np.float32(1))


class Warp(nn.Module):
    """Moves a feature volume by one rotation per cell and one translation per image.

    The lattice is float32 in every run (a float64 model holds the same numbers), so use autocast
    for low precision, not `.bfloat16()`.

    Args:
      size: height and width of the feature.
      depth: its channels.
    """

    x: Tensor
    y: Tensor
    z: Tensor

    def __init__(self, size: int, depth: int):
        super().__init__()
        self.register_buffer("x", lattice(size), persistent=False)
        self.register_buffer("y", lattice(size)[:, None], persistent=False)
        self.register_buffer("z", lattice(depth)[:, None, None], persistent=False)

    def places(
        self, rotation: Float[Tensor, "b 9 h w"], translation: Float[Tensor, "b 3"]
    ) -> Float[Tensor, "b z h w 3"]:
        """The places q, ordered (x, y, z), at which each output voxel reads the volume."""
        rotation = at_least_float32(rotation)[:, :, None]
        translation = at_least_float32(translation)[:, :, None, None, None]
        axes = []
        for i, p in enumerate((self.x, self.y, self.z)):
            # Three products summed in order: a matrix product may run at low precision.
            rotated = (
                rotation[:, 3 * i] * self.x
                + rotation[:, 3 * i + 1] * self.y
                + rotation[:, 3 * i + 2] * self.z
            )
            axes.append(p + (rotated + translation[:, i]))
        return torch.stack(axes, -1)

    def forward(
        self,
        feature: Float[Tensor, "b z h w"],
        rotation: Float[Tensor, "b 9 h w"],
        translation: Float[Tensor, "b 3"],
    ) -> Float[Tensor, "b z h w"]:
        """The moved volume, in the type of the feature.

        Args:
          feature: the enhanced feature f_S.
          rotation: the decoded field of rotations, row by row, at the feature's resolution.
          translation: of the whole image, in [-1, 1].
        """
        places = self.places(rotation, translation)
        volume = feature[:, None].to(places.dtype)
        return F.grid_sample(volume, places, align_corners=False)[:, 0].to(feature.dtype)
