//! Principal components of embeddings (arXiv 2204.06125, section 4).

use nalgebra::{DMatrix, SymmetricEigen};
use unclip_proto::v1::{ComputeBasisRequest, ComputeBasisResponse, Embedding, EmbeddingBasis, Tensor};
use unclip_proto::{FieldError, required};
use unclip_service::Error;

use super::latent::{check_same_space, values};

/// Embeddings of one request.
const EMBEDDINGS: std::ops::RangeInclusive<usize> = 2..=16384;

/// The widest embedding: the work grows with its third power.
const MAX_DIM: usize = 2048;

/// A variance this much below the largest is rounding: along it the set has no extent.
const NO_EXTENT: f64 = 1e-10;

/// Finds the principal components of the request's embeddings.
pub(crate) async fn compute_basis(request: ComputeBasisRequest) -> Result<ComputeBasisResponse, Error> {
    let failed = |error| Error::internal("the principal components could not be computed", error);
    let basis = tokio::task::spawn_blocking(move || basis(&request)).await.map_err(failed)??;
    Ok(ComputeBasisResponse { basis: Some(basis) })
}

fn basis(request: &ComputeBasisRequest) -> Result<EmbeddingBasis, Error> {
    let set = Set::read(&request.embeddings)?;
    let wanted = request.components.map_or(usize::MAX, |count| count as usize);
    if wanted == 0 {
        return Err(FieldError::new("components", "0, there must be 1 or more").into());
    }
    let (components, variances) = set.components();
    let count = components.len().min(wanted);
    if count == 0 {
        return Err(FieldError::new("embeddings", "all are the same; give pictures that differ").into());
    }
    let dim = set.mean.len();
    Ok(EmbeddingBasis {
        space: set.space,
        mean: Some(Tensor::from_f32(&[dim], &single(&set.mean))),
        components: Some(Tensor::from_f32(&[count, dim], &single(&components[..count].concat()))),
        variances: Some(Tensor::from_f32(&[count], &single(&variances[..count]))),
    })
}

/// Embeddings around their mean.
struct Set {
    space: String,
    mean: Vec<f64>,
    /// `[dim, count]`.
    centred: DMatrix<f64>,
}

impl Set {
    fn read(embeddings: &[Embedding]) -> Result<Self, Error> {
        let count = embeddings.len();
        let Some(first) = embeddings.first().filter(|_| EMBEDDINGS.contains(&count)) else {
            let (low, high) = (EMBEDDINGS.start(), EMBEDDINGS.end());
            let problem = format!("{count} embeddings, there must be {low} to {high}");
            return Err(FieldError::new("embeddings", problem).into());
        };
        let dim = values("embeddings[0].tensor", first.tensor.as_ref())?.len();
        if dim > MAX_DIM {
            let problem = format!("{dim} values, at most {MAX_DIM} are allowed");
            return Err(FieldError::new("embeddings[0].tensor", problem).into());
        }
        let mut all = Vec::with_capacity(count * dim);
        for (index, embedding) in embeddings.iter().enumerate() {
            let field = format!("embeddings[{index}]");
            check_same_space(&field, embedding, first)?;
            let field = format!("{field}.tensor");
            all.extend(required(embedding.tensor.as_ref(), &field)?.floats(&field, &[dim])?);
        }
        let mut centred = DMatrix::from_iterator(dim, count, all.into_iter().map(f64::from));
        let mean = centred.column_mean();
        centred.column_iter_mut().for_each(|mut column| column -= &mean);
        Ok(Self { space: first.space.clone(), mean: mean.iter().copied().collect(), centred })
    }

    /// Components and variances, the largest first. The smaller of covariance and Gram matrix has the same eigenvalues.
    fn components(&self) -> (Vec<Vec<f64>>, Vec<f64>) {
        let (dim, count) = self.centred.shape();
        let wide = count < dim;
        let product = match wide {
            true => self.centred.tr_mul(&self.centred),
            false => &self.centred * self.centred.transpose(),
        };
        let eigen = SymmetricEigen::new(product);
        let mut order: Vec<usize> = (0..eigen.eigenvalues.len()).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
        let largest = order.first().map_or(0.0, |first| eigen.eigenvalues[*first]);
        order.retain(|index| eigen.eigenvalues[*index] > largest * NO_EXTENT);
        let component = |index: &usize| {
            let vector = eigen.eigenvectors.column(*index);
            let vector = if wide { &self.centred * vector } else { vector.into_owned() };
            let largest = vector.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
            let sign = if largest.is_some_and(|value| value < 0.0) { -1.0 } else { 1.0 };
            (vector.normalize() * sign).iter().copied().collect()
        };
        #[expect(clippy::cast_precision_loss, reason = "at most 16384")]
        let variance = |index: &usize| eigen.eigenvalues[*index] / (count - 1) as f64;
        (order.iter().map(component).collect(), order.iter().map(variance).collect())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "tensors are f32")]
fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

/// A basis as it came with a request.
pub(super) struct Basis {
    space: String,
    mean: Vec<f32>,
    components: Vec<f32>,
}

