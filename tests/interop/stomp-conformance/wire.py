"""A connection that says exactly what it is told to, and takes nothing but frames as the specifications draw them.

Every frame a case reads is checked here: a known command, headers with a name, escapes that exist in the version, no
body where none may be, and a body as long as it is said to be.
"""

import os
import socket
import ssl
import time

PATIENCE = float(os.environ.get("PATIENCE", "30"))  # for what must come
CLOSING = float(os.environ.get("CLOSING", "20"))  # for a close that must come
GRACE = float(os.environ.get("GRACE", "0"))  # for what must not come; 0 where a receipt is proof enough

ESCAPES = {
    "1.0": {},
    "1.1": {"\n": "\\n", ":": "\\c", "\\": "\\\\"},
    "1.2": {"\n": "\\n", ":": "\\c", "\\": "\\\\", "\r": "\\r"},
}
SERVER_COMMANDS = {"CONNECTED", "MESSAGE", "RECEIPT", "ERROR"}


class Deviation(AssertionError):
    """The broker does not do what the specification says."""


class Closed(Deviation):
    pass


class Silence(Deviation):
    pass


def check(condition, otherwise):
    if not condition:
        raise Deviation(otherwise)


def escape(text, version):
    return "".join(ESCAPES[version].get(character, character) for character in text)


def unescape(text, version):
    table = {code: plain for plain, code in ESCAPES[version].items()}
    plain, rest = "", text
    while rest:
        if rest[0] == "\\" and version != "1.0":
            check(rest[:2] in table, f"undefined escape in {text!r}")
            plain, rest = plain + table[rest[:2]], rest[2:]
        else:
            plain, rest = plain + rest[0], rest[1:]
    return plain


def encode(command, headers=(), body=b"", version="1.2", eol="\n"):
    pairs = headers.items() if isinstance(headers, dict) else headers
    plain = command in ("CONNECT", "STOMP")
    lines = [command]
    for name, value in pairs:
        lines.append(f"{name}:{value}" if plain else f"{escape(name, version)}:{escape(value, version)}")
    return (eol.join(lines) + eol + eol).encode() + body + b"\0"


class Frame:
    def __init__(self, command, headers, raw, body):
        self.command, self.headers, self.raw, self.body = command, headers, raw, body

    def get(self, name, default=None):
        """The first value: the one that counts."""
        return next((value for key, value in self.headers if key == name), default)

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    def __repr__(self):
        return f"{self.command} {dict(self.headers)} {self.body[:60]!r}"


class Peer:
    def __init__(self, version):
        host, _, port = os.environ["STOMP_ADDR"].rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if os.environ.get("TLS") == "1":
            context = ssl.create_default_context(cafile=os.environ["TLS_CA"])
            self.socket = context.wrap_socket(self.socket, server_hostname=host)
        self.version = version
        self.agreed = False  # until CONNECTED nobody can know what is escaped
        self.buffer = b""
        self.messages = []
        self.beats = 0
        self.receipts = 0

    # Saying

    def raw(self, data):
        self.socket.sendall(data)

    def say(self, command, headers=(), body=b""):
        self.raw(encode(command, headers, body, self.version))

    def ask(self, command, headers=(), body=b""):
        """Sends a frame and waits for its receipt; messages that come before it are kept."""
        self.receipts += 1
        receipt = f"r{self.receipts}"
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        self.say(command, pairs + [("receipt", receipt)], body)
        while True:
            frame = self.frame()
            if frame.command == "MESSAGE":
                self.messages.append(frame)
                continue
            check(frame.command == "RECEIPT", f"no receipt for {command}: {frame}")
            check(frame.get("receipt-id") == receipt, f"another receipt than {receipt}: {frame}")
            return frame

    # Hearing

    def _more(self, until):
        left = until - time.monotonic()
        if left <= 0:
            raise Silence("nothing came in time")
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(65536)
        except (socket.timeout, ssl.SSLWantReadError):
            raise Silence("nothing came in time") from None
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            raise Closed("the connection was closed")
        self.buffer += data

    def frame(self, patience=None):
        until = time.monotonic() + (PATIENCE if patience is None else patience)
        while True:
            while self.buffer[:1] == b"\n" or self.buffer[:2] == b"\r\n":
                self.beats += 1
                self.buffer = self.buffer.lstrip(b"\r\n")
            parsed = self._parse()
            if parsed:
                return parsed
            self._more(until)

    def _parse(self):
        head, blank, rest = self.buffer.partition(b"\n\n")
        if not blank:
            return None
        command, *lines = head.decode("utf-8", "strict").split("\n")
        check(command in SERVER_COMMANDS, f"a server sends no {command!r}")
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            check(name and colon, f"a header without a name or colon: {line!r}")
            if self.agreed:
                if self.version != "1.0":
                    check(":" not in value, f"a colon that is not escaped: {line!r}")
                name, value = unescape(name, self.version), unescape(value, self.version)
            headers.append((name, value))
        length = next((value for name, value in headers if name == "content-length"), None)
        if length is None:
            body, nul, left = rest.partition(b"\0")
            if not nul:
                return None
        else:
            end = int(length)
            if len(rest) <= end:
                return None
            check(rest[end] == 0, f"{command}: no NUL behind the {end} octets of content-length")
            body, left = rest[:end], rest[end + 1 :]
        check(command in ("MESSAGE", "ERROR") or not body, f"{command} has a body")
        self.agreed |= command == "CONNECTED"
        self.buffer = left
        return Frame(command, headers, head, body)

    def message(self, body=None):
        """The next message, whatever receipts come before it."""
        while True:
            frame = self.messages.pop(0) if self.messages else self.frame()
            if frame.command == "RECEIPT":
                continue
            check(frame.command == "MESSAGE", f"no message but {frame}")
            if body is not None:
                check(frame.body == body, f"the message {frame.body[:60]!r} and not {body[:60]!r}")
            return frame

    def bodies(self, count):
        return [self.message().body for _ in range(count)]

    def quiet(self):
        """No message has come, and none is on its way."""
        if GRACE:
            try:
                frame = self.frame(GRACE)
                check(frame.command != "MESSAGE", f"a message that should not come: {frame}")
            except Silence:
                pass
        self.round_trip()
        check(not self.messages, f"a message that should not come: {self.messages[:1]}")

    def round_trip(self):
        """Whatever the server had to read before this, it has read by now."""
        name = f"round-trip-{self.receipts}"
        self.ask("BEGIN", {"transaction": name})
        self.ask("ABORT", {"transaction": name})

    def error(self):
        """An ERROR comes, and then the end."""
        while True:
            try:
                frame = self.frame(CLOSING)
            except Closed:
                raise Deviation("closed without an ERROR") from None
            except Silence:
                raise Deviation("no ERROR") from None
            if frame.command == "ERROR":
                break
            check(frame.command == "MESSAGE", f"no ERROR but {frame}")
        self.end("stays open after the ERROR")
        return frame

    def end(self, otherwise="stays open"):
        until = time.monotonic() + CLOSING
        while True:
            check(b"\0" not in self.buffer, f"sends another frame: {self.buffer[:80]!r}")
            try:
                self._more(until)
            except Closed:
                return
            except Silence:
                raise Deviation(otherwise) from None

    def disconnect(self):
        self.ask("DISCONNECT")
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends as a crash does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()
