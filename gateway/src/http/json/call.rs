//! One call: JSON to message, the gateway, messages to JSON.

use axum::body::Bytes;
use http::uri::PathAndQuery;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor};
use tonic::client::Grpc;
use unclip_service::{Error, MAX_MESSAGE_BYTES, RequestContext, Transport};

use super::answer::{Answer, Messages};
use super::codec::DynamicCodec;
use super::failure::Failure;
use crate::http::near::near;

/// Calls a method of the gateway with a JSON body. The first message is waited for, so that a refusal has an HTTP status of
/// its own.
pub(super) async fn call(
    gateway: Transport,
    context: &RequestContext,
    method: MethodDescriptor,
    body: Bytes,
) -> Result<Answer, Failure> {
    let message = read(method.input(), body).await?;
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let path =
        PathAndQuery::try_from(path).map_err(|error| Error::internal("the method can't be called", error))?;
    let codec = DynamicCodec { answer: method.output() };
    let mut client = client(gateway).await?;
    // A unary answer is a stream of one message.
    let answer = client.server_streaming(context.request(message), path, codec).await?;
    let (_, mut messages, _) = answer.into_parts();
    let first = messages.message().await?;
    if method.is_server_streaming() {
        return Ok(Answer::Stream(Messages { first, rest: Box::new(messages) }));
    }
    let only = first.ok_or_else(|| Error::internal("the gateway did not answer", "no message"))?;
    Ok(Answer::One(only))
}

async fn client(gateway: Transport) -> Result<Grpc<Transport>, Failure> {
    let mut client = Grpc::new(gateway)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    client.ready().await.map_err(|error| Error::internal("the gateway can't be called", error))?;
    Ok(client)
}

/// Reads a body away from the async threads: it may hold many megabytes of base64.
async fn read(descriptor: MessageDescriptor, body: Bytes) -> Result<DynamicMessage, Failure> {
    tokio::task::spawn_blocking(move || parse(descriptor, &body))
        .await
        .map_err(|error| Error::internal("body: it could not be read", error))?
}

/// Reads the protobuf JSON mapping of a message. Fields that it does not have are refused.
fn parse(descriptor: MessageDescriptor, body: &[u8]) -> Result<DynamicMessage, Failure> {
    let known = descriptor.clone();
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let message = DynamicMessage::deserialize(descriptor, tracked).map_err(|error| {
        let path = track.path().to_string();
        let field = if path == "." { "body" } else { &path };
        Failure::body(format!("{field}: {error}{}", hint(&error.to_string(), &known)))
    })?;
    json.end().map_err(|error| Failure::body(format!("body: {error}")))?;
    Ok(message)
}

/// What was probably meant by a field that is not known.
fn hint(error: &str, message: &MessageDescriptor) -> String {
    let name = error.strip_prefix("unrecognized field name '").and_then(|rest| rest.split('\'').next());
    let meant = name.and_then(|name| near(name, &paths(message)));
    meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"))
}

/// The fields of a message, and those of the messages in it.
fn paths(message: &MessageDescriptor) -> Vec<String> {
    let inside = |field: &FieldDescriptor| -> Vec<String> {
        let kind = field.kind();
        let fields = kind.as_message().into_iter().flat_map(MessageDescriptor::fields);
        fields.map(|inner| format!("{}.{}", field.name(), inner.name())).collect()
    };
    let fields: Vec<_> = message.fields().collect();
    let own = fields.iter().map(|field| field.name().to_owned());
    own.chain(fields.iter().flat_map(inside)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::methods::Methods;
    use super::*;

    fn problem(method: &str, body: &str) -> String {
        let method = Methods::of_gateway().find("unclip.v1.UnclipService", method).unwrap();
        parse(method.input(), body.as_bytes()).unwrap_err().message
    }

    #[test]
    fn errors_name_the_field() {
        for (body, expected) in [
            ("", "body: EOF while parsing"),
            ("[1]", "body: invalid type: sequence"),
            ("{\"prompt\": 1}", "prompt: invalid type: integer `1`, expected a string"),
            (
                "{\"promt\": \"a fox\"}",
                "body: unrecognized field name 'promt' at line 1 column 8; did you mean prompt?",
            ),
            ("{\"lora\": 1}", "body: unrecognized field name 'lora' at line 1 column 7"),
            ("{\"decoder\": {\"steps\": -1}}", "decoder.steps: "),
            ("{\"decoder\": {\"sampler\": \"FAST\"}}", "decoder.sampler: "),
            ("{\"n\": 1, \"n\": 2}", "body: multiple fields"),
            ("{} {}", "body: trailing characters"),
        ] {
            let found = problem("GenerateImage", body);
            assert!(found.starts_with(expected), "{body}: {found}");
        }
        let found = problem("InvertImage", "{\"image\": \"%%%\"}");
        assert!(found.starts_with("image: "), "{found}");
        let found = problem("DiffImage", "{\"thetas\": [0, \"x\"]}");
        assert!(found.starts_with("thetas[1]: "), "{found}");
    }

    #[test]
    fn both_spellings_of_a_field_are_read() {
        let method = Methods::of_gateway().find("unclip.v1.UnclipService", "GenerateImage").unwrap();
        for body in ["{\"negativePrompt\": \"fog\"}", "{\"negative_prompt\": \"fog\"}"] {
            let message = parse(method.input(), body.as_bytes()).unwrap();
            assert_eq!(message.get_field_by_name("negative_prompt").unwrap().as_str(), Some("fog"));
        }
    }
}
