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
    assert_eq!(put("3", &[("topicSysFlag", "0")]).await, 0);
    assert_eq!(put("3", &[("topicSysFlag", "4")]).await, 29);
    assert_eq!(put("3", &[("attributes", "+message.type=LITE")]).await, 1);
    let config = peer.ask(351, &[("topic", "T")], "").await.json();
    assert_eq!(
        (&config["writeQueueNums"], &config["attributes"]["message.type"]),
        (&json!(3), &json!("FIFO"))
    );
    let all = peer.ask(21, &[], "").await;
    assert_eq!(all.json()["topicConfigTable"]["T"], config);
    let names = peer.ask(206, &[], "").await.json();
    assert_eq!(
        names["topicList"],
        json!(["TBW102", "DefaultCluster", "sluice", "DefaultCluster_REPLY_TOPIC", "T"])
    );
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
async fn topics_of_units_are_listed() {
    let peer = Peer::new();
    let put = async |topic: &str, flags: &str| {
        let fields = [("topic", topic), ("readQueueNums", "1"), ("writeQueueNums", "1"), ("perm", "6")];
        let fields = [&fields[..], &[("topicFilterType", "SINGLE_TAG"), ("topicSysFlag", flags)]].concat();
        assert_eq!(peer.ask(17, &fields, "").await.code(), 0);
    };
    for (topic, flags) in
        [("None", "0"), ("Unit", "1"), ("Sub", "2"), ("Both", "3"), ("Was", "3"), ("Was", "0")]
    {
        put(topic, flags).await;
    }
    for (code, topics) in
        [(311, json!(["Both", "Unit"])), (312, json!(["Both", "Sub"])), (313, json!(["Sub"]))]
    {
        assert_eq!(peer.ask(code, &[], "").await.json()["topicList"], topics, "{code}");
    }
    let config = peer.ask(351, &[("topic", "Both")], "").await.json();
    assert_eq!((&config["topicSysFlag"], &config["attributes"]), (&json!(3), &json!({})));
    let route = peer.ask(105, &[("topic", "Both")], "").await.json();
    assert_eq!(route["queueDatas"][0]["topicSysFlag"], json!(3));
    // Told nothing of units, a topic keeps its flags.
    let fields = [("topic", "Both"), ("readQueueNums", "2"), ("writeQueueNums", "2"), ("perm", "6")];
    assert_eq!(peer.ask(17, &fields, "").await.code(), 0);
    assert_eq!(peer.ask(351, &[("topic", "Both")], "").await.json()["topicSysFlag"], json!(3));
}

#[tokio::test]
async fn a_topic_takes_only_the_kind_of_message_that_it_is_for() {
    let peer = Peer::new();
    let kinds: [(&str, &[(&str, &str)]); 4] = [
        ("NORMAL", &[]),
        ("FIFO", &[("__SHARDINGKEY", "s")]),
        ("DELAY", &[("TIMER_DELAY_MS", "60000")]),
        ("TRANSACTION", &[("TRAN_MSG", "true"), ("PGROUP", "PG")]),
    ];
    for (topic, _) in kinds {
        let kind = format!("+message.type={topic}");
        let fields = [("topic", topic), ("readQueueNums", "1"), ("writeQueueNums", "1"), ("perm", "6")];
        let fields = [&fields[..], &[("topicFilterType", "SINGLE_TAG"), ("attributes", &kind[..])]].concat();
        assert_eq!(peer.ask(17, &fields, "").await.code(), 0);
        for (kind, properties) in kinds {
            let got = peer.send(topic, "0", properties, b"x").await;
            assert_eq!(got.code() == 0, kind == topic, "{kind} to {topic}: {}", got.remark());
        }
    }
}

