//! Streams through a session on which nothing goes wrong.

use bakelite_ssm::session::{PortError, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::service::{Service, TODAY, echo, nobody};

/// The last agent without multiplexing, and the last that wants keepalive within it.
const PLAIN: &str = "3.0.196.0";
const WITH_KEEPALIVE: &str = "3.1.1511.0";

/// Bytes that repeat only after a prime, so that a swapped chunk shows.
pub(crate) fn content(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

/// Sends this and answers what comes back.
pub(crate) async fn echoed(session: &Session, content: &[u8]) -> Vec<u8> {
    let opened = session.stream().await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(opened.stream);
    let mut back = vec![0; content.len()];
    let (sent, heard) = tokio::join!(writer.write_all(content), reader.read_exact(&mut back));
    sent.unwrap();
    heard.unwrap();
    back
}

#[tokio::test]
async fn streams_share_a_session() {
    let mut tasks = JoinSet::new();
    let service = Service::start(TODAY, echo(&mut tasks).await).await;
    let session = service.session(service.address).await.unwrap();
    assert!(session.is_multiplexed());
    assert_eq!(session.agent_version(), TODAY);
    let (small, large) = (content(1), content(3_000_000));
    let (one, other, third) = tokio::join!(
        echoed(&session, &small),
        echoed(&session, &large),
        echoed(&session, &large)
    );
    assert!(one == small && other == large && third == large);
}

#[tokio::test]
async fn an_agent_that_wants_to_hear_of_us_is_served() {
    let mut tasks = JoinSet::new();
    let service = Service::start(WITH_KEEPALIVE, echo(&mut tasks).await).await;
    let session = service.session(service.address).await.unwrap();
    assert!(session.is_multiplexed());
    let content = content(100_000);
    assert!(echoed(&session, &content).await == content);
}

#[tokio::test]
async fn an_old_agent_takes_one_stream_after_the_other() {
    let mut tasks = JoinSet::new();
    let service = Service::start(PLAIN, echo(&mut tasks).await).await;
    let session = service.session(service.address).await.unwrap();
    assert!(!session.is_multiplexed());
    for length in [1, 100_000, 17] {
        let content = content(length);
        assert!(echoed(&session, &content).await == content);
    }
}

/// The official client makes a carriage return of it.
#[tokio::test]
async fn a_lone_newline_stays_one() {
    let mut tasks = JoinSet::new();
    for agent in [PLAIN, TODAY] {
        let service = Service::start(agent, echo(&mut tasks).await).await;
        let session = service.session(service.address).await.unwrap();
        assert_eq!(echoed(&session, b"\n").await, b"\n");
    }
}

#[tokio::test]
async fn the_end_of_a_stream_reaches_the_other_side_and_comes_back() {
    let mut tasks = JoinSet::new();
    let service = Service::start(TODAY, echo(&mut tasks).await).await;
    let session = service.session(service.address).await.unwrap();
    let mut opened = session.stream().await.unwrap();
    opened.stream.write_all(b"x").await.unwrap();
    assert_eq!(opened.answered.await.unwrap(), Ok(()));
    opened.stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    // There is no half of a stream: what was on its way may come or not.
    opened.stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() <= 1);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_told_and_the_session_stays() {
    let service = Service::start(TODAY, nobody().await).await;
    let session = service.session(service.address).await.unwrap();
    for _ in 0..3 {
        let opened = session.stream().await.unwrap();
        assert_eq!(opened.answered.await.unwrap(), Err(PortError::Refused));
    }
    assert!(session.end().is_none());
}