impl Basis {
    /// Validates a basis.
    pub(super) fn read(basis: Option<&EmbeddingBasis>) -> Result<Self, FieldError> {
        let basis = required(basis, "basis")?;
        let mean = values("basis.mean", basis.mean.as_ref())?;
        let tensor = required(basis.components.as_ref(), "basis.components")?;
        let shape = tensor.checked_shape("basis.components")?;
        match shape[..] {
            [_, width] if width == mean.len() => {}
            _ => {
                let problem = format!("{shape:?}, it must be [components, {}]", mean.len());
                return Err(FieldError::new("basis.components.shape", problem));
            }
        }
        let components = tensor.floats("basis.components", &shape)?;
        Ok(Self { space: basis.space.clone(), mean, components })
    }

    /// How many components there are.
    pub(super) fn len(&self) -> usize {
        self.components.len() / self.mean.len().max(1)
    }

    /// What the first `count` components keep of an embedding.
    pub(super) fn project(&self, embedding: &Embedding, count: usize) -> Result<Embedding, Error> {
        if embedding.space != self.space {
            return Err(Error::wrong_space("basis", &self.space, &embedding.space));
        }
        let dim = self.mean.len();
        let field = "latent.image_embedding.tensor";
        let own = required(embedding.tensor.as_ref(), field)?.floats(field, &[dim])?;
        let mut kept: Vec<f64> = self.mean.iter().map(|value| f64::from(*value)).collect();
        for component in self.components.chunks_exact(dim).take(count) {
            let along: f64 = component
                .iter()
                .zip(own.iter().zip(&self.mean))
                .map(|(component, (value, mean))| f64::from(*component) * f64::from(value - mean))
                .sum();
            kept.iter_mut()
                .zip(component)
                .for_each(|(kept, component)| *kept += along * f64::from(*component));
        }
        Ok(Embedding::new(&embedding.space, &single(&kept)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(rows: &[&[f32]]) -> ComputeBasisRequest {
        let embeddings = rows.iter().map(|row| Embedding::new("s", row)).collect();
        ComputeBasisRequest { embeddings, components: None }
    }

    fn floats(tensor: Option<&Tensor>) -> Vec<f32> {
        values("x", tensor).unwrap()
    }

    fn close(found: &[f32], expected: &[f32]) {
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near && found.len() == expected.len(), "{found:?}, expected {expected:?}");
    }

    #[test]
    fn components_come_by_variance_whether_there_are_few_or_many_embeddings() {
        // Along the first axis four times as far as along the second, around (5, 1).
        let few: [&[f32]; 4] = [
            &[9.0, 1.0, 0.0, 0.0, 0.0],
            &[1.0, 1.0, 0.0, 0.0, 0.0],
            &[5.0, 2.0, 0.0, 0.0, 0.0],
            &[5.0, 0.0, 0.0, 0.0, 0.0],
        ];
        for width in [5, 2] {
            let rows: Vec<&[f32]> = few.iter().map(|row| &row[..width]).collect();
            let basis = basis(&set(&rows)).unwrap();
            close(&floats(basis.mean.as_ref())[..2], &[5.0, 1.0]);
            let components = floats(basis.components.as_ref());
            close(
                &[components[0], components[1], components[width], components[width + 1]],
                &[1.0, 0.0, 0.0, 1.0],
            );
            close(&floats(basis.variances.as_ref()), &[32.0 / 3.0, 2.0 / 3.0]);
        }
    }

    #[test]
    fn all_components_give_an_embedding_of_the_set_back_and_none_the_mean() {
        let rows: [&[f32]; 3] = [&[1.0, 2.0, 3.0], &[-1.0, 0.5, 2.0], &[0.0, 4.0, -2.0]];
        let message = basis(&set(&rows)).unwrap();
        let basis = Basis::read(Some(&message)).unwrap();
        assert_eq!(basis.len(), 2);
        let project =
            |count| floats(basis.project(&Embedding::new("s", rows[1]), count).unwrap().tensor.as_ref());
        close(&project(2), rows[1]);
        close(&project(0), &floats(message.mean.as_ref()));
        let distance =
            |count| -> f32 { project(count).iter().zip(rows[1]).map(|(a, b)| (a - b).powi(2)).sum() };
        assert!(distance(0) > distance(1) && distance(1) > distance(2));
        assert!(basis.project(&Embedding::new("other", rows[1]), 1).is_err());
        assert!(basis.project(&Embedding::new("s", &[1.0]), 1).is_err());
    }

    #[test]
    fn bad_sets_are_refused_by_field() {
        let refused = |request: &ComputeBasisRequest| basis(request).unwrap_err().to_string();
        assert_eq!(refused(&set(&[&[1.0]])), "embeddings: 1 embeddings, there must be 2 to 16384");
        assert!(refused(&set(&[&[1.0], &[1.0, 2.0]])).starts_with("embeddings[1].tensor.shape: [2]"));
        assert!(refused(&set(&[&[1.0], &[f32::NAN]])).starts_with("embeddings[1].tensor: element 0 is NaN"));
        assert!(refused(&set(&[&[1.0, 2.0], &[1.0, 2.0]])).starts_with("embeddings: all are the same"));
        let none = ComputeBasisRequest { components: Some(0), ..set(&[&[1.0], &[2.0]]) };
        assert!(refused(&none).starts_with("components: 0"));
        let damaged = EmbeddingBasis {
            mean: Some(Tensor::from_f32(&[2], &[0.0, 0.0])),
            components: Some(Tensor::from_f32(&[1, 3], &[0.0; 3])),
            ..Default::default()
        };
        let text = Basis::read(Some(&damaged)).err().unwrap().to_string();
        assert_eq!(text, "basis.components.shape: [1, 3], it must be [components, 2]");
    }
}
