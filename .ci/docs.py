"""Build the site into _docs/ and check every page: `python .ci/docs.py [--out FOLDER]`.

The site is defined once (_quarto.yml, nbs/nbdev.yml, nbs/sidebar.yml). With Quarto installed, `nbdev_docs` builds it too; this script needs
nothing outside of the Python environment: nbdev processes the notebooks and smalldocs renders them. It works on a copy and changes no file of
the repository.
"""
import json, os, re, shutil, subprocess, sys, tempfile
from configparser import ConfigParser
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
LEAVE = shutil.ignore_patterns(".*", "__pycache__", "_proc", "_docs", "build", "dist", "out", "run", "*.egg-info", "weights")


def run(cmd, cwd, env):
    "Run a command; its output only when it fails."
    p = subprocess.run(cmd, cwd=cwd, env=env, capture_output=True, text=True)
    if p.returncode: sys.exit(f"{' '.join(map(str, cmd))} failed:\n{p.stdout}{p.stderr}")
    return p.stdout + p.stderr


def show_source(copy):
    "The site is a book: a definition is shown where it is made. nbdev shows the source of cells marked `exports`; here all but the imports are."
    for p in (copy/"nbs").rglob("*.ipynb"):
        nb = json.loads(p.read_text(encoding="utf-8"))
        for c in nb["cells"]:
            source = "".join(c["source"])
            if c["cell_type"] == "code" and re.search(r"^#\|\s*export\s*$", source, re.M) and re.search(r"^(def|class|@|\w+\s*=)", source, re.M):
                c["source"] = re.sub(r"^#\|\s*export\s*$", "#| exports", source, count=1, flags=re.M)
            for o in c.get("outputs", []):  # pages have no numbers in their names; nbdev sees to the links of text cells only
                if "text/markdown" in o.get("data", {}): o["data"]["text/markdown"] = re.sub(r"(\]\((?:\.\./)*(?:\w+/)?)\d+[a-z]?_(\w+\.ipynb)", r"\1\2", "".join(o["data"]["text/markdown"]))
        p.write_text(json.dumps(nb), encoding="utf-8")


def process(copy):
    "nbdev's processing of the notebooks into `_proc`, with a stub in the place of Quarto, which nbdev would try to download."
    stub = copy/"stub"; stub.mkdir()
    (stub/"quarto").write_text("#!/bin/sh\nexit 0\n"); (stub/"quarto").chmod(0o755)
    env = os.environ | dict(PATH=f"{stub}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", OMP_NUM_THREADS="1", MPLBACKEND="agg")
    env.pop("IN_TEST", None)
    said = run([Path(sys.executable).with_name("nbdev_proc_nbs"), "--n_workers", "2"], copy, env)
    proc, missing = copy/"_proc", []
    for nb in (copy/"nbs").rglob("*.ipynb"):
        if not (proc/nb.relative_to(copy/"nbs")).exists(): missing.append(nb.name)
    if missing: sys.exit(f"nbdev did not process {', '.join(missing)}:\n{said}")
    return proc, env


def as_book(proc):
    "Where the source of a definition is on the page, nbdev's summary above it would say everything twice: leave its heading, to which links lead."
    for p in proc.rglob("*.ipynb"):
        nb = json.loads(p.read_text(encoding="utf-8"))
        at = {}  # name -> index of the cell that defines it
        for i, c in enumerate(nb["cells"]):
            source = "".join(c["source"])
            if '#| code-summary: "Exported source"' not in source: continue
            c["source"] = re.sub(r"^#\| code-(fold|summary):.*\n", "", source, flags=re.M)
            at |= {m: i for m in re.findall(r"^(?:def|class)\s+(\w+)", source, re.M)}
        for i, c in enumerate(nb["cells"]):
            m = re.search(r"^show_doc\((\w+)\)", "".join(c["source"]), re.M)
            if not m or m[1] not in at: continue
            text = f"### {m[1]} {{#{m[1].lower()} .definition}}" if i < at[m[1]] else f"[]{{#{m[1].lower()}}}"
            nb["cells"][i] = dict(cell_type="markdown", id=c["id"], metadata={}, source=text)
        p.write_text(json.dumps(nb), encoding="utf-8")


