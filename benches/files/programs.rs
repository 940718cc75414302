//! Programs of others: what they say is awaited, and shown when they fail.

use kez_testbed::guard::Guarded;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Reads what a program says until `find` finds something in a line of it.
pub(crate) async fn hear<T>(said: impl AsyncRead + Send + Unpin + 'static, find: impl Fn(&str) -> Option<T>) -> T {
    let (mut lines, mut all) = (BufReader::new(said), Vec::new());
    let mut begun = 0;
    loop {
        let read = lines.read_until(b'\n', &mut all).await.unwrap();
        assert!(read > 0, "it ended: {}", String::from_utf8_lossy(&all));
        if let Some(found) = find(String::from_utf8_lossy(&all[begun..]).trim()) {
            // Whoever writes to a pipe that nobody reads comes to stand still.
            tokio::spawn(async move { tokio::io::copy(&mut lines, &mut tokio::io::sink()).await });
            return found;
        }
        begun = all.len();
    }
}

/// Waits for a program, whose outputs are piped, to end well.
pub(crate) async fn end_well(program: Guarded) {
    let output = program.output().await.unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&said));
}
