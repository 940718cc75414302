//! What shows whether an attack has succeeded.
//!
//! Before each attack, Bob sends Alice a message that she has received and not yet acknowledged. After it, Bob sends
//! another one, and presence. What then has to be so is in [`Arena::judge`]; whatever is not is evidence of success. An
//! error that the attacker was told is no evidence of anything.

use std::collections::HashSet;

use data_encoding::BASE64;
use kez_core::broker::{AckScope, check_inbox_frame, check_presence_frame, subject};
use kez_core::envelope;
use serde_json::{Value, json};

use super::arena::{ALLOWED, Arena, DELIVER, MARK, PRESENCE, REPLIES};
use super::raw::{Heard, publish};

/// The moment before an attack, which attacks refer to.
pub(super) struct Scene {
    /// Users as subjects name them.
    pub(super) alice: String,
    pub(super) bob: String,
    pub(super) mallory: String,
    pub(super) carol: String,
    /// Routes.
    pub(super) bobs: String,
    pub(super) own: String,
    /// Where Mallory gets answers.
    pub(super) reply: String,
    /// Where Alice acknowledges the message that waits for it, and its number in the stream.
    pub(super) ack: String,
    pub(super) waiting: u64,
    /// Where Mallory acknowledges a message of her own.
    pub(super) own_ack: String,
    /// The server's name for itself, and its number for Alice's connection.
    pub(super) server: String,
    pub(super) alices_connection: u64,
    /// The number of the attack.
    pub(super) round: usize,
    /// Where acks of the second shape name the account.
    pub(super) acks: AckScope,
    /// How the inbox stream is set up.
    pub(super) config: Value,
    before: Value,
}

/// What an attacker may see or cause without having won anything.
#[derive(Clone, Copy, Default)]
pub(super) struct Due {
    /// Answers to what she may publish, on her own reply subjects, and what she sent to herself.
    pub(super) answers: bool,
    /// Frames on Alice's subjects that a client does not take for deliveries (PROTOCOL.md §5): refused there.
    pub(super) refused_frames: bool,
    /// Traces of her own messages, as long as they name nobody else.
    pub(super) traces: bool,
}

impl Arena {
    /// Has a message delivered to Alice that she does not acknowledge yet.
    pub(super) async fn prepare(&mut self) -> Result<Scene, String> {
        self.round += 1;
        let own_ack = self.send_to_herself().await?;
        let text = format!("waiting {}", self.round);
        self.send_from_bob(&text).await?;
        let passes = |heard: &Heard| heard.sid == DELIVER && heard.text() == text;
        let frame = self.alice.raw.find(self.patience * 2, passes).await.ok_or("Alice's inbox is stuck")?;
        let ack = self.take(&frame).ok_or("a delivery has another shape")?;
        let before = self.state().await;
        let tail: Vec<&str> = ack.rsplit('.').collect();
        // `….<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`
        let waiting = tail[3].parse().map_err(|_| format!("{ack} has another shape"))?;
        self.tap.drain().await;
        Ok(Scene {
            alice: self.alice.hex(),
            bob: self.bob.hex(),
            mallory: self.mallory.hex(),
            carol: self.carol.primary.to_hex(),
            bobs: self.bob.route.to_string(),
            own: self.mallory.route.to_string(),
            reply: self.mallory.reply(&format!("{}.x", self.round)),
            ack,
            waiting,
            own_ack,
            server: self.alice.raw.info["server_id"].as_str().unwrap_or_default().to_owned(),
            alices_connection: self.alice.raw.info["client_id"].as_u64().unwrap_or_default(),
            round: self.round,
            acks: self.acks.clone(),
            config: before["inbox"].clone(),
            before,
        })
    }

