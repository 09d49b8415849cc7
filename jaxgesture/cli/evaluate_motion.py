"""The subject "motion" of jaxgesture evaluate: datasets and models in, table and picture out."""

import pathlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags as absl_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import DataWarning, UserError

if TYPE_CHECKING:
    from jaxgesture.data.datasets import FrameDataset, MotionDataset
    from jaxgesture.data.motions import MotionInfo
    from jaxgesture.data.poses import Poses
    from jaxgesture.evaluation.motion_report import Corpus
    from jaxgesture.evaluation.probe import Probe
    from jaxgesture.motion.model import Motion

# Flags of sampling, and how a value of each is read.
_CHOICES = {
    "guidance": float, "candidates": int, "selection": str, "steps": int, "sampler": str,
}  # fmt: skip
# The probe is fitted on at most so many frames, evenly spread; more change its third digit.
_PROBE_FRAMES = 20_000
# Alignments are divided by, and beat responses held against, the motion of so many training clips.
_SCALE_CLIPS = 200
_SHORTEST = 2.0  # seconds


def run(
    values: absl_flags.FlagValues, names: list[str], data: str, files: list[pathlib.Path]
) -> None:
    """Measures the models `names` on the motion dataset `data`."""
    from tqdm import tqdm

    from jaxgesture.core import meta
    from jaxgesture.data.datasets import FrameDataset, MotionDataset
    from jaxgesture.evaluation import motion_report
    from jaxgesture.generation.held_out import sample_clips
    from jaxgesture.motion.model import load_motion

    where = flags.required(values, "poses", "name the dataset that --data was extracted from")
    _check_numbers(values)
    variants = list(_variants(values))
    frames, dataset = FrameDataset(where), MotionDataset(data)
    dataset.require(frames_sha256=frames.sha256)
    models = {name: load_motion(name) for name in names}
    for name, model in models.items():
        _check(name, model, dataset)
        for _, options in variants:  # before any of them takes its time
            model.batch(1, **options)
    held = _held_out(frames, dataset, values.split, values.clips)
    clips = list(held)
    corpus, about = _corpus(frames, dataset, held)
    true = [dataset.motion(clip) for clip in clips]
    table = motion_report.Table(corpus, true, models[names[0]].config.segment_frames)
    runs = values.seeds * len(variants) + len(_without_guidance(variants))
    with tqdm(total=len(clips) * len(models) * runs, desc="evaluate", unit="clip") as bar:
        for name, model in models.items():
            silent: dict[tuple, list[np.ndarray]] = {}

            def generate(seed: int, model=model, **options) -> list[np.ndarray]:
                return sample_clips(
                    model, dataset, clips, seed=seed, batch=values.together, tick=bar.update,
                    **options,
                )  # fmt: skip

            for variant, options in variants:
                label = f"{name} {variant}".strip()
                bar.set_postfix_str(label)
                first = values.seed
                own = [generate(s, **options) for s in range(first, first + values.seeds)]
                (unheard,) = _without_guidance([(variant, options)])
                if unheard not in silent:
                    silent[unheard] = generate(first, **{**options, "guidance": 0.0})
                segment = model.config.segment_frames
                table.add(label, own, silent[unheard], segment=segment)
    protocol: dict[str, Any] = {
        "data": str(dataset.directory),
        "dataset_sha256": dataset.sha256,
        "frames_sha256": frames.sha256,
        "split": values.split,
        "clips": [clip.id for clip in clips],
        "seconds": sum(clip.frames for clip in clips) / dataset.fps,
        **about,
        "sampling": {name: values[name].value for name in (*_CHOICES, "seeds", "seed")},
        "weights": {name: _hash(model) for name, model in models.items()},
        "versions": meta.versions(),
        "commit": meta.commit(),
    }
    text = motion_report.markdown(table, _caption(protocol))
    print(text, end="")
    pictures = [file for file in files if file.suffix == ".png"]
    flags.write_outputs(
        {
            file: motion_report.to_json(table, protocol) if file.suffix == ".json" else text
            for file in files
            if file not in pictures
        }
    )
    for file in pictures:
        motion_report.picture(table, file)


