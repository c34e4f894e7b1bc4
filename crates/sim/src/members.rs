//! Who takes part in groups, who holds a queue's lock, and groups whose members another front-end gathers, with the
//! offsets and notes that these commit.
//!
//! The one idea to know: members with what they subscribe to, locks and who holds a group are gone with the process; offsets
//! and notes are not.

use crate::node::{Asked, Check, Node, poll};
use crate::producing::Producing;
use crate::tally;
use sluice_broker::{
    Client, ClientEvent, Coordinated, Fetching, Joined, Membership, QueueCommit, Sharing, StartAt,
    Subscription,
};
use sluice_model::{ErrorKind, Filter, GroupName, Millis, QueueId, TopicName};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

/// Members at most.
const CLIENTS: usize = 6;
/// Groups whose members commit offsets by themselves.
const STREAMS: [&str; 2] = ["stream", "copy"];

/// What is in memory only, and gone with the process.
#[derive(Default)]
pub struct Live {
    clients: Vec<Member>,
    /// Those that send messages as members of groups.
    pub producers: Vec<Producing>,
    held: Vec<Held>,
    /// Who locked a queue for a group, and when.
    locks: BTreeMap<(GroupName, u32), (String, Millis)>,
}

/// A member of a group, and what it told that it reads.
struct Member {
    group: GroupName,
    id: String,
    client: Client,
    subscriptions: Vec<Subscription>,
}

/// A group that another front-end gathers, and whom it says that it has gathered.
struct Held {
    group: GroupName,
    coordinated: Coordinated,
    members: BTreeSet<String>,
}

impl Live {
    fn of<'a>(&'a self, group: &'a GroupName) -> impl Iterator<Item = &'a Member> {
        self.clients.iter().filter(move |member| member.group == *group)
    }

    pub fn members(&self, group: &GroupName) -> BTreeSet<String> {
        let gathered = self.held.iter().filter(|held| held.group == *group).flat_map(|held| &held.members);
        self.of(group).map(|member| &member.id).chain(gathered).cloned().collect()
    }

    fn subscriptions<'a>(
        &'a self,
        group: &'a GroupName,
        topic: &'a TopicName,
    ) -> impl Iterator<Item = &'a Subscription> {
        self.of(group).flat_map(|member| &member.subscriptions).filter(move |one| one.topic == *topic)
    }

    /// Whether a member of the group reads the topic.
    pub fn is_subscribed(&self, group: &GroupName, topic: &TopicName) -> bool {
        self.subscriptions(group, topic).next().is_some()
    }

    pub fn is_held(&self, group: &GroupName) -> bool {
        self.held.iter().any(|held| held.group == *group)
    }

    /// The groups are let go, and everyone leaves.
    pub fn clear(&mut self) {
        self.clients.clear();
        self.producers.clear();
        self.held.clear();
    }
}

/// What a member reads after it told this: of one topic never an earlier version than it told before.
fn merged(told: Option<Vec<Subscription>>, before: Option<&[Subscription]>) -> Vec<Subscription> {
    let before = before.unwrap_or_default();
    let Some(told) = told else { return before.to_vec() };
    let newer = |new: &Subscription| {
        before.iter().find(|old| old.topic == new.topic && old.version > new.version).cloned()
    };
    told.into_iter().map(|new| newer(&new).unwrap_or(new)).collect()
}

impl Node {
    pub fn some_stream(&mut self) -> Check<GroupName> {
        let n = self.dice.below(STREAMS.len() as u64) as usize;
        GroupName::new(STREAMS.get(n).copied().unwrap_or_default()).map_err(|error| format!("{error:?}"))
    }

    /// Something happens among members.
    pub fn some_member(&mut self, group: GroupName, topic: &TopicName) -> Check {
        match self.dice.below(10) {
            0..3 => self.join(group, topic),
            3 => self.leave(),
            4..6 => self.lock(&group, topic),
            6 => self.unlock(&group, topic),
            7 => self.hold(group),
            8 => self.let_go(),
            _ => {
                self.compare_subscription(&group, topic)?;
                self.compare_members(&group)
            }
        }
    }

