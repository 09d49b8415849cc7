"""Encoder, enhancer, motion decoder and deviation decoder (arXiv 2409.17674, eqs. 1, 2, 4-7)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.torch_baseline.blocks import (
    ConvNormRelu,
    GroupNorm,
    ResidualBlock,
    ResizeBlock,
    at_least_float32,
    resized,
)
from jaxgesture.torch_baseline.warping import Warp

# Group counts of the published model.
FIRST, DOWN, RESIDUAL, NARROW, WIDE, OUTPUT, UP, SCENE = 4, 8, 16, 8, 16, 12, 8, 4
UP_RESIDUAL = (8, 8, 4)


class UNet(nn.Module):
    """Two levels down, one block, two levels up with concatenated shortcuts."""

    def __init__(self, channels: int, widths: tuple[int, int]):
        super().__init__()
        narrow, wide = widths
        self.down_0 = ResizeBlock(channels, narrow, NARROW, "down")
        self.down_1 = ResizeBlock(narrow, wide, WIDE, "down")
        self.mid_0 = ResizeBlock(wide, wide, WIDE)
        self.up_1 = ResizeBlock(2 * wide, wide, WIDE, "up")
        self.up_0 = ResizeBlock(wide + narrow, narrow, NARROW, "up")
        self.out_o = nn.Sequential(
            GroupNorm(OUTPUT, narrow), nn.ReLU(), nn.Conv2d(narrow, channels, 3, padding=1)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Returns a map of the input's shape; h and w are multiples of 4."""
        down_0 = self.down_0(x)
        down_1 = self.down_1(down_0)
        y = self.up_1(torch.cat((self.mid_0(down_1), down_1), 1))
        return self.out_o(self.up_0(torch.cat((y, down_0), 1)))


class MotionDecoder(nn.Module):
    """A U-Net over the field of rotations with one more level up than down."""

    def __init__(self, config: AnimationConfig):
        super().__init__()
        full, half, quarter, middle, up_1, up_0, up_out, out = config.motion_widths
        self.conv_0 = nn.Conv2d(9, full, 1)
        self.down_0 = ResizeBlock(full, half, 4, "down")
        self.down_1 = ResizeBlock(half, quarter, 8, "down")
        self.mid_0 = ResizeBlock(quarter, middle, 8)
        self.res_mid = nn.Sequential(
            *(ResizeBlock(middle, middle, 16) for _ in range(config.motion_blocks))
        )
        self.up_1 = ResizeBlock(middle + quarter, up_1, 16, "up")
        self.up_0 = ResizeBlock(up_1 + half, up_0, 8, "up")
        self.up_out = ResizeBlock(up_0 + full, up_out, 8, "up")
        self.out_0 = ResizeBlock(up_out, out, 4)
        self.out_1 = nn.Sequential(nn.Conv2d(out, 9, 3, padding=1))

    def forward(self, field: Float[Tensor, "b 9 h w"]) -> Float[Tensor, "b 9 2*h 2*w"]:
        """Returns the decoded field, in [-1, 1]; h and w are multiples of 4."""
        conv_0 = self.conv_0(field)
        down_0 = self.down_0(conv_0)
        down_1 = self.down_1(down_0)
        x = self.res_mid(self.mid_0(down_1))
        x = self.up_1(torch.cat((x, down_1), 1))
        x = self.up_0(torch.cat((x, down_0), 1))
        x = self.up_out(torch.cat((x, conv_0), 1))
        return torch.tanh(at_least_float32(self.out_1(self.out_0(x))))


