"""Every test of the project: `python .ci/test.py [--fast] [-k WORD]`.

Each notebook is tested in a process of its own under a time limit, two at a time; each gate of gates.py is a test too.
The browser comes last and alone; where there is no Chromium it is skipped, which is said. `--fast` leaves out the
wheel, the site and the browser. One line a test, and at the end how many passed and failed.
"""
import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed

import gates
from gates import BIN, ROOT, notebooks

LIMIT = 600  # seconds, more than any notebook takes on a slow machine
FIRST = "07_training", "site", "wheel", "apps/cli", "11_lattice", "15_autoencoder"  # the longest first


def limited(*command):
    "Run a command under a time limit; its exit code and what it said, the middle of a long text left out."
    env = os.environ | dict(OMP_NUM_THREADS="1", MPLBACKEND="agg")
    env.pop("CRYSTAL_NB_DATA", None)  # what is tested needs no data beyond the package's
    p = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         start_new_session=True)
    try:
        said, _ = p.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        said = f"stopped after {LIMIT} s\n{p.communicate()[0]}"
    lines = said.splitlines()
    return p.returncode, lines if len(lines) < 80 else lines[:40] + ["..."] + lines[-40:]


def notebook(path):
    "Test one notebook as nbdev does, its slow and GPU cells left out; what it said if it failed."
    code, lines = limited(BIN/"nbdev_test", "--path", path)
    return [] if code == 0 and "Success." in lines else lines or [f"exit code {code}"]


def browser():
    "The tests in the browser; what is wrong the second time too, for a browser on a crowded machine may be late once."
    for _ in range(2):
        code, lines = limited(sys.executable, ROOT/".ci"/"browser.py")
        print(*(f"    {line}" for line in lines), sep="\n", flush=True)
        if not code:
            return []
    return ["failed twice"]


def files():
    "Every file of the repository and its content, to see what the tests leave behind."
    skip = re.compile(r"/(__pycache__|\.ipynb_checkpoints)/")
    found = [p for d in ("nbs", "crystal_nb", ".ci") for p in (ROOT/d).rglob("*")] + list(ROOT.iterdir())
    return {p: hashlib.sha1(p.read_bytes()).digest() for p in found if p.is_file() and not skip.search(p.as_posix())}


def timed(test):
    "Run a test; what is wrong, and the seconds it took."
    start = time.time()
    try:
        wrong = test()
    except Exception:
        wrong = traceback.format_exc().splitlines()
    return wrong, time.time() - start


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--fast", action="store_true", help="leave out the wheel, the site and the browser")
    ap.add_argument("-k", metavar="WORD", default="", help="only the tests with this in their name")
    arg = ap.parse_args()
    tests = {g.__name__: g for g in gates.GATES + (() if arg.fast else gates.SLOW)}
    for p in notebooks():
        tests[p.relative_to(ROOT/"nbs").with_suffix("").as_posix()] = lambda p=p: notebook(p)
    tests = {n: t for n, t in tests.items() if arg.k in n}
    before, count = files(), dict(passed=0, failed=0)

    def report(name, wrong, seconds=0.):
        count["failed" if wrong else "passed"] += 1
        print(f"{'FAILED' if wrong else 'passed'} {name} ({seconds:.1f} s)", *(f"    {w}" for w in wrong),
              sep="\n", flush=True)

    with ThreadPoolExecutor(2) as pool:
        order = sorted(tests, key=lambda n: FIRST.index(n) if n in FIRST else len(FIRST))
        jobs = {pool.submit(timed, tests[n]): n for n in order}
        for job in as_completed(jobs):
            report(jobs[job], *job.result())
    if not arg.fast and arg.k in "browser":
        report("browser", *timed(browser))
    if not arg.k:
        after = files()
        report("nothing changed", [f"{p}: changed or made by the tests" for p in after if before.get(p) != after[p]])
    print(f"{count['passed']} passed, {count['failed']} failed")
    return count["failed"] > 0 or not count["passed"]


if __name__ == "__main__":
    sys.exit(main())
