"""Build the site into _docs/ and check it: `python .ci/docs.py [--out FOLDER]`.

_quarto.yml, nbs/nbdev.yml and nbs/sidebar.yml define the site once, for Quarto (`nbdev_docs`) and for smalldocs. This
script calls smalldocs, which needs nothing outside of the Python environment, on a copy of nbs/.
"""
import html
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gates import LEAVE, ROOT, failed


# --- a notebook as a page: shown are the sources of definitions, under headings to which links lead

def definitions(source):
    "The public functions and classes that an exported cell defines."
    exported = re.search(r"^#\|\s*export", source, re.M)
    return re.findall(r"^(?:def|class)\s+([A-Za-z]\w*)", source, re.M) if exported else []


def code_cell(cell):
    "A code cell with the options that the page needs, or None where it is hidden."
    lines = "".join(cell["source"]).split("\n")
    options = [line for line in lines if re.match(r"#\|\s*[\w-]+:", line)]
    code = [line for line in lines if not line.startswith("#|")]
    if not any(code) or re.search(r"^#\|\s*hide\b", "\n".join(lines), re.M):
        return None
    drawn = any(k.startswith("image/") for o in cell.get("outputs", []) for k in o.get("data", {}))
    options = [re.sub(r"(fig-alt: *)([^\"'].*)", lambda m: m[1] + json.dumps(m[2]), o) for o in options]
    name = "Imports" if all(re.match(r"(from|import) \S|$", line) for line in code) else "How it is drawn"
    if len(code) > 2 and (name == "Imports" or drawn) and not any("code-fold" in o for o in options):
        options += ["#| code-fold: true", f'#| code-summary: "{name}"']
    return cell | dict(source="\n".join(options + code))


def page(path):
    "Rewrite a notebook for the site."
    nb = json.loads(path.read_text(encoding="utf-8"))
    cells, level, seen = [], 1, set()
    text = lambda source: dict(cell_type="markdown", metadata={}, source=source)
    first = next(c for c in nb["cells"] if c["cell_type"] == "markdown")
    nb["cells"].remove(first)
    title, about = re.match(r"# (.*)\n+((?:> .*\n?)+)", "".join(first["source"])).groups()
    front = dict(title=title, description=" ".join(re.sub("^> ", "", about, flags=re.M).split()))
    front = "\n".join(f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in front.items())
    for c in nb["cells"]:
        source = "".join(c["source"])
        if c["cell_type"] == "markdown":
            level = len(([""] + re.findall(r"^(#+) ", source, re.M))[-1]) or level
            seen |= {h.lower().replace(" ", "-") for h in re.findall(r"^#+ `?([\w ]+)`?$", source, re.M)}
            cells.append(text(source))
        elif c["cell_type"] == "code" and (shown := code_cell(c)):
            for i, name in enumerate(definitions(source)):
                anchor = f"#{name.lower()} " if name.lower() not in seen else ""
                seen.add(name.lower())
                head = f"{'#'*min(level + 1, 3)} {name} {{{anchor}.definition}}"
                cells.append(text(f"[]{{{anchor.strip()}}}" if i and anchor else "" if i else head))
            cells.append(shown)
    nb["cells"] = [dict(cell_type="raw", metadata={}, source=f"---\n{front}\n---")] + cells
    nb["metadata"].pop("widgets", None)
    path.write_text(json.dumps(nb), encoding="utf-8")


def symbols(nbs):
    "Where each public name is defined, so that smalldocs links names in backticks; a name of two meanings is left out."
    where = {}
    for path in nbs.rglob("*.ipynb"):
        for c in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for name in definitions("".join(c["source"])) if c["cell_type"] == "code" else []:
                where.setdefault(name, set()).add(f"/{path.relative_to(nbs).as_posix()}#{name.lower()}")
    return {name: places.pop() for name, places in where.items() if len(places) == 1}