    /// What a member tells that it reads: of the topic, under some version, or nothing, or what it told before.
    fn some_subscriptions(&mut self, topic: &TopicName) -> Option<Vec<Subscription>> {
        self.next_subscription += 1;
        let expression = format!("subscription {}", self.next_subscription).into();
        let filter = if self.dice.coin() { Filter::All } else { Filter::Tags(vec!["red".into()]) };
        let version = self.dice.below(4) as i64;
        let one = Subscription { topic: topic.clone(), filter, expression, version };
        match self.dice.below(5) {
            0 => None,
            1 => Some(Vec::new()),
            _ => Some(vec![one]),
        }
    }

    /// A client joins, under a new connection or, to say that it still lives, under the one that it has.
    fn join(&mut self, group: GroupName, topic: &TopicName) -> Check {
        let id = format!("c{}", self.dice.below(3));
        let known = self.live.clients.iter().position(|member| (&member.group, &member.id) == (&group, &id));
        let again = known.filter(|_| self.dice.coin());
        if again.is_none() && self.live.clients.len() >= CLIENTS {
            return self.leave();
        }
        // Whoever comes under the same name takes the place of the one before.
        let before = known.map(|n| self.live.clients.swap_remove(n));
        let told = before.as_ref().map(|member| member.subscriptions.clone());
        let (client, replaced) = match before {
            Some(member) if again.is_some() => (member.client, None),
            before => (self.broker.client(&self.me), before),
        };
        let subscriptions = self.some_subscriptions(topic);
        let membership = Membership {
            group: group.clone(),
            client_id: id.as_str().into(),
            sharing: Sharing::Clustering,
            fetching: Fetching::Pull,
            start: StartAt::Earliest,
            subscriptions: subscriptions.clone(),
            agent: Default::default(),
        };
        let joined = client.join(&self.me, membership);
        self.absorb(&Asked::default())?;
        self.trace.note(format_args!("join {group} {id} {}", joined.is_ok()));
        let reads = merged(subscriptions, told.as_deref());
        let changed = again.is_none() || told.as_ref() != Some(&reads);
        match joined {
            Ok(_) if self.live.is_held(&group) => Err(format!("{id} joins {group}, which is held")),
            Ok(joined) => {
                self.live.clients.push(Member { group: group.clone(), id, client, subscriptions: reads });
                drop(replaced);
                self.joined(&group, topic, &joined, changed)
            }
            Err(error) => {
                let before = told.unwrap_or_default();
                let client = replaced.map_or(client, |member| member.client);
                if known.is_some() {
                    let member = Member { group: group.clone(), id, client, subscriptions: before };
                    self.live.clients.push(member);
                }
                let expected: &[ErrorKind] =
                    if self.live.is_held(&group) { &[ErrorKind::Conflict] } else { &[] };
                self.refused("join", &error, expected)
            }
        }
    }

    fn joined(&mut self, group: &GroupName, topic: &TopicName, joined: &Joined, changed: bool) -> Check {
        if joined.changed != changed {
            return Err(format!("{group} has changed: {changed}, but told is {}", joined.changed));
        }
        if changed {
            self.told(group)?;
        }
        self.compare_subscription(group, topic)?;
        self.compare_members(group)
    }

    /// All members of a group have been told that it changed.
    fn told(&mut self, group: &GroupName) -> Check {
        for member in self.live.of(group) {
            let mut told = false;
            while let Some(event) = poll(pin!(member.client.event())) {
                told |= event == ClientEvent::GroupChanged(group.clone());
            }
            if !told {
                return Err(format!("{} was not told that {group} changed", member.id));
            }
        }
        self.checked(tally::MEMBERS);
        Ok(())
    }

    fn leave(&mut self) -> Check {
        if self.live.clients.is_empty() {
            return Ok(());
        }
        let n = self.dice.below(self.live.clients.len() as u64) as usize;
        let Member { group, client, .. } = self.live.clients.swap_remove(n);
        match self.dice.coin() {
            true => client.leave(&group),
            false => drop(client),
        }
        self.told(&group)?;
        self.compare_members(&group)
    }

