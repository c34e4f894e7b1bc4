"""Frames, escapes, bodies, the headers that every frame may have, limits."""

from spec import case, may, must, should, states
from wire import PATIENCE, Deviation, check, encode

ALL = "1.0 1.1 1.2"


def echoed(t, name, value):
    """What a header looks like on its way out: the frame, and its line as it was on the wire."""
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue)
    peer.say("SEND", [("destination", queue), (name, value)], b"x")
    message = peer.message(b"x")
    return message, message.raw.decode()


@case(
    states("1.2", "an end-of-line (EOL), which consists of an OPTIONAL carriage return (octet 13) followed by a REQUIRED line feed (octet 10)"),
)
def carriage_returns(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue)
    peer.raw(encode("SEND", {"destination": queue, "x": "y"}, b"body\r\n", eol="\r\n"))
    message = peer.message(b"body\r\n")
    check(message.get("x") == "y", f"a line end became part of a header: {message}")


@case(
    states("1.0 1.1", "The frame starts with a command"),
    states(ALL, "Following the command are zero or more header entries in `<key>:<value>` format."),
)
def no_headers_at_all(t):
    peer = t.connect()
    peer.raw(b"DISCONNECT\n\n\0")
    peer.end()


@case(states(ALL, "header = header-name \":\" header-value"))
def a_header_without_a_colon(t):
    peer = t.connect()
    peer.raw(b"SEND\ndestination\n\nx\0")
    peer.error()


@case(states(ALL, "header-name = 1*<any OCTET except LF or \":\">"))
def a_header_without_a_name(t):
    peer = t.connect()
    peer.raw(b"SEND\ndestination:" + t.queue().encode() + b"\n:value\n\nx\0")
    peer.error()


@case(states("1.1 1.2", "header-value = *<any OCTET except LF or \":\">"))
def an_empty_header_value(t):
    message, _ = echoed(t, "empty", "")
    check(message.get("empty") == "", f"it came as {message.get('empty')!r}")


@case(states("1.0", "header-value = 1*<any CHAR except LF>"))
def colons_in_values(t):
    message, _ = echoed(t, "url", "stomp://host:61613/a:b")
    check(message.get("url") == "stomp://host:61613/a:b", f"it came as {message.get('url')!r}")


@case(
    states(ALL, "A blank line indicates the end of the headers and the beginning of the body."),
    states(ALL, "The body is then followed by the NULL octet."),
    states("1.0", "if a content-length is not specified, the first null byte encountered signals the end of the frame"),
)
def blank_lines_belong_to_the_body(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue)
    peer.say("SEND", {"destination": queue}, b"\n\nfoo: bar\n\n")
    peer.say("SEND", {"destination": queue}, b"")
    peer.message(b"\n\nfoo: bar\n\n")
    peer.message(b"")


@case(
    states("1.0 1.1", "The NULL can be followed by multiple newlines: frame = ... NULL *( LF )"),
    states("1.2", "The NULL octet can be optionally followed by multiple EOLs."),
)
def line_ends_between_frames(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue)
    between = b"\n\r\n\n" if t.version == "1.2" else b"\n\n\n"
    frame = encode("SEND", {"destination": queue}, b"x", t.version)
    peer.raw(between + frame + between + frame + between)
    check(peer.bodies(2) == [b"x", b"x"], "not both messages")


@case(states(ALL, "frame-stream = 1*frame"))
def many_frames_at_once(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue)
    peer.raw(b"".join(encode("SEND", {"destination": queue}, b"%d" % n, t.version) for n in range(200)))
    check(peer.bodies(200) == [b"%d" % n for n in range(200)], "not all messages in order")


def whole(t, queue, receipt):
    """A frame with everything in it that a reader could stumble over where it is cut."""
    eol = "\r\n" if t.version == "1.2" else "\n"
    headers = {"destination": queue, "receipt": receipt, "x-ü": "a\\b" if t.version == "1.0" else "a:b\n\\c", "content-length": "7"}
    return encode("SEND", headers, b"a\0\n\n\0\0b", t.version, eol)


