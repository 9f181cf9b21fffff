//! Training the judge.

use std::sync::Arc;

use tch::{Kind, Tensor};
use unclip_models::{ModelError, Params, Placement};

use super::JudgeConfig;
use super::open::{Shape, Towers, save};
use super::text::Words;
use crate::TrainError;
use crate::clip::{FIRST_SCALE, contrastive, recall};
use crate::data::Batch;
use crate::params::Init;
use crate::picture_tower::PictureTower;
use crate::pictures::picture_tensor;
use crate::run::{BatchSource, Inputs, Loss, RunFolder, Task};

/// Captions that the words are learned from, in batches of 256.
const CAPTION_BATCHES: u64 = 240;

/// The seed's other sequence of batches, for what happens before training.
const BEFORE: u64 = 0x5eed;

/// The judge's trainer.
pub struct JudgeTask {
    config: JudgeConfig,
    train: Arc<dyn BatchSource>,
    held_out: Arc<dyn BatchSource>,
    placement: Placement,
    shape: Shape,
    words: Words,
}

/// Both towers and the logarithm of the logits' scale.
pub struct JudgeNetwork {
    towers: Towers,
    log_scale: Tensor,
}

impl JudgeTask {
    /// Learns the words and writes `judge/config.json` into the run's folder, unless it is there from an earlier slice.
    ///
    /// # Errors
    /// A folder that can't be written.
    pub fn new(
        config: JudgeConfig,
        train: Arc<dyn BatchSource>,
        held_out: Arc<dyn BatchSource>,
        folder: &RunFolder,
        placement: Placement,
    ) -> Result<Self, TrainError> {
        if !Shape::path(folder).is_file() {
            let (picture, text) = (config.picture.clone(), config.text.clone());
            let words = Words::learn(&captions(train.as_ref(), config.seed), text.words).all;
            Shape { dim: config.dim, picture, text, words }.write(folder)?;
        }
        let shape = Shape::read(folder)?;
        let words = Words::new(shape.words.clone());
        Ok(Self { config, train, held_out, placement, shape, words })
    }

    fn batch_inputs(&self, batch: &Batch) -> Result<Inputs, TrainError> {
        let ids = self.words.ids(&batch.captions)?;
        Ok(Inputs::new().with("pictures", picture_tensor(batch)?).with("ids", ids))
    }
}

impl Task for JudgeTask {
    type Network = JudgeNetwork;

    fn name(&self) -> &'static str {
        "judge"
    }

    fn build(&self, params: &Params) -> Result<JudgeNetwork, ModelError> {
        Ok(JudgeNetwork {
            towers: self.shape.towers(params)?,
            log_scale: params.tensor("logit_scale", &[1])?,
        })
    }

    fn initialise(&self, name: &str, shape: &[i64], weight: Option<&[i64]>) -> Init {
        match name {
            "logit_scale" => Init::Constant(FIRST_SCALE),
            "text.words.weight" => Init::Normal(0.02),
            _ => PictureTower::initialise(name, shape, weight),
        }
    }

    fn inputs(&self, step: u64) -> Result<Inputs, TrainError> {
        self.batch_inputs(&self.train.batch(self.config.seed, step, self.config.optimisation.batch))
    }

    fn loss(&self, network: &JudgeNetwork, inputs: &Inputs) -> Result<Loss, TrainError> {
        self.joint_loss(network, &self.embed(network, inputs)?)
    }

    fn is_joint(&self) -> bool {
        true
    }

    fn embed(&self, network: &JudgeNetwork, inputs: &Inputs) -> Result<Vec<Tensor>, TrainError> {
        let Towers { picture, text } = &network.towers;
        let pictures = picture.embed(&picture.features(inputs.get("pictures")?));
        Ok(vec![pictures, text.forward(inputs.get("ids")?)])
    }

    fn joint_loss(&self, network: &JudgeNetwork, embedded: &[Tensor]) -> Result<Loss, TrainError> {
        let [pictures, texts] = embedded else {
            return Err(TrainError::shape("embedded", embedded.len(), "pictures and texts"));
        };
        let (total, scale) = contrastive(pictures, texts, &network.log_scale);
        Ok(Loss { total, parts: vec![("logit_scale", scale.mean(Kind::Float))] })
    }

    fn evaluate(&self, network: &JudgeNetwork) -> Result<Vec<(&'static str, f64)>, TrainError> {
        if self.held_out.is_empty() {
            return Ok(Vec::new());
        }
        let batch = self.held_out.plain(self.config.evaluated);
        let inputs = self.batch_inputs(&batch)?.to(self.placement.device)?;
        let Towers { picture, text } = &network.towers;
        let parts = inputs.get("pictures")?.split(128, 0);
        let pictures: Vec<_> = parts.iter().map(|part| picture.embed(&picture.features(part))).collect();
        let (pictures, texts) = (Tensor::f_cat(&pictures, 0)?, text.forward(inputs.get("ids")?));
        let (by_text, by_picture) = (recall(&texts, &pictures)?, recall(&pictures, &texts)?);
        Ok(vec![
            ("text_to_picture_at_1", by_text.at_1),
            ("text_to_picture_at_5", by_text.at_5),
            ("picture_to_text_at_1", by_picture.at_1),
            ("picture_to_text_at_5", by_picture.at_5),
        ])
    }

    fn save(&self, folder: &RunFolder, averages: &[(String, Tensor)]) -> Result<(), TrainError> {
        save(folder, averages)
    }
}

/// Captions of the training sequence.
fn captions(source: &dyn BatchSource, seed: u64) -> Vec<String> {
    (0..CAPTION_BATCHES).flat_map(|step| source.batch(seed ^ BEFORE, step, 256).captions).collect()
}
