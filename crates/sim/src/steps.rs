//! What happens in a seed: the choice of steps, and of what goes wrong.

use crate::lives::Crash;
use crate::node::{Asked, Check, Node};
use crate::ordered::{LANE, LINE, lease_of};
use crate::tally;
use sluice_broker::{
    Durability, DurabilitySetting, GroupSpec, Lease, QueueChoice, ReceiveRequest, SendRequest, StartAt,
    TopicSpec,
};
use sluice_model::units::Span;
use sluice_model::{Dialect, ErrorKind, Filter, GroupName, Message, Millis, QueueId, TopicName};
use sluice_store::sim::Call;
use std::time::Duration;

/// The topics: synced, not synced, and one that is deleted from time to time.
const TOPICS: [&str; 3] = ["orders", "ticks", "brief"];
pub const BRIEF: &str = "brief";
const GROUPS: [&str; 4] = ["billing", "audit", LINE, LANE];
/// How long one of them keeps its messages: for less long than the log.
const TICKS_KEPT: Span = Span::secs(120);
/// Crashes of a seed, at least.
const CRASHES: u64 = 5;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

pub fn topic(name: &str) -> Check<TopicName> {
    TopicName::new(name).map_err(|error| format!("{error:?}"))
}

pub fn group(name: &str) -> Check<GroupName> {
    GroupName::new(name).map_err(|error| format!("{error:?}"))
}

impl Node {
    /// A whole life: lives, rather, each ended by a crash.
    pub fn live(&mut self) -> Check {
        self.put_topic(&topic("orders")?, TopicSpec::with_queues(2))?;
        let ticks = TopicSpec { durability: Some(DurabilitySetting::Async), ..TopicSpec::with_queues(1) };
        self.put_topic(&topic("ticks")?, ticks.retaining(Some(TICKS_KEPT)))?;
        self.put_group(&group(LINE)?, GroupSpec::default().fifo(true))?;
        for _ in 0..CRASHES {
            self.some_faults();
            for _ in 0..20 + self.dice.below(60) {
                self.tally.steps += 1;
                self.step()?;
                if self.is_down() {
                    break;
                }
            }
            let crash = match self.dice.below(8) {
                0 => Crash::Close,
                1..4 => Crash::Kill,
                _ => Crash::PowerCut(self.dice.number()),
            };
            self.crash(crash)?;
        }
        self.drain()?;
        self.be_harmed()
    }

    /// What goes wrong in this life, and when.
    fn some_faults(&mut self) {
        let nth = 1 + self.dice.below(60);
        match self.dice.below(11) {
            9 | 10 => {
                self.was_unreadable = true;
                let call = if self.dice.coin() { Call::Read } else { Call::Open };
                self.vfs.fail_once(call, 1 + nth / 4, EIO);
            }
            0 => self.vfs.fail(Call::Write, nth, EIO),
            1 => self.vfs.fail_once(Call::Write, nth, EIO),
            2 => self.vfs.fail(Call::Sync, nth, EIO),
            3 => self.vfs.fail_once(Call::Sync, nth, EIO),
            4 => self.vfs.fail_once(Call::SyncDir, 1 + nth / 8, EIO),
            5 => self.vfs.fail_once(Call::Rename, 1 + nth / 8, EIO),
            6 | 7 => self.vfs.stop_at(1 + self.dice.below(150)),
            _ => {}
        }
        if self.dice.below(4) == 0 {
            // A disk that takes its time: leases end and timers become due meanwhile.
            let call = if self.dice.coin() { Call::Sync } else { Call::Write };
            self.vfs.slow_down(call, nth, 1 + self.dice.below(20_000), std::sync::Arc::clone(&self.clock));
        }
        if self.dice.below(20) == 0 {
            self.was_full = true;
            self.vfs.fail_once(Call::Write, nth, ENOSPC);
        }
    }