class DeviationDecoder(nn.Module):
    """Residual blocks, then three doublings with the source's scene blended in after two.

    At two scales the state x is blended with the full-scene deviation of the source,
        m = sigmoid(mask(x)),   x <- PReLU(m * x + (1 - m) * scene),
    where `scene` depends on the source image alone, so that it is computed once per source.
    """

    re_up0: ResizeBlock
    re_up1: ResizeBlock

    def __init__(self, config: AnimationConfig):
        super().__init__()
        self.deviation = config.deviation
        depth = config.encoder_widths[-1]
        self.conv_in = nn.Conv2d(depth, depth, 1)
        self.res_ms = nn.Sequential(
            *(ResidualBlock(depth, RESIDUAL) for _ in range(config.decoder_blocks))
        )
        widths = (depth, *config.decoder_widths)
        for i, groups in enumerate(UP_RESIDUAL):
            up = ConvNormRelu(widths[i], widths[i + 1], min(UP, max(widths[i + 1] // 16, 1)))
            setattr(self, f"up{i}", nn.Sequential(up, ResidualBlock(widths[i + 1], groups)))
        self.conv_img = nn.Conv2d(widths[-1], 3, 3, padding=1)
        scenes = zip((config.encoder_widths[2], config.encoder_widths[1]), widths[1:3], strict=True)
        for i, (inputs, width) in enumerate(scenes):
            if config.deviation:
                setattr(self, f"mask_up{i}", nn.Conv2d(width, width, 3, padding=1))
                setattr(self, f"re_up{i}", ResizeBlock(inputs, width, SCENE))
            setattr(self, f"re_ac{i}", nn.PReLU(width, init=config.prelu_slope))

    def scene(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The full-scene deviation of encoder maps 2 and 1; empty without it."""
        return (self.re_up0(maps[2]), self.re_up1(maps[1])) if self.deviation else ()

    def forward(
        self, warped: Float[Tensor, "b z h w"], scene: tuple[Tensor, ...]
    ) -> Float[Tensor, "b 3 8*h 8*w"]:
        """Returns the image, float32 in [0, 1]; a scene of batch 1 serves all of the batch."""
        x = self.res_ms(self.conv_in(warped))
        for i in range(3):
            x = getattr(self, f"up{i}")(resized(x, "up"))
            if i < 2:
                if self.deviation:
                    mask = torch.sigmoid(getattr(self, f"mask_up{i}")(x))
                    x = torch.lerp(scene[i].to(x.dtype), x, mask)
                x = getattr(self, f"re_ac{i}")(x)
        return torch.sigmoid(at_least_float32(self.conv_img(F.leaky_relu(x, 0.2))))


class Generator(nn.Module):
    """All of the base model but the extractor, under the released names."""

    def __init__(self, config: AnimationConfig):
        super().__init__()
        first, *widths = config.encoder_widths
        self.first = ConvNormRelu(3, first, FIRST, kernel=7)
        self.down_blocks = nn.ModuleList(
            ConvNormRelu(inputs, outputs, DOWN)
            for inputs, outputs in zip(config.encoder_widths, widths, strict=False)
        )
        depth = widths[-1]
        self.enhanced = config.enhancer
        if config.enhancer:
            self.res_ms = nn.Sequential(
                *(ResidualBlock(depth, RESIDUAL) for _ in range(config.enhancer_blocks))
            )
            self.Res_Feat = UNet(depth, config.enhancer_widths)
        self.decodes = config.motion_decoder
        if config.motion_decoder:
            self.pose_up = MotionDecoder(config)
        self.warp = Warp(config.size // 8, depth)
        self.decoder = DeviationDecoder(config)

    def encode(self, image: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, ...]:
        """Encoder maps 0 to 3: (b, c0, h, w), (b, c1, h/2, w/2), ... (b, c3, h/8, w/8)."""
        maps = [self.first(image)]
        for block in self.down_blocks:
            maps.append(F.avg_pool2d(block(maps[-1]), 2))
        return tuple(maps)

    def enhance(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The enhanced feature f_S of the last map."""
        return self.Res_Feat(self.res_ms(x)) if self.enhanced else x

    def decode_rotation(self, field: Float[Tensor, "b 9 h w"]) -> Float[Tensor, "b 9 2*h 2*w"]:
        """The field of rotations at the resolution of the enhanced feature."""
        if self.decodes:
            return self.pose_up(field)
        return F.interpolate(field, scale_factor=2.0, mode="bilinear", align_corners=False)
