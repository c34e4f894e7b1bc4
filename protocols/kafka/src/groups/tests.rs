//! Requests about groups as they come from the wire, in every version, against a broker in memory.

use crate::api::{Answer, find};
use crate::client::{Client, Wire};
use crate::codec::Call;
use crate::config::Config;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use sluice_auth::{Auth, Credentials};
use sluice_broker::{
    Broker, Fetching, Lease, Membership, QueueChoice, ReceiveRequest, SendRequest, Sharing, StartAt,
    TopicSpec,
};
use sluice_model::{Clock, ManualClock};
use sluice_net::Advertised;
use sluice_store::MemoryLog;
use std::sync::Arc;
use std::time::Duration;

async fn client() -> Arc<Client> {
    client_of(Broker::in_memory()).await
}

async fn client_of(broker: Broker) -> Arc<Client> {
    let wire = Wire::new(broker, Config::default(), Arc::new(Advertised::new(None, None).unwrap()));
    let client = another(&Arc::new(wire));
    let topic = sluice_model::TopicName::new("t").unwrap();
    let session = client.session().unwrap();
    client.broker().put_topic(&session, &topic, TopicSpec::with_queues(4)).await.unwrap();
    client
}

fn another(wire: &Arc<Wire>) -> Arc<Client> {
    let peer = "127.0.0.1:5".parse().unwrap();
    let client = Client::new(Arc::clone(wire), peer, ("127.0.0.1".into(), 9092));
    client.set_session(wire.broker.login_now(Credentials::Anonymous, peer).unwrap());
    Arc::new(client)
}

/// A request as bytes, through the table of APIs, and its response decoded.
async fn ask<Q>(client: &Arc<Client>, version: i16, request: Q) -> Q::Response
where
    Q: Request + Encodable,
    Q::Response: Decodable + HeaderVersion,
{
    let mut rest = BytesMut::new();
    if Q::header_version(version) >= 2 {
        rest.put_u8(0);
    }
    request.encode(&mut rest, version).unwrap();
    let call =
        Call { key: Q::KEY, version, correlation: 7, client_id: Some("me".into()), rest: rest.freeze() };
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

fn s(text: &str) -> StrBytes {
    StrBytes::from(text.to_owned())
}

fn g() -> GroupId {
    GroupId(s("g"))
}

fn t() -> TopicName {
    TopicName(s("t"))
}

fn versions(key: ApiKey) -> std::ops::RangeInclusive<i16> {
    let api = find(key as i16).unwrap();
    api.min..=api.max
}

/// What a consumer of `t` says of itself.
fn metadata() -> Bytes {
    Bytes::from_static(&[0, 0, 0, 0, 0, 1, 0, 1, b't', 0xFF, 0xFF, 0xFF, 0xFF])
}

fn join(member: &StrBytes) -> JoinGroupRequest {
    JoinGroupRequest::default()
        .with_group_id(g())
        .with_session_timeout_ms(10_000)
        .with_member_id(member.clone())
        .with_group_instance_id(None)
        .with_protocol_type(s("consumer"))
        .with_reason(None)
        .with_protocols(vec![
            JoinGroupRequestProtocol::default().with_name(s("range")).with_metadata(metadata()),
        ])
}

/// Joins, twice if it must, and takes the share it gives itself.
async fn member(client: &Arc<Client>, version: i16) -> (StrBytes, i32) {
    let mut asks = join(&s(""));
    if version >= 1 {
        asks.rebalance_timeout_ms = 30_000;
    }
    let mut joined = ask(client, version, asks.clone()).await;
    if version >= 4 {
        assert_eq!((joined.error_code, joined.generation_id), (79, -1));
        asks.member_id = joined.member_id;
        joined = ask(client, version, asks).await;
    }
    assert_eq!(joined.error_code, 0, "version {version}");
    assert_eq!((&joined.leader, joined.members.len()), (&joined.member_id, 1));
    assert_eq!(joined.members[0].metadata, metadata());
    (joined.member_id, joined.generation_id)
}

fn sync(member: &StrBytes, generation: i32) -> SyncGroupRequest {
    let share = SyncGroupRequestAssignment::default()
        .with_member_id(member.clone())
        .with_assignment(Bytes::from_static(b"all"));
    SyncGroupRequest::default()
        .with_group_id(g())
        .with_generation_id(generation)
        .with_member_id(member.clone())
        .with_group_instance_id(None)
        .with_protocol_type(None)
        .with_protocol_name(None)
        .with_assignments(vec![share])
}

fn commit(member: &StrBytes, generation: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(1)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(s("note")));
    let topic = OffsetCommitRequestTopic::default().with_name(t()).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(g())
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(member.clone())
        .with_group_instance_id(None)
        .with_topics(vec![topic])
}

