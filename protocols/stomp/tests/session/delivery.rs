//! Who gets what: queues, topics, groups, kinds, fairness, back-pressure.

use crate::client::Server;
use sluice_stomp::Config;
use std::time::Duration;

#[tokio::test]
async fn a_queue_keeps_messages_for_whoever_comes_first() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.send("plain", "1").await;
    client.send("/queue/plain", "2").await;
    client.ask("SUBSCRIBE\nid:1\ndestination:plain", "").await;
    client.message("1").await;
    assert_eq!(client.message("2").await.get("destination"), "/queue/plain");
    client.say("SUBSCRIBE\nid:2\ndestination:/amq/queue/plain\n\n").await;
    client.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn every_subscriber_of_a_topic_gets_what_comes_after_it() {
    let server = Server::start();
    let mut early = server.connect("1.2").await;
    early.send("/topic/t", "missed").await;
    early.say("SUBSCRIBE\nid:1\ndestination:/topic/t\n\n").await;
    early.say("SUBSCRIBE\nid:2\ndestination:/topic/t\n\n").await;
    early.say("SEND\ndestination:/topic/t\n\nhit").await; // right behind SUBSCRIBE, without a receipt
    let mut ids =
        [early.message("hit").await, early.message("hit").await].map(|m| m.get("subscription").to_owned());
    ids.sort();
    assert_eq!(ids, ["1", "2"]);
    let mut late = server.connect("1.2").await;
    late.ask("SUBSCRIBE\nid:1\ndestination:/topic/t\nfrom:earliest", "").await;
    let mut bodies = [late.frame().await, late.frame().await].map(|m| m.text().to_owned());
    bodies.sort(); // a topic has several queues, and order is kept within each
    assert_eq!(bodies, ["hit", "missed"]);
    server.stop().await;
}

#[tokio::test]
async fn a_subscription_begins_where_it_says_in_anybodys_words() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.ask("SEND\ndestination:/topic/b", "old").await;
    for (headers, sees) in [
        ("", false),
        ("\nactivemq.retroactive:false", false),
        ("\nx-stream-offset:next", false),
        ("\nx-stream-offset:timestamp=99999999999", false),
        ("\nactivemq.retroactive:true", true),
        ("\nx-stream-offset:first", true),
        ("\nx-stream-offset:timestamp=1", true),
        ("\nfrom:earliest\nx-stream-offset:next", true),
    ] {
        client.ask(&format!("SUBSCRIBE\nid:1\ndestination:/topic/b{headers}"), "").await;
        if sees {
            client.message("old").await;
        }
        client.quiet().await;
        client.ask("UNSUBSCRIBE\nid:1", "").await;
    }
    server.stop().await;
}

#[tokio::test]
async fn the_exchanges_that_scripts_name_are_topics() {
    let server = Server::start();
    let mut client = server.connect("1.1").await;
    for (subscribed, sent) in [
        ("/topic/e", "/exchange/amq.topic/e"),
        ("/exchange/amq.direct/e", "/topic/e"),
        ("/exchange/amq.fanout", "/exchange/amq.fanout"),
    ] {
        client.ask(&format!("SUBSCRIBE\nid:1\ndestination:{subscribed}"), "").await;
        client.say(&format!("SEND\ndestination:{sent}\n\nx")).await;
        assert_eq!(client.message("x").await.get("destination"), sent);
        client.ask("UNSUBSCRIBE\nid:1", "").await;
    }
    server.stop().await;
}

#[tokio::test]
async fn the_body_of_subscribe_is_ignored_in_1_0() {
    let server = Server::start();
    let mut client = server.connect("1.0").await;
    client.ask("SUBSCRIBE\ndestination:/queue/b", "a body").await;
    client.ask("SUBSCRIBE\ndestination:/queue/c\ncontent-length:3", "a\0b").await;
    client.say("BEGIN\ntransaction:1\n\na body").await;
    assert_eq!(client.error().await.get("message"), "Malformed frame");
    server.stop().await;
}

