//! Pictures inside JSON: data URLs.

use bytes::Bytes;
use data_url::DataUrl;
use serde_json::Value;

use super::error::ApiError;
use super::fields::Fields;

/// The longest address of a picture, in characters, as the official API has it.
const MAX_URL: usize = 20 << 20;

/// The first picture of `images`, and how many there are.
pub(super) fn first_image(fields: &mut Fields) -> Result<(Bytes, usize), ApiError> {
    match fields.any("images") {
        None => Err(ApiError::missing("images")),
        Some(Value::Array(images)) => {
            let count = images.len();
            match images.into_iter().next() {
                Some(image) => Ok((picture("images[0]", image)?, count)),
                None => Err(ApiError::value("images", "empty, send one picture")),
            }
        }
        Some(_) => Err(ApiError::value(
            "images",
            "must be a list with one object: [{\"image_url\": \"data:image/png;base64,...\"}]",
        )),
    }
}

/// The picture of an object with `image_url`.
pub(super) fn picture(param: &str, value: Value) -> Result<Bytes, ApiError> {
    let Value::Object(members) = value else {
        let problem = "must be an object: {\"image_url\": \"data:image/png;base64,...\"}";
        return Err(ApiError::value(param, problem));
    };
    let mut members = Fields::of_json(members);
    let inside = |mut error: ApiError| {
        error.message = format!("{param}.{}", error.message);
        error.param = error.param.map(|name| format!("{param}.{name}"));
        error
    };
    members
        .refuse("file_id", "this server stores no files; send the picture itself as a data URL in image_url")
        .map_err(inside)?;
    let url = members.text("image_url").map_err(inside)?;
    members.finish().map_err(inside)?;
    read(&url.ok_or_else(|| inside(ApiError::missing("image_url")))?).map_err(inside)
}

fn read(url: &str) -> Result<Bytes, ApiError> {
    let bad = |problem: &str| ApiError::value("image_url", problem);
    if url.len() > MAX_URL {
        return Err(bad(&format!("{} characters, at most {MAX_URL} are allowed", url.len())));
    }
    if url.starts_with("http://") || url.starts_with("https://") {
        let problem =
            "this server fetches nothing; send the picture itself as a data URL, data:image/png;base64,...";
        return Err(ApiError::unsupported("image_url", problem));
    }
    let wrong = "no data URL; send data:image/png;base64,...";
    let parsed = DataUrl::process(url).map_err(|_| bad(wrong))?;
    let (bytes, _) = parsed.decode_to_vec().map_err(|_| bad("damaged base64"))?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn images(value: Value) -> Result<(Bytes, usize), ApiError> {
        let Value::Object(values) = json!({"images": value}) else { panic!("an object") };
        first_image(&mut Fields::of_json(values))
    }

    #[test]
    fn data_urls_are_read() {
        for url in ["data:image/png;base64,AAEC", "data:;base64,AAEC", "data:text/plain,%00%01%02"] {
            assert_eq!(images(json!([{"image_url": url}])).unwrap(), (Bytes::from_static(&[0, 1, 2]), 1));
        }
        let several = json!([{"image_url": "data:,a"}, {"image_url": "data:,b"}]);
        assert_eq!(images(several).unwrap(), (Bytes::from_static(b"a"), 2));
        assert_eq!(images(Value::Null).unwrap_err().param.as_deref(), Some("images"));
    }

    #[test]
    fn what_is_no_data_url_is_refused_by_its_place() {
        let cases = [
            (json!([]), "images: empty"),
            (json!("data:,"), "images: must be a list"),
            (json!(["data:,"]), "images[0]: must be an object"),
            (json!([{}]), "images[0].image_url: missing"),
            (json!([{"image_url": 7}]), "images[0].image_url: a number where a text must be"),
            (
                json!([{"image_url": "https://a.example/b.png"}]),
                "images[0].image_url: this server fetches nothing",
            ),
            (json!([{"image_url": "b.png"}]), "images[0].image_url: no data URL"),
            (json!([{"image_url": "data:;base64,A"}]), "images[0].image_url: damaged base64"),
            (json!([{"file_id": "file-1"}]), "images[0].file_id: this server stores no files"),
            (json!([{"image_url": "data:,a", "detail": "low"}]), "images[0].detail: unknown here"),
        ];
        for (value, expected) in cases {
            let error = images(value).unwrap_err();
            assert!(error.message.starts_with(expected), "{}", error.message);
            assert_eq!(error.param.as_deref(), expected.split(": ").next());
        }
    }
}
