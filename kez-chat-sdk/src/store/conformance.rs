//! What every store keeps to, whatever its file has been through: a new one, one that is closed and opened again between
//! any two calls, one that an earlier version wrote.

mod behaviours;
mod site;

use super::schema;
use behaviours::ALL;
use site::{Origin, Site};

async fn conforms(origin: Origin, is_reopened: bool) {
    for (name, behaviour) in ALL {
        eprintln!("{origin:?}, reopened: {is_reopened}: {name}");
        behaviour(&mut Site::new(origin, is_reopened).await).await;
    }
}

#[tokio::test]
async fn a_new_file_conforms() {
    conforms(Origin::New, false).await;
}

#[tokio::test]
async fn a_file_that_is_opened_again_between_any_two_calls_conforms() {
    conforms(Origin::New, true).await;
}

#[tokio::test]
async fn files_of_every_earlier_version_conform() {
    for version in 1..schema::KNOWN {
        for is_reopened in [false, true] {
            conforms(Origin::Version(version), is_reopened).await;
        }
    }
}

#[tokio::test]
async fn what_an_earlier_version_kept_is_still_there() {
    for version in 1..schema::KNOWN {
        site::inheritance_is_whole(&mut Site::new(Origin::Version(version), true).await).await;
    }
}
