"""Runs every case in every version it is about, and says which sentence is not kept where.

    STOMP_ADDR=host:port python3 suite.py            all cases; exits with 1 when one fails that is not known to
    … suite.py --results FILE                        and writes what came of each, for deviations.py
    python3 suite.py --sentences                     writes SENTENCES.md: which sentence is tested by which case
"""

import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import connecting  # noqa: F401  (the modules register their cases)
import delivering  # noqa: F401
import dialects  # noqa: F401
import frames  # noqa: F401
import settling  # noqa: F401
from spec import CASES, UNTESTED, Test

HERE = Path(__file__).parent

# What Sluice does on purpose, and why; anything else that differs is a failure, and so is one of these that does not.
KNOWN = {
    "1.1/an-escaped-carriage-return-in-1-1": "taken as a carriage return, as in 1.2: clients that escape it in 1.1 are kept, and nobody means anything else by it",
}


SIDE_BY_SIDE = 8  # cases wait more than they work


def run(version, function):
    test = Test(version)
    try:
        function(test)
        return ""
    except Exception as error:  # a failed case must not stop the others
        return f"{error}" if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
    finally:
        test.close()


def run_all():
    chosen = [(f"{version}/{name}", version, function) for name, versions, _, function in CASES for version in versions]
    chosen = [one for one in chosen if re.search(os.environ.get("ONLY", ""), one[0])]
    wanted = [one for one in chosen if not ("SKIP" in os.environ and re.search(os.environ["SKIP"], one[0]))]
    results, failed = {}, 0
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        outcomes = pool.map(lambda one: run(*one[1:]), wanted)
        for (full, _, _), why in zip(wanted, outcomes):
            results[full] = why
            if full in KNOWN and "PEER" not in os.environ:
                ok, note = bool(why), f" (deviates: {KNOWN[full]})" if why else " deviates no longer"
            else:
                ok, note = not why, f" {why}" if why else ""
            failed += not ok
            print("ok" if ok else "FAIL", full + note.replace("\n", " "), flush=True)
    line = f"{len(results) - failed} passed, {failed} failed"
    skipped = len(chosen) - len(wanted)
    print(line + (f", {skipped} skipped" if skipped else ""))
    return results, failed


def sentences():
    lines = [
        "# Which sentence of STOMP is tested by which case",
        "",
        "Written by `python3 suite.py --sentences`. The sentences are from the specifications 1.0, 1.1 and 1.2",
        "(stomp.github.io, CC BY), shortened where they run on; *states* is one without a key word.",
        "",
        "| sentence | level | versions | case |",
        "| --- | --- | --- | --- |",
    ]
    rows = {}
    for name, _, said, _ in CASES:
        for sentence in said:
            key = (sentence.text, sentence.level, " ".join(sentence.versions))
            rows.setdefault(key, []).append(f"`{name}`")
    for sentence, reason in UNTESTED:
        rows[(sentence.text, sentence.level, " ".join(sentence.versions))] = [f"none: {reason}"]
    for (text, level, versions), cases in rows.items():
        text = text.replace("|", "\\|")
        lines.append(f"| {text} | {level} | {versions} | {', '.join(cases)} |")
    return "\n".join(lines) + "\n"


def main():
    if "--sentences" in sys.argv:
        (HERE / "SENTENCES.md").write_text(sentences())
        return
    results, failed = run_all()
    if "--results" in sys.argv:
        Path(sys.argv[sys.argv.index("--results") + 1]).write_text(json.dumps(results, indent=1))
    if (HERE / "SENTENCES.md").read_text() != sentences():
        print("FAIL SENTENCES.md is not what the cases say; run: python3 suite.py --sentences")
        failed += 1
    sys.exit(1 if failed or not results else 0)


if __name__ == "__main__":
    main()