async fn fetched(client: &Arc<Client>) -> (i64, i32, String) {
    let topic = OffsetFetchRequestTopic::default().with_name(t()).with_partition_indexes(vec![1]);
    let asks = OffsetFetchRequest::default().with_group_id(g()).with_topics(Some(vec![topic]));
    let known = ask(client, 7, asks).await.topics[0].partitions[0].clone();
    assert_eq!(known.error_code, 0);
    (known.committed_offset, known.committed_leader_epoch, known.metadata.unwrap().to_string())
}

#[tokio::test]
async fn the_life_of_a_member_in_every_version() {
    for version in versions(ApiKey::JoinGroup) {
        let client = client().await;
        let (id, generation) = member(&client, version).await;
        for version in versions(ApiKey::SyncGroup) {
            let synced = ask(&client, version, sync(&id, generation)).await;
            assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"all"[..]));
            assert_eq!(synced.protocol_name.as_deref(), (version >= 5).then_some("range"));
        }
        for version in versions(ApiKey::Heartbeat) {
            let beat = HeartbeatRequest::default()
                .with_group_id(g())
                .with_generation_id(generation)
                .with_member_id(id.clone())
                .with_group_instance_id(None);
            assert_eq!(ask(&client, version, beat.clone()).await.error_code, 0);
            assert_eq!(ask(&client, version, beat.with_generation_id(99)).await.error_code, 22);
        }
    }
    for version in versions(ApiKey::LeaveGroup) {
        let client = client().await;
        let (id, _) = member(&client, 5).await;
        let leave = LeaveGroupRequest::default().with_group_id(g());
        let leave = match version {
            ..3 => leave.with_member_id(id.clone()),
            _ => leave.with_members(vec![
                MemberIdentity::default()
                    .with_member_id(id.clone())
                    .with_group_instance_id(None)
                    .with_reason(None),
            ]),
        };
        let codes = |left: LeaveGroupResponse| (left.error_code, left.members.first().map(|m| m.error_code));
        let (first, again) = (ask(&client, version, leave.clone()).await, ask(&client, version, leave).await);
        match version {
            ..3 => assert_eq!((codes(first), codes(again)), ((0, None), (25, None))),
            _ => assert_eq!((codes(first), codes(again)), ((0, Some(0)), (0, Some(25)))),
        }
        assert!(client.wire.groups.names().is_empty(), "a group without members is forgotten");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_join_is_said() {
    let client = client().await;
    for (asks, code) in [
        (join(&s("")).with_group_id(GroupId(s(""))), 24),
        (join(&s("")).with_session_timeout_ms(10), 26),
        (join(&s("stranger")), 25),
        (join(&s("")).with_protocol_type(s("")), 23),
        (join(&s("")).with_protocols(vec![]), 23),
    ] {
        assert_eq!(ask(&client, 3, asks).await.error_code, code);
    }
}

#[tokio::test]
async fn a_join_waits_for_the_others_and_is_answered_with_them() {
    let a = client().await;
    let (id, generation) = member(&a, 5).await;
    assert_eq!(ask(&a, 3, sync(&id, generation)).await.error_code, 0);
    let b = another(&a.wire);
    let new = ask(&b, 5, join(&s("")).with_rebalance_timeout_ms(30_000)).await.member_id;
    let asks_b = join(&new).with_rebalance_timeout_ms(30_000);
    let asks_a = join(&id).with_rebalance_timeout_ms(30_000);
    let (joined_b, joined_a) = tokio::join!(ask(&b, 5, asks_b), async {
        // Until it has heard of the new one, it goes on.
        let beat = HeartbeatRequest::default()
            .with_group_id(g())
            .with_generation_id(generation)
            .with_member_id(id.clone())
            .with_group_instance_id(None);
        assert_eq!(ask(&a, 3, beat).await.error_code, 27);
        ask(&a, 5, asks_a).await
    });
    assert_eq!((joined_a.generation_id, joined_b.generation_id), (generation + 1, generation + 1));
    assert_eq!((joined_a.members.len(), joined_b.members.len()), (2, 0));
    let (synced_b, synced_a) =
        tokio::join!(ask(&b, 3, sync(&new, generation + 1)), ask(&a, 3, sync(&id, generation + 1)));
    assert_eq!((synced_a.assignment, synced_b.assignment), ("all".into(), Bytes::new()));
}

#[tokio::test]
async fn the_time_drives_a_group_that_nobody_asks() {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let auth = Arc::new(Auth::open());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock.clone(), Default::default()).unwrap();
    let client = client_of(broker).await;
    let (id, generation) = member(&client, 5).await;
    assert_eq!(ask(&client, 3, sync(&id, generation)).await.error_code, 0);
    let groups = &client.wire.groups;
    assert_eq!(groups.fire(clock.now()), Some(clock.now() + 10_000));
    clock.advance(9_999);
    groups.fire(clock.now());
    assert_eq!(groups.names().len(), 1);
    clock.advance(1);
    assert_eq!(groups.fire(clock.now()), None);
    assert!(groups.names().is_empty());
    let session = client.session().unwrap();
    let group = sluice_model::GroupName::new("g").unwrap();
    assert!(client.broker().coordinate(&session, &group).is_ok(), "the broker's hold is let go");
}

