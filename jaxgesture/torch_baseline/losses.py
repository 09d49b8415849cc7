"""Losses of the base model (arXiv 2409.17674, eqs. 8, 9), those of the JAX package.

Only generated images carry a gradient. All terms are computed in float32, the feature networks in
the type that autocast gives them.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jaxgesture.torch_baseline.blocks import at_least_float32, full_precision
from jaxgesture.torch_baseline.vgg import VGG

MOTION_FLOOR = 0.01  # mean change per pixel below which a pair counts less


class BlurDownsample(nn.Module):
    """One level of an anti-aliased pyramid: Gaussian blur, then every `factor`-th pixel from 0.

    The blur is separable with sigma (factor - 1) / 2, cut at 4 sigma, zero padded, as in the First
    Order Motion Model (arXiv 2003.00196).
    """

    column: Tensor
    row: Tensor

    def __init__(self, factor: int, channels: int = 3):
        super().__init__()
        self.factor, self.channels = factor, channels
        sigma = (factor - 1) / 2
        self.radius = round(4 * sigma)
        positions = np.arange(-self.radius, self.radius + 1, dtype=np.float64)
        taps = np.exp(-(positions**2) / (2 * sigma**2))
        taps = torch.from_numpy((taps / taps.sum()).astype(np.float32))
        self.register_buffer("column", taps[:, None].repeat(channels, 1, 1, 1), persistent=False)
        self.register_buffer("row", taps.repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Returns the level, in at least float32."""
        with full_precision(x):
            x, n = at_least_float32(x), self.channels
            x = F.conv2d(x, self.column, None, (self.factor, 1), (self.radius, 0), groups=n)
            return F.conv2d(x, self.row, None, (1, self.factor), (0, self.radius), groups=n)


def pyramid_level(factor: int) -> nn.Module:
    """Reduction by `factor`; 1 is the identity."""
    return nn.Identity() if factor == 1 else BlurDownsample(factor)


