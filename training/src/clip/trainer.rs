//! Training CLIP.

use std::sync::Arc;

use tch::{Kind, Tensor};
use unclip_bundle::config::{ClipTextConfig, ClipVisionConfig, PreprocessorConfig, TokenizerConfig};
use unclip_bundle::{Bundle, Component};
use unclip_clip::ClipTokenizer;
use unclip_models::{ModelError, Params, Placement};

use super::loss::{FIRST_SCALE, unit};
use super::retrieval::directions;
use super::{
    ClipConfig, PatchInit, TextTower, VisionTower, contrastive, learn_tokenizer, parts, patches, recall,
};
use crate::TrainError;
use crate::bundle::write_index;
use crate::data::Batch;
use crate::params::{Init, ParamStore};
use crate::picture_tower::PictureTower;
use crate::pictures::{picture_tensor, token_tensor};
use crate::run::{BatchSource, Inputs, Loss, RunFolder, Task};

/// Captions that the tokenizer is learned from, in batches of 256.
const CAPTION_BATCHES: u64 = 240;

/// Pictures that the patch embedding starts from.
const WHITENED_PICTURES: usize = 1024;

/// The seed's other sequence of batches, for what happens before training.
const BEFORE: u64 = 0x5eed;

/// CLIP's trainer.
pub struct ClipTask {
    config: ClipConfig,
    train: Arc<dyn BatchSource>,
    held_out: Arc<dyn BatchSource>,
    placement: Placement,
    text: ClipTextConfig,
    vision: ClipVisionConfig,
    tokenizer: ClipTokenizer,
}

/// Both towers and the logarithm of the logits' scale.
pub struct ClipNetwork {
    text: TextTower,
    vision: VisionTower,
    log_scale: Tensor,
    teacher: Option<TeacherNetwork>,
}

/// A tower that is trained on the same captions and taken for a model.
struct TeacherNetwork {
    picture: PictureTower,
    log_scale: Tensor,
    agreement: f64,
}

impl TeacherNetwork {
    fn new(params: &Params, config: &ClipConfig) -> Result<Option<Self>, ModelError> {
        let Some(teacher) = &config.teacher else { return Ok(None) };
        let params = params.sub("teacher");
        Ok(Some(Self {
            picture: PictureTower::new(&params, &teacher.picture, config.dim)?,
            log_scale: params.tensor("logit_scale", &[1])?,
            agreement: teacher.agreement,
        }))
    }

    fn embed(&self, pictures: &Tensor) -> Tensor {
        self.picture.embed(&self.picture.features(pictures))
    }

    /// Adds its own loss, and what the image tower's embeddings differ from its own, to the image tower's.
    fn join(&self, loss: Loss, pictures: &Tensor, texts: &Tensor, taught: &Tensor) -> Loss {
        let (own, _) = contrastive(taught, texts, &self.log_scale);
        let cosine = (unit(pictures) * unit(&taught.detach())).sum_dim_intlist(1, false, Kind::Float);
        let disagreement: Tensor = 1.0 - cosine.mean(Kind::Float);
        let total = loss.total + &own + &disagreement * self.agreement;
        let parts = loss.parts.into_iter().chain([("teacher", own), ("disagreement", disagreement)]);
        Loss { total, parts: parts.collect() }
    }
}

impl ClipTask {
    /// Writes tokenizer and configs into the run's folder, unless they are there from an earlier slice of it, and reads
    /// them back as a server would.
    ///
    /// # Errors
    /// A folder that can't be written, or a configuration that the servers would refuse.
    pub fn new(
        config: ClipConfig,
        train: Arc<dyn BatchSource>,
        held_out: Arc<dyn BatchSource>,
        folder: &RunFolder,
        placement: Placement,
    ) -> Result<Self, TrainError> {
        let root = folder.bundle();
        let tokenizer_folder = root.join(Component::Tokenizer.folder());
        if !tokenizer_folder.join(<TokenizerConfig as unclip_bundle::config::Config>::FILE).is_file() {
            let captions = captions(train.as_ref(), config.seed);
            learn_tokenizer(&captions, config.text.vocabulary, config.text.tokens, &tokenizer_folder)?;
            write_index(&root)?;
        }
        let tokenizer = ClipTokenizer::load(&Bundle::open(&root)?)?;
        let vocabulary = usize::try_from(tokenizer.largest_id()).unwrap_or_default() + 1;
        let text = folder.write_config(Component::TextEncoder, &parts::text_encoder(&config, vocabulary))?;
        let vision = folder.write_config(Component::ImageEncoder, &parts::image_encoder(&config))?;
        let extractor = parts::feature_extractor(&config);
        folder.write_config::<PreprocessorConfig>(Component::FeatureExtractor, &extractor)?;
        Ok(Self { config, train, held_out, placement, text, vision, tokenizer })
    }

