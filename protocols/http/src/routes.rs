//! The route table: the router, the check of query parameters and `/openapi.json` are all made from it, so that they
//! cannot drift apart.

use crate::Config;
use crate::auth::ACCESS_TOKEN;
use crate::call::{Call, EVENT_STREAM, JSON, NDJSON, TEXT};
use crate::errors::Problem;
use crate::handlers::*;
use crate::openmetrics::OPENMETRICS;
use axum::response::Response;
use futures_util::future::BoxFuture;
use http::Method;

pub(crate) type Answer = BoxFuture<'static, Result<Response, Problem>>;

/// One operation.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub summary: &'static str,
    /// Answered without credentials.
    pub public: bool,
    pub query: &'static [Param],
    /// Media types that the body may have, each with its schema.
    pub body: &'static [Media],
    /// Successful answers: status, media type, schema.
    pub answers: &'static [(u16, &'static str, &'static str)],
    pub(crate) handler: fn(Call) -> Answer,
}

/// What every call takes.
const TIMED: &[Param] =
    &[p("serverTiming", Kind::Flag, "Tell in `Server-Timing` how long the answer took, until it began.")];

/// The parameter that says what names are within.
pub(crate) const NAMESPACE_PARAMETER: &str = "ns";
const NAMESPACED: &[Param] = &[p(
    NAMESPACE_PARAMETER,
    Kind::Format("namespace"),
    "The namespace of the call's topics and groups: `ns=a` and `t` are `a%t`; header `X-MQ-Namespace`.",
)];

/// What calls take that browsers make without headers.
const TOKEN: &[Param] = &[p(
    ACCESS_TOKEN,
    Kind::Format("access-token"),
    "A token that ends within `http.max_query_token_life`, for those who cannot set `Authorization`.",
)];

/// What every call takes that stores under a key.
const KEYED: &[Param] = &[p(
    once::KEY_PARAMETER,
    Kind::Format("idempotency-key"),
    "The same key stores the same only once; header `Idempotency-Key`.",
)];

/// What every call that answers JSON takes.
const SHAPES: &[Param] = &[
    p("pretty", Kind::Flag, "Line breaks and indentation."),
    p(
        "int64",
        Kind::OneOf(&["number", "string"]),
        "`string` writes offsets as texts, for readers whose numbers are doubles.",
    ),
];

impl Route {
    /// Whether it is answered without credentials, as the settings have it.
    pub fn is_open(&self, config: &Config) -> bool {
        self.public || (!config.metrics_login && self.path == METRICS)
    }

    /// Every query parameter.
    pub fn parameters(&self) -> impl Iterator<Item = &'static Param> + use<> {
        let is_json = self.answers.iter().any(|(_, media, _)| *media == JSON);
        let own_key = self.takes_key() && !self.path.ends_with('}');
        let common = if is_json { SHAPES } else { &[] };
        let namespace = if self.takes_namespace() { NAMESPACED } else { &[] };
        let token = if self.takes_token() { TOKEN } else { &[] };
        let key = if own_key { KEYED } else { &[] };
        let own = self.query.iter().chain(key).chain(token);
        own.chain(namespace).chain(common).chain(TIMED)
    }

    /// The call that shows what is at a path.
    pub fn getting(path: &str) -> Option<&'static Self> {
        ROUTES.iter().find(|route| route.path == path && route.method == Method::GET)
    }

    /// True when the call has names that may be within a namespace.
    pub fn takes_namespace(&self) -> bool {
        const ELSEWHERE: [&str; 5] = [
            "/v1/topics",
            "/v1/groups",
            "/v1/messages:batch",
            "/v1/transactions",
            "/v1/messages/{message}/trace",
        ];
        self.path.contains("{topic}") || self.path.contains("{group}") || ELSEWHERE.contains(&self.path)
    }

    /// True when the call takes a token in its query: browsers cannot set headers for it.
    pub fn takes_token(&self) -> bool {
        self.path.ends_with("/stream")
    }

    /// True when the call takes an idempotency key.
    pub fn takes_key(&self) -> bool {
        self.path.ends_with("/messages") && self.method != Method::GET
            || self.path.ends_with("/messages:batch")
            || self.path.ends_with("/messages/{message}") && self.method == Method::PUT
    }
}

