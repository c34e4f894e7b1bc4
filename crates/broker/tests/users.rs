//! Users and policies as administrators see and remove them.

#![allow(clippy::unwrap_used)]

use sluice_auth::{
    AclFile, Action, Auth, Command, Config as AuthConfig, Credentials, Policy, RoleSpec, Session, UserSpec,
};
use sluice_broker::*;
use sluice_model::*;
use sluice_store::MemoryLog;
use std::sync::Arc;

const FILE: &str = r#"
[[users]]
name = "filed"
secret = "secret"

[[policies]]
subject = "filed"
resource = "Topic:*"
actions = ["Sub"]
"#;

fn login(broker: &Broker, user: &str) -> Session {
    let peer = "10.0.0.1:1".parse().unwrap();
    broker.login_now(Credentials::Password { user, password: "secret" }, peer).unwrap()
}

fn spec(name: &str) -> UserSpec {
    UserSpec { secret: Some("secret".into()), ..UserSpec::named(name) }
}

async fn with_users() -> (Broker, Session, Session) {
    let clock = Arc::new(SystemClock);
    let auth = Arc::new(Auth::acl(AuthConfig::default(), clock.clone()).unwrap());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock, Config::default()).unwrap();
    let root = UserSpec { superuser: Some(true), ..spec("root") };
    broker.change_access_as_operator(Command::PutUser(root)).await.unwrap();
    let file = AclFile::parse(FILE).unwrap();
    broker.change_access_as_operator(Command::ReplaceFile(file)).await.unwrap();
    let session = login(&broker, "root");
    assert!(broker.put_user(&session, spec("app")).await.unwrap());
    assert!(!broker.put_user(&session, spec("app")).await.unwrap(), "it is there already");
    let app = login(&broker, "app");
    (broker, session, app)
}

#[tokio::test]
async fn users_and_policies_are_for_those_who_may_look_at_the_cluster() {
    let (broker, root, app) = with_users().await;
    let denials = [
        broker.users(&app, None, 10).await.err(),
        broker.user(&app, "app").await.err(),
        broker.policies(&app, None).await.err(),
        broker.put_user(&app, spec("more")).await.err(),
        broker.delete_user(&app, "root").await.err(),
        broker.delete_policies(&app, "filed", None).await.err(),
        broker.put_role(&app, RoleSpec::named("ops")).await.err(),
        broker.delete_role(&app, "ops").await.err(),
    ];
    let roles = broker.roles(&app).unwrap_err();
    assert_eq!(roles.kind(), ErrorKind::PermissionDenied);
    for (at, denial) in denials.into_iter().enumerate() {
        let denial = denial.unwrap();
        assert_eq!(denial.kind(), ErrorKind::PermissionDenied, "{at}");
        let action = if at < 3 { "Get" } else { "Update" };
        let words = format!("User:app has no permission to {action} Cluster");
        assert!(denial.message().starts_with(&words), "{denial}");
    }
    let see = Policy::allow("app", "Cluster", &[Action::List]).unwrap();
    broker.change_access(&root, Command::PutPolicy(see)).await.unwrap();
    let page = broker.users(&app, Some("app".into()), 1).await.unwrap();
    assert_eq!(page.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["filed"]);
    assert_eq!(broker.policies(&app, Some("filed")).await.unwrap().len(), 1);
    assert_eq!(broker.policies(&app, None).await.unwrap().len(), 2);
    assert_eq!(broker.user(&app, "nobody").await.unwrap(), None);
}

#[tokio::test]
async fn what_a_deleted_user_had_open_may_do_nothing_more() {
    let (broker, root, app) = with_users().await;
    let topic = TopicName::new("t").unwrap();
    let all = Policy::allow("app", "*", &Action::ALL).unwrap();
    broker.change_access(&root, Command::PutPolicy(all.clone())).await.unwrap();
    broker.ensure_topic(&app, &topic, 1).unwrap();
    assert!(broker.delete_user(&root, "app").await.unwrap());
    assert!(!broker.delete_user(&root, "app").await.unwrap(), "it is gone already");
    assert!(broker.topic(&app, &topic).is_err());
    assert_eq!(broker.policies(&root, Some("app")).await.unwrap(), []);
    // Another user of that name is not the one that logged in.
    broker.put_user(&root, spec("app")).await.unwrap();
    broker.change_access(&root, Command::PutPolicy(all)).await.unwrap();
    assert!(broker.topic(&app, &topic).is_err());
    broker.topic(&login(&broker, "app"), &topic).unwrap();
}

#[tokio::test]
async fn the_policies_of_the_file_are_kept_and_counted() {
    let (broker, root, _) = with_users().await;
    let topics = Some("Topic:*".parse().unwrap());
    let removed = |removed, kept| Removed { removed, kept };
    assert_eq!(broker.delete_policies(&root, "filed", topics.clone()).await.unwrap(), removed(0, 1));
    let own = Policy::deny("filed", "Topic:*", &[Action::Pub]).unwrap();
    broker.change_access(&root, Command::PutPolicy(own)).await.unwrap();
    assert_eq!(broker.delete_policies(&root, "filed", topics).await.unwrap(), removed(1, 1));
    assert_eq!(broker.delete_policies(&root, "nobody", None).await.unwrap(), removed(0, 0));
    assert_eq!(broker.delete_user(&root, "filed").await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_role_goes_when_nobody_has_it() {
    let (broker, root, _) = with_users().await;
    assert!(broker.put_role(&root, RoleSpec::named("ops")).await.unwrap());
    assert!(!broker.put_role(&root, RoleSpec::named("ops")).await.unwrap(), "it is there already");
    let with = |roles: &[&str]| UserSpec {
        roles: Some(roles.iter().map(|role| (*role).to_owned()).collect()),
        ..UserSpec::named("app")
    };
    broker.put_user(&root, with(&["ops"])).await.unwrap();
    assert_eq!(broker.delete_role(&root, "ops").await.unwrap_err().kind(), ErrorKind::Conflict);
    broker.put_user(&root, with(&[])).await.unwrap();
    assert!(broker.delete_role(&root, "ops").await.unwrap());
    assert!(!broker.delete_role(&root, "ops").await.unwrap(), "it is gone already");
    assert_eq!(broker.roles(&root).unwrap(), []);
}

#[tokio::test]
async fn an_open_broker_has_no_users_and_takes_none() {
    let broker = Broker::in_memory();
    let anyone = broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    assert_eq!(broker.users(&anyone, None, 10).await.unwrap(), []);
    assert_eq!(broker.policies(&anyone, None).await.unwrap(), []);
    let refusals = [
        broker.put_user(&anyone, spec("app")).await.err(),
        broker.delete_user(&anyone, "app").await.err(),
        broker.delete_policies(&anyone, "app", None).await.err(),
        broker.put_role(&anyone, RoleSpec::named("ops")).await.err(),
        broker.delete_role(&anyone, "ops").await.err(),
    ];
    assert_eq!(broker.roles(&anyone).unwrap(), []);
    for refusal in refusals {
        assert_eq!(refusal.unwrap().kind(), ErrorKind::Unsupported);
    }
}
