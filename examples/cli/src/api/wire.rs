//! The lines themselves: JSON-RPC 2.0, one object a line, in UTF-8.

use std::io;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::failure::{Failure, Kind};

/// The longest line in bytes. The longest message, with each of its characters escaped, takes less than a third of it.
pub(crate) const MAX_LINE_BYTES: usize = 1 << 20;
/// What every line says of itself.
const JSONRPC: &str = "2.0";

/// What names a call until it is answered: a number or a text, as its caller likes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum CallId {
    Number(i64),
    Text(String),
    /// What could not be read has none (JSON-RPC 2.0, section 5).
    Unknown,
}

/// A line of JSON-RPC, whoever wrote it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Frame {
    pub(crate) jsonrpc: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) id: Option<CallId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) params: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) error: Option<RpcError>,
}

/// Why a call failed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RpcError {
    /// The exit code that the command would end with, or one of JSON-RPC's own.
    pub(crate) code: i64,
    /// What happened.
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) data: Option<RpcErrorData>,
}

/// What programs and people can go by.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RpcErrorData {
    /// The error's stable name.
    pub(crate) name: String,
    /// What to do.
    pub(crate) advice: String,
}

impl Frame {
    pub(crate) fn call(id: CallId, method: &str, params: Value) -> Self {
        Self { id: Some(id), ..Self::notification(method, params) }
    }

    pub(crate) fn notification(method: &str, params: Value) -> Self {
        Self { method: Some(method.to_owned()), params: Some(params), ..Self::empty() }
    }

    /// Answers a call; without a name it is one that could not be read.
    pub(crate) fn answer(id: Option<CallId>, outcome: Result<Value, Failure>) -> Self {
        match outcome {
            Ok(result) => Self { id, result: Some(result), ..Self::empty() },
            Err(failure) => Self { id: id.or(Some(CallId::Unknown)), error: Some(failure.into()), ..Self::empty() },
        }
    }

    fn empty() -> Self {
        Self { jsonrpc: JSONRPC.to_owned(), ..Self::default() }
    }

    /// Reads a line.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Failure> {
        let frame: Self = serde_json::from_slice(line).map_err(|error| bad(format!("no JSON-RPC line: {error}")))?;
        if frame.jsonrpc == JSONRPC { Ok(frame) } else { Err(bad("the line does not say \"jsonrpc\":\"2.0\"".into())) }
    }

    /// Writes it as a line that is harmless on a terminal too.
    pub(crate) fn to_line(&self) -> Result<String, Failure> {
        let mut line = crate::output::json_line(self)?;
        line.push('\n');
        Ok(line)
    }
}

impl From<Failure> for RpcError {
    fn from(failure: Failure) -> Self {
        let data = RpcErrorData { name: failure.code, advice: failure.advice };
        Self { code: failure.kind.exit_code().into(), message: failure.what, data: Some(data) }
    }
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        let kind = Kind::from_exit_code(error.code);
        let (name, advice) = error.data.map_or_else(Default::default, |data| (data.name, data.advice));
        Self::new(kind, &name, error.message, advice)
    }
}

/// What a peer has written.
#[derive(Debug)]
pub(crate) enum Read {
    Line(Vec<u8>),
    /// It was longer than any line may be, and was passed over.
    TooLong,
}

/// Reads the next line, without its end, which the last one may lack; nothing once there are no more. Empty lines are passed
/// over.
pub(crate) async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Read>> {
    let mut line = Vec::new();
    let mut is_too_long = false;
    loop {
        let piece = reader.fill_buf().await?;
        if piece.is_empty() {
            let last = if is_too_long { Read::TooLong } else { Read::Line(line) };
            return Ok(Some(last).filter(|last| !matches!(last, Read::Line(line) if line.trim_ascii().is_empty())));
        }
        let end = piece.iter().position(|&byte| byte == b'\n');
        let (kept, taken) = end.map_or((piece.len(), piece.len()), |end| (end, end + 1));
        is_too_long |= line.len() + kept > MAX_LINE_BYTES;
        if is_too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(&piece[..kept]);
        }
        reader.consume(taken);
        match (end, is_too_long) {
            (Some(_), true) => return Ok(Some(Read::TooLong)),
            (Some(_), false) if !line.trim_ascii().is_empty() => return Ok(Some(Read::Line(line))),
            (Some(_), false) => line.clear(),
            (None, _) => {}
        }
    }
}

/// The notification that ends a call before its answer.
pub(crate) const CANCEL: &str = "cancel";