    /// Names all evidence that the attack got the attacker anything, or cost somebody else anything.
    pub(super) async fn judge(&mut self, scene: &Scene, due: Due) -> Vec<String> {
        let mut evidence = Vec::new();
        let text = format!("canary {}", scene.round);
        let presence = format!("presence {}", scene.round);
        if let Err(fault) = self.send_from_bob(&text).await {
            evidence.push(fault);
        }
        let to_alice = subject::presence_publish(&self.alice.person.primary, &self.bob.route);
        self.bob.raw.send(&publish(&to_alice, None, "", presence.as_bytes())).await;
        let (mut message_came, mut presence_came) = (false, false);
        let last = self.alice.raw.find(self.patience, |heard| {
            message_came |= heard.sid == DELIVER && heard.text() == text;
            presence_came |= heard.sid == PRESENCE && heard.text() == presence;
            message_came && presence_came
        });
        let mut frames: Vec<Heard> = last.await.into_iter().collect();
        frames.extend(self.alice.raw.drain().await);
        let acked = self.acknowledge(due, &text, &presence, &frames, &mut evidence).await;
        let tapped = self.tap.drain().await;
        for kind in ["kez.inbox.", "kez.presence.", "$JS.ACK."] {
            // Who hears nothing has nothing to tell.
            if !tapped.iter().any(|heard| heard.subject.starts_with(kind)) {
                evidence.push(format!("of {kind} nothing was tapped"));
            }
        }
        for heard in tapped {
            self.judge_tapped(scene, &acked, &heard, &mut evidence);
        }
        for heard in self.mallory.raw.drain().await {
            judge_heard(scene, due, &heard, &mut evidence);
        }
        self.compare(scene, acked.len(), &text, &mut evidence).await;
        self.confirm(&scene.ack, "done").await;
        evidence
    }

    /// Has Mallory send herself a message, and returns where she may acknowledge it.
    async fn send_to_herself(&mut self) -> Result<String, String> {
        let to = subject::inbox_publish(&self.mallory.person.primary, &self.mallory.route);
        let text = format!("{MARK} {}", self.round);
        let mut frames = publish(&to, None, "", text.as_bytes());
        if let Some(last) = self.last_own_ack.take() {
            // Unacknowledged messages would stop her inbox in the end.
            frames.extend(publish(&last, None, "", b"+ACK"));
        }
        self.mallory.raw.send(&frames).await;
        let frame =
            self.mallory.raw.find(self.patience * 2, |heard| heard.sid == DELIVER && heard.text() == text).await;
        let ack = frame.and_then(|frame| frame.reply).ok_or("Mallory's inbox is stuck")?;
        self.last_own_ack = Some(ack.clone());
        Ok(ack)
    }

    /// Sends a message from Bob to Alice, and waits until the broker has it.
    async fn send_from_bob(&mut self, text: &str) -> Result<(), String> {
        let to = subject::inbox_publish(&self.alice.person.primary, &self.bob.route);
        let (reply, id) = (self.bob.reply(&format!("{}", self.round)), format!("{:032x}", rand::random::<u128>()));
        let frame = publish(&to, Some(&reply), &format!("Nats-Msg-Id: {id}\r\n"), text.as_bytes());
        self.bob.raw.send(&frame).await;
        let answer = self.bob.raw.find(self.patience, |heard| heard.subject == reply).await;
        let answer = answer.ok_or("the broker does not take Bob's message")?.json();
        let taken = answer["stream"] == subject::INBOX_STREAM && answer["duplicate"].is_null();
        if taken { Ok(()) } else { Err(format!("the broker says to Bob's message: {answer}")) }
    }

