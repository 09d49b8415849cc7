"""Patch discriminator with spectral norm, and the least-squares GAN (arXiv 2409.17674, eq. 10).

Spectral norm (arXiv 1802.05957): a kernel is used as W / sigma, with sigma = u^T W v and W read as
a matrix of (outputs, the rest). A forward pass in training mode first does one power iteration,
    v <- W^T u / |W^T u|,   u <- W v / |W v|,
and takes u and v as constants; sigma's gradient goes through W.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from jaxgesture.torch_baseline.blocks import at_least_float32, full_precision

PADDING = 1
SLOPE = 0.2
EPSILON = 1e-12  # least length that a vector is divided by


class SpectralConv2d(nn.Module):
    """A convolution without bias whose kernel is divided by its spectral norm.

    By hand, because the hooks of `torch.nn.utils.spectral_norm` break a compiled graph, and its
    successor has other names.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int):
        super().__init__()
        self.stride = stride
        weight = nn.Conv2d(inputs, outputs, kernel, bias=False).weight
        self.weight_orig = nn.Parameter(weight.detach())
        rows, columns = weight.flatten(1).shape
        for name, length in (("weight_u", rows), ("weight_v", columns)):
            self.register_buffer(name, F.normalize(torch.randn(length), dim=0, eps=EPSILON))

    def sigma(self) -> Float[Tensor, ""]:
        """The spectral norm, after one power iteration in training mode."""
        # In channels_last the kernel's memory runs otherwise, and the flattening is a copy.
        matrix = self.weight_orig.flatten(1)
        u, v = self.weight_u, self.weight_v
        if self.training:
            with torch.no_grad():
                v = F.normalize(torch.mv(matrix.T, u), dim=0, eps=EPSILON)
                u = F.normalize(torch.mv(matrix, v), dim=0, eps=EPSILON)
                # The graph keeps the new vectors: the next pass may write the buffers before the
                # backward pass of this one.
                self.weight_u.copy_(u)
                self.weight_v.copy_(v)
        return torch.dot(u, torch.mv(matrix, v))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Returns the convolution with the normalised kernel."""
        with full_precision(x):
            weight = self.weight_orig / self.sigma()
        return F.conv2d(x, weight, stride=self.stride, padding=PADDING)


class Discriminator(nn.Module):
    """Logits of overlapping patches: convolutions with spectral norm, LeakyReLU 0.2 behind each.

    Args:
      widths: channels of the convolutions in front of the classifier.
      kernel: side of all kernels; the padding is 1 whatever it is.
      strides: of the convolutions in front of the classifier, whose own is 1.
    """

    def __init__(
        self,
        widths: Sequence[int] = (64, 128, 256, 512),
        kernel: int = 5,
        strides: Sequence[int] = (2, 2, 2, 1),
    ):
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, stride in zip(widths, strides, strict=True):
            layers.append(SpectralConv2d(channels, width, kernel, stride))
            layers.append(nn.LeakyReLU(SLOPE, inplace=True))
            channels = width
        self.encoder = nn.Sequential(*layers)
        self.classifier = nn.Conv2d(channels, 1, kernel, padding=PADDING)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        """Returns one logit a patch, float32, for images in [0, 1]."""
        return at_least_float32(self.classifier(self.encoder(image)))


def lsgan_discriminator(
    real_logits: Float[Tensor, "*n"], fake_logits: Float[Tensor, "*n"]
) -> Float[Tensor, ""]:
    """Half the sum of mean (real - 1)^2 and mean fake^2 (arXiv 1611.04076)."""
    return 0.5 * ((real_logits - 1).square().mean() + fake_logits.square().mean())


def lsgan_generator(fake_logits: Float[Tensor, "*n"]) -> Float[Tensor, ""]:
    """Mean (fake - 1)^2: the generator wants its images to be taken for real."""
    return (fake_logits - 1).square().mean()