    fn batch_inputs(&self, batch: &Batch) -> Result<Inputs, TrainError> {
        let (ids, _) = token_tensor(&self.tokenizer, &batch.captions)?;
        Ok(Inputs::new().with("pictures", picture_tensor(batch)?).with("ids", ids))
    }

    /// Embeddings of held-out pictures, of their captions, and the teacher's of the pictures, in parts that fit into memory.
    fn embed_held_out(&self, network: &ClipNetwork) -> Result<Vec<Tensor>, TrainError> {
        let inputs =
            self.batch_inputs(&self.held_out.plain(self.config.evaluated))?.to(self.placement.device)?;
        let (pictures, ids) = (inputs.get("pictures")?.split(128, 0), inputs.get("ids")?.split(128, 0));
        let joined = |parts: Vec<Tensor>| Ok::<_, TrainError>(Tensor::f_cat(&parts, 0)?);
        let mut embedded = vec![
            joined(pictures.iter().map(|part| network.vision.forward(part)).collect())?,
            joined(ids.iter().map(|part| network.text.forward(part).embedding).collect())?,
        ];
        if let Some(teacher) = &network.teacher {
            embedded.push(joined(pictures.iter().map(|part| teacher.embed(part)).collect())?);
        }
        Ok(embedded)
    }

    /// OpenAI's initial values (github.com/openai/CLIP, clip/model.py, `initialize_parameters`).
    fn initial(&self, name: &str) -> Option<Init> {
        let tower = if name.starts_with("text") {
            (self.text.hidden_size, self.text.num_hidden_layers)
        } else {
            (self.vision.hidden_size, self.vision.num_hidden_layers)
        };
        #[expect(clippy::cast_precision_loss, reason = "widths and depths are small")]
        let (width, depth) = (tower.0 as f32, tower.1 as f32);
        let ends = |end: &str| name.ends_with(&format!("{end}.weight"));
        let residual = (width * 2.0 * depth).sqrt().recip();
        if name.ends_with("logit_scale") {
            return Some(Init::Constant(FIRST_SCALE));
        }
        if name.ends_with("class_embedding") || ends("projection") {
            return Some(Init::Normal(width.sqrt().recip()));
        }
        if name.starts_with("image_encoder") && ends("position_embedding") {
            return Some(Init::Normal(width.sqrt().recip()));
        }
        let deviation = match () {
            () if ends("token_embedding") => 0.02,
            () if ends("position_embedding") => 0.01,
            () if ends("q_proj") || ends("k_proj") || ends("v_proj") => width.sqrt().recip(),
            () if ends("out_proj") || ends("fc2") => residual,
            () if ends("fc1") => (2.0 * width).sqrt().recip(),
            () if name.ends_with("_proj.bias")
                || name.ends_with("fc1.bias")
                || name.ends_with("fc2.bias") =>
            {
                return Some(Init::Zeros);
            }
            () => return None,
        };
        Some(Init::Normal(deviation))
    }
}

impl Task for ClipTask {
    type Network = ClipNetwork;

