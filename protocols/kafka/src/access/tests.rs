//! Requests about permissions, quotas and credentials as bytes through the table of APIs, against a broker in memory.

use crate::api::{Answer, find};
use crate::client::{Client, Wire};
use crate::codec::Call;
use crate::config::Config;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use sluice_auth::{Auth, Command, Credentials, UserSpec};
use sluice_broker::Broker;
use sluice_model::{Clock, ManualClock};
use sluice_net::Advertised;
use sluice_store::MemoryLog;
use std::sync::Arc;

/// A broker with an administrator, who asks, and `alice`.
pub(super) async fn client() -> Arc<Client> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1_700_000_000_000));
    let auth = Arc::new(Auth::acl(Default::default(), clock.clone()).unwrap());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock, Default::default()).unwrap();
    for name in ["root", "alice"] {
        let spec = UserSpec {
            superuser: Some(name == "root"),
            secret: Some("a password".into()),
            ..UserSpec::named(name)
        };
        broker.change_access_as_operator(Command::PutUser(spec)).await.unwrap();
    }
    let peer = "127.0.0.1:5".parse().unwrap();
    let session =
        broker.login_now(Credentials::Password { user: "root", password: "a password" }, peer).unwrap();
    client_of(broker, session)
}

/// Another user of the same broker.
pub(super) fn client_as(client: &Client, user: &str) -> Arc<Client> {
    let credentials = Credentials::Password { user, password: "a password" };
    let session = client.broker().login_now(credentials, client.peer).unwrap();
    client_of(client.broker().clone(), session)
}

fn client_of(broker: Broker, session: sluice_auth::Session) -> Arc<Client> {
    let wire = Wire::new(broker, Config::default(), Arc::new(Advertised::new(None, None).unwrap()));
    let client = Client::new(Arc::new(wire), "127.0.0.1:5".parse().unwrap(), ("127.0.0.1".into(), 9092));
    client.set_session(session);
    Arc::new(client)
}

pub(super) async fn ask<Q: Request + Encodable>(client: &Arc<Client>, version: i16, request: Q) -> Q::Response
where
    Q::Response: Decodable + HeaderVersion,
{
    let mut rest = BytesMut::new();
    if Q::header_version(version) >= 2 {
        rest.put_u8(0);
    }
    request.encode(&mut rest, version).unwrap();
    let call = Call { key: Q::KEY, version, correlation: 7, client_id: None, rest: rest.freeze() };
    let api = find(Q::KEY).expect("it is offered");
    assert!((api.min..=api.max).contains(&version));
    let answer = (api.run)(Arc::clone(client), call, &api.shape).await;
    let Answer::Respond(output) = answer else { panic!("no answer, version {version} of {}", Q::KEY) };
    let mut bytes = output.to_bytes();
    bytes.advance(if Q::Response::header_version(version) >= 1 { 9 } else { 8 });
    let response = Q::Response::decode(&mut bytes, version).unwrap();
    assert!(bytes.is_empty());
    response
}

pub(super) fn s(text: &str) -> StrBytes {
    StrBytes::from(text.to_owned())
}

fn acl(topic: &str, operation: i8, permission: i8, host: &str) -> AclCreation {
    AclCreation::default()
        .with_resource_type(2)
        .with_resource_name(s(topic))
        .with_resource_pattern_type(3)
        .with_principal(s("User:alice"))
        .with_host(s(host))
        .with_operation(operation)
        .with_permission_type(permission)
}

fn all() -> DescribeAclsRequest {
    DescribeAclsRequest::default()
        .with_resource_type_filter(1)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(1)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1)
}

fn filter(topic: &str, operation: i8, permission: i8) -> DeleteAclsFilter {
    DeleteAclsFilter::default()
        .with_resource_type_filter(2)
        .with_resource_name_filter(Some(s(topic)))
        .with_pattern_type_filter(3)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(operation)
        .with_permission_type(permission)
}

async fn create(client: &Arc<Client>, acl: AclCreation) -> (i16, String) {
    let told = ask(client, 3, CreateAclsRequest::default().with_creations(vec![acl])).await;
    (
        told.results[0].error_code,
        told.results[0].error_message.as_ref().map(|m| m.to_string()).unwrap_or_default(),
    )
}

/// Topic, operation, permission, host.
async fn listed(client: &Arc<Client>, request: DescribeAclsRequest) -> Vec<(String, i8, i8, String)> {
    let told = ask(client, 3, request).await;
    assert_eq!(told.error_code, 0, "{:?}", told.error_message);
    let lines = told.resources.iter().flat_map(|resource| {
        let line = |acl: &describe_acls_response::AclDescription| {
            (resource.resource_name.to_string(), acl.operation, acl.permission_type, acl.host.to_string())
        };
        resource.acls.iter().map(line).collect::<Vec<_>>()
    });
    lines.collect()
}

async fn delete(client: &Arc<Client>, filter: DeleteAclsFilter) -> Vec<(i16, i8)> {
    let told = ask(client, 3, DeleteAclsRequest::default().with_filters(vec![filter])).await;
    assert_eq!(told.filter_results[0].error_code, 0);
    told.filter_results[0].matching_acls.iter().map(|acl| (acl.error_code, acl.operation)).collect()
}