class ReconstructionLoss(nn.Module):
    """Differences of pixels.

        L_pixel = sum_s mean |blur_s(generated) - blur_s(real)|,   s in scales,
        L_motion = mean (m / mean m) |generated - real|,   m = 5x5 mean of |source - real|.

    Args:
      scales: levels of the pyramid, as factors of reduction.
      pixel: weight of the absolute difference at each level.
      squared: weight of the squared difference at full resolution.
      motion: weight of the absolute difference where source and driving frame differ; 0 leaves the
        term out.
    """

    def __init__(
        self,
        scales: Sequence[int] = (1, 2, 4, 8),
        pixel: float = 1.0,
        squared: float = 0.0,
        motion: float = 0.0,
    ):
        super().__init__()
        self.scales = tuple(scales)
        self.pixel, self.squared, self.motion = pixel, squared, motion
        self.levels = nn.ModuleList(pyramid_level(scale) for scale in scales)

    def forward(
        self,
        generated: Float[Tensor, "b 3 h w"],
        real: Float[Tensor, "b 3 h w"],
        source: Float[Tensor, "b 3 h w"],
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Returns the weighted sum and its unweighted terms."""
        real, source = real.detach(), source.detach()
        difference = generated - real
        # The blur is linear: one pyramid of the difference serves both images.
        terms = {
            f"pixel_{scale}": level(difference).abs().mean()
            for scale, level in zip(self.scales, self.levels, strict=True)
        }
        total = self.pixel * torch.stack(list(terms.values())).sum()
        terms["squared"] = difference.square().mean()
        total = total + self.squared * terms["squared"]
        if self.motion:
            terms["motion"] = (motion_weight(real, source) * difference.abs()).mean()
            total = total + self.motion * terms["motion"]
        return total, terms


def motion_weight(
    real: Float[Tensor, "b 3 h w"], source: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 1 h w"]:
    """How much each pixel changes between source and driving frame; mean about 1 per image."""
    change = (real - source).abs().mean(1, keepdim=True)
    change = F.avg_pool2d(change, 5, 1, padding=2, divisor_override=1)
    # The floor keeps two equal frames from being all weight.
    return change / change.mean((1, 2, 3), keepdim=True).clamp_min(25 * MOTION_FLOOR)


class GlobalLoss(nn.Module):
    """Differences of VGG-19 maps phi_k on an anti-aliased pyramid of the images (eq. 8).

        T[s, k] = mean |phi_k(blur_s(generated)) - phi_k(blur_s(real))|.

    Args:
      network: `vgg.vgg19()` with its weights.
      scales: levels of the pyramid, as factors of reduction.
    """

    def __init__(self, network: VGG, scales: Sequence[int] = (1, 2, 4, 8)):
        super().__init__()
        self.network = network
        self.scales = tuple(scales)
        self.levels = nn.ModuleList(pyramid_level(scale) for scale in scales)

    def forward(
        self, generated: Float[Tensor, "b 3 h w"], real: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "s 5"]:
        """Returns the unweighted terms T for images in [0, 1].

        Raises:
          ValueError: if the smallest level is too small for the network.
        """
        least = self.network.least_size
        if min(generated.shape[2:]) <= (least - 1) * max(self.scales):
            raise ValueError(
                f"images of {tuple(generated.shape[2:])} pixels are too small for VGG-19 at scale "
                f"{max(self.scales)}; use at least {(least - 1) * max(self.scales) + 1} pixels, or "
                "fewer scales"
            )
        return torch.stack([self._row(level, generated, real) for level in self.levels])

    def _row(self, level: nn.Module, generated: Tensor, real: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.network(level(real))
        pairs = zip(self.network(level(generated)), wanted, strict=True)
        return torch.stack([_absolute_difference(a, b).mean() for a, b in pairs])


class LocalLoss(nn.Module):
    """Differences of VGG-16 maps F_k (c x h w numbers) on the boxes of hands and face (eq. 9).

        feature = sum_k mean |F_k - F'_k|,   style = sum_k mean |F_k F_k^T - F'_k F'_k^T| / (c h w).

    Each is the mean over the boxes that are there, 0 if there are none.

    Args:
      network: `vgg.vgg16()` with its weights.
      size: side in pixels to which each box is brought.
    """

    def __init__(self, network: VGG, size: int):
        super().__init__()
        self.network, self.size = network, size

    def forward(
        self,
        generated: Float[Tensor, "b 3 h w"],
        real: Float[Tensor, "b 3 h w"],
        boxes: Float[Tensor, "b k 4"],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Returns feature and style.

        Args:
          generated: in [0, 1].
          real: in [0, 1].
          boxes: x0, y0, x1, y1 as fractions of the image, NaN for a box that is not there.
        """
        grid, present = sampling_grid(boxes.to(generated.dtype), self.size)
        with torch.no_grad():
            wanted = self.network(_crops(real, grid))
        pairs = list(zip(self.network(_crops(generated, grid)), wanted, strict=True))
        features = torch.stack([_absolute_difference(a, b).mean((1, 2, 3)) for a, b in pairs])
        styles = torch.stack([_style(a, b) for a, b in pairs])
        weight = present.flatten().to(features.dtype)
        return (weight * features.sum(0)).mean(), (weight * styles.sum(0)).mean()


def sampling_grid(
    boxes: Float[Tensor, "b k 4"], size: int
) -> tuple[Float[Tensor, "b k*s s 2"], Bool[Tensor, "b k"]]:
    """Where `F.grid_sample` reads the crops of an image, one below the other.

    Sample j of s along x lies at the fraction x0 + (x1 - x0) (j + 0.5) / s of the width.

    Returns:
      the grid, and which boxes are there. In place of one that is not it reads the whole image, so
      that no value and no gradient is NaN.
    """
    present = boxes.isfinite().all(-1)
    first, last = boxes.unflatten(-1, (2, 2)).unbind(-2)
    first = torch.where(present[..., None], first, 0.0)[..., None, :]
    last = torch.where(present[..., None], last, 1.0)[..., None, :]
    centres = (torch.arange(size, dtype=boxes.dtype, device=boxes.device) + 0.5) / size
    x, y = (2 * (first + (last - first) * centres[:, None]) - 1).unbind(-1)
    shape = (*present.shape, size, size)
    grid = torch.stack((x[:, :, None].expand(shape), y[..., None].expand(shape)), -1)
    return grid.flatten(1, 2), present


def _crops(image: Tensor, grid: Tensor) -> Tensor:
    """The crops as a batch of b*k squares: all of an image's are one sample of k*s rows."""
    rows = F.grid_sample(image, grid, padding_mode="border", align_corners=False)
    size = grid.shape[2]
    return rows.unflatten(2, (-1, size)).transpose(1, 2).flatten(0, 1)


def _absolute_difference(a: Tensor, b: Tensor) -> Tensor:
    return (at_least_float32(a) - at_least_float32(b)).abs()


def _style(a: Tensor, b: Tensor) -> Tensor:
    """The mean absolute difference of Gram matrices / (c h w), per example."""
    difference = _absolute_difference(_gram(a), _gram(b)).mean((1, 2))
    return difference / (a.shape[1] * a.shape[2] * a.shape[3])


def _gram(maps: Tensor) -> Tensor:
    with full_precision(maps):
        rows = at_least_float32(maps).flatten(2)
        return rows @ rows.mT
