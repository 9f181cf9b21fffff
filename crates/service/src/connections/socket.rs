//! A connection's socket, watched as it is read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::Activity;

/// How a connection of HTTP/2 begins, as far as no request of HTTP/1 does.
const HTTP2: &[u8] = b"PRI * HTTP/2";

/// After how much silence the operating system asks whether the other host is still there: a client that waits for its
/// picture over HTTP/1 is silent, and one whose host is gone as well.
const PROBE_AFTER: Duration = Duration::from_secs(60);

/// A socket that tells what comes in.
pub(super) struct Socket {
    stream: TcpStream,
    activity: Arc<Activity>,
    /// Bytes of [`HTTP2`] seen so far; none once they were others.
    matched: Option<usize>,
    is_blocked: bool,
}

impl Socket {
    /// Prepares an accepted connection.
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        // Neither is worth a refusal.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER));
        Self { stream, activity, matched: Some(0), is_blocked: false }
    }

    fn sent(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_pending() != self.is_blocked {
            self.is_blocked = result.is_pending();
            self.activity.blocked(self.is_blocked);
        }
        result
    }

    fn heard(&mut self, bytes: &[u8]) {
        self.activity.heard();
        let Some(matched) = self.matched else { return };
        let expected = &HTTP2[matched..];
        let common = expected.len().min(bytes.len());
        if expected[..common] != bytes[..common] {
            self.matched = None;
        } else if common == expected.len() {
            self.matched = None;
            self.activity.is_http2();
        } else {
            self.matched = Some(matched + common);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read = &buffer.filled()[before..];
        if !read.is_empty() {
            self.heard(read);
        }
        result
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.sent(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.sent(result)
    }
}
