"""CONNECT, versions, heart-beats."""

import functools
import os
import re
import time

from spec import case, may, must, should, states, untested
from wire import CLOSING, Closed, Deviation, Silence, check, encode

ALL = "1.0 1.1 1.2"


def tried(function, times=3):
    """A case about intervals: a machine that is busy can spoil it now and then, a broker that is wrong spoils it always."""

    @functools.wraps(function)
    def run(t):
        for left in reversed(range(times)):
            try:
                return function(t)
            except (Silence, Closed, OSError):
                if not left:
                    raise

    return run


@case(
    states("1.1 1.2", "If the server accepts the connection attempt it will respond with a `CONNECTED` frame"),
    states("1.0", "the server will always acknowledge the connection, by sending a frame which looks like: CONNECTED"),
)
def connected(t):
    t.connect().disconnect()


@case(states("1.0", "The `session-id` header is a unique identifier for this session: CONNECTED session: <session-id>"), may("1.1 1.2", "`session` : A session identifier that uniquely identifies the session."))
def sessions_are_unique(t):
    sessions = [t.connect().connected.get("session") for _ in range(3)]
    check(all(sessions) and len(set(sessions)) == 3, f"the sessions are {sessions}")


@case(should("1.1 1.2", "The server SHOULD respond back with an `ERROR` frame explaining why the connection was rejected and then close the connection."))
def another_frame_first(t):
    peer = t.open()
    peer.say("SEND", {"destination": t.queue()}, b"x")
    peer.error()


@case(should("1.1 1.2", "The server SHOULD respond back with an `ERROR` frame explaining why the connection was rejected and then close the connection."))
def a_wrong_passcode(t):
    if "STOMP_LOGIN" not in os.environ:
        return  # whoever asks may come in
    peer = t.open()
    peer.raw(encode("CONNECT", t.greeting(passcode="wrong")))
    peer.error()


@case(
    should("1.1", "STOMP servers SHOULD handle a `STOMP` frame in the same manner as a `CONNECT` frame."),
    must("1.2", "STOMP servers MUST handle a `STOMP` frame in the same manner as a `CONNECT` frame."),
)
def stomp_is_connect(t):
    peer = t.connect("STOMP")
    check(peer.connected.get("version") == t.version, f"another version: {peer.connected}")


@case(must("1.1 1.2", "STOMP servers MUST set the following headers: `version` : The version of the STOMP protocol the session will be using."))
def the_version_is_told(t):
    check(t.connect().connected.get("version") == t.version, "another version")


@case(must("1.1 1.2", "The field MUST contain a server-name field: server = name [\"/\" version] *(comment)"))
def the_server_has_a_name(t):
    server = t.connect().connected.get("server")
    token = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
    check(server is None or re.fullmatch(rf"{token}(/{token})?( .*)?", server), f"it is {server!r}")


@case(states("1.0 1.1 1.2", "If the `accept-version` header is missing, it means that the client only supports version 1.0 of the protocol."))
def no_version_is_1_0(t):
    version = t.connect(accept_version=None).connected.get("version", "1.0")
    check(version == "1.0", f"it is {version}")


@case(states("1.1 1.2", "The protocol that will be used for the rest of the session will be the highest protocol version that both the client and server have in common."))
def the_highest_common_version(t):
    accepted = {"1.1": "1.0,1.1,2.0", "1.2": "1.0,1.1,1.2,9.9"}[t.version]
    version = t.connect(accept_version=accepted).connected.get("version")
    check(version == t.version, f"it is {version}")


@case(
    must("1.2", "If the client and server do not share any common protocol versions, then the server MUST respond with an `ERROR` frame similar to the following and then close the connection"),
    should("1.1", "If the client and server do not share any common protocol versions, then the server SHOULD respond with an `ERROR` frame"),
)
def no_common_version(t):
    peer = t.open()
    peer.raw(encode("CONNECT", t.greeting(accept_version="9.8,9.9")))
    error = peer.error()
    check("1.2" in error.get("version", ""), "no version header tells the versions")


@case(may("1.1 1.2", "If this header does not match a known virtual host, servers supporting virtual hosting MAY select a default virtual host or reject the connection."))
def an_unknown_host(t):
    peer = t.open()
    peer.raw(encode("CONNECT", t.greeting(host="nowhere.example")))
    if peer.frame().command != "CONNECTED":
        peer.end()


@case(must("1.1 1.2", "When used, the `heart-beat` header MUST contain two positive integers separated by a comma."))
def heart_beats_are_two_numbers(t):
    for wish in ("1000,1000", "0,0", "0,5000", "60000,0"):
        answer = t.connect(heart_beat=wish).connected.get("heart-beat", "0,0")
        check(re.fullmatch(r"\d+,\d+", answer), f"to {wish} it is {answer!r}")


