//! Stock clients: each suite against a plain broker, one with TLS, one that asks who is there, and one with both.
//!
//! Every step gets a broker of its own on free ports, so that suites side by side cannot disturb each other.
//! `tests/interop/README.md` has the environment that the suites read.

use super::step::{Prepared, Step};
use crate::load::{Broker, Settings};
use crate::shell::{Result, broker, command, output, root};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// How a broker is set up for a suite.
#[derive(Clone, Copy)]
enum Variant {
    Plain,
    Tls,
    Acl,
    /// TLS and nothing else, and users: what people have in the end.
    Secure,
    /// Topics are not made on first use.
    NoCreate,
}

const VARIANTS: [(Variant, &str); 4] =
    [(Variant::Plain, ""), (Variant::Tls, " tls"), (Variant::Acl, " acl"), (Variant::Secure, " tls+acl")];

impl Variant {
    fn has_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Secure)
    }

    fn has_users(self) -> bool {
        matches!(self, Self::Acl | Self::Secure)
    }
}

/// What TLS and users could spoil only together: coming in, being kept out, and some of everything else.
const SECURE: &str =
    "passcode|may-not|^1.2/|knows|refuses|publishes|receives|^acl-|^tls-stranger|^page-|^relay-|^secure";

/// The two lines of Java clients in use, which speak differently.
const JAVA_VERSIONS: [&str; 2] = ["5.5.0", "4.9.8"];

/// Kafka's Java client, and an old one that is still in use.
const KAFKA_JAVA_VERSIONS: [&str; 2] = ["4.4.0", "2.8.2"];

/// More versions of a suite's client than its own, against a plain broker and one with TLS and users.
const MORE_VERSIONS: [(&str, &str); 2] = [("python", "8.1.0"), ("python", "9.0.0")];

/// The suites of the cloud's HTTP SDKs, and the one of them that cannot speak TLS.
const CLOUD: &str = "mqhttp-";
const PLAIN_ONLY: &str = "mqhttp-python";

/// The suites of Kafka's clients, which come with certificates of their own, too.
const KAFKA: &str = "kafka-";

/// How long their deliveries are leased, in seconds: they cannot say, and the cloud's five minutes are too long to wait.
const MQ_LEASE_SECONDS: &str = "6";

/// An origin whose pages the broker lets open a WebSocket.
const WEBSOCKET_ORIGIN: &str = "http://pages.test";

/// A user for everything but one topic, as `tests/interop/README.md` says.
const ACL: &str = r#"
[[users]]
name = "interop-user"
secret = "interop-secret"
[[users]]
name = "interop-limited"
secret = "limited-secret"
[[policies]]
subject = "interop-user"
resource = "*"
actions = ["All"]
[[policies]]
subject = "interop-limited"
resource = "*"
actions = ["All"]
[[policies]]
subject = "interop-limited"
resource = "Topic:forbidden"
actions = ["All"]
decision = "deny"
"#;

/// Whose tokens the broker takes, and a token for `interop-user` that is good until the year 2100.
const JWT: &str = r#"[{ issuer = "https://id.example.com", audience = "sluice", algorithms = ["HS256"],
  secret = "interop-secret-of-thirty-two-bytes-or-more", user_claim = "sub" }]"#;
const BEARER: &str = concat!(
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
    "eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwiYXVkIjoic2x1aWNlIiwic3ViIjoiaW50ZXJvcC11c2VyIiwiZXhwIjo0MTAyNDQ0ODAwfQ.",
    "Oo_0RMgsQjxkIgh9RyARhPGSEOccDWQN2MMWlaPjbsM",
);

pub fn steps(limit: Duration) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for (suite, script) in super::scripts(&root().join("tests/interop"))? {
        let versions = match suite.as_str() {
            "java" => JAVA_VERSIONS.as_slice(),
            "kafka-java" => KAFKA_JAVA_VERSIONS.as_slice(),
            _ => &[""],
        };
        for version in versions {
            // The description is the same in every variant, and with users there is something behind all of it.
            let is_meant = |variant: Variant| match suite.as_str() {
                "schemathesis" => matches!(variant, Variant::Acl),
                "kafka-streams" | "kafka-connect" => matches!(variant, Variant::Plain),
                // Everything in plain text, and every way of logging in over TLS.
                kafka if kafka.starts_with(KAFKA) => matches!(variant, Variant::Plain | Variant::Secure),
                "rocketmq-python" => !variant.has_tls(), // it speaks none
                // All of a suite runs over TLS, and all of it for users; what the two could spoil together is HTTP's.
                cloud if cloud.starts_with(CLOUD) => match variant {
                    Variant::Tls => cloud != PLAIN_ONLY,
                    _ => !variant.has_tls(),
                },
                _ => true,
            };
            for (variant, label) in VARIANTS.into_iter().filter(|(variant, _)| is_meant(*variant)) {
                let name = format!("interop/{}{label}", [suite.as_str(), version].join(" ").trim_end());
                let script = script.clone();
                steps.push(Step::prepared(name, limit, move || prepare(&script, version, variant, &[])));
            }
        }
    }
    steps.extend(more_versions(limit));
    steps.extend(java_alone(limit));
    steps.push(Step::prepared("interop/kafka-librdkafka no-create", limit, || {
        prepare(&librdkafka(), "", Variant::NoCreate, &[])
    }));
    let mut documents = command(root().join("tests/interop/curl/docs.sh"), &[]);
    documents.env("SLUICE_BIN", broker());
    steps.push(Step::new("interop/curl documents", documents, limit));
    let mut groups = command(root().join("tests/interop/kafka-groups/groups.sh"), &[]);
    groups.env("SLUICE_BIN", broker());
    steps.push(Step::new("interop/kafka-groups", groups, limit));
    let mut transactions = command(root().join("tests/interop/kafka-transactions/transactions.sh"), &[]);
    transactions.env("SLUICE_BIN", broker());
    steps.push(Step::new("interop/kafka-transactions", transactions, limit));
    Ok(steps)
}

