//! A conversation that goes on: keys, what the owner tells and what was asked of it, as they come.

use std::{future, io, mem, path::Path, pin::Pin, time::Duration};

use anstream::adapter::strip_str;
use crossterm::event::{Event as TerminalEvent, EventStream};
use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use kez_chat_sdk::new_message_id;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    composer::Purpose,
    full_screen::FullScreen,
    keys::{self, Action},
    screen::{Direction, Screen, UnderWay},
    scrollback::Wanted,
};
use crate::{
    api::{
        Call, FetchedPath, Line, Object,
        account::Whoami,
        event::{Connection, Event, Handled, Notification, Order},
        files::{Fetch, Progress, ShareFiles},
        people::{Contact, FindContact},
        talk::{Delete, Edit, MarkRead, MessageRef, React, ReadHistory, Send, SetDraft, Which},
    },
    failure::Failure,
    link::{Calling, Heard, Link},
    render, safe,
};

/// How many messages are asked for at once.
const PAGE: usize = 50;
/// How often it is looked whether what is kept was sent: nobody tells.
const LOOK: Duration = Duration::from_millis(500);
/// How long nothing is typed until what was begun is kept.
const DRAFT_REST: Duration = Duration::from_secs(1);
/// How long the end waits for it to be kept.
const LAST_DRAFT: Duration = Duration::from_secs(3);

/// What an answer does, once it is there.
type Then = Box<dyn FnOnce(&mut Live<'_>)>;

/// A conversation that goes on.
pub(crate) struct Live<'a> {
    link: &'a mut Link,
    screen: Screen,
    /// The peer's key.
    with: String,
    answers: FuturesUnordered<Pin<Box<dyn Future<Output = Then>>>>,
    progress: mpsc::UnboundedSender<(u64, Progress)>,
    progressed: mpsc::UnboundedReceiver<(u64, Progress)>,
    last_number: u64,
    /// The last page was asked for, and something has happened since.
    is_refreshing: bool,
    is_outdated: bool,
    look_due: Option<Instant>,
    /// The last place that there is, as far as is known.
    last_place: u64,
    /// Events that are about to be shown.
    unshown: Vec<i64>,
    /// What is kept of what is being written, and when it is to be kept anew.
    draft: String,
    draft_due: Option<Instant>,
    /// Whether the person wants to end although files are under way.
    ends_anyway: bool,
}

impl<'a> Live<'a> {
    pub(crate) fn new(link: &'a mut Link, screen: Screen, contact: &Contact, draft: String) -> Self {
        let (progress, progressed) = mpsc::unbounded_channel();
        let mut live = Self {
            link,
            screen,
            with: contact.primary.clone(),
            answers: FuturesUnordered::new(),
            progress,
            progressed,
            last_number: 0,
            is_refreshing: false,
            is_outdated: false,
            look_due: None,
            last_place: 0,
            unshown: Vec::new(),
            draft: String::new(),
            draft_due: None,
            ends_anyway: false,
        };
        live.look_at(contact);
        live.screen.composer.set(&draft, Purpose::New);
        live.draft = draft;
        live
    }

    /// Goes on until the person ends it, or nothing comes any more.
    pub(crate) async fn run(&mut self, mut full_screen: FullScreen) -> Result<(), Failure> {
        let (sender, mut typed) = mpsc::unbounded_channel();
        let _reading = AbortOnDropHandle::new(tokio::spawn(read(sender)));
        loop {
            self.load();
            full_screen.draw(&mut self.screen)?;
            self.note_shown();
            let mut next = None;
            tokio::select! {
                event = typed.recv() => match event {
                    Some(event) => next = Some(event),
                    // The terminal is gone.
                    None => return self.end().await,
                },
                told = self.link.next() => match told {
                    Some(told) => self.hear(told)?,
                    // Why, any call says.
                    None => return self.link.call(Whoami {}).await.map(drop),
                },
                Some(then) = self.answers.next() => then(self),
                Some((number, progress)) = self.progressed.recv() => self.note_progress(number, progress),
                () = until(self.draft_due) => self.keep_draft(),
                () = until(self.look_due) => {
                    self.look_due = None;
                    self.refresh();
                }
            }
            // What is there already is taken before the screen is drawn again.
            while let Some(event) = next {
                match keys::take(&mut self.screen, event?) {
                    Some(Action::DrawAnew) => full_screen.forget()?,
                    Some(Action::Quit) if self.may_end() => return self.end().await,
                    Some(action) => self.carry_out(action),
                    None => {}
                }
                self.note_draft();
                next = typed.try_recv().ok();
            }
            while let Some(Some(told)) = self.link.next().now_or_never() {
                self.hear(told)?;
            }
        }
    }

