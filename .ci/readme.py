"""Make README.md from nbs/index.ipynb (`--check`: only say whether it is up to date).

Links are written in the notebook as seen from nbs/; here they are written as seen from the top of the repository.
"""
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]
NOTICE = "<!-- Made from nbs/index.ipynb by .ci/readme.py: edit that. -->\n\n"


def readme():
    "The text of README.md: the shown cells of the notebook, with links that work on the repository's front page."
    nb = nbformat.read(ROOT/"nbs"/"index.ipynb", 4)
    nb.cells = [c for c in nb.cells if c.cell_type != "raw" and not re.search(r"^#\|\s*hide\b", c.source, re.M)]
    for c in nb.cells:
        c.source = re.sub(r"^#\|.*\n|^:::.*\n?", "", c.source, flags=re.M)  # options of cells, boxes of the site
    text, _ = MarkdownExporter().from_notebook_node(nb)
    text = re.sub(r"(\]\(|(?:src|href|srcset)=\")(?![a-z]+:|#|/|\.\./)", r"\1nbs/", text).replace("](../", "](")
    return NOTICE + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


if __name__ == "__main__":
    path = ROOT/"README.md"
    if "--check" not in sys.argv:
        path.write_text(readme(), encoding="utf-8")
    elif path.read_text(encoding="utf-8") != readme():
        sys.exit("README.md differs from what nbs/index.ipynb makes; run: python .ci/readme.py")
