//! SQL conditions: in a pull, in a heartbeat, and before a consumer starts.

use super::*;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

async fn lite_pull(peer: &Peer, offset: &str, sys_flag: &str, expression: &str) -> Got {
    let fields = [
        ("consumerGroup", "CG"),
        ("topic", "T"),
        ("queueId", "0"),
        ("queueOffset", offset),
        ("maxMsgNums", "32"),
        ("sysFlag", sys_flag),
        ("suspendTimeoutMillis", "300"),
        ("subscription", expression),
        ("expressionType", "SQL92"),
    ];
    peer.ask(361, &fields, "").await
}

fn bodies(got: &Got) -> Vec<Bytes> {
    got.records().iter().map(|r| r.body.clone()).collect()
}

async fn sample(peer: &Peer) {
    for (a, tag, body) in [("1", "A", &b"1"[..]), ("5", "A", b"2"), ("9", "B", b"3")] {
        peer.send("T", "0", &[("a", a), ("TAGS", tag)], body).await;
    }
}

#[tokio::test]
async fn a_pull_carries_its_own_expression() {
    let peer = Peer::new();
    sample(&peer).await;
    let got = lite_pull(&peer, "0", "20", "a BETWEEN 4 AND 10").await;
    assert_eq!(
        (bodies(&got), got.field("nextBeginOffset").as_deref()),
        (vec!["2".into(), "3".into()], Some("3"))
    );
    let got = lite_pull(&peer, "0", "20", "TAGS = 'A' AND a > 1").await;
    assert_eq!(bodies(&got), ["2"]);
    let none = lite_pull(&peer, "0", "20", "a > 100").await;
    assert_eq!((none.code(), none.field("nextBeginOffset").as_deref()), (20, Some("3")));
}

#[tokio::test]
async fn a_bad_expression_is_told_with_its_column() {
    let peer = Peer::new();
    sample(&peer).await;
    let got = lite_pull(&peer, "0", "20", "a >").await;
    assert_eq!(got.code(), 23);
    assert_eq!(got.remark(), "the SQL expression is wrong at column 4: expected a value, found the end");
    let check = async |kind: &str, expression: &str| {
        let body = format!(
            r#"{{"clientId":"c","group":"CG","subscriptionData":{{"topic":"T","expressionType":"{kind}","subString":"{expression}"}}}}"#
        );
        peer.ask(46, &[], body).await
    };
    assert_eq!(check("SQL92", "a >").await.remark(), got.remark());
    assert_eq!(check("SQL92", "a > 1").await.code(), 0);
    assert_eq!(check("TAG", "A || B").await.code(), 0);
    assert_eq!(check("XPATH", "a").await.code(), 23);
}

#[tokio::test]
async fn a_pull_relies_on_the_expression_of_the_heartbeat() {
    let peer = Peer::new();
    sample(&peer).await;
    let beat = async |expression: &str, version: u32| {
        let body = format!(
            r#"{{"clientID":"c1","consumerDataSet":[{{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET",
            "consumeType":"CONSUME_PASSIVELY","groupName":"CG","messageModel":"CLUSTERING","subscriptionDataSet":[
            {{"expressionType":"SQL92","subString":"{expression}","subVersion":{version},"topic":"T"}}]}}]}}"#
        );
        peer.ask(34, &[], body).await.code()
    };
    assert_eq!(beat("a > 1", 5).await, 0);
    assert_eq!(bodies(&peer.pull("CG", "T", "0", "0", "0").await), ["2", "3"]);
    let shown = peer.ask(203, &[("consumerGroup", "CG")], "").await.json();
    assert_eq!(shown["subscriptionTable"]["T"]["expressionType"], "SQL92");
    assert_eq!(shown["subscriptionTable"]["T"]["subString"], "a > 1");
    // The heartbeat counts, the condition does not.
    assert_eq!(beat("a >", 6).await, 0);
    assert_eq!(peer.pull("CG", "T", "0", "0", "0").await.code(), 24);
}

#[tokio::test]
async fn what_does_not_pass_does_not_end_a_wait() {
    let peer = Peer::new();
    sample(&peer).await;
    let sender = peer.another();
    let waiting = lite_pull(&peer, "3", "22", "a = 42");
    let sending = async {
        for n in 0..5 {
            tokio::task::yield_now().await;
            let a = if n == 4 { "42" } else { "7" };
            sender.send("T", "0", &[("a", a)], b"later").await;
        }
    };
    let (got, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(waiting, sending) }).await.unwrap();
    assert_eq!((bodies(&got).len(), got.field("nextBeginOffset").as_deref()), (1, Some("8")));
    // At the end of the wait the client learns how far it may go on.
    let waiting = lite_pull(&peer, "8", "22", "a = 42");
    let sending = sender.send("T", "0", &[("a", "7")], b"never");
    let (got, _) = tokio::time::timeout(PATIENCE, async { tokio::join!(waiting, sending) }).await.unwrap();
    assert_eq!((got.code(), got.field("nextBeginOffset").as_deref()), (20, Some("9")));
}
