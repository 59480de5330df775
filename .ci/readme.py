"""Make README.md from nbs/index.ipynb (`--check`: only say whether it is up to date).

Links and images are written in the notebook as seen from nbs/; here they are written as seen from the repository's top level.
"""
import re, sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]
NOTICE = "<!-- Made from nbs/index.ipynb by .ci/readme.py: edit that. -->\n\n"
LOCAL = r"(?![a-z]+:|#|/|\.\./|nbs/)"  # not a web address, an anchor, an absolute path, or outside of nbs/


def readme() -> str:
    "The text of README.md: the shown cells of the notebook, with links that work on the repository's front page."
    nb = nbformat.read(ROOT/"nbs"/"index.ipynb", 4)
    nb.cells = [c for c in nb.cells if c.cell_type != "raw" and not re.search(r"^#\|\s*hide\s*$", c.source, re.M)]
    for c in nb.cells:
        if c.cell_type == "code": c.source = re.sub(r"^#\|.*\n", "", c.source, flags=re.M)
    text, files = MarkdownExporter().from_notebook_node(nb)
    if files["outputs"]: raise SystemExit(f"index.ipynb: {len(files['outputs'])} saved pictures; put pictures under nbs/images and link to them")
    text = re.sub(rf"(\]\()({LOCAL})", r"\1nbs/", text)
    text = re.sub(rf"((?:src|href|srcset)=\")({LOCAL})", r"\1nbs/", text)
    text = re.sub(r"^:::.*\n", "", text, flags=re.M)  # boxes of the site
    text = re.sub(r"\]\(\.\./", "](", text)
    return NOTICE + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


if __name__ == "__main__":
    path, text = ROOT/"README.md", readme()
    if "--check" in sys.argv:
        if not path.exists() or path.read_text(encoding="utf-8") != text: sys.exit("README.md differs from what nbs/index.ipynb makes; run: python .ci/readme.py")
    else: path.write_text(text, encoding="utf-8")
