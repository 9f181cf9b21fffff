//! Where Redis is, as operators write it: one URL for a server, for a server behind Sentinels, or for a cluster.

use redis::{ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError};
use unclip_service::{Code, Error};

/// The forms that a URL can have.
const FORMS: &str = "redis://[USER:PASSWORD@]HOST:PORT/DB, rediss:// for TLS, redis+unix:///PATH, \
                     redis-sentinel://HOST:PORT,HOST:PORT/MASTER/DB or redis-cluster://HOST:PORT,HOST:PORT";

/// What has to be written otherwise in a user, a password or a path.
const ENCODE: &str =
    "percent-encode user and password: @ is %40, # is %23, / is %2F, ? is %3F, : is %3A, % is %25";

/// The port that Sentinels listen on.
const SENTINEL_PORT: u16 = 26379;

/// Parameters that may stand behind the `?`, by the kind of address.
const SERVER_PARAMETERS: &[&str] = &["protocol"];
const UNIX_PARAMETERS: &[&str] = &["protocol", "db", "user", "pass"];
const SENTINEL_PARAMETERS: &[&str] = &["protocol", "sentinel_username", "sentinel_password"];

/// A URL, taken apart.
#[derive(Debug)]
pub(super) enum Address {
    /// One server.
    Server(ConnectionInfo),
    /// The master of this name, of which Sentinels know.
    Sentinels {
        /// The Sentinels, with their own credentials.
        sentinels: Vec<ConnectionInfo>,
        /// The master's name.
        master: String,
        /// Credentials and database of the master.
        redis: RedisConnectionInfo,
    },
    /// Nodes of a cluster, of which at least one has to be up.
    Cluster(Vec<ConnectionInfo>),
}

impl Address {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// One that is none, or that asks for something unknown. The text never repeats the URL, which may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad(format!("give {FORMS}")))?;
        let scheme = scheme.to_ascii_lowercase().replace('+', "-");
        match scheme.as_str() {
            "unix" | "redis-unix" | "valkey-unix" => {
                let parts = Parts::of(rest, false, UNIX_PARAMETERS)?;
                Ok(Self::Server(read(&format!("unix://{}/{}{}", parts.hosts, parts.path, parts.query()))?))
            }
            "redis" | "rediss" | "valkey" | "valkeys" => {
                let parts = Parts::of(rest, is_tls(&scheme), SERVER_PARAMETERS)?;
                if parts.hosts.contains(',') {
                    return Err(bad(format!("it has several hosts; give {FORMS}")));
                }
                Ok(Self::Server(parts.node(parts.hosts, parts.path)?))
            }
            "redis-cluster" | "rediss-cluster" | "valkey-cluster" | "valkeys-cluster" => {
                let parts = Parts::of(rest, is_tls(&scheme), SERVER_PARAMETERS)?;
                let nodes = parts.hosts.split(',').map(|host| parts.node(host, parts.path));
                Ok(Self::Cluster(nodes.collect::<Result<_, _>>()?))
            }
            "redis-sentinel" | "rediss-sentinel" | "valkey-sentinel" | "valkeys-sentinel" => {
                Parts::of(rest, is_tls(&scheme), SENTINEL_PARAMETERS)?.sentinels()
            }
            _ => Err(bad(format!("its scheme is not known; give {FORMS}"))),
        }
    }

    /// Whether it is reached over TLS.
    pub(super) fn is_tls(&self) -> bool {
        let first = match self {
            Self::Server(server) => Some(server),
            Self::Sentinels { sentinels: nodes, .. } | Self::Cluster(nodes) => nodes.first(),
        };
        first.is_some_and(|node| matches!(node.addr(), redis::ConnectionAddr::TcpTls { .. }))
    }
}

fn is_tls(scheme: &str) -> bool {
    scheme.starts_with("rediss") || scheme.starts_with("valkeys")
}

