use super::*;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Waiting {
    done: Done,
    count: Arc<Count>,
}

impl Waiting {
    fn new(waiters: &Arc<Waiters>, durability: Durability, lsn: Lsn) -> Self {
        let mut waiting = Self { done: waiters.done(durability, lsn), count: Arc::default() };
        assert!(waiting.poll().is_pending());
        waiting
    }

    fn poll(&mut self) -> Poll<Result<()>> {
        let waker = Waker::from(Arc::clone(&self.count));
        Pin::new(&mut self.done).poll(&mut Context::from_waker(&waker))
    }

    fn woken(&self) -> usize {
        self.count.0.load(Ordering::SeqCst)
    }
}

/// Wakes as the log's thread does, on which nobody waits.
fn wake(waiters: &Arc<Waiters>) -> Option<Instant> {
    std::thread::scope(|s| s.spawn(|| waiters.wake()).join().unwrap())
}

fn five(waiters: &Arc<Waiters>) -> Vec<Waiting> {
    (1..=5).map(|lsn| Waiting::new(waiters, Durability::Sync, lsn)).collect()
}

fn counts(all: &[Waiting]) -> Vec<usize> {
    all.iter().map(Waiting::woken).collect()
}

#[test]
fn only_the_first_of_a_thread_is_woken_and_it_wakes_its_neighbours() {
    let waiters = Waiters::new(0);
    let mut all = five(&waiters);
    waiters.publish(Durability::Sync, 3);
    assert!(wake(&waiters).is_some());
    assert_eq!(counts(&all), [1, 0, 0, 0, 0]);
    assert!(all[0].poll().is_ready());
    assert_eq!(counts(&all), [1, 1, 1, 0, 0]);
    assert!(all[3].poll().is_pending());
    waiters.publish(Durability::Sync, 4);
    assert!(wake(&waiters).is_none());
    assert_eq!(counts(&all), [1, 1, 1, 1, 0]);
}

#[test]
fn on_its_own_thread_everyone_is_woken_at_once() {
    let waiters = Waiters::new(0);
    let all = five(&waiters);
    waiters.publish(Durability::Sync, 4);
    assert_eq!(waiters.wake(), None, "nobody is left to another");
    assert_eq!(counts(&all), [1, 1, 1, 1, 0]);
}

#[test]
fn a_dropped_first_passes_the_duty_on() {
    let waiters = Waiters::new(0);
    let mut all = five(&waiters);
    waiters.publish(Durability::Sync, 5);
    wake(&waiters);
    drop(all.remove(0));
    assert_eq!(counts(&all), [1, 1, 1, 1]);
}

#[test]
fn a_stuck_first_does_not_hold_the_others_up() {
    let waiters = Waiters::new(0);
    let all = five(&waiters);
    waiters.publish(Durability::Sync, 5);
    assert!(wake(&waiters).is_some());
    let newcomer = Waiting::new(&waiters, Durability::Sync, 6);
    assert_eq!(counts(&all), [1, 1, 1, 1, 1], "a newcomer on the thread takes the duty over");
    drop((all, newcomer));

    let all = (7..9).map(|lsn| Waiting::new(&waiters, Durability::Sync, lsn)).collect::<Vec<_>>();
    waiters.publish(Durability::Sync, 9);
    let left = wake(&waiters).unwrap();
    assert_eq!(waiters.wake_left(left - Duration::from_nanos(1)), Some(left));
    assert_eq!(counts(&all), [1, 0], "patience");
    assert_eq!(wake(&waiters), None);
    let all = (10..13).map(|lsn| Waiting::new(&waiters, Durability::Sync, lsn)).collect::<Vec<_>>();
    waiters.publish(Durability::Sync, 12);
    let left = wake(&waiters).unwrap();
    assert_eq!(waiters.wake_left(left), None);
    assert_eq!(counts(&all), [1, 1, 1]);
}

#[test]
fn each_thread_has_a_first_of_its_own() {
    let waiters = Waiters::new(0);
    let mut all = five(&waiters);
    let others = std::thread::scope(|s| s.spawn(|| five(&waiters)).join().unwrap());
    waiters.publish(Durability::Sync, 2);
    wake(&waiters);
    assert_eq!(counts(&all), [1, 0, 0, 0, 0]);
    assert_eq!(counts(&others), [1, 0, 0, 0, 0]);
    assert!(all[0].poll().is_ready());
    assert_eq!(counts(&all), [1, 1, 0, 0, 0]);
    assert_eq!(counts(&others), [1, 0, 0, 0, 0]);
}

#[test]
fn written_is_enough_for_async_waiters_only() {
    let waiters = Waiters::new(0);
    let mut all = [Waiting::new(&waiters, Durability::Async, 1), Waiting::new(&waiters, Durability::Sync, 1)];
    waiters.publish(Durability::Async, 1);
    wake(&waiters);
    assert_eq!(counts(&all), [1, 0]);
    assert!(all[0].poll().is_ready());
    assert!(all[1].poll().is_pending());
    waiters.publish(Durability::Sync, 1);
    wake(&waiters);
    assert!(all[1].poll().is_ready());
}

#[test]
fn failure_ends_every_unfulfilled_wait() {
    let waiters = Waiters::new(0);
    let mut all = five(&waiters);
    waiters.publish(Durability::Sync, 1);
    waiters.fail("the disk is gone".into());
    assert!(all.iter().all(|w| w.woken() == 1));
    assert!(matches!(all[0].poll(), Poll::Ready(Ok(()))), "what was safe stays safe");
    assert!(matches!(all[1].poll(), Poll::Ready(Err(e)) if format!("{e:?}").contains("the disk is gone")));
    let reason = crate::block_on::block_on(waiters.failed());
    assert_eq!(reason.kind(), ErrorKind::Unavailable);
}

#[test]
fn waiters_that_come_out_of_order_are_kept_in_order() {
    let waiters = Waiters::new(0);
    let all = [3, 1, 2].map(|lsn| Waiting::new(&waiters, Durability::Sync, lsn));
    waiters.publish(Durability::Sync, 2);
    wake(&waiters);
    waiters.wake_all();
    assert_eq!(counts(&all), [0, 1, 1]);
}
