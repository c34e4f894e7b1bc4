"""Runs named scenarios and prints one line each: `ok NAME`, `FAIL NAME why`, `skip NAME`.

ONLY and SKIP in the environment are regular expressions over the names; SKIP is for
running the same scenarios against brokers that lack an extension.
"""

import os
import re
import sys
import time
import traceback
import uuid

_counts = {"ok": 0, "FAIL": 0, "skip": 0}


def scenario(name, body, *args):
    if "ONLY" in os.environ and not re.search(os.environ["ONLY"], name):
        return
    if "SKIP" in os.environ and re.search(os.environ["SKIP"], name):
        return _report("skip", name)
    try:
        body(*args)
    except Exception as error:  # a failed scenario must not stop the others
        here = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.endswith("suite.py")]
        line = f"suite.py:{here[-1].lineno}" if here else "outside the suite"
        return _report("FAIL", name, f" {type(error).__name__}: {error} ({line})")
    _report("ok", name)


def _report(verdict, name, why=""):
    _counts[verdict] += 1
    print(verdict, name + why.replace("\n", " "), flush=True)


def unique(kind):
    """A name no other scenario or run uses, so that nothing left behind can be mistaken for ours."""
    return f"it-python-{kind}-{os.getpid()}-{uuid.uuid4().hex[:12]}"


def expect(what, actual, wanted):
    if actual != wanted:
        raise AssertionError(f"{what}: got {actual!r:.200}, wanted {wanted!r:.200}")


def until(what, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def tried(body, times=3):
    """A scenario about intervals of time: a machine that is busy can spoil it once, a broker that is wrong spoils it always."""

    def run(*args):
        for left in reversed(range(times)):
            try:
                return body(*args)
            except Exception:
                if not left:
                    raise

    return run


def finish():
    line = f"{_counts['ok']} passed, {_counts['FAIL']} failed"
    if _counts["skip"]:
        line += f", {_counts['skip']} skipped"
    print(line, flush=True)
    sys.stdout.flush()
    os._exit(0 if _counts["ok"] and not _counts["FAIL"] else 1)  # a hung client thread must not hold us