    /// Asks for the messages that the view needs.
    fn load(&mut self) {
        match self.screen.wanted() {
            Some(Wanted::Latest) => self.refresh(),
            Some(Wanted::Older(before)) => self.ask(self.page(Some(before), PAGE), |live, page| match page {
                Ok(page) => {
                    let is_all = page.messages.len() < PAGE;
                    live.screen.scrollback.older(page.messages, is_all);
                }
                Err(failure) => live.screen.say(said(&failure)),
            }),
            Some(Wanted::Newer(after)) => self.load_newer(after),
            None => {}
        }
    }

    /// Asks for the messages after a place. There is no such call: those before a later place are asked for, of which
    /// there are no more than a page.
    fn load_newer(&mut self, after: u64) {
        let end = after.saturating_add(PAGE as u64);
        self.ask(self.page(Some(end.saturating_add(1)), PAGE), move |live, page| match page {
            Ok(page) => {
                let newer: Vec<_> = page.messages.into_iter().filter(|message| message.place > after).collect();
                let is_all = end >= live.last_place;
                // All of these may have been erased.
                if newer.is_empty() && !is_all {
                    return live.load_newer(end);
                }
                live.screen.scrollback.newer(newer, is_all);
            }
            Err(failure) => live.screen.say(said(&failure)),
        });
    }

    /// Asks for the last messages, which may be others now.
    fn refresh(&mut self) {
        if self.is_refreshing {
            self.is_outdated = true;
            return;
        }
        self.is_refreshing = true;
        self.ask(self.page(None, PAGE), |live, page| {
            live.is_refreshing = false;
            match page {
                Ok(page) => {
                    live.last_place = page.messages.last().map_or(live.last_place, |message| message.place);
                    let is_all = page.messages.len() < PAGE;
                    live.screen.latest(page.messages, is_all);
                }
                Err(failure) => live.screen.say(said(&failure)),
            }
            // What came meanwhile may not have been in the page.
            if mem::take(&mut live.is_outdated) {
                live.refresh();
            }
        });
    }

    /// Asks for a message that is another one now.
    fn reread(&mut self, place: u64) {
        self.ask(self.page(Some(place.saturating_add(1)), 1), |live, page| {
            if let Ok(page) = page {
                page.messages.into_iter().for_each(|message| live.screen.scrollback.replace(message));
            }
        });
    }

    fn page(&self, before: Option<u64>, limit: usize) -> ReadHistory {
        ReadHistory { with: self.with.clone(), before, limit: Some(limit) }
    }

    /// Takes what the owner tells.
    fn hear(&mut self, told: Notification) -> Result<(), Failure> {
        match told {
            Notification::Event(pending) => {
                self.unshown.push(pending.event_id);
                self.take_event(&pending.event);
            }
            Notification::Presence(presence) if presence.who.primary == self.with => {
                self.screen.presence = (presence.availability, presence.last_seen_ms);
            }
            Notification::Connection(connection) => {
                if let Some(end) = connection.end() {
                    return Err(end);
                }
                self.screen.offline = offline(&connection);
                // It is told first by an owner that is another one now.
                self.screen.scrollback.try_again();
                self.refresh();
            }
            Notification::Presence(_) | Notification::Progress(_) => {}
        }
        Ok(())
    }

    fn take_event(&mut self, event: &Event) {
        match event {
            Event::Message { order, .. } | Event::FileShared { order, .. } | Event::Unsupported { order, .. } => {
                match order {
                    Order::InOrder => {}
                    Order::AfterGap { missing: 1 } => self.screen.notice("an earlier message has not arrived"),
                    Order::AfterGap { missing } => {
                        self.screen.notice(&format!("{missing} earlier messages have not arrived"));
                    }
                    Order::Late => self.screen.notice("what follows was missing, and comes late"),
                }
                self.refresh();
            }
            Event::Edited { from, id, .. } | Event::Deleted { from, id } => {
                self.reread_named(&MessageRef { author: from.primary.clone(), id: id.clone() });
            }
            Event::Reaction { to, .. } => self.reread_named(to),
            Event::MessageState { id, state, .. } => {
                // A page that is on its way may be from before, and one that is not held may be too new.
                if !self.screen.scrollback.set_state(id, *state) || self.is_refreshing {
                    self.refresh();
                }
            }
            _ => {
                let text = self.rendered(event.clone());
                self.screen.notice(text.trim_start());
                if matches!(event, Event::Contact { .. }) {
                    self.ask(FindContact { who: self.with.clone(), refresh: false }, |live, contact| {
                        if let Ok(contact) = contact {
                            live.look_at(&contact);
                        }
                    });
                }
            }
        }
    }