    fn step(&mut self) -> Check {
        if self.checkpoint.is_some() && self.dice.coin() {
            self.go_on_with_checkpoint()?;
            if self.is_down() {
                return Ok(());
            }
        }
        match self.dice.below(138) {
            0..16 => self.some_send(),
            16..19 => self.some_prepare(),
            19..22 => self.some_end(),
            22..37 => self.some_receive(),
            37 => self.some_recall(),
            38..54 => self.some_settling(),
            54..66 => self.commit(),
            66 => self.check_transactions(),
            67 => {
                let group = self.some_group()?;
                self.some_checks(&group)
            }
            68..73 => {
                self.spy.log.keep_files();
                Ok(())
            }
            73 | 74 => {
                self.spy.log.be_quiet();
                self.answered()
            }
            75 => self.repeat(),
            76..80 => self.some_time(),
            80..83 => self.fire(),
            83 | 84 => self.some_work(),
            85 | 86 => self.some_offsets(),
            87 | 88 => self.some_send_back(),
            89 => match self.dice.coin() {
                true => self.some_checkpoint(),
                false => self.put_aside(),
            },
            90 => self.some_house_keeping(),
            91 => self.put_aside(),
            92 => self.some_catalog(),
            93 => self.some_space(),
            94 | 95 => self.drop_holder(),
            96 => self.compare(),
            97 => self.some_mending(),
            98 => {
                let (topic, group) = (self.some_topic()?, self.some_group()?);
                self.some_look(&topic, &group)
            }
            99 => self.some_pull(),
            100 | 121 => self.some_access(),
            101..104 => {
                let group = if self.dice.coin() { self.some_group()? } else { self.some_stream()? };
                let topic = self.some_topic()?;
                self.some_member(group, &topic)
            }
            104..106 => {
                let (group, topic) = (self.some_stream()?, self.some_topic()?);
                self.some_commits(&group, &topic)
            }
            106 | 107 => {
                let topic = self.some_topic()?;
                self.some_cursor(&topic)
            }
            108 => {
                let topic = self.some_topic()?;
                self.some_trace(&topic)
            }
            109 => {
                let (group, topic) = (self.some_group()?, self.some_topic()?);
                self.set_offset(&group, &topic)
            }
            110 | 111 => {
                let topic = self.some_topic()?;
                self.some_numbered(&topic)
            }
            112 | 113 => {
                let topics = (0..1 + self.dice.below(2)).map(|_| self.some_topic()).collect::<Check<_>>()?;
                self.some_wait(topics)
            }
            114 => {
                let topic = self.some_topic()?;
                self.some_birth(&topic)
            }
            115 => self.some_tuning(),
            116 | 117 => self.some_checked_send(),
            118 => self.some_gate(),
            119 => self.some_producer(),
            120 => match self.dice.below(4) {
                0 => self.some_connections(),
                _ => self.some_guest(),
            },
            122 => self.some_guest(),
            123..126 => self.some_questions(),
            126 | 127 => self.some_proof(),
            _ => {
                let topic = self.some_topic()?;
                self.some_named(&topic)
            }
        }
    }

    fn some_topic(&mut self) -> Check<TopicName> {
        let n = self.dice.below(TOPICS.len() as u64) as usize;
        topic(TOPICS.get(n).copied().unwrap_or_default())
    }

    pub fn some_group(&mut self) -> Check<GroupName> {
        let n = self.dice.below(GROUPS.len() as u64) as usize;
        group(GROUPS.get(n).copied().unwrap_or_default())
    }

    pub fn some_request(&mut self) -> Check<SendRequest> {
        let topic = self.some_topic()?;
        let messages: Vec<Message> = (0..1 + self.dice.below(5) / 2).map(|_| self.message()).collect();
        if topic.as_str() == BRIEF {
            self.doomed.extend(messages.iter().map(crate::verbs::number_of));
        }
        let exactly = self.dice.below(5) == 0;
        let queue = if exactly { QueueChoice::Exactly(QueueId(0)) } else { QueueChoice::Any };
        let durability = (self.dice.below(5) == 0).then_some(Durability::Sync);
        let create = Some(self.dice.below(2) as u32);
        Ok(SendRequest { topic, messages, queue, create, durability })
    }

    fn some_send(&mut self) -> Check {
        let request = self.some_request()?;
        // A topic that is deleted takes its keys along.
        match self.dice.below(4) == 0 && request.topic.as_str() != BRIEF {
            true => self.send_once(request),
            false => self.send(request),
        }
    }

    pub fn some_prepare(&mut self) -> Check {
        let (request, group) = (self.some_request()?, self.some_group()?);
        self.prepare(request, group)
    }

    fn some_mending(&mut self) -> Check {
        let (topic, group) = (self.some_topic()?, self.some_group()?);
        match self.dice.below(6) {
            0 | 1 => {
                let time = self.now().saturating_sub(self.dice.below(60_000));
                self.truncate(&topic, StartAt::Time(time))
            }
            2 => self.truncate_queue(&topic),
            _ => self.redrive(&group),
        }
    }

    fn some_work(&mut self) -> Check {
        let sends = (0..1 + self.dice.below(2)).map(|_| self.some_request()).collect::<Check<Vec<_>>>()?;
        let mut receipts = Vec::new();
        for _ in 0..self.dice.below(3) {
            receipts.extend(self.some_receipt());
        }
        self.work(sends, &receipts)
    }

