//! DescribeClientQuotas and AlterClientQuotas: the quotas of users, roles and groups, under the names they have here.
//!
//! Kafka limits sending and receiving by themselves, by user and by what a client calls itself. Here both count together,
//! and whatever a client calls itself is no ground to give or refuse it anything: so Kafka's own keys and its entity
//! `client-id` are refused, with the words for what there is instead.

use super::{Refused, has_users, invalid, refused, told};
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use kafka_protocol::messages::alter_client_quotas_request::{EntryData as Asked, OpData};
use kafka_protocol::messages::alter_client_quotas_response::{EntityData as ToldEntity, EntryData as Told};
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
};
use sluice_auth::{Command, GroupQuotaSpec, Quota, RoleSpec, Session, UserSpec};
use sluice_model::units::ByteSize;
use std::collections::BTreeSet;
use std::sync::Arc;

const USER: &str = "user";
const ROLE: &str = "role";
const GROUP: &str = "group";
/// Entities that Kafka has and that have no quota here.
const OTHERS: [&str; 2] = ["client-id", "ip"];
/// Limits.
const BYTES: &str = "bytes_per_second";
const MESSAGES: &str = "messages_per_second";
const CONNECTIONS: &str = "connections";
const IN_FLIGHT: &str = "in_flight";
/// How a filter matches a name.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;
/// Users of one answer, as many as there may be.
const MAX_USERS: usize = 100_000;
/// The largest whole number that a double has, and each below it.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// Of whom it is a quota.
type Entity = (&'static str, String);

pub(super) async fn describe(
    client: Arc<Client>,
    _: Head,
    request: DescribeClientQuotasRequest,
) -> Result<DescribeClientQuotasResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let found = find(&client, &session, &request.components, request.strict).await;
    let entries = found.as_ref().ok().map(|found| found.iter().map(entry).collect());
    let (code, message) = told(found.map(drop));
    Ok(DescribeClientQuotasResponse::default()
        .with_error_code(code)
        .with_error_message(message)
        .with_entries(entries))
}

/// Every entity here is of one kind, so no filter for two kinds at once finds anything.
async fn find(
    client: &Client,
    session: &Session,
    filters: &[ComponentData],
    strict: bool,
) -> Result<Vec<(Entity, Quota)>, Refused> {
    has_users(client)?;
    let mut seen = BTreeSet::new();
    for filter in filters {
        kind(&filter.entity_type)?;
        if !seen.insert(&filter.entity_type) || !(EXACT..=SPECIFIED).contains(&filter.match_type) {
            return Err(invalid("a filter names a kind once, and matches exactly, by default, or any name"));
        }
    }
    let all = all(client, session).await?;
    let is_meant = |(of, name): &Entity| match filters {
        [] => !strict,
        [filter] => {
            *filter.entity_type == **of
                && match filter.match_type {
                    EXACT => filter._match.as_ref().is_some_and(|wanted| *wanted == **name),
                    kind => kind != DEFAULT,
                }
        }
        _ => false,
    };
    Ok(all.into_iter().filter(|(entity, quota)| !quota.is_none() && is_meant(entity)).collect())
}

async fn all(client: &Client, session: &Session) -> Result<Vec<(Entity, Quota)>, Refused> {
    let broker = client.broker();
    let users = broker.users(session, None, MAX_USERS).await.map_err(|error| refused(&error))?;
    let roles = broker.roles(session).map_err(|error| refused(&error))?;
    let groups = broker.group_quotas(session).map_err(|error| refused(&error))?;
    let users = users.into_iter().map(|user| ((USER, user.name), user.quota));
    let roles = roles.into_iter().map(|role| ((ROLE, role.name), role.quota));
    Ok(users
        .chain(roles)
        .chain(groups.into_iter().map(|group| ((GROUP, group.group), group.quota)))
        .collect())
}

/// The kind of entity by its name; none for one that Kafka has alone.
fn kind(name: &str) -> Result<Option<&'static str>, Refused> {
    match [USER, ROLE, GROUP].into_iter().find(|known| *known == name) {
        None if OTHERS.contains(&name) => Ok(None),
        None => {
            Err(invalid(format!("{name:?} is nothing that has quotas; there are {USER}, {ROLE} and {GROUP}")))
        }
        known => Ok(known),
    }
}

fn entry(((of, name), quota): &(Entity, Quota)) -> EntryData {
    let entity =
        EntityData::default().with_entity_type((*of).into()).with_entity_name(Some(name.clone().into()));
    let limits = [
        (BYTES, quota.bytes_per_second.map(|bytes| bytes.0 as f64)),
        (MESSAGES, quota.messages_per_second.map(|messages| messages as f64)),
        (CONNECTIONS, quota.connections.map(f64::from)),
        (IN_FLIGHT, quota.in_flight.map(f64::from)),
    ];
    let values = limits.into_iter().filter_map(|(key, value)| {
        value.map(|value| ValueData::default().with_key(key.into()).with_value(value))
    });
    EntryData::default().with_entity(vec![entity]).with_values(values.collect())
}

