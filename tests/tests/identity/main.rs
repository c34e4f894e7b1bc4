//! One identity on every wire: a client certificate stands for the same user, and a quota holds, said in each wire's words.
//!
//! - `certificates` — who comes with a certificate; `quotas` — who is over one; `listed` — who is connected
//! - `revoked` — who is no longer known while something waits
//! - `hostile` — who wants to get in over Kafka; `timing` — how long a refusal takes on each wire
//! - `words` — what is said on each wire; `line`, `tls` — and over what; `kafka` — Kafka's requests

mod certificates;
mod hostile;
mod kafka;
mod line;
mod listed;
mod quotas;
mod revoked;
mod timing;
mod tls;
mod words;

use sluice_auth::{AclFile, Command as Change};
use sluice_tests::TestServer;
use std::time::Duration;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

const USERS: &str = r#"
[[users]]
name = "shop-app"

[[users]]
name = "app"
secret = "apps-secret"

[[policies]]
subject = "app"
resource = "*"
actions = ["All"]

[[policies]]
subject = "shop-app"
resource = "Topic:till"
actions = ["Get"]
"#;

fn change(server: &TestServer, file: &str) {
    let file = AclFile::parse(file).unwrap_or_else(|e| panic!("{e}"));
    let changed = server.broker().change_access_as_operator(Change::ReplaceFile(file));
    server.block_on(changed).unwrap_or_else(|e| panic!("{e}"));
}