    fn some_receipt(&mut self) -> Option<crate::node::Receipt> {
        if self.receipts.is_empty() {
            return None;
        }
        let n = self.dice.below(self.receipts.len() as u64) as usize;
        // Some are kept, so that what has been settled is asked for again.
        if self.dice.below(4) == 0 {
            self.receipts.get(n).cloned()
        } else {
            Some(self.receipts.swap_remove(n))
        }
    }

    /// Everything, what has a tag, or the same as an expression.
    fn some_filter(&mut self) -> Check<Filter> {
        let tagged = Filter::Tags(vec!["red".into()]);
        let expression = match self.dice.below(12) {
            0 => return Ok(tagged),
            1 => "TAGS = 'red'",
            2 => "TAGS = ",
            _ => return Ok(Filter::All),
        };
        let parsed = self.broker.sql_filter(expression, Dialect::RocketMq);
        let like = |tag: Option<&str>| Message { tag: tag.map(Into::into), ..Message::default() };
        let messages = [like(None), like(Some("red")), like(Some("green"))];
        match parsed {
            Err(error) if expression.ends_with(' ') && error.kind() == ErrorKind::InvalidArgument => {
                Ok(tagged)
            }
            Ok(filter) if messages.iter().all(|one| filter.matches(one) == tagged.matches(one)) => Ok(filter),
            other => Err(format!("{expression} is {other:?}")),
        }
    }

    fn some_receive(&mut self) -> Check {
        let (group, topic) = (self.some_group()?, self.some_topic()?);
        let filter = self.some_filter()?;
        let max = 1 + self.dice.below(8) as usize;
        let group = if self.dice.below(20) == 0 { self.some_stream()? } else { group };
        let time = Duration::from_millis(1 + self.dice.below(20_000));
        let runs = group.as_str() == LINE && self.dice.below(3) == 0;
        let lease = if runs { Lease::InOrder(time) } else { lease_of(&group, time) };
        let mut request = ReceiveRequest {
            group: &group,
            topic: &topic,
            filter: &filter,
            max,
            lease,
            wait: Duration::ZERO,
            start: StartAt::Earliest,
            create: Some(1),
        };
        if matches!(lease, Lease::InOrder(_)) || self.dice.below(5) > 0 {
            let max_bytes =
                if self.dice.below(6) == 0 { 1 + self.dice.below(3000) as usize } else { usize::MAX };
            return self.receive_up_to(&request, max_bytes, None).map(drop);
        }
        let (number, holder) = (self.next_holder, self.broker.holder());
        self.next_holder += 1;
        request.lease = Lease::Held(&holder);
        self.receive(&request, Some(number))?;
        self.holders.push((number, holder));
        Ok(())
    }

    fn drop_holder(&mut self) -> Check {
        if self.holders.is_empty() {
            return Ok(());
        }
        let asked = self.all_held();
        let n = self.dice.below(self.holders.len() as u64) as usize;
        drop(self.holders.swap_remove(n));
        if self.is_down() {
            return Ok(());
        }
        self.absorb(&asked).map(drop)
    }

    fn some_settling(&mut self) -> Check {
        let Some(receipt) = self.some_receipt() else { return Ok(()) };
        match self.dice.below(12) {
            0..4 => self.ack(&receipt),
            4 | 5 => {
                let others = (0..self.dice.below(4)).filter_map(|_| self.some_receipt());
                let receipts: Vec<_> = others.collect();
                self.ack_all(&[receipts, vec![receipt]].concat())
            }
            6 | 7 => self.nack(&receipt, None),
            8 => {
                let delay = Duration::from_millis(self.dice.below(5000));
                self.nack(&receipt, Some(delay))
            }
            9 => self.release(&receipt),
            10 => {
                let lease = Duration::from_millis(1 + self.dice.below(30_000));
                self.extend(&receipt, lease)
            }
            _ => self.dead_letter(&receipt),
        }
    }

    fn some_send_back(&mut self) -> Check {
        let group = self.some_group()?;
        let Some(receipt) = self.some_receipt() else { return Ok(()) };
        let delay = match self.dice.below(3) {
            0 => None,
            1 => Some(Duration::ZERO),
            _ => Some(Duration::from_millis(self.dice.below(8000))),
        };
        self.send_back(&group, receipt.locator, delay)
    }

