"""The training step of the motion denoiser in PyTorch: noise, loss (eq. 11), Adan, average."""

# PyTorch's own optimisers are written with the functions on lists of tensors, private as they look.
# pyright: reportPrivateImportUsage=false

import dataclasses
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from jaxgesture.motion.losses import MotionLossConfig
from jaxgesture.torch_baseline.blocks import at_least_float32
from jaxgesture.torch_baseline.denoiser import DIFFUSION_STEPS, Denoiser, alphas_cumprod
from jaxgesture.torch_baseline.step import clip_by_global_norm


class Adan(torch.optim.Optimizer):
    """Adan (arXiv 2208.06677) with proximal weight decay, on all tensors at once.

    With gradient g, its change d and step number k = 1, 2, ...:

      m <- (1 - b1) m + b1 g,  v <- (1 - b2) v + b2 d,  n <- (1 - b3) n + b3 (g + (1 - b2) d)^2,
      x <- [x - lr (c1 m + (1 - b2) c2 v) / (sqrt(c3 n) + eps)] / (1 + weight_decay lr),
      c_i = 1 / (1 - (1 - b_i)^k).

    The first step only stores its gradient and decays, as the published training does.

    Args:
      params: parameters or groups of them.
      lr: learning rate.
      betas: b1, b2, b3; small ones have a long memory.
      eps: added to the root of the second moment.
      weight_decay: strength of the proximal decay.
    """

    NAMES = ("m", "v", "n", "previous")

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-4,
        betas: tuple[float, float, float] = (0.02, 0.08, 0.01),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "step": 0}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Moves every parameter that has a gradient.

        Args:
          closure: computes the loss and the gradients, as PyTorch's optimisers take it.

        Returns:
          the loss of the closure, if there is one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params: list[Tensor] = [p for p in group["params"] if p.grad is not None]
            if params:
                group["step"] += 1
                self._move(group, params)
        return loss

    def _move(self, group: dict, params: list[Tensor]) -> None:
        grads = [p.grad for p in params if p.grad is not None]
        for p in params:
            if not self.state[p]:
                self.state[p].update({name: torch.zeros_like(p) for name in self.NAMES})
        m, v, n, previous = ([self.state[p][name] for p in params] for name in self.NAMES)
        b1, b2, b3 = group["betas"]
        rate, steps = group["lr"], group["step"]
        if steps > 1:
            change = torch._foreach_sub(grads, previous)
            ahead = torch._foreach_add(grads, change, alpha=1 - b2)
            torch._foreach_lerp_(m, grads, b1)
            torch._foreach_lerp_(v, change, b2)
            torch._foreach_mul_(n, 1 - b3)
            torch._foreach_addcmul_(n, ahead, ahead, b3)
            c1, c2, c3 = (1 / (1 - (1 - b) ** steps) for b in (b1, b2, b3))
            direction = torch._foreach_mul(m, c1)
            torch._foreach_add_(direction, v, alpha=(1 - b2) * c2)
            size = torch._foreach_mul(n, c3)
            torch._foreach_sqrt_(size)
            torch._foreach_add_(size, group["eps"])
            torch._foreach_addcdiv_(params, direction, size, -rate)
        torch._foreach_div_(params, 1 + group["weight_decay"] * rate)
        torch._foreach_copy_(previous, grads)


def q_sample(
    x: Float[Tensor, "b t d"],
    t: Int[Tensor, " b"],
    noise: Float[Tensor, "b t d"],
    abar: Float[Tensor, " n"],
) -> Float[Tensor, "b t d"]:
    """The clean motion `x` after diffusion step `t` in [0, 999] with standard normal noise.

    `abar` is `alphas_cumprod()` on the device and in the type of `x`.
    """
    kept = abar[t][:, None, None]
    return torch.addcmul(kept.sqrt() * x, (1 - kept).sqrt(), noise)


def motion_losses(
    prediction: Float[Tensor, "b t d"],
    target: Float[Tensor, "b t d"],
    config: MotionLossConfig,
    *,
    history: Float[Tensor, "b h d"] | None = None,
    history_mask: Bool[Tensor, " b"] | None = None,
) -> dict[str, Tensor]:
    """The loss of arXiv 2409.17674, eq. 11: "loss", "position", "velocity", "acceleration".

    Args:
      prediction: predicted clean motion.
      target: clean motion.
      config: weights of the three parts.
      history: clean motion before the segment, whose seam the differences then span.
      history_mask: False for examples without history, whose seam does not count.
    """
    error = at_least_float32(prediction) - at_least_float32(target)
    parts = {"position": error.square().mean()}
    for order, name in enumerate(("velocity", "acceleration"), start=1):
        seam = 0 if history is None else min(order, history.shape[1])
        # The history is the same on both sides, so its own error is zero.
        rows = F.pad(error, (0, 0, seam, 0)).diff(n=order, dim=1).square().mean(-1)
        if history_mask is None or not seam:
            parts[name] = rows.mean()
            continue
        crosses = torch.arange(rows.shape[1], device=rows.device) < seam
        counts = (history_mask[:, None] | ~crosses).to(rows.dtype)
        parts[name] = (rows * counts).sum() / counts.sum()
    total = sum(getattr(config, name) * value for name, value in parts.items())
    return {"loss": torch.as_tensor(total), **parts}