/// What stands after the scheme: `[USER:PASSWORD@]HOSTS/PATH?QUERY`.
struct Parts<'a> {
    tls: bool,
    user: &'a str,
    hosts: &'a str,
    path: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    /// A character that should have been encoded ends a part too early: that shows by an `@` behind the hosts, or by a
    /// fragment. Taken as it stands, such a URL can name another server.
    fn of(rest: &'a str, tls: bool, known: &[&str]) -> Result<Self, Error> {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if rest.contains('@') {
            return Err(bad(format!("it has an @ behind its host; {ENCODE}")));
        }
        if let Some((_, fragment)) = rest.split_once('#') {
            return Err(bad(match fragment {
                "insecure" => "#insecure is not supported; give the server's CA with --redis-ca".to_owned(),
                _ => format!("it has a #; {ENCODE}"),
            }));
        }
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let parameters: Vec<_> = query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .collect();
        if let Some((name, _)) = parameters.iter().find(|(name, _)| !known.contains(name)) {
            return Err(bad(format!("`{name}` is no parameter of it; known are {}", known.join(", "))));
        }
        Ok(Self { tls, user, hosts, path: path.trim_matches('/'), parameters })
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The parameters that the client itself reads.
    fn query(&self) -> String {
        let own = self.parameters.iter().filter(|(name, _)| !name.starts_with("sentinel_"));
        let pairs: Vec<_> = own.map(|(name, value)| format!("{name}={value}")).collect();
        format!("?{}", pairs.join("&"))
    }

    /// One host of the URL, with everything that holds for all.
    fn node(&self, host: &str, db: &str) -> Result<ConnectionInfo, Error> {
        let (user, at) = if self.user.is_empty() { ("", "") } else { (self.user, "@") };
        self.tcp(&format!("{user}{at}{host}/{db}{}", self.query()))
    }

    fn tcp(&self, rest: &str) -> Result<ConnectionInfo, Error> {
        read(&format!("{}://{rest}", if self.tls { "rediss" } else { "redis" }))
    }

    /// The credentials in front of the hosts are the master's; the Sentinels' own are parameters.
    fn sentinels(&self) -> Result<Address, Error> {
        let (master, db) = self.path.split_once('/').unwrap_or((self.path, ""));
        if master.is_empty() {
            return Err(bad(
                "it names no master; give redis-sentinel://HOST:PORT,HOST:PORT/MASTER/DB".to_owned()
            ));
        }
        let own = ["sentinel_username", "sentinel_password"].map(|name| self.parameter(name).unwrap_or(""));
        let at = if own.iter().all(|part| part.is_empty()) { "" } else { "@" };
        let [user, password] = own;
        let colon = if password.is_empty() { "" } else { ":" };
        let sentinel = |host: &str| {
            let host = with_port(host);
            self.tcp(&format!("{user}{colon}{password}{at}{host}"))
        };
        Ok(Address::Sentinels {
            sentinels: self.hosts.split(',').map(sentinel).collect::<Result<_, _>>()?,
            master: master.to_owned(),
            redis: self.node("master", db)?.redis_settings().clone(),
        })
    }
}

/// Without a port the client would take that of a server.
fn with_port(host: &str) -> String {
    let named = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if named || host.is_empty() { host.to_owned() } else { format!("{host}:{SENTINEL_PORT}") }
}

fn read(url: &str) -> Result<ConnectionInfo, Error> {
    url.into_connection_info().map_err(|error: RedisError| bad(format!("{error}; give {FORMS}; {ENCODE}")))
}

fn bad(problem: String) -> Error {
    Error::new(Code::InvalidArgument, format!("the Redis URL is no good: {problem}"))
}

#[cfg(test)]
mod tests {
    use redis::ConnectionAddr;

    use super::*;

    fn server(url: &str) -> ConnectionInfo {
        match Address::parse(url).unwrap() {
            Address::Server(info) => info,
            other => panic!("{other:?}"),
        }
    }

