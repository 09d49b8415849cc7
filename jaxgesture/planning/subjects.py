"""What is planned of a configuration: a function, and the shapes of what it takes, without data."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxgesture.core import config as configuration
from jaxgesture.core import tree
from jaxgesture.core.errors import UserError
from jaxgesture.core.optim import make_optimizer
from jaxgesture.core.sharding import MeshConfig
from jaxgesture.core.types import PyTree

KEY = jax.eval_shape(lambda: jax.random.key(0))
# Where an argument lives: split over "fsdp" and given back in place; by rows over all chips; whole
# on every chip.
STATE, ROWS, EVERYWHERE = "state", "rows", "everywhere"
WHATS = ("train", "render", "sample")


@dataclasses.dataclass(frozen=True)
class Argument:
    """An argument of the function.

    Attributes:
      name: for messages.
      placement: one of STATE, ROWS and EVERYWHERE.
      shapes: a pytree of shape structs; of ROWS those of one row, without the first axis.
    """

    name: str
    placement: str
    shapes: PyTree

    def of(self, size: int) -> PyTree:
        """Its shape structs for `size` rows."""
        if self.placement != ROWS:
            return self.shapes
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((size, *leaf.shape), leaf.dtype), self.shapes
        )


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is planned.

    Attributes:
      stage: "animation" or "motion".
      what: "train", "render" or "sample".
      function: what is compiled.
      arguments: what it takes.
      results: placement of what it gives.
      parameters: network -> number of its parameters.
      unit: what a row is: examples, frames, segments.
      frames: video frames that a row gives; 0 if it gives none.
      batch_size: rows on all chips if nobody says otherwise; None for the least that divides.
      steps: of the training; None for what is no training.
      mesh: of the configuration.
      dtype: the networks compute in.
      network: name of the main module, which scopes need not repeat.
      depth: parts of a scope that tell modules apart.
      parts: in which the gradient of a batch is computed; they divide the rows of a chip.
    """

    stage: str
    what: str
    function: Callable[..., Any]
    arguments: tuple[Argument, ...]
    results: Any
    parameters: Mapping[str, int]
    unit: str
    frames: int
    batch_size: int | None
    steps: int | None
    mesh: MeshConfig
    dtype: str
    network: str
    depth: int = 1
    parts: int = 1

    @property
    def state(self) -> PyTree | None:
        """Shapes of the training state; None without."""
        return next((a.shapes for a in self.arguments if a.placement == STATE), None)

    @property
    def state_bytes(self) -> int:
        """Bytes of the training state, on all chips together."""
        return 0 if self.state is None else tree.nbytes(self.state)

    def shapes(self, size: int) -> tuple[PyTree, ...]:
        """Shape structs of all arguments for `size` rows."""
        return tuple(argument.of(size) for argument in self.arguments)


def make(config: Any, what: str = "train") -> Subject:
    """The subject of a configuration of stage 1 or stage 2.

    Args:
      config: of `configs/stage1.py` or `configs/stage2.py`.
      what: "train", the training step; "render", stage 1 drawing frames; "sample", stage 2 making
        a segment of motion.

    Raises:
      UserError: a misspelt key, values that make no training, or another stage.
    """
    if what not in WHATS:
        raise UserError(f"--what={what} is not known; choose one of {', '.join(WHATS)}")
    from jaxgesture.planning import inference

    if "segment_frames" in config.model:
        if what == "render":
            raise UserError("--what=render is of stage 1; give --config=configs/stage1.py:paper")
        return inference.sampling(built_motion(config)) if what == "sample" else _motion(config)
    if "channels" in config.model:
        raise UserError(
            "the pose autoencoder needs no plan: it trains in a minute on two CPU cores"
        )
    if what == "sample":
        raise UserError("--what=sample is of stage 2; give --config=configs/stage2.py:paper")
    return inference.rendering(built_animation(config)) if what == "render" else _animation(config)


