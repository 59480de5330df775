"""Every test of the project: `python .ci/test.py [--fast] [-k WORD]`.

Each notebook is tested in a process of its own under a time limit, two at a time; each gate of gates.py is a test too.
JupyterLab in a browser comes last and alone; where there is no Chromium it is skipped, which is said. `--fast` leaves
out the wheel, the site and the browser. One line a test, and at the end how many passed and failed.
"""
import argparse
import hashlib
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import gates
from gates import ROOT, failed, notebooks, report, run

FIRST = "07_training", "site", "wheel", "apps/cli", "11_lattice", "15_autoencoder"  # the longest first


def notebook(path):
    "Test one notebook as nbdev does, its slow and GPU cells left out; what it said if it failed."
    return failed("nbdev_test", "--path", path, good="Success.")


def browser():
    "JupyterLab in the browser, a second time if need be, for a browser on a crowded machine may be late once."
    for _ in range(2):
        said, code = run(sys.executable, ".ci/browser.py")
        print(said, end="", flush=True)
        if not code:
            return []
    return ["failed twice"]


def files():
    "Every file of the repository and its content, to see what the tests leave behind."
    skip = re.compile(r"/(__pycache__|\.ipynb_checkpoints|out)/")  # the last is where tutorials write
    found = [p for d in ("nbs", "crystal_nb", ".ci") for p in (ROOT/d).rglob("*")] + list(ROOT.iterdir())
    return {p: hashlib.sha1(p.read_bytes()).digest() for p in found if p.is_file() and not skip.search(p.as_posix())}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--fast", action="store_true", help="leave out the wheel, the site and the browser")
    ap.add_argument("-k", metavar="WORD", default="", help="only the tests with this in their name")
    arg = ap.parse_args()
    tests = {g.__name__: g for g in gates.GATES + (() if arg.fast else gates.SLOW)}
    for p in notebooks():
        tests[p.relative_to(ROOT/"nbs").with_suffix("").as_posix()] = lambda p=p: notebook(p)
    tests = {n: t for n, t in tests.items() if arg.k in n}
    before = files()
    with ThreadPoolExecutor(2) as pool:
        order = sorted(tests, key=lambda n: FIRST.index(n) if n in FIRST else len(FIRST))
        good = list(pool.map(lambda name: report(name, tests[name]), order))
    if not arg.fast and arg.k in "browser":
        good.append(report("browser", browser))
    if not arg.k:
        after = files()
        changed = [f"{p}: changed or made by the tests" for p in after if before.get(p) != after[p]]
        good.append(report("nothing changed", lambda: changed))
    print(f"{sum(good)} passed, {len(good) - sum(good)} failed")
    return not (good and all(good))


if __name__ == "__main__":
    sys.exit(main())
