"""jaxgesture demo: the whole line on the built-in presenter, with a page of results.

Try:
  jaxgesture demo --out=out/demo
  jaxgesture demo --out=out/demo-long --long

Renders a corpus of the synthetic presenter, trains both stages, generates a video for a speaker
and words that were not trained on, measures, and writes OUT/index.html. What stands in OUT already
is kept. Needs a clone of the project, nothing to download, two CPU cores.
"""

from absl import flags as absl_flags

from jaxgesture.cli import flags

FLAGS = flags.new()
absl_flags.DEFINE_string("out", "out/demo", "folder of the results", flag_values=FLAGS)
absl_flags.DEFINE_boolean(
    "long",
    False,
    "three speakers, many clips of each, and more steps",
    flag_values=FLAGS,
)
absl_flags.DEFINE_boolean(
    "smoke", False, "a few steps of everything, to see whether it runs at all", flag_values=FLAGS
)


def run() -> None:
    """Runs the command."""
    from jaxgesture.demo.line import Demo
    from jaxgesture.demo.settings import LONG, DemoSettings

    settings, words = DemoSettings(), ""
    if FLAGS.long:
        settings, words = LONG, " --long"
    if FLAGS.smoke:
        words = " --smoke"
        settings = DemoSettings(
            identities=2, held_out=(100,), clips=2, seconds=4.0, stage1_steps=4, stage2_steps=4,
            speeches=2, speech_seconds=3.0,
        )  # fmt: skip
    demo = Demo(FLAGS.out, settings)
    demo.record["command"] = f"jaxgesture demo --out={FLAGS.out}{words}"
    results = demo.run()
    print(
        f"stage 1, held-out clips: {results['stage1/psnr']:.2f} dB; mean frame "
        f"{results['stage1/psnr_mean_frame']:.2f}, wrong driving "
        f"{results['stage1/psnr_wrong_driving']:.2f}, source unchanged "
        f"{results['stage1/psnr_source_unchanged']:.2f}\n"
        f"stage 2, mouth and loudness: own speech {results['stage2/mouth_own_speech']:.2f}, other "
        f"speech {results['stage2/mouth_other_speech']:.2f}\n"
        f"see {demo.out / 'index.html'}"
    )
