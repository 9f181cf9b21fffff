//! The services that a bundle can be served by, and the parts that each is made of.

use std::path::{Path, PathBuf};

use crate::{Bundle, BundleError, Component, open_file, weight_files};

/// A service of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Texts to CLIP embeddings. Every other stage needs it, directly or for the space of its embeddings.
    TextEncoder,
    /// Pictures to CLIP embeddings.
    ImageEncoder,
    /// Text embeddings to image embeddings.
    Prior,
    /// Image embeddings to small pictures.
    Decoder,
    /// Small pictures to large ones.
    Upsampler,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 5] =
        [Self::TextEncoder, Self::ImageEncoder, Self::Prior, Self::Decoder, Self::Upsampler];

    /// Its name in manifests, logs and model infos.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextEncoder => "text-encoder",
            Self::ImageEncoder => "image-encoder",
            Self::Prior => "prior",
            Self::Decoder => "decoder",
            Self::Upsampler => "upsampler",
        }
    }

    /// The parts that it is made of, in the order in which its fingerprint takes them.
    pub fn components(self) -> &'static [Component] {
        match self {
            Self::TextEncoder => &[Component::Tokenizer, Component::TextEncoder],
            Self::ImageEncoder => &[Component::FeatureExtractor, Component::ImageEncoder],
            Self::Prior => &[Component::Prior, Component::PriorScheduler],
            Self::Decoder => &[Component::TextProj, Component::Decoder, Component::DecoderScheduler],
            Self::Upsampler => {
                &[Component::SuperResFirst, Component::SuperResLast, Component::SuperResScheduler]
            }
        }
    }

    /// What to do about a bundle without it.
    fn advice(self, root: &Path) -> String {
        let source = match self {
            Self::ImageEncoder => "Karlo's image encoder comes with karlo-v1-alpha-image-variations",
            Self::Prior => "karlo-v1-alpha has one, karlo-v1-alpha-image-variations has not",
            Self::TextEncoder | Self::Decoder | Self::Upsampler => "every Karlo has one",
        };
        let folders: Vec<_> = self.components().iter().map(|part| format!("{}/", part.folder())).collect();
        let root = root.display();
        format!(
            "{source}: put {} of the same model into {root} and run `unclip import {root}`",
            folders.join(", ")
        )
    }
}

impl Bundle {
    /// The files of a component that decide its results, sorted: JSON, vocabulary, and the weights that are used. What
    /// import writes (ONNX) does not count, nor do other variants of the weights.
    ///
    /// # Errors
    /// A folder that can't be read, and those of [`Bundle::weight_files`].
    pub fn files(&self, component: Component) -> Result<Vec<PathBuf>, BundleError> {
        let folder = self.folder(component);
        let io = |source| BundleError::Io { path: folder.clone(), source };
        let mut files = Vec::new();
        for entry in folder.read_dir().map_err(io)? {
            let path = entry.map_err(io)?.path();
            // A link that leads nowhere is a file that the download lacks, not one that the checkpoint lacks.
            if is_text(&path) && (path.is_file() || !path.exists()) {
                files.push(path);
            }
        }
        if component.has_weights() {
            let weights = self.weight_files(component)?;
            files.extend(weights.paths);
            files.push(weights.main);
        }
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// Whether the bundle has what a stage is made of.
    pub fn has_stage(&self, stage: Stage) -> bool {
        stage.components().iter().all(|component| self.has(*component))
    }

    /// Refuses a bundle without a stage, by the first part that is not there, with what to do.
    ///
    /// # Errors
    /// [`BundleError::NoStage`].
    pub fn require(&self, stage: Stage) -> Result<(), BundleError> {
        match stage.components().iter().find(|component| !self.has(**component)) {
            None => Ok(()),
            Some(missing) => Err(BundleError::NoStage {
                path: self.folder(*missing),
                stage: stage.name(),
                advice: stage.advice(self.root()),
            }),
        }
    }

    /// What is missing of a checkpoint that is to be imported: parts that `model_index.json` lists, the rest of a stage that
    /// is there in part, the text encoder, and files that are links to nowhere.
    pub fn missing_parts(&self) -> Vec<BundleError> {
        let mut errors = Vec::new();
        for stage in Stage::ALL {
            let begun = stage.components().iter().any(|component| self.has(*component));
            for component in stage.components().iter().filter(|component| !self.has(**component)) {
                let needed = begun || stage == Stage::TextEncoder;
                if let Some(hint) = self.why_needed(*component, needed, stage) {
                    errors.push(BundleError::Missing { path: self.folder(*component), hint });
                }
            }
            let there = stage.components().iter().filter(|component| self.has(**component));
            // Weights that are not there at all are reported by their own check.
            let files = there.filter_map(|component| self.files(*component).ok()).flatten();
            errors.extend(
                files.filter_map(|path| open_file(&path, "complete the download of the checkpoint").err()),
            );
        }
        errors
    }

    fn why_needed(&self, component: Component, needed: bool, stage: Stage) -> Option<String> {
        if self.lists(component) {
            let folder = component.folder();
            return Some(format!(
                "model_index.json lists it; complete the download, or write \"{folder}\": [null, null] there to go without"
            ));
        }
        needed.then(|| format!("the {} needs it; complete the download of the checkpoint", stage.name()))
    }
}

/// JSON and vocabulary, but for lists of shards.
fn is_text(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (name.ends_with(".json") || name.ends_with(".txt")) && !weight_files::is_weights(&name)
}
