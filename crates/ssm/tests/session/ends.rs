//! How sessions end, and do not begin.

use std::sync::atomic::Ordering;

use bakelite_ssm::session::SessionError;
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;

use crate::relay::{Faults, Relay};
use crate::service::{Service, TODAY, echo, nobody};
use crate::streams::{content, echoed};

#[tokio::test]
async fn closing_tells_the_agent() {
    let mut tasks = JoinSet::new();
    let service = Service::start(TODAY, echo(&mut tasks).await).await;
    let session = service.session(service.address).await.unwrap();
    let mut opened = session.stream().await.unwrap();
    session.close().await;
    service.over.cancelled().await;
    assert!(matches!(*session.ended().await, SessionError::Terminated));
    assert_eq!(opened.stream.read(&mut [0; 9]).await.unwrap(), 0);
    assert!(session.stream().await.is_err());
}

#[tokio::test]
async fn what_the_other_side_says_at_the_end_is_the_reason() {
    let mut tasks = JoinSet::new();
    let service = Service::start(TODAY, echo(&mut tasks).await).await;
    let session = service.session(service.address).await.unwrap();
    let mut opened = session.stream().await.unwrap();
    service.ending.cancel();
    assert_eq!(
        session.ended().await.to_string(),
        "session was ended by the other side: the instance stops"
    );
    assert_eq!(opened.stream.read(&mut [0; 9]).await.unwrap(), 0);
}

#[tokio::test]
async fn encryption_is_refused_with_a_reason_on_both_sides() {
    let key = "arn:aws:kms:eu-west-1:123456789012:key/k";
    let service = Service::asking(nobody().await, TODAY, Some(key)).await;
    let error = service.session(service.address).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        format!("session preferences require encryption with KMS key `{key}`, which is not supported")
    );
    assert!(error.is_final() && error.help().is_some());
    service.over.cancelled().await;
}

#[tokio::test]
async fn an_old_agent_without_the_port_ends_the_session_with_the_reason() {
    let service = Service::start("3.0.100.0", nobody().await).await;
    let session = service.session(service.address).await.unwrap();
    let end = session.ended().await.to_string();
    assert!(
        end.starts_with("session was ended by the other side: Unable to connect to specified port: "),
        "{end}"
    );
}

#[tokio::test]
async fn a_session_that_cannot_be_resumed_is_lost_and_says_so() {
    let mut tasks = JoinSet::new();
    let service = Service::start(TODAY, echo(&mut tasks).await).await;
    let faults = Faults {
        cut_after: 200,
        cuts: usize::MAX,
        ..Faults::default()
    };
    let relay = Relay::start(service.address, faults).await;
    let session = service.session(relay.address).await.unwrap();
    service.control.is_gone.store(true, Ordering::Relaxed);
    let opened = session.stream().await.unwrap();
    let (_reader, mut writer) = tokio::io::split(opened.stream);
    let flood = content(1_000_000);
    let ended = tokio::select! {
        ended = session.ended() => ended,
        _ = async { loop { if tokio::io::AsyncWriteExt::write_all(&mut writer, &flood).await.is_err() { std::future::pending::<()>().await; } } } => unreachable!(),
    };
    assert!(matches!(*ended, SessionError::Lost { .. }), "{ended}");
    assert_eq!(
        std::error::Error::source(&*ended).unwrap().to_string(),
        "session does not exist any more"
    );
}

#[tokio::test]
async fn a_wrong_token_opens_nothing() {
    let mut tasks = JoinSet::new();
    let service = Service::start(TODAY, echo(&mut tasks).await).await;
    let relay = Relay::start(service.address, Faults::default()).await;
    let first = service.session(relay.address).await.unwrap();
    assert!(echoed(&first, b"hello").await == b"hello");
    drop(first);
    assert_eq!(relay.cut.load(Ordering::Relaxed), 0);
    let nowhere = nobody().await;
    let error = service.session(nowhere).await.err().unwrap();
    assert_eq!(error.to_string(), format!("connection to {nowhere} failed"));
}