fn line(topic: &str, operation: i8, permission: i8, host: &str) -> (String, i8, i8, String) {
    (topic.to_owned(), operation, permission, host.to_owned())
}

#[tokio::test]
async fn lines_come_and_go_one_by_one() {
    let client = client().await;
    assert_eq!(create(&client, acl("a.b", 3, 3, "*")).await.0, 0);
    assert_eq!(create(&client, acl("a.b", 4, 3, "*")).await.0, 0);
    assert_eq!(create(&client, acl("a.b", 6, 2, "10.0.0.1")).await.0, 0);
    let (read, write, deny) = (line("a.b", 3, 3, "*"), line("a.b", 4, 3, "*"), line("a.b", 6, 2, "10.0.0.1"));
    assert_eq!(listed(&client, all()).await, [read.clone(), write.clone(), deny.clone()]);
    assert_eq!(listed(&client, all().with_operation(4)).await, std::slice::from_ref(&write));
    assert_eq!(listed(&client, all().with_host_filter(Some(s("*")))).await, [read, write.clone()]);
    assert_eq!(listed(&client, all().with_principal_filter(Some(s("User:bob")))).await, []);
    assert_eq!(delete(&client, filter("a.b", 3, 1)).await, [(0, 3)]);
    assert_eq!(listed(&client, all()).await, [write.clone(), deny.clone()]);
    // Both policies would go with one removal, and one of them is to stay.
    assert_eq!(delete(&client, filter("a.b", 4, 3)).await, [(42, 4)]);
    assert_eq!(listed(&client, all()).await, [write, deny]);
    assert_eq!(delete(&client, filter("a.b", 1, 1)).await, [(0, 4), (0, 6)]);
    assert_eq!(listed(&client, all()).await, []);
    assert_eq!(delete(&client, filter("a.b", 1, 1)).await, []);
}

