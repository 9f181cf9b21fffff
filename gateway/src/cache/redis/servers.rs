//! The ways to a Redis: to a server, to the master that Sentinels name, to a cluster.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, FromRedisValue, RedisConnectionInfo, RedisError,
    TlsCertificates, TlsMode,
};
use tokio::sync::Mutex;
use unclip_service::{Code, Error};

use super::RedisConfig;
use super::address::Address;

/// How long connecting may take. It goes on in the background when a call's own time is over, so that a network where
/// connecting is slow has a cache too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What connects. A clone is the same.
#[derive(Clone)]
pub(super) enum Servers {
    Server(Box<Client>),
    Sentinels(Arc<Mutex<SentinelClient>>),
    Cluster(Box<ClusterClient>),
}

/// What sends. A clone is the same connection.
#[derive(Clone)]
pub(super) enum Link {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Servers {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// A URL or a file that can't be used.
    pub(super) fn new(config: &RedisConfig) -> Result<Self, Error> {
        let address = Address::parse(&config.url)?;
        let certificates = match (address.is_tls(), config.tls.is_empty()) {
            (true, _) => Some(config.tls.read()?),
            (false, true) => None,
            (false, false) => {
                let message =
                    "--redis-ca, --redis-cert and --redis-key are for TLS; give --redis a rediss:// URL";
                return Err(Error::new(Code::InvalidArgument, message));
            }
        };
        Self::open(address, certificates)
            .map_err(|error| Error::new(Code::InvalidArgument, format!("--redis can't be used: {error}")))
    }

    fn open(address: Address, certificates: Option<TlsCertificates>) -> Result<Self, RedisError> {
        Ok(match (address, certificates) {
            (Address::Server(info), None) => Self::Server(Box::new(Client::open(info)?)),
            (Address::Server(info), Some(certificates)) => {
                Self::Server(Box::new(Client::build_with_tls(info, certificates)?))
            }
            (Address::Sentinels { sentinels, master, redis }, certificates) => {
                let client = sentinel_client(sentinels, &master, &redis, certificates)?;
                Self::Sentinels(Arc::new(Mutex::new(client)))
            }
            (Address::Cluster(nodes), certificates) => {
                let builder = ClusterClient::builder(nodes).connection_timeout(CONNECT_TIMEOUT);
                let builder = match certificates {
                    Some(certificates) => builder.certs(certificates),
                    None => builder,
                };
                Self::Cluster(Box::new(builder.build()?))
            }
        })
    }

    /// Whether a server may turn out to be another one when it is asked for again. A cluster's client sees to that itself.
    pub(super) fn can_move(&self) -> bool {
        !matches!(self, Self::Cluster(_))
    }

    /// A connection: to whatever the name, or the Sentinels, say now.
    pub(super) async fn connect(self) -> Result<Link, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            // Every call has its own bound.
            .set_response_timeout(None);
        Ok(match self {
            Self::Server(client) => {
                Link::Server(client.get_multiplexed_async_connection_with_config(&config).await?)
            }
            Self::Sentinels(client) => {
                Link::Server(client.lock().await.get_async_connection_with_config(&config).await?)
            }
            Self::Cluster(client) => Link::Cluster(client.get_async_connection().await?),
        })
    }
}

impl Link {
    /// Sends a command and reads the reply.
    pub(super) async fn send<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        match self {
            Self::Server(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

/// Sentinels and master are both reached over TLS, or neither is.
fn sentinel_client(
    sentinels: Vec<ConnectionInfo>,
    master: &str,
    redis: &RedisConnectionInfo,
    certificates: Option<TlsCertificates>,
) -> Result<SentinelClient, RedisError> {
    let own = sentinels.first().map(|sentinel| sentinel.redis_settings().clone()).unwrap_or_default();
    let addresses = sentinels.iter().map(|sentinel| sentinel.addr().clone());
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
        .set_client_to_redis_db(redis.db())
        .set_client_to_redis_protocol(redis.protocol());
    if let Some(username) = redis.username() {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = redis.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(username) = own.username() {
        builder = builder.set_client_to_sentinel_username(username);
    }
    if let Some(password) = own.password() {
        builder = builder.set_client_to_sentinel_password(password);
    }
    if let Some(certificates) = certificates {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    builder.build()
}
