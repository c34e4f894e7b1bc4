//! Waiting on tasks: nobody sleeps on, whatever neighbours do with their tickets.

#![allow(clippy::unwrap_used, reason = "a failed step has to panic")]

use sluice_model::SystemClock;
use sluice_model::units::ByteSize;
use sluice_store::suite::{append, message};
use sluice_store::{Config, Durability, LocalLog, Log, LogQueue};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

const TASKS: u32 = 48;
const ROUNDS: u32 = 40;

/// Polls a future once and leaves it.
async fn poll_once(done: &mut (impl Future + Unpin)) {
    poll_fn(|cx| {
        let _ = Pin::new(&mut *done).poll(cx);
        Poll::Ready(())
    })
    .await;
}

async fn work(log: Arc<LocalLog>, task: u32) {
    let sent = message("x");
    for round in 0..ROUNDS {
        let durability = if (task + round).is_multiple_of(5) { Durability::Async } else { Durability::Sync };
        let mut ticket = log.append(&[append(task % 4, &sent, 1)], durability).unwrap();
        match (task + round) % 7 {
            0 => drop(ticket),
            1 => {
                poll_once(&mut ticket.done).await;
                drop(ticket);
            }
            // First in line, and then busy with something else.
            2 if round % 8 == 0 => {
                poll_once(&mut ticket.done).await;
                sleep(Duration::from_millis(30)).await;
                ticket.done.await.unwrap();
            }
            _ => ticket.done.await.unwrap(),
        }
    }
}

fn run(runtime: &Runtime, commit_here: bool) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { segment_size: ByteSize::mib(4), ..Config::default() };
    let log = Arc::new(LocalLog::open(dir.path(), config, Arc::new(SystemClock)).unwrap());
    runtime.block_on(async {
        if commit_here {
            tokio::spawn(log.committer().unwrap());
        }
        let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(work(Arc::clone(&log), task))).collect();
        for task in tasks {
            timeout(Duration::from_secs(30), task).await.unwrap().unwrap();
        }
    });
    log.append(&[], Durability::Sync).unwrap().done.wait().unwrap();
    let sent: u64 = (0..4).map(|queue| log.bounds(LogQueue(queue)).next).sum();
    assert_eq!(sent, u64::from(TASKS * ROUNDS));
}

#[test]
fn on_one_thread() {
    run(&Builder::new_current_thread().enable_all().build().unwrap(), false);
}

#[test]
fn on_one_thread_that_commits() {
    run(&Builder::new_current_thread().enable_all().build().unwrap(), true);
}

#[test]
fn on_several_threads() {
    run(&Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap(), false);
}

#[test]
fn a_failed_log_ends_every_wait() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let log = Arc::new(sluice_store::MemoryLog::manual());
    runtime.block_on(async {
        let waiting: Vec<_> = (0..20)
            .map(|_| tokio::spawn(log.append(&[append(1, &message("x"), 1)], Durability::Sync).unwrap().done))
            .collect();
        let failed = tokio::spawn(log.failed());
        tokio::task::yield_now().await;
        log.fail("pulled out");
        for done in waiting {
            assert!(timeout(Duration::from_secs(10), done).await.unwrap().unwrap().is_err());
        }
        timeout(Duration::from_secs(10), failed).await.unwrap().unwrap();
    });
}