    fn name(&self) -> &'static str {
        "clip"
    }

    fn build(&self, params: &Params) -> Result<ClipNetwork, ModelError> {
        Ok(ClipNetwork {
            text: TextTower::new(&params.sub(Component::TextEncoder.folder()), &self.text)?,
            vision: VisionTower::new(&params.sub(Component::ImageEncoder.folder()), &self.vision)?,
            log_scale: params.tensor("logit_scale", &[1])?,
            teacher: TeacherNetwork::new(params, &self.config)?,
        })
    }

    fn initialise(&self, name: &str, shape: &[i64], weight: Option<&[i64]>) -> Init {
        if let Some(name) = name.strip_prefix("teacher.").filter(|name| *name != "logit_scale") {
            return PictureTower::initialise(name, shape, weight);
        }
        self.initial(name).unwrap_or_else(|| Init::layer(name, shape, weight))
    }

    fn prepare(&self, store: &mut ParamStore) -> Result<(), TrainError> {
        if self.config.vision.patch_init == PatchInit::Random {
            return Ok(());
        }
        let name = "image_encoder.vision_model.embeddings.patch_embedding.weight";
        let Some((_, kernel)) = store.averages_by_name().into_iter().find(|(known, _)| known == name) else {
            return Ok(());
        };
        let batch = self.train.batch(self.config.seed ^ BEFORE, 0, WHITENED_PICTURES);
        store.set(name, &patches::whitened(&kernel, &picture_tensor(&batch)?)?)
    }

    fn inputs(&self, step: u64) -> Result<Inputs, TrainError> {
        self.batch_inputs(&self.train.batch(self.config.seed, step, self.config.optimisation.batch))
    }

    fn loss(&self, network: &ClipNetwork, inputs: &Inputs) -> Result<Loss, TrainError> {
        self.joint_loss(network, &self.embed(network, inputs)?)
    }

    fn is_joint(&self) -> bool {
        true
    }

    fn embed(&self, network: &ClipNetwork, inputs: &Inputs) -> Result<Vec<Tensor>, TrainError> {
        let pictures = inputs.get("pictures")?;
        let texts = network.text.forward(inputs.get("ids")?).embedding;
        let taught = network.teacher.as_ref().map(|teacher| teacher.embed(pictures));
        Ok([network.vision.forward(pictures), texts].into_iter().chain(taught).collect())
    }

    fn joint_loss(&self, network: &ClipNetwork, embedded: &[Tensor]) -> Result<Loss, TrainError> {
        let [pictures, texts, taught @ ..] = embedded else {
            return Err(TrainError::shape("embedded", embedded.len(), "pictures and texts"));
        };
        let (total, scale) = contrastive(pictures, texts, &network.log_scale);
        let parts = vec![("contrastive", total.shallow_clone()), ("logit_scale", scale.mean(Kind::Float))];
        let loss = Loss { total, parts };
        Ok(match (&network.teacher, taught) {
            (Some(teacher), [taught]) => teacher.join(loss, pictures, texts, taught),
            _ => loss,
        })
    }

    fn evaluate(&self, network: &ClipNetwork) -> Result<Vec<(&'static str, f64)>, TrainError> {
        if self.held_out.is_empty() {
            return Ok(Vec::new());
        }
        let embedded = self.embed_held_out(network)?;
        let [pictures, texts, taught @ ..] = embedded.as_slice() else { return Ok(Vec::new()) };
        let (by_text, by_picture) = (recall(texts, pictures)?, recall(pictures, texts)?);
        let mut figures = vec![
            ("text_to_picture_at_1", by_text.at_1),
            ("text_to_picture_at_5", by_text.at_5),
            ("picture_to_text_at_1", by_picture.at_1),
            ("picture_to_text_at_5", by_picture.at_5),
            ("directions", directions(pictures)?),
        ];
        if let [taught] = taught {
            let by_text = recall(texts, taught)?;
            figures.extend([("teacher_at_1", by_text.at_1), ("teacher_at_5", by_text.at_5)]);
        }
        Ok(figures)
    }
}

/// Captions of the training sequence, and of every item as it is.
fn captions(source: &dyn BatchSource, seed: u64) -> Vec<String> {
    let drawn = (0..CAPTION_BATCHES).flat_map(|step| source.captions(seed ^ BEFORE, step, 256));
    drawn.collect()
}
