"""The documents against the code: links, names, commands, flags, keys and their defaults."""

import ast
import importlib
import importlib.util
import pathlib
import re

import pytest

from jaxgesture.animation import train as animation_train
from jaxgesture.cli.main import COMMANDS
from jaxgesture.core import config as configuration
from jaxgesture.core.optim import OptimConfig, free_keys
from jaxgesture.evaluation import published

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
RESULTS = sorted((DOCS / "results").glob("*.md"))  # records of what was run: links alone
STAGES = {"Stage 1": "stage1", "Stage 2": "stage2", "Poses": "pose_autoencoder"}
COLUMNS = {"stage 1": "stage1", "stage 2": "stage2", "poses": "pose_autoencoder"}
# Flags of other programs that a page speaks of.
FOREIGN = {"requeue"}
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
CALL = re.compile(r"(?<![\w/.\-])jaxgesture ([a-z].*)")


def named(path):
    return str(path.relative_to(ROOT))


def load(file):
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CONFIGS = {name: load(ROOT / "configs" / f"{name}.py") for name in STAGES.values()}
DEFAULTS = {
    name: configuration.flat(configuration.defaults(module.SECTIONS))
    for name, module in CONFIGS.items()
}
FLAGS = {name: importlib.import_module(f"jaxgesture.cli.{name}").FLAGS for name in COMMANDS}


# Links.


