"""What the formats that `/openapi.json` names look like, so that valid requests are valid.

A pattern cannot say what is an SQL expression, or that a page's cursor was given out by the server; these are examples
of each. Users and roles are named that `run.sh` has made, so that policies and memberships can refer to them.
"""

import itertools

import requests
import schemathesis
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter

EXAMPLES = {
    "span": ["1s", "2", "1500ms", "1s500ms"],
    "moment": ["2099-01-06T08:00:00Z", "2099-01-06t10:00:00.5+02:00", "4071340800000"],
    "start": ["earliest", "latest", "2026-01-06T08:00:00Z", "1767686400000"],
    "offset": ["0", "earliest", "latest", "-10"],
    "cursor": ["0:1"],
    "tag-filter": ["*", "a", "a||b"],
    "sql-filter": ["price > 10", "TAGS = 'a' AND x IS NOT NULL", "a BETWEEN 1 AND 2 OR b IN ('c', 'd')"],
    "property-name": ["x", "Price", "eine größe"],
    "key": ["k1", "order-17", "ключ"],
    "entity-tags": ['*', '"abc"', 'W/"abc", "def"'],
    "idempotency-key": ["once-1", "once-2"],
    "handle": ["AAAA", "no-handle"],
    "size": ["512B", "1MiB"],
    "attempt": ["a-1", "b"],
    "entity-tags": ['*', '"abc"', 'W/"abc", "def"'],
    "idempotency-key": ["k-1", "order-17"],
    "base64": ["", "AAECAw==", "aGVsbG8="],
    "secret": ["change-me", "geheim €"],
    "password-hash": ["$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$m0wsyPUZ1aSqfEyU1cmMbXJ8i4bvCZqEEo0KGLmxLGE"],
    "user-name": ["fuzz-user", "fuzz-other"],
    "role": ["fuzz-role"],
    "label": ["ci", "a label"],
    "subject": ["fuzz-user", "User:fuzz-user", "Role:fuzz-role"],
    "resource": ["*", "Cluster", "Topic:orders", "Topic:orders*", "Group:*"],
    "source-net": ["127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"],
}

schemathesis.openapi.format("access-key", st.uuids().map(str))
for name, examples in EXAMPLES.items():
    schemathesis.openapi.format(name, st.sampled_from(examples))


# Two of these in one query are refused; OpenAPI cannot say so of parameters.
EXCLUSIVE = [("delay", "deliverAt"), ("filter", "sql"), ("key", "queue"), ("key", "filter"), ("key", "sql")]
# With `transaction=prepare` alone.
OF_TRANSACTIONS = ("producerGroup", "checkAfter")


@schemathesis.hook
def before_call(context, case, kwargs):
    """What is generated as valid is kept so where the schema leaves more room than the server."""
    query = case.query or {}
    if query.get("wait") and query["wait"][0].isdigit():
        query["wait"] = "0s"  # nothing comes that could be waited for
    if query.get("timeout") and query["timeout"][0].isdigit():
        query["timeout"] = "1ms"  # nobody replies
    # Other types than the document says, for those who ask for them. What is neither is what makes a request invalid.
    if query.get("int64") in ("string", ["string"]):
        del query["int64"]
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    for one, other in EXCLUSIVE:
        if one in query and other in query:
            del query[other]
    if query.get("transaction") != "prepare":
        for name in OF_TRANSACTIONS:
            query.pop(name, None)
    if isinstance(case.body, dict) and "ack" in case.body or "transaction" in query:
        query.pop("ack", None)
    if query.get("ack") == "auto":
        query.pop("attempt", None)
    if query.get("format") == "raw":
        query.pop("max", None)
    # It may not be as long as the shortest lease, and several messages need a time to be waited for.
    query.pop("linger", None)
    query.pop("minBatch", None)
    if isinstance(case.body, dict) and not case.body.get("deadLetter"):
        case.body.pop("reason", None)
    # Of two operations with a topic in their path, one has a verb behind it: values are not to be carried over.
    for name, value in (case.path_parameters or {}).items():
        if not isinstance(value, str):
            continue
        if name == "topic" and case.operation.label != "POST /v1/topics/{topic}":
            value = value.replace("%3A", ":").split(":")[0]
        # A percent sign that was taken for the beginning of an octet.
        case.path_parameters[name] = value.replace("%EF%BF%BD", "x")
    messages = case.body.get("messages", []) if isinstance(case.body, dict) else []
    if "topic" in (case.path_parameters or {}):
        for message in messages:
            message.pop("topic", None)  # it stands in the path
    if isinstance(case.body, dict) and case.body.get("retention"):
        case.body["retention"] = "1h"  # not longer than the log's
    if "queue" in query:
        query["queue"] = 0  # a topic may have this one alone
    if case.operation.path.endswith("/receive") and case.operation.path.startswith("/v1/groups/"):
        query.setdefault("topic", ["0"])  # only a group with a subscription may do without
        case.query = query
    dedup = any("dedupId" in message for message in messages)
    if dedup:
        case.body.pop("atomic", None)
    if dedup or "transaction" in query:
        query.pop("idempotencyKey", None)
    if dedup or "transaction" in query or "idempotencyKey" in query:  # the header says the same
        for name in [name for name in case.headers or {} if name.lower() == "idempotency-key"]:
            del case.headers[name]
    # The places that pages of an earlier run gave out mean nothing to this one.
    query.pop("cursor", None)
    if isinstance(case.body, (dict, list)):
        case.body = whole(case.body)


def whole(value):
    """Integers without a point: to JSON Schema 2.0 is one, to a reader of 32-bit numbers it is not."""
    if isinstance(value, dict):
        # A topic may have one queue alone.
        return {name: 0 if name == "queue" and member else whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


class From(HTTPAdapter):
    """Requests from one loopback address."""

    def __init__(self, address):
        self.address = address
        super().__init__()

    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, source_address=(self.address, 0), **kwargs)


class Many:
    """A client that moves: who fails to log in is slowed down by address, and that is not what is looked for here."""

    STAY = 4

    def __init__(self):
        self.count = itertools.count()
        self.adapter = None

    def next(self):
        n = next(self.count)
        if n % self.STAY == 0:
            if self.adapter:
                self.adapter.close()
            n //= self.STAY
            self.adapter = From(f"127.{1 + n // 65000 % 200}.{n // 250 % 250}.{1 + n % 250}")
        return self.adapter


MANY = Many()
requests.Session.get_adapter = lambda self, url: MANY.next()
