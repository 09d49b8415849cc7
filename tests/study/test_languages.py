"""Studies in any language, on a computer of any."""

import json
import os
import subprocess
import sys

from study import material

from jaxgesture.study import answers, kit

TITLE = "Größe 話す → ♯ 🙂"
PROGRAM = """
import pathlib, sys
from jaxgesture.cli import flags
from jaxgesture.study import answers, kit

folder, out = map(pathlib.Path, sys.argv[1:])
question = kit.Question("wie", "Wie gro\\u00df", "\\u8a71")
made = kit.make({"ours": folder}, out, title=TITLE, questions=[question])
assert answers.read_key(made.key).title == TITLE
flags.write_outputs({out / "table.md": TITLE})
"""


def test_a_computer_that_does_not_speak_utf_8(tmp_path):
    systems = material.make_systems(tmp_path, clips=1, systems=("ours",))
    program = PROGRAM.replace("TITLE", ascii(TITLE))
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "LANG": "C"}
    subprocess.run(
        [sys.executable, "-c", program, str(systems["ours"]), str(tmp_path / "study")],
        env={**os.environ, **plain},
        check=True,
        timeout=120,
    )
    key = answers.read_key(tmp_path / "study" / "key.json")
    assert key.title == TITLE and key.questions == {"wie": "Wie groß"}
    assert (tmp_path / "study" / "table.md").read_text(encoding="utf-8") == TITLE
    page = (tmp_path / "study" / "page" / "index.html").read_text(encoding="utf-8")
    embedded = page.split('<script id="study" type="application/json">')[1].split("</script>")[0]
    assert json.loads(embedded)["title"] == TITLE and 'charset="utf-8"' in page.lower()
    # What raters get is the same page, wherever it is made.
    assert page == kit.page(json.loads(embedded))