/// A query parameter; a name that ends in `.` stands for every name that begins so.
pub struct Param {
    pub name: &'static str,
    pub kind: Kind,
    pub about: &'static str,
    pub required: bool,
}

/// What a parameter looks like.
#[derive(Clone, Copy)]
pub enum Kind {
    Text,
    /// A text that is not empty.
    Word,
    Texts,
    /// A topic's or group's name.
    Name,
    /// Several names, at most so many.
    Names(usize),
    Number,
    /// A number between two, both included.
    Range(u64, u64),
    Flag,
    Span,
    Time,
    /// `earliest`, `latest`, or a time.
    Start,
    /// A text in a language of its own, under this name.
    Format(&'static str),
    OneOf(&'static [&'static str]),
}

/// A media type and the name of its schema.
pub type Media = (&'static str, &'static str);

const fn p(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param { name, kind, about, required: false }
}

/// A parameter that a call cannot do without.
const fn must(param: Param) -> Param {
    Param { required: true, ..param }
}

const LIMIT: Param =
    p("limit", Kind::Range(1, 1000), "At most so many entries, 1 to 1000; 100 when left out.");
const CURSOR: Param = p("cursor", Kind::Format("cursor"), "The `next` of the page before.");
const TOPIC: Param = p("topic", Kind::Name, "The topic.");
const FILTER: Param = p("filter", Kind::Format("tag-filter"), "A tag expression: `*`, or `a||b`.");
const SQL: Param = p(
    "sql",
    Kind::Format("sql-filter"),
    "An SQL-92 expression over properties, in place of `filter`: `TAGS = 'a' AND price > 10`.",
);
const BODY: Param =
    p("body", Kind::OneOf(&["auto", "json", "base64", "none"]), "How bodies are shown in JSON.");
const FROM: Param = p("from", Kind::Start, "Where to begin: `earliest`, `latest`, or a time.");
const CREATE: Param = p("create", Kind::Flag, "`false` refuses an unknown topic in place of creating it.");
const STORED: Param = p(
    "ack",
    Kind::OneOf(&["stored", "synced", "none"]),
    "When to answer: once written, once on the disk, or at once (202). The topic's own level when left out.",
);
const STREAM_FORMAT: Param =
    p("format", Kind::OneOf(&["sse", "ndjson"]), "The form of the stream; overrides `Accept`.");
const LEASE: Param = p(
    "lease",
    Kind::Span,
    "How long deliveries are leased, 1s to the broker's limit; as the group says when left out.",
);

const PUBLISH: &[Param] = &[
    p("tag", Kind::Text, "The tag; header `X-MQ-Tag`."),
    p("key", Kind::Texts, "Keys, repeated or separated by commas; header `X-MQ-Key`."),
    p(
        "shardingKey",
        Kind::Text,
        "Messages of one sharding key keep their order; header `X-MQ-Sharding-Key` or `X-MQ-Group`.",
    ),
    p("delay", Kind::Span, "Deliver after this time; header `X-MQ-Delay`."),
    p("deliverAt", Kind::Time, "Deliver at this time; header `X-MQ-Deliver-At`."),
    p("ttl", Kind::Span, "Not to be delivered after this time; header `X-MQ-TTL`."),
    p("prop.", Kind::Text, "A property; header `X-MQ-Prop-{name}`, which lower-cases the name."),
    p("correlationId", Kind::Text, "Ties a reply to its request; header `X-MQ-Correlation-Id`."),
    p("replyTo", Kind::Text, "Where a reply should go; header `X-MQ-Reply-To`."),
    p("queue", Kind::Range(0, u32::MAX as u64), "The queue; otherwise chosen by sharding key, or in turn."),
    STORED,
    CREATE,
    p("keepEncoding", Kind::Flag, "Keep the body's `Content-Encoding` as a property in place of undoing it."),
    p(
        "transaction",
        Kind::OneOf(&["prepare"]),
        "`prepare` keeps the message invisible until its transaction is ended.",
    ),
    p("producerGroup", Kind::Name, "Who is asked for the outcome of the transaction; `HTTP` when left out."),
    p(
        "checkAfter",
        Kind::Span,
        "How long until the outcome is asked for; the broker's setting when left out.",
    ),
];