def front(nb):
    "The front matter that nbdev wrote: the options of the first raw cell."
    return "".join(nb["cells"][0]["source"]) if nb["cells"] and nb["cells"][0]["cell_type"] == "raw" else ""


def rename(proc):
    "Name each processed notebook by its `output-file`, as Quarto would name the page, and let links and the sidebar follow."
    new = {}
    for p in proc.rglob("*.ipynb"):
        m = re.search(r"^output-file:\s*(\S+)\.html", front(json.loads(p.read_text(encoding="utf-8"))), re.M)
        if m and m[1] != p.stem: new[p.name] = m[1] + ".ipynb"; p.rename(p.with_name(new[p.name]))
    ini = ConfigParser(delimiters=["="], interpolation=None); ini.read(ROOT/"settings.ini", encoding="utf-8")
    home = ini["DEFAULT"]["doc_host"] + ini["DEFAULT"]["doc_baseurl"] + "/"
    follow = lambda s: re.sub(r"[\w.-]+\.ipynb", lambda m: new.get(m[0], m[0]), s)
    # nbdev links `names` to where the site will be published; within the site the links are relative, and a method is found at its class
    near = lambda s, up: re.sub(rf"{re.escape(home)}([\w/.-]+\.html)(#\w+)?[\w.]*", lambda m: up + m[1] + (m[2] or ""), s)
    for p in proc.rglob("*.ipynb"):
        nb = json.loads(p.read_text(encoding="utf-8"))
        nb["metadata"].pop("widgets", None)
        for c in nb["cells"]:
            if c["cell_type"] == "markdown": c["source"] = near(follow("".join(c["source"])), "../"*(len(p.relative_to(proc).parts) - 1))
            if c["cell_type"] == "raw": c["source"] = re.sub(r"^output-file:.*\n", "", "".join(c["source"]), flags=re.M)
        p.write_text(json.dumps(nb), encoding="utf-8")
    for p in proc.glob("*.yml"): p.write_text(follow(p.read_text(encoding="utf-8")), encoding="utf-8")


class Links(HTMLParser):
    "The local files and anchors that a page asks for, and the names it defines."
    def __init__(self, html):
        super().__init__(); self.asks, self.ids, self.no_alt = [], set(), []; self.feed(html)
    def handle_starttag(self, tag, attrs):
        a = dict(attrs); self.ids |= {a.get("id"), a.get("name")}
        self.asks += [a[k] for k in ("href", "src") if a.get(k)]


def check(site):
    "What is wrong with the pages, one line each: code that failed, links and pictures that lead nowhere."
    pages = {p: p.read_text(encoding="utf-8") for p in site.rglob("*.html")}
    links, wrong = {p: Links(t) for p, t in pages.items()}, []
    for p, text in pages.items():
        name = p.relative_to(site)
        wrong += [f"{name}: shows {w!r}" for w in ("Traceback (most recent call last)", "NameError", "ModuleNotFoundError") if w in text]
        for url in set(links[p].asks):
            u = urlsplit(url)
            if u.scheme or u.netloc or url.startswith("data:"): continue
            to = (p.parent/unquote(u.path)).resolve() if u.path else p
            if to.is_dir(): to = to/"index.html"
            if not to.exists(): wrong.append(f"{name}: {url} leads nowhere")
            elif u.fragment and to in links and unquote(u.fragment) not in links[to].ids and not u.fragment.startswith("category="):
                wrong.append(f"{name}: {url} has no such anchor")
    return sorted(wrong), len(pages)


def build(out):
    with tempfile.TemporaryDirectory() as tmp:
        copy = Path(tmp)/"copy"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=LEAVE)
        show_source(copy)
        proc, env = process(copy)
        as_book(proc)
        rename(proc)
        said = run([Path(sys.executable).with_name("smalldocs"), "render", "_proc"], copy, env)
        shutil.rmtree(out, ignore_errors=True); shutil.move(proc/"_docs", out)
    wrong, n = check(out)
    wrong += [l for l in said.splitlines() if l.startswith("warning:")]
    if wrong: sys.exit("\n".join(wrong))
    print(f"{n} pages in {os.path.relpath(out)}")


if __name__ == "__main__": build(Path(sys.argv[sys.argv.index("--out") + 1]).resolve() if "--out" in sys.argv else ROOT/"_docs")
