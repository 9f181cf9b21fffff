//! Paths: brought into one shape, and guessed when they are wrong.

use std::borrow::Cow;

use http::Uri;
use http::uri::PathAndQuery;

/// How alike a path has to be to be meant, from 0 to 1.
const ALIKE: f64 = 0.8;

/// What the paths of plain HTTP begin with.
const OWN: [&str; 3] = ["api", "page", "v1"];

/// The longest path that is guessed at or repeated, in bytes.
const SHOWN: usize = 128;

/// Rewrites an address whose path has slashes too many: `//v1//models/` is `/v1/models`.
pub(crate) fn normalise(uri: &mut Uri) {
    if let Cow::Owned(path) = one_slash(uri.path()) {
        replace(uri, path);
    }
}

/// Takes the path off an address that `url`, which clients reach the server at, ends in: a proxy may leave it on. A path that
/// begins like one of this server's own can't be told from it.
pub(crate) fn enter(uri: &mut Uri, url: &Uri) {
    let prefix = url.path().trim_end_matches('/');
    if prefix.is_empty() || OWN.contains(&prefix.split('/').nth(1).unwrap_or("")) {
        return;
    }
    let rest = uri.path().strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some(rest) = rest.map(|rest| format!("/{}", rest.trim_start_matches('/'))) {
        replace(uri, rest);
    }
}

fn replace(uri: &mut Uri, mut path: String) {
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = std::mem::take(uri).into_parts();
    // Fewer slashes make no path worse; if they did, it would be no path that is served.
    parts.path_and_query = path.parse().ok().or(Some(PathAndQuery::from_static("/")));
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

fn one_slash(path: &str) -> Cow<'_, str> {
    let is_clean = !path.contains("//") && (path.len() <= 1 || !path.ends_with('/'));
    if is_clean {
        return Cow::Borrowed(path);
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    Cow::Owned(format!("/{}", parts.join("/")))
}

/// The path of `known` that was meant, if one is likely.
pub fn guess<'a, S: AsRef<str>>(path: &str, known: &'a [S]) -> Option<&'a str> {
    let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    let path = path.get(..path.len().min(SHOWN))?.trim_end_matches('/').to_ascii_lowercase();
    if path.is_empty() {
        return None;
    }
    // A root or a package that is missing, doubled or another one: /images/generations, /v1/v1/models, /UnclipService/Mix.
    let is_tail = |one: &&&str| {
        let lower = one.to_ascii_lowercase();
        let bare = path.trim_start_matches('/');
        let before = lower.strip_suffix(bare).filter(|_| !bare.is_empty());
        path.ends_with(&lower) || before.is_some_and(|before| before.ends_with(['/', '.']))
    };
    let tail = known.iter().filter(is_tail).min_by_key(|one| one.len().abs_diff(path.len()));
    let same_end = |one: &&&str| {
        let tail = |path: &str| path.rsplit('/').take(2).collect::<Vec<_>>().join("/");
        tail(&path) == tail(&one.to_ascii_lowercase())
    };
    let alike = || {
        let scored = known.iter().map(|one| (strsim::jaro_winkler(&path, &one.to_ascii_lowercase()), one));
        let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
        best.filter(|(score, _)| *score >= ALIKE).map(|(_, one)| one)
    };
    tail.or_else(|| known.iter().find(same_end)).or_else(alike).copied()
}

/// A path as an answer repeats it.
pub(crate) fn shown(path: &str) -> String {
    let end = path.char_indices().nth(SHOWN).map(|(end, _)| end);
    end.map_or_else(|| path.to_owned(), |end| format!("{}...", &path[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_too_many_are_taken_away() {
        for (given, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("/v1/models", "/v1/models"),
            ("/v1/models/", "/v1/models"),
            ("//v1///models//?a=//b/", "/v1/models?a=//b/"),
            ("/v1//images/generations", "/v1/images/generations"),
            ("http://host//api/a//b/", "http://host/api/a/b"),
        ] {
            let mut uri: Uri = given.parse().unwrap();
            normalise(&mut uri);
            assert_eq!(uri, expected, "{given}");
        }
    }

    #[test]
    fn a_path_that_a_proxy_leaves_on_is_taken_off() {
        for (url, given, expected) in [
            ("https://a.example/draw", "/draw", "/"),
            ("https://a.example/draw", "/draw/v1/models?a=/draw", "/v1/models?a=/draw"),
            ("https://a.example/draw/", "http://host/draw/page/js/main.js", "http://host/page/js/main.js"),
            ("https://a.example/draw", "/drawn/v1", "/drawn/v1"),
            ("https://a.example/draw", "/v1/models", "/v1/models"),
            ("https://a.example", "/v1/models", "/v1/models"),
            ("https://a.example/v1", "/v1/models", "/v1/models"),
        ] {
            let mut uri: Uri = given.parse().unwrap();
            enter(&mut uri, &url.parse().unwrap());
            assert_eq!(uri, expected, "{url}, {given}");
        }
    }

    #[test]
    fn what_was_meant_is_guessed() {
        let known = [
            "/v1/images/generations",
            "/v1/images/edits",
            "/v1/models",
            "/api/unclip.v1.UnclipService/GenerateImage",
            "/unclip.v1.UnclipService/GenerateImage",
        ];
        for (path, expected) in [
            ("/images/generations", Some(known[0])),
            ("/v1/v1/images/generations", Some(known[0])),
            ("/openai/deployments/x/images/generations", Some(known[0])),
            ("/V1/Images/Generations", Some(known[0])),
            ("/v1/images/generation", Some(known[0])),
            ("/v2/images/edits", Some(known[1])),
            ("/v1/image/edits/", Some(known[1])),
            ("/models", Some(known[2])),
            ("/unclip.v1.UnclipService/generateimage", Some(known[4])),
            ("/UnclipService/GenerateImage", Some(known[4])),
            ("/favicon.ico", None),
            ("/", None),
            ("/wp-login.php", None),
        ] {
            assert_eq!(guess(path, &known), expected, "{path}");
        }
        assert_eq!(guess(&"/é".repeat(4000), &known), None);
    }
}
