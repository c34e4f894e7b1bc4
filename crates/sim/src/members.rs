//! Who takes part in groups, who holds a queue's lock, and groups whose members another front-end gathers, with the
//! offsets and notes that these commit.
//!
//! The one idea to know: members, locks and who holds a group are gone with the process; offsets and notes are not.

use crate::node::{Asked, Check, Node, poll};
use crate::tally;
use sluice_broker::{Client, ClientEvent, Coordinated, Fetching, Membership, QueueCommit, Sharing, StartAt};
use sluice_model::{ErrorKind, GroupName, Millis, QueueId, TopicName};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

/// Members at most.
const CLIENTS: usize = 6;
/// Groups whose members commit offsets by themselves.
const STREAMS: [&str; 2] = ["stream", "copy"];

/// What is in memory only, and gone with the process.
#[derive(Default)]
pub struct Live {
    clients: Vec<(GroupName, String, Client)>,
    held: Vec<(GroupName, Coordinated)>,
    /// Who locked a queue for a group, and when.
    locks: BTreeMap<(GroupName, u32), (String, Millis)>,
}

impl Live {
    pub fn members(&self, group: &GroupName) -> BTreeSet<String> {
        self.clients.iter().filter(|(of, ..)| of == group).map(|(_, id, _)| id.clone()).collect()
    }

    pub fn is_held(&self, group: &GroupName) -> bool {
        self.held.iter().any(|(of, _)| of == group)
    }

    /// The groups are let go, and everyone leaves.
    pub fn clear(&mut self) {
        self.clients.clear();
        self.held.clear();
    }
}

impl Node {
    pub fn some_stream(&mut self) -> Check<GroupName> {
        let n = self.dice.below(STREAMS.len() as u64) as usize;
        GroupName::new(STREAMS.get(n).copied().unwrap_or_default()).map_err(|error| format!("{error:?}"))
    }

    /// Something happens among members.
    pub fn some_member(&mut self, group: GroupName, topic: &TopicName) -> Check {
        match self.dice.below(10) {
            0..3 => self.join(group),
            3 => self.leave(),
            4..6 => self.lock(&group, topic),
            6 => self.unlock(&group, topic),
            7 => self.hold(group),
            8 => self.let_go(),
            _ => self.compare_members(&group),
        }
    }

    fn join(&mut self, group: GroupName) -> Check {
        if self.live.clients.len() >= CLIENTS {
            return self.leave();
        }
        let id = format!("c{}", self.dice.below(3));
        let client = self.broker.client(&self.me);
        let membership = Membership {
            group: group.clone(),
            client_id: id.as_str().into(),
            sharing: Sharing::Clustering,
            fetching: Fetching::Pull,
            start: StartAt::Earliest,
            subscriptions: Some(Vec::new()),
            agent: Default::default(),
        };
        let joined = client.join(&self.me, membership);
        self.absorb(&Asked::default())?;
        self.trace.note(format_args!("join {group} {id} {}", joined.is_ok()));
        match joined {
            Ok(_) if self.live.is_held(&group) => Err(format!("{id} joins {group}, which is held")),
            Ok(joined) => {
                // Whoever comes under the same name takes the place of the one before.
                self.live.clients.retain(|(of, known, _)| (of, known) != (&group, &id));
                if joined.changed {
                    self.told(&group)?;
                }
                self.live.clients.push((group.clone(), id, client));
                self.compare_members(&group)
            }
            Err(error) => {
                let expected: &[ErrorKind] =
                    if self.live.is_held(&group) { &[ErrorKind::Conflict] } else { &[] };
                self.refused("join", &error, expected)
            }
        }
    }

    /// All members of a group have been told that it changed.
    fn told(&mut self, group: &GroupName) -> Check {
        for (_, id, client) in self.live.clients.iter().filter(|(of, ..)| of == group) {
            let mut told = false;
            while let Some(event) = poll(pin!(client.event())) {
                told |= event == ClientEvent::GroupChanged(group.clone());
            }
            if !told {
                return Err(format!("{id} was not told that {group} changed"));
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
        let (group, _, client) = self.live.clients.swap_remove(n);
        match self.dice.coin() {
            true => client.leave(&group),
            false => drop(client),
        }
        self.told(&group)?;
        self.compare_members(&group)
    }

    fn compare_members(&mut self, group: &GroupName) -> Check {
        let members = self.broker.members(&self.me, group).map_err(|error| format!("{error:?}"))?;
        let found: BTreeSet<String> = members.iter().map(|member| member.client_id.to_string()).collect();
        let wanted = self.live.members(group);
        self.checked(tally::MEMBERS);
        if found == wanted {
            Ok(())
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
        Ok(())
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
        Ok(())
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
            Ok(held) if is_free => {
                self.live.held.push((group, held));
                Ok(())
            }
            Ok(_) => Err(format!("{group} is held, but others are at work in it")),
            Err(error) => {
                let expected: &[ErrorKind] = if is_free { &[] } else { &[ErrorKind::Conflict] };
                self.refused("hold", &error, expected)
            }
        }
    }

    fn let_go(&mut self) -> Check {
        if self.live.held.is_empty() {
            return Ok(());
        }
        let n = self.dice.below(self.live.held.len() as u64) as usize;
        let (group, held) = self.live.held.swap_remove(n);
        self.trace.note(format_args!("let {group} go"));
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
