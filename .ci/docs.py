"""Build the site into _docs/ and check every page: `python .ci/docs.py [--out FOLDER]`.

The site is defined once (_quarto.yml, nbs/nbdev.yml, nbs/sidebar.yml). With Quarto installed, `nbdev_docs` builds it too; this script needs
nothing outside of the Python environment: nbdev processes the notebooks and smalldocs renders them. It works on a copy and changes no file of
the repository.
"""
import ast, html, json, os, re, shutil, subprocess, sys, tempfile
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
            if c["cell_type"] == "code" and re.search(r"^#\|\s*export\s*$", source, re.M) and re.search(r"^(def|class|@|(?!_all_)\w+\s*=)", source, re.M):
                c["source"] = re.sub(r"^#\|\s*export\s*$", "#| exports", source, count=1, flags=re.M)
            for o in c.get("outputs", []):  # pages have no numbers in their names; nbdev sees to the links of text cells only
                if "text/markdown" in o.get("data", {}): o["data"]["text/markdown"] = re.sub(r"(\]\((?:\.\./)*(?:\w+/)?)\d+[a-z]?_(\w+\.ipynb)", r"\1\2", "".join(o["data"]["text/markdown"]))
        p.write_text(json.dumps(nb), encoding="utf-8")


def fresh(copy, name):
    "Run a page's cells, for its saved output would age with every function that is added elsewhere. Its last cell gives Markdown."
    p = copy/"nbs"/name
    nb, names, at = json.loads(p.read_text(encoding="utf-8")), {}, os.getcwd()
    os.chdir(p.parent); sys.path.insert(0, str(copy))
    try:
        for c in nb["cells"]:
            if c["cell_type"] != "code": continue
            *body, last = ast.parse("".join(c["source"])).body
            if not isinstance(last, ast.Expr): body, last = body + [last], None
            exec(compile(ast.Module(body, []), name, "exec"), names)
            if last: c["outputs"] = [dict(output_type="display_data", metadata={}, data={"text/markdown": eval(compile(ast.Expression(last.value), name, "eval"), names).data})]
    finally: os.chdir(at); sys.path.remove(str(copy))
    p.write_text(json.dumps(nb), encoding="utf-8")


