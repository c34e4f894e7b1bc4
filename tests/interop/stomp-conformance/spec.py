"""Sentences and the cases that test them.

    @case(must("1.1 1.2", "clients and servers MUST never trim or pad headers with spaces"))
    def blanks_stay(t): ...

runs the function in each version that one of its sentences is in; `t` is a `Test`.
"""

import os
import uuid

from wire import Deviation, Frame, Peer, encode

VERSIONS = ("1.0", "1.1", "1.2")
CASES = []
UNTESTED = []


class Sentence:
    def __init__(self, level, versions, text):
        self.level, self.versions, self.text = level, versions.split(), text


def must(versions, text):
    return Sentence("MUST", versions, text)


def should(versions, text):
    return Sentence("SHOULD", versions, text)


def may(versions, text):
    return Sentence("MAY", versions, text)


def states(versions, text):
    return Sentence("states", versions, text)


def case(*sentences):
    def note(function):
        name = function.__name__.strip("_").replace("_", "-")
        versions = [v for v in VERSIONS if any(v in sentence.versions for sentence in sentences)]
        CASES.append((name, versions, sentences, function))
        return function

    return note


def dialect(broker):
    """A case of a broker's own headers; other brokers but Sluice are not asked."""

    def note(function):
        if os.environ.get("PEER", broker) == broker:
            CASES.append((function.__name__.replace("_", "-"), list(VERSIONS), (), function))
        return function

    return note


def untested(reason, *sentences):
    """Sentences that no case can test, and why."""
    UNTESTED.extend((sentence, reason) for sentence in sentences)


class Test:
    def __init__(self, version):
        self.version = version
        self.peers = []

    def open(self):
        """A connection that has said nothing."""
        peer = Peer(self.version)
        self.peers.append(peer)
        return peer

    def greeting(self, **headers):
        pairs = [("accept-version", self.version)] if self.version != "1.0" else []
        pairs.append(("host", os.environ.get("STOMP_VHOST", "/")))
        if "STOMP_LOGIN" in os.environ:
            pairs += [("login", os.environ["STOMP_LOGIN"]), ("passcode", os.environ["STOMP_PASSCODE"])]
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        pairs = [(name, given.pop(name, value)) for name, value in pairs]
        return [(name, value) for name, value in pairs + list(given.items()) if value is not None]

    def connect(self, command="CONNECT", **headers):
        peer = self.open()
        peer.raw(encode(command, self.greeting(**headers)))
        peer.connected = peer.frame()
        if peer.connected.command != "CONNECTED":
            raise Deviation(f"no CONNECTED but {peer.connected}")
        return peer

    def queue(self):
        """A queue that no other case and no other run uses."""
        return f"/queue/conformance-{uuid.uuid4().hex[:16]}"

    def subscribe(self, peer, queue, ident="s", ack="auto", **headers):
        pairs = [("id", ident)] if ident else []
        pairs += [("destination", queue), ("ack", ack)]
        peer.ask("SUBSCRIBE", pairs + [(k.replace("_", "-"), v) for k, v in headers.items()])

    def ack(self, message, command="ACK", **headers):
        """The frame that settles a message in this version."""
        if self.version == "1.2":
            named = {"id": message.get("ack", "no ack header")}
        elif self.version == "1.1":
            named = {"message-id": message.get("message-id"), "subscription": message.get("subscription", "?")}
        else:
            named = {"message-id": message.get("message-id")}
        return command, {**named, **headers}

    def left(self, queue, count):
        """What a fresh subscriber of a queue gets: as many bodies as there should be, and no more."""
        peer = self.connect()
        self.subscribe(peer, queue)
        bodies = peer.bodies(count)
        peer.quiet()
        return bodies

    def close(self):
        for peer in self.peers:
            peer.close()


__all__ = ["CASES", "UNTESTED", "VERSIONS", "Frame", "Test", "case", "dialect", "may", "must", "should", "states", "untested"]