    /// Judges what came to Alice, acknowledges what she takes but for what waits, and returns those ack subjects.
    async fn acknowledge(
        &mut self,
        due: Due,
        text: &str,
        presence: &str,
        frames: &[Heard],
        evidence: &mut Vec<String>,
    ) -> HashSet<String> {
        let (mut acks, mut messages, mut presences) = (HashSet::new(), 0, 0);
        let own_lane = subject::inbox_publish(&self.alice.person.primary, &self.mallory.route);
        for frame in frames {
            let what = format!("{} with {:?} as reply: {:?}", frame.subject, frame.reply, frame.text());
            match frame.sid.as_str() {
                DELIVER => match self.take(frame) {
                    Some(ack) if frame.text() == text || frame.subject == own_lane => {
                        messages += usize::from(frame.text() == text);
                        acks.insert(ack);
                    }
                    Some(_) => evidence.push(format!("Alice takes {what}")),
                    None if due.refused_frames => self.refused_frames += 1,
                    None => evidence.push(format!("Alice refuses {what}")),
                },
                PRESENCE => {
                    let taken = check_presence_frame(&frame.subject, &self.alice.person.primary).is_ok();
                    if frame.text() == presence {
                        presences += 1;
                    } else if taken && envelope::open(&self.alice.person.key, &frame.payload, |_| None).is_ok() {
                        evidence.push(format!("Alice opens {what}"));
                    } else if frame.text().contains(MARK) {
                        evidence.push(format!("Mallory's words came as presence: {what}"));
                    } else if due.refused_frames {
                        self.refused_frames += 1;
                    } else if frame.text() != ALLOWED {
                        evidence.push(format!("Alice refuses {what}"));
                    }
                }
                // Nothing is asked under a name that others can guess.
                REPLIES if due.refused_frames => self.refused_frames += 1,
                _ => evidence.push(format!("Alice refuses {what}")),
            }
        }
        if (messages, presences) != (1, 1) {
            evidence.push(format!("Bob's message came {messages} times, his presence {presences} times"));
        }
        for ack in &acks {
            if !self.confirm(ack, "ack").await {
                evidence.push("Alice's acknowledgement is not confirmed".to_owned());
            }
        }
        acks
    }

    /// Returns where the frame is acknowledged if a client would take it.
    fn take(&self, frame: &Heard) -> Option<String> {
        let own = &self.alice.person.primary;
        let ack = check_inbox_frame(&frame.subject, frame.reply.as_deref(), own, &[subject::INBOX_STREAM]).ok()?;
        Some(ack.as_str().to_owned())
    }

    /// Acknowledges, and tells whether the broker confirms it.
    async fn confirm(&mut self, ack: &str, token: &str) -> bool {
        let reply = self.alice.reply(token);
        self.alice.raw.send(&publish(ack, Some(&reply), "", b"+ACK")).await;
        let confirmed = self.alice.raw.find(self.patience, |heard| heard.subject == reply && heard.headers.is_empty());
        confirmed.await.is_some()
    }

    /// Judges what came into the account that owns the streams.
    fn judge_tapped(&self, scene: &Scene, acked: &HashSet<String>, heard: &Heard, evidence: &mut Vec<String>) {
        let subject = &heard.subject;
        if subject.starts_with("$JS.ACK.") {
            let foreign = subject.contains(&scene.alice) || subject.contains(&scene.bob);
            if foreign && !(acked.contains(subject) && heard.text() == "+ACK") {
                evidence.push(format!("JetStream is told {:?} on {subject}", heard.text()));
            }
            return;
        }
        let lane = subject.rsplit('.').next().unwrap_or_default();
        // A login may live through midnight.
        let own = [&self.mallory.route, &self.tomorrow].map(ToString::to_string);
        if !own.iter().any(|own| own == lane) && (lane != scene.bobs || heard.text().contains(MARK)) {
            evidence.push(format!("somebody else's lane is used: {subject}"));
        }
    }

