"""Sets of videos, measured and reported: numbers, what is missing, and what went wrong."""

import html.parser
import json
import math

import numpy as np
import pytest
from evaluation import videos

from jaxgesture.data import boxes as boxing
from jaxgesture.data import presenter_landmarks
from jaxgesture.evaluation import (
    comparison,
    video_page,
    video_report,
    video_scores,
    video_sets,
    video_summary,
    video_tables,
)
from jaxgesture.evaluation.bootstrap import Interval
from jaxgesture.evaluation.clip_scores import POSE, VIDEO
from jaxgesture.evaluation.reconstruction import MODEL


@pytest.fixture(scope="module")
def measured(true, noisy):
    return video_scores.measure({"noisy": noisy, "same": true}, true, videos.TOOLS)


@pytest.fixture(scope="module")
def report(measured):
    protocol = {
        "folders": {"reference": "true"}, "size": 48, "frames": 10, "fps": 25.0,
        "fvd_windows": 1, "versions": {"jax": "1"}, "commit": None,
    }  # fmt: skip
    return video_report.make(measured, {"LPIPS": "weights & <files>"}, protocol, ["means"])


def test_every_clip_has_its_scores(measured):
    clips = measured.systems["noisy"]
    assert list(clips) == ["speaker0/clip0", "speaker0/clip2", "speaker1/clip1"]
    for clip in clips.values():
        # Noise of 20/255 is 22.1 dB; the video keeps half of that of the colours.
        assert 22.1 < clip.regions["full"].means[MODEL]["psnr"] < 27
        assert clip.regions["hand"].used > 0 and clip.regions["lips"].used > 0
        assert clip.distance.pixels == pytest.approx(0, abs=1e-4) and clip.hands.rate == 0
        assert set(clip.alignment) >= {"ha2g_bc", "beat_response"} and clip.other
        assert {kind: rows.shape for kind, rows in clip.features.items()} == {
            VIDEO: (1, 3), POSE: (2, 27),
        }  # fmt: skip
    assert measured.pairs == {"noisy": list(clips), "same": list(clips)}
    assert not measured.problems
    assert {"reading", "PSNR", "SSIM", "poses", "beat alignment"} <= set(measured.seconds)


def test_the_numbers_are_those_of_the_functions(measured, true, noisy):
    name = "speaker0/clip0"
    picks = np.unique(np.linspace(0, 74, 10).astype(int))[1:]
    ours, theirs = (
        np.stack(list(video_sets.read(s[name].video, picks, videos.SIZE).values())) / 255
        for s in (noisy, true)
    )
    expected = comparison.METRICS["psnr"]([ours], theirs).mean()
    found = measured.systems["noisy"][name].regions["full"].means[MODEL]["psnr"]
    assert found == pytest.approx(expected, abs=1e-4)


def test_summary_of_sets(measured):
    summary = video_summary.summarise(measured)
    assert summary.sets["same"]["fgd"].value == pytest.approx(0, abs=1e-8)
    assert summary.sets["noisy"]["fvd"].value >= 0 and summary.sets["noisy"]["fvd"].clips == 3
    assert math.isnan(summary.sets["noisy"]["fvd"].error)  # three clips are no ten groups
    same = summary.sets["same"]["diversity"]
    assert same.ratio == pytest.approx(1) and same.windows == 6
    assert summary.pictures["same"][MODEL]["full"]["psnr"].mean == math.inf
    assert summary.clips == {"reference": 3, "noisy": 3, "same": 3}
    assert set(summary.speakers["noisy"]) == {"speaker0", "speaker1"}
    gain = summary.gain["same"]["beat_response"]
    own, other = (s["same"]["beat_response"].mean for s in (summary.alignment, summary.other))
    assert gain.mean == pytest.approx(own - other)


