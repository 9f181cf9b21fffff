//! Answers: one JSON object, or one per line.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use http::{HeaderName, HeaderValue, StatusCode, header};
use prost_reflect::{DynamicMessage, SerializeOptions};
use tonic::codec::Streaming;
use unclip_service::Error;

use super::failure::Failure;

/// What a method answered.
pub(super) enum Answer {
    /// A unary method.
    One(DynamicMessage),
    /// A streaming method.
    Stream(Messages),
}

/// A stream whose first message has come already.
pub(super) struct Messages {
    pub(super) first: Option<DynamicMessage>,
    pub(super) rest: Box<Streaming<DynamicMessage>>,
}

/// The HTTP response.
pub(super) fn finish(answer: Result<Answer, Failure>) -> Response {
    let mut response = match answer.and_then(body) {
        Ok((content_type, body)) => ([(header::CONTENT_TYPE, content_type)], body).into_response(),
        Err(failure) => refusal(&failure),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // nginx would hold lines back until its buffer is full.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn body(answer: Answer) -> Result<(&'static str, Body), Failure> {
    match answer {
        Answer::One(message) => Ok(("application/json", line(&message)?.into())),
        Answer::Stream(messages) => Ok(("application/x-ndjson", Body::from_stream(lines(messages)))),
    }
}

fn refusal(failure: &Failure) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    let mut response = (failure.status, content_type, text(failure)).into_response();
    let headers = response.headers_mut();
    if let Some(delay) = failure.retry_after {
        headers.insert(
            header::RETRY_AFTER,
            delay.as_secs_f64().ceil().max(1.0).to_string().parse().unwrap_or(HeaderValue::from_static("1")),
        );
    }
    if failure.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// The messages as they come. When the body is dropped, because the client is gone, the gateway's work is dropped with it.
fn lines(messages: Messages) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let first = stream::iter(messages.first.map(Ok));
    // The status line is sent: from here a failure is the last line.
    let written = first.chain(messages.rest).map(|message| match message {
        Ok(message) => line(&message),
        Err(status) => Err(status.into()),
    });
    written.map(|line| Ok(line.unwrap_or_else(|failure| text(&failure).into())))
}

/// One message and a newline.
fn line(message: &DynamicMessage) -> Result<Bytes, Failure> {
    let mut text = Vec::new();
    let mut json = serde_json::Serializer::new(&mut text);
    message
        .serialize_with_options(&mut json, &SerializeOptions::new())
        .map_err(|error| Error::internal("the answer can't be written as JSON", error))?;
    text.push(b'\n');
    Ok(text.into())
}

fn text(failure: &Failure) -> String {
    format!("{}\n", failure.object())
}
