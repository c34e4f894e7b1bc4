//! The server, its users, and what each cell finds there.

use crate::wire::Shown;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use sluice_auth::{Action, Command, Credentials, Mode, Policy, RoleSpec, Session, UserSpec};
use sluice_broker::{
    Broker, Lease, PrepareRequest, PullRequest, ReceiveRequest, SendRequest, Sent, StartAt, TopicSpec,
};
use sluice_model::{Filter, GroupName, Message, QueueId, TopicName};
use sluice_tests::TestServer;
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Where everybody comes from who is not denied by address: a new address for each connection, because failed logins
/// slow their source down.
const NEAR: u8 = 5;
/// Where those come from who are.
const FAR: u8 = 66;

/// A running server with users.
pub struct World {
    server: TestServer,
    root: Session,
    serial: Cell<u32>,
    sources: Cell<u16>,
    /// The newest connection that was looked for.
    numbers: Cell<u64>,
}

/// What one cell works with, so that cells do not disturb each other. Rows speak of it by the names in braces.
pub struct Stage {
    /// `{t}`: a topic with one queue and two messages, whose ids are its name.
    pub topic: String,
    /// `{g}`: a group that holds the first message under lease.
    pub group: String,
    /// The user who asks.
    pub user: String,
    pub secret: String,
    /// `{v}`: another user, with a policy on a topic of its own name.
    pub other: String,
    /// `{r}`: a role that nobody has.
    pub role: String,
    /// `{handle}`: of the leased delivery.
    handle: String,
    /// `{locator}`: where the first message lies.
    locator: u64,
    /// `{half}`, `{transaction}`, `{half-offset}`: what an open transaction of `{g}-p` is called, in decimal and in
    /// hexadecimal digits, and the offset of its message among halves.
    half: Sent,
    /// `{recall}`: what takes a delayed message of the topic back.
    recall: String,
    /// `{connection}`: the number of a connection that says nothing.
    connection: u64,
    _silent: TcpStream,
}

impl Stage {
    /// A row's text with the names of this stage.
    pub fn fill(&self, text: &str) -> String {
        text.replace("{t}", &self.topic)
            .replace("{g}", &self.group)
            .replace("{v}", &self.other)
            .replace("{r}", &self.role)
            .replace("{handle}", &self.handle)
            .replace("{locator}", &self.locator.to_string())
            .replace("{half}", &self.half.locator.to_string())
            .replace("{transaction}", &format!("{:016x}", self.half.locator))
            .replace("{half-offset}", &self.half.offset.to_string())
            .replace("{recall}", &self.recall)
            .replace("{connection}", &self.connection.to_string())
    }

    pub fn credentials(&self) -> Shown {
        Shown::Secret { user: self.user.clone(), secret: self.secret.clone() }
    }

    pub fn wrong_credentials(&self) -> Shown {
        Shown::Secret { user: self.user.clone(), secret: "not the secret".to_owned() }
    }
}

impl World {
    pub fn start() -> Self {
        let server = TestServer::start_with(|config| {
            config.auth.mode = Mode::Acl;
            config.listen.metrics = "0".parse().expect("a listen value");
        });
        let root =
            UserSpec { superuser: Some(true), secret: Some("roots".into()), ..UserSpec::named("root") };
        let broker = server.broker().clone();
        let root = server.block_on(async {
            broker.change_access_as_operator(Command::PutUser(root)).await.expect("a superuser");
            let shown = Credentials::Password { user: "root", password: "roots" };
            broker.login_now(shown, SocketAddr::from((Ipv4Addr::LOCALHOST, 1))).expect("root may log in")
        });
        Self { server, root, serial: Cell::new(0), sources: Cell::new(0), numbers: Cell::new(0) }
    }

    fn broker(&self) -> &Broker {
        self.server.broker()
    }

    pub fn address(&self, listener: &str) -> SocketAddr {
        self.server.address(listener)
    }

    /// Whoever may do everything.
    pub fn roots(&self) -> Shown {
        Shown::Secret { user: "root".to_owned(), secret: "roots".to_owned() }
    }

