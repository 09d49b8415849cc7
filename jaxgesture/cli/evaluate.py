r"""jaxgesture evaluate: measures a trained model on held-out clips, beside controls.

Try:
  jaxgesture evaluate animation --weights=runs/stage1 --data=data/mine
  jaxgesture evaluate animation --weights=runs/stage1 --data=data/mine --compare=runs/other \
      --lpips_weights=alexnet-owt-7be5be79.pth --lpips_heads=alex.pth --out=table.md,table.json

animation   the base model: held-out frames redrawn, against the frames themselves. PSNR, SSIM and
            LPIPS of hands, lips and the whole picture, of each model and of controls: the model
            driven by a wrong frame, the mean frame, and the source unchanged. The caption says
            what the numbers hang on.

LPIPS needs the weights of its network, from torchvision (alexnet-owt-7be5be79.pth or
vgg16-397923af.pth), and of its heads, from the lpips package (alex.pth or vgg.pth); "random" in
place of a file gives numbers that compare with nothing published. Without them it is left out.
"""

from typing import TYPE_CHECKING

from absl import flags as absl_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import UserError

if TYPE_CHECKING:
    from jaxgesture.animation.model import Animation
    from jaxgesture.data.datasets import FrameDataset
    from jaxgesture.evaluation.lpips import Lpips
    from jaxgesture.evaluation.report import Report

SUBJECTS = ("animation",)
SUFFIXES = (".md", ".json")
FLAGS = flags.new()
absl_flags.DEFINE_string("subject", None, "what to measure", flag_values=FLAGS)
absl_flags.DEFINE_string(
    "weights", None, "workdir of stage 1, exported folder, or weight file", flag_values=FLAGS
)
absl_flags.DEFINE_string("data", None, "dataset made by jaxgesture prepare", flag_values=FLAGS)
absl_flags.DEFINE_string("split", "validation", "the clips that are judged", flag_values=FLAGS)
absl_flags.DEFINE_integer("clips", 8, "at most so many of them, evenly spread", flag_values=FLAGS)
absl_flags.DEFINE_integer("frames", 50, "driving frames of each, at most", flag_values=FLAGS)
absl_flags.DEFINE_enum("lpips", "alex", ("alex", "vgg"), "network of LPIPS", flag_values=FLAGS)
absl_flags.DEFINE_string(
    "lpips_weights", None, "weight file of the network, or random", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "lpips_heads", None, "weight file of its heads, or random", flag_values=FLAGS
)
absl_flags.DEFINE_list("compare", None, "other models, as --weights", flag_values=FLAGS)
absl_flags.DEFINE_list(
    "out",
    None,
    "files to write, or to write anew: FILE.md for the table, FILE.json for all",
    flag_values=FLAGS,
)


def run() -> None:
    """Runs the command."""
    weights = flags.required(FLAGS, "weights", "name the workdir of a trained stage 1")
    data = flags.required(FLAGS, "data", "name the dataset")
    files = flags.output_files(FLAGS.out, SUFFIXES)
    names = [weights, *(FLAGS.compare or ())]
    if len(set(names)) < len(names):
        raise UserError("--weights and --compare name a model twice; name each once")
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