const REQUEST: &[Param] = &[
    p("timeout", Kind::Span, "How long to wait for the reply; 5 seconds when left out."),
    p("tag", Kind::Text, "The tag; header `X-MQ-Tag`."),
    p("key", Kind::Texts, "Keys, repeated or separated by commas; header `X-MQ-Key`."),
    p(
        "shardingKey",
        Kind::Text,
        "Messages of one sharding key keep their order; header `X-MQ-Sharding-Key` or `X-MQ-Group`.",
    ),
    p("ttl", Kind::Span, "Not to be delivered after this time; header `X-MQ-TTL`."),
    p("prop.", Kind::Text, "A property; header `X-MQ-Prop-{name}`, which lower-cases the name."),
    p("queue", Kind::Range(0, u32::MAX as u64), "The queue; otherwise chosen by sharding key, or in turn."),
    CREATE,
];

const RECEIVE: &[Param] = &[
    p("topic", Kind::Names(16), "The topic, or several; those of the group's subscription when left out."),
    p("max", Kind::Range(1, 256), "At most so many messages, 1 to 256; 1 when left out."),
    p(
        "maxBytes",
        Kind::Range(1, 4 << 20),
        "At most so many bytes of messages as they are stored, up to `broker.max_fetch_size`; one is always given.",
    ),
    p("wait", Kind::Span, "How long to wait for the first message; not at all when left out."),
    p("minBatch", Kind::Range(1, 256), "After the first message wait until there are so many, for `linger`."),
    p(
        "linger",
        Kind::Span,
        "How long to wait after the first message; as long as `wait` when left out. Without `minBatch`, for `max` messages.",
    ),
    p(
        "order",
        Kind::OneOf(&["fifo"]),
        "`fifo` leases whole ordering groups, in their order, whatever the group says.",
    ),
    p(
        "attempt",
        Kind::Format("attempt"),
        "A name of the caller's: repeated within the lease, it gets the same deliveries again.",
    ),
    LEASE,
    FILTER,
    SQL,
    p("ack", Kind::OneOf(&["manual", "auto"]), "`auto` settles deliveries as they are handed to the socket."),
    BODY,
    FROM,
    RECEIVE_FORMAT,
];

const RECEIVE_FORMAT: Param = p(
    "format",
    Kind::OneOf(&["json", "raw"]),
    "`raw` answers one message: its body, with the metadata in headers.",
);

const GROUP_STREAM: &[Param] = &[
    p("topic", Kind::Name, "The topic; the one of the group's subscription when left out."),
    FILTER,
    SQL,
    p("ack", Kind::OneOf(&["manual", "auto"]), "`auto` settles deliveries as they are handed to the socket."),
    p("maxInFlight", Kind::Number, "At most so many unsettled deliveries; 100 when left out."),
    LEASE,
    FROM,
    BODY,
    STREAM_FORMAT,
    p(
        "status",
        Kind::Span,
        "How often to say where the group is, in an event `status`: 1s to 1h; never when left out.",
    ),
];

const BROWSE: &[Param] = &[
    p(
        "offset",
        Kind::Format("offset"),
        "An offset, `earliest`, `latest`, or `-n` for the last n; `earliest` when left out.",
    ),
    LIMIT,
    p("wait", Kind::Span, "How long to wait when the offset is the queue's end."),
    p("clamp", Kind::Flag, "Begin at the first message kept when the offset lies below it."),
    FILTER,
    SQL,
    BODY,
];