@dataclasses.dataclass(frozen=True)
class MotionStepConfig:
    """The loss, the optimiser and the average; the defaults are those of S2G-MDDiffusion.

    Attributes:
      loss: weights of the parts.
      learning_rate: of Adan.
      betas: of Adan.
      weight_decay: of Adan.
      clip_norm: the gradient is scaled down to this norm; 0 leaves it alone.
      ema_decay: weight of the old average of the parameters; 0 keeps none.
      low_precision: run the network under bfloat16 autocast.
    """

    loss: MotionLossConfig = MotionLossConfig()
    learning_rate: float = 1e-4
    betas: tuple[float, float, float] = (0.02, 0.08, 0.01)
    weight_decay: float = 0.02
    clip_norm: float = 0.0
    ema_decay: float = 0.9999
    low_precision: bool = False


class Draws(NamedTuple):
    """What is random in a step, apart from dropout.

    Attributes:
      t: diffusion step of each example, (b,).
      noise: standard normal, like the motion.
      keep: examples that keep their audio, (b,).
      history_mask: examples that keep their history, (b,); None for a model without.
      history_noise: added to the history that the network sees; None for a model without.
    """

    t: Tensor
    noise: Tensor
    keep: Tensor
    history_mask: Tensor | None = None
    history_noise: Tensor | None = None


class MotionStep:
    """Does training steps; puts its network into training mode.

    Attributes:
      network: the denoiser.
      average: the moving average of its parameters in their order, or None.

    Args:
      network: on its device.
      config: loss and optimiser.
      compile: compile the forward and backward pass; the optimiser runs as it is.
    """

    def __init__(self, network: Denoiser, config: MotionStepConfig, *, compile: bool = False):
        self.network, self.config = network.train(), config
        self._parameters: list[Tensor] = list(network.parameters())
        first = self._parameters[0]
        self._abar = alphas_cumprod().to(first)
        self._optimizer = Adan(
            self._parameters, config.learning_rate, config.betas, weight_decay=config.weight_decay
        )
        self.average: list[Tensor] | None = None
        if config.ema_decay:
            self.average = [p.detach().clone() for p in self._parameters]
            self._blend = get_ema_multi_avg_fn(config.ema_decay)
        self._pass = torch.compile(self._forward, fullgraph=True) if compile else self._forward

    def draw(self, batch: Mapping[str, Tensor]) -> Draws:
        """The random numbers of a step, from PyTorch's generator of the batch's device."""
        clean, config = batch["motion"], self.network.config
        size, device = len(clean), clean.device
        t = torch.randint(DIFFUSION_STEPS, (size,), device=device)
        keep = torch.rand(size, device=device) < config.guidance_keep
        mask = noise = None
        if config.history_frames:
            kept = torch.rand(size, device=device) >= config.history_null_probability
            mask = batch["history_valid"] & kept
            noise = config.history_noise * torch.randn_like(batch["history"])
        return Draws(t, torch.randn_like(clean), keep, mask, noise)

    def __call__(
        self, batch: Mapping[str, Tensor], draws: Draws | None = None
    ) -> dict[str, Tensor]:
        """Does one step.

        Args:
          batch: on the network's device and in its units: "motion" (b, t, d), "audio" (b, t, a),
            "source" (b, d) and, for a model with history, "history" (b, h, d) and
            "history_valid" (b,).
          draws: the step's random numbers; by default from `draw`.

        Returns:
          metrics on the device, not yet waited for: "loss", "position", "velocity",
          "acceleration", "grad_norm".
        """
        draws = self.draw(batch) if draws is None else draws
        self._optimizer.zero_grad()
        metrics = self._pass(batch, draws)
        metrics["loss"].backward()
        norm = clip_by_global_norm(self._parameters, self.config.clip_norm)
        self._optimizer.step()
        if self.average is not None:
            self._blend(self.average, self._parameters, None)
        return {name: value.detach() for name, value in metrics.items()} | {"grad_norm": norm}

    def _forward(self, batch: Mapping[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        clean = batch["motion"]
        history = seen = batch["history"] if self.network.config.history_frames else None
        if history is not None and draws.history_noise is not None:
            seen = history + draws.history_noise
        low = self.config.low_precision
        with torch.autocast(clean.device.type, torch.bfloat16, enabled=low):
            prediction = self.network(
                q_sample(clean, draws.t, draws.noise, self._abar), draws.t, audio=batch["audio"],
                source_feature=batch["source"], history=seen, history_mask=draws.history_mask,
                keep=draws.keep,
            )  # fmt: skip
        return motion_losses(
            prediction, clean, self.config.loss, history=history, history_mask=draws.history_mask
        )
