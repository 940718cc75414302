//! The table.

mod acks;
mod api;
mod headers;
mod logins;
mod probing;
mod replies;
mod routes;
mod subscriptions;

use futures::future::BoxFuture;

use super::arena::Arena;
use super::canary::{Due, Scene};
use super::raw::publish;

/// An attack that has to see what comes of it. Returns the evidence of its success.
pub(super) type Special = for<'a> fn(&'a mut Arena, &'a Scene) -> BoxFuture<'a, Vec<String>>;

/// What Mallory sends.
type Frames = Box<dyn Fn(&Scene) -> Vec<Vec<u8>>>;

pub(super) enum Attack {
    Frames(Frames),
    Special(Special),
}

pub(super) struct Case {
    pub(super) name: String,
    pub(super) attack: Attack,
    pub(super) due: Due,
}

impl Case {
    fn frames(name: impl Into<String>, frames: impl Fn(&Scene) -> Vec<Vec<u8>> + 'static) -> Self {
        Self { name: name.into(), attack: Attack::Frames(Box::new(frames)), due: Due::default() }
    }

    /// One publish, with Mallory's own reply subject.
    fn publish(name: impl Into<String>, frame: impl Fn(&Scene) -> (String, String) + 'static) -> Self {
        Self::frames(name, move |scene| {
            let (subject, payload) = frame(scene);
            vec![publish(&subject, Some(&scene.reply), "", payload.as_bytes())]
        })
    }

    fn special(name: impl Into<String>, special: Special) -> Self {
        Self { name: name.into(), attack: Attack::Special(special), due: Due::default() }
    }

    /// What she publishes is allowed, and so is what she gets for it.
    fn answered(mut self) -> Self {
        self.due.answers = true;
        self
    }

    /// It may reach Alice's subjects, and is refused there: no client takes it for a delivery (PROTOCOL.md §5).
    fn refused_by_the_filter(mut self) -> Self {
        self.due.refused_frames = true;
        self
    }

    /// She may be told what became of her own message.
    fn traced(mut self) -> Self {
        self.due.traces = true;
        self
    }
}

pub(super) fn all() -> Vec<Case> {
    let groups = [
        subscriptions::cases(),
        api::cases(),
        acks::cases(),
        replies::cases(),
        headers::cases(),
        routes::cases(),
        probing::cases(),
        logins::cases(),
    ];
    groups.into_iter().flatten().collect()
}

/// Where a user may send messages to themselves.
fn own_inbox(scene: &Scene) -> String {
    format!("kez.inbox.{}.{}", scene.mallory, scene.own)
}

/// Where a user may send presence to themselves.
fn own_presence(scene: &Scene) -> String {
    format!("kez.presence.{}.{}", scene.mallory, scene.own)
}

/// Fills in a subject: `{A}`, `{B}`, `{C}`, `{M}` are users, `{b}` and `{m}` are Bob's and Mallory's routes.
fn filled(template: &str, scene: &Scene) -> String {
    template
        .replace("{A}", &scene.alice)
        .replace("{B}", &scene.bob)
        .replace("{C}", &scene.carol)
        .replace("{M}", &scene.mallory)
        .replace("{b}", &scene.bobs)
        .replace("{m}", &scene.own)
}
