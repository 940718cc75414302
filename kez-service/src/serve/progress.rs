//! How far one connection has come, and since when it keeps the server waiting.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use super::ConnectionLimits;

/// What the accept loop can ask of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// End at once if it is the peer who is being waited for, else after the answer.
    MakeRoom,
    /// End at once if no request has come in, else after the answer.
    Drain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A request has been answered; the next has not begun.
    Idle,
    /// A head is awaited or has begun.
    Head,
    /// The head is there, the body is awaited.
    Body,
    /// The request is there, or nobody wants the rest of it; the answer is being made.
    Answer,
    /// All is said; what the peer still sends is thrown away.
    Closing,
}

/// One connection's standing, shared by its task, which moves it on, and the accept loop, which looks for room.
#[derive(Debug)]
pub(super) struct Progress {
    limits: ConnectionLimits,
    standing: Mutex<Standing>,
    told: Notify,
}

#[derive(Debug)]
struct Standing {
    phase: Phase,
    /// When the phase began; for an answer, when its request's head was there.
    since: Instant,
    /// When the peer stopped taking what there is for it.
    stalled: Option<Instant>,
    order: Option<Order>,
}

impl Progress {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        // A new connection's first byte is part of the head's time: there is no reason to connect and say nothing.
        let standing = Standing { phase: Phase::Head, since: Instant::now(), stalled: None, order: None };
        Self { limits, standing: Mutex::new(standing), told: Notify::new() }
    }

    /// Notes that bytes have come.
    pub(super) fn received(&self) {
        self.move_on(&[Phase::Idle], Phase::Head);
    }

    /// Notes that a head is complete.
    pub(super) fn head_ended(&self, has_body: bool) {
        let mut standing = self.standing();
        standing.phase = if has_body { Phase::Body } else { Phase::Answer };
        standing.since = Instant::now();
    }

    /// Notes that a request's body has been read, or is wanted no more.
    pub(super) fn body_ended(&self) {
        let mut standing = self.standing();
        if standing.phase == Phase::Body {
            standing.phase = Phase::Answer;
        }
    }

    /// Notes that an answer has been made; the peer may still have to take some of it.
    pub(super) fn answered(&self) {
        self.move_on(&[Phase::Body, Phase::Answer], Phase::Idle);
    }

    /// Notes that the peer has taken something.
    pub(super) fn taken(&self) {
        self.standing().stalled = None;
    }

    /// Notes that the peer takes nothing at the moment.
    pub(super) fn stalled(&self) {
        self.standing().stalled.get_or_insert_with(Instant::now);
    }

    /// Notes that nothing more will be said, and tells whether there is time to hear the peer out.
    pub(super) fn closing(&self) -> bool {
        let mut standing = self.standing();
        standing.phase = Phase::Closing;
        standing.since = Instant::now();
        standing.stalled = None;
        standing.order.is_none()
    }

    /// Tells since when it is the peer who is being waited for, if it is.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.standing().waits_since()
    }

    /// Gives an order, unless there is one.
    pub(super) fn order(&self, order: Order) {
        self.standing().order.get_or_insert(order);
        self.told.notify_one();
    }

    /// Waits for an order, and returns whether the connection ends at once.
    pub(super) async fn ordered_to_end_now(&self) -> bool {
        loop {
            {
                let standing = self.standing();
                match standing.order {
                    Some(Order::MakeRoom) => return standing.waits_since().is_some(),
                    Some(Order::Drain) => return !standing.is_in_flight(),
                    None => {}
                }
            }
            self.told.notified().await;
        }
    }

    /// Is ready once the connection has used up one of its times. `alarm` is set as needed: mostly not at all, since a
    /// limit that has moved away in the meantime is only looked at when the alarm goes off.
    pub(super) fn poll_overdue(&self, mut alarm: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let due = self.due();
            if due < alarm.deadline() {
                alarm.as_mut().reset(due);
            }
            std::task::ready!(alarm.as_mut().poll(context));
            if due <= alarm.deadline() {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(due);
        }
    }

    /// Returns when the connection has to have moved on.
    pub(super) fn due(&self) -> Instant {
        let standing = self.standing();
        let time = match standing.phase {
            Phase::Idle => self.limits.idle,
            Phase::Head => self.limits.head,
            Phase::Body | Phase::Answer => self.limits.request,
            Phase::Closing => self.limits.linger,
        };
        let due = standing.since + time;
        standing.stalled.map_or(due, |stalled| due.min(stalled + self.limits.stall))
    }

    fn move_on(&self, from: &[Phase], to: Phase) {
        let mut standing = self.standing();
        if from.contains(&standing.phase) {
            standing.phase = to;
            standing.since = Instant::now();
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // Nothing that holds it can panic halfway through a change.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn waits_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Answer => self.stalled,
            Phase::Idle | Phase::Head | Phase::Body | Phase::Closing => Some(self.since),
        }
    }

    fn is_in_flight(&self) -> bool {
        self.stalled.is_some() || matches!(self.phase, Phase::Body | Phase::Answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a connection still has, to the second.
    fn left(progress: &Progress) -> u64 {
        (progress.due() - Instant::now()).as_secs_f64().round() as u64
    }

    #[test]
    fn each_phase_has_its_time() {
        let progress = Progress::new(ConnectionLimits::default());
        assert_eq!(left(&progress), 10);
        progress.head_ended(true);
        assert_eq!(left(&progress), 300);
        progress.body_ended();
        assert_eq!(left(&progress), 300);
        progress.answered();
        assert_eq!(left(&progress), 75);
        progress.received();
        assert_eq!(left(&progress), 10);
        assert!(progress.closing());
        assert_eq!(left(&progress), 2);
    }

    #[test]
    fn a_stall_counts_from_its_beginning_and_ends_with_any_progress() {
        let progress = Progress::new(ConnectionLimits::default());
        progress.head_ended(false);
        progress.stalled();
        let due = progress.due();
        assert_eq!(left(&progress), 30);
        progress.stalled();
        assert_eq!(progress.due(), due);
        progress.taken();
        assert_eq!(left(&progress), 300);
    }

    #[test]
    fn only_who_keeps_the_server_waiting_makes_room() {
        let progress = Progress::new(ConnectionLimits::default());
        assert!(progress.waits_since().is_some(), "for a head");
        progress.head_ended(true);
        assert!(progress.waits_since().is_some(), "for a body");
        progress.body_ended();
        assert!(progress.waits_since().is_none(), "the handler is at work");
        progress.stalled();
        assert!(progress.waits_since().is_some(), "for the answer to be taken");
        progress.taken();
        progress.answered();
        assert!(progress.waits_since().is_some(), "for the next request");
    }

    #[tokio::test]
    async fn an_end_waits_for_the_answer() {
        let ends_now = async |order, has_body| {
            let progress = Progress::new(ConnectionLimits::default());
            if let Some(has_body) = has_body {
                progress.head_ended(has_body);
            }
            progress.order(order);
            progress.ordered_to_end_now().await
        };
        assert!(ends_now(Order::Drain, None).await);
        assert!(!ends_now(Order::Drain, Some(true)).await);
        assert!(!ends_now(Order::Drain, Some(false)).await);
        assert!(ends_now(Order::MakeRoom, None).await);
        assert!(ends_now(Order::MakeRoom, Some(true)).await);
        assert!(!ends_now(Order::MakeRoom, Some(false)).await);
    }
}
