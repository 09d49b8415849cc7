"""Initial weights of the twin where they are not PyTorch's defaults; see `AnimationConfig`."""

import torch
from torch import Tensor, nn

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.torch_baseline.extractor import DeviationExtractor
from jaxgesture.torch_baseline.generator import Generator


@torch.no_grad()
def initialize(
    generator: Generator, extractor: DeviationExtractor, config: AnimationConfig
) -> None:
    """Applies `head_slope`, `volume_smoothness` and `motion_gain`; the published values do nothing.

    Args:
      generator: with PyTorch's default weights.
      extractor: likewise.
      config: of both.
    """
    if config.head_slope:
        for head in (extractor.fc_yaw_down8, extractor.fc_pitch_down8, extractor.fc_roll_down8):
            _order_bins(head, config.head_slope)
    if config.enhancer and config.volume_smoothness:
        weight = _kernel(generator.Res_Feat.out_o[2])
        weight.copy_(torch.tensordot(_smoothing(weight, config.volume_smoothness), weight, 1))
    if config.motion_decoder and config.motion_gain != 1.0:
        _kernel(generator.pose_up.out_1[0]).mul_(config.motion_gain)


def _kernel(module: nn.Module) -> Tensor:
    assert isinstance(module, nn.Conv2d)
    return module.weight


def _order_bins(head: nn.Conv2d, slope: float) -> None:
    """Makes logits rise along the bins with a random direction of the map, of mean 0."""
    bins, channels = head.weight.shape[:2]
    direction = torch.randn(channels, device=head.weight.device)
    direction = (direction - direction.mean()) / channels**0.5
    ramp = torch.linspace(-1, 1, bins, device=head.weight.device)
    head.weight.add_((slope * ramp[:, None] * direction)[:, :, None, None])


def _smoothing(weight: Tensor, width: float) -> Tensor:
    """A Gaussian along output channels, its rows of length 1 to keep every output's variance."""
    channels = len(weight)
    depth = torch.arange(channels, device=weight.device) / channels
    rows = torch.exp(-0.5 * ((depth[:, None] - depth) / width) ** 2)
    return (rows / rows.norm(dim=1, keepdim=True)).to(weight.dtype)