@case(states(ALL, "A frame's end is where its NULL octet is, however the stream is cut: split at every position"))
def split_at_every_position(t):
    queue, peer, witness = t.queue(), t.connect(), t.connect()
    t.subscribe(witness, queue)
    size = len(whole(t, queue, "1000"))
    for cut in range(1, size):
        frame = whole(t, queue, str(1000 + cut))
        peer.raw(frame[:cut])
        witness.round_trip()  # the first part has been read by now
        peer.raw(frame[cut:])
        receipt = peer.frame()
        check(receipt.get("receipt-id") == str(1000 + cut), f"cut at {cut}: {receipt}")
        witness.message(b"a\0\n\n\0\0b")


@case(states(ALL, "A frame's end is where its NULL octet is, however the stream is cut: one octet at a time"))
def one_octet_at_a_time(t):
    queue, peer, witness = t.queue(), t.connect(), t.connect()
    for octet in whole(t, queue, "1"):
        peer.raw(bytes([octet]))
        witness.round_trip()
    check(peer.frame().get("receipt-id") == "1", "no receipt")
    check(t.left(queue, 1) == [b"a\0\n\n\0\0b"], "another body")


@case(states(ALL, "A frame's end is where its NULL octet is, however the stream is cut: CONNECT in two parts"))
def connect_split_at_every_position(t):
    greeting = encode("CONNECT", t.greeting())
    witness = t.connect()
    for cut in range(1, len(greeting)):
        peer = t.open()
        peer.raw(greeting[:cut])
        witness.round_trip()
        peer.raw(greeting[cut:])
        check(peer.frame().command == "CONNECTED", f"cut at {cut}")
        peer.close()


@case(states(ALL, "All commands and header names referenced in this document are case sensitive."))
def commands_are_case_sensitive(t):
    peer = t.connect()
    peer.raw(b"send\ndestination:" + t.queue().encode() + b"\n\nx\0")
    peer.error()


@case(states(ALL, "All commands and header names referenced in this document are case sensitive."))
def header_names_are_case_sensitive(t):
    peer = t.connect()
    peer.raw(b"SEND\nDestination:" + t.queue().encode() + b"\n\nx\0")
    peer.error()


@case(
    states("1.1 1.2", "The commands and headers are encoded in UTF-8."),
    must("1.1 1.2", "All STOMP clients and servers MUST support UTF-8 encoding and decoding."),
)
def headers_in_utf_8(t):
    message, _ = echoed(t, "größe-✓", "日本語 ∑ 🦥")
    check(message.get("größe-✓") == "日本語 ∑ 🦥", f"it came as {message}")


@case(states("1.1 1.2", "The commands and headers are encoded in UTF-8."))
def headers_that_are_not_utf_8(t):
    peer = t.connect()
    peer.raw(b"SEND\ndestination:" + t.queue().encode() + b"\nx:\xff\xfe\n\nx\0")
    peer.error()


@case(
    must("1.1 1.2", "the following transformations MUST be applied: `\\n` (octet 92 and 110) translates to newline (octet 10)"),
    must("1.1 1.2", "Conversely when encoding frame headers, the reverse transformation MUST be applied."),
)
def escaped_line_feed(t):
    message, raw = echoed(t, "a\nb", "c\nd")
    check("a\\nb:c\\nd" in raw, f"it came as {raw!r}")
    check(message.get("a\nb") == "c\nd", f"it came as {message}")


@case(must("1.1 1.2", "`\\c` (octet 92 and 99) translates to `:` (octet 58)"))
def escaped_colon(t):
    _, raw = echoed(t, "a:b", "c:d")
    check("a\\cb:c\\cd" in raw, f"it came as {raw!r}")


@case(must("1.1 1.2", "`\\\\` (octet 92 and 92) translates to `\\` (octet 92)"))
def escaped_backslash(t):
    _, raw = echoed(t, "a\\b", "c\\n\\c")
    check("a\\\\b:c\\\\n\\\\c" in raw, f"it came as {raw!r}")


@case(must("1.2", "`\\r` (octet 92 and 114) translates to carriage return (octet 13)"))
def escaped_carriage_return(t):
    _, raw = echoed(t, "x", "a\rb")
    check("x:a\\rb" in raw, f"it came as {raw!r}")


@case(must("1.1 1.2", "Undefined escape sequences such as `\\t` (octet 92 and 116) MUST be treated as a fatal protocol error."))
def an_undefined_escape(t):
    peer = t.connect()
    peer.raw(b"SEND\ndestination:" + t.queue().encode() + b"\nx:a\\tb\n\nx\0")
    peer.error()