const TOPICS: &[Param] = &[
    p("prefix", Kind::Text, "Only names that begin so."),
    p("type", Kind::OneOf(&["NORMAL", "FIFO", "DELAY", "TRANSACTION"]), "Only topics of this type."),
    p("system", Kind::Flag, "Show retry and dead-letter topics too."),
    LIMIT,
    CURSOR,
];

const POLICIES: &[Param] =
    &[p("subject", Kind::Text, "Only those about this user, or `Role:name`."), LIMIT, CURSOR];

const SOME_POLICIES: &[Param] = &[
    must(p("subject", Kind::Text, "The user, or `Role:name`.")),
    p(
        "resource",
        Kind::Format("resource"),
        "Only those with this very pattern; all of the subject's when left out.",
    ),
    DRY_RUN,
];

const TAIL: &[Param] = &[
    FROM,
    FILTER,
    SQL,
    BODY,
    STREAM_FORMAT,
    p("lastEventId", Kind::Format("cursor"), "Go on after this event; header `Last-Event-ID`."),
];

const TRANSACTIONS: &[Param] = &[p("topic", Kind::Name, "Only those of this topic."), LIMIT, CURSOR];

const CHECKS: &[Param] = &[
    p("max", Kind::Range(1, 256), "At most so many, 1 to 256; 1 when left out."),
    p("wait", Kind::Span, "How long to wait for the first; not at all when left out."),
    BODY,
];

const STREAMS: &[(u16, &str, &str)] = &[(200, EVENT_STREAM, "Event"), (200, NDJSON, "StreamLine")];
const HANDLES: &[Media] = &[(JSON, "Handles")];
const RESULTS: &[(u16, &str, &str)] = &[(200, JSON, "Results")];
const BATCH: &[Media] = &[(JSON, "Batch"), (NDJSON, "NewMessage")];
const BATCH_ANYWHERE: &[Media] = &[(JSON, "BatchAnywhere"), (NDJSON, "NewMessageAnywhere")];
const BATCHED: &[(u16, &str, &str)] = &[
    (201, JSON, "BatchResults"),
    (200, JSON, "BatchResults"),
    (202, JSON, "BatchResults"),
    (200, NDJSON, "BatchResult"),
];
const PUBLISHED: &[(u16, &str, &str)] =
    &[(201, JSON, "Published"), (201, TEXT, "Text"), (202, JSON, "PublishedOrPrepared"), (202, TEXT, "Text")];

const PUT_MESSAGE: &[(u16, &str, &str)] =
    &[(201, JSON, "Published"), (200, JSON, "Published"), (202, JSON, "Published"), (201, TEXT, "Text")];

macro_rules! routes {
    ($($method:ident $path:literal $summary:literal $public:ident $query:expr, $body:expr, $answers:expr => $handler:path;)*) => {
        /// Every operation, in the order of the reference.
        pub static ROUTES: &[Route] = &[$(Route {
            method: Method::$method,
            path: $path,
            summary: $summary,
            public: routes!(@ $public),
            query: $query,
            body: $body,
            answers: $answers,
            handler: |call| Box::pin($handler(call)),
        },)*];
    };
    (@ public) => { true };
    (@ login) => { false };
}

