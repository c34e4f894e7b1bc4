//! Stock clients: each suite against a plain broker, one with TLS, and one that asks who is there.
//!
//! Every step gets a broker of its own on free ports, so that suites side by side cannot disturb each other.
//! `tests/interop/README.md` has the environment that the suites read.

use super::step::{Prepared, Step};
use crate::load::{Broker, Settings};
use crate::shell::{Result, broker, command, root};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How a broker is set up for a suite.
#[derive(Clone, Copy)]
enum Variant {
    Plain,
    Tls,
    Acl,
    /// Topics are not made on first use.
    NoCreate,
}

const VARIANTS: [(Variant, &str); 3] = [(Variant::Plain, ""), (Variant::Tls, " tls"), (Variant::Acl, " acl")];

/// The two lines of Java clients in use, which speak differently.
const JAVA_VERSIONS: [&str; 2] = ["5.5.0", "4.9.8"];

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
        let versions = if suite == "java" { JAVA_VERSIONS.as_slice() } else { &[""] };
        for version in versions {
            for (variant, label) in VARIANTS {
                let name = format!("interop/{}{label}", [suite.as_str(), version].join(" ").trim_end());
                let script = script.clone();
                steps.push(Step::prepared(name, limit, move || prepare(&script, version, variant, &[])));
            }
        }
    }
    steps.extend(java_alone(limit));
    Ok(steps)
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

fn prepare(script: &Path, version: &str, variant: Variant, scenarios: &[&str]) -> Result<Prepared> {
    let folder = TempDir::new()?;
    let mut settings = Settings::in_folder(folder.path());
    let mut run = command(script, scenarios);
    match variant {
        Variant::Plain => {}
        Variant::NoCreate => {
            settings.set("SLUICE_TOPICS__AUTO_CREATE", "false");
            run.env("AUTO_CREATE", "off");
        }
        Variant::Tls => {
            let certificates = Certificates::make(folder.path())?;
            settings.set("SLUICE_TLS__CERT", &certificates.cert);
            settings.set("SLUICE_TLS__KEY", &certificates.key);
            run.env("TLS", "1").env("TLS_CA", &certificates.authority);
        }
        Variant::Acl => {
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
    }
    if !version.is_empty() {
        run.env("CLIENT_VERSION", version);
    }
    let broker = Broker::start(&settings)?;
    run.env("NAMESRV_ADDR", broker.address("namesrv")?.to_string());
    run.env("STOMP_ADDR", broker.address("stomp")?.to_string());
    run.env("HTTP_ADDR", broker.address("http")?.to_string());
    Ok(Prepared { command: run, guard: Box::new((broker, folder)) })
}

/// An authority and a certificate of its making for this machine's loopback.
struct Certificates {
    authority: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Certificates {
    fn make(folder: &Path) -> Result<Self> {
        let path = |name: &str| folder.join(name);
        let (authority, authority_key) = (path("authority.pem"), path("authority.key"));
        let (cert, key, request, names) =
            (path("cert.pem"), path("key.pem"), path("cert.csr"), path("names.ext"));
        std::fs::write(&names, "subjectAltName=DNS:localhost,IP:127.0.0.1\n")?;
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout"];

        let mut root = Command::new("openssl");
        root.args(["req", "-x509", "-days", "2", "-subj", "/CN=Sluice test authority"]).args(new_key);
        openssl(root.arg(&authority_key).arg("-out").arg(&authority))?;

        let mut leaf = Command::new("openssl");
        leaf.args(["req", "-subj", "/CN=localhost"]).args(new_key);
        openssl(leaf.arg(&key).arg("-out").arg(&request))?;

        let mut sign = Command::new("openssl");
        sign.args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"]).arg(&request);
        sign.arg("-CA").arg(&authority).arg("-CAkey").arg(&authority_key);
        openssl(sign.arg("-extfile").arg(&names).arg("-out").arg(&cert))?;
        Ok(Self { authority, cert, key })
    }
}

fn openssl(command: &mut Command) -> Result {
    let output =
        command.output().map_err(|error| format!("openssl: {error}; tests/interop/setup.sh installs it"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}
