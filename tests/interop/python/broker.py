"""A broker of its own for a suite that kills it: the program SLUICE_BIN, its data in a temporary folder, and calls of its HTTP
interface, by which such suites make topics and look at what is there."""

import json
import os
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request

LISTENERS = ["NAMESRV", "REMOTING", "HTTP", "STOMP", "KAFKA"]


class Broker:
    def __init__(self, *listeners, **settings):
        """With these listeners, on free ports that stay the same after a restart, and these settings."""
        self.data = tempfile.TemporaryDirectory()
        self.listen = {name: "127.0.0.1:0" for name in listeners}
        self.settings = settings
        self.start()

    def start(self):
        listen = {f"SLUICE_LISTEN__{name}": self.listen.get(name, "off") for name in LISTENERS}
        known = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
        self.process = subprocess.Popen(
            [os.environ["SLUICE_BIN"]],
            env=known | listen | self.settings | {"SLUICE_DATA_DIR": self.data.name},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        words = dict(word.split("=", 1) for word in self.process.stdout.readline().split() if "=" in word)
        if not words:
            raise RuntimeError(f"the broker did not start: it ended with {self.process.wait(timeout=20)}")
        self.listen = {name: words[name.lower()] for name in self.listen}

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def http(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://{self.listen['HTTP']}/v1/{path}", method=method, data=body and json.dumps(body).encode()
        )
        request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            error.msg = f"{method} {path}: {error.read().decode(errors='replace')}"
            raise