pub(super) async fn alter(
    client: Arc<Client>,
    _: Head,
    request: AlterClientQuotasRequest,
) -> Result<AlterClientQuotasResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let _turn = client.wire.access.lock().await;
    let mut entries = Vec::with_capacity(request.entries.len());
    for asked in request.entries {
        let (code, message) = told(change(&client, &session, &asked, request.validate_only).await);
        let entity = asked.entity.into_iter().map(|part| {
            ToldEntity::default().with_entity_type(part.entity_type).with_entity_name(part.entity_name)
        });
        entries.push(
            Told::default().with_error_code(code).with_error_message(message).with_entity(entity.collect()),
        );
    }
    Ok(AlterClientQuotasResponse::default().with_entries(entries))
}

async fn change(
    client: &Client,
    session: &Session,
    asked: &Asked,
    validate_only: bool,
) -> Result<(), Refused> {
    has_users(client)?;
    let [entity] = &*asked.entity else {
        return Err(invalid(format!("a quota is that of one {USER}, one {ROLE} or one {GROUP}")));
    };
    let of = kind(&entity.entity_type)?
        .ok_or_else(|| invalid("what a client calls itself, or where it is, has no quota"))?;
    let name =
        entity.entity_name.as_ref().ok_or_else(|| invalid("there are no default quotas; give a role one"))?;
    let known =
        all(client, session).await?.into_iter().find(|((kind, known), _)| *kind == of && known == &**name);
    if known.is_none() && of != GROUP {
        return Err((Code::ResourceNotFound, format!("there is no {of} {:?}", &**name)));
    }
    let quota = asked.ops.iter().try_fold(known.map(|(_, quota)| quota).unwrap_or_default(), limited)?;
    let name = name.to_string();
    let command = match of {
        USER => Command::PutUser(UserSpec { quota: Some(quota), ..UserSpec::named(&name) }),
        ROLE => Command::PutRole(RoleSpec { name, quota: Some(quota) }),
        _ => Command::PutGroupQuota(GroupQuotaSpec { group: name, quota }),
    };
    let done = match validate_only {
        true => client.broker().check_access(session, command).await.map(drop),
        false => client.broker().change_access(session, command).await,
    };
    done.map_err(|error| refused(&error))
}

/// A quota with one limit changed.
fn limited(quota: Quota, op: &OpData) -> Result<Quota, Refused> {
    let value = if op.remove { None } else { Some(whole(op)?) };
    let few = |value: u64| {
        u32::try_from(value).map_err(|_| invalid(format!("{} is at most {}", &*op.key, u32::MAX)))
    };
    Ok(match &*op.key {
        BYTES => Quota { bytes_per_second: value.map(ByteSize), ..quota },
        MESSAGES => Quota { messages_per_second: value, ..quota },
        CONNECTIONS => Quota { connections: value.map(few).transpose()?, ..quota },
        IN_FLIGHT => Quota { in_flight: value.map(few).transpose()?, ..quota },
        "producer_byte_rate" | "consumer_byte_rate" => {
            return Err(invalid(format!("sending and receiving count together: {BYTES}")));
        }
        other => {
            let there_are = [BYTES, MESSAGES, CONNECTIONS, IN_FLIGHT].join(", ");
            return Err(invalid(format!("{other} is not limited here; there are {there_are}")));
        }
    })
}

fn whole(op: &OpData) -> Result<u64, Refused> {
    let is_whole = op.value.fract() == 0.0 && (1.0..=MAX_WHOLE).contains(&op.value);
    is_whole
        .then_some(op.value as u64)
        .ok_or_else(|| invalid(format!("{} is a whole number from 1 on", &*op.key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(key: &'static str, value: f64, remove: bool) -> OpData {
        OpData::default().with_key(key.into()).with_value(value).with_remove(remove)
    }

    #[test]
    fn a_limit_is_changed_and_the_others_stay() {
        let quota = Quota { connections: Some(7), ..Quota::default() };
        let quota = limited(quota, &op(BYTES, 1024.0, false)).unwrap();
        assert_eq!((quota.bytes_per_second, quota.connections), (Some(ByteSize(1024)), Some(7)));
        assert!(limited(quota, &op(BYTES, 0.5, true)).unwrap().bytes_per_second.is_none());
        for wrong in [0.0, -1.0, 1.5, f64::NAN, f64::INFINITY, 1e300] {
            assert!(limited(quota, &op(MESSAGES, wrong, false)).is_err(), "{wrong}");
        }
        assert!(limited(quota, &op(CONNECTIONS, 5e9, false)).is_err());
        assert!(limited(quota, &op("producer_byte_rate", 1.0, false)).unwrap_err().1.contains("together"));
        assert!(limited(quota, &op("request_percentage", 1.0, false)).unwrap_err().1.contains("not limited"));
    }
}
