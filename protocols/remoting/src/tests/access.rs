//! Users and policies by ACL 2.0's codes, on a broker that knows who asks.

use super::*;
use serde_json::{Value as Json, json};
use sluice_auth::{AccessKey, Auth, Command, Policy, Quota, Secret, UserSpec};
use sluice_model::{Clock, SystemClock};
use sluice_store::MemoryLog;

/// A broker with an administrator, `root`, whose requests [`Peer::ask`] carries.
async fn administered() -> Peer {
    administered_at(Arc::new(SystemClock), None).await
}

/// The same by this clock, and with a quota for the administrator.
async fn administered_at(clock: Arc<dyn Clock>, quota: Option<Quota>) -> Peer {
    let auth = Arc::new(Auth::acl(Default::default(), clock.clone()).unwrap());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock, Default::default()).unwrap();
    let root = UserSpec { superuser: Some(true), secret: Some("s".into()), quota, ..UserSpec::named("root") };
    broker.change_access_as_operator(Command::PutUser(root)).await.unwrap();
    Peer::with(broker, Config::default()).logged_in_as("root", "s")
}

impl Peer {
    fn logged_in_as(self, name: &'static str, password: &'static str) -> Self {
        Self { credentials: Some((name, password)), ..self }
    }

    async fn user(&self, code: i32, name: &str, body: Json) -> (i32, String) {
        let got = self.ask(code, &[("username", name)], body.to_string()).await;
        (got.code(), got.remark().to_owned())
    }

    async fn acl(&self, code: i32, subject: &str, entries: &[(&str, &[&str], &str)]) -> (i32, String) {
        let entries: Vec<Json> = entries
            .iter()
            .map(|(resource, actions, decision)| json!({"resource": resource, "actions": actions, "decision": decision}))
            .collect();
        let body = json!({"policies": [{"policyType": "Custom", "entries": entries}]}).to_string();
        let got = self.ask(code, &[("subject", subject)], body).await;
        (got.code(), got.remark().to_owned())
    }

    /// Whether this user and password open a session.
    fn opens(&self, name: &str, password: &str) -> bool {
        let credentials = Credentials::Password { user: name, password };
        self.node.broker.login_now(credentials, self.link.peer).is_ok()
    }
}

#[tokio::test]
async fn a_user_is_made_changed_shown_and_deleted() {
    let peer = administered().await;
    let alice = json!({"username": "alice", "password": "first", "userType": "Normal"});
    assert_eq!(peer.user(3001, "alice", alice.clone()).await, (0, String::new()));
    assert!(peer.opens("alice", "first"));
    let again = peer.user(3001, "alice", alice).await;
    assert_eq!(again, (16, "User:alice exists already; change it with updateUser".into()));

    let got = peer.ask(3004, &[("username", "alice")], "").await;
    assert_eq!(got.json(), json!({"username": "alice", "userType": "Normal", "userStatus": "enable"}));
    assert_eq!(peer.user(3002, "alice", json!({"userStatus": "disable"})).await.0, 0);
    assert!(!peer.opens("alice", "first"));
    let all = peer.ask(3005, &[("filter", "ali")], "").await.json();
    assert_eq!(all, json!([{"username": "alice", "userType": "Normal", "userStatus": "disable"}]));
    assert_eq!(peer.ask(3005, &[], "").await.json().as_array().unwrap().len(), 2);

    assert_eq!(peer.user(3003, "alice", json!(null)).await.0, 0);
    let none = peer.ask(3004, &[("username", "alice")], "").await;
    assert_eq!((none.code(), none.text()), (0, String::new()));
    assert_eq!(peer.user(3003, "alice", json!(null)).await.0, 0, "as on stock brokers");
}

#[tokio::test]
async fn a_new_password_is_the_only_one() {
    let peer = administered().await;
    let secret = |text: &str| Some(Secret::from(text));
    let both = UserSpec {
        password: secret("old-password"),
        secret: secret("old-secret"),
        previous_secret: secret("older-secret"),
        access_keys: Some(vec![AccessKey { key: "key".into(), secret: "other".into() }]),
        ..UserSpec::named("alice")
    };
    peer.node.broker.change_access_as_operator(Command::PutUser(both)).await.unwrap();
    assert_eq!(peer.user(3002, "alice", json!({"password": "new"})).await.0, 0);
    for old in ["old-password", "old-secret", "older-secret"] {
        assert!(!peer.opens("alice", old), "{old}");
    }
    assert!(peer.opens("alice", "new") && peer.opens("key", "other"));
}

