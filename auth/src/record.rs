//! Users and roles as they lie in the log: a name and a list of facts.
//!
//! The encoding has no field names, so a struct could never get another field. A list of facts can: new kinds of
//! facts are appended to the enums, and what an older version wrote is read for ever. What version 0.1 wrote before
//! there were facts is `UserV1`.

use crate::api_token::ApiToken;
use crate::quota::{GroupQuota, Quota};
use crate::role::Role;
use crate::scram::{Scram, ScramMechanism};
use crate::user::User;
use crate::{AccessKey, Secret};
use serde::{Deserialize, Serialize};
use sluice_model::units::ByteSize;

/// A user in the log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UserRecord {
    name: String,
    facts: Vec<UserFact>,
}

/// Something about a user. Append only: the order is the encoding.
#[derive(Debug, Serialize, Deserialize)]
enum UserFact {
    Superuser,
    Disabled,
    FromFile,
    PasswordHash(String),
    Secret(Secret),
    AccessKey(AccessKey),
    Role(String),
    PreviousSecret(Secret),
    SealedSecret(Vec<u8>),
    SealedPreviousSecret(Vec<u8>),
    SealedAccessKey { key: String, secret: Vec<u8> },
    Token(ApiToken),
    BytesPerSecond(u64),
    MessagesPerSecond(u64),
    Connections(u32),
    InFlight(u32),
    Scram(ScramMechanism, u32, Vec<u8>, Secret),
    SealedScram(ScramMechanism, u32, Vec<u8>, Vec<u8>),
}

impl From<User> for UserRecord {
    fn from(user: User) -> Self {
        let mut facts = Vec::new();
        facts.extend(user.superuser.then_some(UserFact::Superuser));
        facts.extend((!user.enabled).then_some(UserFact::Disabled));
        facts.extend(user.from_file.then_some(UserFact::FromFile));
        facts.extend(user.password_hash.map(UserFact::PasswordHash));
        facts.extend(user.secret.map(|secret| match secret.sealed_bytes() {
            Some(bytes) => UserFact::SealedSecret(bytes.to_vec()),
            None => UserFact::Secret(secret),
        }));
        facts.extend(user.previous_secret.map(|secret| match secret.sealed_bytes() {
            Some(bytes) => UserFact::SealedPreviousSecret(bytes.to_vec()),
            None => UserFact::PreviousSecret(secret),
        }));
        facts.extend(user.access_keys.into_iter().map(|own| match own.secret.sealed_bytes() {
            Some(bytes) => UserFact::SealedAccessKey { secret: bytes.to_vec(), key: own.key },
            None => UserFact::AccessKey(own),
        }));
        facts.extend(user.scram.into_iter().map(|kept| match kept.keys.sealed_bytes() {
            Some(bytes) => UserFact::SealedScram(kept.mechanism, kept.iterations, kept.salt, bytes.to_vec()),
            None => UserFact::Scram(kept.mechanism, kept.iterations, kept.salt, kept.keys),
        }));
        facts.extend(user.tokens.into_iter().map(UserFact::Token));
        facts.extend(user.quota.bytes_per_second.map(|rate| UserFact::BytesPerSecond(rate.0)));
        facts.extend(user.quota.messages_per_second.map(UserFact::MessagesPerSecond));
        facts.extend(user.quota.connections.map(UserFact::Connections));
        facts.extend(user.quota.in_flight.map(UserFact::InFlight));
        facts.extend(user.roles.into_iter().map(UserFact::Role));
        Self { name: user.name, facts }
    }
}

impl From<UserRecord> for User {
    fn from(record: UserRecord) -> Self {
        let mut user = Self::new(&record.name);
        for fact in record.facts {
            match fact {
                UserFact::Superuser => user.superuser = true,
                UserFact::Disabled => user.enabled = false,
                UserFact::FromFile => user.from_file = true,
                UserFact::PasswordHash(hash) => user.password_hash = Some(hash),
                UserFact::Secret(secret) => user.secret = Some(secret),
                UserFact::AccessKey(key) => user.access_keys.push(key),
                UserFact::Role(role) => user.roles.push(role),
                UserFact::PreviousSecret(secret) => user.previous_secret = Some(secret),
                UserFact::SealedSecret(bytes) => user.secret = Some(Secret::sealed(bytes)),
                UserFact::SealedPreviousSecret(bytes) => user.previous_secret = Some(Secret::sealed(bytes)),
                UserFact::SealedAccessKey { key, secret } => {
                    user.access_keys.push(AccessKey { key, secret: Secret::sealed(secret) });
                }
                UserFact::Scram(mechanism, iterations, salt, keys) => {
                    user.scram.push(Scram { mechanism, iterations, salt, keys });
                }
                UserFact::SealedScram(mechanism, iterations, salt, bytes) => {
                    let keys = Secret::sealed(bytes);
                    user.scram.push(Scram { mechanism, iterations, salt, keys });
                }
                UserFact::Token(token) => user.tokens.push(token),
                UserFact::BytesPerSecond(rate) => user.quota.bytes_per_second = Some(ByteSize(rate)),
                UserFact::MessagesPerSecond(rate) => user.quota.messages_per_second = Some(rate),
                UserFact::Connections(limit) => user.quota.connections = Some(limit),
                UserFact::InFlight(limit) => user.quota.in_flight = Some(limit),
            }
        }
        user
    }
}

