//! Ports: bound before anything else happens, served later.

use std::net::{SocketAddr, TcpListener as StdListener};

use anyhow::Context as _;
use tokio::net::TcpListener;

/// A port that this process listens at. Whoever connects before it is served waits.
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Port {
    /// Binds an address, inside a tokio runtime. `flag` is where it comes from.
    ///
    /// # Errors
    /// An address that is in use, or that this machine does not have.
    pub(crate) fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<Self> {
        let bind = || {
            let listener = StdListener::bind(address)?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        let listener = bind()
            .with_context(|| format!("{flag}: {address} can't be bound; is another server running there?"))?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Whether only programs on this machine can connect.
    pub(crate) fn is_loopback(&self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }
}