def test_markdown_and_json(report):
    text = video_report.markdown(report)
    for title in ("Generation, of whole sets", "Beat alignment", "Pictures", "Landmarks",
                  "By speaker", "As published", "Not computed", "Protocol"):  # fmt: skip
        assert f"## {title}" in text
    assert "| the paper | 17.324 | 5.788 | 1997.96 |" in text
    assert "control: mean of the true frames" in text and "LPIPS: weights" in text
    for table in text.split("\n\n"):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({row.count(" | ") for row in rows if "---" not in row}) <= 1
    found = json.loads(video_report.to_json(report))
    assert found["pictures"]["same"][MODEL]["full"]["psnr"]["mean"] == "inf"
    assert found["clips"]["noisy"]["speaker0/clip0"]["psnr full"] > 15
    assert found["sets"]["noisy"]["fgd"]["windows"] == 6


class Tags(html.parser.HTMLParser):
    """Counts tags and checks that they are closed in order."""

    void = {"meta", "br", "img", "link", "path", "use", "circle", "rect"}

    def __init__(self):
        super().__init__()
        self.open, self.counts, self.sources = [], {}, []

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.sources += [value for name, value in attrs if name in ("src", "href") and value]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        del tag, attrs

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag


def test_page_needs_nothing_beside_it(report):
    text = video_page.page(report)
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    assert tags.counts["video"] == 2 * 2 * 2  # two systems, best and worst, true and generated
    assert all(s.startswith(("data:video/mp4;base64,", "#")) for s in tags.sources)
    assert "weights &amp; &lt;files&gt;" in text


def test_clips_from_best_to_worst(report):
    title, names = video_page.ranking(report, "noisy")
    assert title == "PSNR" and len(names) == 3
    scores = [
        report.measured.systems["noisy"][n].regions["full"].means[MODEL]["psnr"] for n in names
    ]
    assert scores == sorted(scores, reverse=True)


def test_cells():
    cell = video_tables.interval
    assert cell(Interval(-0.0001, -0.0002, 0.0001, 5), 3) == "0.000 [0.000, 0.000]"
    assert cell(Interval(0.2, -0.1, 0.5, 5), 3, sign=True) == "+0.200 [-0.100, 0.500]"
    assert cell(Interval(-0.2, -0.3, -0.1, 5), 2, sign=True) == "-0.20 [-0.30, -0.10]"


def test_intervals_stay_where_values_can_be(measured):
    summary = video_summary.summarise(measured)
    for rows in (summary.alignment, summary.landmarks):
        for row in rows.values():
            for name, interval in row.items():
                low, high = video_summary.RANGES.get(name, (-math.inf, math.inf))
                assert low <= interval.low <= interval.high <= high


def test_a_ratio_to_nothing_is_none():
    rows = [np.ones((2, 3)) * k for k in (1.0, 1.0 + 1e-9)]
    score = video_summary._frechet([np.random.default_rng(0).standard_normal((9, 3))], rows, 1e-18)
    assert score.value > 0 and math.isnan(score.ratio)


def test_motion_that_knows_nothing_of_the_speech_responds_to_nothing(tmp_path):
    """Of few clips too: a clip is not held against its own curve."""
    rng = np.random.default_rng(0)
    for number in range(12):
        walk = np.cumsum(rng.standard_normal((150, 33, 2)), axis=0)
        pose = np.concatenate([walk, np.ones((150, 33, 1))], axis=-1)
        boxes = np.tile([0.0, 0.0, 9.0, 9.0], (150, 1))
        arrays = {f"{part}_box": boxes for part in boxing.PARTS[:3]}
        presenter_landmarks.write(
            tmp_path / f"c{number}.landmarks.npz", {"pose": pose, "fps": np.array(25.0), **arrays}
        )
        beats = np.sort(rng.uniform(0, 6, 9))
        (tmp_path / f"c{number}.beats.txt").write_text("".join(f"{b:.3f}\n" for b in beats))
    sets = video_sets.find(tmp_path)
    found = video_summary.summarise(video_scores.measure({"same": sets}, sets, videos.TOOLS))
    response = found.alignment["same"]["beat_response"]
    assert response.low < 0 < response.high and abs(response.mean) < 0.5  # -0.1 measured
