//! Programs of others: what they say is awaited, and returned when they fail.

use kez_testbed::guard::Guarded;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Reads what a program says until `find` finds something in a line of it.
pub(crate) async fn hear<T>(
    said: impl AsyncRead + Send + Unpin + 'static,
    find: impl Fn(&str) -> Option<T>,
) -> Result<T, String> {
    let (mut lines, mut all) = (BufReader::new(said), Vec::new());
    let mut begun = 0;
    loop {
        let read = lines.read_until(b'\n', &mut all).await.unwrap();
        if read == 0 {
            return Err(format!("it ended: {}", last_line(&all)));
        }
        if let Some(found) = find(String::from_utf8_lossy(&all[begun..]).trim()) {
            // Whoever writes to a pipe that nobody reads comes to stand still.
            tokio::spawn(async move { tokio::io::copy(&mut lines, &mut tokio::io::sink()).await });
            return Ok(found);
        }
        begun = all.len();
    }
}

/// Waits for a program, whose outputs are piped, to end well.
pub(crate) async fn end_well(program: Guarded) -> Result<(), String> {
    let output = program.output().await.unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, last_line(&[output.stdout, output.stderr].concat())))
}

fn last_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    said.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it says nothing").to_owned()
}