    /// An address that nobody has come from yet.
    pub fn near(&self) -> Ipv4Addr {
        self.source(NEAR)
    }

    /// One that is denied everything.
    pub fn far(&self) -> Ipv4Addr {
        self.source(FAR)
    }

    fn source(&self, net: u8) -> Ipv4Addr {
        self.sources.set(self.sources.get() + 1);
        let [high, low] = self.sources.get().to_be_bytes();
        Ipv4Addr::new(127, net, high, low)
    }

    fn change(&self, command: Command) {
        let said = format!("{command:?}");
        let changed = self.server.block_on(self.broker().change_access_as_operator(command));
        changed.unwrap_or_else(|e| panic!("{said}: {e}"));
    }

    pub fn stage(&self) -> Stage {
        self.serial.set(self.serial.get() + 1);
        let n = self.serial.get();
        let name = |kind: &str| format!("{kind}-{n}");
        let (topic, group, other, role) = (name("topic"), name("group"), name("other"), name("role"));
        let (handle, locator) = self.server.block_on(self.fill(&topic, &group));
        let (half, recall) = self.server.block_on(self.set_aside(&topic, &group));
        let (user, secret) = (name("user"), name("secret"));
        let (connection, _silent) = self.silent_connection();
        let stage = Stage {
            topic,
            group,
            user,
            secret,
            other,
            role,
            handle,
            locator,
            half,
            recall,
            connection,
            _silent,
        };
        for user in [&stage.user, &stage.other] {
            let spec = UserSpec { secret: Some(stage.secret.as_str().into()), ..UserSpec::named(user) };
            self.change(Command::PutUser(spec));
        }
        // There are more cells than there may be roles.
        let before = format!("role-{}", n - 1);
        self.server.block_on(self.broker().delete_role(&self.root, &before)).expect("nobody has it");
        self.change(Command::PutRole(RoleSpec::named(&stage.role)));
        self.allow(&stage.other, &format!("Topic:{}", stage.other), &[Action::Pub]);
        stage
    }

    /// A connection, and its number.
    fn silent_connection(&self) -> (u64, TcpStream) {
        let socket = TcpStream::connect(self.address("http")).expect("a connection");
        let own = socket.local_addr().expect("an address");
        let until = Instant::now() + Duration::from_secs(20);
        let after = self.numbers.get();
        loop {
            let open = self.broker().connections(&self.root, after, usize::MAX).expect("connections");
            if let Some(found) = open.iter().find(|open| open.peer == own) {
                self.numbers.set(found.number);
                return (found.number, socket);
            }
            assert!(Instant::now() < until, "the connection is not listed");
            std::thread::yield_now();
        }
    }

    /// A topic with messages, of which the group holds the first.
    async fn fill(&self, topic: &str, group: &str) -> (String, u64) {
        let (broker, root) = (self.broker(), &self.root);
        let (topic, group) = (TopicName::new(topic).expect("a name"), GroupName::new(group).expect("a name"));
        broker.put_topic(root, &topic, TopicSpec::with_queues(1)).await.expect("a topic");
        for body in ["first", "second"] {
            let id = topic.as_str().to_owned();
            let message = Message { body: Some(body.into()), id: id.into(), ..Message::default() };
            let sent = broker.send(root, SendRequest::one(topic.clone(), message)).expect("it is taken");
            sent.await.expect("it is stored");
        }
        let receive = ReceiveRequest {
            group: &group,
            topic: &topic,
            filter: &Filter::All,
            max: 1,
            lease: Lease::For(Duration::from_secs(300)),
            wait: Duration::ZERO,
            start: StartAt::Earliest,
            create: None,
        };
        let leased = broker.receive(root, &receive).await.expect("deliveries");
        let pull = PullRequest {
            topic: &topic,
            queue: QueueId(0),
            offset: Default::default(),
            max: 1,
            max_bytes: 1,
            filter: &Filter::All,
            group: None,
            wait: Duration::ZERO,
        };
        let pulled = broker.pull(root, &pull).await.expect("messages");
        (leased[0].receipt.0.to_string(), pulled.messages[0].locator)
    }

