"""One STOMP session of stock `stomp.py`, with deadlines: frames that arrive while another one
is awaited are kept, and an unexpected ERROR fails the scenario.

The address comes from STOMP_ADDR or, over WebSocket, HTTP_ADDR (host:port), TLS and TLS_CA,
STOMP_LOGIN and STOMP_PASSCODE, STOMP_VHOST (the `host` header).
"""

import contextlib
import importlib.metadata
import inspect
import logging
import os
import queue
import socket
import time

import stomp

logging.getLogger("stomp.py").setLevel(logging.CRITICAL)

WAIT = 30
HOST, PORT = os.environ["STOMP_ADDR"].rsplit(":", 1)
CONNECTIONS = {
    "1.0": stomp.StompConnection10,
    "1.1": stomp.StompConnection11,
    "1.2": stomp.StompConnection12,
}
CLOSED = "closed"
# Before 8.2 it sends texts only, and takes nothing else.
BYTES_OVER_WEBSOCKET = "binary_mode" in inspect.signature(stomp.WSConnection.__init__).parameters
VERSION = importlib.metadata.version("stomp.py")
carrier = "tcp"


def notices_close():
    """9.0.0 takes the end of a TLS stream for nothing to read yet."""
    return carrier != "tcp" or os.environ.get("TLS") != "1" or not VERSION.startswith("9.")


@contextlib.contextmanager
def over_websocket():
    """Sessions opened meanwhile, which are of version 1.2, go over WebSocket."""
    global carrier
    carrier = "websocket"
    try:
        yield
    finally:
        carrier = "tcp"


class Inbox(stomp.ConnectionListener):
    def __init__(self):
        self.frames = queue.Queue()
        self.connected = None
        self.receipts = []
        self.beats = 0
        self.closed = False

    def on_connected(self, frame):
        self.connected = frame

    def on_heartbeat(self):
        self.beats += 1

    def on_disconnected(self):
        self.closed = True
        self.frames.put(CLOSED)

    def on_receipt(self, frame):
        self.receipts.append(frame.headers["receipt-id"])
        self.frames.put(frame)

    def on_message(self, frame):
        self.frames.put(frame)

    on_error = on_message


class Session:
    def __init__(self, version, heartbeats=None, passcode=None, wait=True, headers=None, accept_version=None):
        self.version = version
        self.kept = []
        self.receipts = 0
        self.inbox = Inbox()
        options = {} if version == "1.0" else {"vhost": os.environ.get("STOMP_VHOST", HOST)}
        if heartbeats:
            options["heartbeats"] = heartbeats
        if carrier == "websocket":
            host, port = os.environ["HTTP_ADDR"].rsplit(":", 1)
            connection = stomp.WSConnection
            options.update(ws_path="/ws", **({"binary_mode": True} if BYTES_OVER_WEBSOCKET else {}))
        else:
            host, port, connection = HOST, PORT, CONNECTIONS[version]
        address = (host, int(port))
        self.client = connection([address], auto_decode=False, reconnect_attempts_max=1, **options)
        if accept_version:
            self.client.version = accept_version
        if os.environ.get("TLS") == "1":
            self.client.set_ssl(for_hosts=[address], ca_certs=os.environ["TLS_CA"])
        self.client.set_listener("inbox", self.inbox)
        login = os.environ.get("STOMP_LOGIN")
        self.client.connect(login, passcode or os.environ.get("STOMP_PASSCODE"), wait=wait, headers=headers)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()

    def send(self, destination, body, **headers):
        self.client.send(destination, body, headers=named(headers))

    def send_sure(self, destination, body, **headers):
        """SEND that returns when the broker has the message."""
        self.with_receipt(lambda r: self.send(destination, body, receipt=r, **headers))

    def subscribe(self, destination, id="1", ack="auto", **headers):
        self.with_receipt(
            lambda r: self.client.subscribe(destination, id=id, ack=ack, headers=named(headers), receipt=r))

    def unsubscribe(self, id="1"):
        self.with_receipt(lambda r: self.client.unsubscribe(id=id, receipt=r))

    def ack(self, message, **extra):
        self.client.ack(*self._acknowledged(message), **extra)

    def ack_sure(self, message, **extra):
        self.with_receipt(lambda r: self.ack(message, receipt=r, **extra))

    def nack(self, message, **extra):
        self.client.nack(*self._acknowledged(message), **extra)

    def _acknowledged(self, message):
        if self.version == "1.2":
            return [message.headers["ack"]]
        if self.version == "1.1":
            return [message.headers["message-id"], message.headers["subscription"]]
        return [message.headers["message-id"]]

    def with_receipt(self, action):
        self.receipts += 1
        receipt = f"r-{self.receipts}"
        action(receipt)
        self.frame("RECEIPT", lambda f: f.headers["receipt-id"] == receipt)

    def message(self, id=None):
        return self.frame("MESSAGE", lambda f: id is None or f.headers["subscription"] == id)

    def messages(self, count):
        return [self.message() for _ in range(count)]

    def frame(self, command, accept=lambda _: True):
        """The next frame of this kind that `accept` takes."""
        for i, kept in enumerate(self.kept):
            if kept.cmd == command and accept(kept):
                return self.kept.pop(i)
        deadline = time.monotonic() + WAIT
        while True:
            got = self.next(deadline)
            if got is CLOSED:
                raise AssertionError(f"connection closed while waiting for {command}")
            if got.cmd == "ERROR":
                raise AssertionError(f"ERROR instead of {command}: {got.headers.get('message')} {got.body}")
            if got.cmd == command and accept(got):
                return got
            self.kept.append(got)

    def error_and_close(self):
        """The ERROR frame, after which the broker must close."""
        deadline = time.monotonic() + WAIT
        error = got = self.next(deadline)
        while got is not CLOSED:
            error = got if got.cmd == "ERROR" else error
            if error.cmd == "ERROR" and not notices_close():
                return error
            got = self.next(deadline)
        if error is CLOSED or error.cmd != "ERROR":
            raise AssertionError("closed without an ERROR")
        return error

    def next(self, deadline):
        try:
            return self.inbox.frames.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"nothing arrived within {WAIT} s") from None

    def drop(self):
        """The socket is gone without a word, as when a process dies."""
        if not notices_close():
            self.client.transport.running = False
        try:
            carried = self.client.transport.socket
            getattr(carried, "sock", carried).shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):
            pass


def named(headers):
    """Keyword arguments as header names: `x_name` is `x-name`."""
    return {name.replace("_", "-"): value for name, value in headers.items()}