#[tokio::test]
async fn groups_share_and_see_every_kind() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.send("/topic/g", "t").await;
    client.send("/queue/g", "q").await;
    for group in ["one", "two"] {
        client.ask(&format!("SUBSCRIBE\nid:{group}\ndestination:/group/{group}/g"), "").await;
        let mut got = [client.frame().await, client.frame().await]
            .map(|m| (m.text().to_owned(), m.get("destination").to_owned()));
        got.sort();
        assert_eq!(got, [("q".to_owned(), "/queue/g".to_owned()), ("t".to_owned(), "/topic/g".to_owned())]);
    }
    client.ask("SUBSCRIBE\nid:three\ndestination:/group/three/g\nfrom:latest", "").await;
    client.quiet().await;
    client.say("SUBSCRIBE\nid:four\ndestination:/queue/g\ngroup:one\n\n").await;
    client.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn queue_and_topic_of_one_name_keep_apart() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.say("SUBSCRIBE\nid:q\ndestination:/queue/k\n\n").await;
    client.say("SUBSCRIBE\nid:t\ndestination:/topic/k\n\n").await;
    client.say("SEND\ndestination:/topic/k\n\nfor topics").await;
    assert_eq!(client.message("for topics").await.get("subscription"), "t");
    client.say("SEND\ndestination:/queue/k\n\nfor queues").await;
    assert_eq!(client.message("for queues").await.get("subscription"), "q");
    client.quiet().await;

    let server = Server::with(Config { isolate_kinds: false, ..Config::default() });
    let mut client = server.connect("1.2").await;
    client.say("SUBSCRIBE\nid:q\ndestination:/queue/k\n\n").await;
    client.say("SEND\ndestination:/topic/k\n\nfor all").await;
    client.message("for all").await;
    server.stop().await;
}

