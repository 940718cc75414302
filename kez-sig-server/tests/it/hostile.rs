//! What a hostile peer sends is refused, and harms nobody.

use kez_testbed::hostile::{Target, attack};

use crate::Running;
use crate::author::Author;

#[tokio::test]
async fn hostile_input_is_refused_and_others_are_served() {
    let server = Running::start().await;
    let chain = format!("/v1/sigchains/ed25519/{}", Author::new(1).hex());
    let outcome = attack(&Target {
        address: server.server.local_addr(),
        write: format!("{chain}/events"),
        read: chain,
        status: 200,
        media_type: "application/jose",
    })
    .await;
    assert!(outcome.faults.is_empty(), "of {} inputs:\n{}", outcome.inputs, outcome.faults.join("\n"));
    server.server.shutdown().await;
}
