"""The subject "videos" of jaxgesture evaluate: folders of videos in, a report out."""

import pathlib
import re
import shutil
import tempfile
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absl import flags as absl_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import UserError

if TYPE_CHECKING:
    from jaxgesture.evaluation.clip_scores import Features, Measured, Tools
    from jaxgesture.evaluation.lpips import Lpips
    from jaxgesture.evaluation.video_report import VideoReport
    from jaxgesture.evaluation.video_sets import Recording

REPORT = "report"
_WIDTH = 100
_LARGEST = 1024  # pixels
# Labels that a report has itself.
_TAKEN = re.compile(r"^true( motion| clips.*)?$|^control|, (other speech|own less other)$", re.I)


def run(values: absl_flags.FlagValues, lpips: "Lpips | None") -> None:
    """Measures the folders of --generated against that of --reference."""
    folders = named_folders(values.generated)
    reference = flags.required(values, "reference", "name the folder of the true videos")
    out = folder_of(values)
    write(compare(folders, reference, make_tools(values, lpips), lpips), out)


def folder_of(values: absl_flags.FlagValues) -> pathlib.Path:
    """The folder that --out names, made if it is not there.

    Raises:
      UserError: none or several, a file, or one that cannot be made.
    """
    if len(values.out or ()) != 1:
        raise UserError(
            f"--out names {len(values.out or ())} places; give one folder for the report"
        )
    out = pathlib.Path(values.out[0]).expanduser()
    if out.is_file():
        raise UserError(f"--out={out} is a file; give a folder for the report")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out={out} cannot be made: {error.strerror}") from error
    try:  # before the work, which may take hours
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(
            f"--out={out} cannot be written: {error.strerror}; choose another folder"
        ) from error
    return out


def named_folders(given: list[str] | None) -> dict[str, str]:
    """Systems by label, from values LABEL=FOLDER or FOLDER.

    Raises:
      UserError: nothing, a label twice, or one that stands for the true videos.
    """
    from jaxgesture.evaluation.clip_scores import REFERENCE

    found: dict[str, str] = {}
    for value in given or []:
        label, equals, folder = value.partition("=")
        if not equals:
            label, folder = pathlib.Path(value).expanduser().absolute().name, value
        if not folder:
            raise UserError(f"--generated={value}: the folder is empty; give LABEL=FOLDER")
        if label == REFERENCE or _TAKEN.search(label):
            why = "would be taken for the true videos or a control"
        else:
            why = "" if label and label not in found else "is empty or named twice"
        if why:
            raise UserError(f"--generated={value}: the label {label!r} {why}; give LABEL=FOLDER")
        found[label] = folder
    if not found:
        raise UserError("--generated is missing: name a folder of videos, or LABEL=FOLDER,...")
    return found


def compare(
    folders: Mapping[str, str], reference: str, tools: "Tools", lpips: "Lpips | None",
    about: Mapping[str, Any] | None = None,
) -> "VideoReport":  # fmt: skip
    """Measures folders of videos, with a progress bar; `about` is added to the protocol.

    Raises:
      UserError: nothing could be measured, or a folder is missing.
    """
    from tqdm import tqdm

    from jaxgesture.core import meta
    from jaxgesture.evaluation import clip_scores, video_report, video_scores, video_sets

    sets = {label: video_sets.find(folder) for label, folder in folders.items()}
    true = video_sets.find(reference)
    total = len({name for clips in (true, *sets.values()) for name in clips})
    with tqdm(total=total, desc="evaluate", unit="clip") as bar:

        def tick(name: str) -> None:
            bar.set_postfix_str(name[-24:], refresh=False)
            bar.update()

        measured = video_scores.measure(sets, true, tools, tick)
    protocol = {
        "folders": {clip_scores.REFERENCE: reference, **folders},
        "size": tools.size,
        "frames": tools.frames,
        "fps": video_sets.FPS,
        "fvd_windows": tools.video_windows,
        "versions": meta.versions(),
        "commit": meta.commit(),
        **(about or {}),
    }
    labels = [network.label for network in tools.features.values()]
    labels += [lpips.label] if lpips is not None else []
    return video_report.make(measured, missing(measured, sets, true, tools), protocol, labels)


def write(report: "VideoReport", out: pathlib.Path) -> None:
    """Writes report.html, report.md and report.json, and prints the tables."""
    from jaxgesture.evaluation import video_page, video_report, video_tables

    text = video_report.markdown(report)
    print(text.partition(f"\n## {video_tables.BY_SPEAKER}")[0].partition("\n## As published")[0])
    if report.missing:
        print("\nnot computed:")
        for name, why in report.missing.items():
            print(f"  {name}: {why}")
    count = len(report.measured.problems)
    if count:
        print(f"\n{count} things were left out or changed:")
        width = shutil.get_terminal_size((_WIDTH, 24)).columns
        for line in video_report.problems(report, 8):
            print(textwrap.fill(f"- {line}", width, subsequent_indent="  "))
    flags.write_outputs(
        {
            out / f"{REPORT}.md": text,
            out / f"{REPORT}.json": video_report.to_json(report),
            out / f"{REPORT}.html": video_page.page(report),
        }
    )
    print(f"\nopen {out / REPORT}.html")


