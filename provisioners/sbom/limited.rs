//! A buffer that an instance cannot make longer than is sensible.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// What is written, up to a limit; more is an error.
pub(super) struct Limited {
    pub(super) bytes: Vec<u8>,
    limit: usize,
}

impl Limited {
    /// An empty one for at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
        }
    }
}

impl AsyncWrite for Limited {
    fn poll_write(mut self: Pin<&mut Self>, _context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.bytes.len() + bytes.len() > self.limit {
            let error = format!("it is longer than {} bytes", self.limit);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::FileTooLarge, error)));
        }
        self.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn more_than_the_limit_is_an_error() {
        let mut limited = Limited::new(4);
        limited.write_all(b"1234").await.unwrap();
        assert_eq!(limited.bytes, b"1234");
        let error = limited.write_all(b"5").await.unwrap_err();
        assert_eq!(error.to_string(), "it is longer than 4 bytes");
    }
}