#[tokio::test]
async fn what_belongs_to_the_system_is_left_alone() {
    let peer = Peer::new();
    for topic in ["TBW102", "DefaultCluster", "sluice", "RMQ_SYS_TRACE_TOPIC", "rmq_sys_x", "BenchmarkTest"] {
        let fields = [("topic", topic), ("readQueueNums", "1"), ("writeQueueNums", "1"), ("perm", "6")];
        for code in [17, 215] {
            let got = peer.ask(code, &fields, "").await;
            assert_eq!(got.code(), 29, "{code} {topic}");
            assert!(got.remark().contains("is conflict with system topic"), "{}", got.remark());
        }
    }
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
async fn settings_of_a_group_that_would_be_ignored_are_refused() {
    let peer = Peer::new();
    // What stock tools say when they are told nothing but a name: 5.5.0, and 4.9.8.
    let said = [
        r#"{"attributes":{},"brokerId":0,"consumeBroadcastEnable":false,"consumeEnable":true,"consumeFromMinEnable":false,
        "consumeMessageOrderly":false,"consumeTimeoutMinute":15,"groupName":"CG","groupRetryPolicy":{"type":"CUSTOMIZED"},
        "groupSysFlag":0,"notifyConsumerIdsChangedEnable":true,"retryMaxTimes":16,"retryQueueNums":1,
        "whichBrokerWhenConsumeSlowly":1}"#,
        r#"{"brokerId":0,"consumeBroadcastEnable":false,"consumeEnable":true,"consumeFromMinEnable":false,"groupName":"CG",
        "notifyConsumerIdsChangedEnable":true,"retryMaxTimes":16,"retryQueueNums":1,"whichBrokerWhenConsumeSlowly":1}"#,
    ];
    for body in said {
        let got = peer.ask(200, &[], body).await;
        assert_eq!(got.code(), 0, "{}", got.remark());
    }
    let shown = peer.ask(352, &[("group", "CG")], "").await.text();
    assert_eq!(peer.ask(200, &[], shown).await.code(), 0, "what is shown can be said");
    for wrong in [
        json!({"retryQueueNums": 2}),
        json!({"brokerId": 1}),
        json!({"whichBrokerWhenConsumeSlowly": 2}),
        json!({"notifyConsumerIdsChangedEnable": false}),
        json!({"groupSysFlag": 1}),
        json!({"consumeTimeoutMinute": 30}),
        json!({"attributes": {"+lite.bind.topic": "T"}}),
        json!({"subscriptionDataSet": [{"topic": "T"}]}),
        json!({"groupRetryPolicy": {"type": "CUSTOMIZED", "customizedRetryPolicy": {"next": [1000]}}}),
    ] {
        let mut body = wrong.clone();
        let name = wrong.as_object().unwrap().keys().next().unwrap().clone();
        body["groupName"] = "CG".into();
        let got = peer.ask(200, &[], body.to_string()).await;
        assert_eq!(got.code(), 29, "{name}");
        assert!(got.remark().starts_with(&format!("{name} cannot be ")), "{}", got.remark());
    }
    let in_order = r#"{"groupName":"CG","consumeMessageOrderly":true}"#;
    assert_eq!(peer.ask(200, &[], in_order).await.code(), 0);
    assert_eq!(peer.ask(352, &[("group", "CG")], "").await.json()["consumeMessageOrderly"], true);
    let name = sluice_model::GroupName::new("CG").unwrap();
    assert!(peer.node.broker.group(&peer.session(), &name).unwrap().spec.is_fifo());
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
    let one_queue = async |offset: &str| {
        let fields = [&reset[..], &[("queueId", "0"), ("offset", offset)]].concat();
        peer.ask(222, &fields, "").await
    };
    assert!(one_queue("2").await.text().ends_with(r#""topic":"T"}:2}}"#));
    let outside = one_queue("4").await;
    assert_eq!((outside.code(), outside.remark()), (1, "Target offset 4 not in consume queue range [0-3]"));
}

#[tokio::test]
async fn who_consumes_is_told_that_the_group_was_moved() {
    let peer = Peer::new();
    for _ in 0..3 {
        peer.send("T", "0", &[], b"x").await;
    }
    peer.heartbeat("c", "CG", "T", "*").await;
    let commit = [("consumerGroup", "CG"), ("topic", "T"), ("queueId", "0"), ("commitOffset", "3")];
    assert_eq!(peer.ask(15, &commit, "").await.code(), 0);
    let fields = [
        ("consumerGroup", "CG"),
        ("topic", "T"),
        ("queueId", "0"),
        ("queueOffset", "3"),
        ("maxMsgNums", "32"),
        ("sysFlag", "3"),
        ("commitOffset", "3"),
        ("suspendTimeoutMillis", "30000"),
    ];
    let parked = tokio::spawn(Peer::finish(peer.start(11, &fields, "")));
    tokio::task::yield_now().await;

    let reset = [("group", "CG"), ("topic", "T"), ("timestamp", "0"), ("isForce", "true")];
    assert_eq!(peer.another().ask(222, &reset, "").await.code(), 0);
    let told = parked.await.unwrap();
    assert_eq!(
        (told.code(), told.fields(&["nextBeginOffset", "maxOffset"])),
        (21, vec!["0".into(), "3".into()])
    );
    assert_eq!(peer.ask(15, &commit, "").await.code(), 0, "from then on it commits as ever");

    // One that has not heard of it yet does not undo it.
    assert_eq!(peer.ask(222, &reset, "").await.code(), 0);
    assert_eq!(peer.ask(15, &commit, "").await.code(), 1);
    let where_it_is = [("consumerGroup", "CG"), ("topic", "T"), ("queueId", "0")];
    assert_eq!(peer.ask(14, &where_it_is, "").await.field("offset").unwrap(), "0");
    assert_eq!(peer.ask(11, &fields, "").await.code(), 21);
    assert_eq!(peer.ask(14, &where_it_is, "").await.field("offset").unwrap(), "0", "nor does its pull");
}

#[tokio::test]
async fn a_topics_order_comes_with_its_route() {
    let peer = Peer::new();
    peer.send("T", "0", &[], b"x").await;
    let item = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "T"), ("value", "sluice:4")];
    assert_eq!(peer.ask(101, &item, "").await.code(), 22);
    assert_eq!(peer.ask(100, &item, "").await.code(), 0);
    assert_eq!(peer.ask(101, &item, "").await.field("value").unwrap(), "sluice:4");
    assert_eq!(peer.ask(219, &item, "").await.json(), json!({"table": {"T": "sluice:4"}}));
    assert_eq!(peer.ask(105, &[("topic", "T")], "").await.json()["orderTopicConf"], "sluice:4");
    let config = peer.ask(351, &[("topic", "T")], "").await.json();
    assert_eq!((&config["order"], &config["attributes"]), (&json!(true), &json!({})));
    assert_eq!(peer.ask(102, &item, "").await.code(), 0);
    assert!(peer.ask(105, &[("topic", "T")], "").await.json().get("orderTopicConf").is_none());
    let gone = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "nowhere"), ("value", "sluice:4")];
    assert_eq!((peer.ask(100, &gone, "").await.code(), peer.ask(102, &gone, "").await.code()), (17, 0));
    let other = peer.ask(100, &[("namespace", "OTHER"), ("key", "k"), ("value", "v")], "").await;
    assert!(other.code() == 3 && other.remark().contains("PUT_KV_CONFIG"), "{}", other.remark());
}

