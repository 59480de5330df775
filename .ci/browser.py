"""The quickstart, the widgets and the site as a person meets them: `python .ci/browser.py [--site] [--all] [-k WORD]`.

In Chromium. JupyterLab is started by the README's own line, in a copy of the repository. The browser refuses whatever
leads outside of this machine, and that is a failure. Without Chromium all is skipped. `--all` runs every notebook too;
`--site` visits the pages that docs.py has built, and nothing else.
"""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path

import nbformat
from nbformat import v4

from gates import LEAVE, ROOT, notebooks, report

FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
FLAT = ["--no-sandbox", "--disable-gpu"]  # the site's pages draw nothing in space, and open faster so
SALT = """from pymatgen.core import Lattice, Structure
salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0]*3, [.5]*3])"""


def chromium():
    "Where a Chromium is, or None; on a CI machine, where one may, it is installed first."
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found and os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run("apt-get update -q && apt-get install -y -q chromium", shell=True, capture_output=True)
        found = shutil.which("chromium")
    return os.environ.get("CHROMIUM") or found


def watched(page, wrong):
    "A page whose errors are written down, with what it asks of the world outside, which it does not get."
    noise = re.compile(r"favicon|ResizeObserver loop|GPU stall|GL Driver Message|software WebGL|link preload")
    note = lambda text: None if noise.search(text) else wrong.append(text[:300])
    page.on("console", lambda m: note(f"console: {m.text} {m.location}") if m.type == "error" else None)
    page.on("pageerror", lambda e: note(f"error on the page: {e}"))
    outside = re.compile(r"https?://(?!127\.0\.0\.1|localhost)")
    page.route(outside, lambda route: (note(f"asks for {route.request.url}"), route.abort()))
    return page


# --- JupyterLab: BOOK is the notebook in front

BOOK = "jupyterapp.shell.currentWidget"
STATE = f"""() => {{ const k = {BOOK}.sessionContext?.session?.kernel?.status ?? 'none'; return k == 'idle' &&
    {BOOK}.content.widgets.every(c => c.model.type != 'code' || (c.model.executionState ?? 'idle') == 'idle') }}"""
SHOW = f"async i => {{ {BOOK}.content.activeCellIndex = i; await {BOOK}.content.scrollToItem(i, 'start') }}"
FRONT = f"path => globalThis.jupyterapp && {BOOK}?.context?.path == path && {BOOK}.context.isReady"


class Lab:
    "JupyterLab as the README's line starts it, with the configuration of a machine that has a browser."
    def __init__(self, browser, tmp):
        self.browser, self.tmp, self.wrong, self.server = browser, tmp, [], None

    @cached_property
    def page(self):
        "Start the server; the page that it opens in the browser."
        tmp, self.clone = self.tmp, self.tmp/"clone"
        shutil.copytree(ROOT, self.clone, ignore=LEAVE, dirs_exist_ok=True)
        (self.clone/".venv").symlink_to(sys.prefix)
        config = dict(ServerApp=dict(allow_root=True), LabApp=dict(expose_app_in_browser=True,
                      check_for_updates_class="jupyterlab.NeverCheckForUpdate"))
        (tmp/"jupyter_server_config.json").write_text(json.dumps(config))
        env = os.environ | dict(JUPYTER_CONFIG_DIR=str(tmp), JUPYTER_RUNTIME_DIR=str(tmp/"run"), OMP_NUM_THREADS="1",
                                JUPYTERLAB_SETTINGS_DIR=str(tmp/"set"), JUPYTERLAB_WORKSPACES_DIR=str(tmp/"spaces"),
                                BROWSER=f"sh -c 'echo $0 > {tmp}/opened' %s")
        line = re.search(r"\.venv/bin/jupyter lab[^`\n]*", (ROOT/"README.md").read_text(encoding="utf-8"))[0]
        with open(tmp/"lab.log", "w") as log:
            self.server = subprocess.Popen(["sh", "-c", line], cwd=self.clone, env=env, stdout=log, stderr=log,
                                           start_new_session=True)
        page, seen = watched(self.browser.new_page(viewport=dict(width=1400, height=1000)), self.wrong), tmp/"opened"
        for _ in range(240):
            time.sleep(.5)
            if seen.exists() and seen.read_text():
                page.goto(seen.read_text().strip())
                return page
        raise RuntimeError(f"JupyterLab opened no page:\n{(tmp/'lab.log').read_text()[-3000:]}")

    def front(self, path):
        "Wait until a notebook is in front and its kernel is idle."
        self.page.wait_for_function(FRONT, arg=path, timeout=90_000)
        self.page.wait_for_function(STATE, timeout=90_000)

    def open(self, path):
        self.page.evaluate("async path => { await jupyterapp.commands.execute('docmanager:open', {path}) }", path)
        self.front(path)

    def write(self, path, *sources):
        "A notebook of these cells, open and run."
        kernel = dict(kernelspec=dict(name="python3", display_name="Python 3"))
        nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(s) for s in sources], metadata=kernel), self.clone/path)
        self.open(path)
        return self.run()

    def settle(self, seconds=420):
        "Wait until the kernel has been idle for a second."
        for _ in range(3):
            self.page.wait_for_function(STATE, timeout=seconds*1000)
            self.page.wait_for_timeout(350)

    def run(self):
        "Run All Cells; cells that failed or did not run, and what the page complains of."
        self.page.evaluate("async () => { await jupyterapp.commands.execute('notebook:run-all-cells') }")
        self.settle()
        wrong, self.wrong[:] = list(self.wrong), []
        for i, c in enumerate(self.page.evaluate(f"() => {BOOK}.context.model.toJSON()")["cells"]):
            if c["cell_type"] == "code" and "".join(c["source"]).strip():
                faults = [f"{o['ename']}: {o['evalue'][:300]}" for o in c["outputs"] if o["output_type"] == "error"]
                wrong += [f"cell {i}: {f}" for f in faults + ["did not run"]*(not c["execution_count"])]
        return wrong

    def close(self):
        if self.server:
            os.killpg(self.server.pid, signal.SIGTERM)
            self.server.wait(30)