#[tokio::test]
async fn offsets_in_every_version() {
    let client = client().await;
    let (id, generation) = member(&client, 5).await;
    assert_eq!(ask(&client, 3, sync(&id, generation)).await.error_code, 0);
    for version in versions(ApiKey::OffsetCommit) {
        let mut asks = commit(&id, generation, i64::from(version));
        if version >= 6 {
            asks.topics[0].partitions[0].committed_leader_epoch = 5;
        }
        let done = ask(&client, version, asks).await;
        assert_eq!(done.topics[0].partitions[0].error_code, 0, "version {version}");
        let epoch = if version >= 6 { 5 } else { -1 };
        assert_eq!(fetched(&client).await, (i64::from(version), epoch, "note".to_owned()));
    }
    for version in versions(ApiKey::OffsetFetch) {
        let known: Vec<(i64, i16)> = if version >= 8 {
            let topic =
                OffsetFetchRequestTopics::default().with_name(t()).with_partition_indexes(vec![1, 2, 77]);
            let one = OffsetFetchRequestGroup::default()
                .with_group_id(g())
                .with_member_id(None)
                .with_topics(Some(vec![topic]));
            let groups = vec![one.clone(), one.with_topics(None)];
            let told = ask(&client, version, OffsetFetchRequest::default().with_groups(groups)).await;
            assert_eq!(told.groups[1].topics[0].partitions.len(), 1, "null is everything that is committed");
            told.groups[0].topics[0].partitions.iter().map(|p| (p.committed_offset, p.error_code)).collect()
        } else {
            let topic =
                OffsetFetchRequestTopic::default().with_name(t()).with_partition_indexes(vec![1, 2, 77]);
            let asks = OffsetFetchRequest::default().with_group_id(g()).with_topics(Some(vec![topic]));
            if version >= 2 {
                let all = ask(&client, version, asks.clone().with_topics(None)).await;
                assert_eq!(all.topics[0].partitions.len(), 1);
            }
            let told = ask(&client, version, asks).await;
            told.topics[0].partitions.iter().map(|p| (p.committed_offset, p.error_code)).collect()
        };
        assert_eq!(known, [(9, 0), (-1, 0), (-1, 0)], "version {version}");
    }
}

