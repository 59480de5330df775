"""The notebooks and the site as a person meets them, in Chromium and without a network: `python .ci/browser.py [--all] [--site FOLDER] [--shots] [-k WORD]`.

JupyterLab is started on loopback on a copy of the notebooks. Each is opened, Run All Cells is clicked, and what appears is looked at: errors, cells that did not
run, blank 3-D views, colours too faint to read. Sliders are moved with the keyboard and the mouse, and the change on the screen is timed. The pages of the site are
opened at the width of a phone and of a desk, from a server and from disk. Where `unshare -rn` works, all of it runs in a network namespace that has loopback only;
in any case the browser refuses whatever leads elsewhere, and the attempt is a failure.

One line a test; the last line is `N passed, N failed, N skipped`. Without Chromium or Playwright everything is skipped, with the reason. `--all` opens every
notebook, `--site` takes a built site instead of building one, `--shots` tests nothing and writes
the pictures of the widgets into nbs/images/.
"""
import argparse, functools, http.server, io, json, os, re, secrets, shutil, socket, socketserver, subprocess, sys, tempfile, threading, time, traceback, types
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from gates import ROOT, notebooks

USUAL = "tutorials/quickstart", "apps/explorer", "apps/survival", "00_crystals", "03_voxels", "tutorials/explore_your_own", "tutorials/exact_round_trip"  # what people open first
RUN = 420  # seconds that a notebook may take
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"
MOST = 40  # lines that one test may print
HOW = "install it (Debian: apt-get install chromium; macOS: any Google Chrome; elsewhere: python -m playwright install chromium), or name one with CHROMIUM=/path/to/it"
FLAGS = """--disable-quic --no-first-run --no-proxy-server --disable-background-networking --disable-component-update --disable-sync --disable-dev-shm-usage
    --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader --ignore-gpu-blocklist""".split()


class Skip(Exception): "A test that cannot be made here, and why."


def chromiums(p):
    "What may be a Chromium: named, on the PATH, where macOS keeps it, or Playwright's own."
    names = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"
    there = [os.environ.get("CHROMIUM"), *map(shutil.which, names), "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium", p.chromium.executable_path]
    return [c for c in there if c and Path(c).exists()]


def start(p):
    "The first Chromium that starts. Root has no sandbox, nor has who is root in a namespace; others do without only if it cannot be had."
    why = f"there is no Chromium; {HOW}"
    for path in chromiums(p):
        for more in ([], ["--no-sandbox"]) if hasattr(os, "geteuid") and os.geteuid() else (["--no-sandbox"],):
            try: return p.chromium.launch(executable_path=path, args=FLAGS + more)
            except Exception as e: why = f"{path} does not start ({str(e).strip().splitlines()[0][:150]}); {HOW}"
    raise Skip(why)


def lacking():
    "Why the browser tests cannot run here, or None. On a CI machine, where one may, Chromium is installed first."
    try: from playwright.sync_api import sync_playwright
    except ImportError: return "Playwright is not installed; pip install -c constraints.txt -e '.[dev]'"
    with sync_playwright() as p:
        if not chromiums(p) and os.environ.get("CI") and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
            quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=os.environ | dict(DEBIAN_FRONTEND="noninteractive"))
            try:
                for args in ("update", "-q"), ("install", "-y", "-q", "--no-install-recommends", "chromium"): subprocess.run(["apt-get", *args], timeout=240, **quiet)
            except subprocess.TimeoutExpired: pass
        try: start(p).close()
        except Skip as e: return str(e)


def alone():
    "Start again in a network namespace of our own, where the kernel allows it; there, bring up its loopback."
    if os.environ.get("CNB_ALONE") == "yes":
        import fcntl, struct
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s: fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up and running
        return True
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode: return False
    os.environ["CNB_ALONE"] = "yes"; sys.stdout.flush()
    os.execvp("unshare", ["unshare", "-rn", sys.executable, *sys.argv])


class Trap:
    "A proxy that leads nowhere: what the server and the kernels ask of the world is written down and refused."
    def __init__(self):
        asked = self.asked = []
        class Handler(socketserver.StreamRequestHandler):
            timeout = 5
            def handle(self): asked.append(self.rfile.readline(500).decode(errors="replace").strip() or "a connection")
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler); self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.env = {k: url for n in ("http_proxy", "https_proxy", "all_proxy") for k in (n, n.upper())} | dict(no_proxy="127.0.0.1,localhost,::1", NO_PROXY="127.0.0.1,localhost,::1")


def near(url):
    "Whether an address stays on this machine."
    u = urlsplit(url)
    return u.scheme in ("data", "blob", "about", "file", "chrome-error") or u.hostname in ("127.0.0.1", "localhost", "::1")


