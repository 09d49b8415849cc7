"""What both sides of the motion model's benchmark run: sizes, losses, one set of weights."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxgesture.benchmark import motion_cases
from jaxgesture.convert.motion import to_torch
from jaxgesture.core import config as configuration
from jaxgesture.core import sharding
from jaxgesture.core.errors import UserError
from jaxgesture.core.optim import make_optimizer
from jaxgesture.core.state import TrainState, initialize
from jaxgesture.core.types import NumpyBatch, PyTree
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.normalisation import identity_statistics
from jaxgesture.motion.representation import to_feature
from jaxgesture.motion.step import DENOISER, make_init, prepare
from jaxgesture.motion.train import SECTIONS


@dataclasses.dataclass(frozen=True)
class MotionSubject:
    """A motion model before its first training step.

    Attributes:
      sections: the configuration, each section as its dataclass, computing in float32.
      state: of the training step, in the host's memory; its statistics change nothing.
      notes: what both sides do otherwise than the configuration, a line each.
    """

    sections: dict[str, Any]
    state: TrainState
    notes: tuple[str, ...]

    @property
    def config(self) -> MotionConfig:
        """Sizes."""
        return self.sections["model"]

    @property
    def variables(self) -> PyTree:
        """Of the motion model, in the host's memory."""
        network = self.state.networks[DENOISER]
        return {"params": network.params, "stats": network.stats}

    @property
    def batch_size(self) -> int:
        """Segments of a training step."""
        return self.sections["data"].batch_size

    @functools.cached_property
    def state_dict(self) -> NumpyBatch:
        """The weights by their names in PyTorch."""
        return to_torch(self.variables)

    def config_in(self, precision: str, *, project: bool = True) -> MotionConfig:
        """The sizes with the compute type of a precision; perhaps without the projection."""
        return dataclasses.replace(
            self.config,
            dtype="bfloat16" if precision == "bfloat16" else "float32",
            project=self.config.project and project,
        )

    def units(self, rows: int) -> NumpyBatch:
        """`motion_cases.features` in the network's units."""
        batch = motion_cases.features(self.config, rows)
        made = prepare(self.config, self.variables["stats"], batch)  # pyright: ignore
        valid = {name: batch[name] for name in ("history_valid",) if name in batch}
        return {name: np.array(value) for name, value in made.items()} | valid

    def features(self, motion: np.ndarray) -> np.ndarray:
        """Sampled motion in the network's units as features, not projected."""
        return np.asarray(to_feature(motion, self.config_in("float32", project=False)))  # pyright: ignore


def make_subject(config: Any) -> MotionSubject:
    """Initialises the motion model of a configuration of stage 2.

    Raises:
      UserError: for a wrong configuration.
    """
    if "discriminator" in config:
        raise UserError(
            "the motion model takes a configuration of stage 2, such as configs/stage2.py:debug"
        )
    configuration.check_sections(config, SECTIONS)
    built: dict[str, Any] = {
        name: configuration.build(cls, config[name], name=name) for name, cls in SECTIONS.items()
    }
    if built["model"].source != "image":
        raise UserError(
            'model.source="previous" is not measured, as PyTorch has none of it; leave it out'
        )
    built["model"] = model = dataclasses.replace(built["model"], dtype="float32")
    optim = built["optim"]
    optimizer = make_optimizer(optim, built["train"].steps)
    init = make_init(model, optimizer, identity_statistics(model), ema=bool(optim.ema_decay))
    # One device, also where there are more: PyTorch has one.
    mesh = sharding.make_mesh(sharding.MeshConfig(), jax.devices()[:1])
    state = jax.device_get(initialize(init, jax.random.key(motion_cases.SEED), mesh))
    return MotionSubject(built, state, notes(built))


def notes(built: Mapping[str, Any]) -> tuple[str, ...]:
    """What of a configuration the sides do otherwise, or not alike, a line each."""
    model, optim = built["model"], built["optim"]
    found = {
        "Samples are left as the network gives them; the projection to the nearest rotations, "
        "which PyTorch's side does not have, is part of end to end only.": model.representation
        == "rotmat" and model.project,
        f"PyTorch's training step uses Adan, not optim.name={optim.name!r}.": optim.name != "adan",
        "Motion and audio are given in the network's units: nothing is standardised.": True,
    }  # fmt: skip
    return tuple(note for note, holds in found.items() if holds)
