"""Convolution blocks of the PyTorch twin, channels first; names as in the released state dict.

Modules keep the memory format of their input and run in float32, float64 or under autocast. Under
autocast a normalisation takes its statistics in float32 and returns the type it was given.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SCALES = {"down": 0.5, "up": 2.0}
Resize = Literal["none", "down", "up"]


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32, or in float64 if it is that already."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def full_precision(x: Tensor) -> torch.autocast:
    """A context without autocast on the device of `x`."""
    return torch.autocast(x.device.type, enabled=False)


def group_count(channels: int, most: int) -> int:
    """The largest divisor of `channels` that is not above `most`."""
    return next(n for n in range(min(most, channels), 0, -1) if channels % n == 0)


class GroupNorm(nn.GroupNorm):
    """Group normalisation, eps 1e-5, in at most `groups` groups.

    Args:
      groups: wanted number of groups; the largest divisor of the channels not above it is used.
      channels: of the input.
    """

    def __init__(self, groups: int, channels: int):
        super().__init__(group_count(channels, groups), channels)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Returns the normalised map in the type of the input."""
        # Autocast would cast every map to float32 and back; the sums are in float32 either way.
        with torch.autocast(input.device.type, enabled=False):
            weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
            return F.group_norm(input, self.num_groups, weight, bias, self.eps)


def resized(x: Float[Tensor, "b c h w"], resize: Resize) -> Float[Tensor, "b c h2 w2"]:
    """Nearest resize: "down" keeps pixels 0, 2, 4, ..., "up" repeats each twice."""
    return x if resize == "none" else F.interpolate(x, scale_factor=SCALES[resize])


class ConvNormRelu(nn.Module):
    """Convolution, group normalisation, ReLU, at constant resolution."""

    def __init__(self, inputs: int, outputs: int, groups: int, kernel: int = 3):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = GroupNorm(groups, outputs)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        """Returns the activated map."""
        return F.relu(self.norm(self.conv(x)))


class ResidualBlock(nn.Module):
    """Pre-activation block: x + conv(relu(norm(conv(relu(norm(x)))))), channels unchanged."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.norm1 = GroupNorm(groups, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = GroupNorm(groups, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Returns the map with the residual added."""
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


class ResizeBlock(nn.Module):
    """Pre-activation block that may resize and change the number of channels.

    norm, ReLU, nearest resize, 3x3, norm, ReLU, 3x3; the shortcut is a 1x1 convolution of the
    resized input wherever the block resizes or changes the number of channels.
    """

    def __init__(self, inputs: int, outputs: int, groups: int, resize: Resize = "none"):
        super().__init__()
        self.resize: Resize = resize
        self.norm1 = GroupNorm(groups, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = GroupNorm(groups, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        projects = resize != "none" or inputs != outputs
        self.conv3 = nn.Conv2d(inputs, outputs, 1) if projects else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Returns the resized map."""
        y = self.conv1(resized(F.relu(self.norm1(x)), self.resize))
        y = self.conv2(F.relu(self.norm2(y)))
        return self.conv3(resized(x, self.resize)) + y