class Window:
    "A page of the browser that refuses the outside world and writes down what goes wrong."
    noise = re.compile(r"favicon|ResizeObserver loop|GPU stall|GL Driver Message|Automatic fallback to software WebGL|was preloaded using link preload")

    def __init__(self, browser, width=1400, height=1000):
        self.wrong, self.context = [], browser.new_context(viewport=dict(width=width, height=height))
        self.context.set_default_timeout(30_000)
        self.context.route("**/*", self.gate)
        self.page = self.context.new_page()
        self.page.on("websocket", lambda w: near(w.url.replace("ws", "http", 1)) or self.wrong.append(f"asks for {w.url}"))
        self.page.on("console", lambda m: m.type == "error" and self.note(f"console: {m.text[:300]} {urlsplit((m.location or {}).get('url', '')).path[-80:]}"))
        self.page.on("pageerror", lambda e: self.note(f"error on the page: {str(e)[:300]}"))

    def note(self, text):
        if not self.noise.search(text) and text not in self.wrong: self.wrong.append(text)

    def gate(self, route):
        if near(route.request.url): return route.continue_()
        self.wrong.append(f"asks for {route.request.url[:200]}"); route.abort()

    def close(self): self.context.close()


# --- JupyterLab

OPEN = """async ([path, theme]) => {
    const app = jupyterapp; await app.restored; await app.commands.execute('apputils:change-theme', {theme})
    const w = globalThis.book = await app.commands.execute('docmanager:open', {path}); await w.context.ready; await w.revealed
    for (const o of [...app.shell.widgets('main')]) if (o !== w) o.dispose()
    for (let i = 0; i < 100 && app.shell.currentWidget !== w; i++) { app.shell.activateById(w.id); await new Promise(r => setTimeout(r, 100)) } }"""
STATE = """() => { const k = book.sessionContext?.session?.kernel
    return k ? {kernel: k.status, busy: book.content.widgets.filter(c => c.model.type == 'code' && c.model.executionState && c.model.executionState != 'idle').length} : {kernel: 'none', busy: 0} }"""
MODEL = "() => book.context.model.toJSON()"
SHOW = "async i => { book.content.activeCellIndex = i; await book.content.scrollToItem(i, 'start') }"


class Lab:
    "JupyterLab on a copy of the notebooks, with a configuration of its own; one server for all tests."
    def __init__(self, browser, tmp):
        self.browser, self.tmp, self.trap, self.token, self.shown = browser, tmp, Trap(), secrets.token_hex(16), None
        self.root = tmp/"work"
        shutil.copytree(ROOT/"nbs", self.root/"nbs", ignore=shutil.ignore_patterns(".ipynb_checkpoints", "_proc", "_quarto.yml", "__pycache__"))
        for f in ROOT.iterdir():
            if f.is_file(): shutil.copy(f, self.root)
        self.settings = tmp/"settings"/"@jupyterlab"/"apputils-extension"; self.settings.mkdir(parents=True)
        (self.settings/"notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
        with socket.socket() as s: s.bind(("127.0.0.1", 0)); self.port = s.getsockname()[1]
        env = os.environ | self.trap.env | dict(OMP_NUM_THREADS="1", JUPYTER_CONFIG_DIR=str(tmp/"config"), JUPYTER_DATA_DIR=str(tmp/"data"), JUPYTER_RUNTIME_DIR=str(tmp/"runtime"),
            JUPYTERLAB_SETTINGS_DIR=str(tmp/"settings"), JUPYTERLAB_WORKSPACES_DIR=str(tmp/"workspaces"), IPYTHONDIR=str(tmp/"ipython"), PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        for name in ("CRYSTAL_NB_DATA", "IN_TEST", "MPLBACKEND", "PYTHONPATH"): env.pop(name, None)
        options = f"""--no-browser --allow-root --ip=127.0.0.1 --port={self.port} --ServerApp.port_retries=0 --IdentityProvider.token={self.token} --ServerApp.terminals_enabled=False
            --LabApp.expose_app_in_browser=True --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate --ServerApp.root_dir={self.root}"""
        self.log = open(tmp/"lab.log", "w")
        self.server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options.split()], cwd=self.root, env=env, stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        for _ in range(240):
            try: self.api("status"); break
            except OSError: time.sleep(.25)
            if self.server.poll() is not None: break
        else: self.close()
        if self.server.poll() is not None: raise RuntimeError("JupyterLab did not start:\n" + (tmp/"lab.log").read_text()[-3000:])

    def api(self, path, method="GET"):
        with urlopen(Request(f"http://127.0.0.1:{self.port}/api/{path}", headers=dict(Authorization=f"token {self.token}"), method=method), timeout=30) as r:
            text = r.read(); return json.loads(text) if text else None

    def write(self, path, *cells):
        "A notebook of these cells, made for a test."
        import nbformat
        nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells], metadata=dict(kernelspec=dict(name="python3", display_name="Python 3", language="python")))
        (self.root/path).parent.mkdir(parents=True, exist_ok=True); nbformat.write(nb, self.root/path)
        return path

    def window(self):
        "JupyterLab in the browser; the same window serves until something goes wrong in it, for it takes long to load."
        if not self.shown:
            self.shown = Window(self.browser)
            self.shown.page.goto(f"http://127.0.0.1:{self.port}/lab?token={self.token}&reset", timeout=90_000)
            self.shown.page.wait_for_selector(".jp-Launcher", timeout=90_000)
        return self.shown

    @contextmanager
    def open(self, path, theme=LIGHT):
        "A notebook, open in JupyterLab; its kernel ends with it."
        window = self.window(); done, asked = False, len(self.trap.asked)
        window.wrong.clear()
        try:
            yield (book := Notebook(window, path, theme))
            window.page.wait_for_timeout(100); done = True
            book.wrong += window.wrong + [f"the kernel asks for {a}" for a in self.trap.asked[asked:]]
            window.page.evaluate("() => book.dispose()")
        finally:
            if not done: window.close(); self.shown = None
            for s in self.api("sessions"): self.api(f"sessions/{s['id']}", "DELETE")

    def close(self):
        self.server.terminate()
        try: self.server.wait(20)
        except subprocess.TimeoutExpired: self.server.kill(); self.server.wait()
        self.log.close()