#[tokio::test]
async fn idle_subscribers_of_a_queue_take_turns() {
    let server = Server::start();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect("1.2").await;
        client.ask("SUBSCRIBE\nid:1\ndestination:/queue/f\nack:client", "").await;
        clients.push(client);
    }
    let mut sender = server.connect("1.2").await;
    // One by one, each when somebody has got the one before: who shares a reactor with the sender of a burst has to wait until
    // it is through with that.
    let mut got = [0; 3];
    let [first, second, third] = &mut clients[..] else { unreachable!("there are three") };
    for n in 0..30 {
        sender.send("/queue/f", &n.to_string()).await;
        let (who, frame) = tokio::select! {
            frame = first.frame() => (0, frame),
            frame = second.frame() => (1, frame),
            frame = third.frame() => (2, frame),
        };
        assert_eq!((&frame.command[..], frame.text()), ("MESSAGE", &*n.to_string()));
        got[who] += 1;
    }
    assert!(got.iter().all(|got| *got >= 8), "{got:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_window_holds_messages_back_until_they_are_acknowledged() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    for n in 0..5 {
        client.send("/queue/w", &n.to_string()).await;
    }
    client.say("SUBSCRIBE\nid:1\ndestination:/queue/w\nack:client-individual\nprefetch-count:2\n\n").await;
    let first = client.message("0").await;
    client.message("1").await;
    client.quiet().await;
    client.say(&format!("ACK\nid:{}\n\n", first.get("ack"))).await;
    client.message("2").await;
    client.quiet().await;
    let mut other = server.connect("1.2").await;
    other.say("SUBSCRIBE\nid:1\ndestination:/queue/w\n\n").await;
    other.message("3").await;
    other.message("4").await;
    server.stop().await;
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_stalls_nobody() {
    let mut config = Config::default();
    config.connection.outbox = 64 << 10;
    let server = Server::with(config);
    let body = "x".repeat(16 << 10);
    let mut deaf = server.connect("1.2").await;
    deaf.say("SUBSCRIBE\nid:1\ndestination:/topic/s\n\n").await;
    deaf.ask("SUBSCRIBE\nid:2\ndestination:/queue/s", "").await;
    let mut keen = server.connect("1.2").await;
    keen.ask("SUBSCRIBE\nid:1\ndestination:/topic/s", "").await;
    keen.ask("SUBSCRIBE\nid:2\ndestination:/queue/s", "").await;
    let mut sender = server.connect("1.2").await;
    for _ in 0..1000 {
        sender.raw(format!("SEND\ndestination:/topic/s\n\n{body}\0").as_bytes()).await;
        assert_eq!(keen.frame().await.body.len(), body.len());
    }
    // By now the deaf one's buffers are full, and the keen one gets what is sent to the queue.
    for _ in 0..20 {
        sender.raw(format!("SEND\ndestination:/queue/s\n\n{body}\0").as_bytes()).await;
    }
    for _ in 0..10 {
        assert_eq!(keen.frame().await.get("destination"), "/queue/s");
    }
    drop(deaf);
    for _ in 0..10 {
        assert_eq!(keen.frame().await.get("destination"), "/queue/s", "what the deaf one held came back");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_selector_lets_through_what_it_is_true_of() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    let wanted =
        "convert_string_expressions:price > 9.5 AND \"x-kind\" LIKE 'a!_%' ESCAPE '!' AND tag <> 'no'";
    client
        .ask(&format!("SUBSCRIBE\nid:q\ndestination:/queue/sel\nselector:{}", wanted.replace(':', "\\c")), "")
        .await;
    client.ask("SUBSCRIBE\nid:t\ndestination:/topic/sel\nselector:price IN ('10')", "").await;
    for (headers, body) in [
        ("price:9\nx-kind:a_1\ntag:yes", "too cheap"),
        ("price:10\nx-kind:a1\ntag:yes", "another kind"),
        ("x-kind:a_1\ntag:yes", "no price"),
        ("price:10\nx-kind:a_1", "no tag"),
        ("price:10\nx-kind:a_1\ntag:no", "a wrong tag"),
        ("price:10\nx-kind:a_2\ntag:yes", "this one"),
    ] {
        client.ask(&format!("SEND\ndestination:/queue/sel\n{headers}"), body).await;
    }
    assert_eq!(client.message("this one").await.get("subscription"), "q");
    client.ask("SEND\ndestination:/topic/sel\nprice:11", "dear").await;
    client.ask("SEND\ndestination:/topic/sel\nprice:10", "right").await;
    assert_eq!(client.message("right").await.get("subscription"), "t");
    client.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_selector_is_told_with_its_column() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.say("SUBSCRIBE\nid:1\ndestination:/queue/x\nselector:a > 'b'\n\n").await;
    let error = client.error().await;
    assert_eq!(error.get("message"), "Invalid selector");
    assert!(error.text().contains("at column 5: only numbers have an order"), "{}", error.text());
    server.stop().await;
}

#[tokio::test]
async fn unsupported_subscriptions_are_refused() {
    let server = Server::start();
    for (headers, message) in [
        ("id:1", "Missing header"),
        ("destination:/queue/x", "Missing header"),
        ("id:1\ndestination:/queue/x\nack:sometimes", "Invalid ack mode"),
        ("id:1\ndestination:/queue/x\nselector:a ==\\c 1", "Invalid selector"),
        ("id:1\ndestination:/queue/x\nselector:a = 1\ntag:b", "Invalid request"),
        ("id:1\ndestination:/topic/x\nactivemq.subscriptionName:d", "Missing header"),
        ("id:1\ndestination:/queue/x\nactivemq.subscriptionName:d", "Invalid request"),
        ("id:1\ndestination:/topic/x\ndurable:true\nauto-delete:true", "Not supported"),
        ("id:1\ndestination:/queue/x\nauto-delete:true", "Not supported"),
        ("id:1\ndestination:/topic/x\nx-queue-name:q", "Not supported"),
        ("id:1\ndestination:/topic/x\norder:fifo", "Invalid request"),
        ("id:1\ndestination:/queue/x\norder:lifo", "Invalid request"),
        ("id:1\ndestination:/queue/x\nack-timeout:1s", "Invalid request"),
        ("id:1\ndestination:/queue/x\nack:client\nack-timeout:0", "Invalid request"),
        ("id:1\ndestination:/queue/x\nack:client\nack-timeout:99d", "Invalid request"),
        ("id:1\ndestination:/topic/x.>", "Not supported"),
        ("id:1\ndestination:/queue/x.*", "Not supported"),
        ("id:1\ndestination:/topic/*.x.y", "Not supported"),
        ("id:1\ndestination:/topic/#", "Not supported"),
        ("id:1\ndestination:/group/g/x.#", "Not supported"),
        ("id:1\ndestination:/exchange/amq.topic/x.#", "Not supported"),
        ("id:1\ndestination:/temp-queue/x\nselector:a = 1", "Not supported"),
        ("id:1\ndestination:/temp-queue/", "Invalid request"),
        ("id:1\ndestination:/reply-queue/0000000000000000000000000000002a.x", "Access refused"),
        ("id:1\ndestination:/queue/x\nexclusive:true", "Not supported"),
        ("id:1\ndestination:/queue/x\nx-priority:9", "Not supported"),
        ("id:1\ndestination:/queue/x\nx-stream-offset:offset=5", "Not supported"),
        ("id:1\ndestination:/queue/x\nx-stream-offset:timestamp=18446744073709551615", "Not supported"),
        ("id:1\ndestination:/queue/x\nconsumer-window-size:1024", "Not supported"),
        ("id:1\ndestination:/topic/x\ngroup:g", "Invalid request"),
        ("id:1\ndestination:/queue/x\nfrom:yesterday", "Invalid request"),
        ("id:1\ndestination:/queue/x\nprefetch-count:many", "Invalid request"),
        ("id:1\ndestination:/group/b.d/x", "Invalid request"),
        ("id:1\ndestination:/amq/queue/missing", "Unknown destination"),
    ] {
        let mut client = server.connect("1.2").await;
        client.say(&format!("SUBSCRIBE\n{headers}\nreceipt:r\n\n")).await;
        let error = client.error().await;
        assert_eq!((error.get("message"), error.get("receipt-id")), (message, "r"), "{headers}");
    }
    let mut client = server.connect("1.2").await;
    client.ask("SUBSCRIBE\nid:1\ndestination:/queue/x\ndurable:true\nbrowser:false\nx-any:1", "").await;
    client.say("SUBSCRIBE\nid:1\ndestination:/queue/y\n\n").await;
    assert_eq!(client.error().await.get("message"), "Duplicate subscription");
    server.stop().await;
}

#[tokio::test]
async fn an_idle_subscription_still_wakes_up() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.ask("SUBSCRIBE\nid:q\ndestination:/queue/i", "").await;
    client.ask("SUBSCRIBE\nid:t\ndestination:/topic/i", "").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut sender = server.connect("1.1").await;
    sender.send("/queue/i", "q").await;
    client.message("q").await;
    sender.send("/topic/i", "t").await;
    client.message("t").await;
    server.stop().await;
}

#[tokio::test]
async fn where_a_message_stands_is_told_when_that_is_wanted() {
    const METADATA: [&str; 5] =
        ["rocketmq-queue-id", "rocketmq-offset", "rocketmq-tags", "rocketmq-keys", "delivery-count"];
    for expose_metadata in [true, false] {
        let server = Server::with(Config { expose_metadata, ..Config::default() });
        let mut client = server.connect("1.2").await;
        client.send("/queue/q", "0").await;
        client.ask("SEND\ndestination:/queue/q\ntag:red\nkeys:k1\nrocketmq-offset:77", "1").await;
        client.ask("SUBSCRIBE\nid:1\ndestination:/queue/q\nack:client-individual", "").await;
        client.message("0").await;
        let got = client.message("1").await;
        let told = METADATA.map(|name| got.find(name));
        match expose_metadata {
            true => assert_eq!(told, ["0", "1", "red", "k1", "1"].map(Some)),
            false => assert_eq!(told, [None, Some("77"), None, None, None], "the sender's own header"),
        }
        server.stop().await;
    }
}
