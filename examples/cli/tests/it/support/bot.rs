//! A program that speaks to `kez-chat api`, and holds every line in both directions against the schema.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
    time::timeout,
};

use super::{PATIENCE, Person, schema};

/// What a call was answered with: its result, or its error.
type Outcome = Result<Value, Value>;

/// A bot.
pub(crate) struct Bot {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    last: i64,
    /// The methods of calls that are not answered.
    under: HashMap<i64, String>,
    /// What came while something else was waited for.
    told: VecDeque<Value>,
    answered: HashMap<i64, Outcome>,
}

impl Bot {
    /// Starts `kez-chat api` for somebody.
    pub(crate) fn start(person: &Person) -> Self {
        let mut command = person.command(&["api"]);
        command.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (under, told, answered) = Default::default();
        Self { child, input, lines, last: 0, under, told, answered }
    }

    /// Starts one that is given events, and returns once it is.
    pub(crate) async fn listening(person: &Person) -> Self {
        let mut bot = Self::start(person);
        bot.ok("subscribe", json!({})).await;
        bot
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Writes a line as it is.
    pub(crate) async fn write(&mut self, line: impl AsRef<[u8]>) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line.as_ref()).await.unwrap();
        input.write_all(b"\n").await.unwrap();
        input.flush().await.unwrap();
    }

    /// Makes a call that the schema knows, and returns its number.
    pub(crate) async fn begin(&mut self, method: &str, params: Value) -> i64 {
        assert!(schema::is_call(method, &params), "the schema has no {method} with {params}");
        self.last += 1;
        self.under.insert(self.last, method.to_owned());
        let line = json!({ "jsonrpc": "2.0", "id": self.last, "method": method, "params": params });
        self.write(line.to_string()).await;
        self.last
    }

    /// Makes a call, and waits for its answer.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Outcome {
        let call = self.begin(method, params).await;
        self.answer(call).await
    }

    /// Makes a call that has to succeed.
    pub(crate) async fn ok(&mut self, method: &str, params: Value) -> Value {
        self.call(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Makes a call that has to fail, and returns the error's name.
    pub(crate) async fn fails(&mut self, method: &str, params: Value) -> String {
        let error = self.call(method, params).await.expect_err("it did not fail");
        error["data"]["name"].as_str().unwrap().to_owned()
    }

    /// Waits for the answer to a call.
    pub(crate) async fn answer(&mut self, call: i64) -> Outcome {
        loop {
            if let Some(outcome) = self.answered.remove(&call) {
                return outcome;
            }
            self.read().await.expect("it ended");
        }
    }

    /// Waits for the next answer, whatever it answers.
    pub(crate) async fn read_answer(&mut self) -> Value {
        loop {
            let line = self.read().await.expect("it ended");
            if line.get("method").is_none() {
                return line;
            }
        }
    }

    /// Waits for an event of a kind, and passes over others.
    pub(crate) async fn event(&mut self, kind: &str) -> Value {
        self.notification(|told| told["method"] == "event" && told["params"]["event"]["kind"] == kind).await
    }

    /// Waits for something that comes by itself, and passes over everything before.
    pub(crate) async fn notification(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            while let Some(told) = self.told.pop_front() {
                if is_it(&told) {
                    return told["params"].clone();
                }
            }
            self.read().await.expect("it ended");
        }
    }

    /// Waits for a message, says that it is handled, and returns its text.
    pub(crate) async fn take_message(&mut self) -> String {
        let event = self.event("message").await;
        self.ok("handled", json!({ "events": [event["event_id"]] })).await;
        event["event"]["text"].as_str().unwrap().to_owned()
    }

    /// Returns what came by itself until now and was not asked for.
    pub(crate) fn heard(&mut self) -> Vec<Value> {
        self.told.drain(..).collect()
    }

    /// Reads the next line; nothing if there are no more.
    pub(crate) async fn read(&mut self) -> Option<Value> {
        let read = timeout(PATIENCE, self.lines.next_line()).await;
        let line = read.unwrap_or_else(|_| panic!("nothing comes for {:?}", self.under)).unwrap()?;
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        assert_eq!(line["jsonrpc"], "2.0", "{line}");
        if let Some(method) = line["method"].as_str() {
            schema::notification(method, &line["params"]);
            self.told.push_back(line.clone());
        } else if line.get("error").is_some() {
            schema::error(&line["error"]);
            if let Some(call) = line["id"].as_i64() {
                self.under.remove(&call);
                self.answered.insert(call, Err(line["error"].clone()));
            }
        } else {
            let call = line["id"].as_i64().unwrap_or_else(|| panic!("an answer to nothing: {line}"));
            let method = self.under.remove(&call).unwrap_or_else(|| panic!("answered twice: {line}"));
            schema::answer(&method, &line["result"]);
            self.answered.insert(call, Ok(line["result"].clone()));
        }
        Some(line)
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Closes its standard input, and waits for its last lines and its end.
    pub(crate) async fn end(mut self) -> (Option<i32>, HashMap<i64, Outcome>) {
        self.input = None;
        while self.read().await.is_some() {}
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it does not end").unwrap();
        (status.code(), self.answered)
    }
}
