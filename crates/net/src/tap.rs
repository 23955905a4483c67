//! A stream with something that sees what it delivers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What sees the bytes that a stream delivers, on their way to whoever reads.
pub trait Tap {
    /// The most bytes of one read, where that matters.
    const AT_ONCE: Option<usize> = None;

    /// Sees what a read has delivered; nothing at the end of the stream. An error becomes the read's.
    fn delivered(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// A stream with its tap. What is written passes.
#[derive(Debug)]
pub struct Tapped<S, T> {
    /// The stream.
    pub stream: S,
    /// What sees its bytes.
    pub tap: T,
}

impl<S: AsyncRead + Unpin, T: Tap + Unpin> AsyncRead for Tapped<S, T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, tap } = self.get_mut();
        let before = into.filled().len();
        match T::AT_ONCE {
            None => ready!(Pin::new(stream).poll_read(context, into))?,
            Some(most) => {
                let most = most.min(into.remaining());
                let mut piece = ReadBuf::new(into.initialize_unfilled_to(most));
                ready!(Pin::new(stream).poll_read(context, &mut piece))?;
                let read = piece.filled().len();
                into.advance(read);
            }
        }
        Poll::Ready(tap.delivered(into.filled().get(before..).unwrap_or_default()))
    }
}

impl<S: AsyncWrite + Unpin, T: Unpin> AsyncWrite for Tapped<S, T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Sees at most three bytes at a time, until there is an `x` among them.
    #[derive(Default)]
    struct Threes(Vec<Vec<u8>>);

    impl Tap for Threes {
        const AT_ONCE: Option<usize> = Some(3);

        fn delivered(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.push(bytes.to_vec());
            if bytes.contains(&b'x') {
                return Err(io::ErrorKind::InvalidData.into());
            }
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_is_read_is_seen_and_what_is_written_passes() {
        let (mut far, near) = tokio::io::duplex(64);
        let mut tapped = Tapped {
            stream: near,
            tap: Threes::default(),
        };
        far.write_all(b"12345").await.unwrap();
        let mut read = [0; 5];
        tapped.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"12345");
        tapped.write_all(b"back").await.unwrap();
        let mut back = [0; 4];
        far.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"back");
        drop(far);
        assert_eq!(tapped.read(&mut read).await.unwrap(), 0);
        assert_eq!(tapped.tap.0, [b"123".to_vec(), b"45".to_vec(), Vec::new()]);
    }

    #[tokio::test]
    async fn an_error_of_the_tap_is_that_of_the_read() {
        let mut tapped = Tapped {
            stream: &b"abxd"[..],
            tap: Threes::default(),
        };
        let error = tapped.read(&mut [0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
