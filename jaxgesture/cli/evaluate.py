r"""jaxgesture evaluate: measures videos, or a trained model on held-out clips, beside controls.

Try:
  jaxgesture evaluate --generated=out/ours --reference=out/true --out=out/report
  jaxgesture evaluate --generated=ours=out/a,other=out/b --reference=out/true --out=out/report \
      --i3d=i3d_pretrained_400.pt --pose_embedding=runs/poses \
      --lpips_weights=alexnet-owt-7be5be79.pth --lpips_heads=alex.pth
  jaxgesture evaluate --model=runs/stage1,runs/stage2 --data=data/mine --out=out/report
  jaxgesture evaluate metrics --clips=12 --size=64 --out=out/metrics
  jaxgesture evaluate animation --weights=runs/stage1 --data=data/mine
  jaxgesture evaluate animation --weights=runs/stage1 --data=data/mine --compare=runs/other \
      --lpips_weights=alexnet-owt-7be5be79.pth --lpips_heads=alex.pth --out=table.md,table.json
  jaxgesture evaluate motion --weights=runs/stage2 --data=data/mine-motion --poses=data/mine
  jaxgesture evaluate motion --weights=runs/stage2 --data=data/mine-motion --poses=data/mine \
      --guidance=0.5,1,2,4 --seeds=3 --out=guidance.md,guidance.json,guidance.png

videos      folders of videos of any system, against a folder of true ones: PSNR, SSIM, LPIPS of
            hands, lips and the whole picture, FVD, FGD, diversity, beat alignment, distances of
            landmarks; report.html, report.md and report.json in the folder --out. Recordings of
            one name are pairs. Landmarks in NAME.landmarks.npz beside NAME.mp4 (`jaxgesture
            landmarks` makes them) give hands, lips, poses and beats. What cannot be computed is
            listed with what to supply.

model       a trained model: videos of held-out clips, redrawn in their true motion and, with stage
            2, in motion generated for their speech, for other speech and without speech, in
            OUT/videos; then the report on them, as of videos. --model=STAGE1 or STAGE1,STAGE2.

metrics     the metrics themselves: clips of the synthetic presenter, damaged in growing grades, and
            which metric sees which damage; OUT/metrics.md and metrics.json.

animation   the base model: held-out frames redrawn, against the frames themselves. PSNR, SSIM and
            LPIPS of hands, lips and the whole picture, of each model and of controls: the model
            driven by a wrong frame, the mean frame, and the source unchanged. The caption says
            what the numbers hang on.

motion      the motion model: motion generated for held-out speech, beside the true motion, the
            same against other speech, and motion without speech. Beat alignment by three
            published definitions, correlation of the hands' speed, jitter, seams, diversity, with
            95 % intervals over clips. The joints are read from motion features by a linear probe
            that is fitted on training clips; the caption says how well. FILE.png is the
            speed of the hands around the beats.

LPIPS needs the weights of its network, from torchvision (alexnet-owt-7be5be79.pth or
vgg16-397923af.pth), and of its heads, from the lpips package (alex.pth or vgg.pth); "random" in
place of a file gives numbers that compare with nothing published. Without them it is left out.
"""

from typing import TYPE_CHECKING

from absl import flags as absl_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import UserError

if TYPE_CHECKING:
    import pathlib

    from jaxgesture.animation.model import Animation
    from jaxgesture.data.datasets import FrameDataset
    from jaxgesture.evaluation.lpips import Lpips
    from jaxgesture.evaluation.report import Report

