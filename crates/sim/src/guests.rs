//! Sessions of users that come and go, and the connections that follow them.
//!
//! The one idea to know: a session is over when the directory that the changes amount to says so, neither earlier nor later. The
//! connection that follows it is told then; what it followed before is nothing to it any more.

use crate::node::{Asked, Check, Node, now, poll};
use crate::people::USERS;
use crate::tally;
use parking_lot::Mutex;
use sluice_auth::{
    Action, Auth, Command, Credentials, Decision, NewToken, Resource, Session, UserSpec, UserView,
};
use sluice_broker::SessionWatch;
use sluice_model::ErrorKind;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::yield_now;

/// Sessions of users, at most.
const GUESTS: usize = 3;
/// As often all tasks that watch sessions have their turn; one is enough for whoever was told.
const TURNS: usize = 4;

/// A session that was opened with a token, and what waits for its end.
pub struct Guest {
    pub user: String,
    pub token: String,
    session: Session,
    ended: Pin<Box<dyn Future<Output = ()>>>,
    connection: Connection,
}

/// A connection that follows a session.
struct Connection {
    /// In the list of those that are open.
    number: u64,
    watch: SessionWatch,
    /// It was told that what it follows is over.
    told: Told,
    /// And of what it followed before.
    told_of_before: Told,
}

type Told = Arc<AtomicBool>;

impl Guest {
    /// Its connection's number.
    pub fn number(&self) -> u64 {
        self.connection.number
    }
}

impl Node {
    /// A user gets a token, and logs in with it; or somebody asks what a user may. Then users may change.
    pub fn some_guest(&mut self) -> Check {
        let users = self.directory()?.users();
        if users.len() < 2 || self.dice.below(3) == 0 {
            let user = format!("u{}", self.dice.below(USERS));
            self.change_access(Command::PutUser(UserSpec {
                name: user,
                enabled: Some(true),
                ..UserSpec::default()
            }))?;
        }
        let users = self.directory()?.users();
        let user = match self.dice.below(4) {
            0 => format!("u{}", self.dice.below(USERS)),
            _ => {
                let n = self.dice.below(users.len() as u64) as usize;
                users.get(n).map(|user| user.name.clone()).unwrap_or_default()
            }
        };
        self.explain(&user)?;
        if self.guests.len() >= GUESTS {
            let n = self.dice.below(GUESTS as u64) as usize;
            let gone = self.guests.swap_remove(n);
            self.connections.close_own(gone.number());
        }
        self.let_in(&user, &users)?;
        match self.dice.coin() && !self.is_down() {
            true => self.some_access(),
            false => Ok(()),
        }
    }

    fn let_in(&mut self, user: &str, users: &[UserView]) -> Check {
        let made: Arc<Mutex<Option<String>>> = Arc::default();
        let (broker, me, of, slot) =
            (self.broker.clone(), self.me.clone(), user.to_owned(), Arc::clone(&made));
        let call = async move {
            *slot.lock() = Some(broker.create_token(&me, &of, "of the simulation", None).await?);
            Ok(())
        };
        let known = users.iter().find(|known| known.name == user).map(|known| known.enabled);
        let expected: &[ErrorKind] = match known {
            Some(_) => &[ErrorKind::TooLarge],
            None => &[ErrorKind::InvalidArgument],
        };
        self.begin_call("token", &Asked { access: true, ..Asked::default() }, call, expected)?;
        self.commit()?;
        let Some(token) = made.lock().take() else { return Ok(()) };
        if known.is_none() {
            return Err(format!("{user} has a token, and is not there"));
        }
        // Whoever fails is slowed down, and with it this whole simulation.
        match known == Some(true) && !self.is_down() {
            true => self.log_guest_in(user.to_owned(), token),
            false => Ok(()),
        }
    }

    fn log_guest_in(&mut self, user: String, token: String) -> Check {
        let from: SocketAddr = ([127, 0, 0, 1], 2).into();
        let shown = match self.dice.coin() {
            true => Credentials::Password { user: &user, password: &token },
            false => Credentials::Bearer { token: &token },
        };
        let session = match self.dice.coin() {
            true => self.broker.login_now(shown, from),
            false => now(self.broker.login(shown, from))?,
        };
        let session = session.map_err(|error| format!("{user} does not get in: {error:?}"))?;
        self.trace.note(format_args!("{user} is in"));
        let mut connection = self.some_connection_of_its_own();
        if !self.follow(&mut connection, &session)? {
            self.connections.close_own(connection.number);
            return self.look_at_guests();
        }
        let (broker, own) = (self.broker.clone(), session.clone());
        let ended = Box::pin(async move { broker.session_ended(&own).await });
        self.guests.push(Guest { user, token, session, ended, connection });
        self.look_at_guests()
    }