class Notebook:
    "A notebook open in JupyterLab."
    def __init__(self, window, path, theme):
        self.page, self.path, self.wrong = window.page, path, []
        self.page.evaluate(OPEN, [path, theme])
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.page.wait_for_function("() => book.sessionContext?.session?.kernel?.status == 'idle'", timeout=60_000)
        self.wrong += [f"a dialog: {d.inner_text()[:200]}" for d in self.page.query_selector_all(".jp-Dialog")]

    def menu(self, name, item):
        self.page.click(f".lm-MenuBar-itemLabel:text-is('{name}')"); self.page.click(f".lm-Menu-itemLabel:text-is('{item}')")

    def wait(self, seconds=RUN):
        "Until the kernel has been idle for a while and no cell waits; False if it never is."
        end, calm = time.time() + seconds, 0
        while calm < 4:
            s = self.page.evaluate(STATE)
            calm = calm + 1 if s["kernel"] == "idle" and not s["busy"] else 0
            if time.time() > end or s["kernel"] in ("dead", "none"): return False
            self.page.wait_for_timeout(250)
        return True

    def run(self, seconds=RUN):
        "Run All Cells; what went wrong."
        self.menu("Run", "Run All Cells"); self.page.wait_for_timeout(300)
        if not self.wait(seconds): self.wrong.append(f"not done after {seconds} s: kernel and waiting cells {self.page.evaluate(STATE)}")
        return self.look()

    def cells(self): return self.page.evaluate(MODEL)["cells"]

    def look(self):
        "Cells that failed or did not run."
        wrong = []
        for i, c in enumerate(self.cells()):
            source = "".join(c["source"])
            if c["cell_type"] != "code" or not source.strip(): continue
            wrong += [f"cell {i}: {o['ename']}: {o['evalue'][:300]}" for o in c["outputs"] if o["output_type"] == "error"]
            if not c["execution_count"]: wrong.append(f"cell {i} did not run: {source.strip().splitlines()[0][:80]}")
        return wrong

    def blank(self):
        "3-D views that show nothing, anywhere in the notebook."
        wrong = []
        for i, c in enumerate(self.cells()):
            if not any(k in text for o in c.get("outputs", ()) for text in [json.dumps(o)] for k in ("3dmol", "widget-view")): continue
            self.page.evaluate(SHOW, i); self.page.wait_for_timeout(700)
            for v in self.page.query_selector_all(f".jp-Notebook .jp-Cell[data-windowed-list-index='{i}'] canvas"):
                if not v.is_visible() or v.bounding_box()["height"] < 50: continue
                n = colours(v)
                if n < 20: wrong.append(f"cell {i}: a 3-D view of {n} colours is blank")
        return wrong


def picture(element):
    "What an element shows, as a PIL image."
    from PIL import Image
    return Image.open(io.BytesIO(element.screenshot())).convert("RGB")


def colours(element):
    "How many colours an element shows: a blank view has one or two."
    return len(picture(element).getcolors(1 << 24))


# Text whose colour is too near to the background's, by the formula of WCAG 2: at least 4.5 to 1, 3 to 1 for large letters
FAINT = """async root => {
    for (let i = 0; i < 3; i++) { await new Promise(r => requestAnimationFrame(r)); document.getAnimations().forEach(a => { try { a.finish() } catch {} }) }
    const pen = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true})
    const once = (f, known = new Map()) => x => { if (!known.has(x)) known.set(x, f(x)); return known.get(x) }
    const rgba = once(c => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = c; pen.fillRect(0, 0, 1, 1); const d = pen.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3]/255] })
    const over = (a, b) => [0, 1, 2].map(i => a[i]*a[3] + b[i]*(1 - a[3]))
    const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v/12.92 : ((v + .055)/1.055)**2.4); return .2126*r + .7152*g + .0722*b }
    const behind = once(e => { if (!e) return [255, 255, 255]; const c = rgba(getComputedStyle(e).backgroundColor); return c[3] == 1 ? c.slice(0, 3) : c[3] ? over(c, behind(e.parentElement)) : behind(e.parentElement) })
    const shown = once(e => e ? getComputedStyle(e).opacity*shown(e.parentElement) : 1)
    const found = {}
    for (const e of document.querySelectorAll(`${root}, ${root} *`)) {
        const text = [...e.childNodes].filter(n => n.nodeType == 3).map(n => n.data).join(' ').trim()
        if (!text || e.closest('[disabled], [aria-disabled=true], [aria-hidden=true], .katex-mathml') || !e.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue
        const box = e.getBoundingClientRect(), style = getComputedStyle(e), back = behind(e), ink = rgba(style.color), color = [...ink.slice(0, 3), ink[3]*shown(e)]
        if (box.width < 2 || box.height < 2) continue
        const pair = [light(over(color, back)), light(back)].sort((x, y) => y - x), ratio = (pair[0] + .05)/(pair[1] + .05), size = parseFloat(style.fontSize)
        if (ratio < (size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5) - .005) {
            const key = `${e.tagName.toLowerCase()}${[...e.classList].map(c => '.' + c).join('')} ${style.color} on rgb(${back.map(Math.round)})`
            found[key] ??= [ratio, text.slice(0, 40), 0]; found[key][2]++ } }
    return Object.entries(found).map(([k, [ratio, text, n]]) => `contrast ${ratio.toFixed(2)}: ${k}: '${text}'${n > 1 ? `, ${n} times` : ''}`)
}"""


