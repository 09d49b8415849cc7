"""What both sides run: sizes, losses, optimiser, and one set of weights."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax

from jaxgesture.animation.losses import LossConfig, load_frozen
from jaxgesture.animation.model import Animation
from jaxgesture.animation.step import GENERATOR, Training, make_init
from jaxgesture.animation.train import SECTIONS, make_training
from jaxgesture.core import config as configuration
from jaxgesture.core import sharding
from jaxgesture.core.errors import UserError
from jaxgesture.core.state import TrainState, initialize
from jaxgesture.core.types import PyTree
from jaxgesture.perceptual.weights import RANDOM

SEED = 0


@dataclasses.dataclass(frozen=True)
class Subject:
    """A base model before its first training step.

    Attributes:
      training: sizes, losses and optimisers, computing in float32.
      sections: the configuration, each section as its dataclass.
      state: of the training step, in the host's memory.
      frozen: networks that only judge, likewise; None without any.
      notes: what of the configuration both sides do otherwise, a line each.
    """

    training: Training
    sections: dict[str, Any]
    state: TrainState
    frozen: PyTree | None
    notes: tuple[str, ...]

    @property
    def variables(self) -> PyTree:
        """Of the base model, in the host's memory."""
        generator = self.state.networks[GENERATOR]
        return {"params": generator.params, "batch_stats": generator.stats}

    @functools.cached_property
    def animation(self) -> Animation:
        """The base model."""
        return Animation(self.training.model, self.variables)

    @property
    def batch_size(self) -> int:
        """Pairs of a training step."""
        return self.sections["data"].batch_size

    def training_in(self, dtype: str) -> Training:
        """The training with another compute type."""
        model = dataclasses.replace(self.training.model, dtype=dtype)
        return dataclasses.replace(self.training, model=model)


def make_subject(config: Any) -> Subject:
    """Initialises the base model of a configuration of stage 1.

    Raises:
      UserError: for a wrong configuration.
    """
    if "discriminator" not in config:
        raise UserError(
            "the base model takes a configuration of stage 1, such as configs/stage1.py:debug"
        )
    configuration.check_sections(config, SECTIONS)
    built: dict[str, Any] = {
        name: configuration.build(cls, config[name], name=name) for name, cls in SECTIONS.items()
    }
    loss = _shared(built["loss"])
    frozen, _ = load_frozen(loss)
    model = dataclasses.replace(built["model"], dtype="float32")
    training = make_training({**built, "loss": loss, "model": model})
    # One device, also where there are more: PyTorch has one.
    mesh = sharding.make_mesh(sharding.MeshConfig(), jax.devices()[:1])
    state = jax.device_get(initialize(make_init(training), jax.random.key(SEED), mesh))
    return Subject(training, built, state, frozen or None, notes(built))


def notes(built: Mapping[str, Any]) -> tuple[str, ...]:
    """What of a configuration the sides do otherwise, or not alike, a line each."""
    loss, optim, model = built["loss"], built["optim"], built["model"]
    found = {
        "The training step leaves the read-out out, which PyTorch's does not have.": loss.read_out,
        "The adversarial loss counts from the first step.": loss.adversarial
        and loss.adversarial_start,
        f"{' and '.join(f'loss.{name}' for name in _not_named(loss))}: no file is named, so the "
        "features are random; that is as fast as any.": _not_named(loss),
        f"PyTorch's training step uses Adam, not optim.name={optim.name!r}.": optim.name != "adam",
        "model.remat saves memory for time in JAX alone.": model.remat,
    }
    return tuple(note for note, holds in found.items() if holds)


def _shared(loss: LossConfig) -> LossConfig:
    """The losses that both sides have, all from the first step on."""
    return dataclasses.replace(
        loss,
        read_out=0.0,
        read_out_steps=0,
        adversarial_start=0,
        **dict.fromkeys(_not_named(loss), RANDOM),
    )


def _not_named(loss: LossConfig) -> list[str]:
    """The keys of weight files that the losses need and the configuration does not name."""
    needed = {"perceptual_weights": loss.perceptual, "local_weights": loss.looks_closer}
    return [name for name, used in needed.items() if used and not getattr(loss, name)]