/// A role in the log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RoleRecord {
    name: String,
    facts: Vec<RoleFact>,
}

/// Something about a role, or about a group's quota. Append only.
#[derive(Debug, Serialize, Deserialize)]
enum RoleFact {
    FromFile,
    BytesPerSecond(u64),
    MessagesPerSecond(u64),
    Connections(u32),
    InFlight(u32),
}

impl RoleRecord {
    fn new(name: String, quota: Quota, from_file: bool) -> Self {
        let mut facts = Vec::new();
        facts.extend(from_file.then_some(RoleFact::FromFile));
        facts.extend(quota.bytes_per_second.map(|rate| RoleFact::BytesPerSecond(rate.0)));
        facts.extend(quota.messages_per_second.map(RoleFact::MessagesPerSecond));
        facts.extend(quota.connections.map(RoleFact::Connections));
        facts.extend(quota.in_flight.map(RoleFact::InFlight));
        Self { name, facts }
    }

    fn parts(self) -> (String, Quota, bool) {
        let (mut quota, mut from_file) = (Quota::default(), false);
        for fact in self.facts {
            match fact {
                RoleFact::FromFile => from_file = true,
                RoleFact::BytesPerSecond(rate) => quota.bytes_per_second = Some(ByteSize(rate)),
                RoleFact::MessagesPerSecond(rate) => quota.messages_per_second = Some(rate),
                RoleFact::Connections(limit) => quota.connections = Some(limit),
                RoleFact::InFlight(limit) => quota.in_flight = Some(limit),
            }
        }
        (self.name, quota, from_file)
    }
}

impl From<Role> for RoleRecord {
    fn from(role: Role) -> Self {
        Self::new(role.name, role.quota, role.from_file)
    }
}

impl From<RoleRecord> for Role {
    fn from(record: RoleRecord) -> Self {
        let (name, quota, from_file) = record.parts();
        Self { name, quota, from_file }
    }
}

impl From<GroupQuota> for RoleRecord {
    fn from(group: GroupQuota) -> Self {
        Self::new(group.group, group.quota, group.from_file)
    }
}

impl From<RoleRecord> for GroupQuota {
    fn from(record: RoleRecord) -> Self {
        let (group, quota, from_file) = record.parts();
        Self { group, quota, from_file }
    }
}

/// A user as the first logs have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserV1 {
    name: String,
    superuser: bool,
    enabled: bool,
    password_hash: Option<String>,
    secret: Option<Secret>,
    access_keys: Vec<AccessKey>,
    from_file: bool,
}

impl UserV1 {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl From<UserV1> for User {
    fn from(old: UserV1) -> Self {
        Self {
            superuser: old.superuser,
            enabled: old.enabled,
            password_hash: old.password_hash,
            secret: old.secret,
            access_keys: old.access_keys,
            from_file: old.from_file,
            ..Self::new(&old.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Change, Kind};

    /// Bytes as the first version wrote them: kind 0, then the fields of a user in order.
    #[test]
    fn the_first_logs_are_read() {
        let bytes = b"\x00\x05alice\x01\x01\x01\x04hash\x01\x06secret\x01\x02AK\x02SK\x01";
        let change: Change = postcard::from_bytes(bytes).unwrap();
        let Kind::PutUserV1(old) = change.0 else { panic!("{change:?}") };
        let key = AccessKey { key: "AK".into(), secret: "SK".into() };
        let expected = User {
            superuser: true,
            password_hash: Some("hash".into()),
            secret: Some("secret".into()),
            access_keys: vec![key],
            from_file: true,
            ..User::new("alice")
        };
        assert_eq!(User::from(old), expected);
    }

    /// If one of these changes, logs that exist can no longer be read.
    #[test]
    fn the_encoding_of_facts_stays() {
        let user = User { superuser: true, roles: vec!["r".into()], ..User::new("a") };
        let bytes = postcard::to_stdvec(&Change(Kind::PutUser(user.clone()))).unwrap();
        assert_eq!(bytes, b"\x05\x01a\x02\x00\x06\x01r");
        assert_eq!(postcard::from_bytes::<User>(&bytes[1..]).unwrap(), user);
        let role = Role { name: "r".into(), quota: Quota::default(), from_file: true };
        assert_eq!(postcard::to_stdvec(&Change(Kind::PutRole(role))).unwrap(), b"\x07\x01r\x01\x00");
    }
}