def _check_numbers(values: absl_flags.FlagValues) -> None:
    if values.clips < 2 or values.seeds < 1 or values.together < 1 or values.seed < 0:
        raise UserError(
            f"--clips={values.clips} --seeds={values.seeds} --together={values.together} "
            f"--seed={values.seed}: at least 2 clips, 1 seed, 1 clip at once and seed 0 are needed"
        )
    if values.split == "train":
        raise UserError(
            "--split=train: the joints are read by a probe that is fitted on it; judge other clips"
        )


def _without_guidance(variants: Sequence[tuple[str, dict[str, Any]]]) -> set[tuple]:
    """What motion without speech is sampled with."""
    return {
        tuple(value for name, value in options.items() if name != "guidance")
        for _, options in variants
    }


def _variants(values: absl_flags.FlagValues) -> Iterator[tuple[str, dict[str, Any]]]:
    """A label and options of sampling for each value of the one flag that has several."""
    read: dict[str, list[Any]] = {}
    for name, kind in _CHOICES.items():
        try:
            read[name] = [kind(value) for value in values[name].value or ()]
        except ValueError as error:
            raise UserError(f"--{name}={','.join(values[name].value or ())}: {error}") from error
        if not read[name]:
            raise UserError(f"--{name} is empty; give at least one value")
        if len(set(read[name])) < len(read[name]):
            raise UserError(f"--{name} names a value twice; name each once")
    several = [name for name, options in read.items() if len(options) > 1]
    if len(several) > 1:
        raise UserError(
            f"--{several[0]} and --{several[1]} both have several values; compare one thing at a "
            "time"
        )
    fixed = {name: options[0] for name, options in read.items()}
    if not several:
        yield "", fixed
        return
    (name,) = several
    for value in read[name]:
        yield f"{name} {value}", {**fixed, name: value}


def _check(name: str, model: "Motion", dataset: "MotionDataset") -> None:
    for what in ("feature_size", "audio_size"):
        if getattr(model, what) != getattr(dataset, what):
            raise UserError(
                f"{name} has a {what} of {getattr(model, what)}, the dataset "
                f"{getattr(dataset, what)}; give the dataset it was trained on"
            )
    if model.features != dataset.features:
        raise UserError(
            f"{name} reads the audio features {model.features!r}, the dataset has "
            f"{dataset.features!r}; give the dataset it was trained on"
        )
    dataset.require(weights_sha256=model.animation_sha256 or None)


def _held_out(
    frames: "FrameDataset", dataset: "MotionDataset", split: str, count: int
) -> "dict[MotionInfo, Poses]":
    """At most `count` clips that can be judged, evenly spread, and their joints.

    Raises:
      UserError: there are fewer than two.
    """
    sounding = dataset.clips(split, need_audio=True)
    usable = [clip for clip in sounding if clip.frames >= _SHORTEST * dataset.fps]
    if len(usable) < 2:
        raise UserError(
            f"{dataset.directory} has {len(usable)} {split!r} clips with sound of {_SHORTEST:g} s "
            "or more; at least two are needed"
        )
    rows = np.unique(np.linspace(0, len(usable) - 1, min(count, len(usable))).round().astype(int))
    found, skipped = _poses(frames, [usable[row] for row in rows])
    if skipped:
        warnings.warn(
            f"{len(skipped)} of {len(rows)} held-out clips are left out: {skipped[0]}", DataWarning,
            stacklevel=2,
        )  # fmt: skip
    if len(found) < 2:
        raise UserError(f"fewer than two held-out clips have known joints: {skipped[0]}")
    return found


def _poses(
    frames: "FrameDataset", clips: "Sequence[MotionInfo]"
) -> "tuple[dict[MotionInfo, Poses], list[str]]":
    """Joints of the clips that have them, and why the others have none."""
    from jaxgesture.data.poses import poses_of

    found: dict[MotionInfo, Poses] = {}
    skipped = []
    for clip in clips:
        try:
            found[clip] = poses_of(frames, clip.id)
        except UserError as error:
            skipped.append(str(error))
    return found, skipped


