//! Tunnels: ports of one side that lead to the network of the other. They last as long as the communicator; after a reconnect they go on
//! over the new session.

use std::collections::BTreeMap;
use std::fmt;

use russh::client::Msg;
use russh::{Channel, ChannelOpenFailure};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::TcpStream;

/// One tunnel, as `PORT:HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// The port that is listened on, of `localhost`.
    pub(crate) listen: u16,
    /// Where it leads.
    pub(crate) host: String,
    /// The port there.
    pub(crate) port: u16,
}

impl fmt::Display for Tunnel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.listen, self.host, self.port)
    }
}

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The option's string has another form.
    #[error("tunnel `{text}` is not of the form `PORT:HOST:PORT`")]
    Parse {
        /// The string of the template.
        text: String,
    },
    /// The port of this machine is not free.
    #[error("failed to listen on port {port} of this machine for the tunnel `{tunnel}`")]
    Listen {
        /// The port of `localhost`.
        port: u16,
        /// The tunnel as `PORT:HOST:PORT`.
        tunnel: String,
        /// What the system failed with.
        #[source]
        cause: std::io::Error,
    },
}

/// Reads tunnels.
pub(crate) fn parse(texts: Option<&[String]>) -> Result<Vec<Tunnel>, TunnelError> {
    let one = |text: &String| {
        let wrong = || TunnelError::Parse { text: text.clone() };
        let (listen, target) = text.split_once(':').ok_or_else(wrong)?;
        let (host, port) = target.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Tunnel {
            listen: listen.parse().map_err(|_| wrong())?,
            host: host.to_owned(),
            port: port.parse().map_err(|_| wrong())?,
        })
    };
    texts.unwrap_or_default().iter().map(one).collect()
}

/// Where the ports of the other side lead, by port.
#[derive(Debug, Clone, Default)]
pub(crate) struct RemoteTunnels(BTreeMap<u32, Tunnel>);

impl RemoteTunnels {
    pub(crate) fn new(tunnels: &[Tunnel]) -> Self {
        Self(
            tunnels
                .iter()
                .map(|tunnel| (u32::from(tunnel.listen), tunnel.clone()))
                .collect(),
        )
    }

    pub(crate) fn ports(&self) -> impl Iterator<Item = (u32, &Tunnel)> {
        self.0.iter().map(|(port, tunnel)| (*port, tunnel))
    }

    /// Where a connection to a port of the other side goes; an error is the answer to the server.
    pub(crate) async fn connect(&self, port: u32) -> Result<TcpStream, ChannelOpenFailure> {
        let tunnel = self
            .0
            .get(&port)
            .ok_or(ChannelOpenFailure::AdministrativelyProhibited)?;
        TcpStream::connect((tunnel.host.as_str(), tunnel.port))
            .await
            .map_err(|error| {
                tracing::warn!(%error, %tunnel, "failed to connect to the target of a tunnel");
                ChannelOpenFailure::ConnectFailed
            })
    }
}

/// Carries bytes between a channel and a stream both ways until either ends.
pub(crate) async fn carry_channel(channel: Channel<Msg>, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    // A broken connection ends the other one too.
    let _ = copy_bidirectional(&mut channel.into_stream(), &mut stream).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_are_read_and_others_are_errors() {
        let read = |text: &str| parse(Some(&[text.to_owned()])).map(|mut tunnels| tunnels.remove(0).to_string());
        assert_eq!(read("8080:db.internal:5432").unwrap(), "8080:db.internal:5432");
        assert_eq!(read("8080:[::1]:5432").unwrap(), "8080:::1:5432");
        for text in ["", "8080", "8080:host", "x:host:1", "8080::1", "8080:host:99999"] {
            assert_eq!(
                read(text).unwrap_err().to_string(),
                format!("tunnel `{text}` is not of the form `PORT:HOST:PORT`")
            );
        }
    }
}
