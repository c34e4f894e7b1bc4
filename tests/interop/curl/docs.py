#!/usr/bin/env python3
"""Runs the examples of documents with the real curl, and compares what they print.

    docs.py HOST:PORT FILE.md...

A block marked `console` is a session: a line after `$ ` is a command (`> ` continues it), the lines below are what it
prints. `…` stands for any text within a line, a line that is `…` alone for any lines. A block marked `sh` is commands that
must succeed. All blocks of a document run in one shell, in order, in an empty folder; `localhost:8080` is the broker.
"""

import os
import re
import selectors
import subprocess
import sys
import tempfile
import time

LIMIT = 90  # seconds for one command
END = "--end-of-command--"


def blocks(text):
    """The language, first line number and lines of each fenced block."""
    language, start, lines = None, 0, []
    for number, line in enumerate(text.splitlines(), 1):
        fence = line.strip().startswith("```")
        if fence and language is None:
            language, start, lines = line.strip()[3:] or "none", number, []
        elif fence:
            yield language, start, lines
            language = None
        elif language is not None:
            lines.append(line)


def examples(language, start, lines):
    """Commands with the lines that they are to print; nothing for a command that must only succeed."""
    if language == "sh":
        yield start, "\n".join(lines), None
        return
    command, wanted, at = None, [], start
    for number, line in enumerate(lines, start + 1):
        if line.startswith("$ "):
            if command is not None:
                yield at, command, wanted
            command, wanted, at = line[2:], [], number
        elif line.startswith("> ") and not wanted:
            command += "\n" + line[2:]
        else:
            wanted.append(line)
    if command is not None:
        yield at, command, wanted


def pattern(wanted):
    parts = []
    for line in wanted:
        if line.strip() == "…":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append(r"[^\n]*?".join(re.escape(part) for part in line.rstrip().split("…")) + r"\n")
    return re.compile("".join(parts) + r"\Z")


class Shell:
    def __init__(self, folder):
        for name, more in (("plain", ""), ("strict", "show-error\nfail-with-body\n")):
            os.mkdir(os.path.join(folder, name))
            with open(os.path.join(folder, name, ".curlrc"), "w") as rc:
                # Who asks where a document does not say.
                user = os.environ.get("AS_USER")
                rc.write("silent\nmax-time = 60\n" + more + (f'user = "{user}"\n' if user else ""))
        # A reader that has enough, as `head`, ends a curl that would complain: so sessions show no errors of curl's own.
        self.folder = folder
        work = os.path.join(folder, "work")
        os.mkdir(work)
        self.bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, cwd=work, start_new_session=True,
        )

    def run(self, command, strict):
        """What the command prints, and its status; a failure anywhere in it counts when it is strict."""
        home = os.path.join(self.folder, "strict" if strict else "plain")
        guard = "set -e; " if strict else ""
        script = f"export CURL_HOME={home}\n"
        # Variables stay for the commands that follow, so a strict block runs in this shell too.
        script += f"{guard}trap 'echo {END} $?' EXIT\n{command}\n" if strict else f"{command}\n"
        script += f"s=$?; set +e; trap - EXIT; printf '\\n{END} %d\\n' $s\n"
        self.bash.stdin.write(script.encode())
        self.bash.stdin.flush()
        return self.read()

    def read(self):
        out, deadline = b"", time.monotonic() + LIMIT
        selector = selectors.DefaultSelector()
        selector.register(self.bash.stdout, selectors.EVENT_READ)
        while True:
            found = re.search(rb"\n?%s (\d+)\n" % END.encode(), out)
            if found:
                return out[: found.start()].decode(errors="replace"), int(found.group(1))
            if not selector.select(max(0, deadline - time.monotonic())):
                return out.decode(errors="replace") + f"\n(no end within {LIMIT} s)", -1
            more = os.read(self.bash.stdout.fileno(), 65536)
            if not more:
                return out.decode(errors="replace"), -1
            out += more

    def close(self):
        self.bash.stdin.close()
        self.bash.terminate()
        self.bash.wait()


def check(address, path):
    with open(path) as file:
        text = file.read().replace("localhost:8080", address)
    passed, failed = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        shell = Shell(folder)
        for language, start, lines in blocks(text):
            if language not in ("sh", "console"):
                continue
            for line, command, wanted in examples(language, start, lines):
                out, status = shell.run(command, wanted is None)
                if out and not out.endswith("\n"):
                    out += "\n"
                out = out.replace("\r", "")
                good = status == 0 if wanted is None else pattern(wanted).match(out) is not None
                if good:
                    passed += 1
                    continue
                failed += 1
                print(f"FAIL {os.path.basename(path)}:{line} {command}\n  status {status}, printed:")
                print("".join(f"  | {line}\n" for line in out.splitlines()), end="")
                if wanted is not None:
                    print("  wanted:\n" + "".join(f"  | {line}\n" for line in wanted), end="")
                if status == -1:
                    break
        shell.close()
    print(f"ok {os.path.basename(path)} ({passed})" if not failed else f"{failed} of {path} failed")
    return passed, failed


def main():
    address, paths = sys.argv[1], sys.argv[2:]
    counts = [check(address, path) for path in paths]
    passed, failed = (sum(count) for count in zip(*counts))
    print(f"{passed} passed, {failed} failed")
    # A document without examples would pass for nothing.
    sys.exit(failed > 0 or any(count[0] == 0 for count in counts))


if __name__ == "__main__":
    main()
