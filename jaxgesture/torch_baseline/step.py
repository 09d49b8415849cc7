"""The training step of the base model in PyTorch: one update of generator and discriminator."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from jaxgesture.animation.losses import LossConfig
from jaxgesture.torch_baseline.discriminator import (
    Discriminator,
    lsgan_discriminator,
    lsgan_generator,
)
from jaxgesture.torch_baseline.losses import GlobalLoss, LocalLoss, ReconstructionLoss
from jaxgesture.torch_baseline.network import AnimationNetwork
from jaxgesture.torch_baseline.vgg import VGG


@dataclasses.dataclass(frozen=True)
class StepConfig:
    """The losses and the optimisers.

    Attributes:
      loss: the JAX package's weights, without its read-out and its delay of the discriminator.
      learning_rate: of the generator; the discriminator's is `loss.discriminator_rate` times it.
      betas: Adam's, of both.
      clip_norm: each network's gradient is scaled down to this norm; 0 leaves it alone.
      ema_decay: weight of the old average of the generator's parameters; 0 keeps none.
      low_precision: run the networks under bfloat16 autocast.
    """

    loss: LossConfig = LossConfig()
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    clip_norm: float = 10.0
    ema_decay: float = 0.0
    low_precision: bool = False

    def __post_init__(self):
        for name in ("read_out", "adversarial_start"):
            if value := getattr(self.loss, name):
                raise ValueError(f"loss.{name}={value}: only the JAX step has that; set it to 0")


class TrainStep:
    """Does training steps; puts its networks into training mode.

    Both networks learn from one redrawn image. The discriminator runs three times, each with one
    power iteration: on the image for the generator's loss, then on the image without gradient, then
    on the real frame.

    Attributes:
      network: the generator.
      discriminator: or None.
      average: the moving average of the generator's parameters in their order, or None.

    Args:
      network: on its device, in its memory format.
      config: losses and optimisers.
      discriminator: needed for `loss.adversarial`.
      vgg19: `vgg.vgg19()` with weights, needed for `loss.perceptual`.
      vgg16: `vgg.vgg16()` with weights, needed for `loss.local` and `loss.local_style`.
      compile: compile the passes with `torch.compile`; optimisers run as they are.

    Raises:
      ValueError: if a network is missing that a weight asks for.
    """

    def __init__(
        self,
        network: AnimationNetwork,
        config: StepConfig,
        *,
        discriminator: Discriminator | None = None,
        vgg19: VGG | None = None,
        vgg16: VGG | None = None,
        compile: bool = False,
    ):
        self.config, loss = config, config.loss
        self.network = network.train()
        wanted = {
            "discriminator": (loss.adversarial > 0, "adversarial", discriminator),
            "vgg19": (loss.perceptual > 0, "perceptual", vgg19),
            "vgg16": (loss.looks_closer, "local", vgg16),
        }
        for name, (used, key, given) in wanted.items():
            if used and given is None:
                raise ValueError(f"loss.{key} needs a network: give {name}=..., or set it to 0")
        first = next(network.parameters())
        self._dtype, self._device = first.dtype, first.device
        self.discriminator = discriminator.train() if discriminator and loss.adversarial else None
        pixels = ReconstructionLoss(loss.scales, loss.pixel, loss.squared, loss.motion)
        self._pixel_loss = pixels.to(first)
        self._global_loss = self._local_loss = None
        if vgg19 is not None and loss.perceptual:
            self._global_loss = GlobalLoss(vgg19, loss.scales).to(first)
        if vgg16 is not None and loss.looks_closer:
            self._local_loss = LocalLoss(vgg16, loss.local_size).to(first)
        self._parameters: list[Tensor] = list(network.parameters())
        self._optimizer = self._adam(self._parameters, config.learning_rate)
        if self.discriminator is not None:
            self._critics: list[Tensor] = list(self.discriminator.parameters())
            rate = loss.discriminator_rate * config.learning_rate
            self._critic_optimizer = self._adam(self._critics, rate)
        self.average: list[Tensor] | None = None
        if config.ema_decay:
            self.average = [p.detach().clone() for p in self._parameters]
            self._blend = get_ema_multi_avg_fn(config.ema_decay)
        self._generate, self._judge = self._generator_pass, self._discriminator_pass
        if compile:
            self._generate = torch.compile(self._generate, fullgraph=True)
            self._judge = torch.compile(self._judge, fullgraph=True)

    def __call__(
        self,
        source: UInt8[Tensor, "b 3 h w"],
        driving: UInt8[Tensor, "b 3 h w"],
        boxes: Float[Tensor, "b k 4"] | None = None,
    ) -> dict[str, Tensor]:
        """Does one step.

        Args:
          source: on the network's device; its memory format is kept.
          driving: another frame of each clip.
          boxes: of the driving frame, for the local loss; see `LocalLoss`.

        Returns:
          metrics on the device, not yet waited for: "loss", "loss_" and the name of each unweighted
          term, "grad_norm", "psnr", "discriminator_loss".

        Raises:
          ValueError: if there is a local loss and no boxes.
        """
        if self._local_loss is not None and boxes is None:
            raise ValueError("the local loss needs boxes; give them, or set loss.local to 0")
        source, driving = self._image(source), self._image(driving)
        self._optimizer.zero_grad()
        with self._frozen_discriminator():
            total, terms, generated = self._generate(source, driving, boxes)
            total.backward()
        norm = clip_by_global_norm(self._parameters, self.config.clip_norm)
        self._optimizer.step()
        if self.average is not None:
            self._blend(self.average, self._parameters, None)
        metrics = {"loss": total, **{f"loss_{name}": value for name, value in terms.items()}}
        metrics |= {"grad_norm": norm, "psnr": -10 * torch.log10(terms["squared"])}
        if self.discriminator is not None:
            self._critic_optimizer.zero_grad()
            loss = self._judge(generated.detach(), driving)
            loss.backward()
            clip_by_global_norm(self._critics, self.config.clip_norm)
            self._critic_optimizer.step()
            metrics["discriminator_loss"] = loss
        return {name: value.detach() for name, value in metrics.items()}

    def _generator_pass(
        self, source: Tensor, driving: Tensor, boxes: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        loss = self.config.loss
        with self._autocast():
            generated = self.network(source, driving)
            total, terms = self._pixel_loss(generated, driving, source)
            if self._global_loss is not None:
                terms["perceptual"] = self._global_loss(generated, driving).sum()
                total = total + loss.perceptual * terms["perceptual"]
            if self._local_loss is not None:
                terms["local"], terms["local_style"] = self._local_loss(generated, driving, boxes)
                total = total + loss.local * terms["local"]
                total = total + loss.local_style * terms["local_style"]
            if self.discriminator is not None:
                terms["adversarial"] = lsgan_generator(self.discriminator(generated))
                total = total + loss.adversarial * terms["adversarial"]
        return total, terms, generated

    def _discriminator_pass(self, generated: Tensor, real: Tensor) -> Tensor:
        assert self.discriminator is not None
        with self._autocast():
            fake_logits = self.discriminator(generated)
            return lsgan_discriminator(self.discriminator(real), fake_logits)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self.config.low_precision)

    @contextlib.contextmanager
    def _frozen_discriminator(self) -> Iterator[None]:
        """No gradients of the discriminator's parameters: the generator's loss is not its own."""
        if self.discriminator is None:
            yield
            return
        self.discriminator.requires_grad_(False)
        try:
            yield
        finally:
            self.discriminator.requires_grad_(True)

    def _image(self, pixels: Tensor) -> Tensor:
        return pixels.to(self._dtype).div_(255)

    def _adam(self, parameters: Sequence[Tensor], rate: float) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, rate, self.config.betas, fused=True)


def clip_by_global_norm(parameters: Sequence[Tensor], max_norm: float) -> Tensor:
    """Scales gradients by max_norm / norm where their norm is above it; 0 leaves them alone.

    That is optax's rule; `torch.nn.utils.clip_grad_norm_` adds 1e-6 to the norm.

    Returns:
      the norm before.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if max_norm:
        scale = torch.where(norm > max_norm, max_norm / norm, torch.ones_like(norm))
        torch._foreach_mul_(gradients, scale)  # pyright: ignore
    return norm
