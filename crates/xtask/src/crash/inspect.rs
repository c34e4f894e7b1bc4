//! What the restarted broker has, compared with what the ledger knows.

use super::ledger::{Entries, Ledger, Queue, id};
use super::workers::{COMMITTING, GROUPS, TOPICS, receive_and_settle};
use crate::load::{Broker, HttpClient};
use crate::shell::Result;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Nothing more for so long, with every lease over: the group has seen everything.
const QUIET: Duration = Duration::from_secs(12);
/// Many failures have one cause; a few tell as much as all.
const SHOWN: usize = 20;

/// Looks at all queues from where the last look ended, and at all committed offsets.
pub fn everything(broker: &Broker, ledger: &Ledger) -> Result<Vec<String>> {
    let mut client = HttpClient::open(broker.address("http")?)?;
    let mut wrong = Vec::new();
    for topic in TOPICS {
        for (queue, end) in ends(&mut client, topic)? {
            browse(&mut client, (topic.to_owned(), queue), end, &mut ledger.lock(), &mut wrong)?;
        }
    }
    for (group, topic) in GROUPS.into_iter().chain([COMMITTING]) {
        let now: HashMap<u32, u64> = committed(&mut client, group, topic)?.into_iter().collect();
        for ((of, queue), known) in &ledger.lock().committed {
            let now = now.get(&queue.1).copied().unwrap_or_default();
            if of == group && now < *known {
                wrong.push(format!(
                    "{group} on {topic}/{} is committed to {now}, and was to {known}",
                    queue.1
                ));
            }
        }
    }
    wrong.append(&mut ledger.lock().repeated);
    compare(&ledger.lock(), &mut wrong);
    wrong.truncate(SHOWN);
    Ok(wrong)
}

/// The end of each queue of a topic; nothing when there is no such topic.
fn ends(client: &mut HttpClient, topic: &str) -> Result<Vec<(u32, u64)>> {
    let answer = match client.get(&format!("/v1/topics/{topic}")) {
        Err(error) if error.to_string().contains("topic-not-found") => return Ok(Vec::new()),
        answer => answer?,
    };
    let offsets = answer["offsets"].as_array().ok_or("a topic without offsets")?.iter();
    let ends = offsets.map(|queue| Some((queue["queue"].as_u64()? as u32, queue["end"].as_u64()?)));
    Ok(ends.collect::<Option<_>>().ok_or("an offset without queue or end")?)
}

fn browse(
    client: &mut HttpClient,
    queue: Queue,
    end: u64,
    entries: &mut Entries,
    wrong: &mut Vec<String>,
) -> Result {
    let mut offset = entries.ends.get(&queue).copied().unwrap_or_default();
    let place = format!("{}/{}", queue.0, queue.1);
    if end < offset {
        wrong.push(format!("{place} ends at {end}, and ended at {offset} before"));
        return Ok(());
    }
    while offset < end {
        let path = format!("/v1/topics/{}/queues/{}/messages?offset={offset}&limit=100", queue.0, queue.1);
        let answer = client.get(&path)?;
        let messages = answer["messages"].as_array().ok_or("no messages")?;
        if messages.is_empty() {
            wrong.push(format!("{place} has nothing at {offset}, and ends at {end}"));
            return Ok(());
        }
        for message in messages {
            let body = message["body"].as_str().unwrap_or_default().to_owned();
            if message["offset"].as_u64() != Some(offset) {
                wrong.push(format!("{place} goes on with {} where {offset} should be", message["offset"]));
                return Ok(());
            }
            if entries.sent.get(&body) != Some(&queue.0) {
                wrong.push(format!("{place}@{offset} has {:?}, which nobody sent so", id(&body)));
            }
            if let Some((other, at)) = entries.found.insert(body.clone(), (queue.clone(), offset)) {
                wrong.push(format!(
                    "{:?} is at {place}@{offset} and at {}/{}@{at}",
                    id(&body),
                    other.0,
                    other.1
                ));
            }
            offset += 1;
        }
    }
    entries.ends.insert(queue, end);
    Ok(())
}