#[tokio::test]
async fn a_broker_that_is_not_to_be_written_to_says_so_in_routes() {
    let peer = Peer::new();
    peer.send("T", "0", &[], b"x").await;
    let perm = async || peer.ask(105, &[("topic", "T")], "").await.json()["queueDatas"][0]["perm"].clone();
    let broker = [("brokerName", "sluice")];
    assert_eq!(peer.ask(205, &broker, "").await.field("wipeTopicCount").unwrap(), "1");
    assert_eq!(perm().await, 4);
    assert_eq!(peer.ask(327, &broker, "").await.field("addTopicCount").unwrap(), "1");
    assert_eq!(perm().await, 6);
    assert_eq!(peer.ask(205, &[("brokerName", "another")], "").await.code(), 29);
}

#[tokio::test]
async fn producers_are_known_while_they_are_connected() {
    let peer = Peer::new();
    let producers = async |group: &'static str| {
        let other = peer.another();
        other.ask(204, &[("producerGroup", group)], "").await
    };
    assert_eq!(producers("PG").await.code(), 1);
    peer.heartbeat("c", "CG", "T", "*").await;
    let connection =
        json!({"clientAddr": "10.0.0.1:50001", "clientId": "c", "language": "JAVA", "version": 479});
    assert_eq!(producers("PG").await.json(), json!({"connectionSet": [connection]}));
    assert_eq!(peer.ask(328, &[], "").await.json()["data"]["PG"][0]["remoteIP"], "/10.0.0.1:50001");
    assert_eq!(peer.ask(35, &[("clientID", "c"), ("producerGroup", "PG")], "").await.code(), 0);
    assert_eq!(producers("PG").await.code(), 1);
    peer.heartbeat("c", "CG", "T", "*").await;
    peer.link.end(&peer.node);
    assert_eq!(producers("PG").await.code(), 1);
}

