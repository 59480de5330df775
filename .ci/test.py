"""Every test of the project: `python .ci/test.py [--fast] [-k WORD]`.

Each notebook is tested in a process of its own under a time-out, two at a time on one thread each; the gates of gates.py are tests too. One line a test with its
seconds, the output of those that fail, and at the end how many passed and failed. `--fast` leaves out the wheel, the site and the
browser. The tests of browser.py come last and alone; where there is no Chromium they are skipped, which is said and counted as neither.
"""
import argparse, hashlib, os, signal, subprocess, sys, time, traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import browser, gates
from gates import BIN, ROOT, notebooks

SECONDS = 600  # more than any notebook takes on a slow machine
FIRST = "07_training", "site", "wheel", "apps/cli", "11_lattice", "15_autoencoder", "10_refinement"  # the longest go first, so that no long one is left for the end


def notebook(path):
    "Test one notebook as nbdev does, its slow and GPU cells left out; what it said if it failed."
    env = os.environ | dict(OMP_NUM_THREADS="1", MPLBACKEND="agg")
    env.pop("CRYSTAL_NB_DATA", None)  # what is tested needs no data beyond the package's
    p = subprocess.Popen([BIN/"nbdev_test", "--path", path], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try: said, _ = p.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL); said, _ = p.communicate()
        return [f"stopped after {SECONDS} s", *said.splitlines()[-40:]]
    if p.returncode == 0 and "Success." in said: return []
    lines = said.splitlines() or [f"exit code {p.returncode}"]
    return lines if len(lines) < 80 else lines[:40] + ["..."] + lines[-40:]


def shown(part, *options):
    "The tests in the browser of a part, `notebooks` or `site`; what is wrong."
    p = subprocess.Popen([sys.executable, ROOT/".ci"/"browser.py", "-k", f"{part}: ", *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try: said, _ = p.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL); said, _ = p.communicate()
        return [f"stopped after {SECONDS} s", *said.splitlines()[-40:]]
    return said.splitlines() if p.returncode else []


def twice(test):
    "What is wrong the second time too: a browser on a crowded machine may be late once. The first time is printed."
    wrong = test()
    if not wrong: return []
    print("once more, as the first time it said:", *(f"    {l}" for l in wrong if not l.startswith("passed")), sep="\n", flush=True)
    return test()


def files():
    "Every file of the repository and its content, to see what the tests leave behind."
    skip = {".git", ".venv", "venv", "__pycache__", ".ipynb_checkpoints", "_docs", "build", "dist", "out"}
    found = [p for p in ROOT.iterdir() if p.is_file()] + [p for d in ("nbs", "crystal_nb", ".ci") for p in (ROOT/d).rglob("*") if p.is_file()]
    return {p: hashlib.sha1(p.read_bytes()).digest() for p in found if not skip & set(p.relative_to(ROOT).parts)}


def timed(test):
    "Run a test; what is wrong, and the seconds it took."
    start = time.time()
    try: wrong = test()
    except Exception: wrong = traceback.format_exc().splitlines()
    return wrong, time.time() - start


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--fast", action="store_true", help="leave out the wheel, the site and the browser")
    ap.add_argument("-k", metavar="WORD", default="", help="only the tests with this in their name")
    arg = ap.parse_args()
    gate = [gates.environment, gates.export, gates.clean, gates.hygiene, gates.docments, gates.shapes, gates.readme, gates.sidebar, gates.results] + [gates.wheel, gates.site] * (not arg.fast)
    tests = {g.__name__: g for g in gate} | {p.relative_to(ROOT/"nbs").with_suffix("").as_posix(): (lambda p=p: notebook(p)) for p in notebooks()}
    order = sorted((n for n in tests if arg.k in n), key=lambda n: FIRST.index(n) if n in FIRST else len(FIRST))
    before, passed, failed, good = files(), 0, 0, set()

    def report(name, wrong, seconds):
        nonlocal passed, failed
        passed, failed = passed + (not wrong), failed + bool(wrong)
        if not wrong: good.add(name)
        print(f"{'FAILED' if wrong else 'passed'} {name} ({seconds:.1f} s)", *(f"    {l}" for l in wrong), sep="\n", flush=True)

    with ThreadPoolExecutor(2) as pool:
        jobs = {pool.submit(timed, tests[n]): n for n in order}
        for job in as_completed(jobs): report(jobs[job], *job.result())
    parts = [part for part in ("notebooks", "site") if not arg.fast and arg.k in f"browser: {part}"]
    why = browser.lacking() if parts else None
    for part in parts:
        if why: print(f"skipped browser: {part}: {why}", flush=True)
        else: report(f"browser: {part}", *timed(lambda: twice(lambda: shown(part, *(["--site", ROOT/"_docs"] if part == "site" and "site" in good else [])))))
    if not arg.k: report("nothing changed", [f"{p.relative_to(ROOT)}: {'changed' if p in before else 'made'} by the tests" for p, h in sorted(files().items()) if before.get(p) != h], 0)
    print(f"{passed} passed, {failed} failed")
    return failed > 0 or not (passed or parts)


if __name__ == "__main__": sys.exit(main())
