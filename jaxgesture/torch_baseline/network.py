"""The base model in PyTorch (arXiv 2409.17674, section 2.1), channels first.

`state_dict()` has the names and shapes of the released weights, without their "module." prefix.
Low precision is autocast's: inside `torch.autocast(device, torch.bfloat16)` convolutions run in
bfloat16; normalisation statistics, softmax, the heads of the extractor and the places of the warp
stay float32. `network.to(memory_format=torch.channels_last)` with images of that format works.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.torch_baseline.extractor import DeviationExtractor
from jaxgesture.torch_baseline.generator import Generator
from jaxgesture.torch_baseline.initial import initialize


class SourceCode(NamedTuple):
    """All that rendering needs of a source image.

    Attributes:
      feature: the enhanced feature f_S, (b, z, h/8, w/8).
      scene: the full-scene deviation at 1/4 and 1/2 of the resolution; empty without it.
    """

    feature: Tensor
    scene: tuple[Tensor, ...]


class AnimationNetwork(nn.Module):
    """Redraws a source image in the pose of a motion feature.

    Training mode makes the extractor's batch norms use and update the batch's statistics.

    Args:
      config: sizes and switches, those of the JAX network. `dtype` is left to autocast.
    """

    def __init__(self, config: AnimationConfig):
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        self.pose_base = DeviationExtractor(config)
        initialize(self.generator, self.pose_base, config)

    def encode_source(self, image: Float[Tensor, "b 3 h w"]) -> SourceCode:
        """Everything that depends on the source image alone; image in [0, 1]."""
        maps = self.generator.encode(image)
        return SourceCode(self.generator.enhance(maps[-1]), self.generator.decoder.scene(maps))

    def extract_motion(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """The motion feature of an image in [0, 1], float32 in [-1, 1] (eq. 3)."""
        logits, translation = self.pose_base(image)
        return torch.cat((self.pose_base.rotation(logits).flatten(1), translation), 1)

    def decode_motion(
        self, feature: Float[Tensor, "b d"]
    ) -> tuple[Float[Tensor, "b 9 h w"], Float[Tensor, "b 3"]]:
        """The field of rotations at the resolution of the enhanced feature, and the translation."""
        side = self.config.field
        field = feature[:, :-3].unflatten(1, (side, side, 9)).permute(0, 3, 1, 2)
        return self.generator.decode_rotation(field), feature[:, -3:]

    def animate(
        self, source: SourceCode, feature: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b 3 h w"]:
        """The source redrawn in the pose of the motion feature, float32 in [0, 1].

        Args:
          source: of `encode_source`, with a batch of 1 or of b.
          feature: motion features.
        """
        rotation, translation = self.decode_motion(feature)
        volume = source.feature.expand(len(feature), -1, -1, -1)
        warped = self.generator.warp(volume, rotation, translation)
        return self.generator.decoder(warped, source.scene)

    def forward(
        self, source: Float[Tensor, "b 3 h w"], driving: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b 3 h w"]:
        """The source image redrawn in the pose of the driving image."""
        return self.animate(self.encode_source(source), self.extract_motion(driving))