    /// An open transaction of the topic, about which somebody is to be asked, and what takes a delayed message back.
    async fn set_aside(&self, topic: &str, group: &str) -> (Sent, String) {
        let (broker, root) = (self.broker(), &self.root);
        let name = TopicName::new(topic).expect("a name");
        let group = GroupName::new(format!("{group}-p")).expect("a name");
        let send =
            SendRequest::one(name.clone(), Message { body: Some("half".into()), ..Message::default() });
        let half = PrepareRequest { send, group, first_check: Some(Duration::ZERO) };
        let half = broker.prepare(root, half).expect("it is taken").await.expect("it is stored").remove(0);
        let due = broker.now() + 3_600_000;
        let later = Message { body: Some("later".into()), deliver_at: Some(due), ..Message::default() };
        let later = broker.send(root, SendRequest::one(name, later)).expect("it is taken");
        let Sent { id, locator, .. } = later.await.expect("it is stored").remove(0);
        (half, URL_SAFE.encode(format!("v1 {topic} sluice {due} {id} {locator}")))
    }

    pub fn allow(&self, user: &str, resource: &str, actions: &[Action]) {
        self.change(Command::PutPolicy(Policy::allow(user, resource, actions).expect("a policy")));
    }

    /// Denies a user a resource, from far away.
    pub fn deny_from_far(&self, user: &str, resource: &str) {
        let policy = Policy {
            source_ips: vec![format!("127.{FAR}.0.0/16").parse().expect("a network")],
            ..Policy::deny(user, resource, &Action::ALL).expect("a policy")
        };
        self.change(Command::PutPolicy(policy));
    }

    /// Takes away what a user was allowed.
    pub fn withdraw(&self, user: &str) {
        self.change(Command::DeletePolicy { subject: user.to_owned(), resource: None });
    }

    /// A token of this user, good for some time or for ever.
    pub fn token(&self, user: &str, lasts: Option<Duration>) -> Shown {
        let token = self.try_token(user, lasts);
        Shown::Token(token.expect("a token"))
    }

    fn try_token(&self, user: &str, lasts: Option<Duration>) -> Result<String, sluice_model::Error> {
        let broker = self.broker();
        let end = lasts.map(|lasts| broker.now() + lasts.as_millis() as u64);
        self.server.block_on(broker.create_token(&self.root, user, "matrix", end))
    }

    /// A token of this user that has expired.
    pub fn expired_token(&self, user: &str) -> Shown {
        // The broker takes no token that has ended when it is made, as a short one has on a machine that is busy.
        let short_lives = (0..16).map(|doublings| Duration::from_millis(1 << doublings));
        let made =
            short_lives.into_iter().find_map(|lasts| Some((lasts, self.try_token(user, Some(lasts)).ok()?)));
        let (lasts, token) = made.expect("a token");
        let now = self.broker().now();
        while self.broker().now() <= now + lasts.as_millis() as u64 {
            std::thread::yield_now();
        }
        Shown::Token(token)
    }

    /// Takes away every token of this user, and nothing else.
    pub fn delete_tokens(&self, user: &str) {
        let view = self.server.block_on(self.broker().user(&self.root, user));
        for token in view.expect("root may look").expect("there is such a user").tokens {
            self.change(Command::DeleteToken { user: user.to_owned(), id: token.id });
        }
    }

    /// Ends what a user has, in one of the ways in which that happens. The name of the way.
    pub fn revoke(&self, stage: &Stage) -> &'static str {
        let spec = UserSpec::named(&stage.user);
        match self.serial.get() % 3 {
            0 => {
                self.change(Command::DeleteUser(stage.user.clone()));
                "deleted"
            }
            1 => {
                self.change(Command::PutUser(UserSpec { enabled: Some(false), ..spec }));
                "disabled"
            }
            _ => {
                self.change(Command::PutUser(UserSpec { secret: Some("another secret".into()), ..spec }));
                "new secret"
            }
        }
    }
}