#[tokio::test]
async fn who_reads_what_and_how_far_is_shown() {
    let peer = Peer::new();
    for _ in 0..3 {
        peer.send("T", "0", &[], b"x").await;
    }
    peer.heartbeat("c", "Online", "T", "a || b").await;
    let commit = [("consumerGroup", "CG"), ("topic", "T"), ("queueId", "0"), ("commitOffset", "1")];
    peer.ask(15, &commit, "").await;
    assert_eq!(peer.ask(300, &[("topic", "T")], "").await.json(), json!({"groupList": ["CG", "Online"]}));
    assert_eq!(peer.ask(343, &[("group", "CG")], "").await.json()["topicList"], json!(["T"]));
    let wants = peer.ask(345, &[("group", "Online"), ("topic", "T")], "").await.json();
    assert_eq!(wants["subscriptionData"]["subString"], "a || b");
    let offline = peer.ask(345, &[("group", "CG"), ("topic", "T")], "").await.json();
    assert_eq!(offline, json!({"group": "CG", "topic": "T"}));
    let lagging = peer.ask(317, &[("isOrder", "false")], "").await.text();
    assert!(
        lagging.contains(r#"{"CG":[{"consumeTps":0.0,"offsetTable":{{"brokerName":"sluice","#),
        "{lagging}"
    );
    assert!(lagging.ends_with(r#""totalDiff":2,"totalInflightDiff":0}"#), "{lagging}");
    let span = peer.ask(303, &[("group", "CG"), ("topic", "T")], "").await.json();
    let span = &span["consumeTimeSpanSet"][0];
    let [first, consumed, last] =
        ["minTimeStamp", "consumeTimeStamp", "maxTimeStamp"].map(|name| span[name].as_u64().unwrap());
    assert!(0 < first && first <= consumed && consumed <= last, "{span}");

    let clone = [("srcGroup", "CG"), ("destGroup", "Other"), ("topic", "T")];
    assert_eq!(peer.ask(314, &clone, "").await.code(), 0);
    let where_it_is = [("consumerGroup", "Other"), ("topic", "T"), ("queueId", "0")];
    assert_eq!(peer.ask(14, &where_it_is, "").await.field("offset").unwrap(), "1");
    let busy = [("srcGroup", "CG"), ("destGroup", "Online"), ("topic", "T")];
    assert_eq!(peer.ask(314, &busy, "").await.code(), 1);
}

#[tokio::test]
async fn what_came_lately_is_looked_up() {
    let peer = Peer::new();
    for _ in 0..3 {
        peer.send("T", "0", &[], b"x").await;
    }
    let stats = [("statsName", "TOPIC_PUT_NUMS"), ("statsKey", "T")];
    let stats = peer.ask(315, &stats, "").await.json();
    for span in ["statsMinute", "statsHour", "statsDay"] {
        assert_eq!(stats[span]["sum"], 3, "{span}");
    }
    assert_eq!(peer.ask(315, &[("statsName", "GROUP_GET_NUMS"), ("statsKey", "T@CG")], "").await.code(), 1);
    peer.pull("CG", "T", "0", "0", "4").await;
    let table = peer.ask(28, &[], "").await.json()["table"].clone();
    assert_eq!(table["putTps"], "0.30 0.05 0.01");
    assert_eq!(
        (&table["getTransferredTps"], &table["msgGetTotalTodayNow"]),
        (&json!("0.30 0.05 0.01"), &json!("3"))
    );
    assert_eq!(
        (&table["msgPutTotalTodayNow"], &table["sendThreadPoolQueueSize"]),
        (&json!("3"), &json!("0"))
    );
}

#[tokio::test]
async fn several_topics_and_groups_are_made_at_once() {
    let peer = Peer::new();
    let topics = r#"{"topicConfigList":[{"topicName":"A","readQueueNums":2,"writeQueueNums":2,"perm":6,"order":false,
        "attributes":{"+message.type":"FIFO"}},{"topicName":"B","readQueueNums":3,"writeQueueNums":3,"perm":4}]}"#;
    assert_eq!(peer.ask(18, &[], topics).await.code(), 0);
    let config = async |topic: &str| peer.ask(351, &[("topic", topic)], "").await.json();
    assert_eq!(config("A").await["attributes"]["message.type"], "FIFO");
    assert_eq!((&config("B").await["writeQueueNums"], &config("B").await["perm"]), (&json!(3), &json!(4)));
    let groups =
        r#"{"groupConfigList":[{"groupName":"G","retryMaxTimes":2},{"groupName":"H","retryMaxTimes":3}]}"#;
    assert_eq!(peer.ask(225, &[], groups).await.code(), 0);
    assert_eq!(peer.ask(352, &[("group", "H")], "").await.json()["retryMaxTimes"], 3);
}