def release_notes(copy):
    "CHANGELOG.md as a page."
    notes = re.sub(r"<!--[^>]*-->\s*|^# .*\n+", "", (copy/"CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    page = copy/"nbs"/"changes.md"; page.unlink(missing_ok=True)
    page.write_text(f"---\ntitle: Release notes\ndescription: What is new in each version, the newest first\n---\n\n{notes}", encoding="utf-8")


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
        prose = "\n".join("".join(c["source"]) for c in nb["cells"] if c["cell_type"] == "markdown")
        taken = {h.strip("` ").lower() for h in re.findall(r"^#{1,6} +([`\w ]+)$", prose, re.M)}  # an id belongs to one place: `Stages`, `stages` and a heading `Stages` share theirs
        for i, c in enumerate(nb["cells"]):
            m = re.search(r"^show_doc\((\w+)\)", "".join(c["source"]), re.M)
            if not m or m[1] not in at: continue
            name, first = m[1].lower(), m[1].lower() not in taken
            taken.add(name)
            text = f"### {m[1]} {{#{name + '-definition'*(not first)} .definition}}" if i < at[m[1]] else f"[]{{#{name}}}"*first
            nb["cells"][i] = dict(cell_type="markdown", id=c["id"], metadata={}, source=text)
        p.write_text(json.dumps(nb), encoding="utf-8")


def plain(text):
    "Markdown as a screen reader should say it: no links, marks, formulae in dollars, or line breaks."
    text = re.sub(r"^#+ |^> |^[-*] |\{[#.][^}]*\}", "", text, flags=re.M)
    return " ".join(re.sub(r"[`*_$\\]|!?\[([^\]]*)\]\([^)]*\)", r"\1", text).split())


def say_pictures(proc):
    "Every picture says what it shows: the cell's `#| fig-alt:`, or else the sentence before it, or the heading above it."
    for p in proc.rglob("*.ipynb"):
        nb, heading, said = json.loads(p.read_text(encoding="utf-8")), p.stem, ""
        for c in nb["cells"]:
            source = "".join(c["source"])
            if c["cell_type"] == "markdown":
                heads = re.findall(r"^#{1,6} +(.*)", source, re.M)
                if heads: heading, said = plain(heads[-1]), ""
                prose = [b for b in re.split(r"\n\s*\n", source) if b.strip() and not re.match(r"\s*(#|\||```|:::|\$\$|!\[|<|\[\]\{)", b)]
                if prose: said = re.split(r"(?<=[.?!:]) (?=[A-Z0-9])", plain(prose[-1]))[-1]
            if c["cell_type"] != "code" or not any(k.startswith("image/") for o in c.get("outputs", []) for k in o.get("data", {})): continue
            own = re.search(r"^#\| *fig-alt: *(.*)$\n?", source, re.M)
            alt = own[1].strip().strip("\"'") if own else f"Figure: {said.rstrip(':') or heading}"
            c["source"] = f"#| fig-alt: {json.dumps(alt, ensure_ascii=False)}\n" + (source.replace(own[0], "", 1) if own else source)
        p.write_text(json.dumps(nb), encoding="utf-8")


def fold(proc):
    "A list of imports is no reading, and of a figure the reader first wants to see the figure: such code is folded, one click away."
    for p in proc.rglob("*.ipynb"):
        nb = json.loads(p.read_text(encoding="utf-8"))
        for c in nb["cells"]:
            source = "".join(c["source"]); lines = [l for l in source.splitlines() if l.strip() and not l.startswith("#|")]
            if c["cell_type"] != "code" or len(lines) < 3 or "code-fold" in source: continue
            drawn = any(k.startswith("image/") for o in c.get("outputs", []) for k in o.get("data", {}))
            if all(re.match(r"(from|import) \S", l) for l in lines): name = "Imports"
            elif drawn and len(lines) > 3 and re.search(r"\bsubplots\(|\bfigure\(|\.subfigures\(", source): name = "How it is drawn"
            else: continue
            c["source"] = f'#| code-fold: true\n#| code-summary: "{name}"\n' + source
        p.write_text(json.dumps(nb), encoding="utf-8")


def levels(proc):
    "No heading skips a level: a definition that stands right under the title becomes a section of its own."
    for p in proc.rglob("*.ipynb"):
        nb, last = json.loads(p.read_text(encoding="utf-8")), 1
        for c in nb["cells"]:
            if c["cell_type"] != "markdown": continue
            lines, code = "".join(c["source"]).split("\n"), False
            for i, l in enumerate(lines):
                code ^= l.lstrip().startswith("```")
                m = not code and re.match(r"(#{1,6}) ", l)
                if m: last = min(len(m[1]), last + 1); lines[i] = "#"*last + l[len(m[1]):]
            c["source"] = "\n".join(lines)
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
        # a name that this page defines for itself is not the one of the same name elsewhere
        own = {m for c in nb["cells"] if c["cell_type"] == "code" for m in re.findall(r"^(?:def|class) +(\w+)|^(\w+)(?:, *\w+)* *= ", "".join(c["source"]), re.M) for m in m if m}
        here = re.compile(rf"\[`(\w+)`\]\({re.escape(home)}(?!{p.with_suffix('.html').relative_to(proc).as_posix()})[^)]*\)")
        for c in nb["cells"]:
            if c["cell_type"] == "markdown": c["source"] = here.sub(lambda m: f"`{m[1]}`" if m[1] in own else m[0], "".join(c["source"]))
            if c["cell_type"] == "markdown": c["source"] = near(follow("".join(c["source"])), "../"*(len(p.relative_to(proc).parts) - 1))
            if c["cell_type"] == "raw": c["source"] = re.sub(r"^output-file:.*\n", "", "".join(c["source"]), flags=re.M)
        p.write_text(json.dumps(nb), encoding="utf-8")
    for p in proc.glob("*.yml"): p.write_text(follow(p.read_text(encoding="utf-8")), encoding="utf-8")


KATEX = re.compile(r"https://cdn\.jsdelivr\.net/npm/katex@[^/\"]+/dist/(?:contrib/)?")


def offline(site):
    "Whatever a page loads comes from the site's own folder: formulae, search (also from disk, where a page may not fetch), fonts."
    libs = site/"site_libs"
    shutil.copytree(ROOT/"nbs"/"assets"/"katex", libs/"katex"); shutil.copy(ROOT/"nbs"/"assets"/"site.js", libs)
    shutil.rmtree(site/"assets", ignore_errors=True); shutil.copytree(ROOT/"nbs"/"images", site/"images", dirs_exist_ok=True)
    for p in libs.rglob("*.css"):
        css = p.read_text(encoding="utf-8"); near = re.sub(r"@import\s+(?:url\(\s*[\"']?https?:[^)]*\)|[\"']https?:[^\"']*[\"'])[^;]*;", "", css)
        if near != css: p.write_text(near, encoding="utf-8")
    (libs/"search.js").write_text(f"window.searchIndex = {(site/'search.json').read_text(encoding='utf-8')};\n", encoding="utf-8")
    for p in site.rglob("*.html"):
        up, text = "../"*(len(p.relative_to(site).parts) - 1), p.read_text(encoding="utf-8")
        text = KATEX.sub(f"{up}site_libs/katex/", text)
        text = re.sub(r"(<script[^>]*src=\"[^\"]*smalldocs\.js\")", lambda m: f'<script src="{up}site_libs/site.js"></script>' + m[1], text, count=1)
        text = re.sub(r"(<body[^>]*>)", r'\1<a class="skip" href="#quarto-document-content">Skip to the text</a>', text, count=1)
        p.write_text(text, encoding="utf-8")


def contents(site):
    "`llms.txt`: what the site holds, part by part as its sidebar does, with a line on each page and a path that works from disk too."
    import yaml
    web = yaml.safe_load((ROOT/"nbs"/"nbdev.yml").read_text())["website"]
    out, pages = [f"# {web['title']}", "", f"> {web['description']}", ""], set()
    top = (site/"index.llms.md").read_text(encoding="utf-8")
    said = re.search(r"^## What it is\n+(.*?)(?=\n```|\n## )", top, re.M | re.S)
    out += [said[1].strip(), ""] if said else []
    out += ["Every path below is relative to this file; each page is also there as HTML, under the same name with `.html` for `.llms.md`.", ""]
    for part in yaml.safe_load((ROOT/"nbs"/"sidebar.yml").read_text())["website"]["sidebar"]["contents"]:
        out += [f"## {part['section']}", ""]
        for e in part["contents"]:
            src = e["href"] if isinstance(e, dict) else e
            md = re.sub(r"(^|/)\d+[a-z]?_(\w)", r"\1\2", src).rsplit(".", 1)[0] + ".llms.md"
            if not (site/md).exists() or md in pages: continue
            pages.add(md)
            about = re.search(r'<meta name="description" content="([^"]*)"', (site/md.replace(".llms.md", ".html")).read_text(encoding="utf-8"))
            out += [f"- [{e['text'] if isinstance(e, dict) else md}]({md}): {html.unescape(about[1]) if about else ''}"]
        out += [""]
    (site/"llms.txt").write_text("\n".join(out), encoding="utf-8")


class Page(HTMLParser):
    "What a page asks for, the names it defines, its headings, its pictures without words, what it loads from elsewhere."
    LOADS = dict(script="src", img="src", iframe="src", video="src", source="src", audio="src", embed="src", link="href", object="data")

    def __init__(self, text):
        super().__init__(); self.asks, self.ids, self.mute, self.far, self.heads, self.lang, self.title, self.about, self.inside = [], set(), 0, [], [], None, "", "", None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs); self.ids |= {a.get("id"), a.get("name")}
        self.asks += [a[k] for k in ("href", "src") if a.get(k)]
        if tag == "img" and not (a.get("alt") or "").strip(): self.mute += 1
        sets = [u.split()[0] for u in (a.get("srcset") or "").split(",") if u.strip()]
        self.asks += sets; loads = [a.get(self.LOADS.get(tag)), *sets]
        if tag == "link" and not re.search("stylesheet|icon|preload|script", a.get("rel") or ""): loads = []
        self.far += [u for u in loads if u and re.match("(https?:)?//", u)] + re.findall(r"url\([\"']?(https?:[^)\"']*)", a.get("style") or "")
        if tag == "html": self.lang = a.get("lang")
        if tag == "meta" and a.get("name") == "description": self.about = a.get("content") or ""
        if re.fullmatch("h[1-6]", tag): self.heads.append(int(tag[1]))
        self.inside = tag

    def handle_data(self, text):
        if self.inside == "title": self.title += text
        # a saved viewer that loads its library from elsewhere is blank without a network
        if self.inside in ("script", "style"): self.far += [m[0] for m in re.finditer(r"https?://[^\s\"'<>)\\]+?\.(?:m?js|css|woff2?|ttf)\b|(?:url\(|@import)[^;)]{0,9}https?:[^;)]*", text)]

    def handle_endtag(self, tag): self.inside = None


def check(site):
    "What is wrong with the pages, one line each: code that failed, links and pictures that lead nowhere or elsewhere, pictures and pages without words."
    pages = {p: p.read_text(encoding="utf-8") for p in site.rglob("*.html")}
    read, wrong = {p: Page(t) for p, t in pages.items()}, []
    for p, text in pages.items():
        name, page = p.relative_to(site), read[p]
        wrong += [f"{name}: shows {w!r}" for w in ("Traceback (most recent call last)", "NameError", "ModuleNotFoundError") if w in text]
        wrong += [f"{name}: loads {u} from elsewhere" for u in set(page.far)]
        if page.mute: wrong.append(f"{name}: {page.mute} pictures without a text (#| fig-alt: ...)")
        if not page.title.strip() or not page.about.strip() or not page.lang: wrong.append(f"{name}: lacks a title, a description or a language")
        main = Page(text[text.index("<main"):text.index("</main>")]).heads
        if main.count(1) != 1: wrong.append(f"{name}: {main.count(1)} headings of the first level")
        if any(b > a + 1 for a, b in zip(main, main[1:])): wrong.append(f"{name}: its headings jump: {' '.join(map(str, main))}")
        for url in set(page.asks):
            u = urlsplit(url)
            if u.scheme or u.netloc or url.startswith("data:"): continue
            to = (p.parent/unquote(u.path)).resolve() if u.path else p
            if to.is_dir(): to = to/"index.html"
            if not to.exists(): wrong.append(f"{name}: {url} leads nowhere")
            elif u.fragment and to in read and unquote(u.fragment) not in read[to].ids and not u.fragment.startswith("category="):
                wrong.append(f"{name}: {url} has no such anchor")
    for p in site.rglob("*.css"):
        wrong += [f"{p.relative_to(site)}: loads {u} from elsewhere" for u in re.findall(r"(?:@import\s*|url\(\s*)[\"']?(?:url\([\"']?)?(https?://[^\"');]*)", p.read_text(encoding="utf-8"))]
    for name in re.findall(r"\]\(([^)]+)\)", (site/"llms.txt").read_text(encoding="utf-8")):
        if not (site/name).exists() and "://" not in name: wrong.append(f"llms.txt: {name} leads nowhere")
    return sorted(wrong), len(pages)


def build(out):
    with tempfile.TemporaryDirectory() as tmp:
        copy = Path(tmp)/"copy"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=LEAVE)
        fresh(copy, "api.ipynb")
        release_notes(copy)
        show_source(copy)
        proc, env = process(copy)
        as_book(proc)
        rename(proc)
        say_pictures(proc)
        fold(proc)
        levels(proc)
        said = run([Path(sys.executable).with_name("smalldocs"), "render", "_proc"], copy, env)
        shutil.rmtree(out, ignore_errors=True); shutil.move(proc/"_docs", out)
    offline(out)
    contents(out)
    wrong, n = check(out)
    wrong += [l for l in said.splitlines() if l.startswith("warning:")]
    if wrong: sys.exit("\n".join(wrong))
    print(f"{n} pages in {os.path.relpath(out)}")


if __name__ == "__main__": build(Path(sys.argv[sys.argv.index("--out") + 1]).resolve() if "--out" in sys.argv else ROOT/"_docs")
