//! Passwords in addresses must not be read where addresses are printed.

use std::borrow::Cow;
use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

/// What stands in the place of a user name and password.
const HIDDEN: &str = "***";

/// Keys of a URL's query whose values are secret.
const SECRET_KEYS: [&str; 6] = ["pass", "password", "token", "key", "secret", "signature"];

/// The text without the user names, passwords and secret query values of the URLs in it. A URL ends at a space or a quote.
pub fn redacted(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(ends_url).unwrap_or(part.len());
        clean += "://";
        clean += &redacted_address(&part[..end]);
        clean += &part[end..];
    }
    Cow::Owned(clean)
}

/// The value of a flag that takes a URL, with or without its scheme, as [`redacted`] leaves it.
pub(crate) fn redacted_url(value: &str) -> String {
    match value.split_once("://") {
        Some((scheme, address)) => format!("{scheme}://{}", redacted_address(address)),
        None => redacted_address(value),
    }
}

fn ends_url(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\'' | '"' | '`' | '<' | '>')
}

/// A password may hold any letter, `@` and `/` too: what counts is the last `@`.
fn redacted_address(address: &str) -> String {
    let address = match address.rsplit_once('@') {
        Some((_, host)) => format!("{HIDDEN}@{host}"),
        None => address.to_owned(),
    };
    let Some((place, query)) = address.split_once('?') else { return address };
    let pairs: Vec<String> = query.split('&').map(redacted_pair).collect();
    format!("{place}?{}", pairs.join("&"))
}

fn redacted_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((key, _)) if SECRET_KEYS.iter().any(|secret| key.to_ascii_lowercase().contains(secret)) => {
            format!("{key}={HIDDEN}")
        }
        _ => pair.to_owned(),
    }
}

/// Standard error for log lines, each [`redacted`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct RedactedStderr;

impl<'a> MakeWriter<'a> for RedactedStderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

impl Write for RedactedStderr {
    /// The subscriber writes a line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let clean = str::from_utf8(line).map_or(Cow::Borrowed(line), |text| match redacted(text) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        });
        io::stderr().write_all(&clean).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_wherever_an_address_stands() {
        for (text, clean) in [
            ("no address, me@example.org", "no address, me@example.org"),
            ("http://127.0.0.1:1 can't be reached", "http://127.0.0.1:1 can't be reached"),
            ("redis://:hunter2@host:6379/0 failed", "redis://***@host:6379/0 failed"),
            ("'rediss://me:a@b/c#d@host' and me@example.org", "'rediss://***@host' and me@example.org"),
            (
                "{\"a\":\"http://u:p@a\",\"b\":\"http://u:p@b\"}",
                "{\"a\":\"http://***@a\",\"b\":\"http://***@b\"}",
            ),
            ("redis+unix:///run/redis?db=1&pass=hunter2", "redis+unix:///run/redis?db=1&pass=***"),
        ] {
            assert_eq!(redacted(text), clean);
        }
    }

    #[test]
    fn a_value_without_a_scheme_is_an_address_too() {
        assert_eq!(redacted_url(":hunter 2@host:6379"), "***@host:6379");
        assert_eq!(redacted_url("redis://:hunter 2@host:6379"), "redis://***@host:6379");
        assert_eq!(redacted_url("host:6379"), "host:6379");
    }
}