#[tokio::test]
async fn patterns_are_found_as_kafka_finds_them() {
    let client = client().await;
    for (name, pattern) in [("*", 3), ("orders.eu", 3), ("orders.", 4), ("or", 4), ("x", 3)] {
        assert_eq!(
            create(&client, acl(name, 3, 3, "*").with_resource_pattern_type(pattern)).await.0,
            0,
            "{name}"
        );
    }
    let names = async |kind: i8| {
        let request = all().with_resource_name_filter(Some(s("orders.eu"))).with_pattern_type_filter(kind);
        let mut names: Vec<String> = listed(&client, request).await.into_iter().map(|line| line.0).collect();
        names.sort();
        names
    };
    assert_eq!(names(2).await, ["*", "or", "orders.", "orders.eu"]);
    assert_eq!(names(3).await, ["orders.eu"]);
    assert_eq!(names(1).await, ["orders.eu"]);
    assert!(names(4).await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_with_words_and_nothing_changes() {
    let client = client().await;
    assert_eq!(create(&client, acl("t", 3, 3, "10.0.0.1")).await.0, 0);
    for (acl, words) in [
        (acl("t", 3, 3, "*"), "same addresses"),
        (acl("t", 12, 3, "*"), "WRITE"),
        (acl("t", 3, 3, "*").with_principal(s("User:*")), "everybody"),
        (acl("t", 3, 3, "*").with_principal(s("User:nobody")), "nobody"),
    ] {
        let (code, why) = create(&client, acl.clone()).await;
        assert!(code == 42 && why.contains(words), "{acl:?}: {code} {why}");
    }
    assert_eq!(listed(&client, all()).await, [line("t", 3, 3, "10.0.0.1")]);
    let told = ask(&client, 3, all().with_operation(0)).await;
    assert_eq!(told.error_code, 42, "an operation that is none");
}

#[tokio::test]
async fn every_version_is_answered_and_without_users_there_is_nothing_to_list() {
    let broker = Broker::in_memory();
    let session = broker.login_now(Credentials::Anonymous, "127.0.0.1:5".parse().unwrap()).unwrap();
    let open = client_of(broker, session);
    let guarded = client().await;
    for version in 1..=3 {
        assert_eq!(ask(&guarded, version, all()).await.error_code, 0);
        assert_eq!(ask(&open, version, all()).await.error_code, 54, "security is disabled");
        let creation = CreateAclsRequest::default().with_creations(vec![acl("t", 3, 3, "*")]);
        assert_eq!(ask(&open, version, creation.clone()).await.results[0].error_code, 54);
        assert_eq!(ask(&guarded, version, creation).await.results[0].error_code, 0);
        let deletion = DeleteAclsRequest::default().with_filters(vec![filter("t", 3, 3)]);
        assert_eq!(ask(&open, version, deletion.clone()).await.filter_results[0].error_code, 54);
        assert_eq!(ask(&guarded, version, deletion).await.filter_results[0].matching_acls.len(), 1);
    }
    let scram = DescribeUserScramCredentialsRequest::default().with_users(None);
    assert_eq!(ask(&open, 0, scram).await.error_code, 54);
    for version in 0..=1 {
        let quotas = DescribeClientQuotasRequest::default();
        assert_eq!(ask(&open, version, quotas).await.error_code, 54);
    }
}

fn quota(kind: &str, name: Option<&str>, ops: &[(&str, Option<f64>)]) -> AlterClientQuotasRequest {
    let entity = EntityData::default().with_entity_type(s(kind)).with_entity_name(name.map(s));
    let op = |(key, value): &(&str, Option<f64>)| {
        OpData::default().with_key(s(key)).with_value(value.unwrap_or(0.0)).with_remove(value.is_none())
    };
    let entry = EntryData::default().with_entity(vec![entity]).with_ops(ops.iter().map(op).collect());
    AlterClientQuotasRequest::default().with_entries(vec![entry])
}

async fn quotas(client: &Arc<Client>, kind: &str, name: &str) -> Vec<(String, f64)> {
    let filter =
        ComponentData::default().with_entity_type(s(kind)).with_match_type(0).with_match(Some(s(name)));
    let told = ask(client, 1, DescribeClientQuotasRequest::default().with_components(vec![filter])).await;
    assert_eq!(told.error_code, 0);
    let values = told.entries.unwrap_or_default().into_iter().flat_map(|entry| entry.values);
    values.map(|value| (value.key.to_string(), value.value)).collect()
}

#[tokio::test]
async fn quotas_are_those_of_users_and_groups() {
    let client = client().await;
    let change =
        async |request: AlterClientQuotasRequest| ask(&client, 1, request).await.entries[0].error_code;
    for (kind, name) in [("user", "alice"), ("group", "readers")] {
        assert_eq!(
            change(quota(kind, Some(name), &[("bytes_per_second", Some(1e6)), ("connections", Some(4.0))]))
                .await,
            0
        );
        let wanted = [("bytes_per_second".to_owned(), 1e6), ("connections".to_owned(), 4.0)];
        assert_eq!(quotas(&client, kind, name).await, wanted);
        assert_eq!(change(quota(kind, Some(name), &[("bytes_per_second", None)])).await, 0);
        assert_eq!(quotas(&client, kind, name).await, wanted[1..]);
    }
    let only_tried = quota("user", Some("alice"), &[("connections", Some(9.0))]).with_validate_only(true);
    assert_eq!(change(only_tried).await, 0);
    assert_eq!(quotas(&client, "user", "alice").await, [("connections".to_owned(), 4.0)]);
    for (refused, code) in [
        (quota("user", Some("nobody"), &[("connections", Some(1.0))]), 91),
        (quota("user", None, &[("connections", Some(1.0))]), 42),
        (quota("client-id", Some("x"), &[("connections", Some(1.0))]), 42),
        (quota("user", Some("alice"), &[("producer_byte_rate", Some(1.0))]), 42),
    ] {
        assert_eq!(change(refused.clone()).await, code, "{refused:?}");
    }
}

#[tokio::test]
async fn a_password_hashed_elsewhere_is_kept_shown_and_forgotten() {
    let client = client().await;
    let new = |iterations| {
        ScramCredentialUpsertion::default()
            .with_name(s("bob"))
            .with_mechanism(1)
            .with_iterations(iterations)
            .with_salt(Bytes::from_static(b"salt"))
            .with_salted_password(Bytes::from_static(&[7; 32]))
    };
    let put = async |one: ScramCredentialUpsertion| {
        let request = AlterUserScramCredentialsRequest::default().with_upsertions(vec![one]);
        ask(&client, 0, request).await.results[0].error_code
    };
    let gone = async || {
        let one = ScramCredentialDeletion::default().with_name(s("bob")).with_mechanism(1);
        let request = AlterUserScramCredentialsRequest::default().with_deletions(vec![one]);
        ask(&client, 0, request).await.results[0].error_code
    };
    let shown = async |names: &[&str]| {
        let users = names.iter().map(|name| UserName::default().with_name(s(name))).collect();
        let request = DescribeUserScramCredentialsRequest::default().with_users(Some(users));
        let told = ask(&client, 0, request).await;
        let one = |r: &describe_user_scram_credentials_response::DescribeUserScramCredentialsResult| {
            (
                r.user.to_string(),
                r.error_code,
                r.credential_infos.iter().map(|i| i.iterations).collect::<Vec<_>>(),
            )
        };
        told.results.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(put(new(100)).await, 93, "too few iterations");
    assert_eq!(put(new(8192).with_mechanism(3)).await, 33);
    assert_eq!(gone().await, 91);
    assert_eq!(put(new(8192)).await, 0);
    assert_eq!(shown(&["bob"]).await, [("bob".to_owned(), 0, vec![8192])]);
    assert_eq!(
        shown(&["nobody", "bob", "bob"]).await[..],
        [
            ("nobody".to_owned(), 91, vec![]),
            ("bob".to_owned(), 0, vec![8192]),
            ("bob".to_owned(), 92, vec![]),
        ]
    );
    assert_eq!(gone().await, 0);
    assert_eq!(shown(&["bob"]).await, [("bob".to_owned(), 91, vec![])]);
}
