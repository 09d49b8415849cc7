"""The base model as one Linen module (arXiv 2409.17674, section 2.1)."""

from typing import NamedTuple

import flax.linen as nn

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.animation.decoder import DeviationDecoder
from jaxgesture.animation.encoder import ImageEncoder
from jaxgesture.animation.enhancer import FeatureEnhancer
from jaxgesture.animation.extractor import (
    DeviationExtractor,
    expected_angle,
    pack_motion,
    rotation_matrix,
    unpack_motion,
)
from jaxgesture.animation.motion_decoder import MotionDecoder
from jaxgesture.animation.warping import warp
from jaxgesture.core.types import Array, Float
from jaxgesture.layers.resize import bilinear


class SourceCode(NamedTuple):
    """All that rendering needs of a source image.

    Attributes:
      feature: the enhanced feature f_S, (b, h/8, w/8, z).
      scene: the full-scene deviation at 1/4 and 1/2 of the resolution; empty without it.
    """

    feature: Float[Array, "b h w z"]
    scene: tuple[Array, ...]


class AnimationNetwork(nn.Module):
    """Redraws a source image in the pose of a motion feature."""

    config: AnimationConfig

    def setup(self):
        """Builds the parts that the configuration asks for."""
        config = self.config
        self.encoder = ImageEncoder(config)
        if config.enhancer:
            self.enhancer = FeatureEnhancer(config)
        self.extractor = DeviationExtractor(config)
        if config.motion_decoder:
            self.motion_decoder = MotionDecoder(config)
        self.decoder = DeviationDecoder(config)

    def encode_source(self, image: Float[Array, "b h w 3"]) -> SourceCode:
        """Everything that depends on the source image alone; image in [0, 1]."""
        maps = self.encoder(image)
        feature = self.enhancer(maps[-1]) if self.config.enhancer else maps[-1]
        return SourceCode(feature, self.decoder.scene(maps))

    def extract_motion(
        self, image: Float[Array, "b h w 3"], *, train: bool = False
    ) -> Float[Array, "b d"]:
        """The motion feature of an image, float32 in [-1, 1] (eq. 3)."""
        logits, translation = self.extractor(image, train=train)
        angles = {name: expected_angle(value, self.config) for name, value in logits.items()}
        return pack_motion(rotation_matrix(**angles), translation)

    def decode_motion(
        self, feature: Float[Array, "b d"]
    ) -> tuple[Float[Array, "b h w 3 3"], Float[Array, "b 3"]]:
        """The field of rotations at the resolution of the enhanced feature, and the translation."""
        rotation, translation = unpack_motion(feature, self.config.field)
        return self.decode_rotation(rotation), translation

    def decode_rotation(self, rotation: Float[Array, "b h w 3 3"]) -> Float[Array, "b h2 w2 3 3"]:
        """The field of rotations at the resolution of the enhanced feature."""
        b, h, w, _, _ = rotation.shape
        field = rotation.reshape(b, h, w, 9)
        field = self.motion_decoder(field) if self.config.motion_decoder else bilinear(field, 2 * h)
        return field.reshape(b, 2 * h, 2 * w, 3, 3)

    def animate(self, source: SourceCode, feature: Float[Array, "b d"]) -> Float[Array, "b h w 3"]:
        """The source redrawn in the pose of the motion feature, float32 in [0, 1]."""
        return self.redraw(source, *self.decode_motion(feature))

    def redraw(
        self,
        source: SourceCode,
        rotation: Float[Array, "b h w 3 3"],
        translation: Float[Array, "b 3"],
    ) -> Float[Array, "b 8*h 8*w 3"]:
        """The source redrawn by a decoded motion, float32 in [0, 1]."""
        warped = warp(source.feature, rotation, translation)
        return self.decoder(warped, source.scene)

    def __call__(
        self,
        source: Float[Array, "b h w 3"],
        driving: Float[Array, "b h w 3"],
        *,
        train: bool = False,
    ) -> Float[Array, "b h w 3"]:
        """The source image redrawn in the pose of the driving image."""
        return self.animate(self.encode_source(source), self.extract_motion(driving, train=train))