    fn some_offsets(&mut self) -> Check {
        let (group, topic) = (self.some_group()?, self.some_topic()?);
        let Some(queue) = self.model.topics.get(&topic).and_then(|t| t.queues.first()).copied() else {
            return Ok(());
        };
        let (min, next) = self.bounds(queue);
        match self.dice.below(3) {
            0 => self.reset(&group, &topic, StartAt::Latest),
            1 => {
                let time = self.now().saturating_sub(self.dice.below(60_000));
                self.reset(&group, &topic, StartAt::Time(time))
            }
            _ => {
                let offset = min + self.dice.below(next - min + 1);
                self.commit_offset(&group, &topic, QueueId(0), offset)
            }
        }
    }

    /// Time passes; now and then the wall clock is set, forward or back.
    fn some_time(&mut self) -> Check {
        let now = self.now();
        match self.dice.below(20) {
            0 => {
                self.fault(tally::CLOCK_FORWARD);
                self.clock.set(now + self.dice.below(900_000));
            }
            1 => {
                self.fault(tally::CLOCK_BACK);
                self.clock.set(now - self.dice.below(60_000));
            }
            _ => self.clock.advance(self.dice.below(6000)),
        }
        self.pass(0);
        Ok(())
    }

    /// So much time passes.
    pub fn pass(&mut self, time: Millis) {
        self.clock.advance(time);
        self.latest = self.latest.max(self.now());
        self.trace.note(format_args!("time {}", self.now()));
    }

    /// Begins one whose parts are taken while other things happen, or writes one at once.
    fn some_checkpoint(&mut self) -> Check {
        if self.dice.below(3) > 0 {
            let begun =
                self.broker.begin_checkpoint().map_err(|error| format!("no checkpoint: {error:?}"))?;
            self.checkpoint = Some(begun);
            self.trace.note(format_args!("checkpoint begun"));
            return Ok(());
        }
        let done = self.broker.checkpoint();
        self.trace.note(format_args!("checkpoint {}", done.is_ok()));
        self.answered()?;
        match done {
            Ok(()) => Ok(()),
            Err(error) => self.refused("checkpoint", &error, &[]),
        }
    }

    fn go_on_with_checkpoint(&mut self) -> Check {
        let items = 1 + self.dice.below(120) as usize;
        let step = self.checkpoint.as_mut().map(|checkpoint| checkpoint.step(items));
        self.trace.note(format_args!("checkpoint {:?}", step.as_ref().map(Result::is_ok)));
        self.answered()?;
        match step {
            Some(Ok(true)) => Ok(()),
            Some(Err(error)) => {
                self.checkpoint = None;
                self.refused("checkpoint", &error, &[ErrorKind::Conflict])
            }
            Some(Ok(false)) | None => {
                self.checkpoint = None;
                Ok(())
            }
        }
    }

    fn some_house_keeping(&mut self) -> Check {
        if self.dice.coin() {
            // So that some of what is kept is about as old as it may become.
            let kept = self.model.tuned(self.broker.config()).retention.as_millis();
            let pass = self.dice.below(kept);
            self.pass(pass);
        }
        let (begun, _) = (self.now(), self.spy.trims());
        let broker = self.broker.clone();
        let mut tidy = Box::pin(async move { broker.tidy().await });
        // A topic with a retention of its own is cut, and that waits until it is safe.
        let mut left = 100;
        while crate::node::poll(tidy.as_mut()).is_none() {
            left -= 1;
            if left == 0 {
                return Err("keeping house never ends".to_owned());
            }
            self.spy.log.commit();
        }
        let asked = Asked { cuts: true, tidies: true, ..Asked::default() };
        self.absorb(&asked)?;
        self.trace.note(format_args!("tidied"));
        self.kept_for_long_enough(begun)?;
        self.answered()
    }

    /// The disk fills up, or is cleared.
    fn some_space(&mut self) -> Check {
        self.is_full = !self.is_full;
        if self.is_full {
            self.fault(tally::FULL_DISK);
        }
        let room = self.dice.below(200_000);
        self.vfs.set_capacity(if self.is_full { self.vfs.used() + room } else { 1 << 40 });
        self.clock.advance(1500);
        self.latest = self.latest.max(self.now());
        self.trace.note(format_args!("full {} {room}", self.is_full));
        Ok(())
    }

    fn some_pull(&mut self) -> Check {
        let topic = self.some_topic()?;
        let Some(queue) = self.model.topics.get(&topic).and_then(|t| t.queues.first()).copied() else {
            return Ok(());
        };
        let (min, next) = self.bounds(queue);
        let from = min + self.dice.below(next - min + 1);
        self.pull(&topic, QueueId(0), from, 10).map(drop)
    }
}
