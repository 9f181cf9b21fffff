//! What Redis's error replies mean, for the calls that follow and for the operator.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Codes of replies that concern every command: the server, or this connection, can't be used as it is. All other replies
/// concern their command alone: a key of another type, no memory for a write, a disk or replicas that are missing, a user
/// who may not, a command that was renamed.
const OUT_OF_ORDER: [&str; 11] = [
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MOVED",
    "ASK",
    "BUSY",
    "NOAUTH",
    "WRONGPASS",
    "NOPROTO",
    "UNBLOCKED",
];

/// The one reply about a connection that has no code of its own.
const NO_ROOM: &str = "max number of clients";

/// Where Redis repeats what it was sent, which may be a password.
const ECHO: &str = ", with args beginning with";

/// Whether Redis is well and only refuses this command.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    let is_about_all =
        |code| OUT_OF_ORDER.contains(&code) || error.detail().is_some_and(|detail| detail.contains(NO_ROOM));
    error.code().is_some_and(|code| !is_about_all(code))
}

/// Whether the server is a replica, perhaps since a moment ago.
pub(super) fn is_read_only(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// The error for the log: what Redis said, without what it was told, and what to do.
pub(super) fn describe(error: &RedisError) -> String {
    let text = error.to_string();
    let said = text.split(ECHO).next().unwrap_or_default();
    match advice(error, &text) {
        Some(advice) => format!("{said}; {advice}"),
        None => said.to_owned(),
    }
}

fn advice(error: &RedisError, text: &str) -> Option<&'static str> {
    let has = |part| text.contains(part);
    if error.code() == Some("NOAUTH") || has("NOAUTH") {
        Some("give a password: redis://:PASSWORD@HOST or redis://USER:PASSWORD@HOST")
    } else if error.code() == Some("WRONGPASS") || error.kind() == ErrorKind::AuthenticationFailed {
        Some("user and password must be percent-encoded in the URL: @ is %40, # is %23, / is %2F, % is %25")
    } else if matches!(error.code(), Some("MOVED" | "ASK")) {
        Some("it is a node of a cluster: give redis-cluster://HOST:PORT")
    } else if error.code() == Some("NOPERM") {
        Some("the user needs the commands GET and SET on the keys unclip:*")
    } else if has("unknown command") {
        Some("unclip needs GET and SET under these names")
    } else if has("UnknownIssuer") {
        Some("give the CA that signed the server's certificate with --redis-ca")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    fn reply(line: &str) -> RedisError {
        let value = parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    #[test]
    fn replies_about_one_command_are_refusals() {
        for line in [
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "READONLY You can't write against a read only replica.",
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist on disk.",
            "NOREPLICAS Not enough good replicas to write.",
            "NOPERM this user has no permissions to run the 'set' command",
            "ERR unknown command 'SET', with args beginning with: ",
            "CROSSSLOT Keys in request don't hash to the same slot",
        ] {
            assert!(is_refusal(&reply(line)), "{line}");
        }
    }

    #[test]
    fn replies_about_everything_are_none() {
        for line in [
            "LOADING Redis is loading the dataset in memory",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "CLUSTERDOWN The cluster is down",
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "MOVED 3999 127.0.0.1:6381",
            "ASK 3999 127.0.0.1:6381",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "ERR max number of clients reached",
        ] {
            assert!(!is_refusal(&reply(line)), "{line}");
        }
        assert!(!is_refusal(&std::io::Error::other("closed").into()));
    }

    #[test]
    fn what_redis_was_told_is_not_repeated() {
        let line = "ERR unknown command 'AUTH', with args beginning with: 'me' 'hunter2' ";
        let text = describe(&reply(line));
        assert!(text.contains("unknown command") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn the_log_says_what_to_do() {
        for (line, advice) in [
            ("NOAUTH Authentication required.", "give a password"),
            ("WRONGPASS invalid username-password pair or user is disabled.", "percent-encoded"),
            ("MOVED 3999 127.0.0.1:6381", "redis-cluster://"),
            ("NOPERM this user has no permissions to run the 'get' command", "GET and SET"),
        ] {
            let text = describe(&reply(line));
            assert!(text.contains(advice), "{text}");
        }
    }
}