@case(must("1.1", "Undefined escape sequences such as `\\r` (octet 92 and 114) MUST be treated as a fatal protocol error."))
def an_escaped_carriage_return_in_1_1(t):
    peer = t.connect()
    peer.raw(b"SEND\ndestination:" + t.queue().encode() + b"\nreceipt:taken\nx:a\\rb\n\nx\0")
    if peer.frame().command == "RECEIPT":
        raise Deviation("no ERROR")
    peer.end("stays open after the ERROR")


@case(states("1.0", "header-value = 1*<any CHAR except LF>: a backslash is one of them"))
def no_escapes(t):
    _, raw = echoed(t, "path", "C:\\new\\temp")
    check("path:C:\\new\\temp" in raw, f"it came as {raw!r}")


@case(states("1.1 1.2", "The `CONNECT` and `CONNECTED` frames do not escape the colon or newline octets in order to remain backward compatible with STOMP 1.0."))
def connect_is_not_escaped(t):
    t.connect(x_path="C:\\temp\\t").disconnect()


@case(
    must("1.1", "In STOMP 1.1, clients and servers MUST never trim or pad headers with spaces."),
    must("1.2", "In STOMP 1.2, clients and servers MUST never trim or pad headers with spaces."),
)
def blanks_stay(t):
    message, raw = echoed(t, " name ", "  value  ")
    check("\n name :  value  " in raw, f"it came as {raw!r}")


@case(states("1.0", "examples: `login: <username>`, `destination: /queue/foo`"))
def blanks_behind_the_colon(t):
    queue, peer = t.queue(), t.connect()
    peer.raw(f"SUBSCRIBE\ndestination: {queue}\nack: auto\nreceipt: r\n\n\0".encode())
    check(peer.frame().get("receipt-id", "").strip() == "r", "another receipt")
    peer.raw(f"SEND\ndestination: {queue}\n\nx\0".encode())
    peer.message(b"x")


@case(must("1.1 1.2", "Only the `SEND`, `MESSAGE`, and `ERROR` frames MAY have a body. All other frames MUST NOT have a body."))
def a_body_where_none_may_be(t):
    peer = t.connect()
    peer.raw(b"BEGIN\ntransaction:t\n\nbody\0")
    peer.error()


@case(states("1.2", "All frames MAY include a `content-length` header."))
def content_length_on_every_frame(t):
    queue, peer = t.queue(), t.connect(content_length="0")
    nothing = {"content-length": "0"}
    peer.ask("SUBSCRIBE", {"id": "s", "destination": queue, "ack": "client", **nothing})
    peer.ask("BEGIN", {"transaction": "t", **nothing})
    peer.say("SEND", {"destination": queue, "transaction": "t", **nothing})
    peer.ask("COMMIT", {"transaction": "t", **nothing})
    peer.ask(*t.ack(peer.message(b""), **nothing))
    peer.ask("UNSUBSCRIBE", {"id": "s", **nothing})
    peer.ask("DISCONNECT", nothing)


@case(
    must("1.1 1.2", "If a `content-length` header is included, this number of octets MUST be read, regardless of whether or not there are NULL octets in the body."),
    must("1.1 1.2", "If the frame body contains NULL octets, the frame MUST include a `content-length` header."),
    should("1.0", "If a content-length header is included, this number of bytes should be read, regardless of whether or not there are null characters in the body."),
)
def nulls_in_a_body(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue)
    body = bytes(range(256)) + b"\0\0\n\0"
    peer.say("SEND", {"destination": queue, "content-length": str(len(body))}, body)
    message = peer.message(body)
    check(message.get("content-length") == str(len(body)), f"no content-length: {message}")


@case(states(ALL, "The frame still needs to be terminated with a NULL octet."))
def content_length_that_is_too_short(t):
    peer = t.connect()
    peer.raw(b"SEND\ndestination:" + t.queue().encode() + b"\ncontent-length:2\n\nfour\0")
    peer.error()


@case(states(ALL, "This header is an octet count for the length of the message body."))
def content_length_that_is_no_count(t):
    for wrong in ("-1", "ten", "0x10"):
        peer = t.connect()
        peer.raw(f"SEND\ndestination:{t.queue()}\ncontent-length:{wrong}\n\nx\0".encode())
        peer.error()