fn more_versions(limit: Duration) -> impl Iterator<Item = Step> {
    MORE_VERSIONS.into_iter().flat_map(move |(suite, version)| {
        let script = root().join("tests/interop").join(suite).join("run.sh");
        [(Variant::Plain, ""), (Variant::Secure, " tls+acl")].map(|(variant, label)| {
            let script = script.clone();
            let name = format!("interop/{suite} {version}{label}");
            Step::prepared(name, limit, move || prepare(&script, version, variant, &[]))
        })
    })
}

/// What only the Java clients show: a broker that creates no topics, and one that is stopped and killed under them.
fn java_alone(limit: Duration) -> [Step; 2] {
    let folder = root().join("tests/interop/java");
    let mut restart = command(folder.join("restart.sh"), &[]);
    restart.env("SLUICE_BIN", broker());
    let unknown =
        move || prepare(&folder.join("run.sh"), "5.5.0", Variant::NoCreate, &["topic-unknown-refused"]);
    [
        Step::new("interop/java restart", restart, limit),
        Step::prepared("interop/java no-create", limit, unknown),
    ]
}

/// Its programs were written for a cluster, and some ask for three replicas.
fn librdkafka() -> PathBuf {
    root().join("tests/interop/kafka-librdkafka/run.sh")
}

fn prepare(script: &Path, version: &str, variant: Variant, scenarios: &[&str]) -> Result<Prepared> {
    let folder = TempDir::new()?;
    let mut settings = Settings::in_folder(folder.path());
    let mut run = command(script, scenarios);
    settings.set("SLUICE_HTTP__WEBSOCKET_ORIGINS", format!("[{WEBSOCKET_ORIGIN:?}]"));
    run.env("WEBSOCKET_ORIGIN", WEBSOCKET_ORIGIN);
    for key in ["INVISIBLE_TIME", "ORDER_INVISIBLE_TIME"] {
        settings.set(&format!("SLUICE_HTTP__MQ__{key}"), format!("{MQ_LEASE_SECONDS}s"));
    }
    run.env("MQ_LEASE_SECONDS", MQ_LEASE_SECONDS);
    if script == librdkafka() {
        settings.set("SLUICE_KAFKA__ANY_REPLICATION_FACTOR", "true");
    }
    if matches!(variant, Variant::NoCreate) {
        settings.set("SLUICE_TOPICS__AUTO_CREATE", "false");
        run.env("AUTO_CREATE", "off");
    }
    if variant.has_tls() {
        make_certificates(folder.path())?;
        settings.set("SLUICE_TLS__CERT", folder.path().join("server.pem"));
        settings.set("SLUICE_TLS__KEY", folder.path().join("server.key"));
        run.env("TLS", "1").env("TLS_CA", folder.path().join("ca.pem"));
        if script
            .parent()
            .and_then(Path::file_name)
            .is_some_and(|suite| suite.to_string_lossy().starts_with(KAFKA))
        {
            settings.set("SLUICE_TLS__CLIENT_CA", folder.path().join("ca.pem"));
            settings.set("SLUICE_TLS__CLIENT_AUTH", "optional");
            run.env("TLS_CLIENT_CERT", folder.path().join("interop-user.pem"));
            run.env("TLS_CLIENT_KEY", folder.path().join("interop-user.key"));
        }
    }
    if variant.has_users() {
        let file = folder.path().join("acl.toml");
        std::fs::write(&file, ACL)?;
        settings.set("SLUICE_AUTH__MODE", "acl");
        settings.set("SLUICE_AUTH__FILE", &file);
        settings.set("SLUICE_AUTH__JWT", JWT);
        run.env("ACL_USER", "interop-user").env("ACL_SECRET", "interop-secret");
        run.env("ACL_LIMITED_USER", "interop-limited").env("ACL_LIMITED_SECRET", "limited-secret");
        run.env("STOMP_LOGIN", "interop-user").env("STOMP_PASSCODE", "interop-secret");
        run.env("AUTH_USER", "interop-user").env("AUTH_PASSWORD", "interop-secret").env("BEARER", BEARER);
    }
    if matches!(variant, Variant::Secure) {
        settings.set("SLUICE_TLS__MODE", "required");
        run.env("ONLY", SECURE);
    }
    if !version.is_empty() {
        run.env("CLIENT_VERSION", version);
    }
    let broker = Broker::start(&settings)?;
    run.env("NAMESRV_ADDR", broker.address("namesrv")?.to_string());
    run.env("STOMP_ADDR", broker.address("stomp")?.to_string());
    run.env("HTTP_ADDR", broker.address("http")?.to_string());
    run.env("KAFKA_ADDR", broker.address("kafka")?.to_string());
    Ok(Prepared { command: run, guard: Box::new((broker, folder)) })
}

/// Makes an authority and certificates as people do for a first try.
fn make_certificates(folder: &Path) -> Result {
    let mut make = command(broker(), &["cert", "dev", "--client", "interop-user", "--dir"]);
    make.arg(folder);
    output(make).map(drop)
}
