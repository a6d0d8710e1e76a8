//! A connection whose peer must keep accepting what is sent. TCP alone ends only those that
//! acknowledge nothing.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// While something waits to be sent, [`LEAST`] bytes must be accepted within this time.
const WITHIN: Duration = Duration::from_secs(30);
/// 2 KiB/s: far below any browser that a picture or a page reaches.
const LEAST: usize = 64 << 10;

/// A connection with that limit.
#[derive(Debug)]
pub(crate) struct Unstalled<S> {
    inner: S,
    /// Runs while something waits to be sent.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Bytes accepted since the deadline was set.
    accepted: usize,
}

impl<S> Unstalled<S> {
    /// Limits `inner`.
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, deadline: None, accepted: 0 }
    }

    /// Judges the result of a write.
    fn judge(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = written {
            self.accepted += count;
        }
        if written.is_ready() {
            return written;
        }
        if self.deadline.is_none() {
            self.accepted = 0;
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(WITHIN)));
        loop {
            ready!(deadline.as_mut().poll(cx));
            if std::mem::take(&mut self.accepted) < LEAST {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the browser reads too slowly",
                )));
            }
            deadline.as_mut().reset(Instant::now() + WITHIN);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unstalled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unstalled<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// Everything was written: nothing waits.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.inner).poll_flush(cx));
        self.deadline = None;
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Sends `total` bytes to a peer that takes `piece` bytes a second.
    async fn sent(total: usize, piece: usize) -> io::Result<()> {
        let (near, mut far) = duplex(1024);
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; piece];
            while far.read_exact(&mut buffer).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let mut near = Unstalled::new(near);
        let result = near.write_all(&vec![0; total]).await;
        reader.abort();
        result?;
        near.flush().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_is_served_and_one_that_stalls_is_not() {
        sent(1 << 20, 4096).await.unwrap();
        for piece in [1, 1000] {
            let error = sent(1 << 20, piece).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{piece} bytes a second");
        }
    }
}