    /// What a group reads of a topic is the newest that any of its members told.
    fn compare_subscription(&mut self, group: &GroupName, topic: &TopicName) -> Check {
        let found = self.broker.subscription(&self.me, group, topic).map_err(|error| format!("{error:?}"))?;
        let told: Vec<&Subscription> = self.live.subscriptions(group, topic).collect();
        let newest = told.iter().map(|one| one.version).max();
        let is_right = match &found {
            Some(found) => Some(found.version) == newest && told.contains(&found),
            None => newest.is_none(),
        };
        let wrong = format!("{group} reads {topic} as {found:?}, and its members told {told:?}");
        self.checked(tally::MEMBERS);
        if is_right { Ok(()) } else { Err(wrong) }
    }

    /// A group consumes in order while one of its members holds a lock.
    fn compare_locks(&mut self, group: &GroupName) -> Check {
        let found = self.broker.has_queue_locks(&self.me, group).map_err(|error| format!("{error:?}"))?;
        let since = self.now().saturating_sub(self.broker.config().queue_lock.as_millis());
        let mut own = self.live.locks.iter().filter(|((of, _), _)| of == group);
        let wanted = own.any(|(_, (_, at))| *at > since);
        self.checked(tally::MEMBERS);
        match found == wanted {
            true => Ok(()),
            false => Err(format!("{group} has locks: {found}, not {wanted}: {:?}", self.live.locks)),
        }
    }

    fn compare_members(&mut self, group: &GroupName) -> Check {
        let members = self.broker.members(&self.me, group).map_err(|error| format!("{error:?}"))?;
        let found: BTreeSet<String> = members.iter().map(|member| member.client_id.to_string()).collect();
        let wanted = self.live.members(group);
        self.checked(tally::MEMBERS);
        if found == wanted {
            self.compare_locks(group)
        } else {
            Err(format!("{group} has the members {found:?}, not {wanted:?}"))
        }
    }

    fn lock(&mut self, group: &GroupName, topic: &TopicName) -> Check {
        let id = format!("c{}", self.dice.below(3));
        let Some(queue) = self.first_queue(topic) else { return Ok(()) };
        let wanted = vec![(topic.clone(), QueueId(0))];
        let got = self.broker.lock_queues(&self.me, group, &id, &wanted).map_err(|e| format!("{e:?}"))?;
        let since = self.now().saturating_sub(self.broker.config().queue_lock.as_millis());
        let place = (group.clone(), queue);
        let taken = self.live.locks.get(&place).is_some_and(|(by, at)| *by != id && *at > since);
        self.trace.note(format_args!("lock {group} {queue} {id} {taken}"));
        self.checked(tally::MEMBERS);
        if got.is_empty() != taken {
            return Err(format!("{id} gets {got:?} of {group}; {:?}", self.live.locks.get(&place)));
        }
        if !taken {
            self.live.locks.insert(place, (id, self.now()));
        }
        self.compare_locks(group)
    }

    fn unlock(&mut self, group: &GroupName, topic: &TopicName) -> Check {
        let id = format!("c{}", self.dice.below(3));
        let Some(queue) = self.first_queue(topic) else { return Ok(()) };
        let queues = vec![(topic.clone(), QueueId(0))];
        self.broker.unlock_queues(&self.me, group, &id, &queues).map_err(|e| format!("{e:?}"))?;
        let place = (group.clone(), queue);
        if self.live.locks.get(&place).is_some_and(|(by, _)| *by == id) {
            self.live.locks.remove(&place);
        }
        self.compare_locks(group)
    }

    /// A front-end takes the group's members on.
    fn hold(&mut self, group: GroupName) -> Check {
        let number = self.model.group_number(&group);
        let now = self.now();
        let leased = self.model.progress.iter().any(|((of, _), progress)| {
            Some(*of) == number && progress.cells.values().any(|cell| cell.is_leased(now))
        });
        let is_free = !leased && self.live.members(&group).is_empty() && !self.live.is_held(&group);
        let held = self.broker.coordinate(&self.me, &group);
        self.trace.note(format_args!("hold {group} {is_free}"));
        match held {
            Ok(coordinated) if is_free => {
                let held = Held { group, coordinated, members: BTreeSet::new() };
                self.gather(held)
            }
            Ok(_) => Err(format!("{group} is held, but others are at work in it")),
            Err(error) => {
                let expected: &[ErrorKind] = if is_free { &[] } else { &[ErrorKind::Conflict] };
                self.refused("hold", &error, expected)
            }
        }
    }