def make_tools(values: absl_flags.FlagValues, lpips: "Lpips | None") -> "Tools":
    """What is measured, and with which networks.

    Raises:
      UserError: numbers that measure nothing, or a wrong weight file.
    """
    from jaxgesture.evaluation import clip_scores, comparison

    if not 16 <= values.size <= _LARGEST or values.frames < 3 or values.fvd_windows < 1:
        raise UserError(
            f"--size={values.size} --frames={values.frames} --fvd_windows={values.fvd_windows}: at "
            f"least 16 pixels, 3 frames and 1 window are needed, and at most {_LARGEST} pixels"
        )
    features: dict[str, Features] = {}
    if values.i3d:
        from jaxgesture.evaluation.fvd import load_video_features

        features[clip_scores.VIDEO] = load_video_features(values.i3d)
    for kind, name in ((clip_scores.POSE, "pose_embedding"),
                       (clip_scores.MOTION, "motion_embedding")):  # fmt: skip
        if values[name].value:
            features[kind] = _embedding(str(values[name].value), name)
    metrics = {**comparison.METRICS, **({} if lpips is None else {"lpips": lpips})}
    return clip_scores.Tools(values.size, values.frames, values.fvd_windows, metrics, features)


def missing(
    measured: "Measured",
    sets: "Mapping[str, Mapping[str, Recording]]",
    true: "Mapping[str, Recording]",
    tools: "Tools",
) -> dict[str, str]:
    """Metric -> what to supply, of those that no clip has."""
    from jaxgesture.evaluation.clip_scores import MOTION, POSE, REFERENCE, VIDEO

    found: dict[str, str] = {}
    clips = [c for label, s in measured.systems.items() if label != REFERENCE for c in s.values()]
    marks = {
        "the reference": any(r.landmarks for r in true.values()),
        "--generated": any(r.landmarks for s in sets.values() for r in s.values()),
    }
    without = [name for name, there in marks.items() if not there]
    landmarks = (
        f"landmarks of {' and '.join(without)}: NAME.landmarks.npz beside NAME.mp4, see "
        "`jaxgesture landmarks`"
    )
    paired = any(measured.pairs.values())
    if not any(clip.regions for clip in clips):
        why = "videos of one name in both folders" if not paired else "readable videos in both"
        found["PSNR, SSIM"] = why
    if "lpips" not in tools.metrics:
        found["LPIPS"] = (
            "--lpips_weights=alexnet-owt-7be5be79.pth from torchvision and --lpips_heads=alex.pth "
            "from the lpips package"
        )
    hands = [c.regions[r].used for c in clips for r in ("hand", "lips") if r in c.regions]
    if hands and not any(hands) or (not hands and "the reference" in without):
        found["hands and lips"] = "landmarks of the reference: NAME.landmarks.npz, see "
        found["hands and lips"] += "`jaxgesture landmarks`"
    if VIDEO not in tools.features:
        found["FVD"] = "--i3d=i3d_pretrained_400.pt, I3D of Kinetics-400"
    elif not any(VIDEO in clip.features for clip in clips):
        found["FVD"] = "videos of 16 frames or more"
    if POSE not in tools.features:
        found["FGD, Div."] = (
            "--pose_embedding: a workdir of `jaxgesture train --config=configs/pose_autoencoder.py:"
            "paper`, or a published checkpoint" + (f"; and {landmarks}" if without else "")
        )
    elif not any(POSE in clip.features for clip in clips):
        found["FGD, Div."] = landmarks if without else "clips of 2.3 s or more with known joints"
    if MOTION in tools.features and not any(MOTION in clip.features for clip in clips):
        found["FGD, Div. of motion features"] = (
            "NAME.npz of both, with motion features of as many numbers as --motion_embedding takes"
        )
    if not any(clip.alignment for clip in clips):
        found["beat alignment"] = landmarks if without else "sound, and joints that are known"
    if not any(clip.distance for clip in clips):
        found["landmark distance, missing hands"] = landmarks if without else "pairs with landmarks"
    return found


def _embedding(path: str, flag: str) -> "Features":
    from jaxgesture.data import pose_vectors
    from jaxgesture.evaluation.pose_embedding import PoseEmbedding
    from jaxgesture.perceptual.pose_autoencoder import load_pose_autoencoder
    from jaxgesture.perceptual.weights import RANDOM

    if flag == "motion_embedding" and path == RANDOM:
        raise UserError(
            f"--{flag}={RANDOM}: how many numbers motion features have only a trained one knows; "
            "give a workdir of `jaxgesture train --config=configs/pose_autoencoder.py:debug` on a "
            "dataset of `jaxgesture extract`"
        )
    network = load_pose_autoencoder(path)
    channels = network.config.channels
    if flag == "pose_embedding" and channels != pose_vectors.SIZE:
        raise UserError(
            f"--{flag}={path} takes {channels} numbers a frame, poses have {pose_vectors.SIZE}; "
            "give one that was trained on landmarks"
        )
    return PoseEmbedding(network)
