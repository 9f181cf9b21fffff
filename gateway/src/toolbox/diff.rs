//! Text diffs (arXiv 2204.06125, section 3.3).

use unclip_proto::v1::{DiffImageRequest, DiffImageResponse, Embedding};
use unclip_proto::{FieldError, check_text};
use unclip_service::{Error, RequestContext};

use super::frames::{Frame, MAX_FRAMES, draw_in_order};
use super::interpolate::between_embeddings;
use super::latent::{LatentPlan, check_same_space, values};
use super::options::{InversionPlan, inversion_steps, plan, settled, way_back_of};
use super::stream::{EventStream, run};
use crate::pipeline::Pipeline;
use crate::plan::StageFacts;

/// The frames unless given: from the picture to the paper's 0.5.
const THETAS: [f32; 5] = [0.0, 0.125, 0.25, 0.375, 0.5];

/// A difference this much shorter than the texts is rounding.
const SAME: f64 = 1e-6;

/// Draws a picture on its way from one caption to another, in the order of the thetas.
pub(crate) async fn diff(
    pipeline: Pipeline,
    context: RequestContext,
    request: DiffImageRequest,
) -> Result<EventStream<DiffImageResponse>, Error> {
    check_text("from_caption", &request.from_caption)?;
    check_text("to_caption", &request.to_caption)?;
    let thetas = thetas(request.thetas)?;
    let options = request.options.as_ref();
    let inversion = InversionPlan::new(request.inversion.as_ref(), inversion_steps(options))?;
    let way_back = way_back_of([("latent", request.latent.as_ref())], inversion.steps)?;
    let make = |facts: &StageFacts| plan(options, None, way_back, facts);
    let plan = settled(&pipeline, &context, false, make).await?;
    let latent = LatentPlan::read(&pipeline, "latent", request.latent, false).await?;
    let captions = [request.from_caption, request.to_caption];
    run(
        &context.clone(),
        |events| async move {
            let watch = events.of_image(0);
            let z_i = latent.embedding(&pipeline, &context, plan.seed, &watch).await?;
            let [z_t0, z_t] =
                [&captions[0], &captions[1]].map(|caption| pipeline.text_embedding(&context, caption));
            let (z_t0, z_t) = futures::future::try_join(z_t0, z_t).await?;
            check_same_space(latent.field(), &z_i, &z_t)?;
            let z_d = direction(&z_i, &z_t0, &z_t)?;
            let texts = pipeline.encode(&context, &plan).await?;
            let x_t = latent.noise(&pipeline, &context, &texts, &z_i, Some(inversion), &watch).await?;
            let frame = |theta: &f32| {
                let embedding = between_embeddings(&z_i, &z_d, *theta)?;
                Ok::<_, Error>(Frame { embedding, x_t: x_t.clone(), seed: plan.seed })
            };
            let frames = thetas.iter().map(frame).collect::<Result<Vec<_>, _>>()?;
            draw_in_order(&pipeline, &context, (&plan, &texts), "diff", frames, &events).await
        },
        |()| None,
    )
    .await
}

/// z_d = norm(z_t - z_t0), at the length of z_i: the paper's embeddings all have length 1, ours have their own.
#[expect(clippy::cast_possible_truncation, reason = "embeddings are f32")]
fn direction(z_i: &Embedding, z_t0: &Embedding, z_t: &Embedding) -> Result<Embedding, Error> {
    let read = |embedding: &Embedding| values("embedding", embedding.tensor.as_ref());
    let (z_i, from, to) = (read(z_i)?, read(z_t0)?, read(z_t)?);
    let difference: Vec<f64> = to.iter().zip(&from).map(|(t, t0)| f64::from(*t) - f64::from(*t0)).collect();
    let length = norm(difference.iter().copied());
    if length <= SAME * norm(to.iter().copied().map(f64::from)) {
        let problem = "means the same as from_caption to the text encoder; give two captions that differ";
        return Err(FieldError::new("to_caption", problem).into());
    }
    let scale = norm(z_i.iter().copied().map(f64::from)) / length;
    let scaled: Vec<f32> = difference.iter().map(|value| (value * scale) as f32).collect();
    Ok(Embedding::new(&z_t.space, &scaled))
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

fn thetas(given: Vec<f32>) -> Result<Vec<f32>, FieldError> {
    if given.len() > MAX_FRAMES {
        let problem = format!("{} values, at most {MAX_FRAMES} are allowed", given.len());
        return Err(FieldError::new("thetas", problem));
    }
    if let Some((at, theta)) = given.iter().enumerate().find(|(_, theta)| !(0.0..=1.0).contains(*theta)) {
        return Err(FieldError::out_of_range(format!("thetas[{at}]"), theta, 0, 1));
    }
    Ok(if given.is_empty() { THETAS.to_vec() } else { given })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_direction_has_the_pictures_length() {
        let [z_i, from, to] = [[0.0, 5.0], [1.0, 1.0], [1.5, 1.0]].map(|values| Embedding::new("s", &values));
        let z_d = direction(&z_i, &from, &to).unwrap().values("x", 2).unwrap();
        assert!((z_d[0] - 5.0).abs() < 1e-5 && z_d[1].abs() < 1e-5, "{z_d:?}");
        let error = direction(&z_i, &from, &from).unwrap_err();
        assert!(error.message.starts_with("to_caption: means the same"), "{error}");
    }

    #[test]
    fn bad_thetas_are_named() {
        assert_eq!(thetas(vec![]).unwrap(), THETAS);
        for (given, expected) in [
            (vec![0.5, 1.5], "thetas[1]: 1.5 is out of range, it must be from 0 to 1"),
            (vec![f32::NAN], "thetas[0]: NaN is out of range"),
            (vec![0.0; 65], "thetas: 65 values, at most 64"),
        ] {
            let text = thetas(given).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
