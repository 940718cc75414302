//! The inputs. A character stands for the byte of its number, so that a row can hold any byte and be read.

use super::{Expect, Input, Target};
use Expect::{Refused, Taken};

/// A TLS 1.2 record with the beginning of a `ClientHello`.
const CLIENT_HELLO: &str = "\u{16}\u{3}\u{1}\0\u{c8}\u{1}\0\0\u{c4}\u{3}\u{3}\u{5a}\u{a5}\u{ff}\0\0\0\0\0";

/// Version 2 of the PROXY protocol, with a `LOCAL` command.
const PROXY_V2: &str = "\r\n\r\n\0\r\nQUIT\n\u{20}\0\0\0";

pub(super) fn inputs(target: &Target) -> Vec<Input> {
    let mut inputs = Vec::new();
    inputs.extend(paths(&target.read).into_iter().map(|(path, expect)| {
        let text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        input("path", &path, &text, expect)
    }));
    inputs.extend(lines(&target.read).into_iter().map(|(line, expect)| {
        let text = format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        input("line", &line, &text, expect)
    }));
    inputs.extend(headers().into_iter().map(|(headers, expect)| {
        let text = format!("GET {} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n\r\n", target.read);
        input("headers", &headers, &text, expect)
    }));
    inputs.extend(bodies().into_iter().map(|body| {
        let (length, media_type) = (body.chars().count(), target.media_type);
        let headers = format!("Content-Type: {media_type}\r\nContent-Length: {length}\r\nConnection: close");
        let text = format!("POST {} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n{body}", target.write);
        input("body", &body, &text, Refused)
    }));
    // What is smuggled is an ordinary request, whose answer would show.
    let smuggled = format!("GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", target.read);
    inputs.extend(framings(&smuggled).into_iter().map(|(framing, breaks_off)| {
        let media_type = target.media_type;
        let text =
            format!("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\n{framing}", target.write);
        Input { breaks_off, ..input("framing", &framing, &text, Refused) }
    }));
    inputs.extend(other_protocols(&smuggled).into_iter().map(|text| {
        let breaks_off = true;
        Input { breaks_off, ..input("protocol", &text, &text, Refused) }
    }));
    inputs
}

fn input(kind: &str, name: &str, text: &str, expect: Expect) -> Input {
    let name: String = name.escape_debug().take(100).collect();
    let bytes = text.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?')).collect();
    Input { name: format!("{kind} {name}"), bytes, breaks_off: false, expect }
}

fn paths(read: &str) -> Vec<(String, Expect)> {
    vec![
        // To somewhere else, or to the same by another name.
        (format!("/..{read}"), Refused),
        (format!("/.{read}"), Refused),
        (format!("/{read}"), Refused),
        (format!("{read}/"), Refused),
        (format!("{read}/../..{read}"), Refused),
        (format!("{read}/..;{read}"), Refused),
        (format!("{read}%2f..%2f..{read}"), Refused),
        (format!("{read}\\..\\..{read}"), Refused),
        ("/%2e%2e/%2e%2e/%2e%2e/etc/passwd".into(), Refused),
        ("/%252e%252e/etc/passwd".into(), Refused),
        ("/..%c0%af..%c0%afetc/passwd".into(), Refused),
        ("/internal/../internal/nats/auth".into(), Refused),
        (format!("/{}", "../".repeat(1000)), Refused),
        (format!("/{}", "a/".repeat(4000)), Refused),
        (format!("{read}{}", "%41".repeat(3000)), Refused),
        // Bytes that do not belong there.
        (format!("{read}%00"), Refused),
        (format!("{read}%00.json"), Refused),
        (format!("{read}%0d%0aX-Header:%20a"), Refused),
        (format!("{read}%ff%fe"), Refused),
        (format!("{read}%"), Refused),
        (format!("{read}%zz"), Refused),
        (format!("{read}\0"), Refused),
        (format!("{read}\u{1}"), Refused),
        (format!("{read}\t"), Refused),
        (format!("{read}\u{7f}"), Refused),
        (format!("{read}\u{ff}"), Refused),
        (format!("{read}\u{c3}\u{28}"), Refused),
        (format!("{read} a"), Refused),
        (format!("{read}<script>"), Refused),
        (format!("{read}{{handle}}"), Refused),
        (format!("{read}'%20OR%201=1--"), Refused),
        // Queries.
        (format!("{read}?%ff%00"), Taken),
        (format!("{read}?\u{ff}"), Taken),
        (format!("{read}?{}", "a=b&".repeat(3000)), Taken),
        (format!("{read}?{}", "a[]".repeat(3000)), Taken),
        (format!("{read}#fragment"), Taken),
    ]
}

