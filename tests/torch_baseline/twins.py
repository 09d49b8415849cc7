"""One set of float64 weights in both packages, and comparison of values and gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import torch
from animation.weights import TINY

from jaxgesture.convert import animation as released
from jaxgesture.core import tree

# Each program runs once: compiling it with care takes longer than it saves.
QUICKLY: dict = {"xla_backend_optimization_level": 0}
NEGLIGIBLE = 1e-4  # of the largest gradient: what is below is compared with this in its place

# Every kind of block at least once.
CONFIG = dataclasses.replace(
    TINY, extractor_blocks=(1, 1, 1), motion_blocks=1, bins=12, dtype="float64"
)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a part stands in the whole network: its names are then those that the converter knows.

    Attributes:
      ours: path of its modules in JAX, "" for all of the network.
      theirs: prefix in PyTorch.
    """

    ours: str = ""
    theirs: str = ""

    def into(self, part):
        """A part's collections as collections of the network."""
        flat = tree.flatten(part)
        return tree.unflatten({self._name(name): leaf for name, leaf in flat.items()})

    def from_torch(self, tensors, template):
        """The part's variables from its tensors by name; every name and every leaf is used once."""
        arrays = {self.theirs + name: np.asarray(t.detach()) for name, t in tensors.items()}
        whole, _ = released.from_torch(arrays, self.into(template), "the twin")
        flat = tree.flatten(whole)
        return tree.unflatten({name: flat[self._name(name)] for name in tree.flatten(template)})

    def _name(self, name):
        collection, rest = name.split("/", 1)
        return "/".join(part for part in (collection, self.ours, rest) if part)


WHOLE = Place()


def in_float64(template):
    """Shapes of variables in double precision."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, np.float64), template)


def channels_first(x):
    return np.ascontiguousarray(np.moveaxis(x, -1, 1)) if np.ndim(x) == 4 else np.asarray(x)


def channels_last(x):
    x = x.detach().numpy()
    return np.moveaxis(x, 1, -1) if x.ndim == 4 else x


def randomise(module, seed=0):
    """The module in float64, with scales and variances near 1 and kernels as fan-in has it."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, value in module.state_dict().items():
        shape, leaf = tuple(value.shape), name.rsplit(".", 1)[-1]
        if leaf == "num_batches_tracked":
            state[name] = value
            continue
        bound = np.sqrt(3 / np.prod(shape[1:])) if len(shape) > 1 else 0.1
        values = rng.uniform(-bound, bound, shape)
        if len(shape) == 1 and leaf in ("weight", "running_var"):
            values += 0.3 if "re_ac" in name else 1
        if "fc_" in name and leaf == "weight":
            values *= 4  # the motion feature then depends on the image
        state[name] = torch.from_numpy(values)
    module.double().load_state_dict(state)
    return module


def error(ours, theirs, scale=0.0):
    """The largest difference relative to the largest value of `theirs`, or to `scale` if larger."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype == np.float64
    return np.abs(ours - theirs).max(initial=0) / max(np.abs(theirs).max(initial=0), scale)


def errors_of_trees(ours, theirs, scale=0.0):
    """The error of each leaf, by name."""
    ours, theirs = tree.flatten(ours), tree.flatten(theirs)
    assert ours.keys() == theirs.keys()
    return {name: error(ours[name], leaf, scale) for name, leaf in theirs.items()}


def errors_of_gradients(ours, theirs):
    """The same; a leaf of which nearly nothing is left, such as a bias before a norm, is noise."""
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(theirs))
    return errors_of_trees(ours, theirs, NEGLIGIBLE * largest)


def table(title, errors, tolerance):
    """Prints errors by name."""
    width = max(map(len, errors))
    rows = [f"| {name:{width}} | {value:.1e} |" for name, value in errors.items()]
    print("\n".join((f"\n{title}: relative errors, tolerance {tolerance:.0e}", *rows)))


def compare(module, function, jax_function, template, inputs, place=WHOLE):
    """Compares outputs, running statistics and all gradients of a twin with JAX's.

    Args:
      module: the PyTorch side; gets random weights.
      function: of the inputs, channels first; returns a tuple.
      jax_function: of variables and inputs; returns a tuple and the new "batch_stats" or None.
      template: shapes of the variables.
      inputs: float64, channels last.
      place: of the part.

    Returns:
      {"outputs", "inputs", "parameters", "statistics": the largest relative error}.
    """
    template = in_float64(template)
    randomise(module)
    variables = place.from_torch(module.state_dict(), template)
    places = [torch.from_numpy(channels_first(x)).requires_grad_() for x in inputs]
    outputs = function(*places)
    rng = np.random.default_rng(1)
    towards = tuple(rng.standard_normal(channels_last(y).shape) for y in outputs)
    names = [name for name, _ in module.named_parameters()]
    grads = torch.autograd.grad(
        outputs,
        [*places, *module.parameters()],
        [torch.from_numpy(channels_first(t)) for t in towards],
        allow_unused=True,
        materialize_grads=True,
    )
    of_inputs, of_parameters = grads[: len(places)], grads[len(places) :]

    with jax.enable_x64(True), jax.default_matmul_precision("highest"):

        @jax.jit
        def run(params, stats, inputs, towards):
            def apply(params, inputs):
                return jax_function({"params": params, "batch_stats": stats}, *inputs)

            outputs, pull, statistics = jax.vjp(apply, params, inputs, has_aux=True)
            return outputs, statistics, pull(towards)

        params, stats = (variables.get(name, {}) for name in ("params", "batch_stats"))
        arguments = jax.tree.map(jnp.asarray, (params, stats, tuple(inputs), towards))
        compiled = run.lower(*arguments).compile(QUICKLY)
        out, statistics, (params_grad, inputs_grad) = jax.device_get(compiled(*arguments))

    found = {}
    found["outputs"] = [error(channels_last(a), b) for a, b in zip(outputs, out, strict=True)]
    found["inputs"] = [
        error(channels_last(a), b) for a, b in zip(of_inputs, inputs_grad, strict=True)
    ]
    assert all(np.abs(g).max() > 0 for g in inputs_grad)
    if names:
        gradients = dict(zip(names, of_parameters, strict=True))
        ours = place.from_torch(gradients, {"params": template["params"]})["params"]
        found["parameters"] = errors_of_gradients(ours, params_grad).values()
    if statistics is not None:
        after = place.from_torch(module.state_dict(), template)["batch_stats"]
        found["statistics"] = errors_of_trees(after, statistics).values()
        moved = errors_of_trees(after, stats)
        assert min(moved.values()) > 1e-3  # the comparison is not with what was there before
    return {name: max(values) for name, values in found.items()}