#[tokio::test]
async fn commits_of_strangers_are_refused_and_of_nobody_while_somebody_is_there() {
    let client = client().await;
    let code = |done: OffsetCommitResponse| done.topics[0].partitions[0].error_code;
    assert_eq!(code(ask(&client, 8, commit(&s(""), -1, 3)).await), 0, "nobody is in the group");
    assert_eq!(code(ask(&client, 9, commit(&s("of its own making"), -1, 3)).await), 0);
    assert_eq!(code(ask(&client, 8, commit(&s("gone"), 4, 3)).await), 22);
    assert_eq!(code(ask(&client, 9, commit(&s("gone"), 4, 3)).await), 69);
    let (id, generation) = member(&client, 5).await;
    assert_eq!(code(ask(&client, 8, commit(&id, generation, 4)).await), 27, "shares are being given");
    assert_eq!(ask(&client, 3, sync(&id, generation)).await.error_code, 0);
    assert_eq!(code(ask(&client, 8, commit(&s(""), -1, 9)).await), 25);
    assert_eq!(code(ask(&client, 9, commit(&s("of its own making"), -1, 9)).await), 25);
    assert_eq!(code(ask(&client, 8, commit(&s("gone"), generation, 9)).await), 25);
    assert_eq!(code(ask(&client, 8, commit(&id, generation + 1, 9)).await), 22);
    let mut long = commit(&id, generation, 9);
    long.topics[0].partitions[0].committed_metadata = Some(s(&"x".repeat(4097)));
    assert_eq!(code(ask(&client, 8, long).await), 12);
    let mut unknown = commit(&id, generation, 9);
    unknown.topics[0].partitions[0].partition_index = 4;
    assert_eq!(code(ask(&client, 8, unknown).await), 3);
    assert_eq!(fetched(&client).await.0, 3, "nothing of that was stored");
}

#[tokio::test]
async fn groups_are_described_listed_and_deleted_in_every_version() {
    let client = client().await;
    assert_eq!(ask(&client, 8, commit(&s(""), -1, 3)).await.topics[0].partitions[0].error_code, 0);
    let listed = |told: ListGroupsResponse| -> Vec<(String, String)> {
        told.groups.iter().map(|g| (g.group_id.to_string(), g.group_state.to_string())).collect()
    };
    assert_eq!(listed(ask(&client, 4, ListGroupsRequest::default()).await), [("g".into(), "Empty".into())]);
    let (id, generation) = member(&client, 5).await;
    assert_eq!(ask(&client, 3, sync(&id, generation)).await.error_code, 0);
    for version in versions(ApiKey::ListGroups) {
        let told = ask(&client, version, ListGroupsRequest::default()).await;
        let state = if version >= 4 { "Stable" } else { "" };
        assert_eq!((told.error_code, told.groups[0].protocol_type.as_str()), (0, "consumer"));
        assert_eq!(listed(told), [("g".into(), state.into())]);
    }
    let empty_alone = ListGroupsRequest::default().with_states_filter(vec![s("Empty")]);
    assert!(ask(&client, 4, empty_alone).await.groups.is_empty());
    for version in versions(ApiKey::DescribeGroups) {
        let asks = DescribeGroupsRequest::default().with_groups(vec![g(), GroupId(s("none"))]);
        let told = ask(&client, version, asks).await.groups;
        assert_eq!((told[0].error_code, told[0].group_state.as_str()), (0, "Stable"));
        assert_eq!(told[0].members[0].member_assignment, "all");
        assert_eq!(told[0].members[0].client_host, s("/127.0.0.1"));
        let unknown = if version >= 6 { 69 } else { 0 };
        assert_eq!((told[1].error_code, told[1].group_state.as_str()), (unknown, "Dead"));
    }
    let forget = || {
        let partitions =
            [1, 99].map(|p| OffsetDeleteRequestPartition::default().with_partition_index(p)).to_vec();
        let topic = OffsetDeleteRequestTopic::default().with_name(t()).with_partitions(partitions);
        OffsetDeleteRequest::default().with_group_id(g()).with_topics(vec![topic])
    };
    let codes = |told: OffsetDeleteResponse| -> Vec<i16> {
        told.topics[0].partitions.iter().map(|p| p.error_code).collect()
    };
    assert_eq!(codes(ask(&client, 0, forget()).await), [86, 86]);
    for version in versions(ApiKey::DeleteGroups) {
        let asks = DeleteGroupsRequest::default().with_groups_names(vec![g()]);
        assert_eq!(ask(&client, version, asks).await.results[0].error_code, 68);
    }
    let leave = LeaveGroupRequest::default().with_group_id(g()).with_member_id(id);
    assert_eq!(ask(&client, 1, leave).await.error_code, 0);
    assert_eq!(codes(ask(&client, 0, forget()).await), [0, 3]);
    assert_eq!(fetched(&client).await.0, -1);
    let asks = || DeleteGroupsRequest::default().with_groups_names(vec![g()]);
    assert_eq!(ask(&client, 2, asks()).await.results[0].error_code, 0);
    assert_eq!(ask(&client, 2, asks()).await.results[0].error_code, 69);
}