SUBJECTS = ("animation", "motion", "videos", "model", "metrics")
SUBJECT_OF = {"generated": "videos", "model": "model"}
SUFFIXES = {"animation": (".md", ".json"), "motion": (".md", ".json", ".png")}
FLAGS = flags.new()
absl_flags.DEFINE_string(
    "subject", None, "what to measure; --generated means videos, --model model", flag_values=FLAGS
)
absl_flags.DEFINE_list(
    "generated", None, "videos: folder, or LABEL=FOLDER,LABEL=FOLDER", flag_values=FLAGS
)
absl_flags.DEFINE_list(
    "model", None, "model: workdirs or exported folders of STAGE1, or STAGE1,STAGE2",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_string(
    "videos", None, "model: the folder that --data was prepared from, for the sound of its videos",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_string("reference", None, "videos: folder of the true ones", flag_values=FLAGS)
absl_flags.DEFINE_string(
    "i3d", None, "videos: weight file of I3D for FVD, or random", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "pose_embedding", None,
    "videos: for FGD and diversity, workdir of a pose autoencoder, published checkpoint, or random",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_string(
    "motion_embedding", None,
    "videos: a workdir trained on motion features, for NAME.npz of `generate --format=motion`",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_integer("size", 256, "videos: side of the pictures, pixels", flag_values=FLAGS)
absl_flags.DEFINE_integer(
    "fvd_windows", 1, "videos: windows of 16 frames of each clip, at most", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "weights", None, "workdir of the stage, exported folder, or weight file", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "data", None, "dataset made by jaxgesture prepare; motion: by jaxgesture extract",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_string(
    "poses", None, "motion: the dataset that --data was extracted from, for its hands",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_string("split", "validation", "the clips that are judged", flag_values=FLAGS)
absl_flags.DEFINE_integer("clips", 8, "at most so many of them, evenly spread", flag_values=FLAGS)
absl_flags.DEFINE_integer(
    "frames", 50, "videos, animation: pictures of each clip, at most", flag_values=FLAGS
)
absl_flags.DEFINE_enum(
    "lpips", "alex", ("alex", "vgg"), "videos, animation: network of LPIPS", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "lpips_weights",
    None,
    "videos, animation: weight file of the network, or random",
    flag_values=FLAGS,
)
absl_flags.DEFINE_string(
    "lpips_heads", None, "videos, animation: weight file of its heads, or random", flag_values=FLAGS
)
absl_flags.DEFINE_integer("seeds", 2, "motion: generated so many times", flag_values=FLAGS)
absl_flags.DEFINE_integer(
    "seed", 0, "model, motion: of the noise, the first one", flag_values=FLAGS
)
absl_flags.DEFINE_integer("together", 8, "motion: clips at once", flag_values=FLAGS)
absl_flags.DEFINE_list(
    "guidance", ["2"], "model, motion: weight, or weights to compare", flag_values=FLAGS
)
absl_flags.DEFINE_list(
    "candidates", ["5"], "model, motion: of which selection keeps one, or numbers to compare",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_list(
    "selection", ["last"], "model, motion: velocities it compares, last or first, or both",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_list(
    "steps", ["50"], "model, motion: sampling steps, or numbers to compare", flag_values=FLAGS
)
absl_flags.DEFINE_list(
    "sampler",
    ["ddim"],
    "model, motion: ddim, ddpm or dpm++2m, or several to compare",
    flag_values=FLAGS,
)
absl_flags.DEFINE_list("compare", None, "other models, as --weights", flag_values=FLAGS)
absl_flags.DEFINE_list(
    "out",
    None,
    "videos: folder of the report; else files to write, or to write anew: FILE.md for the table, "
    "FILE.json for all; motion: FILE.png",
    flag_values=FLAGS,
)


# The flags that only one subject has.
_PICTURES = {"frames", "lpips", "lpips_weights", "lpips_heads"}
_MODEL = {"weights", "data", "split", "clips", "compare"}
_SETS = {"i3d", "pose_embedding", "motion_embedding", "size", "fvd_windows"}
_SAMPLING = {"guidance", "candidates", "selection", "steps", "sampler"}
_OF = {
    "videos": {*_PICTURES, *_SETS, "generated", "reference"},
    "model": {*_PICTURES, *_SETS, *_SAMPLING, "model", "videos", "data", "split", "clips", "seed"},
    "metrics": {*_PICTURES, *_SETS, "clips"},
    "animation": {*_PICTURES, *_MODEL},
    "motion": {
        *_MODEL,
        "poses", "seeds", "seed", "together", "guidance", "candidates", "selection", "steps",
        "sampler",
    },
}  # fmt: skip


def run() -> None:
    """Runs the command."""
    subject = str(FLAGS[flags.SUBJECT].value)
    flags.only_of(FLAGS, subject, _OF, "evaluate")
    if subject in ("videos", "model", "metrics"):
        from jaxgesture.cli import evaluate_model, evaluate_sensitivity, evaluate_videos

        commands = {
            "videos": evaluate_videos, "model": evaluate_model, "metrics": evaluate_sensitivity,
        }  # fmt: skip
        commands[subject].run(FLAGS, _lpips())
        return
    weights = flags.required(FLAGS, "weights", "name the workdir of a trained model")
    data = flags.required(FLAGS, "data", "name the dataset")
    files = flags.output_files(FLAGS.out, SUFFIXES[subject])
    names = [weights, *(FLAGS.compare or ())]
    if len(set(names)) < len(names):
        raise UserError("--weights and --compare name a model twice; name each once")
    if subject == "animation":
        _animation(names, data, files)
    else:
        from jaxgesture.cli import evaluate_motion

        evaluate_motion.run(FLAGS, names, data, files)


def _animation(names: list[str], data: str, files: "list[pathlib.Path]") -> None:
    if FLAGS.clips < 1 or FLAGS.frames < 2:
        raise UserError(
            f"--clips={FLAGS.clips} and --frames={FLAGS.frames} leave nothing to compare: at least "
            "1 clip and 2 of its frames are needed"
        )
    lpips = _lpips()
    from jaxgesture.animation.model import load_animation
    from jaxgesture.data.datasets import FrameDataset
    from jaxgesture.evaluation import report

    animations = {name: load_animation(name) for name in names}
    datasets = [FrameDataset(data, size=animation.size) for animation in animations.values()]
    found = _report(animations, datasets[0], lpips)
    text = report.markdown(found)
    print(text, end="")
    flags.write_outputs(
        {file: report.to_json(found) if file.suffix == ".json" else text for file in files}
    )


def _lpips() -> "Lpips | None":
    if not FLAGS.lpips_weights and not FLAGS.lpips_heads:
        return None
    why = "LPIPS needs both files; 'random' makes one up"
    backbone, heads = (flags.required(FLAGS, f"lpips_{name}", why) for name in ("weights", "heads"))
    from jaxgesture.evaluation.lpips import load_lpips

    return load_lpips(FLAGS.lpips, backbone, heads)


def _report(
    animations: "dict[str, Animation]", dataset: "FrameDataset", lpips: "Lpips | None"
) -> "Report":
    from tqdm import tqdm

    from jaxgesture.animation.train import EvalConfig, evaluate
    from jaxgesture.core import meta
    from jaxgesture.evaluation import comparison
    from jaxgesture.evaluation.report import Protocol, Report

    metrics = {**comparison.METRICS, **({} if lpips is None else {"lpips": lpips})}
    config = EvalConfig(split=FLAGS.split, clips=FLAGS.clips, frames=FLAGS.frames)
    usable = sum(clip.frames > 1 for clip in dataset.clips(FLAGS.split))
    if not usable:
        raise UserError(f"{dataset.directory} has no {FLAGS.split!r} clips of two frames or more")
    clips = frames = 0
    models = {}
    total = len(animations) * min(usable, FLAGS.clips)
    with tqdm(total=total, desc="evaluate", unit="clip") as bar:
        for name, animation in animations.items():
            bar.set_postfix_str(f"redrawing with {name}")
            results = evaluate(animation, dataset, config)
            clips, frames = len(results), sum(len(item.clip.frames) for item in results)
            bar.set_postfix_str(f"measuring {name}")
            judged = []
            for item in results:
                judged.append(comparison.judge(item, metrics))
                bar.update()
            models[name] = comparison.average(judged)
    protocol = Protocol(
        data=str(dataset.directory),
        dataset_sha256=dataset.sha256,
        split=FLAGS.split,
        clips=clips,
        frames=frames,
        size=dataset.size,
        lpips="" if lpips is None else lpips.label,
        weights={name: animation.sha256 for name, animation in animations.items()},
        versions=meta.versions(),
        commit=meta.commit(),
    )
    return Report(models, protocol)
