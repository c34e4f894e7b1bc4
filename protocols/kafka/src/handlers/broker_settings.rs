//! The broker's own settings, as far as Kafka has names for them.
//!
//! The one idea to know: what the broker can change while it runs is changed here, too, and holds after a restart; all else
//! is the configuration file's, and says so.

use crate::client::Client;
use crate::errors::Code;
use crate::handlers::configs::{Changes, Kind, Setting, Source};
use sluice_auth::{Action, Session};
use sluice_broker::Setting as Tuning;

const AUTO_CREATE: &str = "auto.create.topics.enable";
const RETENTION: &str = "log.retention.ms";

type Refused = (Code, String);

/// Refuses a name that is not this broker's. None at all means every broker.
pub(crate) fn check_name(client: &Client, name: &str) -> Result<(), Refused> {
    let node = client.config().node_id;
    match name.is_empty() || name.parse() == Ok(node) {
        true => Ok(()),
        false => Err((Code::InvalidRequest, format!("there is one broker, number {node}"))),
    }
}

pub(crate) fn all(client: &Client) -> Vec<Setting> {
    let (rules, tuned) = (client.broker().config(), client.broker().tuned());
    let fixed =
        |name, value: String, kind| Setting { name, value, source: Source::Broker, kind, read_only: true };
    let open = |name, value: String, kind, is_changed| Setting {
        name,
        value,
        source: if is_changed { Source::ChangedBroker } else { Source::Broker },
        kind,
        read_only: false,
    };
    let (creates, kept) = (tuned.auto_create, tuned.retention.as_millis());
    vec![
        open(AUTO_CREATE, creates.to_string(), Kind::Boolean, creates != rules.auto_create),
        fixed("default.replication.factor", "1".to_owned(), Kind::Int),
        open(RETENTION, kept.to_string(), Kind::Long, kept != rules.retention.as_millis()),
        fixed("message.max.bytes", rules.max_message_size.0.to_string(), Kind::Int),
        fixed("node.id", client.config().node_id.to_string(), Kind::Int),
        fixed("num.partitions", client.config().partitions.to_string(), Kind::Int),
        fixed("socket.request.max.bytes", client.config().max_request.0.to_string(), Kind::Int),
    ]
}

/// Changes some, all or none; `from_file` puts those that are not named back to what the file says.
pub(crate) async fn alter(
    client: &Client,
    session: &Session,
    name: &str,
    changes: Changes,
    from_file: bool,
    validate_only: bool,
) -> Result<(), Refused> {
    let told = |error: sluice_model::Error| (Code::of_cluster(&error), error.message().to_owned());
    check_name(client, name)?;
    let unnamed =
        [AUTO_CREATE, RETENTION].iter().filter(|_| from_file).map(|name| ((*name).to_owned(), None));
    let each = unnamed.chain(changes).map(|(name, value)| tuning(client, &name, value.as_deref()));
    let tunings = each.collect::<Result<Vec<_>, _>>()?;
    match validate_only {
        true => client.broker().permit_cluster(session, Action::Update).map_err(told),
        false => client.broker().tune(session, &tunings).await.map_err(told),
    }
}

/// The change of one; no value goes back to what the file says.
fn tuning(client: &Client, name: &str, value: Option<&str>) -> Result<Tuning, Refused> {
    let rules = client.broker().config();
    let invalid = |why: String| Err((Code::InvalidConfig, why));
    match (name, value) {
        (AUTO_CREATE, None) => Ok(Tuning::AutoCreate(rules.auto_create)),
        (AUTO_CREATE, Some(value)) => match value.parse() {
            Ok(yes) => Ok(Tuning::AutoCreate(yes)),
            Err(_) => invalid(format!("{name} is true or false")),
        },
        (RETENTION, None) => Ok(Tuning::Retention(rules.retention.as_millis())),
        (RETENTION, Some(value)) => match value.parse::<u64>() {
            Ok(millis) if millis > 0 => Ok(Tuning::Retention(millis)),
            _ => invalid(format!("{name} must be at least 1")),
        },
        _ => invalid(format!("{name} cannot be changed while the broker runs")),
    }
}
