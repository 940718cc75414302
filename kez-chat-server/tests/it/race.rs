//! Many people who want one handle at once.

use futures::future::join_all;
use kez_testbed::Testbed;
use reqwest::StatusCode;

use crate::support::{Person, code_of, http, json_of};

const CLIENTS: usize = 64;
const ROUNDS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn of_64_who_register_one_handle_exactly_one_wins() {
    let testbed = Testbed::start().await.unwrap();
    let url = |path: &str| format!("{}{path}", testbed.home_url());
    // A connection each, opened before the race.
    let clients: Vec<_> = (0..CLIENTS).map(|_| http()).collect();
    join_all(clients.iter().map(|client| client.get(url("/v1/info")).send())).await;
    let get = async |path: &str| clients[0].get(url(path)).send().await.unwrap();
    for round in 0..ROUNDS {
        let name = format!("wanted{round}");
        let people: Vec<_> = (0..CLIENTS).map(|_| Person::new()).collect();
        let requests = clients.iter().zip(&people).map(|(client, person)| {
            client.post(url("/v1/register")).json(&person.registration(testbed.domain(), &name)).send()
        });
        let answers: Vec<_> = join_all(requests).await.into_iter().map(Result::unwrap).collect();

        let won: Vec<_> = answers.iter().map(|answer| answer.status() == StatusCode::CREATED).collect();
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        let winner = &people[won.iter().position(|won| *won).unwrap()];
        let profile = json_of(get(&format!("/v1/u/{name}")).await).await;
        assert_eq!(profile["primary"], winner.primary.to_string());
        for ((answer, won), person) in answers.into_iter().zip(won).zip(&people) {
            let by_key = get(&format!("/v1/p/{}", person.primary)).await;
            if won {
                assert_eq!(json_of(answer).await, profile);
                assert_eq!(json_of(by_key).await, profile);
            } else {
                assert_eq!(answer.status(), StatusCode::CONFLICT);
                assert_eq!(code_of(answer).await, "HandleTaken");
                assert_eq!(by_key.status(), StatusCode::NOT_FOUND);
            }
        }
    }
    testbed.shutdown().await.unwrap();
}