#[tokio::test]
async fn this_broker_is_the_coordinator_in_every_version() {
    let client = client().await;
    for version in versions(ApiKey::FindCoordinator) {
        let asks = FindCoordinatorRequest::default();
        let asks = match version {
            ..4 => asks.with_key(s("g")),
            _ => asks.with_coordinator_keys(vec![s("g"), s("h")]),
        };
        let told = ask(&client, version, asks).await;
        let (node, port, code) = match told.coordinators.last() {
            Some(last) => (last.node_id, last.port, last.error_code),
            None => (told.node_id, told.port, told.error_code),
        };
        assert_eq!((node.0, port, code), (client.config().node_id, 9092, 0), "version {version}");
    }
}

#[tokio::test]
async fn a_group_that_others_are_at_work_in_is_refused() {
    let client = client().await;
    let session = client.session().unwrap();
    let other = client.broker().client(&session);
    let membership = Membership {
        group: sluice_model::GroupName::new("g").unwrap(),
        client_id: "c".into(),
        sharing: Sharing::Clustering,
        fetching: Fetching::Push,
        start: StartAt::Earliest,
        subscriptions: None,
        agent: "".into(),
    };
    other.join(&session, membership.clone()).unwrap();
    assert_eq!(ask(&client, 3, join(&s(""))).await.error_code, 23);
    assert!(client.wire.groups.names().is_empty());
    let commits = ask(&client, 8, commit(&s(""), -1, 3)).await;
    assert_eq!(commits.topics[0].partitions[0].error_code, 25);
    drop(other);
    let (_, _) = member(&client, 5).await;
    let other = client.broker().client(&session);
    assert_eq!(other.join(&session, membership).unwrap_err().kind(), sluice_model::ErrorKind::Conflict);
}

fn beat(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(g())
        .with_member_id(s(member))
        .with_member_epoch(epoch)
        .with_instance_id(None)
        .with_rack_id(None)
        .with_server_assignor(None)
        .with_subscribed_topic_regex(None)
        .with_subscribed_topic_names(None)
        .with_topic_partitions(None)
        .with_rebalance_timeout_ms(-1)
}

fn beat_to_join(member: &str) -> ConsumerGroupHeartbeatRequest {
    beat(member, 0)
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(Some(vec![t()]))
        .with_topic_partitions(Some(Vec::<TopicPartitions>::new()))
}

