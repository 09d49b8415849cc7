"""Sizes of the motion diffusion model; the defaults are the published ones."""

import dataclasses

from jaxgesture.core.errors import UserError
from jaxgesture.layers.remat import check_policy

SOURCES = ("image", "previous")
REPRESENTATIONS = ("rotmat", "euler", "vector")
DTYPES = ("float32", "bfloat16", "float64")
MIN_SEGMENT = 6


@dataclasses.dataclass(frozen=True)
class MotionConfig:
    """Widths, depths and switches of the denoiser (arXiv 2409.17674, section 2.2).

    Attributes:
      feature_size: length d of the base model's motion feature.
      audio_size: columns a of the audio features.
      segment_frames: frames of a segment, 25 a second.
      width: channels of all tokens, a multiple of 2 * `heads`.
      feedforward: channels inside the feed-forward blocks.
      heads: attention heads.
      layers: decoder layers.
      audio_layers: layers of the audio encoder.
      dropout: after each attention, inside and after each feed-forward block.
      history_frames: frames before the segment that the network sees; 0 leaves them out and gives
        the network of S2G-MDDiffusion (CVPR 2024).
      source: the network's source feature. "image": of the source image, for all segments.
        "previous": the frame before the segment, that of the source image for the first one, as
        S2G-MDDiffusion does.
      representation: what is diffused. "rotmat": the feature itself, rows of 3x3 rotations and a
        translation. "euler": the rotations' pitch, yaw and roll in units of 99 degrees, a third of
        the size and always a rotation. "vector": the feature itself, of no known structure.
      project: replace the 3x3 blocks of "rotmat" samples by the nearest rotations.
      guidance_keep: share of the training examples that keep their audio.
      history_null_probability: share of the training examples that lose their history.
      history_noise: standard deviation of the noise on the history in training, in the units of
        the network's input (not published).
      standardise: map each number of the representation by its mean and deviation over the
        training clips before diffusing it; for base models whose features vary little.
      standard_deviations: deviations from the mean that land on +-1, where samples are clipped.
        More cuts fewer strokes off, but each doubling costs a factor 4 of signal-to-noise at every
        diffusion step. Of normal data with its exact denoiser, 50 DDIM steps (eta 1) give back
        0.82, 0.90, 0.92 and 0.90 of the deviation for 1.4, 2, 3 and 4 here.
      remat: compute again in the backward pass what is inside the layers, see `layers.remat`.
      remat_policy: "blocks" keeps what enters a layer, "products" also the results of products.
      dtype: compute type; statistics, softmax, residual sums, the last layer and losses stay
        float32.
    """

    feature_size: int = 2307
    audio_size: int = 1059
    segment_frames: int = 80
    width: int = 512
    feedforward: int = 1024
    heads: int = 8
    layers: int = 8
    audio_layers: int = 2
    dropout: float = 0.1
    history_frames: int = 4
    source: str = "image"
    representation: str = "rotmat"
    project: bool = True
    guidance_keep: float = 0.75
    history_null_probability: float = 0.1
    history_noise: float = 0.02
    standardise: bool = False
    standard_deviations: float = 3.0
    remat: bool = False
    remat_policy: str = "blocks"
    dtype: str = "float32"

    def __post_init__(self):
        check_policy(self.remat_policy)
        if self.representation not in REPRESENTATIONS:
            raise UserError(
                f"model.representation is {self.representation!r}; choose one of "
                f"{', '.join(REPRESENTATIONS)}"
            )
        if self.source not in SOURCES:
            raise UserError(f"model.source is {self.source!r}; choose one of {', '.join(SOURCES)}")
        for name in ("dropout", "guidance_keep", "history_null_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"model.{name} is {getattr(self, name)}; choose 0 to 1")
        if not self.standard_deviations > 0 or not self.history_noise >= 0:
            raise UserError(
                f"model.standard_deviations is {self.standard_deviations} and model.history_noise "
                f"{self.history_noise}; choose a number above 0, and 0 or more"
            )
        if self.audio_layers < 0:
            raise UserError(f"model.audio_layers is {self.audio_layers}; choose 0 or more")
        for name in ("width", "feedforward", "heads", "layers"):
            if getattr(self, name) < 1:
                raise UserError(f"model.{name} is {getattr(self, name)}; choose 1 or more")
        if self.dtype not in DTYPES:
            raise UserError(f"model.dtype is {self.dtype!r}; choose one of {', '.join(DTYPES)}")
        if self.representation != "vector" and (self.feature_size - 3) % 9:
            raise UserError(
                f"model.feature_size is {self.feature_size}, not 9 numbers a rotation and 3 of "
                "translation; set it to the base model's, or model.representation to 'vector'"
            )
        if self.feature_size % 2 and self.representation == "vector":
            raise UserError(
                f"model.feature_size is {self.feature_size}; representation 'vector' reads pairs, "
                "choose an even one"
            )
        if self.width % (2 * self.heads):
            raise UserError(
                f"model.width is {self.width}; choose a multiple of twice model.heads "
                f"({2 * self.heads})"
            )
        if self.segment_frames < MIN_SEGMENT:
            raise UserError(
                f"model.segment_frames is {self.segment_frames}; choose at least {MIN_SEGMENT}, "
                "what motion selection compares"
            )
        if not 0 <= self.history_frames <= self.segment_frames:
            raise UserError(
                f"model.history_frames is {self.history_frames}; choose 0 to "
                f"model.segment_frames ({self.segment_frames})"
            )

    @property
    def motion_size(self) -> int:
        """Length of the vectors that are diffused."""
        if self.representation == "euler":
            return (self.feature_size - 3) // 3 + 3
        return self.feature_size

    @property
    def past_frames(self) -> int:
        """Frames before a segment that a training example holds."""
        return max(self.history_frames, 1 if self.source == "previous" else 0)

    @property
    def vector_size(self) -> int:
        """Length of the vectors whose angles motion selection compares; pairs if not rotations."""
        return 2 if self.representation == "vector" else 3