routes! {
    POST "/v1/topics/{topic}/messages" "Publish one message: the raw body is the message." login
        PUBLISH, &[("*/*", "Bytes")], PUBLISHED => publish::raw;
    PUT "/v1/topics/{topic}/messages" "Publish one message: the raw body is the message." login
        PUBLISH, &[("*/*", "Bytes")], PUBLISHED => publish::raw;
    PUT "/v1/topics/{topic}/messages/{message}" "Publish one message under an id of one's own, once." login
        PUBLISH, &[("*/*", "Bytes")], PUT_MESSAGE => once::put;
    POST "/v1/topics/{topic}/request" "Publish a request and wait for its reply." login
        REQUEST, &[("*/*", "Bytes")], &[(200, "*/*", "Bytes")] => request::ask;
    POST "/v1/replies/{correlation}" "Reply to a request: the path is its `replyTo`." login
        &[], &[("*/*", "Bytes")], &[(202, "", "")] => request::reply;
    POST "/v1/topics/{topic}/messages:batch" "Publish several messages, as one JSON list or as a stream of lines." login
        &[STORED, CREATE], BATCH, BATCHED => batch::one_topic;
    POST "/v1/messages:batch" "Publish several messages to several topics." login
        &[STORED, CREATE], BATCH_ANYWHERE, BATCHED => batch::any_topic;

    POST "/v1/groups/{group}/receive" "Receive messages under lease." login
        RECEIVE, &[], &[(200, JSON, "MessagesOrBody"), (200, "*/*", "Bytes"), (204, "", "")] => receive::receive;
    POST "/v1/groups/{group}/ack" "Settle deliveries as consumed." login
        &[], HANDLES, RESULTS => settle::ack;
    POST "/v1/groups/{group}/nack" "Give deliveries back as failed." login
        &[], &[(JSON, "Nack")], RESULTS => settle::nack;
    POST "/v1/groups/{group}/extend" "Extend leases." login
        &[], &[(JSON, "Extend")], RESULTS => settle::extend;
    POST "/v1/groups/{group}/settle" "Settle deliveries in different ways." login
        &[], &[(JSON, "Settle")], RESULTS => settle::settle;
    DELETE "/v1/messages/{handle}" "Settle one delivery as consumed." login
        &[], &[], &[(204, "", "")] => settle::delete;
    GET "/v1/groups/{group}/stream" "Receive messages as they come." login
        GROUP_STREAM, &[], STREAMS => stream::group;
    GET "/v1/topics/{topic}/stream" "Read a topic as it grows, without a group." login
        TAIL, &[], STREAMS => stream::topic;

    GET "/v1/transactions" "Open transactions." login
        TRANSACTIONS, &[], &[(200, JSON, "Transactions")] => transactions::list;
    POST "/v1/transactions/{end}" "End a transaction: `{id}:commit` or `{id}:rollback`." login
        &[], &[], &[(204, "", "")] => transactions::end;
    POST "/v1/producer-groups/{group}/checks:receive" "Transactions whose outcome is asked for." login
        CHECKS, &[], &[(200, JSON, "Checks")] => transactions::checks;

    GET "/v1/topics/{topic}/messages" "Messages of a topic by key, or by the time they were stored." login
        QUERY, &[], &[(200, JSON, "Found")] => queries::query;
    GET "/v1/topics/{topic}/messages/{message}" "One message by its id." login
        &[RECEIVE_FORMAT, BODY], &[], &[(200, JSON, "MessageOrBody"), (200, "*/*", "Bytes")] => queries::one;
    GET "/v1/messages/{message}/trace" "What became of a message." login
        &[p("topic", Kind::Name, "The topic that it was sent to; the newest message with this id when left out."), CURSOR],
        &[], &[(200, JSON, "Trace")] => trace::get;
    GET "/v1/topics/{topic}/queues/{queue}/messages" "Browse a queue by offset." login
        BROWSE, &[], &[(200, JSON, "Messages")] => browse::browse;
    GET "/v1/topics/{topic}/offsets" "The offset of each queue at a time." login
        &[must(p("time", Kind::Start, "`earliest`, `latest`, or a time.")), LIMIT, CURSOR], &[], &[(200, JSON, "TopicOffsets")] => offsets::at_time;

    GET "/v1/groups/{group}/offsets" "A group's progress and lag." login
        &[TOPIC, LIMIT, CURSOR], &[], &[(200, JSON, "Offsets")] => offsets::get;
    PUT "/v1/groups/{group}/offsets" "Set a group's offsets." login
        &[], &[(JSON, "SetOffsets")], &[(200, JSON, "Offsets")] => offsets::set;
    POST "/v1/groups/{group}/offsets:reset" "Move a group to the start, the end, or a time." login
        &[], &[(JSON, "ResetOffsets")], &[(200, JSON, "Offsets")] => offsets::reset;

    GET "/v1/topics" "List topics." login
        TOPICS, &[], &[(200, JSON, "Topics")] => topics::list;
    GET "/v1/topics/{topic}" "One topic." login
        &[], &[], &[(200, JSON, "Topic")] => topics::get;
    PUT "/v1/topics/{topic}" "Make a topic, or set an existing one." login
        &[], &[(JSON, "TopicSettings")], &[(201, JSON, "Topic"), (200, JSON, "Topic")] => topics::put;
    PATCH "/v1/topics/{topic}" "Change some settings of a topic." login
        &[], &[(JSON, "TopicPatch")], &[(200, JSON, "Topic")] => topics::patch;
    DELETE "/v1/topics/{topic}" "Delete a topic with its messages." login
        DELETE_IF, &[], &[(204, "", "")] => topics::delete;
    POST "/v1/topics/{topic}" "Let messages go before their time: `{topic}:truncate`." login
        &[DRY_RUN], &[(JSON, "Truncate")], &[(200, JSON, "Truncated")] => topics::truncate;

    GET "/v1/groups" "List groups." login
        &[p("prefix", Kind::Text, "Only names that begin so."), LIMIT, CURSOR], &[], &[(200, JSON, "Groups")] => groups::list;
    GET "/v1/groups/{group}" "One group." login
        &[], &[], &[(200, JSON, "Group")] => groups::get;
    PUT "/v1/groups/{group}" "Make a group, or set an existing one." login
        &[], &[(JSON, "GroupSettings")], &[(201, JSON, "Group"), (200, JSON, "Group")] => groups::put;
    PATCH "/v1/groups/{group}" "Change some settings of a group." login
        &[], &[(JSON, "GroupPatch")], &[(200, JSON, "Group")] => groups::patch;
    DELETE "/v1/groups/{group}" "Delete a group and its progress." login
        &[DRY_RUN], &[], &[(204, "", "")] => groups::delete;
    GET "/v1/groups/{group}/members" "A group's live members." login
        PAGE, &[], &[(200, JSON, "Members")] => groups::members;
    GET "/v1/groups/{group}/dead-letters" "Messages that the group could not process." login
        &[LIMIT, CURSOR, BODY], &[], &[(200, JSON, "DeadLetters")] => dead_letters::list;
    POST "/v1/groups/{group}/dead-letters:redrive" "Give dead letters to their group again." login
        &[DRY_RUN], &[(JSON, "Redrive")], &[(202, JSON, "Redriven"), (200, JSON, "Redriven")] => dead_letters::redrive;

    GET "/v1/namespaces" "Namespaces that have topics or groups." login
        PAGE, &[], &[(200, JSON, "Namespaces")] => namespaces::list;
    GET "/v1/namespaces/{namespace}" "How much is in a namespace." login
        &[], &[], &[(200, JSON, "Namespace")] => namespaces::get;

    GET "/v1/users" "List users, without secrets." login
        PAGE, &[], &[(200, JSON, "Users")] => users::list;
    GET "/v1/users/{user}" "One user, without secrets." login
        &[], &[], &[(200, JSON, "User")] => users::get;
    PUT "/v1/users/{user}" "Make a user, or change one; what is left out stays as it is." login
        &[], &[(JSON, "UserSettings")], &[(201, JSON, "User"), (200, JSON, "User")] => users::put;
    DELETE "/v1/users/{user}" "Delete a user and the policies about it." login
        &[DRY_RUN], &[], &[(204, "", "")] => users::delete;

    GET "/v1/users/{user}/tokens" "A user's API tokens, without what proves them." login
        PAGE, &[], &[(200, JSON, "ApiTokens")] => tokens::list;
    POST "/v1/users/{user}/tokens" "Make an API token; it is shown in the answer and never again." login
        &[], &[(JSON, "NewApiToken")], &[(201, JSON, "MadeApiToken")] => tokens::create;
    DELETE "/v1/users/{user}/tokens/{id}" "End an API token at once." login
        &[DRY_RUN], &[], &[(204, "", "")] => tokens::delete;
    POST "/v1/users/{user}/secret:rotate" "Give a user a new signing secret; the one before is accepted too until it is deleted." login
        &[], &[(JSON, "Rotation")], &[(200, JSON, "Rotated")] => tokens::rotate;
    DELETE "/v1/users/{user}/secret" "End one of a user's two signing secrets at once." login
        &[p("which", Kind::OneOf(&["previous", "current"]), "`previous` when left out."), DRY_RUN], &[], &[(204, "", "")] => tokens::delete_secret;
    DELETE "/v1/users/{user}/password" "Take a user's password away; secrets and tokens stay." login
        &[DRY_RUN], &[], &[(204, "", "")] => tokens::delete_password;

    GET "/v1/roles" "List roles." login
        PAGE, &[], &[(200, JSON, "Roles")] => roles::list;
    GET "/v1/roles/{role}" "One role." login
        &[], &[], &[(200, JSON, "Role")] => roles::get;
    PUT "/v1/roles/{role}" "Make a role, or change one; what is left out stays as it is." login
        &[], &[(JSON, "RoleSettings")], &[(201, JSON, "Role"), (200, JSON, "Role")] => roles::put;
    DELETE "/v1/roles/{role}" "Delete a role that nobody has, and the policies about it." login
        &[DRY_RUN], &[], &[(204, "", "")] => roles::delete;

    GET "/v1/quotas" "Quotas of consumer groups." login
        PAGE, &[], &[(200, JSON, "GroupQuotas")] => quotas::list;
    GET "/v1/groups/{group}/quota" "How much a group's consumers may receive together." login
        &[], &[], &[(200, JSON, "GroupQuota")] => quotas::get;
    PUT "/v1/groups/{group}/quota" "Limit what a group's consumers receive together." login
        &[], &[(JSON, "GroupQuotaSettings")], &[(200, JSON, "GroupQuota")] => quotas::put;
    DELETE "/v1/groups/{group}/quota" "Take a group's limits away." login
        &[DRY_RUN], &[], &[(204, "", "")] => quotas::delete;

    GET "/v1/audit" "The audit trail: logins, denials, changes of users and policies." login
        &[p("after", Kind::Range(0, u64::MAX), "Only events after this number."), LIMIT], &[], &[(200, JSON, "AuditEvents")] => audit::list;

    GET "/v1/acls" "List policies." login
        POLICIES, &[], &[(200, JSON, "Policies")] => acls::list;
    PUT "/v1/acls" "Make a policy, or replace the one with this subject, resource and decision." login
        &[], &[(JSON, "Policy")], &[(200, JSON, "Policy")] => acls::put;
    POST "/v1/acls" "Make a policy, or replace the one with this subject, resource and decision." login
        &[], &[(JSON, "Policy")], &[(200, JSON, "Policy")] => acls::put;
    DELETE "/v1/acls" "Delete policies of a subject." login
        SOME_POLICIES, &[], &[(200, JSON, "RemovedPolicies")] => acls::delete;
    POST "/v1/acls:explain" "Which policy would decide on a request, and why." login
        &[], &[(JSON, "AccessQuestion")], &[(200, JSON, "Explanation")] => acls::explain;

    GET "/v1/definitions" "Everything declarative as one document, without secrets." login
        &[], &[], &[(200, JSON, "Definitions")] => definitions::get;
    PUT "/v1/definitions" "Set everything that a document of definitions names; the rest stays." login
        &[DRY_RUN], &[(JSON, "Definitions")], &[(200, JSON, "ImportReport")] => definitions::put;
    GET "/v1/cluster" "The broker as a whole." login
        &[], &[], &[(200, JSON, "Cluster")] => cluster::get;
    GET "/v1/cluster/nodes" "Its one node." login
        PAGE, &[], &[(200, JSON, "Nodes")] => cluster::nodes;
    GET "/v1/connections" "Open connections of every listener, in the order in which they came." login
        PAGE, &[], &[(200, JSON, "Connections")] => connections::list;
    DELETE "/v1/connections/{connection}" "Close a connection of any wire; what it was being answered is finished." login
        &[], &[], &[(204, "", "")] => connections::close;
    GET "/v1/damages" "What is known to be damaged of what is stored, in the order in which it was found." login
        PAGE, &[], &[(200, JSON, "Damages")] => damages::list;

    GET "/livez" "Whether the process can serve." public
        &[VERBOSE], &[], HEALTH => operations::live;
    GET "/healthz" "The same as `/livez`." public
        &[VERBOSE], &[], HEALTH => operations::live;
    GET "/readyz" "Whether requests are served." public
        &[VERBOSE, p("writable", Kind::Flag, "Ask for room for new messages too.")], &[],
        &[(200, TEXT, "Text"), (200, JSON, "Health"), (503, JSON, "Health")] => operations::ready;
    GET "/metrics" "Metrics in the text format of Prometheus, or as OpenMetrics." login
        &[], &[], &[(200, TEXT, "Text"), (200, OPENMETRICS, "Text")] => operations::metrics;
    GET "/openapi.json" "This interface as OpenAPI 3.1." login
        &[], &[], &[(200, JSON, "Any")] => docs::json;
    GET "/openapi.yaml" "The same in YAML." login
        &[], &[], &[(200, "application/yaml", "Any")] => docs::yaml;
    GET "/docs" "The same as a page." login
        &[], &[], &[(200, "text/html", "Text")] => docs::html;
    GET "/v1/version" "Version and features." login
        &[], &[], &[(200, JSON, "Version")] => operations::version;
    GET "/v1/whoami" "Who the request acts as." login
        &[], &[], &[(200, JSON, "Whoami")] => operations::whoami;
    GET "/problems/{code}" "What a problem code means." public
        &[], &[], &[(200, JSON, "ProblemCode")] => operations::problem;
}

