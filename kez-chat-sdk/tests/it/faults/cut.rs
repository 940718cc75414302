//! A cable that is pulled out.

use std::time::{Duration, Instant};

use kez_chat_sdk::{ConnectionState, Event, MessageState};
use kez_testbed::Testbed;
use serde_json::json;

use crate::{
    front::Front,
    namespace::{self, FarNetwork},
    people::{PATIENCE, next, offline, online, text_of, two_friends, until},
    wire::Wire,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_network_is_noticed_and_what_was_sent_meanwhile_arrives() {
    if !namespace::enter("faults::cut::a_cut_network_is_noticed_and_what_was_sent_meanwhile_arrives").await {
        return;
    }
    let mut testbed = Testbed::start().await.unwrap();
    let ((alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&b).await;
    a.shutdown().await;
    let far = FarNetwork::connect().await;
    let wire = Wire::from(far.listen(), &testbed.nats_url());
    let urls = json!([wire.url()]);
    let front = Front::before(&mut testbed, move |_, info| info["nats"]["urls"] = urls.clone()).await;
    let a = alice.builder().keep_alive(Duration::from_secs(1)).open().await.unwrap();
    online(&a).await;

    far.pull_out();
    let begun = Instant::now();
    let id = a.conversation(b.primary()).send_text("sent into the dark").await.unwrap();
    let waiting = b.conversation(a.primary()).send_text("are you there?").await.unwrap();
    offline(&a, "ConnectionLost").await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    offline(&a, "BrokerUnreachable").await;
    assert_eq!(a.wait_until(id, MessageState::Sent, Duration::ZERO).await.unwrap(), MessageState::Queued);

    far.plug_in();
    until(&a, |state| *state == ConnectionState::Online).await;
    for (client, expected) in [(&a, "are you there?"), (&b, "sent into the dark")] {
        loop {
            if let event @ Event::Message { .. } = next(client).await {
                assert_eq!(text_of(&event), expected);
                break;
            }
        }
    }
    assert_eq!(a.wait_until(id, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    assert_eq!(b.wait_until(waiting, MessageState::Delivered, PATIENCE).await.unwrap(), MessageState::Delivered);
    front.shutdown().await;
    testbed.shutdown().await.unwrap();
}
