//! People whom the registry marks: blocked, or gone for good.

use async_nats::ConnectErrorKind;
use kez_service::rusqlite::Connection;
use kez_testbed::Testbed;
use reqwest::StatusCode;

use crate::support::{Person, code_of, get, register, try_login};

#[tokio::test]
async fn blocked_and_retired_keys_stay_out() {
    let testbed = Testbed::start().await.unwrap();
    let (out, left) = (Person::registered(&testbed, "out").await, Person::registered(&testbed, "left").await);
    out.connect(&testbed).await;
    left.connect(&testbed).await;
    let registry = Connection::open(testbed.folder().join("registry.db")).unwrap();
    for (column, name) in [("blocked_at_ms", "out"), ("retired_at_ms", "left")] {
        let sql = format!("UPDATE handles SET {column} = 1 WHERE handle = ?1");
        assert_eq!(registry.execute(&sql, [format!("{name}@{}", testbed.domain())]).unwrap(), 1);
    }

    for person in [&out, &left] {
        let (who, domain) = (Person { key: person.key.clone(), primary: person.primary }, testbed.domain().clone());
        let error = try_login(&testbed, move |nonce| who.login(&domain, &nonce)).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation, "{error}");
    }
    assert_eq!(get(&testbed, "/v1/u/out").await.status(), StatusCode::OK);
    for path in ["/v1/u/left".to_owned(), format!("/v1/p/{}", left.primary)] {
        let response = get(&testbed, &path).await;
        assert_eq!(response.status(), StatusCode::GONE, "{path}");
        assert_eq!(code_of(response).await, "Retired", "{path}");
    }
    let home = testbed.domain();
    let again = register(&testbed, &left.registration(home, "left")).await;
    assert_eq!(again.status(), StatusCode::GONE);
    let by_another = register(&testbed, &Person::new().registration(home, "left")).await;
    assert_eq!(code_of(by_another).await, "HandleTaken");
    testbed.shutdown().await.unwrap();
}
