//! Principal components in files.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use unclip_proto::v1::EmbeddingBasis;

use crate::inputs::read;
use crate::latents::{SPACE, space, tensor};
use crate::output::write;

const MEAN: &str = "mean";
const COMPONENTS: &str = "components";
const VARIANCES: &str = "variances";

/// Writes a basis as safetensors: `mean`, `components` and `variances`, f32, with the CLIP space as metadata.
///
/// # Errors
/// A place that can't be written, or a basis without values.
pub(crate) fn write_basis(path: &Path, basis: &EmbeddingBasis) -> anyhow::Result<()> {
    let parts = [(MEAN, &basis.mean), (COMPONENTS, &basis.components), (VARIANCES, &basis.variances)];
    let mut views = Vec::new();
    for (name, part) in parts {
        let part = part.as_ref().with_context(|| format!("the gateway sent no {name}"))?;
        views.push((name, TensorView::new(Dtype::F32, part.checked_shape(name)?, &part.data)?));
    }
    let metadata = HashMap::from([(SPACE.to_owned(), basis.space.clone())]);
    write(path, &safetensors::serialize(views, Some(metadata))?)
}

/// Reads it back.
///
/// # Errors
/// A file that can't be read or has no basis.
pub(crate) fn read_basis(path: &Path) -> anyhow::Result<EmbeddingBasis> {
    open(&read(path)?).with_context(|| format!("{} has no basis; `unclip basis` writes one", path.display()))
}

fn open(bytes: &[u8]) -> anyhow::Result<EmbeddingBasis> {
    let file = SafeTensors::deserialize(bytes)?;
    let part = |name| anyhow::Ok(Some(tensor(&file.tensor(name)?)?));
    Ok(EmbeddingBasis {
        space: space(bytes)?,
        mean: part(MEAN)?,
        components: part(COMPONENTS)?,
        variances: part(VARIANCES)?,
    })
}

#[cfg(test)]
mod tests {
    use unclip_proto::v1::Tensor;

    use super::*;

    #[test]
    fn a_basis_comes_back_from_a_file() {
        let path = std::env::temp_dir().join(format!("unclip-basis-{}.safetensors", std::process::id()));
        let basis = EmbeddingBasis {
            space: "s".to_owned(),
            mean: Some(Tensor::from_f32(&[2], &[1.0, 2.0])),
            components: Some(Tensor::from_f32(&[1, 2], &[0.6, 0.8])),
            variances: Some(Tensor::from_f32(&[1], &[3.0])),
        };
        write_basis(&path, &basis).unwrap();
        let found = read_basis(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found.unwrap(), basis);
        assert!(open(b"nothing").is_err());
    }
}