    fn reread_named(&mut self, name: &MessageRef) {
        if let Some(place) = self.screen.scrollback.get(name).map(|message| message.place) {
            self.reread(place);
        }
    }

    fn look_at(&mut self, contact: &Contact) {
        self.screen.presence = (contact.availability, contact.last_seen_ms);
        self.screen.trouble = match contact {
            Contact { trouble: Some(trouble), .. } => Some(trouble.clone()),
            Contact { retired: true, .. } => Some("they have left for good".to_owned()),
            Contact { blocked: true, .. } => Some("you have blocked them; kez-chat unblock ends it".to_owned()),
            _ => None,
        };
    }

    /// Does what the person wants done.
    fn carry_out(&mut self, action: Action) {
        let with = self.with.clone();
        match action {
            Action::Send { text, answers } => {
                let purpose = answers.map_or(Purpose::New, Purpose::Answer);
                let id = Some(new_message_id().to_string());
                let reply_to = answers.map(Which::Place);
                self.write(Send { to: with, text: text.clone(), reply_to, id, wait_s: 0 }, text, purpose);
            }
            Action::Edit { place, text } => {
                let call = Edit { with, message: Which::Place(place), text: text.clone(), wait_s: 0 };
                self.write(call, text, Purpose::Edit(place));
            }
            Action::Delete(place) => self.change(Delete { with, message: Which::Place(place) }, place),
            Action::React { to, emoji } => self.change(React { with, message: Which::Place(to), emoji, wait_s: 0 }, to),
            Action::Share(path) => self.share(&path),
            Action::Fetch { share_id, folder } => self.fetch(share_id, &folder),
            Action::Verify => self.ask(FindContact { who: with, refresh: false }, |live, contact| match contact {
                Ok(contact) => {
                    let text = live.rendered(Object::SafetyNumber(contact));
                    live.screen.notice(&text);
                }
                Err(failure) => live.screen.say(said(&failure)),
            }),
            Action::DrawAnew => {}
            Action::Quit => self.screen.say("files are under way: end it again to leave them"),
        }
    }

    /// Has a text kept to be sent. If it is not, the person has it again.
    fn write<C: Call>(&mut self, call: C, text: String, purpose: Purpose) {
        self.screen.unaccepted += 1;
        self.ask(call, move |live, kept| {
            live.screen.unaccepted -= 1;
            match (kept, purpose) {
                (Ok(_), Purpose::Edit(place)) => live.reread(place),
                (Ok(_), _) => live.refresh(),
                (Err(failure), _) => {
                    live.screen.composer.give_back(&text, purpose);
                    live.screen.say(said(&failure));
                }
            }
        });
    }

    /// Changes something about a message.
    fn change<C: Call>(&mut self, call: C, place: u64) {
        self.ask(call, move |live, changed| match changed {
            Ok(_) => live.reread(place),
            Err(failure) => live.screen.say(said(&failure)),
        });
    }

    fn share(&mut self, path: &Path) {
        let path = match std::path::absolute(path) {
            Ok(path) => path,
            Err(error) => return self.screen.say(error.to_string()),
        };
        let asked_for = path.to_string_lossy().into_owned();
        let name = Some(new_message_id().to_string());
        let call = ShareFiles { with: vec![self.with.clone()], path, publish: false, name };
        self.transfer(Direction::Share, asked_for, call, |live, share| {
            for left_out in &share.left_out {
                live.screen.notice(&format!("left out {}", safe::line(&left_out.to_string_lossy())));
            }
            live.screen.notice("it can be fetched while kez-chat runs on this home: kez-chat run sees to that");
            live.refresh();
        });
    }

    fn fetch(&mut self, share_id: i64, folder: &Path) {
        let to = match std::path::absolute(folder) {
            Ok(to) => to,
            Err(error) => return self.screen.say(error.to_string()),
        };
        // Nothing is overwritten in any case.
        let call = Fetch { share_id, to, rename: true, only: None };
        self.transfer(Direction::Fetch, format!("what /fetch {share_id} stands for"), call, |live, fetched| {
            for path in fetched.paths {
                let text = live.rendered(Object::Fetched(FetchedPath { path }));
                live.screen.notice(&text);
            }
        });
    }

