//! What the broker's operator can see, who reads the whole inbox stream.

use futures::StreamExt;
use kez_testbed::Testbed;

use crate::{
    operator::operator,
    people::{next, online, text_of, two_friends},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_sees_neither_content_nor_sender() {
    let testbed = Testbed::start().await.unwrap();
    let ((_alice, a), (_bob, b)) = two_friends(&testbed).await;
    online(&b).await;
    let operator = operator(&testbed).await;
    let mut frames = operator.subscribe("kez.>").await.unwrap();
    operator.flush().await.unwrap();

    a.conversation(b.primary()).send_text("the quick brown fox").await.unwrap();
    assert_eq!(text_of(&next(&b).await), "the quick brown fox");
    let to_bob = format!("kez.inbox.{}", b.primary().to_hex());
    let frame = loop {
        let frame = frames.next().await.unwrap();
        if frame.subject.starts_with(&to_bob) {
            break frame;
        }
    };
    let seen = format!("{} {:?}", frame.subject, frame.headers).into_bytes();
    let seen = [seen, frame.payload.to_vec()].concat();
    let contains = |needle: &[u8]| seen.windows(needle.len()).any(|window| window == needle);
    assert!(contains(b.primary().to_hex().as_bytes()), "the recipient is on the subject");
    for secret in [
        b"quick brown".as_slice(),
        a.primary().as_bytes(),
        a.primary().to_hex().as_bytes(),
        a.primary().to_nkey().as_bytes(),
        b"alice",
    ] {
        assert!(!contains(secret), "{secret:02x?}");
    }
    testbed.shutdown().await.unwrap();
}
