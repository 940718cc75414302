//! The streams are what they have to be, whatever somebody did to them.

use kez_testbed::Testbed;
use serde_json::{Value, json};

use crate::inbox_keeping::operator;

#[tokio::test]
async fn drift_is_put_right_at_the_start() {
    let mut testbed = Testbed::start().await.unwrap();
    let operator = operator(&testbed).await;
    let config = async |stream: &str| {
        let answer = operator.request(format!("$JS.API.STREAM.INFO.{stream}"), "".into()).await.unwrap();
        let mut info: Value = serde_json::from_slice(&answer.payload).unwrap();
        info["config"].take()
    };
    let inbox = config("KEZ_INBOX").await;
    assert_eq!(inbox["retention"], "limits");
    assert_eq!(inbox["discard_new_per_subject"], true);
    assert_eq!(inbox["max_bytes"], 1_600_000_000, "80 % of the testbed's store");
    let presence = config("KEZ_PRESENCE").await;
    assert_eq!(presence["republish"]["dest"], "kez.pdeliver.{{wildcard(1)}}");

    let mut changed = presence.clone();
    changed["max_age"] = json!(3_600_000_000_000_u64);
    changed.as_object_mut().unwrap().remove("republish");
    let update = operator.request("$JS.API.STREAM.UPDATE.KEZ_PRESENCE", changed.to_string().into());
    update.await.unwrap();
    assert_ne!(config("KEZ_PRESENCE").await["republish"], presence["republish"]);

    testbed.stop_chat_server().await;
    testbed.start_chat_server().await.unwrap();
    for (stream, before) in [("KEZ_INBOX", inbox), ("KEZ_PRESENCE", presence)] {
        let mut now = config(stream).await;
        // nats-server's own notes.
        now.as_object_mut().unwrap().remove("metadata");
        let mut before = before;
        before.as_object_mut().unwrap().remove("metadata");
        assert_eq!(now, before, "{stream}");
    }
    testbed.shutdown().await.unwrap();
}