    /// Begins something with files, and shows how far it is.
    fn transfer<C: Call>(
        &mut self,
        direction: Direction,
        asked_for: String,
        call: C,
        then: impl FnOnce(&mut Live<'_>, C::Answer) + 'static,
    ) {
        self.last_number += 1;
        let (number, progress) = (self.last_number, self.progress.clone());
        self.screen.under_way.insert(number, UnderWay { direction, asked_for, progress: None });
        self.ask_and_watch(
            call,
            move |at| drop(progress.send((number, at))),
            move |live, done| {
                live.screen.under_way.remove(&number);
                live.ends_anyway &= !live.screen.under_way.is_empty();
                match done {
                    Ok(done) => then(live, done),
                    Err(failure) => live.screen.notice(&said(&failure)),
                }
            },
        );
    }

    /// Writes something as other commands do, but for colours.
    fn rendered(&self, line: impl Into<Line>) -> String {
        strip_str(&render::text(&line.into(), self.link.own_home())).to_string()
    }

    fn note_progress(&mut self, number: u64, progress: Progress) {
        if let Some(files) = self.screen.under_way.get_mut(&number) {
            files.progress = Some(progress);
        }
    }

    /// Makes a call; calls are taken in their order.
    fn ask<C: Call>(&mut self, call: C, then: impl FnOnce(&mut Live<'_>, Result<C::Answer, Failure>) + 'static) {
        self.ask_and_watch(call, drop, then);
    }

    fn ask_and_watch<C: Call>(
        &mut self,
        call: C,
        watch: impl Fn(Progress) + 'static,
        then: impl FnOnce(&mut Live<'_>, Result<C::Answer, Failure>) + 'static,
    ) {
        let calling = self.link.begin(call);
        self.answers.push(Box::pin(async move {
            let answer = match calling {
                Ok(calling) => follow(calling, watch).await,
                Err(failure) => Err(failure),
            };
            Box::new(move |live: &mut Live<'_>| then(live, answer)) as Then
        }));
    }

    /// Notes what is on the screen now: only then an event is handled, and a message is read.
    fn note_shown(&mut self) {
        if !self.is_refreshing && !self.unshown.is_empty() {
            let events = mem::take(&mut self.unshown);
            self.ask(Handled { events }, |_, _| ());
        }
        let may_be_sent = self.screen.warnings().is_empty() && self.screen.scrollback.has_kept();
        self.look_due = self.look_due.or(Some(Instant::now() + LOOK)).filter(|_| may_be_sent);
        if let Some(up_to) = self.screen.newly_seen() {
            self.ask(MarkRead { with: self.with.clone(), up_to }, |_, _| ());
        }
    }

    fn note_draft(&mut self) {
        if self.draft_now() != self.draft {
            self.draft_due = Some(Instant::now() + DRAFT_REST);
        }
    }

    /// Returns what is to be kept of what is being written: another wording of an old message is no new one.
    fn draft_now(&self) -> String {
        match self.screen.composer.purpose {
            Purpose::Edit(_) => String::new(),
            Purpose::New | Purpose::Answer(_) => self.screen.composer.text(),
        }
    }

    fn keep_draft(&mut self) {
        let call = self.draft_call();
        self.ask(call, |_, _| ());
    }

    fn draft_call(&mut self) -> SetDraft {
        self.draft_due = None;
        self.draft = self.draft_now();
        SetDraft { with: self.with.clone(), text: Some(self.draft.clone()).filter(|text| !text.is_empty()) }
    }

    fn may_end(&mut self) -> bool {
        self.screen.under_way.is_empty() || mem::replace(&mut self.ends_anyway, true)
    }

    /// Keeps what was being written.
    async fn end(&mut self) -> Result<(), Failure> {
        if self.draft_now() != self.draft {
            let call = self.draft_call();
            // Whoever ends does not wait for an owner that can't be had.
            let _ = timeout(LAST_DRAFT, self.link.call(call)).await;
        }
        Ok(())
    }
}

/// Waits for an answer, and tells how far it is meanwhile.
async fn follow<T: serde::de::DeserializeOwned>(
    mut calling: Calling<T>,
    watch: impl Fn(Progress),
) -> Result<T, Failure> {
    loop {
        match calling.next().await {
            Heard::Progress(at) => watch(at),
            Heard::Answer(answer) => return answer,
        }
    }
}

/// Hands on what the terminal says. Its stream wakes whoever polled it first, and no other: only this does.
async fn read(typed: mpsc::UnboundedSender<io::Result<TerminalEvent>>) {
    let mut events = EventStream::new();
    while let Some(event) = events.next().await {
        if typed.send(event).is_err() {
            return;
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => future::pending().await,
    }
}

/// Says why there is no way to the home, if so.
fn offline(connection: &Connection) -> Option<String> {
    match (&*connection.state, &connection.why) {
        ("online", _) => None,
        (state, Some(why)) => Some(format!("{state}: {why}; what you write is kept")),
        (state, None) => Some(state.to_owned()),
    }
}

/// Says in a line what went wrong.
fn said(failure: &Failure) -> String {
    format!("{}; {}", failure.what, failure.advice)
}
