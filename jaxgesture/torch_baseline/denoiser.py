"""The motion denoiser in PyTorch (arXiv 2409.17674, section 2.2), and sampling with it.

`state_dict()` has the names and shapes of S2G-MDDiffusion's (CVPR 2024); what belongs to the
history, which that network does not have, is named `history_*` and `null_history_embed`. All motion
is in the network's units. Low precision is autocast's: the residual sums, the layer norms and the
constants stay float32.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from jaxgesture.motion.config import MotionConfig
from jaxgesture.torch_baseline.blocks import at_least_float32

DIFFUSION_STEPS = 1000
TIME_TOKENS = 2
TIME_EXPANSION = 4
Predict = Callable[[Tensor, Tensor], Tensor]


class AudioCode(NamedTuple):
    """All that the denoiser needs of the audio; the same at every diffusion step.

    Attributes:
      tokens: one token a frame, (b, t, c).
      pooled: the projected average over time, (b, c), a part of the FiLM vector.
    """

    tokens: Tensor
    pooled: Tensor


class Rotary(nn.Module):
    """Turns the pair (2i, 2i + 1) at position p by p * 10000^(-2i / width) (arXiv 2104.09864).

    Args:
      width: of the vectors, even.
      past: the lowest position is -past.
      length: the highest is length - 1.
    """

    freqs: Tensor
    cos: Tensor
    sin: Tensor

    def __init__(self, width: int, past: int, length: int):
        super().__init__()
        freqs = 1.0 / 10000 ** (torch.arange(0, width, 2).float() / width)
        angles = torch.arange(-past, length).float()[:, None] * freqs
        self.past = past
        self.register_buffer("freqs", freqs)  # in the state dict; the tables below are used
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x: Float[Tensor, "b t c"], start: int = 0) -> Float[Tensor, "b t c"]:
        """Returns the vectors turned by the positions start, start + 1, ..."""
        rows = slice(self.past + start, self.past + start + x.shape[1])
        cos, sin = self.cos[rows], self.sin[rows]
        even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1).flatten(-2)


class TimeEmbedding(nn.Module):
    """concat(sin, cos) of the diffusion step times width / 2 geometric frequencies, as a table."""

    table: Tensor

    def __init__(self, width: int):
        super().__init__()
        half = width // 2
        exponents = torch.arange(half).float() * torch.tensor(-math.log(10000) / (half - 1))
        # Rounded once: the last bit of a frequency is worth 6e-5 at t = 999.
        frequencies = exponents.double().exp().float()
        angles = torch.arange(DIFFUSION_STEPS).float()[:, None] * frequencies
        table = torch.cat((angles.sin(), angles.cos()), 1)
        self.register_buffer("table", table, persistent=False)

    def forward(self, t: Int[Tensor, " b"]) -> Float[Tensor, "b c"]:
        """Returns a row for each diffusion step."""
        return self.table[t]


class Attention(nn.Module):
    """Multi-head attention with `nn.MultiheadAttention`'s parameters; the values are not turned."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(
        self, turned: Float[Tensor, "b t c"], plain: Float[Tensor, "b t c"]
    ) -> Float[Tensor, "b t c"]:
        """Self-attention: queries and keys of the turned tokens, values of the plain ones."""
        width = turned.shape[-1]
        weights = self.in_proj_weight.split((2 * width, width))
        biases = self.in_proj_bias.split((2 * width, width))
        q, k = F.linear(turned, weights[0], biases[0]).chunk(2, -1)
        return self._attend(q, k, F.linear(plain, weights[1], biases[1]))

    def cross(
        self, turned: Float[Tensor, "b t c"], keys: Float[Tensor, "b s c"], memory: Tensor
    ) -> Float[Tensor, "b t c"]:
        """Attention to a memory, whose turned copy makes the keys."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        inputs = zip((turned, keys, memory), weights, biases, strict=True)
        return self._attend(*(F.linear(x, w, b) for x, w, b in inputs))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        h = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(h.transpose(1, 2).flatten(2))


class Film(nn.Module):
    """(scale + 1) * h + shift, with scale and shift a projection of Mish(condition)."""

    def __init__(self, width: int):
        super().__init__()
        self.block = nn.Sequential(nn.Mish(), nn.Linear(width, 2 * width))

    def forward(
        self, h: Float[Tensor, "b t c"], condition: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b t c"]:
        """Returns the modulated tokens."""
        scale, shift = self.block(condition)[:, None].chunk(2, -1)
        return torch.addcmul(shift, scale + 1, h)


class EncoderLayer(nn.Module):
    """Audio layer: x += SA(norm1 x); x += FF(norm2 x)."""

    def __init__(self, config: MotionConfig, rotary: Rotary):
        super().__init__()
        self.self_attn = Attention(config.width, config.heads)
        self.linear1 = nn.Linear(config.width, config.feedforward)
        self.linear2 = nn.Linear(config.feedforward, config.width)
        self.norm1, self.norm2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.rotary = rotary

    def forward(self, x: Float[Tensor, "b t c"]) -> Float[Tensor, "b t c"]:
        """Returns the tokens with both residuals added."""
        h = self.norm1(x)
        x = x + self.dropout(self.self_attn(self.rotary(h), h))
        h = self.dropout(F.gelu(self.linear1(self.norm2(x))))
        return x + self.dropout(self.linear2(h))


class DecoderLayer(nn.Module):
    """x += film1(SA(norm1 x)); x += film2(CA(norm2 x, memory)); x += film3(FF(norm3 x))."""

    def __init__(self, config: MotionConfig, rotary: Rotary):
        super().__init__()
        width = config.width
        self.past = config.history_frames
        self.self_attn = Attention(width, config.heads)
        self.multihead_attn = Attention(width, config.heads)
        self.linear1 = nn.Linear(width, config.feedforward)
        self.linear2 = nn.Linear(config.feedforward, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.film1, self.film2, self.film3 = (Film(width) for _ in range(3))
        self.dropout = nn.Dropout(config.dropout)
        self.rotary = rotary

    def forward(
        self,
        x: Float[Tensor, "b t c"],
        keys: Float[Tensor, "b s c"],
        memory: Float[Tensor, "b s c"],
        condition: Float[Tensor, "b c"],
    ) -> Float[Tensor, "b t c"]:
        """Returns the tokens with all three residuals added; `keys` is the turned memory."""
        h = self.norm1(x)
        h = self.self_attn(self.rotary(h, -self.past), h)
        x = x + self.film1(self.dropout(h), condition)
        h = self.multihead_attn.cross(self.rotary(self.norm2(x), -self.past), keys, memory)
        x = x + self.film2(self.dropout(h), condition)
        h = self.linear2(self.dropout(F.gelu(self.linear1(self.norm3(x)))))
        return x + self.film3(self.dropout(h), condition)


class DecoderStack(nn.Module):
    """The decoder layers, one after the other, where the state dict has them."""

    def __init__(self, config: MotionConfig, rotary: Rotary):
        super().__init__()
        self.stack = nn.ModuleList(DecoderLayer(config, rotary) for _ in range(config.layers))

    def forward(self, x: Tensor, *rest: Tensor) -> Tensor:
        """Returns the tokens after the last layer; see `DecoderLayer`."""
        for layer in self.stack:
            x = layer(x, *rest)
        return x


class Denoiser(nn.Module):
    """Predicts clean motion from noised motion, both in the network's units, [-1, 1].

    Training mode switches dropout on.

    Args:
      config: sizes and switches, those of the JAX network. `dtype` is left to autocast.
    """

    def __init__(self, config: MotionConfig):
        super().__init__()
        self.config = config
        width, frames, past = config.width, config.segment_frames, config.history_frames
        self.null_cond_embed = nn.Parameter(torch.randn(1, frames, width))
        self.null_cond_hidden = nn.Parameter(torch.randn(1, width))
        self.rotary = Rotary(width, past, frames + TIME_TOKENS)
        expanded = TIME_EXPANSION * width
        self.time_mlp = nn.Sequential(TimeEmbedding(width), nn.Linear(width, expanded), nn.Mish())
        self.to_time_cond = nn.Sequential(nn.Linear(expanded, width))
        self.to_time_tokens = nn.Sequential(nn.Linear(expanded, TIME_TOKENS * width))
        self.norm_cond = nn.LayerNorm(width)
        self.input_projection = nn.Linear(2 * config.motion_size, width)
        self.cond_encoder = nn.ModuleList(
            EncoderLayer(config, self.rotary) for _ in range(config.audio_layers)
        )
        self.cond_projection = nn.Linear(config.audio_size, width)
        self.non_attn_cond_projection = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.seqTransDecoder = DecoderStack(config, self.rotary)
        self.final_layer = nn.Linear(width, config.motion_size)
        if past:
            self.history_projection = nn.Linear(config.motion_size, width)
            self.history_embed = nn.Parameter(0.02 * torch.randn(1, past, width))
            self.null_history_embed = nn.Parameter(0.02 * torch.randn(1, past, width))

    def encode_audio(self, audio: Float[Tensor, "b t a"]) -> AudioCode:
        """Normalised audio features of whole segments as tokens and their pooled vector."""
        tokens = at_least_float32(self.cond_projection(audio))
        for layer in self.cond_encoder:
            tokens = layer(tokens)
        return AudioCode(tokens, self.non_attn_cond_projection(tokens.mean(1)))

    def denoise(
        self,
        x_t: Float[Tensor, "b t d"],
        t: Int[Tensor, " b"],
        code: AudioCode,
        source_feature: Float[Tensor, "b d"],
        history: Float[Tensor, "b h d"] | None = None,
        history_mask: Bool[Tensor, " b"] | None = None,
        keep: Bool[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """As `forward`, from audio that `encode_audio` has encoded."""
        tokens, pooled = code
        if keep is not None:
            tokens = torch.where(keep[:, None, None], tokens, self.null_cond_embed)
            pooled = torch.where(keep[:, None], pooled, self.null_cond_hidden.to(pooled.dtype))
        time = self.time_mlp(t)
        condition = self.to_time_cond(time) + pooled
        time_tokens = self.to_time_tokens(time).unflatten(-1, (TIME_TOKENS, -1))
        memory = self.norm_cond(torch.cat((tokens, time_tokens.to(tokens.dtype)), 1))

        # A linear layer of both side by side, without repeating the source for every frame.
        of_motion, of_source = self.input_projection.weight.chunk(2, 1)
        source = F.linear(source_feature, of_source, self.input_projection.bias)
        x = at_least_float32(F.linear(x_t, of_motion) + source[:, None])
        past = self.config.history_frames
        if past:
            x = torch.cat((self._history_tokens(x, history, history_mask), x), 1)
        x = self.seqTransDecoder(x, self.rotary(memory), memory, condition)
        with torch.autocast(x.device.type, enabled=False):
            return self.final_layer(x[:, past:])

    def _history_tokens(
        self, x: Tensor, history: Tensor | None, history_mask: Tensor | None
    ) -> Tensor:
        if history is None:
            return self.null_history_embed.expand(len(x), -1, -1)
        tokens = at_least_float32(self.history_projection(history)) + self.history_embed
        if history_mask is None:
            return tokens
        return torch.where(history_mask[:, None, None], tokens, self.null_history_embed)

    def forward(
        self,
        x_t: Float[Tensor, "b t d"],
        t: Int[Tensor, " b"],
        *,
        audio: Float[Tensor, "b t a"],
        source_feature: Float[Tensor, "b d"],
        history: Float[Tensor, "b h d"] | None = None,
        history_mask: Bool[Tensor, " b"] | None = None,
        keep: Bool[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Predicts the clean motion, float32 and not clipped.

        Args:
          x_t: noised motion of whole segments.
          t: diffusion step of each example, 0 to 999.
          audio: normalised audio features, a row a frame.
          source_feature: motion feature of the source image.
          history: motion before the segment; None is the learned null history for all.
          history_mask: False where an example gets the null history; None is all True.
          keep: False where an example gets the null condition for its audio; None is all True.
        """
        code = self.encode_audio(audio)
        return self.denoise(x_t, t, code, source_feature, history, history_mask, keep)


