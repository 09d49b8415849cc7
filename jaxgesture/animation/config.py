"""Sizes of the base model; the defaults are the published ones."""

import dataclasses

from jaxgesture.core.errors import UserError
from jaxgesture.layers.remat import check_policy

DTYPES = ("float32", "bfloat16", "float64")


@dataclasses.dataclass(frozen=True)
class AnimationConfig:
    """Widths, depths and switches of the base model (arXiv 2409.17674, section 2.1).

    Attributes:
      size: side of the images in pixels, a multiple of 64.
      encoder_widths: channels of encoder maps 0 to 3; the last is the depth of the volume.
      enhancer_blocks: residual blocks in front of the enhancer's U-Net.
      enhancer_widths: channels at 1/2 and 1/4 of the feature's resolution.
      extractor_stem: channels of the extractor's first convolution.
      extractor_widths: channels of its three stages.
      extractor_blocks: bottlenecks at constant resolution in each stage.
      bins: classes of each angle, `bin_degrees` apart, the first at -`offset_degrees`.
      pi: the constant that turns degrees into radians; the published weights need 3.14.
      head_slope: how far an angle swings with the image at the start: added to the initial weights
        of the angle heads so that logits rise along the bins with a random direction of the map,
        and the angle is a smooth function of it. 0 is PyTorch's default, under which all angles
        start near the middle whatever the image.
      volume_smoothness: width, as a part of the volume's depth, of the Gaussian that smooths the
        enhancer's last initial kernel along its output channels. Neighbouring depths of the volume
        start alike, so that the gradient of a warp means something there. 0 leaves them random.
      motion_widths: channels of the motion decoder: at full, 1/2 and 1/4 resolution, in the
        middle, then of its three upward blocks and its output block.
      motion_blocks: residual blocks in its middle.
      motion_gain: scale of its last convolution's initial weights against PyTorch's default; well
        below 1 the first warps are small, so that their gradients mean something.
      decoder_blocks: residual blocks in front of the deviation decoder's upward path.
      decoder_widths: channels of its three upward blocks.
      deviation: blend the full-scene deviation of the source in (eqs. 5-7).
      enhancer: enhance the image feature (eq. 2).
      motion_decoder: decode the motion field; otherwise it is resized bilinearly.
      prelu_slope: initial negative slope of the deviation's PReLU.
      remat: compute again in the backward pass what is inside the convolution blocks of all parts
        and the feature networks of the losses: less memory for about one more forward pass.
      remat_policy: what is kept, see `layers.remat`: "blocks" what enters a block, "products" also
        the results of convolutions.
      dtype: compute type of the convolutions, "float32" or "bfloat16"; "float64" for checks.
    """

    size: int = 256
    encoder_widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    enhancer_blocks: int = 4
    enhancer_widths: tuple[int, int] = (768, 1024)
    extractor_stem: int = 64
    extractor_widths: tuple[int, int, int] = (256, 512, 1024)
    extractor_blocks: tuple[int, int, int] = (3, 3, 5)
    bins: int = 66
    bin_degrees: float = 3.0
    offset_degrees: float = 99.0
    pi: float = 3.14
    head_slope: float = 0.0
    volume_smoothness: float = 0.0
    motion_widths: tuple[int, int, int, int, int, int, int, int] = (
        64, 128, 256, 512, 384, 256, 128, 64,
    )  # fmt: skip
    motion_blocks: int = 3
    motion_gain: float = 1.0
    decoder_blocks: int = 8
    decoder_widths: tuple[int, int, int] = (512, 256, 128)
    deviation: bool = True
    enhancer: bool = True
    motion_decoder: bool = True
    prelu_slope: float = 0.14159
    remat: bool = False
    remat_policy: str = "blocks"
    dtype: str = "float32"

    def __post_init__(self):
        if self.size % 64 or self.size < 64:
            raise UserError(f"model.size is {self.size}; choose a multiple of 64, at least 64")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_widths") and min(value) < 1:
                raise UserError(f"model.{field.name} is {value}; every width must be at least 1")
        for name in ("head_slope", "volume_smoothness", "motion_gain"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(
                    f"model.{name} is {getattr(self, name)}; choose a finite number >= 0"
                )
        check_policy(self.remat_policy)
        if self.dtype not in DTYPES:
            raise UserError(f"model.dtype is {self.dtype!r}; choose 'float32' or 'bfloat16'")

    @property
    def field(self) -> int:
        """Side of the motion field: one rotation per cell."""
        return self.size // 16

    @property
    def feature_size(self) -> int:
        """Length of a motion feature: 9 numbers per cell and the translation."""
        return self.field**2 * 9 + 3