def _corpus(
    frames: "FrameDataset", dataset: "MotionDataset", held: "dict[MotionInfo, Poses]"
) -> "tuple[Corpus, dict[str, Any]]":
    """What the motion is measured with, and what there is to say of it."""
    from jaxgesture.evaluation import gestures, motion_report

    long = [
        clip
        for clip in dataset.clips("train", need_audio=True)
        if clip.frames >= _SHORTEST * dataset.fps
    ]
    every = max(1, -(-len(long) // _SCALE_CLIPS))
    training, skipped = _poses(frames, long[::every])
    if not training:
        why = skipped[0] if skipped else f"none with sound has {_SHORTEST:g} s"
        raise UserError(f"no training clip has joints to fit the probe on: {why}")
    probe = _probe(dataset, training)
    first = next(iter(held.values()))
    joints, fps = first.joints, dataset.fps

    def read(motion: np.ndarray) -> np.ndarray:
        return probe(motion).reshape(len(motion), len(joints), 2)

    moved = {clip: read(dataset.motion(clip)) for clip in training}
    pairs = [(moved[clip], poses.beats) for clip, poses in training.items()]
    corpus = motion_report.Corpus(
        [motion_report.Clip(poses.positions, poses.beats) for poses in held.values()],
        joints, fps, gestures.scale_of(list(moved.values()), joints, fps),
        gestures.mean_profile(pairs, joints, fps), read,
    )  # fmt: skip
    about = {
        "beats": first.meaning,
        "joints": list(joints),
        "probe_r_squared": _quality(dataset, probe, held),
        "probe_clips": len(training),
        "probe_clips_without_joints": len(skipped),
    }
    return corpus, about


def _flat(poses: "Poses") -> np.ndarray:
    return poses.positions.reshape(len(poses.positions), -1)


def _probe(dataset: "MotionDataset", training: "Mapping[MotionInfo, Poses]") -> "Probe":
    from jaxgesture.evaluation.probe import Probe

    every = max(1, -(-sum(clip.frames for clip in training) // _PROBE_FRAMES))
    return Probe.fit(
        np.concatenate([dataset.motion(clip)[::every] for clip in training]),
        np.concatenate([_flat(poses)[::every] for poses in training.values()]),
    )


def _quality(
    dataset: "MotionDataset", probe: "Probe", held: "Mapping[MotionInfo, Poses]"
) -> dict[str, float]:
    """Share of the variance within clips that is read out of true motion: joint -> R^2."""
    found = [
        probe.r_squared(dataset.motion(clip), _flat(poses)) for clip, poses in held.items()
    ]  # fmt: skip
    joints = next(iter(held.values())).joints
    pairs = np.nanmean(found, axis=0).reshape(-1, 2)
    return {name: float(np.mean(row)) for name, row in zip(joints, pairs, strict=True)}


def _hash(model: "Motion") -> str:
    from jaxgesture.core import tree

    return tree.sha256(model.variables)


def _caption(protocol: Mapping[str, Any]) -> list[str]:
    from jaxgesture.data.poses import HANDS

    probed = protocol["probe_r_squared"]
    hands = " and ".join(f"{probed[name]:.3f} {name}" for name in HANDS)
    versions = ", ".join(f"{name} {version}" for name, version in protocol["versions"].items())
    chosen = ", ".join(
        f"{name} {','.join(value) if isinstance(value, list) else value}"
        for name, value in protocol["sampling"].items()
    )
    hashes = "; ".join(f"{name} sha256 {value}" for name, value in protocol["weights"].items())
    return [
        f"{len(protocol['clips'])} clips, {protocol['seconds']:.0f} s, of split "
        f"{protocol['split']} of {protocol['data']} (sha256 {protocol['dataset_sha256']}); means "
        "over clips with 95 % bootstrap intervals.",
        f"Beats: {protocol['beats']}. Joints of all rows, the true motion's too, are read from "
        f"motion features by a linear probe, fitted on {protocol['probe_clips']} training clips; "
        f"of the true motion it explains {hands} of the variance within a clip.",
        f"Sampling: {chosen}.",
        f"Weights: {hashes}.",
        f"Measured at commit {protocol['commit'] or 'unknown'} with {versions}.",
    ]
