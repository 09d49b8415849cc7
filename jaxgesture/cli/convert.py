"""jaxgesture convert: published weights into ours, and back.

Try:
  jaxgesture convert animation --source=model.pt --out=models/released
  jaxgesture convert animation --source=runs/stage1 --out=stage1.pt --to=torch
  jaxgesture convert motion --source=checkpoint.pt --out=models/s2g
  jaxgesture convert vgg19 --source=vgg19-dcbb9e9d.pth --out=vgg19.npz

animation   the base model (arXiv 2409.17674). --source is a weight file (.pt, .pth, .tar, .ckpt,
            .bin, .npz, .safetensors), a workdir of stage 1, or an exported folder. --out becomes an
            exported folder, which generate, extract and evaluate take; with --to=torch a weight
            file with the released names, .npz and .safetensors included.
motion      the motion model, likewise: stage 2, or a checkpoint of S2G-MDDiffusion, whose average
            is taken; what else it holds is not read. A weight file does not say to which base model
            and to which audio features a motion model belongs; a folder does.
vgg16, vgg19, alexnet, lpips_alex, lpips_vgg, i3d
            the networks that judge. --source is the published file, --out a weight file with what
            is used of it. As .npz it can be read where PyTorch is not installed.

Every array must fit, and none may be left over. No code in a file is run. Nothing is written where
anything is wrong, and what stands in --out already is kept if it is the same, never overwritten.
Reading and writing PyTorch's files needs PyTorch: pip install torch.
"""

import pathlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from absl import flags as absl_flags

from jaxgesture.cli import flags
from jaxgesture.core.config import nearest
from jaxgesture.core.errors import UserError

if TYPE_CHECKING:
    from jaxgesture.core.types import NumpyBatch

ANIMATION, MOTION = "animation", "motion"
SUBJECTS = (ANIMATION, MOTION, "vgg16", "vgg19", "alexnet", "lpips_alex", "lpips_vgg", "i3d")
TARGETS = ("jax", "torch")
FLAGS = flags.new()
absl_flags.DEFINE_string("subject", None, "what to convert", flag_values=FLAGS)
absl_flags.DEFINE_string(
    "source", None, "weight file, workdir, or exported folder", flag_values=FLAGS
)
absl_flags.DEFINE_string("out", None, "folder to write, or file with --to=torch", flag_values=FLAGS)
absl_flags.DEFINE_string("to", "jax", "jax or torch", flag_values=FLAGS)
absl_flags.DEFINE_string(
    "preset", None, "sizes of a weight file: paper, for motion also s2g, or a folder with a model "
    "of the same sizes; by default those of the published weights", flag_values=FLAGS,
)  # fmt: skip


def run() -> None:
    """Runs the command."""
    source = flags.required(FLAGS, "source", "name the weights to convert")
    out = pathlib.Path(flags.required(FLAGS, "out", "name what to write")).expanduser()
    if FLAGS.to not in TARGETS:
        raise UserError(f"--to={FLAGS.to} is not known; {nearest(FLAGS.to, TARGETS)}")
    if FLAGS.subject in (ANIMATION, MOTION):
        _model(FLAGS.subject, source, out, to_torch=FLAGS.to == "torch")
    else:
        _judge(FLAGS.subject, source, out)


class _Kind(NamedTuple):
    """What the command knows of a kind of model.

    Attributes:
      presets: names of its sizes.
      published: the one of them that the published weights have.
      load: (place, sizes) -> model.
      state_dict: its arrays by their names in PyTorch.
      about: what an exported folder says of it beside its weights.
    """

    presets: Iterable[str]
    published: str
    load: Callable[..., Any]
    state_dict: "Callable[[Any], NumpyBatch]"
    about: Callable[[Any], tuple]


def _kind(subject: str) -> _Kind:
    if subject == ANIMATION:
        from jaxgesture.animation.model import PRESETS, load_animation

        return _Kind(PRESETS, "paper", load_animation, lambda m: m.state_dict(), lambda m: ())
    from jaxgesture.convert.motion import to_torch
    from jaxgesture.motion.model import PRESETS as SIZES
    from jaxgesture.motion.model import load_motion

    return _Kind(
        SIZES, "s2g", load_motion, lambda m: to_torch(m.variables),
        lambda m: (m.animation_sha256, m.features),
    )  # fmt: skip


def _model(subject: str, source: str, out: pathlib.Path, to_torch: bool) -> None:
    _check_place(out, to_torch)
    from jaxgesture.core import tree

    kind = _kind(subject)
    sizes = FLAGS.preset or kind.published
    if sizes not in kind.presets and pathlib.Path(sizes).expanduser().is_dir():
        sizes = kind.load(sizes).config
    model = kind.load(source, sizes)
    arrays = kind.state_dict(model)
    written = _write_file(arrays, out) if to_torch else _write_folder(kind, model, arrays, out)
    count = tree.format_count(tree.count(model.variables["params"]))
    print(
        f"{source}: {len(arrays)} tensors, {count} parameters, "
        f"sha256 {tree.sha256(model.variables)}\n"
        f"{out}: {'written' if written else 'kept, it holds the same already'}"
    )


def _judge(name: str, source: str, out: pathlib.Path) -> None:
    """Checks the weight file of a network that judges, and writes what is used of it."""
    _check_place(out, to_torch=True)
    from jaxgesture.core import weight_files
    from jaxgesture.perceptual import weights

    if source == weights.RANDOM:
        raise UserError(f"--source={source} is no file; name {weights.NETWORKS[name].file}")
    loaded = weights.load(name, source)
    there = weight_files.read(source)
    arrays = {entry.name: there[entry.name] for entry in weights.NETWORKS[name].table.entries}
    written = _write_file(arrays, out)
    print(
        f"{source}: {len(arrays)} of {len(there)} tensors are used, sha256 {loaded.sha256}\n"
        f"{out}: {'written' if written else 'kept, it holds the same already'}"
    )


def _check_place(out: pathlib.Path, to_torch: bool) -> None:
    from jaxgesture.core import weight_files

    if to_torch:
        weight_files.checked_suffix(out)
        if out.is_dir():
            raise UserError(f"--out={out} is a folder; name a file in it")
    elif out.suffix.lower() in weight_files.SUFFIXES:
        raise UserError(f"--out={out} names a weight file; name a folder, or add --to=torch")


def _write_folder(kind: _Kind, model: Any, arrays: "NumpyBatch", out: pathlib.Path) -> bool:
    """Exports a model; returns False where the folder holds the same."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        try:
            there = kind.load(out)
        except UserError as error:
            raise _occupied(out) from error
        same = there.config == model.config and kind.about(there) == kind.about(model)
        if not same or not _same(kind.state_dict(there), arrays):
            raise _occupied(out)
        return False
    model.save(out)
    return True


def _write_file(arrays: "NumpyBatch", out: pathlib.Path) -> bool:
    """Writes a weight file; returns False where the file holds the same."""
    from jaxgesture.core import weight_files

    if out.exists():
        try:
            there = weight_files.read(out)
        except UserError as error:
            raise _occupied(out) from error
        if not _same(there, arrays):
            raise _occupied(out)
        return False
    weight_files.write(out, arrays)
    return True


def _same(there: "NumpyBatch", arrays: "NumpyBatch") -> bool:
    return there.keys() == arrays.keys() and all(
        there[name].dtype == array.dtype and np.array_equal(there[name], array)
        for name, array in arrays.items()
    )


def _occupied(out: pathlib.Path) -> UserError:
    return UserError(f"{out} exists and holds something else; choose another --out, or delete it")
