"""The base model's names in the released PyTorch weights (arXiv 2409.17674).

The file is a pickle of {"state_dict": {"module.NAME": tensor}}, 651 tensors at the published sizes:
`pose_base` is the extractor, `generator` everything else. 45 of them are counters of training
batches, one beside each running variance. They have no use in our variables, because the momentum
is fixed, and are handed on so that nothing is lost.
"""

from collections.abc import Mapping

import numpy as np

from jaxgesture.core import mapping, tree
from jaxgesture.core.mapping import Rule
from jaxgesture.core.types import NumpyBatch, PyTree

COUNTERS = "counters"  # in place of a collection
RULES = (
    Rule(r"encoder/down_blocks_(\d)", r"generator.down_blocks.\1"),
    Rule(r"encoder/first", r"generator.first"),
    Rule(r"enhancer/res_ms_(\d+)", r"generator.res_ms.\1"),
    Rule(r"enhancer/unet/out_norm", r"generator.Res_Feat.out_o.0"),
    Rule(r"enhancer/unet/out_conv", r"generator.Res_Feat.out_o.2"),
    Rule(r"enhancer/unet/(\w+)", r"generator.Res_Feat.\1"),
    Rule(r"motion_decoder/res_mid_(\d+)", r"generator.pose_up.res_mid.\1"),
    Rule(r"motion_decoder/out_1_0", r"generator.pose_up.out_1.0"),
    Rule(r"motion_decoder/(\w+)", r"generator.pose_up.\1"),
    Rule(r"decoder/res_ms_(\d+)", r"generator.decoder.res_ms.\1"),
    Rule(r"decoder/up_res_(\d)", r"generator.decoder.up\1.1"),
    Rule(r"decoder/up_(\d)", r"generator.decoder.up\1.0"),
    Rule(r"decoder/(mask_up|re_up|re_ac)_(\d)", r"generator.decoder.\1\2"),
    Rule(r"decoder/(\w+)", r"generator.decoder.\1"),
    # The release crosses two names: yaw is read from the head called roll.
    Rule(r"extractor/fc_yaw", r"pose_base.fc_roll_down8"),
    Rule(r"extractor/fc_roll", r"pose_base.fc_yaw_down8"),
    Rule(r"extractor/fc_pitch", r"pose_base.fc_pitch_down8"),
    Rule(r"extractor/fc_translation", r"pose_base.fc_t_down8.0"),
    Rule(r"extractor/block(\d)_b(\d)_(\d+)", r"pose_base.block\1.b\2_\3"),
    Rule(r"extractor/(\w+)", r"pose_base.\1"),
)


def table(template: PyTree) -> mapping.Table:
    """The table of a base model of any sizes, the counters being a collection of their own.

    Args:
      template: its variables, as arrays or shape structs.
    """
    counted = {**template, **_counters(template)}
    return mapping.Table(
        network="the base model",
        remedy="give the file of a base model of the preset's sizes; for other sizes, name a "
        "folder that has a model of them: jaxgesture convert animation --preset=FOLDER",
        entries=mapping.make_entries(counted, RULES),
    )


def from_torch(
    state_dict: Mapping[str, np.ndarray], template: PyTree, source: str
) -> tuple[PyTree, dict[str, int]]:
    """Variables of the base model, and the counters that have no use in them.

    Args:
      state_dict: arrays by released name, without "module.".
      template: the variables' shapes and types.
      source: where the state dict comes from, for messages.

    Returns:
      the variables, and {module: number of training batches} to hand back to `to_torch`.

    Raises:
      UserError: see `mapping.to_variables`.
    """
    variables = mapping.to_variables(state_dict, table(template), source)
    counters = tree.flatten(variables.pop(COUNTERS, {}))
    return variables, {name.removesuffix("/count"): int(n) for name, n in counters.items()}


def to_torch(variables: PyTree, counters: Mapping[str, int]) -> NumpyBatch:
    """The released names and layouts, for `load_state_dict(strict=True)`.

    Args:
      variables: of the base model.
      counters: what `from_torch` gave; a module that is not in it, in a model that was trained
        here, has counted nothing.
    """
    counted = {**variables, **_counters(variables, counters)}
    return mapping.to_state_dict(counted, table(variables))


def _counters(variables: PyTree, values: Mapping[str, int] | None = None) -> PyTree:
    """{"counters": {module: {"count": int64}}}, one for each running variance, by default 0."""
    values = values or {}
    modules = [
        name.removesuffix("/var").removeprefix("batch_stats/")
        for name in tree.flatten({"batch_stats": variables.get("batch_stats", {})})
        if name.endswith("/var")
    ]
    counts = {f"{m}/count": np.asarray(values.get(m, 0), np.int64) for m in modules}
    return {COUNTERS: tree.unflatten(counts)} if counts else {}
