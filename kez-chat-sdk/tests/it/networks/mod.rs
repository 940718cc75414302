//! Files between two devices, each in a network of its own, on networks as people have them.
//!
//! A test's own namespace is the open network: home, broker, sigchain server and relay are there, by TLS on port 443, and
//! nothing else carries what the devices send. How a file went is read from the counters of its packet filter.

mod device;
mod site;
mod world;

use self::{
    site::Router::{Firewall, Nat, SymmetricNat},
    world::World,
};
use crate::files::content;

const LEN: usize = 8 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn two_who_reach_nothing_but_the_relay_use_it() {
    let world = World::enter("networks::two_who_reach_nothing_but_the_relay_use_it", &[], &[]).await;
    let Some(mut world) = world else { return };
    world.shut_direct_way();
    fetched_through_the_relay(&mut world).await;
    assert!(world.carried().refused > 0, "they did try");
    world.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_behind_nat_find_each_other_by_the_relay_and_leave_it() {
    let name = "networks::two_behind_nat_find_each_other_by_the_relay_and_leave_it";
    let Some(mut world) = World::enter(name, &[Nat], &[Nat]).await else { return };
    moved_to_direct(&mut world).await;
    world.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_behind_two_nats_each_find_each_other_by_the_relay_and_leave_it() {
    let name = "networks::two_behind_two_nats_each_find_each_other_by_the_relay_and_leave_it";
    let Some(mut world) = World::enter(name, &[Nat, Nat], &[Nat, Nat]).await else { return };
    moved_to_direct(&mut world).await;
    world.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_behind_symmetric_nats_stay_on_the_relay() {
    let name = "networks::two_behind_symmetric_nats_stay_on_the_relay";
    let Some(mut world) = World::enter(name, &[SymmetricNat], &[SymmetricNat]).await else { return };
    fetched_through_the_relay(&mut world).await;
    world.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_to_port_443_is_enough() {
    let Some(mut world) = World::enter("networks::tcp_to_port_443_is_enough", &[Firewall], &[Firewall]).await else {
        return;
    };
    fetched_through_the_relay(&mut world).await;
    assert_eq!(world.carried().direct, 0);
    world.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_is_direct_does_not_need_the_relay_any_more() {
    let name = "networks::a_transfer_that_is_direct_does_not_need_the_relay_any_more";
    let Some(mut world) = World::enter(name, &[Nat], &[Nat]).await else { return };
    let shared = directly_under_way(&mut world).await;
    world.stop_relay().await;
    let (_, fetched) = world.bob.end_of_fetch().await;
    assert!(fetched.unwrap() == shared);
    world.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_loses_its_direct_way_goes_on_through_the_relay() {
    let name = "networks::a_transfer_that_loses_its_direct_way_goes_on_through_the_relay";
    let Some(mut world) = World::enter(name, &[Nat], &[Nat]).await else { return };
    let shared = directly_under_way(&mut world).await;
    world.shut_direct_way();
    let (_, fetched) = world.bob.end_of_fetch().await;
    assert!(fetched.unwrap() == shared);
    assert!(world.carried().relayed > LEN as u64 / 2, "{:?}", world.carried());
    world.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_whose_relay_goes_down_goes_on_where_it_was_when_one_is_there_again() {
    let name = "networks::a_transfer_whose_relay_goes_down_goes_on_where_it_was_when_one_is_there_again";
    let Some(mut world) = World::enter(name, &[], &[]).await else { return };
    world.shut_direct_way();
    world.alices.slow_down();
    let shared = content(LEN);
    world.alice.share("film.bin", &shared).await;
    world.bob.begin_to_fetch().await;
    let half = LEN as u64 / 2;
    world.bob.until(|progress| progress.done_bytes >= half).await;
    world.stop_relay().await;
    let (_, broken) = world.bob.end_of_fetch().await;
    assert_eq!(broken.unwrap_err(), "Waiting");

    world.start_relay().await;
    let before = world.carried();
    let fetched = loop {
        // It takes Alice's device some time to look for the relay again.
        world.bob.begin_to_fetch().await;
        match world.bob.end_of_fetch().await.1 {
            Ok(fetched) => break fetched,
            Err(code) => assert_eq!(code, "Waiting"),
        }
    };
    assert!(fetched == shared);
    let rest = world.carried().relayed - before.relayed;
    assert!(rest < LEN as u64 * 3 / 4, "only what was missing: {rest}");
    world.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fetches_may_change_their_address_meanwhile() {
    let name = "networks::who_fetches_may_change_their_address_meanwhile";
    let Some(mut world) = World::enter(name, &[], &[]).await else { return };
    address_changes(&mut world, |world| world.bobs.change_address()).await;
    world.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shares_may_change_their_address_meanwhile() {
    let name = "networks::who_shares_may_change_their_address_meanwhile";
    let Some(mut world) = World::enter(name, &[], &[]).await else { return };
    address_changes(&mut world, |world| world.alices.change_address()).await;
    world.shutdown().await;
}

/// Shares and fetches a file, and checks that all of it went through the relay.
async fn fetched_through_the_relay(world: &mut World) {
    let shared = content(LEN);
    world.alice.share("film.bin", &shared).await;
    let before = world.carried();
    world.bob.begin_to_fetch().await;
    let (last, fetched) = world.bob.end_of_fetch().await;
    assert!(fetched.unwrap() == shared);
    let carried = world.carried();
    assert!(carried.relayed - before.relayed > LEN as u64, "{before:?}, {carried:?}");
    assert!(carried.direct < LEN as u64 / 100, "{carried:?}");
    assert_eq!(last.unwrap().is_relayed, Some(true));
}

/// Begins a slow transfer, waits until it goes the direct way, and returns what is shared.
async fn directly_under_way(world: &mut World) -> Vec<u8> {
    world.alices.slow_down();
    let shared = content(LEN);
    world.alice.share("film.bin", &shared).await;
    world.bob.begin_to_fetch().await;
    while world.carried().direct < LEN as u64 / 8 {
        world.bob.until(|_| true).await;
    }
    shared
}

/// Shares and fetches a file, and checks that they met at the relay and left it.
async fn moved_to_direct(world: &mut World) {
    world.alices.slow_down();
    let shared = content(LEN);
    world.alice.share("film.bin", &shared).await;
    let before = world.carried();
    world.bob.begin_to_fetch().await;
    let (last, fetched) = world.bob.end_of_fetch().await;
    assert!(fetched.unwrap() == shared);
    let carried = world.carried();
    let (relayed, direct) = (carried.relayed - before.relayed, carried.direct - before.direct);
    assert!(relayed > 2_000, "they met there: {before:?}, {carried:?}");
    assert!(direct > 4 * relayed, "{before:?}, {carried:?}");
    assert_eq!(last.unwrap().is_relayed, Some(false));
}

/// Shares and fetches a file, has something changed meanwhile, and checks that it came all the same.
async fn address_changes(world: &mut World, change: impl Fn(&World)) {
    world.alices.slow_down();
    let shared = content(LEN);
    world.alice.share("film.bin", &shared).await;
    world.bob.begin_to_fetch().await;
    world.bob.until(|progress| progress.done_bytes >= LEN as u64 / 4).await;
    change(world);
    let (_, fetched) = world.bob.end_of_fetch().await;
    assert!(fetched.unwrap() == shared);
}
