//! Which model made a result.

use crate::v1::{DecodeResult, EncodeTextResponse, InvertResult, ModelInfo, PriorResults, UpsampleResult};

/// A model, and in what it computes: the same request to the same maker has the same result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Maker {
    /// Fingerprint of the model.
    pub fingerprint: String,
    /// In what it computes, as `f32`.
    pub dtype: String,
}

impl From<&ModelInfo> for Maker {
    fn from(info: &ModelInfo) -> Self {
        Self { fingerprint: info.fingerprint.clone(), dtype: info.dtype.clone() }
    }
}

macro_rules! made {
    ($($result:ident),*) => {$(
        impl From<&$result> for Maker {
            fn from(result: &$result) -> Self {
                Self { fingerprint: result.model_fingerprint.clone(), dtype: result.dtype.clone() }
            }
        }
    )*};
}

made!(EncodeTextResponse, PriorResults, DecodeResult, UpsampleResult, InvertResult);
