"""The report on sets of videos as one page that needs nothing beside it."""

import base64
import html
import math
import pathlib
import string

from jaxgesture.evaluation import video_plots, video_report, video_tables
from jaxgesture.evaluation.clip_scores import REFERENCE
from jaxgesture.evaluation.video_report import VideoReport
from jaxgesture.evaluation.video_summary import clip_values
from jaxgesture.evaluation.video_tables import Table

# By which clips are the best and the worst: the first that is known, and whether more is better.
RANKED_BY = {
    "lpips full": ("LPIPS", False),
    "psnr full": ("PSNR", True),
    "shoulders": ("landmark distance", False),
    "beat_response": ("beat response", True),
}
SHOWN = 3
_TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm"}
_LARGEST = 12 * 2**20  # bytes of a video that goes into the page


def page(report: VideoReport) -> str:
    """The page as HTML."""
    template = string.Template(pathlib.Path(__file__).with_name("video_page.html").read_text())
    return template.substitute(
        summary=_lead(report),
        tables="\n".join(map(_table, video_tables.tables(report.summary))),
        missing=_missing(report),
        scatter=_scatter(report),
        clips="\n".join(_clips(report, label) for label in _generated(report)),
        published="\n".join(map(_table, video_tables.published_tables())),
        problems=_list(
            "What was left out or changed",
            video_report.problems(report),
        ),
        protocol=_list("Protocol", video_report.caption(report)),
    )


def ranking(report: VideoReport, label: str) -> tuple[str, list[str]] | None:
    """What the clips of a system are ordered by, and their names from the best to the worst."""
    values = {name: clip_values(c) for name, c in report.measured.systems[label].items()}
    for key, (title, more) in RANKED_BY.items():
        known = {n: v[key] for n, v in values.items() if not math.isnan(v.get(key, math.nan))}
        if known:
            return title, sorted(known, key=lambda name: known[name], reverse=more)
    return None


def _generated(report: VideoReport) -> list[str]:
    return [label for label in report.measured.systems if label != REFERENCE]


def _lead(report: VideoReport) -> str:
    counts = report.summary.clips
    systems = ", ".join(f"{html.escape(label)} ({counts[label]})" for label in _generated(report))
    return f"{systems} against {counts[REFERENCE]} true clips."


def _table(table: Table) -> str:
    heads = "".join(f"<th>{html.escape(text)}</th>" for text in table.columns)
    rows = []
    for first, *cells in table.rows:
        kind = ' class="control"' if first.startswith("control") or ", other" in first else ""
        row = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr{kind}><th scope="row">{html.escape(first)}</th>{row}</tr>')
    notes = "".join(f"<p class=note>{html.escape(note)}</p>" for note in table.notes)
    return (
        f"<section><h2>{html.escape(table.title)}</h2><div class=scroll><table><thead><tr>{heads}"
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{notes}</section>"
    )


def _missing(report: VideoReport) -> str:
    if not report.missing:
        return ""
    rows = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(why)}</dd>"
        for name, why in report.missing.items()
    )
    return f"<section class=missing><h2>Not computed</h2><dl>{rows}</dl></section>"


def _list(title: str, lines: list[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<section class=small><h2>{title}</h2><ul>{items}</ul></section>"


def _figure(svg: str | None, text: str) -> str:
    if svg is None:
        return ""
    return f"<figure>{svg}<figcaption>{html.escape(text)}</figcaption></figure>"


def _scatter(report: VideoReport) -> str:
    text = "Every point is a clip. On a line: as the true."
    figure = _figure(video_plots.scatter(report.measured), text)
    return f"<section><h2>Clip by clip</h2>{figure}</section>" if figure else ""


def _clips(report: VideoReport, label: str) -> str:
    """The best and the worst clips of a system as players, with the speed of their hands."""
    found = ranking(report, label)
    if found is None:
        return ""
    title, names = found
    count = min(SHOWN, max(1, len(names) // 2))
    best = names[:count]
    worst = [name for name in names[::-1][:count] if name not in best]
    parts = [f"<section><h2>{html.escape(label)}: best and worst clips by {title}</h2>"]
    for heading, chosen in (("best", best), ("worst", worst)):
        for name in chosen:
            values = clip_values(report.measured.systems[label][name])
            shown = ", ".join(f"{key} {value:.3f}" for key, value in values.items())
            players = "".join(_player(report, which, name) for which in (REFERENCE, label))
            plot = _figure(video_plots.speed_over_time(report.measured, label, name), "")
            parts.append(
                f"<article><h3><span class={heading}>{heading}</span> {html.escape(name)}</h3>"
                f"<p class=note>{html.escape(shown)}</p><div class=pair>{players}</div>{plot}"
                "</article>"
            )
    return "".join([*parts, "</section>"])


def _player(report: VideoReport, label: str, name: str) -> str:
    recording = report.measured.recordings[label].get(name)
    title = "true" if label == REFERENCE else label
    caption = f"<figcaption>{html.escape(title)}</figcaption>"
    if recording is None or recording.video is None:
        return f"<figure class=none>no video{caption}</figure>"
    file = recording.video
    kind = _TYPES.get(file.suffix.lower())
    if kind is None or file.stat().st_size > _LARGEST:
        why = f"{file.name}: not played here, " + ("too large" if kind else "no format of browsers")
        return f"<figure class=none>{html.escape(why)}{caption}</figure>"
    data = base64.b64encode(file.read_bytes()).decode()
    return (
        f'<figure><video controls preload=metadata playsinline src="data:{kind};base64,{data}">'
        f"</video>{caption}</figure>"
    )
