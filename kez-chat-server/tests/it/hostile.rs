//! What a hostile peer sends is refused, and harms nobody, on either listener.

use kez_testbed::Testbed;
use kez_testbed::hostile::{Outcome, Target, attack};

use crate::support::Person;

#[tokio::test]
async fn hostile_input_is_refused_and_others_are_served() {
    let testbed = Testbed::start().await.unwrap();
    Person::registered(&testbed, "alice").await;
    let server = testbed.chat_server().unwrap();
    let public = Target {
        address: server.local_addr(),
        read: "/v1/u/alice".into(),
        status: 200,
        write: "/v1/register".into(),
        media_type: "application/json",
    };
    let internal = Target {
        address: server.internal_addr().unwrap(),
        // Its only route takes no GET.
        read: "/internal/nats/auth".into(),
        status: 405,
        write: "/internal/nats/auth".into(),
        media_type: "application/jwt",
    };
    for target in [public, internal] {
        let Outcome { inputs, faults } = attack(&target).await;
        assert!(faults.is_empty(), "of {inputs} inputs to {}:\n{}", target.read, faults.join("\n"));
    }
    testbed.shutdown().await.unwrap();
}