@case(must("1.1 1.2", "When used, the `heart-beat` header MUST contain two positive integers separated by a comma."))
def heart_beats_that_are_not(t):
    peer = t.open()
    peer.raw(encode("CONNECT", t.greeting(heart_beat="often")))
    peer.error()


@case(must("1.1 1.2", "A missing `heart-beat` header MUST be treated the same way as a \"heart-beat:0,0\" header"))
def no_heart_beats_asked_for(t):
    """The answer may promise what it likes; nothing comes of it when the client wants none and sends none."""
    peer = t.connect()
    peer.beats = 0
    try:
        frame = peer.frame(2.5)
        raise Deviation(f"an idle connection got {frame}")
    except Silence:
        check(peer.beats <= 1, f"{peer.beats} beats that nobody asked for")  # one may belong to CONNECTED
    except Closed:
        raise Deviation("an idle connection was closed") from None


@case(
    states("1.1 1.2", "otherwise, there will be heart-beats every MAX(`<cx>`,`<sy>`) milliseconds"),
    must("1.1 1.2", "the sender MUST send new data over the network connection at least every `<n>` milliseconds"),
    must("1.2", "if the sender has no real STOMP frame to send, it MUST send an end-of-line (EOL)"),
    must("1.1", "if the sender has no real STOMP frame to send, it MUST send a single newline byte (0x0A)"),
)
@tried
def the_server_beats(t):
    peer = t.connect(heart_beat="0,1000")
    sends = int(peer.connected.get("heart-beat", "0,0").split(",")[0])
    check(sends, "it promises none")
    interval = max(sends, 1000) / 1000
    last = began = time.monotonic()
    while last < began + 3 * interval:
        peer.buffer = b""
        peer._more(last + 2 * interval)  # as late as clients tolerate: the machine may be busy, and so may we
        check(set(peer.buffer) <= set(b"\r\n"), f"not an end of line: {peer.buffer!r}")
        last = time.monotonic()


@case(
    may("1.1 1.2", "if, inside a time window of at least `<n>` milliseconds, the receiver did not receive any new data, it MAY consider the connection as dead"),
)
def a_silent_client_is_given_up(t):
    began = time.monotonic()  # before it can have begun to wait
    peer = t.connect(heart_beat="1000,0")
    expects = int(peer.connected.get("heart-beat", "0,0").split(",")[1])
    if not expects:
        return  # it does not want to know
    try:
        peer._more(began + 10)
        raise Deviation(f"it sends {peer.buffer!r}")
    except Silence:
        return  # it may, it need not
    except Closed:
        took = time.monotonic() - began
        check(took >= max(expects, 1000) / 1000, f"it was given up after {took:.2f} s")


@case(
    should("1.1 1.2", "because of timing inaccuracies, the receiver SHOULD be tolerant and take into account an error margin"),
    states("1.1 1.2", "any new data received over the network connection is an indication that the remote end is alive"),
)
@tried
def a_client_that_is_a_little_late(t):
    queue = t.queue()
    peer = t.connect(heart_beat="2000,0")
    frame = encode("SEND", {"destination": queue, "receipt": "r"}, b"x" * 60, t.version)
    pieces = [b"\n", frame[:-2], frame[-2:-1], frame[-1:]]  # parts of a frame are signs of life too
    for piece in pieces:
        until = time.monotonic() + 2.2  # the test's own pace: what is measured is lateness
        while time.monotonic() < until:
            time.sleep(0.02)
        peer.raw(piece)
    check(peer.frame(CLOSING).get("receipt-id") == "r", "it was given up")


untested(
    "binds clients",
    must("1.1 1.2", "STOMP clients MUST set the following headers: `accept-version`, `host`"),
    should("1.1 1.2", "STOMP clients SHOULD continue to use the `CONNECT` command to remain backward compatible with STOMP 1.0 servers."),
    should("1.1 1.2", "`accept-version` SHOULD be set to a comma separated list of incrementing STOMP protocol versions that the client supports."),
    must("1.1 1.2", "the client MUST send the server `ACK` frames for the messages it processes"),
    should("1.2", "In case the client did not process some messages, it SHOULD send `NACK` frames"),
    must("1.1 1.2", "Clients MUST NOT send any more frames after the `DISCONNECT` frame is sent."),
    should("1.1 1.2", "To do a graceful shutdown the client SHOULD send a `DISCONNECT` frame with a `receipt` header set, wait for the `RECEIPT`, close the socket"),
    should("1.1 1.2", "`SEND` frames SHOULD include a `content-length` header and a `content-type` header if a body is present."),
)
untested(
    "what servers may do and need not",
    may("1.1 1.2", "A STOMP server MAY 'update' header values by either prepending headers to the message or modifying a header in-place in the message."),
    may("1.1 1.2", "STOMP servers MAY support additional server specific headers to customize the delivery semantics of the subscription."),
    may("1.1 1.2", "STOMP servers MAY use additional headers to give access to features like persistency or expiration."),
)
