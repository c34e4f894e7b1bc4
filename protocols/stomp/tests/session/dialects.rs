//! What other brokers' and the cloud's clients say and mean: namespaces, parts of a topic, a look at a queue, one's own
//! messages, a name by which a message is stored once.

use crate::client::{Client, Server};
use crate::identity::guarded_by;
use sluice_auth::Credentials;
use sluice_broker::{SendRequest, StartAt};
use sluice_model::{Filter, Message, TopicName};
use sluice_net::TlsConfig;
use std::time::Duration;

/// A message that came over another wire.
async fn elsewhere(server: &Server, topic: &str, body: &str) {
    let me = server.broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    let message = Message { body: Some(body.to_owned().into()), ..Message::default() };
    let request =
        SendRequest { create: Some(1), ..SendRequest::one(TopicName::new(topic).unwrap(), message) };
    server.broker.send(&me, request).unwrap().await.unwrap();
}

async fn within(server: &Server, header: &str) -> Client {
    let mut client = server.dial().await;
    client.say(&format!("CONNECT\naccept-version:1.2\n{header}\n\n")).await;
    assert_eq!(client.frame().await.command, "CONNECTED");
    client
}

#[tokio::test]
async fn a_host_that_names_a_namespace_is_one_and_any_other_is_not() {
    let server = Server::start();
    elsewhere(&server, "orders", "outside").await;
    elsewhere(&server, "shop%orders", "within").await;
    for host in ["shop", "nowhere", "127.0.0.1", "sho", "shop%orders"] {
        let expected = if host == "shop" { "within" } else { "outside" };
        let mut client = within(&server, &format!("host:{host}")).await;
        client.ask("SUBSCRIBE\nid:1\ndestination:/topic/orders\nfrom:earliest", "").await;
        client.message(expected).await;
        client.ask("UNSUBSCRIBE\nid:1", "").await;
    }
    // Groups lie within as well, and neither topics nor groups of outside can be named.
    let mut client = within(&server, "host:shop").await;
    client.ask("SUBSCRIBE\nid:1\ndestination:/group/billing/orders", "").await;
    client.message("within").await;
    client.ask("SUBSCRIBE\nid:2\ndestination:/queue/orders\nack:client", "").await;
    client.message("within").await;
    client.ask("SUBSCRIBE\nid:3\ndestination:/topic/orders\ndurable:true", "").await;
    client.say("SEND\ndestination:/topic/orders\n\nto all").await;
    let mut got = [client.frame().await, client.frame().await];
    got.sort_by_key(|frame| frame.get("subscription").to_owned());
    assert_eq!(
        got.map(|frame| frame.get("subscription").to_owned()),
        ["1", "3"],
        "a queue keeps away from topics"
    );
    let me = server.broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    let groups = server.broker.groups(&me, None, 10).unwrap();
    let names: Vec<_> = groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["shop%STOMP_D_3", "shop%STOMP_Q_orders", "shop%billing"]);
    client.say("SUBSCRIBE\nid:4\ndestination:/amq/queue/other%orders\n\n").await;
    assert_eq!(client.error().await.get("message"), "Unknown destination");
    server.stop().await;
}

#[tokio::test]
async fn an_instance_is_a_namespace_before_anything_is_in_it() {
    let server = Server::start();
    let mut client = within(&server, "instance-id:MQ_INST_1\nclient-id:c\nhost:other").await;
    client.send("/queue/new", "first").await;
    let me = server.broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    let topics = server.broker.topics(&me, None, 10).unwrap();
    assert_eq!(topics.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>(), ["MQ_INST_1%new"]);
    let mut client = server.dial().await;
    client.say("CONNECT\naccept-version:1.2\ninstance-id:a.b\n\n").await;
    assert_eq!(client.error().await.get("message"), "Bad CONNECT");
    server.stop().await;
}

/// What the cloud's documentation computes for this secret and this client.
const SIGNED: &str = "8pHislGrO5L3/x4MRf+y3tWcN/Y=";
const CLOUD: &str = r#"
[[users]]
name = "LTAIexample"
secret = "secretExample"
[[policies]]
subject = "LTAIexample"
resource = "*"
actions = ["All"]
"#;