#[tokio::test]
async fn what_makes_no_user_is_refused_and_the_password_is_not_repeated() {
    let peer = administered().await;
    for (code, name, body, expected, says) in [
        (3001, " ", json!({"password": "hunter2"}), 29, "The username is blank"),
        (3001, "a", json!({"userType": "Normal"}), 16, "needs a password"),
        (3001, "a", json!({"password": ""}), 16, "needs a password"),
        (3001, "a", json!({"password": "hunter2", "userType": "Root"}), 29, "\"Root\" is no userType"),
        (3001, "a", json!({"password": {"hunter2": 1}}), 29, "the body is no user"),
        (3002, "nobody", json!({"password": "hunter2"}), 16, "there is no User:nobody"),
        (3002, "root", json!({"userType": "Normal"}), 1, "superuser"),
    ] {
        let (got, remark) = peer.user(code, name, body).await;
        assert_eq!(got, expected, "{remark}");
        assert!(remark.contains(says) && !remark.contains("hunter2"), "{remark}");
    }
}

#[tokio::test]
async fn an_acl_is_put_replaced_shown_and_deleted() {
    let peer = administered().await;
    peer.user(3001, "alice", json!({"password": "p"})).await;
    let entries: [(&str, &[&str], &str); 3] = [
        ("Topic:orders*", &["Pub", "Sub"], "Allow"),
        ("Group:*", &["All"], "Allow"),
        ("Cluster:DefaultCluster", &["Get"], "Deny"),
    ];
    assert_eq!(peer.acl(3006, "User:alice", &entries).await, (0, String::new()));
    let acl = peer.ask(3009, &[("subject", "User:alice")], "").await.json();
    let entry = |resource: &str, actions: &[&str], decision: &str| json!({"resource": resource, "actions": actions, "decision": decision});
    let expected = |first| {
        json!({"subject": "User:alice", "policies": [{"policyType": "Custom", "entries":
            [first, entry("Group:*", &["All"], "Allow"), entry("Cluster", &["Get"], "Deny")]}]})
    };
    assert_eq!(acl, expected(entry("Topic:orders*", &["Pub", "Sub"], "Allow")));

    // The entry on the same resource is replaced, also by its opposite.
    assert_eq!(peer.acl(3007, "User:alice", &[("Topic:orders*", &["Pub"], "Deny")]).await.0, 0);
    let policies = peer.node.broker.policies(&peer.session(), Some("alice")).await.unwrap();
    let on_orders: Vec<String> =
        policies.iter().map(Policy::to_string).filter(|p| p.contains("orders")).collect();
    assert_eq!(on_orders, ["deny Pub on Topic:orders* for User:alice"]);

    let list = peer.ask(3010, &[("subjectFilter", "ali"), ("resourceFilter", "Group")], "").await.json();
    assert_eq!(list[0]["policies"][0]["entries"], json!([entry("Group:*", &["All"], "Allow")]));
    assert_eq!(peer.ask(3010, &[("subjectFilter", "bob")], "").await.json(), json!([]));

    let delete = async |fields: &[(&str, &str)]| peer.ask(3008, fields, "").await.code();
    assert_eq!(delete(&[("subject", "User:alice"), ("resource", "Group:*")]).await, 0);
    assert_eq!(delete(&[("subject", "User:alice"), ("resource", "Group:*")]).await, 16);
    assert_eq!(delete(&[("subject", "User:alice")]).await, 0);
    let none = peer.ask(3009, &[("subject", "User:alice")], "").await;
    assert_eq!((none.code(), none.text()), (0, String::new()));
}

#[tokio::test]
async fn what_makes_no_acl_is_refused_whole() {
    let peer = administered().await;
    peer.user(3001, "alice", json!({"password": "p"})).await;
    let good = ("Topic:a", &["Pub"][..], "Allow");
    for (subject, bad, expected, says) in [
        ("User:bob", ("Topic:b", &["Pub"][..], "Allow"), 16, "there is no User:bob"),
        ("Role:r", ("Topic:b", &["Pub"], "Allow"), 16, "there is no Role:r"),
        ("User:alice", ("Topic:b", &["Any"], "Allow"), 29, "\"Any\" is no action"),
        ("User:alice", ("Topic:b", &["Pub"], "Maybe"), 29, "\"Maybe\" is no decision"),
        ("User:alice", ("Namespace:b", &["Pub"], "Allow"), 29, "resource \"Namespace:b\""),
        ("User:alice", ("Cluster:other", &["Pub"], "Allow"), 29, "resource \"Cluster:other\""),
    ] {
        let (code, remark) = peer.acl(3006, subject, &[good, bad]).await;
        assert_eq!(code, expected, "{remark}");
        assert!(remark.contains(says), "{remark}");
    }
    assert_eq!(peer.acl(3006, "User:alice", &[]).await, (1, "The body of acl is null".into()));
    let default = json!({"policies": [{"policyType": "Default", "entries": []}]}).to_string();
    assert_eq!(peer.ask(3006, &[("subject", "User:alice")], default).await.code(), 29);
    assert_eq!(peer.ask(3009, &[("subject", "User:alice")], "").await.text(), "", "nothing of it was kept");
}