/// Takes the call that a line is: its name, unless nobody waits for an answer, its method, and its parameters.
pub(crate) fn call_in(read: Read) -> Result<(Option<CallId>, String, Option<Value>), Failure> {
    let line = match read {
        Read::TooLong => return Err(too_long()),
        Read::Line(line) => line,
    };
    let Frame { id, method, params, .. } = Frame::parse(&line)?;
    match method {
        Some(method) => Ok((id, method, params)),
        None => Err(bad("the line names no method".to_owned())),
    }
}

/// Returns which call is to be ended.
pub(crate) fn cancelled(params: Option<Value>) -> Option<CallId> {
    serde_json::from_value(params?.get("call")?.clone()).ok()
}

pub(crate) fn was_cancelled() -> Failure {
    Failure::new(Kind::Other, "Cancelled", "the call was cancelled", "make it again if need be")
}

pub(crate) fn too_many_calls() -> Failure {
    let what = "a call of this name is under way, or too many are";
    Failure::new(Kind::Usage, "TooManyCalls", what, "wait for an answer")
}

fn bad(what: String) -> Failure {
    Failure::new(Kind::Usage, "BadLine", what, "write one JSON-RPC 2.0 object a line, as docs/API.md says")
}

/// Says that a line was too long.
fn too_long() -> Failure {
    let what = format!("a line may have {MAX_LINE_BYTES} bytes");
    Failure::new(Kind::Usage, "TooLarge", what, "send less at a time; what is long goes as a file")
}

/// Writes a line at once.
pub(crate) async fn write_line(writer: &mut (impl AsyncWrite + Unpin), line: &str) -> io::Result<()> {
    writer.write_all(line.as_bytes()).await?;
    writer.flush().await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    async fn lines(mut input: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut lines = Vec::new();
        while let Some(read) = read_line(&mut input).await.unwrap() {
            lines.push(match read {
                Read::Line(line) => Some(line),
                Read::TooLong => None,
            });
        }
        lines
    }

    #[tokio::test]
    async fn lines_end_and_too_long_ones_cost_nothing_but_themselves() {
        let last: [&[u8]; 3] = [b"a", b"b\r", b"last"];
        assert_eq!(lines(b"a\n\n  \r\nb\r\nlast").await, last.map(|line| Some(line.to_vec())));
        let longest = vec![b'x'; MAX_LINE_BYTES];
        let input = [&longest[..], b"x\nnext\n", &longest, b"\n"].concat();
        assert_eq!(lines(&input).await, [None, Some(b"next".to_vec()), Some(longest)]);
        assert_eq!(lines(&[&input[..MAX_LINE_BYTES], b"xx"].concat()).await, [None]);
    }

    #[test]
    fn what_is_no_frame_is_refused_by_name() {
        for line in
            [&b"{}"[..], b"[]", b"\xff", b"{\"jsonrpc\":\"1.0\"}", b"{\"jsonrpc\":\"2.0\",\"id\":{}}", b"nonsense"]
        {
            assert_eq!(Frame::parse(line).unwrap_err().code, "BadLine", "{line:?}");
        }
        let frame = Frame::parse(br#"{"jsonrpc":"2.0","id":"a","method":"whoami"}"#).unwrap();
        assert_eq!((frame.id, frame.method.as_deref()), (Some(CallId::Text("a".into())), Some("whoami")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_call_or_refused_by_name(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Err(failure) = call_in(Read::Line(bytes)) {
                prop_assert_eq!(failure.code, "BadLine");
            }
        }

        #[test]
        fn any_parameters_are_taken_or_refused_by_name(
            method in proptest::sample::select(crate::api::METHODS),
            member in "(to|text|who|with|path|call|message|[a-z]{1,4})",
            text in ".{0,20}",
            number in any::<i64>(),
        ) {
            for params in [json!({ &member: text }), json!({ &member: number }), json!([text]), json!(number), json!({})] {
                if let Err(failure) = crate::api::Request::parse(method, Some(params)) {
                    prop_assert_eq!(failure.code, "BadParams");
                }
            }
        }
    }

    #[test]
    fn a_failure_survives_the_way() {
        let failure = Failure::new(Kind::Peer, "NotAContact", "bob is no contact", "add them");
        let line = Frame::answer(Some(CallId::Number(3)), Err(failure)).to_line().unwrap();
        assert_eq!(
            line,
            "{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":5,\"message\":\"bob is no contact\",\
             \"data\":{\"name\":\"NotAContact\",\"advice\":\"add them\"}}}\n"
        );
        let unread = Frame::answer(None, Err(bad("no JSON".to_owned()))).to_line().unwrap();
        assert!(unread.starts_with("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":2,"), "{unread}");
        let back = Failure::from(Frame::parse(line.trim().as_bytes()).unwrap().error.unwrap());
        assert_eq!((back.kind, back.code.as_str(), back.advice.as_str()), (Kind::Peer, "NotAContact", "add them"));
    }
}