#[tokio::test]
async fn the_clouds_clients_sign_their_id() {
    for (headers, good) in [
        (format!("passcode:{SIGNED}\nclient-id:client-1\ninstance-id:i"), true),
        ("passcode:secretExample\nclient-id:client-1\ninstance-id:i".to_owned(), true),
        ("passcode:secretExample".to_owned(), true),
        (format!("passcode:{SIGNED}\nclient-id:client-2\ninstance-id:i"), false),
        (format!("passcode:{SIGNED}\nclient-id:client-1"), false),
        (format!("passcode:{SIGNED}\ninstance-id:i"), false),
        ("passcode:8pHislGrO5L3/x4MRf+y3tWcN/Z=\nclient-id:client-1\ninstance-id:i".to_owned(), false),
    ] {
        let server = guarded_by(CLOUD, &TlsConfig::default()).await; // who fails often must wait
        let mut client = server.dial().await;
        client.say(&format!("CONNECT\naccept-version:1.2\nlogin:LTAIexample\n{headers}\n\n")).await;
        match good {
            true => assert_eq!(client.frame().await.get("user-name"), "LTAIexample", "{headers}"),
            false => assert_eq!(client.error().await.get("message"), "Access refused", "{headers}"),
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_topic_is_sent_to_and_read_in_parts() {
    let server = Server::start();
    let (mut client, mut sender) = (server.connect("1.2").await, server.connect("1.2").await);
    for frame in ["SUBSCRIBE\nid:1\ndestination:/t/sub", "SEND\ndestination:/t/sub"] {
        let mut client = server.connect("1.2").await;
        client.say(&format!("{frame}\n\n")).await;
        assert_eq!(
            client.error().await.get("message"),
            "Unknown destination",
            "the topic must exist: {frame}"
        );
    }
    elsewhere(&server, "t", "before").await;
    for (id, destination) in [("a", "/t/a"), ("ab", "/t/a/b"), ("all", "/t"), ("topic", "/topic/t")] {
        client.ask(&format!("SUBSCRIBE\nid:{id}\ndestination:{destination}"), "").await;
    }
    client.ask("SUBSCRIBE\nid:queue\ndestination:/queue/t\nfrom:latest\ngroup:new", "").await;
    for (destination, receivers) in [
        (Some("/t/a"), &["a", "topic"][..]),
        (Some("/t/a/b"), &["ab", "topic"]),
        (Some("/t"), &["all", "topic"]),
        (Some("/topic/t"), &["all", "topic"]),
        (None, &["all", "queue", "topic"]),
    ] {
        match destination {
            Some(destination) => sender.send(destination, "x").await,
            None => elsewhere(&server, "t", "x").await,
        }
        let mut got = Vec::new();
        for _ in receivers {
            got.push(client.message("x").await.get("subscription").to_owned());
        }
        got.sort();
        assert_eq!(got, receivers, "{destination:?}");
    }
    client.quiet().await;
    client.say("SUBSCRIBE\nid:d\ndestination:/t/a\ndurable:true\n\n").await;
    assert_eq!(client.error().await.get("message"), "Not supported");
    server.stop().await;
}

#[tokio::test]
async fn a_look_at_a_queue_takes_nothing_and_says_when_it_was_all() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    for body in ["a", "b", "c"] {
        client.send("/queue/q", body).await;
    }
    client.ask("SUBSCRIBE\nid:1\ndestination:/queue/q\nack:client-individual\nprefetch-count:1", "").await;
    let first = client.message("a").await;
    client.ask("SUBSCRIBE\nid:2\ndestination:/queue/q\nbrowser:true", "").await;
    for body in ["a", "b", "c"] {
        let seen = client.message(body).await;
        assert_eq!((seen.get("subscription"), seen.find("ack")), ("2", None));
    }
    let end = client.message("").await;
    assert_eq!(
        (end.get("browser"), end.get("destination"), end.get("subscription")),
        ("end", "/queue/q", "2")
    );
    client.ask("UNSUBSCRIBE\nid:2", "").await;
    // What is consumed is not seen, what comes later neither; a selector selects.
    client.say(&format!("ACK\nid:{}\n\n", first.get("ack"))).await;
    let second = client.message("b").await;
    client.ask("SEND\ndestination:/queue/q\nn:4", "d").await;
    client.ask("SUBSCRIBE\nid:3\ndestination:/queue/q\nbrowser:true\nselector:n = 4", "").await;
    client.message("d").await;
    assert_eq!(client.message("").await.get("browser"), "end");
    client.ask("SEND\ndestination:/queue/q\nn:4", "e").await;
    client.quiet().await;
    client.say(&format!("ACK\nid:{}\n\n", second.get("ack"))).await;
    assert_eq!(client.message("c").await.get("subscription"), "1", "nothing was taken by looking");
    client.ask("SUBSCRIBE\nid:4\ndestination:/queue/nothing\nbrowser:true", "").await;
    assert_eq!(client.message("").await.get("browser"), "end");
    for wrong in ["destination:/queue/q\nack:client", "destination:/topic/q", "destination:/temp-queue/q"] {
        let mut client = server.connect("1.2").await;
        client.say(&format!("SUBSCRIBE\nid:1\n{wrong}\nbrowser:true\n\n")).await;
        assert_eq!(client.error().await.get("message"), "Not supported", "{wrong}");
    }
    server.stop().await;
}

#[tokio::test]
async fn who_does_not_want_to_hear_itself_hears_the_others() {
    let server = Server::start();
    let mut other = server.connect("1.2").await;
    for header in ["no-local:true", "activemq.noLocal:true", "no-local:true\ndurable:true"] {
        let mut client = server.connect("1.2").await;
        client.ask(&format!("SUBSCRIBE\nid:1\ndestination:/topic/t\n{header}"), "").await;
        client.send("/topic/t", "own").await;
        other.send("/topic/t", "another's").await;
        client.message("another's").await;
        client.quiet().await;
        client.ask("UNSUBSCRIBE\nid:1\ndurable:true", "").await;
    }
    other.say("SUBSCRIBE\nid:1\ndestination:/queue/t\nno-local:true\n\n").await;
    assert_eq!(other.error().await.get("message"), "Not supported");
    server.stop().await;
}

#[tokio::test]
async fn a_message_with_a_name_is_stored_once() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.ask("SUBSCRIBE\nid:1\ndestination:/queue/q", "").await;
    // All at once: the second has to wait until the first is stored.
    let frame = "SEND\ndestination:/queue/q\n_AMQ_DUPL_ID:order-1\n\npaid\0";
    client.raw(frame.repeat(3).as_bytes()).await;
    let got = client.message("paid").await;
    assert_eq!(got.get("_AMQ_DUPL_ID"), "order-1");
    client.ask("SEND\ndestination:/queue/q\n_AMQ_DUPL_ID:order-1", "paid").await;
    client.say("SEND\ndestination:/queue/q\n_AMQ_DUPL_ID:order-2\n\npaid").await;
    assert_eq!(client.message("paid").await.get("_AMQ_DUPL_ID"), "order-2");
    client.quiet().await;
    client.say("SEND\ndestination:/queue/q\n_AMQ_DUPL_ID:order-1\n\nother").await;
    assert_eq!(client.error().await.get("message"), "Conflict");
    for wrong in ["destination:/queue/q\ntransaction:t", "destination:/temp-queue/q"] {
        let mut client = server.connect("1.2").await;
        client.ask("BEGIN\ntransaction:t", "").await;
        client.say(&format!("SEND\n{wrong}\n_AMQ_DUPL_ID:x\n\n")).await;
        assert_eq!(client.error().await.get("message"), "Not supported", "{wrong}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_name_that_an_open_broker_was_given_is_told_as_unproven() {
    let server = Server::start();
    let me = server.broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    for (login, told) in [("login:ann\npasscode:secret\n", "ann (unproven)"), ("", "")] {
        let mut client = server.dial().await;
        client.say(&format!("CONNECT\naccept-version:1.2\n{login}\n")).await;
        let connected = client.frame().await;
        assert!(connected.command == "CONNECTED" && connected.find("user-name").is_none(), "{connected:?}");
        client.say(&format!("SEND\ndestination:/queue/by{}\nreceipt:1\n\nhi", login.len())).await;
        assert_eq!(client.frame().await.command, "RECEIPT");
        let topic = TopicName::new(format!("by{}", login.len())).unwrap();
        let mut cursor =
            server.broker.cursor(&me, &topic, Filter::All, StartAt::Earliest, None).await.unwrap();
        let got = server.broker.poll(&me, &mut cursor, 1, Duration::ZERO).await.unwrap();
        assert_eq!(got.first().unwrap().message.provenance.principal, told);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_virtual_host_in_front_of_the_login_is_as_good_as_the_host() {
    let server = Server::start();
    elsewhere(&server, "shop%orders", "inside").await;
    // That one which is not there is refused where users are known is among the odd logins.
    for (login, within) in [("shop:ann", true), ("/:ann", false), ("nowhere:ann", false), ("ann", false)] {
        let mut client = self::within(&server, &format!("login:{login}\npasscode:secret")).await;
        client.ask("SUBSCRIBE\nid:1\ndestination:/group/by/orders\nack:client-individual", "").await;
        match within {
            true => drop(client.message("inside").await),
            false => client.quiet().await,
        }
    }
    server.stop().await;
}