# --- tests: each returns what is wrong, one line each, and may note what it measured

TESTS = {}


def test(name, group="notebooks"):
    def add(f): TESTS[f"{group}: {name}"] = f; return f
    return add


def opened(path):
    "A test that opens a notebook and runs all of it."
    def run(lab, note):
        with lab.open(f"nbs/{path}.ipynb") as nb:
            wrong = nb.run() + nb.blank()
            note(f"{sum(bool(c.get('execution_count')) for c in nb.cells())} cells")
        return nb.wrong + wrong
    return run


# --- the site

# What every page must hold, whatever its width
PAGE = """async math => {
    const wrong = [], all = q => [...document.querySelectorAll(q)], seen = e => e.checkVisibility({visibilityProperty: true}), say = (what, e) => wrong.push(`${what}: ${(e.outerHTML || e).slice(0, 120)}`)
    for (const i of all('img')) i.loading = 'eager'
    await Promise.race([Promise.all(all('img').map(i => i.decode().catch(() => 0))), new Promise(r => setTimeout(r, 8000))])
    for (const i of all('img')) { if (!i.naturalWidth) say('a picture that does not load', i); if (!i.alt.trim() && !i.closest('[aria-hidden=true]')) say('a picture without alt text', i) }
    const walk = document.createTreeWalker(document.body, 4)
    for (let n; n = walk.nextNode();) if (/\\$\\$|\\\\(frac|sum|sigma|mathrm|sqrt|left)\\b/.test(n.data) && !n.parentElement.closest('script, style, code, pre, .katex, textarea')) say('a raw formula', n.data.trim())
    for (const e of all('.katex-error')) say('a formula that fails', e)
    if (math && !all('.katex').length) wrong.push('no formula is set, and the notebook has some')
    const heads = all('h1, h2, h3, h4, h5, h6').filter(h => seen(h) && !h.closest('nav, aside')); let level = 0
    if (heads.filter(h => h.tagName == 'H1').length != 1) wrong.push(`${heads.filter(h => h.tagName == 'H1').length} first headings`)
    for (const h of heads) { const l = +h.tagName[1]; if (l > level + 1) say(`a heading of level ${l} after ${level}`, h); level = l }
    for (const e of all('a[href], button').filter(seen)) if (!(e.innerText.trim() || e.title || e.ariaLabel || e.querySelector('img[alt], svg title, [aria-label]'))) say('a link or button without a name', e)
    for (const e of all('input, select, textarea').filter(seen)) if (!(e.labels?.length || e.ariaLabel || e.title || e.placeholder)) say('a field without a name', e)
    if (!document.documentElement.lang) wrong.push('no language'); if (!document.title.trim()) wrong.push('no title')
    const ids = all('[id]').map(e => e.id), twice = ids.filter((d, i) => ids.indexOf(d) < i); if (twice.length) wrong.push(`used twice as id: ${twice.slice(0, 5)}`)
    return wrong
}"""


WIDE = """() => {
    const wide = document.documentElement.scrollWidth, room = document.documentElement.clientWidth
    if (wide <= room) return []
    const clipped = e => { for (let a = e.parentElement; a; a = a.parentElement) if (getComputedStyle(a).overflowX != 'visible') return true }
    const by = [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > room + 1 && !clipped(e)).slice(0, 3)
    return [`wider than the window, ${wide} > ${room}: ` + by.map(e => `${e.tagName.toLowerCase()}.${e.className} to ${Math.round(e.getBoundingClientRect().right)}: ${e.textContent.trim().slice(0, 40)}`).join('; ')]
}"""