    /// A new one, or that of somebody who goes.
    fn some_connection_of_its_own(&mut self) -> Connection {
        if self.dice.coin() && !self.guests.is_empty() {
            let n = self.dice.below(self.guests.len() as u64) as usize;
            let Guest { mut connection, .. } = self.guests.swap_remove(n);
            connection.told_of_before = std::mem::take(&mut connection.told);
            return connection;
        }
        let number = self.connections.open_own();
        let watch = SessionWatch::of(Some(number));
        Connection { number, watch, told: Told::default(), told_of_before: Told::default() }
    }

    /// The connection acts for this session from now on; false when its user has as many as it may.
    fn follow(&mut self, connection: &mut Connection, session: &Session) -> Check<bool> {
        let Connection { watch, told, .. } = connection;
        let user = session.principal();
        if !watch.is_news(session) {
            return Err(format!("the session of {user} is new, and is no news"));
        }
        let users = self.directory()?.users();
        let limit = users.iter().find(|known| known.name == **user).and_then(|known| known.quota.connections);
        let has_one = watch.session().is_some_and(|before| before.principal() == user);
        let taken = self.guests.iter().filter(|guest| guest.user == **user).count();
        let may = has_one || limit.is_none_or(|limit| taken < limit as usize);
        let over = Arc::clone(told);
        let inside = self.runtime.enter();
        let followed = watch.follow(&self.broker, session, move || over.store(true, Ordering::Relaxed));
        drop(inside);
        self.checked(tally::GUESTS);
        match followed {
            Ok(()) if !may => Err(format!("{user} has a connection beside {taken}, of at most {limit:?}")),
            Ok(()) if watch.is_news(session) => {
                Err(format!("the session of {user} is followed, and is news"))
            }
            Ok(()) => match watch.session().is_some_and(|known| known.is_same_proof(session)) {
                true => Ok(true),
                false => Err(format!("followed is {:?}, not that of {user}", watch.session())),
            },
            Err(error) if !may && error.kind() == ErrorKind::Throttled => Ok(false),
            Err(error) => Err(format!("{user} may not have a connection beside {taken}: {error:?}")),
        }
    }

    /// Whoever watches sessions has a look, as far as there is anything new.
    fn let_watchers_look(&self) {
        self.runtime.block_on(async {
            for _ in 0..TURNS {
                yield_now().await;
            }
        });
    }

    /// Sessions end with what they were opened with, and until then may what their user may.
    pub fn look_at_guests(&mut self) -> Check {
        let directory = self.directory()?;
        self.let_watchers_look();
        for mut guest in std::mem::take(&mut self.guests) {
            let is_in = self.look_at(&directory, &mut guest)?;
            match is_in {
                true => self.guests.push(guest),
                false => self.connections.close_own(guest.number()),
            }
        }
        Ok(())
    }

    fn look_at(&mut self, directory: &Auth, guest: &mut Guest) -> Check<bool> {
        let Guest { user, token, session, ended, connection } = guest;
        let id = NewToken::id_of(token);
        let known = directory.users().into_iter().find(|known| known.name == *user && known.enabled);
        let is_in = known.is_some_and(|known| known.tokens.iter().any(|token| token.id == id));
        let is_over = poll(ended.as_mut()).is_some();
        self.checked(tally::GUESTS);
        if is_over == is_in {
            return Err(format!("{user} is in: {is_in}; over: {is_over}"));
        }
        let told = connection.told.load(Ordering::Relaxed);
        if told == is_in || connection.told_of_before.load(Ordering::Relaxed) {
            return Err(format!(
                "{user} is in: {is_in}; its connection is told: {told}, or of another session"
            ));
        }
        self.may_what_it_may(directory, session, is_in).map(|()| is_in)
    }

    /// A session may what its user may, while it lasts.
    pub fn may_what_it_may(&mut self, directory: &Auth, session: &Session, is_in: bool) -> Check {
        let user = session.principal();
        let may = self.broker.permit_cluster(session, Action::Get).is_ok();
        let rule = directory.explain(user, Action::Get, Resource::Cluster, session.peer().ip()).decision;
        self.checked(tally::GUESTS);
        match may == (is_in && rule == Decision::Allow) {
            true => Ok(()),
            false => Err(format!("{user} is in: {is_in}, {rule:?}; may: {may}")),
        }
    }
}