def array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    """A shape struct, float32 if nothing else is said."""
    return jax.ShapeDtypeStruct(shape, dtype)


def built_animation(config: Any) -> dict[str, Any]:
    """The sections of a configuration of stage 1, checked."""
    from jaxgesture.animation import train

    return _built(config, train.SECTIONS)


def built_motion(config: Any) -> dict[str, Any]:
    """The sections of a configuration of stage 2, checked."""
    from jaxgesture.motion import train

    return _built(config, train.SECTIONS)


def _built(config: Any, sections: Mapping[str, type]) -> dict[str, Any]:
    configuration.check_sections(config, sections)
    return {n: configuration.build(cls, config[n], name=n) for n, cls in sections.items()}


def _training(
    stage: str, built: Mapping[str, Any], init: Any, step: Any, batch: PyTree, frozen: PyTree,
    network: str, depth: int,
) -> Subject:  # fmt: skip
    state = jax.eval_shape(init, KEY)
    arguments = [
        Argument("state", STATE, state),
        Argument("batch", ROWS, batch),
        Argument("key", EVERYWHERE, KEY),
    ]
    if frozen:
        arguments.append(Argument("frozen", EVERYWHERE, frozen))
    return Subject(
        stage=stage, what="train", function=step, arguments=tuple(arguments),
        results=(STATE, EVERYWHERE),
        parameters={name: tree.count(net.params) for name, net in state.networks.items()},
        unit="examples", frames=0, batch_size=built["data"].batch_size,
        steps=built["train"].steps, mesh=built["mesh"], dtype=str(built["model"].dtype),
        network=network, depth=depth, parts=built["optim"].accumulate,
    )  # fmt: skip


def _animation(config: Any) -> Subject:
    from jaxgesture.animation import losses, train
    from jaxgesture.animation.step import make_init, make_step
    from jaxgesture.data import boxes
    from jaxgesture.perceptual.weights import random_params

    built = built_animation(config)
    model, loss, data = built["model"], built["loss"], built["data"]
    training = train.make_training(built)
    example = {name: array(model.size, model.size, 3, dtype=jnp.uint8)
               for name in ("source", "driving")}  # fmt: skip
    augment = data.augment
    if data.augment_on == "device" and augment.changes:
        example["flip"] = array(dtype=jnp.bool_)
        if augment.crop:
            example["crop"] = array(4)
        if augment.brightness or augment.contrast or augment.saturation:
            example["colour"] = array(3, 4)
    wanted = []
    if loss.perceptual:
        wanted.append(losses.GLOBAL)
    if loss.looks_closer:
        example["boxes"] = array(boxes.K, 4)
        wanted.append(losses.LOCAL)
    frozen = jax.eval_shape(lambda: {name: random_params(name) for name in wanted})
    return _training(
        "animation", built, make_init(training), make_step(training), example, frozen,
        "AnimationNetwork", 1,
    )  # fmt: skip


def _motion(config: Any) -> Subject:
    from jaxgesture.motion.normalisation import identity_statistics
    from jaxgesture.motion.step import make_init, make_step

    built = built_motion(config)
    model, optim = built["model"], built["optim"]
    optimizer = make_optimizer(optim, built["train"].steps)
    ema = optim.ema_decay or None
    init = make_init(model, optimizer, identity_statistics(model), ema=ema is not None)
    step = make_step(
        model, built["loss"], optimizer, ema_decay=ema, ema_warmup=optim.ema_warmup,
        accumulate=optim.accumulate,
    )  # fmt: skip
    example = {
        "motion": array(model.segment_frames, model.feature_size),
        "audio": array(model.segment_frames, model.audio_size),
        "source": array(model.feature_size),
    }
    if model.past_frames:
        example["history"] = array(model.past_frames, model.feature_size)
        example["history_valid"] = array(dtype=jnp.bool_)
    return _training("motion", built, init, step, example, None, "Denoiser", 3)