    fn tcp(info: &ConnectionInfo) -> (&str, u16) {
        match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => (host, *port),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_server_has_host_port_database_and_credentials() {
        let info = server("redis://host");
        assert_eq!((tcp(&info), info.redis_settings().db()), (("host", 6379), 0));
        let info = server("rediss://me:secret@[::1]:7000/3");
        assert_eq!((tcp(&info), info.redis_settings().db()), (("::1", 7000), 3));
        assert!(matches!(info.addr(), ConnectionAddr::TcpTls { insecure: false, .. }));
        let settings = info.redis_settings();
        assert_eq!((settings.username(), settings.password()), (Some("me"), Some("secret")));
        let info = server("redis+unix:///run/redis.sock?db=2&pass=secret");
        assert!(matches!(info.addr(), ConnectionAddr::Unix(path) if path.ends_with("run/redis.sock")));
        assert_eq!((info.redis_settings().db(), info.redis_settings().password()), (2, Some("secret")));
    }

    #[test]
    fn an_encoded_password_is_decoded() {
        let info = server("redis://:%40a%23b%2Fc%25d%3Ae%3Ff@host:1");
        assert_eq!((info.redis_settings().password(), tcp(&info)), (Some("@a#b/c%d:e?f"), ("host", 1)));
        let info = server("redis://:p@ss:word@host");
        assert_eq!(info.redis_settings().password(), Some("p@ss:word"), "nothing else it could mean");
    }

    #[test]
    fn a_password_that_ends_the_host_too_early_is_told_so() {
        for url in [
            "redis://:hunter2#x@host:6379",
            "redis://:hunter2/x@host:6379",
            "redis://:hunter2?x@host:6379",
            // As it stands: port 12 of a host named user.
            "redis://user:12#hunter2@host",
            "rediss://user:12?hunter2@host",
            "redis-sentinel://user:12/hunter2@host/name",
            "redis://host#hunter2",
        ] {
            let error = Address::parse(url).unwrap_err().message;
            assert!(error.contains("percent-encode") && error.contains("%23"), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn sentinels_have_a_master_and_credentials_of_their_own() {
        let url = "redis-sentinel://me:secret@one,two:1,[::1]/mymaster/4?sentinel_password=other%40";
        let Address::Sentinels { sentinels, master, redis } = Address::parse(url).unwrap() else {
            panic!("{url}");
        };
        assert_eq!(
            sentinels.iter().map(tcp).collect::<Vec<_>>(),
            [("one", 26379), ("two", 1), ("::1", 26379)]
        );
        assert!(sentinels.iter().all(|info| info.redis_settings().password() == Some("other@")));
        assert!(sentinels.iter().all(|info| info.redis_settings().db() == 0));
        assert_eq!((master.as_str(), redis.db(), redis.password()), ("mymaster", 4, Some("secret")));
        assert!(Address::parse("rediss+sentinel://one/mymaster").unwrap().is_tls());
    }

    #[test]
    fn a_cluster_has_nodes() {
        let Address::Cluster(nodes) = Address::parse("rediss-cluster://:secret@one:1,two:2").unwrap() else {
            panic!("no cluster");
        };
        assert_eq!(nodes.iter().map(tcp).collect::<Vec<_>>(), [("one", 1), ("two", 2)]);
        assert!(nodes.iter().all(|node| node.redis_settings().password() == Some("secret")));
    }

    #[test]
    fn what_is_unknown_is_refused_and_nothing_of_it_repeated() {
        for (url, problem) in [
            ("", "give redis://"),
            ("localhost:6379", "give redis://"),
            ("http://user:hunter2@host", "scheme"),
            ("redis://:hunter2@host:x", "give redis://"),
            ("redis://:hunter2@", "give redis://"),
            ("redis://:hunter2@host/zero", "database number"),
            ("redis://:hunter2@host?db=2", "`db` is no parameter"),
            ("redis://:hunter2@one,two", "several hosts"),
            ("rediss://:hunter2@host/#insecure", "--redis-ca"),
            ("redis-sentinel://:hunter2@host", "names no master"),
            ("redis-cluster://:hunter2@one:1,:2", "give redis://"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert_eq!(error.code, Code::InvalidArgument, "{url}");
            assert!(error.message.contains(problem) && !error.message.contains("hunter2"), "{url}: {error}");
        }
    }
}