def alphas_cumprod() -> Float[Tensor, " n"]:
    """abar_t of the cosine schedule for t = 0 .. 999 (arXiv 2102.09672), float32."""
    u = torch.arange(DIFFUSION_STEPS + 1, dtype=torch.float64) / DIFFUSION_STEPS
    f = ((u + 0.008) / 1.008 * math.pi / 2).cos().square()
    betas = (1 - f[1:] / f[:-1]).clamp(0, 0.999).float()
    # The product in float64, rounded at the end.
    return (1 - betas).double().cumprod(0).float()


def guided(
    denoise: Callable[..., Tensor],
    code: AudioCode,
    source_feature: Float[Tensor, "b d"],
    *,
    history: Float[Tensor, "b h d"] | None = None,
    history_mask: Bool[Tensor, " b"] | None = None,
    weight: float = 2.0,
) -> Predict:
    """Classifier-free guidance (arXiv 2207.12598): u + weight (c - u), both in one batch.

    Args:
      denoise: `Denoiser.denoise`, or that compiled.
      code: of the audio.
      source_feature: motion feature of the source image.
      history: motion before the segment.
      history_mask: see `Denoiser.forward`.
      weight: 0 ignores the audio, 1 follows it, above 1 exaggerates it.

    Returns:
      (x_t, t) -> the guided prediction, for a batch of b.
    """
    both = AudioCode(*(torch.cat((x, x)) for x in code))
    rest = (source_feature, history, history_mask)
    rest = [None if x is None else torch.cat((x, x)) for x in rest]
    size = len(source_feature)
    keep = torch.arange(2 * size, device=source_feature.device) < size

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        found = denoise(torch.cat((x_t, x_t)), torch.cat((t, t)), both, *rest, keep)
        conditional, unconditional = found.chunk(2)
        return torch.lerp(unconditional, conditional, weight)

    return predict