/// Every acknowledged message was found, and where the answer said.
fn compare(entries: &Entries, wrong: &mut Vec<String>) {
    for (body, place) in &entries.acknowledged {
        match (entries.found.get(body), place) {
            (None, _) => wrong.push(format!("{:?} was acknowledged and is missing", id(body))),
            (Some(((_, queue), offset)), Some(told)) if (*queue, *offset) != *told => {
                wrong.push(format!("{:?} is at {queue}@{offset}, and {told:?} was answered", id(body)));
            }
            _ => {}
        }
    }
}

/// The committed offset of each queue; nothing while the group is unknown.
pub fn committed(client: &mut HttpClient, group: &str, topic: &str) -> Result<Vec<(u32, u64)>> {
    let answer = match client.get(&format!("/v1/groups/{group}/offsets?topic={topic}")) {
        Err(error) if error.to_string().contains("-not-found") => return Ok(Vec::new()),
        answer => answer?,
    };
    let items = answer["items"].as_array().ok_or("no items")?.iter();
    let numbers =
        items.filter_map(|item| Some((item["queue"].as_u64()? as u32, item["committed"].as_u64()?)));
    Ok(numbers.collect())
}

/// Lets both groups finish: afterwards each must have received everything that was acknowledged to its senders.
pub fn drain(broker: &Broker, ledger: &Ledger) -> Result<Vec<String>> {
    let mut client = HttpClient::open(broker.address("http")?)?;
    let mut wrong = Vec::new();
    for (group, topic) in GROUPS {
        let mut last = Instant::now();
        while last.elapsed() < QUIET && missing(&ledger.lock(), group, topic).next().is_some() {
            if receive_and_settle(&mut client, group, topic, ledger)? > 0 {
                last = Instant::now();
            }
        }
        let entries = ledger.lock();
        wrong.extend(missing(&entries, group, topic).map(|body| format!("{group} never got {:?}", id(body))));
    }
    wrong.append(&mut ledger.lock().repeated);
    wrong.truncate(SHOWN);
    Ok(wrong)
}

fn missing<'a>(entries: &'a Entries, group: &str, topic: &str) -> impl Iterator<Item = &'a String> {
    let received = entries.received.get(group);
    let sent_here = move |body: &&String| entries.sent.get(*body).is_some_and(|sent| sent == topic);
    let topic_bodies = entries.acknowledged.keys().filter(sent_here);
    topic_bodies.filter(move |body| received.is_none_or(|received| !received.contains(*body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Entries {
        let mut entries = Entries::default();
        for (body, place) in [("a x", Some((0, 0))), ("b y", None)] {
            entries.sent.insert(body.into(), "crash-http".into());
            entries.acknowledged.insert(body.into(), place);
            entries.found.insert(body.into(), (("crash-http".into(), 0), entries.found.len() as u64));
        }
        entries
    }

    fn compared(entries: &Entries) -> Vec<String> {
        let mut wrong = Vec::new();
        compare(entries, &mut wrong);
        wrong
    }

    #[test]
    fn what_was_acknowledged_must_be_there_and_where_it_was_said_to_be() {
        assert_eq!(compared(&entries()), Vec::<String>::new());
        let mut lost = entries();
        lost.found.remove("b y");
        assert_eq!(compared(&lost), ["\"b\" was acknowledged and is missing"]);
        let mut moved = entries();
        moved.acknowledged.insert("a x".into(), Some((0, 7)));
        assert_eq!(compared(&moved), ["\"a\" is at 0@0, and (0, 7) was answered"]);
    }

    #[test]
    fn a_settled_delivery_that_comes_again_and_one_that_never_came_are_noticed() {
        let mut entries = entries();
        entries.receive("g", "a x");
        entries.settle("g", "a x");
        assert!(entries.repeated.is_empty());
        assert_eq!(missing(&entries, "g", "crash-http").collect::<Vec<_>>(), ["b y"]);
        entries.receive("g", "a x");
        assert_eq!(entries.repeated.len(), 1);
    }
}
