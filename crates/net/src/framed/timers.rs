//! What happens to a connection because time passes.
//!
//! One sleep serves all deadlines. The one idea to know: it is set only when it would be too late, and corrected when
//! it fires too early, so busy connections do not touch the timer wheel on every frame and idle ones sleep until there
//! is something to do.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::driver::Driver;
use super::{Closing, Flow, FramedHandler};

/// Large buffers are kept so long after the last traffic: clients come in bursts.
const KEEP_BUFFERS: Duration = Duration::from_secs(5);

/// What is due at a deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    Handler,
    Idle,
    Frame,
    Write,
    Shrink,
    Ping,
}

impl<H: FramedHandler> Driver<H> {
    /// Ready when a deadline ends the connection.
    pub(super) fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<Closing> {
        loop {
            let Some((at, due)) = self.next_due() else { return Poll::Pending };
            // While a timer waits that fires in time, nothing can be due: so most turns do not ask for the time.
            let waits =
                self.timer.as_ref().is_some_and(|timer| timer.deadline() <= at && !timer.is_elapsed());
            if !waits {
                let now = Instant::now();
                if at <= now {
                    if let Some(why) = self.fire(due, now) {
                        return Poll::Ready(why);
                    }
                    if matches!(due, Due::Handler | Due::Ping) {
                        cx.waker().wake_by_ref(); // what it pushed is written by the next turn
                        return Poll::Pending;
                    }
                    continue;
                }
                self.timer.get_or_insert_with(|| Box::pin(sleep_until(at))).as_mut().reset(at);
            }
            if self.timer.as_mut().is_none_or(|timer| timer.as_mut().poll(cx).is_pending()) {
                return Poll::Pending;
            }
        }
    }

    fn next_due(&self) -> Option<(Instant, Due)> {
        let quiet = self.in_flight.is_empty() && self.write.is_done();
        let idle = (quiet && !self.handler.expects_pushes()).then(|| self.active + self.limits.idle_timeout);
        let websocket = self.websocket.as_ref();
        let large = self.read.is_large() || self.write.is_large() || websocket.is_some_and(|w| w.is_large());
        let ping = websocket.map(|websocket| websocket.next_ping(self.active));
        let shrink = (quiet && large && self.read.bytes.is_empty()).then(|| self.active + KEEP_BUFFERS);
        [
            (self.handler.next_deadline(), Due::Handler),
            (self.write_stuck.map(|since| since + self.limits.write_timeout), Due::Write),
            (self.frame_deadline(), Due::Frame),
            (idle, Due::Idle),
            (shrink, Due::Shrink),
            (ping, Due::Ping),
        ]
        .into_iter()
        .filter_map(|(at, due)| Some((at?, due)))
        .min_by_key(|(at, _)| *at)
    }

    /// A sender that makes progress gets more time; one that dribbles does not.
    fn frame_deadline(&self) -> Option<Instant> {
        let began = self.frame_began?;
        if !self.may_handle() {
            return None; // it is we who do not read
        }
        let earned = self.frame_bytes.checked_div(self.limits.min_rate).unwrap_or(0);
        Some(began + self.limits.frame_timeout + Duration::from_secs(earned as u64))
    }

    fn fire(&mut self, due: Due, now: Instant) -> Option<Closing> {
        match due {
            Due::Idle => Some(Closing::Idle),
            Due::Frame => Some(Closing::SlowSender),
            Due::Write => Some(Closing::SlowReader),
            Due::Shrink => {
                self.shrink();
                None
            }
            Due::Ping => {
                if let Some(websocket) = &mut self.websocket {
                    self.write.push(websocket.ping(now));
                }
                None
            }
            Due::Handler => match self.handler.on_deadline(now, &self.out) {
                Flow::Continue => None,
                Flow::Close(words) => {
                    self.words = words;
                    Some(Closing::Asked)
                }
            },
        }
    }
}