def slugs(page):
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def defined(file):
    """What a module defines: names, and CLASS.NAME of what its classes have."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{m.name}" for m in node.body if isinstance(m, ast.FunctionDef)}
    return found


def links(page):
    prose = FENCE.sub("", page.read_text())
    return [
        (text, target)
        for text, target in re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", prose)
        if not target.startswith(("https:", "http:"))
    ]


@pytest.mark.parametrize("page", [*PAGES, *RESULTS], ids=named)
def test_links_lead_somewhere(page):
    wrong = []
    for text, target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            wrong.append(f"{target}: no such file")
        elif anchor and anchor not in slugs(file):
            wrong.append(f"{target}: no such heading")
        elif file.suffix == ".py" and text.startswith("`"):
            if text.strip("`") not in defined(file):
                wrong.append(f"{text} is not in {path}")
    assert not wrong


def test_the_index_lists_every_page():
    listed = {(DOCS / target).resolve() for _, target in links(DOCS / "README.md")}
    there = {page for page in [*PAGES[1:], *RESULTS] if page.name != "README.md"}
    assert there <= listed, sorted(map(named, there - listed))


# Commands.


def calls(page):
    """What follows `jaxgesture` in code: one string for each call."""
    text = page.read_text()
    blocks = [block.replace("\\\n", " ") for block in FENCE.findall(text)]
    lines = [line for block in blocks for line in block.splitlines()]
    # A span may be broken over two lines.
    lines += INLINE.findall(re.sub(r"\n(?=\S)", " ", FENCE.sub("", text)))
    for line in lines:
        for part in re.split(r"&&|\||;|(?<= )[#>](?= )", line):
            if found := CALL.search(part):
                yield found[1].strip()


def option(name, flags):
    """The flag that a written name means, None where there is none."""
    plain = name.lstrip("-").replace("-", "_")
    return next((word for word in (plain, plain.removeprefix("no")) if word in flags), None)


def faults(call):
    """What is wrong with a call."""
    command, *words = [word.strip("\"'") for word in call.split()]
    if command not in COMMANDS:
        yield f"no command {command}"
        return
    flags = FLAGS[command]
    subjects = getattr(importlib.import_module(f"jaxgesture.cli.{command}"), "SUBJECTS", ())
    first = words[0] if words else "--"
    if subjects and re.fullmatch(r"[a-z]+", first) and first not in subjects:
        yield f"no subject {first}"
    keys = set().union(*DEFAULTS.values())
    for word in words:
        name, equals, value = word.partition("=")
        if not name.startswith("--") or name == "--help":
            continue
        if name == "--config" and equals:
            file, _, text = value.partition(":")
            if file in ("...", "FILE"):
                continue
            if not (ROOT / file).is_file():
                yield f"no file {file}"
                continue
            module = load(ROOT / file)
            keys = set(configuration.flat(configuration.defaults(module.SECTIONS)))
            if not re.search(r"[A-Z$]", text):
                module.get_config(text)  # raises for a preset or word that is none
        elif name.startswith("--config."):
            if name.removeprefix("--config.") not in keys:
                yield f"no key {name}"
        elif (known := option(name, flags)) is None:
            yield f"no flag {name}"
        elif equals and not re.fullmatch(r"[A-Z$.:/\w]*[A-Z$][A-Z:]*", value):
            try:
                flags[known].parser.parse(value)
            except ValueError as error:
                yield f"{word}: {error}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_exist(page):
    wrong = [f"jaxgesture {call}: {fault}" for call in calls(page) for fault in faults(call)]
    assert not wrong


def test_wrong_commands_are_seen():
    for call in (
        "tarin --config=configs/stage1.py:debug", "evaluate animations --data=x",
        "train --config=configs/stage3.py:debug", "train --workdri=x",
        "train --config=configs/stage1.py:debug --config.model.widht=3", "plan --attempts=few",
    ):  # fmt: skip
        assert list(faults(call)), call
    with pytest.raises(Exception, match="no word"):
        list(faults("train --config=configs/stage1.py:debug,no_enhancr"))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_flags_and_keys_in_the_text_exist(page):
    flags = {name for values in FLAGS.values() for name in values}
    keys = set().union(*DEFAULTS.values())
    sections = "|".join({key.split(".")[0] for key in keys})
    wrong = []
    for span in INLINE.findall(FENCE.sub("", page.read_text())):
        if span.startswith("--config=") and list(faults(f"train {span}")):
            wrong.append(span)
        if not CALL.match(span):
            for name in re.findall(r"(?:^| )--([a-zA-Z][\w-]*(?:\.\w+)*)", span):
                key = name.removeprefix("config.")
                known = key in keys if "." in name else option(name, flags) or name in FOREIGN
                if not known:
                    wrong.append(span)
        found = re.fullmatch(rf"((?:{sections})\.[a-z_0-9.]+)(?:=.*)?", span)
        if found and found[1] not in keys and found[1].split(".")[-1] not in ("json", "npz"):
            wrong.append(span)
    assert not wrong


# docs/configs.md.


def tables():
    """(heading, subheading, column names, rows) of every table of docs/configs.md."""
    head = sub = ""
    columns, rows = [], []
    found = []
    for line in [*FENCE.sub("", (DOCS / "configs.md").read_text()).splitlines(), ""]:
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if not columns:
                columns, rows = [cell.strip() for cell in line.strip("|").split("|")], []
            elif not set(line) <= set("|-"):
                rows.append(cells)
        elif columns:
            found.append((head, sub, columns, rows))
            columns = []
        if line.startswith("## "):
            head, sub = line[3:], ""
        elif line.startswith("### "):
            sub = line[4:].strip("`")
    return found


def value_of(cell):
    return ast.literal_eval(cell.strip().strip("`"))


def documented():
    """{stage: {key: default}} as the page has them."""
    found = {name: {} for name in STAGES.values()}
    for head, sub, columns, rows in tables():
        if columns[0] != "key" or sub == "Presets":
            continue
        for row in rows:
            key = f"{sub}.{row[0].strip(' `')}"
            for column, cell in zip(columns[1:], row[1:], strict=True):
                stages = {
                    "default": [STAGES[head]] if head in STAGES else list(STAGES.values()),
                }.get(column, [COLUMNS[column]] if column in COLUMNS else [])
                for stage in stages:
                    assert key not in found[stage], f"{key} of {stage} stands twice"
                    found[stage][key] = value_of(cell)
    return found


@pytest.mark.parametrize("stage", STAGES.values())
def test_every_key_with_its_default(stage):
    page, code = documented()[stage], DEFAULTS[stage]
    assert page.keys() == code.keys(), sorted(page.keys() ^ code.keys())
    assert {k: (page[k], code[k]) for k in code if page[k] != code[k]} == {}


@pytest.mark.parametrize(("head", "stage"), STAGES.items())
def test_every_value_of_the_presets(head, stage):
    module = CONFIGS[stage]
    ((_, _, columns, rows),) = [t for t in tables() if t[:2] == (head, "Presets")]
    assert columns == ["key", *module.PRESETS]
    page = {row[0].strip(" `"): [value_of(cell) for cell in row[1:]] for row in rows}
    assert page.keys() == set().union(*module.PRESETS.values())
    values = [configuration.flat(module.get_config(name).to_dict()) for name in module.PRESETS]
    code = {k: [tuple(v[k]) if isinstance(v[k], list) else v[k] for v in values] for k in page}
    assert page == code


def test_words_and_what_may_change():
    text = (DOCS / "configs.md").read_text()
    for module in CONFIGS.values():
        for word, changes in module.WORDS.items() if hasattr(module, "WORDS") else ():
            assert f"`{word}`" in text
            for key, value in changes.items():
                written = f'"{value}"' if isinstance(value, str) else value
                assert f"`{key}={written}`" in text
    paragraph = next(part for part in text.split("\n\n") if part.startswith("A run keeps its"))
    free = {*free_keys(OptimConfig()), *animation_train._FREE}
    assert set(INLINE.findall(paragraph)) == {*free, "cosine"}


# docs/reproduce.md.


def test_the_published_numbers_are_those_of_the_reports():
    text = (DOCS / "reproduce.md").read_text()
    for row in published.GENERATION.values():
        cells = (f"{v:.{n}f}" for v, n in zip(row, (3, 3, 2), strict=True))
        assert f"| {' | '.join(cells)} |" in text
    for regions in published.RECONSTRUCTION.values():
        cells = (f"{psnr:.2f} / {ssim:.3f} / {lpips:.3f}" for psnr, ssim, lpips in regions.values())
        assert f"| {' | '.join(cells)} |" in text