    /// The front-end tells whom it has gathered; they are shown as the group's members.
    fn gather(&mut self, mut held: Held) -> Check {
        held.members = (0..self.dice.below(3)).map(|n| format!("gathered {n}")).collect();
        let at = self.now();
        let told = held.members.iter().map(|id| sluice_broker::Member {
            client_id: id.as_str().into(),
            peer: self.me.peer(),
            fetching: Fetching::Pull,
            sharing: Sharing::Clustering,
            start: StartAt::Earliest,
            agent: Default::default(),
            subscriptions: Vec::new(),
            last_seen: at,
        });
        held.coordinated.set_members(told.collect());
        let group = held.group.clone();
        self.live.held.push(held);
        self.compare_members(&group)
    }

    /// A group is let go, or its members are others.
    fn let_go(&mut self) -> Check {
        if self.live.held.is_empty() {
            return Ok(());
        }
        let n = self.dice.below(self.live.held.len() as u64) as usize;
        let held = self.live.held.swap_remove(n);
        if self.dice.below(4) == 0 {
            return self.gather(held);
        }
        self.trace.note(format_args!("let {} go", held.group));
        drop(held);
        match self.is_down() {
            true => Ok(()),
            false => self.absorb(&Asked::default()).map(drop),
        }
    }

    /// A member of another front-end's tells how far it is, or forgets it.
    pub fn some_commits(&mut self, group: &GroupName, topic: &TopicName) -> Check {
        let asked = Asked { moves: true, ..Asked::default() };
        if self.dice.below(6) == 0 {
            let done = self.broker.forget_offsets(&self.me, group, &[(topic, &[QueueId(0)])]);
            let groups = self.absorb(&asked)?;
            return match done {
                Ok(promise) => {
                    self.promised(promise, &groups, Vec::new());
                    Ok(())
                }
                Err(error) => {
                    let expected = [ErrorKind::TopicNotFound, ErrorKind::GroupNotFound];
                    self.refused("forget", &error, &expected)
                }
            };
        }
        let (min, next) = self.first_queue(topic).map_or((0, 0), |queue| self.bounds(queue));
        let offset = min + self.dice.below(next - min + 1);
        let epoch = self.dice.coin().then_some(self.dice.below(9) as i32);
        let note = format!("at {}", self.dice.below(1000)).into();
        let commits = [QueueCommit { queue: QueueId(0), offset, epoch, note }];
        let done = self.broker.commit_offsets(&self.me, group, topic, &commits);
        let groups = self.absorb(&asked)?;
        match done {
            Ok(promise) => {
                self.promised(promise, &groups, Vec::new());
                Ok(())
            }
            Err(error) => self.refused("commits", &error, &[ErrorKind::TopicNotFound]),
        }
    }

    /// What these groups committed, and the notes beside it.
    pub fn compare_notes(&mut self) -> Check {
        for group in STREAMS {
            let group = GroupName::new(group).map_err(|error| format!("{error:?}"))?;
            let number = self.model.group_number(&group);
            let rows = self.broker.committed_offsets(&self.me, &group, None);
            let rows = rows.map_err(|error| format!("no offsets: {error:?}"))?;
            let found: BTreeSet<_> = rows
                .iter()
                .map(|row| (row.topic.clone(), row.queue.0, row.offset, row.epoch, row.note.to_string()))
                .collect();
            let own = self.model.progress.iter().filter(|((of, _), _)| Some(*of) == number);
            let wanted: BTreeSet<_> = own
                .filter_map(|((of, queue), progress)| {
                    let (topic, _, id) = self.model.owner(*queue)?;
                    let offset = progress.committed();
                    let note = self.model.notes.get(&(*of, *queue)).filter(|note| note.0 == offset).cloned();
                    let (_, epoch, text) = note.unwrap_or_default();
                    Some((topic.clone(), id, offset, epoch, text))
                })
                .collect();
            self.checked(tally::PROGRESS);
            if found != wanted {
                return Err(format!("{group} has committed {found:?}, not {wanted:?}"));
            }
        }
        Ok(())
    }

    pub fn first_queue(&self, topic: &TopicName) -> Option<u32> {
        self.model.topics.get(topic).and_then(|topic| topic.queues.first()).copied()
    }
}
