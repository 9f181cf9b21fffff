//! What travels with every request: its id and its deadline.

use std::future::Future;
use std::time::{Duration, Instant};

use http::{Extensions, HeaderMap, HeaderValue};

use crate::Error;

/// The metadata key of the request id.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

const TIMEOUT_HEADER: &str = "grpc-timeout";

/// A request's id and deadline.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Given by the caller or made at the first server; in every log line and at every stage.
    pub request_id: String,
    /// When the caller stops waiting: one instant for all stages.
    pub deadline: Option<Instant>,
}

impl RequestContext {
    /// A context of its own, without a deadline.
    pub fn fresh() -> Self {
        Self { request_id: uuid::Uuid::now_v7().to_string(), deadline: None }
    }

    /// Reads the headers. An id that is no short visible ASCII text is replaced.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID_HEADER).and_then(|value| value.to_str().ok());
        let valid =
            given.filter(|id| (1..=128).contains(&id.len()) && id.chars().all(|c| c.is_ascii_graphic()));
        let request_id = valid.map_or_else(|| Self::fresh().request_id, str::to_owned);
        let timeout = headers.get(TIMEOUT_HEADER).and_then(|value| parse_timeout(value.to_str().ok()?));
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self { request_id, deadline }
    }

    /// The context that the server's middleware put into a request's extensions.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_else(Self::fresh)
    }

    /// A request to the next stage that carries this context.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Ok(id) = self.request_id.parse() {
            request.metadata_mut().insert(REQUEST_ID_HEADER, id);
        }
        if let Some(deadline) = self.deadline {
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        request
    }

    /// The id as a header value.
    pub fn id_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.request_id).ok()
    }

    /// Runs `work` until the deadline.
    ///
    /// # Errors
    /// Those of `work`, or DEADLINE_EXCEEDED in `stage`.
    pub async fn run<T>(
        &self,
        stage: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match self.deadline {
            None => work.await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), work)
                .await
                .unwrap_or_else(|_| Err(Error::deadline(stage))),
        }
    }
}

/// The gRPC wire format: up to eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let value: u64 = (digits.len() <= 8).then(|| digits.parse().ok())??;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_parse() {
        assert_eq!(parse_timeout("15S"), Some(Duration::from_secs(15)));
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        for bad in ["", "S", "123456789S", "5X", "-1S", "5é"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_good_id_is_kept_and_a_bad_one_replaced() {
        let with = |id: &'static [u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID_HEADER, HeaderValue::from_bytes(id).unwrap());
            RequestContext::from_headers(&headers).request_id
        };
        assert_eq!(with(b"abc-1"), "abc-1");
        assert_ne!(with(b"two words"), "two words");
        assert_eq!(with(b"").len(), 36);
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_at_the_deadline() {
        let mut context = RequestContext::fresh();
        context.deadline = Some(tokio::time::Instant::now().into_std() + Duration::from_secs(1));
        let result: Result<(), _> = context.run("prior", std::future::pending()).await;
        assert_eq!(result.unwrap_err().code, crate::Code::DeadlineExceeded);
    }
}