#[tokio::test]
async fn the_broker_shares_out_for_those_who_let_it() {
    let client = client().await;
    let told = ask(&client, 0, beat_to_join("")).await;
    assert_eq!(told.error_code, 0, "the first version is given an id");
    let first = told.member_id.unwrap();
    assert_eq!(told.assignment.unwrap().topic_partitions[0].partitions, [0, 1, 2, 3]);
    assert_eq!(ask(&client, 1, beat_to_join("")).await.error_code, 42);
    let told = ask(&client, 1, beat_to_join("b")).await;
    assert_eq!((told.error_code, told.assignment.unwrap().topic_partitions.len()), (0, 0));
    assert_eq!(ask(&client, 1, beat(&first, 7)).await.error_code, 110);
    let odd = beat_to_join("c").with_server_assignor(Some(s("mine")));
    assert_eq!(ask(&client, 1, odd).await.error_code, 112);
    let odd = beat_to_join("c").with_subscribed_topic_regex(Some(s("(")));
    assert_eq!(ask(&client, 1, odd).await.error_code, 128);
    assert_eq!(ask(&client, 3, join(&s(""))).await.error_code, 23, "the other kind stays out");
    for version in versions(ApiKey::ConsumerGroupDescribe) {
        let asks = ConsumerGroupDescribeRequest::default().with_group_ids(vec![g(), GroupId(s("none"))]);
        let told = ask(&client, version, asks).await.groups;
        assert_eq!((told[0].error_code, told[0].group_state.as_str()), (0, "Reconciling"));
        assert_eq!((told[0].members.len(), told[0].assignor_name.as_str()), (2, "uniform"));
        let target = &told[0].members[0].target_assignment.topic_partitions[0];
        assert_eq!((target.topic_name.as_str(), target.partitions.len()), ("t", 2));
        assert_eq!(told[1].error_code, 69);
    }
    let done = ask(&client, 9, commit(&first, 1, 3)).await;
    assert_eq!(done.topics[0].partitions[0].error_code, 0);
    let stale = ask(&client, 9, commit(&first, 2, 3)).await;
    assert_eq!(stale.topics[0].partitions[0].error_code, 113);
    let old = ask(&client, 8, commit(&first, 2, 3)).await;
    assert_eq!(old.topics[0].partitions[0].error_code, 22);
    assert_eq!(ask(&client, 1, beat(&first, -1)).await.error_code, 0);
    let told = ask(&client, 1, beat("b", 2)).await;
    assert_eq!(told.assignment.unwrap().topic_partitions[0].partitions, [0, 1, 2, 3]);
}

#[tokio::test]
async fn topics_are_subscribed_by_pattern() {
    let client = client().await;
    let session = client.session().unwrap();
    for name in ["logs%2Ea", "logs%2Eb", "other"] {
        let name = sluice_model::TopicName::new(name).unwrap();
        client.broker().put_topic(&session, &name, TopicSpec::with_queues(1)).await.unwrap();
    }
    let asks = beat_to_join("a")
        .with_subscribed_topic_names(Some(Vec::new()))
        .with_subscribed_topic_regex(Some(s("logs\\..*")));
    let told = ask(&client, 1, asks).await;
    assert_eq!(told.assignment.unwrap().topic_partitions.len(), 2);
}

#[tokio::test]
async fn a_request_that_claims_more_than_it_holds_is_not_decoded() {
    let client = client().await;
    for key in super::APIS.iter().map(|api| api.key) {
        let api = find(key).unwrap();
        for version in api.min..=api.max {
            let rest =
                Bytes::from_static(&[0, 1, b'g', 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
            let call = Call { key, version, correlation: 7, client_id: None, rest };
            let answer = (api.run)(Arc::clone(&client), call, &api.shape).await;
            assert!(matches!(answer, Answer::Close(None, _)), "{key} {version}");
        }
    }
}

#[tokio::test]
async fn deliveries_under_lease_keep_members_out() {
    let client = client().await;
    let session = client.session().unwrap();
    let (topic, group) =
        (sluice_model::TopicName::new("t").unwrap(), sluice_model::GroupName::new("g").unwrap());
    let message = sluice_model::Message { body: Some("x".into()), ..Default::default() };
    let send = SendRequest { queue: QueueChoice::Any, ..SendRequest::one(topic.clone(), message) };
    client.broker().send(&session, send).unwrap().await.unwrap();
    let request = ReceiveRequest {
        group: &group,
        topic: &topic,
        filter: &sluice_model::Filter::All,
        max: 1,
        lease: Lease::For(Duration::from_secs(30)),
        wait: Duration::ZERO,
        start: StartAt::Earliest,
        create: None,
    };
    assert_eq!(client.broker().receive(&session, &request).await.unwrap().len(), 1);
    assert_eq!(ask(&client, 3, join(&s(""))).await.error_code, 23);
}
