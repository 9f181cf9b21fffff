//! A request's items, checked and encoded.

use std::sync::Arc;

use unclip_diffusion::noise::TorchNoise;
use unclip_proto::v1::{PriorItem, SamplePriorRequest, TextEncoding, prior_item};
use unclip_proto::{FieldError, PlainText, check_text};
use unclip_service::{Error, RequestContext};
use unclip_stage::{StageInfo, noise_at};

use crate::captions::Captions;

/// The most items of one request.
const MAX_ITEMS: usize = 64;

/// The most candidates of an item.
const MAX_CANDIDATES: u32 = 8;

/// The most samples of one request: items times candidates.
const MAX_SAMPLES: usize = 128;

/// One embedding to sample.
pub(crate) struct Item {
    pub(crate) text: Arc<PlainText>,
    pub(crate) noise: TorchNoise,
}

/// How many candidates each item has, after the request's counts have been checked.
pub(crate) fn candidates(request: &SamplePriorRequest) -> Result<usize, FieldError> {
    let items = request.items.len();
    if !(1..=MAX_ITEMS).contains(&items) {
        return Err(FieldError::new("items", format!("{items} items, there must be 1 to {MAX_ITEMS}")));
    }
    let candidates = request.candidates.unwrap_or(1);
    if !(1..=MAX_CANDIDATES).contains(&candidates) {
        return Err(FieldError::out_of_range("candidates", candidates, 1, MAX_CANDIDATES));
    }
    let candidates = candidates as usize;
    if items * candidates > MAX_SAMPLES {
        let problem =
            format!("{items} items times {candidates} candidates, there may be {MAX_SAMPLES} samples in all");
        return Err(FieldError::new("candidates", problem));
    }
    Ok(candidates)
}

/// Checks every item; captions are encoded in one call.
pub(crate) async fn resolve(
    items: Vec<PriorItem>,
    info: &StageInfo,
    captions: &Captions,
    context: &RequestContext,
) -> Result<Vec<Item>, Error> {
    let mut encodings = encode_captions(&items, captions, context).await?.into_iter();
    let mut resolved = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let field = format!("items[{index}]");
        let encoding = match item.text {
            Some(prior_item::Text::Encoding(encoding)) => Some(encoding),
            Some(prior_item::Text::Caption(_)) => encodings.next(),
            None => None,
        };
        let text = info.text(&format!("{field}.encoding"), encoding.as_ref())?;
        let noise = noise_at(&format!("{field}.noise"), item.noise.as_ref()).await?;
        resolved.push(Item { text: Arc::new(text), noise });
    }
    Ok(resolved)
}

async fn encode_captions(
    items: &[PriorItem],
    captions: &Captions,
    context: &RequestContext,
) -> Result<Vec<TextEncoding>, Error> {
    let mut texts = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if let Some(prior_item::Text::Caption(caption)) = &item.text {
            check_text(&format!("items[{index}].caption"), caption)?;
            texts.push(caption.clone());
        }
    }
    if texts.is_empty() { Ok(Vec::new()) } else { captions.encode(context, "items[].caption", texts).await }
}

/// The negative text, where guidance needs one: the request's own, or the empty caption.
pub(crate) async fn negative(
    given: Option<&TextEncoding>,
    info: &StageInfo,
    captions: &Captions,
    context: &RequestContext,
) -> Result<Arc<PlainText>, Error> {
    let encoded;
    let encoding = match given {
        Some(encoding) => Some(encoding),
        None if captions.available() => {
            encoded = captions.encode(context, "negative", vec![String::new()]).await?;
            encoded.first()
        }
        None => None,
    };
    Ok(Arc::new(info.text("negative", encoding)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(items: usize, candidates: Option<u32>) -> SamplePriorRequest {
        SamplePriorRequest { items: vec![PriorItem::default(); items], candidates, ..Default::default() }
    }

    #[test]
    fn counts_are_bounded() {
        assert_eq!(candidates(&request(1, None)).unwrap(), 1);
        assert_eq!(candidates(&request(16, Some(8))).unwrap(), 8);
        let cases = [
            (request(0, None), "items: 0 items"),
            (request(65, None), "items: 65 items"),
            (request(1, Some(0)), "candidates: 0 is out of range"),
            (request(1, Some(9)), "candidates: 9 is out of range"),
            (request(17, Some(8)), "candidates: 17 items times 8"),
        ];
        for (request, expected) in cases {
            let text = candidates(&request).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