const HEALTH: &[(u16, &str, &str)] = &[(200, TEXT, "Text"), (200, JSON, "Health")];
const PAGE: &[Param] = &[LIMIT, CURSOR];
const DELETE_IF: &[Param] = &[
    p("ifEmpty", Kind::Flag, "Only when it holds no message."),
    p("ifUnused", Kind::Flag, "Only when no group reads it."),
    DRY_RUN,
];
const DRY_RUN: Param = p("dryRun", Kind::Flag, "Only say what would happen.");
const QUERY: &[Param] = &[
    p("key", Kind::Word, "Messages with this key or id, newest first; without it, all by time."),
    p("from", Kind::Start, "The first time, `earliest` when left out."),
    p("to", Kind::Start, "The time before which messages were stored, `latest` when left out."),
    p("queue", Kind::Range(0, u32::MAX as u64), "Only this queue."),
    FILTER,
    SQL,
    BODY,
    LIMIT,
    CURSOR,
];
const VERBOSE: Param = p("verbose", Kind::Flag, "Answer JSON with every check.");

/// Where metrics are.
const METRICS: &str = "/metrics";
/// What there is on a port of its own for metrics; problems, because every refusal names one.
pub(crate) const HEALTH_AND_METRICS: [&str; 5] =
    ["/livez", "/healthz", "/readyz", METRICS, "/problems/{code}"];

/// The distinct paths, each with its operations.
pub(crate) fn by_path() -> Vec<(&'static str, Vec<&'static Route>)> {
    let mut paths: Vec<(&str, Vec<&Route>)> = Vec::new();
    for route in ROUTES {
        match paths.iter_mut().find(|(path, _)| *path == route.path) {
            Some((_, routes)) => routes.push(route),
            None => paths.push((route.path, vec![route])),
        }
    }
    paths
}