#[tokio::test]
async fn what_is_not_offered_is_refused_by_name() {
    let peer = Peer::new();
    let back = peer.ask(200_056, &[], "").await;
    assert_eq!((back.code(), back.remark()), (3, "request type 200056 (POP_ROLLBACK) not supported"));
    let odd = peer.ask(31_000, &[], "").await;
    assert_eq!((odd.code(), odd.remark()), (3, "request type 31000 not supported"));
    assert_eq!(peer.ask(25, &[], "a=b").await.code(), 16);
}

#[tokio::test]
async fn settings_are_changed_while_running_all_or_none() {
    let peer = Peer::new();
    let shown = async || peer.ask(26, &[], "").await.text();
    assert!(shown().await.contains("autoCreateTopicEnable=true\n"));
    let refused = peer.ask(25, &[], "autoCreateTopicEnable=false\nmaxMessageSize=9").await;
    assert_eq!(refused.code(), 16);
    assert!(refused.remark().contains("broker.max_message_size"), "{}", refused.remark());
    assert!(shown().await.contains("autoCreateTopicEnable=true\n"), "none of them");
    let change = "autoCreateTopicEnable=false\ndefaultTopicQueueNums=3\nfileReservedTime=12\ntransactionTimeOut=100\n\
                  transactionCheckInterval=200\ntransactionCheckMax=2\n";
    assert_eq!(peer.ask(25, &[], change).await.code(), 0);
    let now = shown().await;
    assert!(change.lines().all(|line| now.contains(&format!("{}\n", line.trim()))), "{now}");
    assert_eq!(peer.send("new", "0", &[], b"x").await.code(), 17, "no topic is made any more");
    assert_eq!(peer.ask(105, &[("topic", "TBW102")], "").await.code(), 17, "and clients are not told to try");
    assert_eq!(peer.ask(25, &[], "autoCreateTopicEnable=true").await.code(), 0);
    assert_eq!(peer.send("new", "0", &[], b"x").await.code(), 0);
    for wrong in ["fileReservedTime=soon", "transactionCheckMax=0", "defaultTopicQueueNums=0", "nonsense"] {
        assert_eq!(peer.ask(25, &[], wrong).await.code(), 29, "{wrong}");
    }
}

#[tokio::test]
async fn what_a_group_got_is_a_rate() {
    let peer = Peer::new();
    for _ in 0..6 {
        peer.send("T", "0", &[], b"x").await;
    }
    peer.heartbeat("c", "CG", "T", "*").await;
    assert_eq!(peer.pull("CG", "T", "0", "0", "4").await.records().len(), 6);
    let stats = peer.ask(315, &[("statsName", "GROUP_GET_NUMS"), ("statsKey", "T@CG")], "").await.json();
    assert_eq!((&stats["statsMinute"]["sum"], &stats["statsDay"]["sum"]), (&json!(6), &json!(6)));
    let consumed =
        peer.ask(15, &[("consumerGroup", "CG"), ("topic", "T"), ("queueId", "0"), ("commitOffset", "6")], "");
    assert_eq!(consumed.await.code(), 0);
    let text = peer.ask(208, &[("consumerGroup", "CG")], "").await.text();
    assert!(text.starts_with("{\"consumeTps\":0.1,"), "{text}");
}

#[tokio::test]
async fn names_are_as_long_as_stock_brokers_allow() {
    let peer = Peer::new();
    let group = |length: usize| format!("{{\"groupName\":\"{}\"}}", "g".repeat(length));
    assert_eq!(peer.ask(200, &[], group(120)).await.code(), 0);
    let long = peer.ask(200, &[], group(121)).await;
    assert_eq!(long.code(), 29);
    assert!(long.remark().contains("longer than group max length: 120"), "{}", long.remark());
    assert_eq!(peer.heartbeat("c", &"h".repeat(120), "T", "*").await.code(), 0);
    assert_eq!(peer.heartbeat("c", &"h".repeat(121), "T", "*").await.code(), 29);
    let topic = async |name: String| {
        let fields = [("topic", &name[..]), ("readQueueNums", "1"), ("writeQueueNums", "1"), ("perm", "6")];
        peer.ask(17, &fields, "").await.code()
    };
    assert_eq!((topic("t".repeat(127)).await, topic("t".repeat(128)).await), (0, 29));
    assert_eq!(
        (topic("a.b".into()).await, topic("a b".into()).await, topic("%|_-Az9".into()).await),
        (29, 29, 0)
    );
    let retry = async |length: usize| {
        peer.send(&format!("%RETRY%{}", "r".repeat(length)), "0", &[], b"x").await.code()
    };
    assert_eq!(retry(120).await, 0);
}