#[tokio::test]
async fn only_who_may_change_the_cluster_administers_and_is_told_why_not() {
    let peer = administered().await;
    peer.user(3001, "alice", json!({"password": "p"})).await;
    let alice = peer.another().logged_in_as("alice", "p");
    for code in 3001..=3010 {
        let fields = [("username", "alice"), ("subject", "User:alice")];
        let body = json!({"password": "x", "policies": [{"entries": [{"resource": "*", "actions": ["All"], "decision": "Allow"}]}]});
        let got = alice.ask(code, &fields, body.to_string()).await;
        assert_eq!(got.code(), 16, "{code}");
        let says = got.remark();
        assert!(
            says.starts_with("User:alice has no permission to ") && says.contains(" Cluster from 10.0.0.1"),
            "{says}"
        );
    }
    let open = Peer::new();
    let (code, remark) = open.user(3001, "a", json!({"password": "p"})).await;
    assert_eq!((code, &remark[..]), (1, "there are no users in auth.mode=open; set auth.mode=acl"));
}

#[tokio::test]
async fn acl_1_is_pointed_at_acl_2() {
    let peer = Peer::new();
    for code in 50..=54 {
        let got = peer.ask(code, &[], "").await;
        assert_eq!(got.code(), 3);
        assert!(
            got.remark().contains("createUser") && got.remark().contains("plain_acl.yml"),
            "{}",
            got.remark()
        );
    }
}

/// A stock producer tries again as soon as it is refused, so it is told when its quota lets something through again.
#[tokio::test(start_paused = true)]
async fn a_send_over_the_quota_is_refused_when_another_try_is_worth_it() {
    let clock = Arc::new(ManualClock::new(1_000_000));
    let quota = Quota { messages_per_second: Some(10), ..Quota::default() };
    let peer = administered_at(clock.clone(), Some(quota)).await;
    for _ in 0..10 {
        assert_eq!(peer.send("T", "0", &[], b"x").await.code(), 0);
    }
    clock.advance(1);
    assert_eq!(peer.send("T", "0", &[], b"x").await.code(), 0);
    let start = tokio::time::Instant::now();
    let busy = peer.send("T", "0", &[], b"x").await;
    assert_eq!(busy.code(), 2);
    assert!(busy.remark().starts_with("[REJECTREQUEST]system busy, start flow control"), "{}", busy.remark());
    assert_eq!(start.elapsed().as_millis(), 100);
    clock.advance(100);
    assert_eq!(peer.send("T", "0", &[], b"x").await.code(), 0);
    assert_eq!(start.elapsed().as_millis(), 100);
    // When the connection ends, nobody waits.
    let (busy, ()) = tokio::join!(peer.send("T", "0", &[], b"x"), async { peer.link.end(&peer.node) });
    assert_eq!((busy.code(), start.elapsed().as_millis()), (2, 100));
}

/// A receipt is known to who was given the message; a place can be guessed.
#[tokio::test]
async fn a_place_in_a_topic_that_one_may_not_see_settles_nothing() {
    let root = administered().await;
    let bob = json!({"username": "bob", "password": "b", "userType": "Normal"});
    assert_eq!(root.user(3001, "bob", bob).await.0, 0);
    assert_eq!(root.acl(3006, "User:bob", &[("Group:*", &["Sub"], "Allow")]).await.0, 0);
    assert_eq!(root.send("T", "0", &[], b"a").await.code(), 0);
    let pop = [("consumerGroup", "CG"), ("topic", "T"), ("queueId", "-1"), ("maxMsgNums", "1")];
    let pop = [&pop[..], &[("invisibleTime", "60000"), ("pollTime", "0"), ("initMode", "0")]].concat();
    assert_eq!(root.ask(200_050, &pop, "").await.records().len(), 1);

    let bob = root.another().logged_in_as("bob", "b");
    let acks = r#"{"acks":[{"b":"AQ==","c":"CG","q":0,"r":"0","so":0,"t":"T"}]}"#;
    assert_eq!(bob.ask(200_151, &[], acks).await.code(), 16);
    let place = [("consumerGroup", "CG"), ("topic", "T"), ("queueId", "0"), ("offset", "0")];
    let place =
        [&place[..], &[("extraInfo", "0 1 60000 0 0 sluice 0 0"), ("invisibleTime", "60000")]].concat();
    assert_eq!(bob.ask(200_051, &place, "").await.code(), 16);
    assert_eq!(bob.ask(200_053, &place, "").await.code(), 16);
    assert_eq!(root.ask(200_053, &place, "").await.code(), 0, "it is leased still");
}
