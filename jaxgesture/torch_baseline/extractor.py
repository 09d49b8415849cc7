"""Latent deviation extractor (arXiv 2409.17674, eq. 3): an image to a field of rotations.

Each angle is the expectation of a distribution over bins,
    angle = sum_i softmax(logits)_i * (3 i - 99) degrees,
and each cell's rotation is R = Pitch(x) @ Yaw(y) @ Roll(z).
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.torch_baseline.blocks import at_least_float32, full_precision


class Bottleneck(nn.Module):
    """1x1 to a quarter of the channels, 3x3, 1x1 back, each with batch norm; residual."""

    def __init__(self, channels: int, stride: int = 1):
        super().__init__()
        inner = channels // 4
        self.conv1 = nn.Conv2d(channels, inner, 1)
        self.norm1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, channels, 1)
        self.norm3 = nn.BatchNorm2d(channels)
        if stride > 1:
            self.skip = nn.Conv2d(channels, channels, 1, stride)
            self.norm4 = nn.BatchNorm2d(channels)
        else:
            self.skip = self.norm4 = nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Returns the activated sum of the input (or its strided projection) and the residual."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.norm4(self.skip(x)) + self.norm3(self.conv3(y)))


class DeviationExtractor(nn.Module):
    """A bottleneck network at 1/16 of the image's resolution with angle and translation heads."""

    degrees: Tensor

    def __init__(self, config: AnimationConfig):
        super().__init__()
        self.offset, self.pi = config.offset_degrees, config.pi
        first, second, third = config.extractor_widths

        def blocks(stage: int, channels: int, count: int) -> nn.Sequential:
            return nn.Sequential(
                OrderedDict((f"b{stage}_{i}", Bottleneck(channels)) for i in range(count))
            )

        self.conv1 = nn.Conv2d(3, config.extractor_stem, 7, 2, padding=3)
        self.norm1 = nn.BatchNorm2d(config.extractor_stem)
        self.conv2 = nn.Conv2d(config.extractor_stem, first, 1)
        self.norm2 = nn.BatchNorm2d(first)
        self.block1 = blocks(1, first, config.extractor_blocks[0])
        self.conv3 = nn.Conv2d(first, second, 1)
        self.norm3 = nn.BatchNorm2d(second)
        self.block2 = Bottleneck(second, 2)
        self.block3 = blocks(3, second, config.extractor_blocks[1])
        self.conv4 = nn.Conv2d(second, third, 1)
        self.norm4 = nn.BatchNorm2d(third)
        self.block4 = Bottleneck(third, 2)
        self.block5 = blocks(5, third, config.extractor_blocks[2])
        self.fc_roll_down8 = nn.Conv2d(third, config.bins, 1)
        self.fc_pitch_down8 = nn.Conv2d(third, config.bins, 1)
        self.fc_yaw_down8 = nn.Conv2d(third, config.bins, 1)
        self.fc_t_down8 = nn.Sequential(nn.Conv2d(third, 3, 1), nn.Tanh())
        degrees = torch.arange(config.bins, dtype=torch.float32) * config.bin_degrees
        self.register_buffer("degrees", degrees[:, None, None], persistent=False)

    def forward(
        self, image: Float[Tensor, "b 3 h w"]
    ) -> tuple[dict[str, Tensor], Float[Tensor, "b 3"]]:
        """Returns the logits {"yaw", "pitch", "roll"} (b, bins, h/16, w/16) and the translation."""
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(image))), 3, 2, padding=1)
        x = self.block1(F.relu(self.norm2(self.conv2(x))))
        x = self.block3(self.block2(F.relu(self.norm3(self.conv3(x)))))
        x = self.block5(self.block4(F.relu(self.norm4(self.conv4(x)))))
        with full_precision(x):
            x = at_least_float32(x)
            # The release crosses two names: yaw is read from the head called roll.
            logits = {
                "yaw": self.fc_roll_down8(x),
                "pitch": self.fc_pitch_down8(x),
                "roll": self.fc_yaw_down8(x),
            }
            translation = self.fc_t_down8(x.mean((2, 3), keepdim=True))
        return logits, translation.flatten(1)

    def expected_angle(self, logits: Float[Tensor, "b n h w"]) -> Float[Tensor, "b h w"]:
        """The expected angle in radians (with the configured pi) of a distribution over bins."""
        # Not a matrix product, which may run at low precision.
        expectation = (at_least_float32(logits).softmax(1) * self.degrees).sum(1)
        return (expectation - self.offset) / 180 * self.pi

    def rotation(self, logits: dict[str, Tensor]) -> Float[Tensor, "b h w 9"]:
        """The rotation matrix of each cell, row by row."""
        return rotation_matrix(**{name: self.expected_angle(v) for name, v in logits.items()})


def rotation_matrix(
    yaw: Float[Tensor, "*n"], pitch: Float[Tensor, "*n"], roll: Float[Tensor, "*n"]
) -> Float[Tensor, "*n 9"]:
    """R = Pitch(x) @ Yaw(y) @ Roll(z) row by row; angles in radians, right-handed."""
    (sx, cx), (sy, cy), (sz, cz) = ((a.sin(), a.cos()) for a in (pitch, yaw, roll))
    return torch.stack(
        (
            cy * cz, -cy * sz, sy,
            cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy,
            sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy,
        ),
        -1,
    )  # fmt: skip
