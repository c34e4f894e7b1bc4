//! The settings of the HTTP front-end, each with its default and its reason.

use crate::mqhttp::MqConfig;
use crate::websocket::AllowedOrigin;
use serde::{Deserialize, Serialize};
use sluice_auth::SourceNet;
use sluice_model::units::{ByteSize, Span};

/// The section `[http]`. Defaults in brackets. The size of one message and of a batch are the broker's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long the head of a request may take from its first byte [10s]: slow senders hold a connection each.
    pub header_read_timeout: Span,
    /// How long a connection may rest between two requests [2m]: client pools assume about a minute.
    pub idle_timeout: Span,
    /// How long a client may leave an answer unread before it is cut off [60s].
    pub write_timeout: Span,
    /// The longest pause within a request body [30s].
    pub body_idle_timeout: Span,
    /// How long a whole request body may take [2m]; an NDJSON upload may last longer.
    pub body_timeout: Span,
    /// The most bytes of request headers, names and values [64KiB]: 32 KiB of message headers and room for the rest.
    pub max_header_block: ByteSize,
    /// The longest request target [16KiB].
    pub max_request_target: ByteSize,
    /// The most request headers [96].
    pub max_headers: usize,
    /// The largest JSON batch as it arrives, before Base64 and escapes are undone [32MiB].
    pub max_batch_body: ByteSize,
    /// The largest JSON body of any other call [1MiB].
    pub max_json_body: ByteSize,
    /// The largest body of a request whose signature covers it [4MiB]: it is read before it is known who asks.
    pub max_signed_body: ByteSize,
    /// The memory that request bodies being read may take together [256MiB]; then 503.
    pub max_body_memory: ByteSize,
    /// How many times larger than it came a compressed body may become [100: texts reach 20]; 1 MiB it may in any case.
    pub max_body_ratio: u64,
    /// The deepest nesting of a JSON body [64].
    pub max_json_depth: usize,
    /// The most long polls and streams at once [10000].
    pub max_waiting: usize,
    /// The most long polls and streams of one principal [1000].
    pub max_waiting_per_principal: usize,
    /// The most requests at once on one HTTP/2 connection [128].
    pub max_concurrent_requests: u32,
    /// The most messages of one NDJSON upload that are not stored yet [256]; then reading waits.
    pub max_upload_in_flight: usize,
    /// The most unsettled deliveries a group stream may ask for as `maxInFlight` [1000].
    pub max_stream_in_flight: usize,
    /// The lease of a delivery when the call names none [60s].
    pub default_lease: Span,
    /// The most receives with an `attempt` whose answers can be asked for again [10000]; then the oldest are forgotten.
    pub max_attempts: usize,
    /// The most bytes of messages in such answers [64MiB].
    pub max_attempt_bytes: ByteSize,
    /// The longest that a token in a query (`access_token`) may still be good [1h]: addresses end up in logs and histories,
    /// so only what is soon worthless is taken there. `0s` takes none.
    pub max_query_token_life: Span,
    /// Proxies whose word counts about who asks, in `Forwarded` or `X-Forwarded-For`, as `10.0.0.1` or `10.0.0.0/8` [none]: an
    /// address that anybody could write there would pass for one that policies trust.
    pub trusted_proxies: Vec<SourceNet>,
    /// Take passwords (`Basic`) on connections without TLS [true]: whoever is on the way can read them there, and behind a
    /// proxy that ends TLS they come so all the same.
    pub plain_basic: bool,
    /// The origins whose web pages may call this interface, as in `https://shop.example.com`; `*` is every one [none]. A
    /// page has to know and say a user's secret or token; what a browser adds by itself is never asked for.
    pub cors_origins: Vec<AllowedOrigin>,
    /// The origins whose web pages may open a WebSocket, as in `https://shop.example.com`; `*` is every one [none]. Pages
    /// of the server's own address always may, and so may programs, which send no origin.
    pub websocket_origins: Vec<AllowedOrigin>,
    /// Ask who wants to see `/metrics` [true], on this port and on one of their own (`listen.metrics`): it takes `Get` on
    /// `Cluster`. Without it, numbers are there for everybody who reaches the port, and nothing but numbers.
    pub metrics_login: bool,
    /// How long a WebSocket may be quiet before it is pinged [30s]: proxies cut connections that are silent for a minute.
    pub websocket_ping: Span,
    /// How often an idle stream sends a sign of life [15s]: proxies cut connections that are silent for 30 s.
    pub heartbeat: Span,
    /// The cloud's MQ HTTP protocol.
    pub mq: MqConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            header_read_timeout: Span::secs(10),
            idle_timeout: Span::secs(120),
            write_timeout: Span::secs(60),
            body_idle_timeout: Span::secs(30),
            body_timeout: Span::secs(120),
            max_header_block: ByteSize::kib(64),
            max_request_target: ByteSize::kib(16),
            max_headers: 96,
            max_batch_body: ByteSize::mib(32),
            max_json_body: ByteSize::mib(1),
            max_signed_body: ByteSize::mib(4),
            max_body_memory: ByteSize::mib(256),
            max_body_ratio: 100,
            max_json_depth: 64,
            max_waiting: 10_000,
            max_waiting_per_principal: 1000,
            max_concurrent_requests: 128,
            max_upload_in_flight: 256,
            max_stream_in_flight: 1000,
            default_lease: Span::secs(60),
            max_attempts: 10_000,
            max_attempt_bytes: ByteSize::mib(64),
            max_query_token_life: Span::secs(3600),
            trusted_proxies: Vec::new(),
            plain_basic: true,
            cors_origins: Vec::new(),
            websocket_origins: Vec::new(),
            metrics_login: true,
            websocket_ping: Span::secs(30),
            heartbeat: Span::secs(15),
            mq: MqConfig::default(),
        }
    }
}