fn lines(read: &str) -> Vec<(String, Expect)> {
    vec![
        // Forms of a target (RFC 9112 §3.2).
        (format!("GET http://a{read} HTTP/1.1"), Taken),
        (format!("GET https://user:password@elsewhere:1{read} HTTP/1.1"), Taken),
        (format!("GET http://a:99999{read} HTTP/1.1"), Taken),
        (format!("GET http://[{read} HTTP/1.1"), Refused),
        (format!("GET file://{read} HTTP/1.1"), Refused),
        ("OPTIONS * HTTP/1.1".into(), Taken),
        ("GET * HTTP/1.1".into(), Refused),
        ("CONNECT a:443 HTTP/1.1".into(), Refused),
        (format!("CONNECT {read} HTTP/1.1"), Refused),
        ("GET a HTTP/1.1".into(), Refused),
        ("GET  HTTP/1.1".into(), Refused),
        // Methods.
        (format!("get {read} HTTP/1.1"), Refused),
        (format!("TRACE {read} HTTP/1.1"), Refused),
        (format!("DELETE {read} HTTP/1.1"), Refused),
        (format!("PRI {read} HTTP/1.1"), Refused),
        (format!("G\0T {read} HTTP/1.1"), Refused),
        (format!("G\u{ff}T {read} HTTP/1.1"), Refused),
        (format!("{} {read} HTTP/1.1", "A".repeat(5000)), Refused),
        (format!(" GET {read} HTTP/1.1"), Refused),
        (format!("GET\t{read}\tHTTP/1.1"), Refused),
        (format!("GET  {read} HTTP/1.1"), Refused),
        // Versions.
        (format!("GET {read} HTTP/1.0"), Taken),
        (format!("GET {read}"), Refused),
        (format!("GET {read} HTTP/0.9"), Refused),
        (format!("GET {read} HTTP/1.2"), Refused),
        (format!("GET {read} HTTP/2.0"), Refused),
        (format!("GET {read} http/1.1"), Refused),
        (format!("GET {read} HTTP/1.1 HTTP/1.1"), Refused),
        (format!("GET /{} HTTP/1.1", "a".repeat(20_000)), Refused),
    ]
}

fn headers() -> Vec<(String, Expect)> {
    vec![
        // Names.
        ("A b: c".into(), Refused),
        ("A : b".into(), Refused),
        (": a".into(), Refused),
        ("A".into(), Refused),
        ("A\0: b".into(), Refused),
        ("A\u{ff}: b".into(), Refused),
        ("A\u{b}: b".into(), Refused),
        (format!("{}: a", "A".repeat(20_000)), Refused),
        // Values.
        ("A: \0".into(), Refused),
        ("A: \u{1}".into(), Refused),
        ("A: \u{7f}".into(), Refused),
        ("A: b\rC: d".into(), Refused),
        ("A: b\r\n c".into(), Refused),
        ("A: \u{ff}".into(), Taken),
        ("A: b\nC: d".into(), Taken),
        (format!("A: {}", "a".repeat(20_000)), Refused),
        // Floods.
        (["A: a"; 101].join("\r\n"), Refused),
        (["A:"; 5000].join("\r\n"), Refused),
        // Headers that mean something to somebody.
        ("Host: localhost\r\nHost: b".into(), Taken),
        ("Host: \u{ff}".into(), Taken),
        ("X-Request-Id: \u{ff}\r\nX-Request-Id: b".into(), Taken),
        (format!("X-Request-Id: {}", "a".repeat(5000)), Taken),
        ("X-Forwarded-For: \u{ff}, 1.2.3.4.5, ::1%, [".into(), Taken),
        (format!("X-Forwarded-For: {}1", "1.2.3.4, ".repeat(1500)), Taken),
        ("Forwarded: for=\"[::1\";for=".into(), Taken),
        ("If-None-Match: \u{ff}".into(), Taken),
        ("If-None-Match: \"".into(), Taken),
        ("If-Modified-Since: never".into(), Taken),
        ("Range: bytes=9-1,18446744073709551616-".into(), Taken),
        ("Accept: \u{ff};q=9".into(), Taken),
        ("Accept-Encoding: gzip;q=, \u{ff}".into(), Taken),
        ("Origin: \u{ff}".into(), Taken),
        ("Origin: null\r\nAccess-Control-Request-Method: \u{ff}".into(), Taken),
        ("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAA".into(), Taken),
        ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: a".into(), Taken),
        // A whole request as a body that nobody reads.
        ("Content-Length: 18\r\n\r\nGET / HTTP/1.1".into(), Taken),
    ]
}