    /// Compares how things are with how they were: one more message was delivered and acknowledged, that is all.
    async fn compare(&self, scene: &Scene, acked: usize, text: &str, evidence: &mut Vec<String>) {
        let mut expected = scene.before.clone();
        let delivered = expected["delivered"].as_u64().unwrap_or_default() + acked as u64;
        expected["delivered"] = json!(delivered);
        let mut now = self.state().await;
        // It may move on among what was acknowledged before, but not up to what waits.
        let floor = now["acknowledged up to"].take();
        if floor.as_u64().is_none_or(|floor| floor >= scene.waiting) {
            evidence.push(format!("{floor} is acknowledged, and {} was not to be", scene.waiting));
        }
        expected["acknowledged up to"].take();
        if expected != now {
            for (name, value) in expected.as_object().into_iter().flatten() {
                if *value != now[name] {
                    evidence.push(format!("{name} was to be {value} and is {}", now[name]));
                }
            }
        }
        for (seq, text) in [(scene.waiting, format!("waiting {}", scene.round)), (scene.waiting + 1, text.to_owned())] {
            let mut found = false;
            // Between the two there may be what Mallory sent to herself.
            for seq in seq..seq + 64 {
                let stored = self.api("STREAM.MSG.GET.KEZ_INBOX", json!({ "seq": seq })).await;
                let data = stored["message"]["data"].as_str().unwrap_or_default();
                found = BASE64.decode(data.as_bytes()).is_ok_and(|data| data == text.as_bytes());
                if found || stored["message"].is_null() {
                    break;
                }
            }
            if !found {
                evidence.push(format!("{text:?} is stored no more"));
            }
        }
    }

    /// Reads everything that an attack could have changed.
    async fn state(&self) -> Value {
        let mut state = json!({ "streams": self.api("STREAM.NAMES", Value::Null).await["streams"] });
        for (name, stream) in [("inbox", subject::INBOX_STREAM), ("presence", subject::PRESENCE_STREAM)] {
            let mut info = self.api(&format!("STREAM.INFO.{stream}"), Value::Null).await;
            let mut consumers = self.api(&format!("CONSUMER.NAMES.{stream}"), Value::Null).await;
            state[name] = info["config"].take();
            state[format!("{name} made")] = info["created"].take();
            state[format!("{name} consumers")] = consumers["consumers"].take();
        }
        for (name, peer) in [("Alice's", &self.alice), ("Bob's", &self.bob)] {
            let mut info = self.api(&format!("CONSUMER.INFO.KEZ_INBOX.{}", peer.hex()), Value::Null).await;
            state[format!("{name} consumer")] = info["config"].take();
            state[format!("{name} listening")] = info["push_bound"].take();
            state[format!("{name} pause")] = info["paused"].take();
            if name == "Alice's" {
                state["unacknowledged"] = info["num_ack_pending"].take();
                state["acknowledged up to"] = info["ack_floor"]["stream_seq"].take();
                state["delivered again"] = info["num_redelivered"].take();
                state["undelivered"] = info["num_pending"].take();
                state["delivered"] = info["delivered"]["consumer_seq"].take();
            }
        }
        state
    }
}

/// Judges what the attacker heard.
fn judge_heard(scene: &Scene, due: Due, heard: &Heard, evidence: &mut Vec<String>) {
    let (what, text) = (format!("Mallory hears {}: {:?}", heard.subject, heard.text()), heard.text());
    let answered = heard.sid == REPLIES;
    // Nobody answers on what is not there; that tells nothing.
    if answered && heard.headers.starts_with("NATS/1.0 503") {
        return;
    }
    let names_others = [&scene.alice, &scene.bob, &scene.bobs, &scene.carol].iter().any(|name| text.contains(*name));
    let json = heard.json();
    let harmless = !names_others && !text.contains("io.nats.jetstream.api") && !text.contains("waiting ");
    let is_answer = json["stream"].is_string() || json["error"].is_object() || heard.payload.is_empty();
    let to_herself = heard.sid == DELIVER && heard.subject == format!("kez.inbox.{}.{}", scene.mallory, scene.own);
    let presence = heard.sid == PRESENCE && (text.contains(MARK) || text == ALLOWED);
    let is_trace = due.traces && json["events"].is_array();
    if !(harmless && (due.answers && answered && is_answer || to_herself || presence || is_trace)) {
        evidence.push(what);
    }
}