def offline(site):
    "Whatever a page loads comes from the site's own folder: formulae, fonts, and the search index, also from disk."
    libs, home = site/"site_libs", "https://crystal-nb.github.io/crystal_nb/"
    shutil.copytree(ROOT/"nbs"/"assets"/"katex", libs/"katex")
    shutil.copy(ROOT/"nbs"/"assets"/"site.js", libs)
    shutil.copytree(ROOT/"nbs"/"images", site/"images", dirs_exist_ok=True)
    index = (site/"search.json").read_text(encoding="utf-8")
    (libs/"search.js").write_text(f"window.searchIndex = {index};\n", encoding="utf-8")
    (site/"llms.txt").write_text((site/"llms.txt").read_text(encoding="utf-8").replace(home, ""), encoding="utf-8")
    for p in libs.rglob("*.css"):
        css = p.read_text(encoding="utf-8")
        p.write_text(re.sub(r"@import\s+(url\(\s*)?[\"']?https?:[^;]*;", "", css), encoding="utf-8")
    for p in site.rglob("*.html"):
        up, text = "../"*(len(p.relative_to(site).parts) - 1), p.read_text(encoding="utf-8")
        text = re.sub(r"https://cdn\.jsdelivr\.net/npm/katex@[^/\"]+/dist/(?:contrib/)?", f"{up}site_libs/katex/", text)
        script = f'<script src="{up}site_libs/site.js"></script>'
        text = re.sub(r"(?=<script[^>]*src=\"[^\"]*smalldocs\.js\")", script, text, count=1)
        skip = '<a class="skip" href="#quarto-document-content">Skip to the text</a>'
        p.write_text(re.sub(r"(<body[^>]*>)", rf"\1{skip}", text, count=1), encoding="utf-8")


# --- what smalldocs does not check

def check(site):
    "What is wrong with the pages, one line each: dead links, loads from elsewhere, pictures without words."
    pages, wrong = {p: p.read_text(encoding="utf-8") for p in site.rglob("*.html")}, []
    ids = {p: set(re.findall(r"\b(?:id|name)=\"([^\"]+)\"", text)) for p, text in pages.items()}
    far = r"(?:<(?:script|img|iframe|video|source)[^>]*src=\"|<link[^>]*(?:stylesheet|icon)[^>]*href=\")(https?:[^\"]*)"
    for p, text in pages.items():
        faults = [f"loads {u} from elsewhere" for u in re.findall(far, text)]
        faults += [f"loads {u} from elsewhere" for u in re.findall(r"https?://[^\s\"'<>]+/3Dmol\S*?\.js", text)]
        faults += [f"a picture without a text (#| fig-alt: ...): {t[:60]}" for t in re.findall(r"<img [^>]*>", text)
                   if not re.search(r"alt=\"[^\"]", t)]
        for url in set(re.findall(r"\b(?:href|src)=\"(?!data:|https?:)([^\"]+)\"", text)):
            u = urlsplit(html.unescape(url))
            to = (p.parent/unquote(u.path)).resolve() if u.path else p
            to = to/"index.html" if to.is_dir() else to
            if not to.exists() or u.fragment and unquote(u.fragment) not in ids.get(to, {u.fragment}):
                faults.append(f"{url} leads nowhere")
        wrong += [f"{p.relative_to(site)}: {f}" for f in sorted(set(faults))]
    return wrong


def build(out):
    "Build the site; what is wrong, one line each."
    with tempfile.TemporaryDirectory() as tmp:
        nbs = Path(tmp)/"nbs"
        shutil.copytree(ROOT/"nbs", nbs, ignore=LEAVE)
        with open(nbs/"_quarto.yml", "a", encoding="utf-8") as f:
            f.write("\nsmalldocs:\n  linkify: true\n")
        wrong = failed("jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", "api.ipynb", cwd=nbs)
        (nbs/"_symbols.json").write_text(json.dumps(symbols(nbs)), encoding="utf-8")
        for path in nbs.rglob("*.ipynb"):
            page(path)
        wrong += failed("smalldocs", "render", "--strict", "--quiet", nbs)
        if (nbs/"_docs"/"index.html").exists():
            shutil.rmtree(out, ignore_errors=True)
            shutil.move(nbs/"_docs", out)
            offline(out)
            wrong += check(out)
    return wrong


if __name__ == "__main__":
    out = Path(sys.argv[2]).resolve() if sys.argv[1:2] == ["--out"] else ROOT/"_docs"
    wrong = build(out)
    print(*wrong, f"{len(list(out.rglob('*.html')))} pages in {os.path.relpath(out)}", sep="\n")
    sys.exit(bool(wrong))
