"""Writes DEVIATIONS.md from the results of runs against several brokers.

    python3 deviations.py NAME=FILE…        FILE is what `suite.py --results FILE` wrote
"""

import json
import re
import sys
from pathlib import Path

from suite import KNOWN


def shown(versions_to_why):
    """What a broker does in a case, in all versions alike if it can be said so."""
    by_why = {}
    for version, why in versions_to_why:
        why = re.sub(r"conformance-[0-9a-f]{16}", "…", why).replace("|", "\\|").replace("\n", " ")
        by_why.setdefault(why if len(why) < 150 else why[:147] + "…", []).append(version)
    told = [f"{'' if len(by_why) == 1 else ', '.join(v) + ': '}{why or 'as the sentence says'}" for why, v in by_why.items()]
    return "; ".join(told)


def main():
    runs = {name: json.loads(Path(file).read_text()) for name, file in (arg.split("=") for arg in sys.argv[1:])}
    names = list(dict.fromkeys(full.split("/")[1] for results in runs.values() for full in results))
    lines = [
        "# Where brokers differ from the sentences",
        "",
        "Written by `deviations.py` from runs of this suite; `SENTENCES.md` has the sentences of each case. An empty cell is a",
        "case that passed in all versions; – is one about headers of another broker.",
        "",
        "| case | " + " | ".join(runs) + " |",
        "| --- |" + " --- |" * len(runs),
    ]
    for name in names:
        cells = []
        for results in runs.values():
            found = [(full.split("/")[0], why) for full, why in results.items() if full.split("/")[1] == name]
            cells.append(shown(found) if any(why for _, why in found) else "" if found else "–")
        if any(cell not in ("", "–") for cell in cells):
            lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    lines += ["", "On purpose in Sluice:", ""]
    lines += [f"- `{full}`: {why}" for full, why in KNOWN.items()]
    (Path(__file__).parent / "DEVIATIONS.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