@torch.no_grad()
def ddim(
    predict: Predict,
    start: Float[Tensor, "b t d"],
    *,
    steps: int = 50,
    eta: float = 1.0,
    noise: Callable[[int], Tensor] | None = None,
) -> Float[Tensor, "b t d"]:
    """Samples with DDIM (arXiv 2010.02502) from a network that predicts the clean motion.

    Args:
      predict: (x_t, t) -> clean motion; clipped to [-1, 1] here, as is the sample.
      start: standard normal noise.
      steps: 1 to 1000.
      eta: 0 is deterministic given the start, 1 is ancestral sampling.
      noise: step index -> standard normal noise like `start`; by default drawn.
    """
    visited = np.linspace(-1, DIFFUSION_STEPS - 1, steps + 1).astype(np.int64)[::-1]
    abar = np.append(alphas_cumprod().double().numpy(), 1.0)[visited]
    now, after = abar[:-1], abar[1:]
    sigma = eta * np.sqrt((1 - now / after) * (1 - after) / (1 - now))
    gain = np.sqrt(np.maximum(1 - after - sigma**2, 0) / (1 - now))  # of x_t
    clean = np.sqrt(after) - gain * np.sqrt(now)
    times = torch.tensor(visited[:-1].copy(), device=start.device)
    x = start
    for i in range(steps):
        x0 = predict(x, times[i].expand(len(x))).clamp(-1, 1)
        if i == steps - 1:
            return x0
        drawn = torch.randn_like(x) if noise is None else noise(i)
        x = gain[i] * x + clean[i] * x0 + sigma[i] * drawn
    return x
