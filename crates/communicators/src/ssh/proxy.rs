//! Proxies on the way to an SSH server: SOCKS5 (RFC 1928, RFC 1929) and HTTP CONNECT. Names are resolved by the proxy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakelite_engine::foreign::quoted;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::dial::{Dial, DialError, Stream};

/// Longest answer of an HTTP proxy before the stream begins.
const LONGEST_ANSWER: usize = 16 * 1024;

/// The language of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    /// SOCKS version 5.
    Socks5,
    /// HTTP's CONNECT.
    Http,
}

/// Opens streams through a proxy.
pub(crate) struct Proxy {
    pub(crate) kind: ProxyKind,
    /// How the proxy itself is reached, and its name for people.
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) name: String,
    /// User and password, where it wants them.
    pub(crate) login: Option<(String, String)>,
    /// What a login is made of, for people.
    pub(crate) login_hint: &'static str,
    /// Where to go from there.
    pub(crate) host: String,
    pub(crate) port: u16,
}

#[async_trait]
impl Dial for Proxy {
    async fn open(&self) -> Result<Box<dyn Stream>, DialError> {
        let opened = self.dial.open().await;
        let mut stream = opened.map_err(|error| match error {
            DialError::Io(cause) => DialError::Io(self.failed(&cause)),
            hop @ DialError::Hop(_) => hop,
        })?;
        let opened = match self.kind {
            ProxyKind::Socks5 => self.socks5(&mut stream).await,
            ProxyKind::Http => self.connect(&mut stream).await,
        };
        opened.map_err(|cause| self.failed(&cause))?;
        Ok(stream)
    }

    fn limit(&self) -> Duration {
        self.dial.limit()
    }

    fn distance(&self) -> Option<Duration> {
        self.dial.distance()
    }
}

impl Proxy {
    fn failed(&self, cause: &io::Error) -> io::Error {
        io::Error::new(cause.kind(), format!("proxy {}: {cause}", self.name))
    }

    async fn socks5(&self, stream: &mut Box<dyn Stream>) -> io::Result<()> {
        // Version, and the methods: none, and a password where we have one.
        let hello: &[u8] = if self.login.is_some() {
            &[5, 2, 0, 2]
        } else {
            &[5, 1, 0]
        };
        stream.write_all(hello).await?;
        match read::<2>(stream).await? {
            [5, 0] => {}
            [5, 2] => self.socks5_login(stream).await?,
            [5, _] if self.login.is_some() => return refused("it takes none of our ways to log in"),
            [5, _] => return refused(&format!("it wants a login ({})", self.login_hint)),
            _ => return refused("it does not speak SOCKS5"),
        }
        let mut request = vec![5, 1, 0];
        match self.host.parse() {
            Ok(std::net::IpAddr::V4(address)) => {
                request.push(1);
                request.extend(address.octets());
            }
            Ok(std::net::IpAddr::V6(address)) => {
                request.push(4);
                request.extend(address.octets());
            }
            Err(_) => {
                request.push(3);
                request.extend(short(&self.host)?);
            }
        }
        request.extend(self.port.to_be_bytes());
        stream.write_all(&request).await?;
        let [_, reply, _, kind] = read::<4>(stream).await?;
        if reply != 0 {
            return refused(socks5_refusal(reply));
        }
        // The address that it has bound: of no use to us.
        let length = match kind {
            1 => 4,
            3 => usize::from(read::<1>(stream).await?[0]),
            4 => 16,
            _ => return refused("it answers with an address of no known kind"),
        };
        stream.read_exact(&mut vec![0; length + 2]).await?;
        Ok(())
    }

    async fn socks5_login(&self, stream: &mut Box<dyn Stream>) -> io::Result<()> {
        let Some((user, password)) = &self.login else {
            return refused("it wants a login that was not offered");
        };
        let mut request = vec![1];
        request.extend(short(user)?);
        request.extend(short(password)?);
        stream.write_all(&request).await?;
        match read::<2>(stream).await? {
            [_, 0] => Ok(()),
            _ => refused(&format!("it does not accept {}", self.login_hint)),
        }
    }

    async fn connect(&self, stream: &mut Box<dyn Stream>) -> io::Result<()> {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let target = format!("{host}:{}", self.port);
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some((user, password)) = &self.login {
            use base64::Engine as _;
            let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(&login);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        // Byte by byte: what follows the empty line belongs to the server behind the proxy.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= LONGEST_ANSWER {
                return refused("its answer has no end");
            }
            answer.extend(read::<1>(stream).await?);
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let first = answer.lines().next().unwrap_or_default();
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
        match status {
            Some(status) if status.starts_with('2') => Ok(()),
            Some("407") => refused(&format!("it wants a login ({})", self.login_hint)),
            Some(_) => refused(&format!("it answers `{}`", quoted(first.trim()))),
            None => refused("it does not speak HTTP"),
        }
    }
}

async fn read<const N: usize>(stream: &mut Box<dyn Stream>) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// A text with its length before it, in one byte.
fn short(text: &str) -> io::Result<Vec<u8>> {
    let length =
        u8::try_from(text.len()).map_err(|_| io::Error::other("a name or password has more than 255 bytes"))?;
    Ok([&[length], text.as_bytes()].concat())
}

fn refused<T>(why: &str) -> io::Result<T> {
    Err(io::Error::other(why.to_owned()))
}

fn socks5_refusal(reply: u8) -> &'static str {
    match reply {
        2 => "its rules do not allow this connection",
        3 => "it cannot reach the network",
        4 => "it cannot reach the host",
        5 => "the host refuses the connection",
        6 => "the host does not answer",
        _ => "it cannot connect",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_for_the_protocol_is_an_error() {
        assert_eq!(short("ab").unwrap(), [2, b'a', b'b']);
        short(&"x".repeat(256)).unwrap_err();
    }
}
