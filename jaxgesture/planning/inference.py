"""What is planned besides training: drawing frames (stage 1) and sampling motion (stage 2)."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxgesture.core import tree
from jaxgesture.planning.subjects import EVERYWHERE, KEY, ROWS, Argument, Subject, array

GUIDANCE = array()


def rendering(built: Mapping[str, Any]) -> Subject:
    """Frames drawn from one source's code, a row a frame."""
    from jaxgesture.animation import model as animation
    from jaxgesture.animation.network import AnimationNetwork

    config = built["model"]
    image = array(1, config.size, config.size, 3)
    variables = jax.eval_shape(AnimationNetwork(config).init, KEY, image, image)
    code = jax.eval_shape(functools.partial(animation.encode_source, config), variables, image)
    return Subject(
        stage="animation", what="render", function=functools.partial(animation.animate, config),
        arguments=(
            Argument("variables", EVERYWHERE, variables),
            Argument("source", EVERYWHERE, code),
            Argument("feature", ROWS, array(config.feature_size)),
        ),
        results=ROWS, parameters={"generator": tree.count(variables["params"])}, unit="frames",
        frames=1, batch_size=None, steps=None, mesh=built["mesh"], dtype=str(config.dtype),
        network="AnimationNetwork",
    )  # fmt: skip


def sampling(built: Mapping[str, Any]) -> Subject:
    """One segment a row, with the defaults of `jaxgesture generate`: candidates, guided DDIM."""
    from jaxgesture.motion.denoiser import init_params
    from jaxgesture.motion.generate import SampleOptions, sample_segment, tail_frames
    from jaxgesture.motion.normalisation import identity_statistics

    config = built["model"]
    params = jax.eval_shape(functools.partial(init_params, config), KEY)
    statistics = jax.eval_shape(lambda: identity_statistics(config))

    def rows(name: str, *shape: int, dtype: Any = jnp.float32) -> Argument:
        return Argument(name, ROWS, array(*shape, dtype=dtype))

    return Subject(
        stage="motion", what="sample",
        function=functools.partial(sample_segment, config, SampleOptions()),
        arguments=(
            Argument("params", EVERYWHERE, params),
            Argument("statistics", EVERYWHERE, statistics),
            rows("audio", config.segment_frames, config.audio_size),
            rows("source", config.feature_size),
            rows("previous", tail_frames(config), config.feature_size),
            rows("first", dtype=jnp.bool_),
            rows("keys", dtype=KEY.dtype),
            Argument("guidance", EVERYWHERE, GUIDANCE),
        ),
        results=ROWS, parameters={"denoiser": tree.count(params)}, unit="segments",
        frames=config.segment_frames, batch_size=None, steps=None, mesh=built["mesh"],
        dtype=str(config.dtype), network="Denoiser", depth=3,
    )  # fmt: skip