def jupyter_line(lab):
    "The README's line opens the quickstart; its pictures load, and its link leads into the book."
    lab.front("nbs/tutorials/quickstart.ipynb")
    wrong, n = [], len(lab.page.evaluate(f"() => {BOOK}.context.model.toJSON()")["cells"])
    for i in range(n):
        lab.page.evaluate(SHOW, i)
        lab.page.wait_for_timeout(150)
    images = lab.page.query_selector_all(".jp-RenderedMarkdown img")
    for image in images:
        if not image.evaluate("async i => { try { await i.decode() } catch {} return i.naturalWidth }"):
            wrong.append(f"a picture does not load: {image.get_attribute('alt')[:80]}")
    lab.page.locator(".jp-RenderedMarkdown a", has_text=re.compile("^crystals$")).last.click()
    lab.front("nbs/00_crystals.ipynb")
    return wrong + lab.wrong + ["no picture is shown"]*(not images)


def quickstart(lab):
    "The quickstart runs to its end."
    lab.open("nbs/tutorials/quickstart.ipynb")
    return lab.run()


def changed(lab, widget, slider, part):
    "Whether a slider that is moved with the keyboard changes a part of a widget."
    look = lambda: widget.locator(part).first.evaluate("e => e.innerHTML")
    before = look()
    widget.locator(f"{slider} .noUi-handle").first.focus()
    lab.page.keyboard.press("End")
    for _ in range(40):
        lab.page.wait_for_timeout(250)
        if look() != before:
            return []
    return [f"{slider} changes nothing in {part}"]


def explorer(lab):
    "The explorer draws, and a slider changes its numbers and its planes."
    wrong = lab.write("explorer.ipynb", SALT, "from crystal_nb.apps.explorer import explore", "explore(salt)")
    widget = lab.page.locator(".jp-NotebookPanel:visible .cnb-explore")
    canvas = widget.locator(".cnb-view canvas").first
    canvas.wait_for(timeout=60_000)
    lab.page.wait_for_timeout(3000)
    wrong += ["the view is blank"]*(len(canvas.screenshot()) < 8000)  # as a PNG file: what is empty is small
    for slider, part in (".cnb-noise", ".cnb-numbers"), (".cnb-sigma", ".cnb-slices"):
        wrong += changed(lab, widget, slider, part)
    return wrong


def survival(lab):
    "Noise changes the verdict on a crystal."
    wrong = lab.write("survival.ipynb", SALT, "import crystal_nb as cn", "cn.will_it_survive(salt)")
    widget = lab.page.locator(".jp-NotebookPanel:visible .cnb-survive")
    return wrong or changed(lab, widget, ".cnb-noise", ".cnb-status")


def site(browser):
    "Every page of the site, from disk, at two widths: errors, raw formulae, anything wider than the window."
    wrong, widths, pages = [], [1280, 390], sorted((ROOT/"_docs").rglob("*.html"))
    page = watched(browser.new_page(), wrong)
    page.set_default_timeout(90_000)
    for path in pages:
        name, seen = path.relative_to(ROOT/"_docs").as_posix(), len(wrong)
        page.goto(path.as_uri())
        widths.reverse()  # one change of width a page
        for width in widths:
            page.set_viewport_size(dict(width=width, height=900))
            page.wait_for_timeout(100)
            wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
            wrong += [f"{wide} pixels wider than a window of {width}"]*(wide > 0)
        failed = page.locator(".katex-error").count() or "$$" in page.locator("main").inner_text()
        wrong += ["a raw formula"]*bool(failed)
        wrong[seen:] = [f"{name}: {w}" for w in wrong[seen:]]
    return wrong + ["_docs holds no pages; build them with docs.py"]*(not pages)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--site", action="store_true", help="only visit the pages in _docs")
    ap.add_argument("--all", action="store_true", help="run every notebook in JupyterLab too")
    ap.add_argument("-k", metavar="WORD", default="", help="only the tests with this in their name")
    arg = ap.parse_args()
    path = chromium()
    if not path:
        print("skipped: there is no Chromium; install it (Debian: apt-get install chromium) or name one with CHROMIUM=")
        return 0
    from playwright.sync_api import sync_playwright
    tests = {f.__name__: f for f in (() if arg.site else (jupyter_line, quickstart, explorer, survival))}
    for p in notebooks() if arg.all else []:
        name = p.relative_to(ROOT).as_posix()
        tests[name] = lambda lab, name=name: lab.open(name) or lab.run()
    tests = {n: f for n, f in tests.items() if arg.k in n}
    with sync_playwright() as play, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp:
        browser = play.chromium.launch(executable_path=path, args=FLAT if arg.site else FLAGS)
        lab, good = Lab(browser, Path(tmp)), []
        if arg.site:
            good.append(report("pages", site, browser))
        good += [report(name, f, lab) for name, f in tests.items()]
        lab.close()
        browser.close()
    print(f"{sum(good)} passed, {len(good) - sum(good)} failed")
    return not all(good)


if __name__ == "__main__":
    sys.exit(main())