fn bodies() -> Vec<String> {
    vec![
        "".into(),
        "\0".into(),
        "\u{ff}\u{fe}\u{c3}\u{28}".into(),
        "\u{ef}\u{bb}\u{bf}{}".into(),
        "{\"handle\":\"\u{ff}\"}".into(),
        "{\"handle\":\"\\ud800\"}".into(),
        "{\"handle\":1e999999}".into(),
        format!("{{\"handle\":{}}}", "9".repeat(3000)),
        "[".repeat(4000),
        "{\"a\":".repeat(600),
        format!("{{{}}}", "\"handle\":\"a\",".repeat(200)),
        "a.b.c".into(),
        ".".repeat(1000),
        format!("{}.{}.{}", "e".repeat(1000), "30".repeat(1000), "A".repeat(86)),
        "a".repeat(70_000),
        "\0".repeat(1_000_000),
    ]
}

/// From the framing's headers on, and whether the server then waits for more.
fn framings(smuggled: &str) -> Vec<(String, bool)> {
    let chunked = "Transfer-Encoding: chunked";
    let too_much = format!("1000\r\n{}\r\n", "a".repeat(4096)).repeat(20);
    vec![
        // Two readers, two ends (RFC 9112 §6.1 to §6.3).
        (format!("Content-Length: 5\r\n{chunked}\r\n\r\n0\r\n\r\n{smuggled}"), false),
        (format!("{chunked}\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}"), false),
        (format!("{chunked}\r\nContent-Length: {}\r\n\r\n0\r\n\r\n{smuggled}", smuggled.len() + 5), false),
        (format!("Content-Length: 0\r\nContent-Length: 5\r\n\r\n{smuggled}"), false),
        (format!("Content-Length: 5\r\nContent-Length: 0\r\n\r\n{smuggled}"), false),
        (format!("Content-Length: 0, 5\r\n\r\n{smuggled}"), false),
        (format!("Transfer-Encoding: identity\r\n\r\n{smuggled}"), false),
        (format!("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"), false),
        (format!("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"), false),
        (format!("{chunked}\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{smuggled}"), false),
        (format!("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{smuggled}"), false),
        (format!("Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{smuggled}"), false),
        (format!("Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n{smuggled}"), false),
        (format!("A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"), false),
        (format!("A: b\r\n\rContent-Length: 5\r\n\r\n{smuggled}"), false),
        // Lengths.
        (format!("Content-Length: -1\r\n\r\n{smuggled}"), false),
        (format!("Content-Length: +5\r\n\r\n{smuggled}"), false),
        (format!("Content-Length: 0x5\r\n\r\n{smuggled}"), false),
        (format!("Content-Length: 5 5\r\n\r\n{smuggled}"), false),
        (format!("Content-Length:\r\n\r\n{smuggled}"), false),
        ("Content-Length: 18446744073709551615\r\n\r\n".into(), false),
        ("Content-Length: 18446744073709551616\r\n\r\n".into(), false),
        ("Content-Length: 1000000000000\r\n\r\na".into(), true),
        ("Content-Length: 5\r\n\r\nabc".into(), true),
        ("Content-Length: 5\r\nExpect: 100-continue\r\n\r\n".into(), true),
        // Chunks.
        (format!("{chunked}\r\n\r\n{too_much}"), false),
        (format!("{chunked}\r\n\r\nzz\r\n"), false),
        (format!("{chunked}\r\n\r\n-1\r\n"), false),
        (format!("{chunked}\r\n\r\nfffffffffffffffff\r\n"), false),
        (format!("{chunked}\r\n\r\n5\r\nabcdeX{smuggled}"), false),
        (format!("{chunked}\r\n\r\n5;{}\r\n", "a".repeat(20_000)), false),
        (format!("{chunked}\r\n\r\n0\r\nA\0: b\r\n\r\n"), false),
        (format!("{chunked}\r\n\r\n5\r\nabc"), true),
        (format!("{chunked}\r\n\r\n"), true),
    ]
}

fn other_protocols(smuggled: &str) -> Vec<String> {
    vec![
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0".into(),
        CLIENT_HELLO.into(),
        format!("{PROXY_V2}{smuggled}"),
        format!("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n{smuggled}"),
        "SSH-2.0-OpenSSH_9.9\r\n".into(),
        "EHLO a\r\nMAIL FROM:<a@b>\r\n".into(),
        "*1\r\n$4\r\nPING\r\n".into(),
        "CONNECT {\"verbose\":false}\r\nPING\r\n".into(),
        "".into(),
        "G".into(),
        "GET / HTTP/1.1\r\nHost: localhost\r\n".into(),
        "GET / HTTP/1.1\rHost: a\r\r".into(),
        "\r\n".repeat(5000),
        "\0".repeat(20_000),
        "\u{ff}".repeat(20_000),
        "A: b\r\n".repeat(5000),
    ]
}
