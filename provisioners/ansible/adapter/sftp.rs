//! The `sftp` subsystem: the server of the instance where it has one, else our own, which needs nothing of the instance but that files go
//! there and come back. OpenSSH's `scp` of version 9 and later speaks SFTP, too.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy_buf, duplex};
use tokio_util::sync::CancellationToken;

use super::command;
use super::files::Files;
use super::instance::Instance;
use super::stream::Streams;

/// Bytes between the client and our own server.
const BUFFER: usize = 64 * 1024;

/// Serves until the client has enough; answers the exit status.
pub(super) async fn run(instance: &Arc<Instance>, mut streams: Streams) -> u32 {
    match instance.sftp_server().await {
        Ok(Some(server)) => command::run(instance, server, streams).await,
        Ok(None) => serve(instance, streams).await,
        Err(error) => {
            streams.errors.say(&command::text_of(&error)).await;
            command::UNREACHABLE
        }
    }
}

async fn serve(instance: &Arc<Instance>, streams: Streams) -> u32 {
    let Streams { input, mut output, .. } = streams;
    let lost = CancellationToken::new();
    let (ours, theirs) = duplex(BUFFER);
    // The library's own task; it ends with our end of the stream.
    russh_sftp::server::run(theirs, Files::new(Arc::clone(instance), lost.clone())).await;
    let (mut answers, mut requests) = tokio::io::split(ours);
    let inward = async {
        // A client that breaks off has ended its input as well.
        let _ = copy_buf(&mut BufReader::with_capacity(BUFFER, input), &mut requests).await;
        let _ = requests.shutdown().await;
    };
    let outward = async {
        let mut buffer = vec![0; BUFFER];
        while let Ok(length @ 1..) = answers.read(&mut buffer).await {
            if output.send(buffer.get(..length).unwrap_or_default()).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        _ = async { tokio::join!(inward, outward) } => 0,
        // Ended like this, the client tells Ansible that the host cannot be reached.
        () = lost.cancelled() => command::UNREACHABLE,
    }
}
