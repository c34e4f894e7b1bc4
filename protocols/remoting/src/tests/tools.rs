//! What name server clients and tools ask.

use super::*;
use serde_json::json;

#[tokio::test]
async fn routes_name_the_broker_and_its_queues() {
    let peer = Peer::new();
    let route = async |topic: &str| peer.ask(105, &[("topic", topic)], "").await;
    let unknown = route("T").await;
    assert_eq!(unknown.code(), 17);
    assert!(unknown.remark().starts_with("No topic route info in name server for the topic: T"));
    peer.send("T", "0", &[], b"x").await;
    let expected = json!({
        "brokerDatas": [{ "brokerAddrs": { "0": "127.0.0.1:10911" }, "brokerName": "sluice",
            "cluster": "DefaultCluster", "enableActingMaster": false }],
        "filterServerTable": {},
        "queueDatas": [{ "brokerName": "sluice", "perm": 6, "readQueueNums": 4, "topicSysFlag": 0,
            "writeQueueNums": 4 }],
    });
    assert_eq!(route("T").await.json(), expected);
    let template = &route("TBW102").await.json()["queueDatas"][0];
    assert_eq!((&template["perm"], &template["writeQueueNums"]), (&json!(7), &json!(8)));
    assert_eq!(route("DefaultCluster").await.code(), 0);
    peer.heartbeat("c", "CG", "T", "*").await;
    assert_eq!(route("%RETRY%CG").await.json()["queueDatas"][0]["readQueueNums"], 1);
}

#[tokio::test]
async fn an_advertised_address_is_told_instead_of_the_connections() {
    for (advertise, host) in [("broker.example:1234", "127.0.0.1:1234"), ("192.0.2.7:9", "192.0.2.7:9")] {
        let advertised = Advertised::new(Some(advertise), None).unwrap();
        let peer = Peer::advertised(Broker::in_memory(), Config::default(), advertised);
        let cluster = peer.ask(106, &[], "").await.json();
        assert_eq!(cluster["brokerAddrTable"]["sluice"]["brokerAddrs"]["0"], advertise);
        assert_eq!(cluster["clusterAddrTable"]["DefaultCluster"], json!(["sluice"]));
        assert_eq!(peer.link.here.host.to_string(), host);
    }
}

#[tokio::test]
async fn topics_are_made_changed_listed_and_deleted() {
    let peer = Peer::new();
    let put = async |queues: &str, more: &[(&'static str, &'static str)]| {
        let fields = [
            ("topic", "T"),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", queues),
            ("writeQueueNums", queues),
            ("perm", "6"),
            ("topicFilterType", "SINGLE_TAG"),
            ("order", "false"),
        ];
        peer.ask(17, &[&fields[..], more].concat(), "").await.code()
    };
    assert_eq!(put("2", &[("attributes", "+message.type=FIFO")]).await, 0);
    assert_eq!(put("3", &[]).await, 0);
    assert_eq!(put("3", &[("attributes", "+queue.type=BatchCQ")]).await, 1);
    let config = peer.ask(351, &[("topic", "T")], "").await.json();
    assert_eq!(
        (&config["writeQueueNums"], &config["attributes"]["message.type"]),
        (&json!(3), &json!("FIFO"))
    );
    let all = peer.ask(21, &[], "").await;
    assert_eq!(all.json()["topicConfigTable"]["T"], config);
    let names = peer.ask(206, &[], "").await.json();
    assert_eq!(names["topicList"], json!(["TBW102", "DefaultCluster", "sluice", "T"]));
    let stats = peer.ask(202, &[("topic", "T")], "").await.text();
    assert!(
        stats.starts_with(r#"{"offsetTable":{{"brokerName":"sluice","queueId":0,"topic":"T"}:{"lastUpdateT"#)
    );
    assert_eq!(peer.ask(216, &[("topic", "T")], "").await.code(), 1);
    assert_eq!(peer.ask(215, &[("topic", "T")], "").await.code(), 0);
    assert_eq!(peer.ask(216, &[("topic", "T")], "").await.code(), 0);
    assert_eq!(peer.ask(351, &[("topic", "T")], "").await.code(), 17);
    assert_eq!(peer.ask(202, &[("topic", "T")], "").await.code(), 17);
}

#[tokio::test]
async fn groups_are_made_changed_listed_and_deleted() {
    let peer = Peer::new();
    let body = r#"{"groupName":"CG","retryMaxTimes":5,"consumeEnable":true,"consumeBroadcastEnable":false}"#;
    assert_eq!(peer.ask(200, &[], body).await.code(), 0);
    let config = peer.ask(352, &[("group", "CG")], "").await.json();
    assert_eq!((&config["retryMaxTimes"], &config["consumeBroadcastEnable"]), (&json!(5), &json!(false)));
    let all = peer.ask(201, &[], "").await.json();
    assert_eq!(all["subscriptionGroupTable"]["CG"], config);
    assert_eq!(peer.ask(207, &[("groupName", "CG")], "").await.code(), 0);
    assert_eq!(peer.ask(352, &[("group", "CG")], "").await.code(), 26);
}

#[tokio::test]
async fn progress_is_shown_and_reset() {
    let peer = Peer::new();
    for _ in 0..3 {
        peer.send("T", "0", &[], b"x").await;
    }
    let commit = [("consumerGroup", "CG"), ("topic", "T"), ("queueId", "0"), ("commitOffset", "1")];
    peer.ask(15, &commit, "").await;
    let stats = peer.ask(208, &[("consumerGroup", "CG"), ("topic", "T")], "").await.text();
    let entry = r#"{"brokerName":"sluice","queueId":0,"topic":"T"}:{"brokerOffset":3,"consumerOffset":1,"#;
    assert!(stats.contains(entry), "{stats}");
    assert_eq!(
        peer.ask(208, &[("consumerGroup", "nobody")], "").await.text(),
        r#"{"consumeTps":0.0,"offsetTable":{}}"#
    );
    let reset = [("group", "CG"), ("topic", "T"), ("timestamp", "-1"), ("isForce", "true")];
    let moved = peer.ask(222, &reset, "").await.text();
    assert!(moved.contains(r#"{"brokerName":"sluice","queueId":0,"topic":"T"}:3"#), "{moved}");
    let one_queue = [&reset[..], &[("queueId", "0")]].concat();
    assert_eq!(peer.ask(222, &one_queue, "").await.code(), 29);
}

#[tokio::test]
async fn what_is_not_offered_is_refused_by_name() {
    let peer = Peer::new();
    let pop = peer.ask(200_050, &[], "").await;
    assert_eq!((pop.code(), pop.remark()), (3, "request type 200050 (POP_MESSAGE) not supported"));
    let odd = peer.ask(31_000, &[], "").await;
    assert_eq!((odd.code(), odd.remark()), (3, "request type 31000 not supported"));
    assert_eq!(peer.ask(25, &[], "a=b").await.code(), 16);
}
