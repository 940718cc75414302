//! What a diagnosis sees of endpoints: whether ours is at its relay, and whether a contact's answers.

use std::{sync::Arc, time::Duration};

use futures::future::OptionFuture;
use kez_core::{
    identity::PrimaryKey,
    payload::{Address, Addresses},
};
use tokio::time::timeout;

use super::{Relays, browse::reach, node::Caller, slot};
use crate::{
    contacts::relays_of,
    diagnosis::{Fault, Finding, Part, Seen, look},
    shared::Shared,
};

/// How long an endpoint may take to be there, and to end.
const START: Duration = Duration::from_secs(2);
const END: Duration = Duration::from_secs(1);
/// How long a relay may take. Of several, it is measured first which is the nearest.
const RELAY: Duration = Duration::from_secs(6);
/// How long a contact's endpoint may take to answer; and with all that is asked before and after.
const ANSWER: Duration = Duration::from_secs(5);
const PATH: Duration = Duration::from_secs(6);

/// Looks at the relay, if any is used, and at the way to a contact. Which relays the home names is not known while it does
/// not answer, unless files have been shared or fetched since the client was opened.
pub(crate) async fn look_at_endpoints(
    shared: &Arc<Shared>,
    home_relays: Option<Vec<String>>,
    contact: Option<PrimaryKey>,
) -> [Option<Finding>; 2] {
    let is_unknown = shared.config.relays == Relays::Home && home_relays.is_none();
    let home_relays = home_relays.unwrap_or_default();
    let fault = match timeout(START, slot::caller(shared, &home_relays)).await {
        Ok(Ok(caller)) => return look_from(shared, caller, is_unknown, contact).await,
        Ok(Err(error)) => error.into(),
        Err(_) => Fault::NoAnswer { within: START },
    };
    [Some(Finding { part: Part::Relay, outcome: Err(fault) }), None]
}

async fn look_from(
    shared: &Shared,
    caller: Caller,
    is_unknown: bool,
    contact: Option<PrimaryKey>,
) -> [Option<Finding>; 2] {
    let relays = caller.relays();
    let at_relay = async {
        match relays.is_empty() {
            true if is_unknown => {
                Some(Finding { part: Part::Relay, outcome: Err(Fault::NotSeen { needs: Part::Home }) })
            }
            true => None,
            false => Some(Finding { part: Part::Relay, outcome: relay(&caller, &relays).await }),
        }
    };
    let way = contact.map(|peer| look(Part::Path, PATH, path(shared, &caller, peer)));
    let (relay, path) = tokio::join!(at_relay, OptionFuture::from(way));
    let _ = timeout(END, caller.end()).await;
    [relay, path]
}

async fn relay(caller: &Caller, relays: &[String]) -> Result<Seen, Fault> {
    let mut failure = None;
    match timeout(RELAY, caller.until_at_relay(&mut failure)).await {
        Ok(url) => Ok(Seen::Relay { url }),
        Err(_) => {
            let detail = failure.unwrap_or_else(|| format!("none of {} answers", relays.join(", ")));
            Err(Fault::NoRelay { detail })
        }
    }
}

/// Calls a contact's endpoint, and hangs up.
async fn path(shared: &Shared, caller: &Caller, peer: PrimaryKey) -> Result<Seen, Fault> {
    let Some(contact) = shared.store.contact(peer).await?.filter(|contact| !contact.blocked) else {
        return Err(Fault::NotSeen { needs: Part::Contact });
    };
    let sight = shared.presences.sight(&peer);
    if sight.is_there && sight.addresses.iter().next().is_none() {
        return Ok(Seen::NoEndpoint);
    }
    let mut addresses = reach(shared, peer, &Addresses::default()).await?;
    if addresses.iter().next().is_none()
        && let Some(handle) = &contact.handle
    {
        addresses = Addresses::new(relays_of(shared, handle).await.into_iter().map(Address::Relay));
    }
    match caller.look_at(peer, &addresses, ANSWER).await {
        Ok(over) => Ok(Seen::Reached { over }),
        Err(error) if sight.is_there => Err(Fault::NoWay { error: error.into() }),
        Err(error) => Err(Fault::Away { error: error.into() }),
    }
}