@case(states(ALL, "This header is an octet count for the length of the message body."))
def content_length_counts_octets(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue)
    body = "äöü✓".encode()
    peer.say("SEND", {"destination": queue, "content-length": str(len(body))}, body)
    check(peer.message(body).get("content-length") == str(len(body)), "another count")


@case(
    should("1.1 1.2", "`MESSAGE` frames SHOULD include a `content-length` header and a `content-type` header if a body is present."),
    states("1.0", "It is recommended that MESSAGE frames include a *content-length* header"),
)
def messages_have_a_length(t):
    message, _ = echoed(t, "content-type", "text/plain")
    check(message.get("content-length") == "1", f"it has none: {message}")


@case(
    should("1.1 1.2", "`ERROR` frames SHOULD include a `content-length` header and a `content-type` header if a body is present."),
    states("1.0", "It is recommended that ERROR frames include a *content-length* header"),
)
def errors_have_a_length_and_a_type(t):
    peer = t.connect()
    peer.say("SEND", {"content-type": "text/plain"}, b"x")
    error = peer.error()
    if error.body:
        check(error.get("content-length") == str(len(error.body)), f"no length: {error}")
        check(t.version == "1.0" or "/" in error.get("content-type", ""), f"no type: {error}")


@case(
    must("1.2", "If the `content-type` header is set, its value MUST be a MIME type which describes the format of the body."),
    should("1.1 1.2", "you SHOULD append `;charset=<encoding>` to the MIME type"),
)
def content_types_are_passed_on(t):
    for kind in ("text/html;charset=utf-16", "application/xml;charset=utf-8", "application/x-anything"):
        message, _ = echoed(t, "content-type", kind)
        check(message.get("content-type") == kind, f"{kind} became {message.get('content-type')!r}")


@case(should("1.1 1.2", "Otherwise, the receiver SHOULD consider the body to be a binary blob."))
def bodies_without_a_type_are_binary(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue)
    body = b"\xff\xfe\x00\x80\r\n"
    peer.say("SEND", {"destination": queue, "content-length": str(len(body))}, body)
    peer.message(body)


@case(
    should("1.1 1.2", "If a client or a server receives repeated frame header entries, only the first header entry SHOULD be used as the value of header entry."),
)
def the_first_of_repeated_headers_counts(t):
    queue, other, peer = t.queue(), t.queue(), t.connect()
    t.subscribe(peer, queue)
    pairs = [("destination", queue), ("destination", other), ("foo", "World"), ("foo", "Hello")]
    peer.say("SEND", pairs, b"x")
    message = peer.message(b"x")
    check(message.get("foo") == "World", f"foo came as {message.all('foo')}")


@case(may("1.1 1.2", "Subsequent values are only used to maintain a history of state changes of the header and MAY be ignored."))
def later_ones_are_history(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue)
    peer.say("SEND", [("destination", queue), ("foo", "World"), ("foo", "Hello")], b"x")
    values = peer.message(b"x").all("foo")
    check(values in (["World"], ["World", "Hello"]), f"foo came as {values}")


def flood(peer, chunk, most):
    """Sends until the server has had enough."""
    try:
        peer.socket.settimeout(PATIENCE)
        for _ in range(most):
            peer.raw(chunk)
    except OSError:
        pass  # it closed; what it said before is still there to read
    peer.error()


@case(
    may("1.1 1.2", "servers MAY place maximum limits on: the number of frame headers allowed in a single frame"),
    should("1.1 1.2", "If these limits are exceeded the server SHOULD send the client an `ERROR` frame and then close the connection."),
)
def too_many_headers(t):
    peer = t.connect()
    peer.raw(b"SEND\ndestination:" + t.queue().encode() + b"\n")
    flood(peer, b"a:b\n" * 1000, 200)


@case(may("1.1 1.2", "servers MAY place maximum limits on: the maximum length of header lines"))
def a_header_line_without_end(t):
    peer = t.connect()
    peer.raw(b"SEND\ndestination:" + t.queue().encode() + b"\nx:")
    flood(peer, b"y" * 65536, 512)


@case(may("1.1 1.2", "servers MAY place maximum limits on: the maximum size of a frame body"))
def a_body_of_a_terabyte(t):
    peer = t.connect()
    peer.raw(b"SEND\ndestination:" + t.queue().encode() + b"\ncontent-length:1099511627776\n\n")
    peer.error()
