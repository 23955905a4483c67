//! What networks do to frames: nothing of it reaches the streams.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::relay::{Faults, Relay};
use crate::service::{Service, TODAY, echo};
use crate::streams::{content, echoed};

/// Sends this much there and back through a relay with faults; answers how often the session was resumed.
async fn survives(agent: &str, faults: Faults, length: usize) -> usize {
    let mut tasks = JoinSet::new();
    let service = Service::start(agent, echo(&mut tasks).await).await;
    let relay = Relay::start(service.address, faults).await;
    let session = service.session(relay.address).await.unwrap();
    let content = content(length);
    let back = echoed(&session, &content).await;
    assert!(back == content, "the content has changed");
    assert_eq!(relay.cut.load(Ordering::Relaxed), faults.cuts);
    service.control.resumed.load(Ordering::Relaxed)
}

#[tokio::test]
async fn dropped_frames_come_again() {
    let faults = Faults {
        drop: 50,
        ..Faults::default()
    };
    survives(TODAY, faults, 1_000_000).await;
}

#[tokio::test]
async fn duplicated_and_swapped_frames_do_not_matter() {
    let faults = Faults {
        duplicate: 10,
        reorder: 10,
        ..Faults::default()
    };
    survives(TODAY, faults, 1_000_000).await;
}

#[tokio::test]
async fn delayed_frames_are_put_in_their_place() {
    let faults = Faults {
        delay: Duration::from_millis(20),
        ..Faults::default()
    };
    survives(TODAY, faults, 1_000_000).await;
}

#[tokio::test]
async fn garbled_frames_come_again() {
    let faults = Faults {
        garble: 100,
        ..Faults::default()
    };
    survives(TODAY, faults, 1_000_000).await;
}

#[tokio::test]
async fn ten_cut_websockets_are_only_pauses() {
    let faults = Faults {
        cut_after: 250,
        cuts: 10,
        ..Faults::default()
    };
    assert_eq!(survives(TODAY, faults, 4_000_000).await, 10);
}

#[tokio::test]
async fn pauses_and_starts_of_the_service_are_obeyed() {
    let faults = Faults {
        pause_after: 100,
        ..Faults::default()
    };
    survives(TODAY, faults, 1_000_000).await;
}

#[tokio::test]
async fn everything_at_once() {
    let faults = Faults {
        drop: 100,
        duplicate: 50,
        reorder: 50,
        delay: Duration::from_millis(5),
        garble: 500,
        pause_after: 333,
        cut_after: 200,
        cuts: 10,
    };
    assert_eq!(survives(TODAY, faults, 1_500_000).await, 10);
    assert_eq!(survives("3.0.196.0", faults, 1_500_000).await, 10);
}