class Site:
    "The site, built or given, on a local server and on disk."
    def __init__(self, browser, folder, tmp):
        self.browser, self.folder, self.tmp, self.wrong = browser, folder, tmp, None
        self.math = {}

    def build(self):
        if not self.folder:
            p = subprocess.run([sys.executable, ROOT/".ci"/"docs.py", "--out", self.tmp/"site"], capture_output=True, text=True)
            self.folder = self.tmp/"site"
            if not (self.folder/"index.html").exists(): raise RuntimeError(f"the site does not build: {(p.stdout + p.stderr)[-2000:]}")
        if not self.math:
            class Quiet(http.server.SimpleHTTPRequestHandler):
                def log_message(self, *args): pass
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(self.folder)))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.address = f"http://127.0.0.1:{server.server_address[1]}/"
            for p in notebooks():  # 03_voxels.ipynb becomes voxels.html
                text = " ".join("".join(c["source"]) for c in json.loads(p.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "markdown")
                name = re.sub(r"^\d+[a-z]?_", "", p.stem) + ".html"
                self.math[(p.parent.relative_to(ROOT/"nbs")/name).as_posix()] = bool(re.search(r"\$[^$\n]*\\[a-z]+[^$\n]*\$", re.sub(r"`[^`]*`", "", text)))
        return self

    def pages(self): return sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*.html") if "site_libs" not in p.parts)

    def look(self, names, base):
        "What is wrong with pages: each is loaded once and looked at by day and by night, at the width of a desk and of a phone."
        wrong, window = {}, Window(self.browser, width=1280, height=900)
        window.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        for name in names:
            window.wrong.clear()
            window.page.goto(base + name); window.page.evaluate("() => document.fonts.ready")
            found = window.page.evaluate(PAGE, self.math.get(name, False)) + window.page.evaluate(WIDE) + window.page.evaluate(FAINT, "body")
            window.page.emulate_media(color_scheme="dark"); faint = window.page.evaluate(FAINT, "body")
            for _ in range(6):  # a style sheet may still be on its way
                if not faint: break
                window.page.wait_for_timeout(500); faint = window.page.evaluate(FAINT, "body")
            found += [f"dark, {w}" for w in faint]
            window.page.emulate_media(color_scheme="light"); window.page.set_viewport_size(dict(width=390, height=844)); window.page.wait_for_timeout(100)
            found += [f"phone, {w}" for w in window.page.evaluate(WIDE) + window.page.evaluate(FAINT, "body") if w not in found]
            window.page.set_viewport_size(dict(width=1280, height=900))
            for w in found + window.wrong: wrong.setdefault(w, []).append(name)
        window.close()
        lines = [f"{', '.join(at[:3])}{f' and {len(at) - 3} more' if len(at) > 3 else ''}: {' '.join(w.split())}" for w, at in wrong.items()]
        return lines[:MOST] + [f"and {len(lines) - MOST} more"]*(len(lines) > MOST)


@test("every page", "site")
def every_page(lab, note):
    site = lab.site.build(); names = site.pages(); note(f"{len(names)} pages at 1280 and 390 px, light and dark")
    return site.look(names, site.address)


@test("from disk", "site")
def from_disk(lab, note):
    site = lab.site.build(); names = site.pages()
    some = [n for n in names if n in ("index.html", "voxels.html", "explorer.html", "tutorials/quickstart.html", "limits.html")] or names[:3]
    note(f"{len(some)} pages")
    return site.look(some, site.folder.resolve().as_uri() + "/")


@test("search", "site")
def search(lab, note):
    "A word typed into the search field finds its page, from a server and from disk."
    site, wrong = lab.site.build(), []
    for where in site.address, site.folder.resolve().as_uri() + "/":
        window = Window(site.browser, width=1280)
        window.page.goto(where + "index.html")
        field = window.page.locator("input[type=search]:visible").first
        field.click(); field.press_sequentially("lattice", delay=30); window.page.wait_for_timeout(800)
        if not window.page.locator("a[href*='lattice.html']:visible").count(): wrong.append(f"{urlsplit(where).scheme}: 'lattice' is not found")
        wrong += window.wrong; window.close()
    return wrong


# --- the widgets

CIF = """data_{name}
_symmetry_space_group_name_H-M '{group}'
_cell_length_a {a}
_cell_length_b {b}
_cell_length_c {c}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
{sites}
"""
CIFS = {"perovskite.cif": CIF.format(name="CaTiO3", group="P n m a", a=5.442, b=7.640, c=5.380, sites="Ca Ca .036 .25 .993\nTi Ti 0 0 .5\nO1 O .484 .25 .071\nO2 O .289 .037 .711"),
        "salt.cif": CIF.format(name="NaCl", group="F m -3 m", a=5.64, b=5.64, c=5.64, sites="Na Na 0 0 0\nCl Cl .5 .5 .5")}
# When the text and the pictures of a widget have changed: milliseconds from now on, read after the next frame is drawn
WATCH = """([root, parts]) => {
    const state = () => parts.map(p => { const e = root.querySelector(p); return e ? e.innerText + [...e.querySelectorAll('img, svg'), e].map(i => i.src || i.outerHTML).join() : '' })
    const before = state(), start = performance.now(), seen = window.cnbSeen = parts.map(() => 0)
    const look = () => { state().forEach((s, i) => { if (!seen[i] && s != before[i]) seen[i] = performance.now() - start }); if (seen.includes(0) && performance.now() - start < 30000) requestAnimationFrame(look) }
    look()
}"""
SLOW = 2.  # seconds from a key to the screen that nobody should have to wait, on a machine that does nothing else


def patience():
    "Seconds that a change may take: more where other work takes the processors."
    return SLOW*max(1., os.getloadavg()[0]/os.cpu_count() - .5)


class Widget:
    "One of our widgets on the screen."
    def __init__(self, nb, css, cell):
        self.nb, self.page, self.cell = nb, nb.page, cell
        self.page.evaluate(SHOW, cell)
        self.root = self.page.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{cell}'] {css}")
        self.root.first.wait_for(timeout=60_000)

    def find(self, css): return self.root.locator(css).first
    def text(self, css): return self.find(css).inner_text()
    def value(self, css): return float(self.find(f"{css} .noUi-handle").get_attribute("aria-valuenow"))
    def keys(self, css, *keys): self.find(f"{css} .noUi-handle").focus(); [self.page.keyboard.press(k) for k in keys]

    def tap(self, css, at):
        "Click a slider at a share of its length."
        track = self.find(f"{css} .noUi-base"); track.scroll_into_view_if_needed(); box = track.bounding_box()
        self.page.mouse.click(box["x"] + at*box["width"], box["y"] + box["height"]/2)

    def change(self, do, *parts, seconds=20):
        "Do something; the seconds until each part has changed on the screen, None where it has not."
        self.page.evaluate(WATCH, [self.root.first.element_handle(), parts]); do()
        try: self.page.wait_for_function("() => !window.cnbSeen.includes(0)", timeout=seconds*1000)
        except Exception: pass  # which part did not change is in the answer
        seen = self.page.evaluate("() => window.cnbSeen"); self.settle()
        return [t/1000 or None for t in seen]

    def settle(self): self.nb.wait(60)

    def views(self, rows, columns, seconds=20):
        "Panels of the view in space that are blank: no coloured pixels, for lines and letters are grey."
        from PIL import ImageChops
        end = time.time() + seconds
        while True:
            canvas = self.find(".cnb-view canvas"); canvas.wait_for(timeout=30_000); canvas.scroll_into_view_if_needed()
            image = picture(canvas); r, g, b = image.split(); low, high = ImageChops.darker(ImageChops.darker(r, g), b), ImageChops.lighter(ImageChops.lighter(r, g), b)
            vivid = ImageChops.subtract(high, low).point(lambda v: 255*(v > 40)); w, h = image.width/columns, image.height/rows
            blank = [(i, j) for i in range(rows) for j in range(columns) if vivid.crop((int(j*w), int(i*h), int(j*w + w), int(i*h + h))).histogram()[255] < .002*w*h]
            if not blank or time.time() > end: return [f"the view in row {i + 1}, column {j + 1} is blank" for i, j in blank]
            self.page.wait_for_timeout(300)

    def faint(self): return self.page.evaluate(FAINT, self.css_path())
    def css_path(self): return f".jp-Notebook .jp-Cell[data-windowed-list-index='{self.cell}'] .jp-OutputArea-output"


@contextmanager
def live(lab, name, *cells, theme=LIGHT):
    "A notebook of these cells beside the two CIF files, run to its end."
    path = lab.write(f"live/{name}.ipynb", *cells)
    for file, text in CIFS.items(): (lab.root/"live"/file).write_text(text)
    with lab.open(path, theme) as nb:
        nb.wrong += nb.run()
        yield nb


def late(what, seconds): return [f"{what}: nothing changes"] if seconds is None else [f"{what}: {seconds:.1f} s until the change is on the screen"] if seconds > patience() else []


EXPLORE = "from crystal_nb.apps.explorer import explore"


@test("sliders of the explorer")
def sliders(lab, note):
    "Each slider changes the numbers and the planes, soon; the views are not blank, and letters can be read."
    with live(lab, "sliders", EXPLORE, "explore('perovskite.cif')") as nb:
        w = Widget(nb, ".cnb-explore", 1); wrong = w.views(2, 3) + w.faint(); took = []
        moves = dict(sigma=lambda: w.keys(".cnb-sigma", *["ArrowRight"]), radius=lambda: w.keys(".cnb-radius", "End"), latents=lambda: w.tap(".cnb-latents", .2), noise=lambda: w.tap(".cnb-noise", .8))
        for name, move in moves.items():
            before, planes = w.value(f".cnb-{name}"), picture(w.find(".cnb-slices"))
            numbers, pictures = w.change(move, ".cnb-numbers", ".cnb-slices")
            wrong += late(f"{name}, numbers", numbers) + late(f"{name}, planes", pictures)
            if w.value(f".cnb-{name}") == before: wrong.append(f"{name}: the slider does not move")
            if picture(w.find(".cnb-slices")).tobytes() == planes.tobytes(): wrong.append(f"{name}: the planes look as before")
            took.append(f"{name} {max(numbers or 0, pictures or 0):.2f} s"); wrong += [f"{name}: {v}" for v in w.views(2, 3)[:1]]
        note(", ".join(took))
    return nb.wrong + wrong


@test("explorer used roughly")
def roughly(lab, note):
    "A change before it is drawn, quick moves, an interrupt, a second explorer, a second run, a scroll away and back, Save: it goes on working."
    with live(lab, "roughly", EXPLORE, "e = explore('salt.cif')\ne", "explore('perovskite.cif')", "e.noise.value = .02") as nb:
        wrong = []
        w = Widget(nb, ".cnb-explore", 1); w.views(2, 3); first = w.text(".cnb-numbers"), w.value(".cnb-sigma")
        if "noise 0.02" not in w.text(".cnb-view"): wrong.append(f"changed before it was drawn, the view stays as it was: {w.text('.cnb-view').split(chr(10))}")
        other = Widget(nb, ".cnb-explore", 2)
        one = max(t or 9 for t in other.change(lambda: other.keys(".cnb-sigma", "ArrowRight"), ".cnb-slices"))
        start = time.time(); other.keys(".cnb-sigma", *["ArrowRight"]*10, *["ArrowLeft"]*10); pressed = time.time(); other.settle(); took = time.time() - pressed - 1
        note(f"one move {one:.2f} s, settled {max(took, 0):.1f} s after 20 moves in {pressed - start:.1f} s")
        if took > max(1.5*patience(), 5*one): wrong.append(f"stale moves queue up: {took:.1f} s after the last of 20 moves, {one:.1f} s for one")
        wrong += late("after 20 quick moves", other.change(lambda: other.keys(".cnb-sigma", "ArrowLeft"), ".cnb-slices")[0])
        other.keys(".cnb-sigma", *["ArrowRight"]*4); nb.page.wait_for_timeout(150); nb.menu("Kernel", "Interrupt Kernel"); other.settle()
        wrong += late("after an interrupt", other.change(lambda: other.keys(".cnb-sigma", "ArrowLeft"), ".cnb-slices")[0])
        w = Widget(nb, ".cnb-explore", 1)
        if (w.text(".cnb-numbers"), w.value(".cnb-sigma")) != first: wrong.append("a second explorer moves the first")
        wrong += [f"scrolled away and back: {v}" for v in w.views(2, 3)]
        wrong += nb.run(); w = Widget(nb, ".cnb-explore", 1)
        if w.root.count() != 1: wrong.append(f"run twice: {w.root.count()} explorers in one cell")
        wrong += [f"run twice: {v}" for v in w.views(2, 3)] + late("run twice", w.change(lambda: w.keys(".cnb-sigma", "ArrowRight"), ".cnb-slices")[0])
        nb.page.keyboard.press("Escape"); nb.menu("File", "Save Notebook"); nb.page.wait_for_timeout(1500)
        text = (lab.root/nb.path).read_text(); saved = json.loads(text)
        if saved["metadata"].get("widgets") or len(text) > 20_000 or not saved["cells"][1]["outputs"]: wrong.append(f"saved as {len(text)//1000} KB, with {', '.join(saved['metadata'])}")
    return nb.wrong + wrong


@test("navigator")
def paths(lab, note):
    "Slider, arrow keys, buttons, play, and a CIF that pymatgen reads."
    with live(lab, "paths", "from crystal_nb.apps.explorer import navigate", "navigate('salt.cif', 'perovskite.cif', steps=9)") as nb:
        w = Widget(nb, ".cnb-navigate", 1); wrong = w.views(1, 3) + w.faint(); at = lambda: w.value(".cnb-t")
        def step(name, do, to):
            numbers, = w.change(do, ".cnb-numbers")
            wrong.extend(late(name, numbers)); note(f"{name} {numbers or 0:.2f} s")
            if at() != to: wrong.append(f"{name}: point {at():g}, not {to}")
        step("key", lambda: w.keys(".cnb-t", "ArrowRight"), 1)
        step("next", lambda: w.find("button.cnb-next").click(), 2)
        step("prev", lambda: w.find("button.cnb-prev").click(), 1)
        step("end", lambda: w.keys(".cnb-t", "End"), 8)
        wrong += w.views(1, 3)
        w.find("button.cnb-next").click(); w.settle()
        if at() != 8: wrong.append("next goes beyond the end")
        step("start", lambda: w.keys(".cnb-t", "Home"), 0)
        button = w.find(".cnb-play button"); button.click(); nb.page.wait_for_timeout(2600); button.click(); w.settle(); stopped = at()
        if not stopped: wrong.append("play: nothing moves")
        nb.page.wait_for_timeout(1800)
        if at() != stopped: wrong.append(f"play: does not stop, {stopped:g} then {at():g}")
        w.keys(".cnb-t", "End"); w.settle()
        before = set((lab.root/"live").glob("*.cif")); said, = w.change(lambda: w.find("button.cnb-save").click(), ".cnb-status")
        new = set((lab.root/"live").glob("*.cif")) - before
        if said is None or len(new) != 1: wrong.append(f"save CIF: {len(new)} new files; it says {w.text('.cnb-status')!r}")
        else:
            from pymatgen.core import Structure
            got = Structure.from_file(new.pop()); note(f"saved {got.composition.reduced_formula}")
            if got.composition.reduced_formula != "CaTiO3": wrong.append(f"the CIF at the end of the path holds {got.composition}")
    return nb.wrong + wrong


@test("survival check")
def verdict(lab, note):
    "The sliders change the verdict and the picture."
    with live(lab, "verdict", "from crystal_nb.apps.survival import will_it_survive", "will_it_survive('salt.cif')") as nb:
        w = Widget(nb, ".cnb-survive", 1); wrong = w.faint(); said = [w.text(".cnb-status").strip()]
        for name, move in dict(noise=lambda: w.keys(".cnb-noise", "End"), sigma=lambda: w.keys(".cnb-sigma", "End"), latents=lambda: w.keys(".cnb-latents", "Home")).items():
            seconds, = w.change(move, "img" if w.root.locator("img").count() else ".cnb-numbers"); said.append(w.text(".cnb-status").strip())
            wrong += late(name, seconds); note(f"{name} {seconds or 0:.2f} s")
        if said[0] == said[1]: wrong.append(f"noise does not change the verdict: {said[0]!r}")
    return nb.wrong + wrong


@test("widgets in the dark theme")
def dark(lab, note):
    "In JupyterLab's dark theme every letter can be read and no view is blank."
    cells = "from crystal_nb.apps.explorer import explore, navigate, will_it_survive", "explore('perovskite.cif')", "navigate('salt.cif', 'perovskite.cif', steps=5)", "will_it_survive('salt.cif')"
    with live(lab, "dark", *cells, theme=DARK) as nb:
        wrong = []
        for i, (name, shape) in enumerate(dict(explore=(2, 3), navigate=(1, 3), survive=None).items(), 1):
            w = Widget(nb, f".cnb-{name}", i)
            wrong += [f"{name}: {v}" for v in (w.views(*shape) if shape else []) + w.faint()]
    return nb.wrong + wrong


def few(image):
    "A picture in 256 colours: half of them those that are common, half those that are far from others, such as a pale halo's."
    from PIL import Image
    Q, palette = Image.Quantize, Image.new("P", (1, 1))
    palette.putpalette(sum((image.quantize(128, method=m, kmeans=3).getpalette()[:384] for m in (Q.MEDIANCUT, Q.MAXCOVERAGE)), []))
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


def shots(lab):
    "Pictures of the widgets by day and by night for the documentation, each well below 120 KB."
    cells = "from crystal_nb.apps.explorer import explore, navigate, will_it_survive", "explore('perovskite.cif', noise=.05)", "navigate('salt.cif', 'perovskite.cif')", "will_it_survive('perovskite.cif', noise=.02)"
    for suffix, theme in dict(light=LIGHT, dark=DARK).items():
        with live(lab, f"shots_{suffix}", *cells, theme=theme) as nb:
            nb.page.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area')")
            for i, (name, css, shape) in enumerate((("explorer", ".cnb-explore", (2, 3)), ("navigator", ".cnb-navigate", (1, 3)), ("survival", ".cnb-survive", None)), 1):
                nb.page.set_viewport_size(dict(width=1130, height=1300)); w = Widget(nb, css, i)
                if name == "navigator": w.keys(".cnb-t", *["ArrowRight"]*13); w.settle()
                if shape: w.views(*shape); nb.page.wait_for_timeout(500)
                image, file = picture(w.root.first), ROOT/"nbs"/"images"/f"{name}_{suffix}.png"
                few(image).save(file, optimize=True)
                print(f"{file.relative_to(ROOT)}: {image.width} x {image.height}, {file.stat().st_size//1000} KB", flush=True)
            nb.page.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area')"); nb.page.set_viewport_size(dict(width=1400, height=1000))


def outcome(name, f, *args):
    "Run a test and print its line; 'passed', 'failed' or 'skipped'."
    start, notes = time.time(), []
    try: wrong = f(*args, notes.append); said = "failed" if wrong else "passed"
    except Skip as e: wrong, said = [], "skipped"; notes.append(str(e))
    except Exception: wrong, said = traceback.format_exc().splitlines(), "failed"
    print(f"{said.upper() if said == 'failed' else said} {name} ({time.time() - start:.1f} s){': ' * bool(notes)}{', '.join(notes)}", *(f"    {l}" for l in wrong), sep="\n", flush=True)
    return said


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--all", action="store_true", help="open every notebook, not only those that people open first")
    ap.add_argument("--site", metavar="FOLDER", type=Path, help="a built site; without it one is built in a temporary folder")
    ap.add_argument("--shots", action="store_true", help="instead of testing, write the pictures of the widgets into nbs/images/")
    ap.add_argument("-k", metavar="WORD", default="", help="only the tests with this in their name")
    arg = ap.parse_args()
    there = [p.relative_to(ROOT/"nbs").with_suffix("").as_posix() for p in notebooks()]
    tests = {f"notebooks: {n}": opened(n) for n in there if arg.all or n in USUAL} | TESTS
    tests = {n: f for n, f in tests.items() if arg.k in n}
    why = None if os.environ.get("CNB_ALONE") else lacking()
    if why: print(f"skipped: {why}"); print(f"0 passed, 0 failed, {len(tests)} skipped"); return 0
    if not alone(): print("this kernel gives no network namespace (unshare -rn): the browser alone refuses what is not loopback")
    from playwright.sync_api import sync_playwright
    count = dict(passed=0, failed=0, skipped=0)
    with sync_playwright() as p, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp:
        browser = start(p)
        lab = Lab(browser, Path(tmp)) if any(n.split(":")[0] != "site" for n in tests) else types.SimpleNamespace(close=lambda: None)
        lab.site = Site(browser, arg.site, Path(tmp))
        try:
            if arg.shots: shots(lab); return 0
            for name, f in tests.items(): count[outcome(name, f, lab)] += 1
        finally: lab.close(); browser.close()
    print(", ".join(f"{n} {k}" for k, n in count.items()))
    return count["failed"] > 0


if __name__ == "__main__": sys.exit(main())
