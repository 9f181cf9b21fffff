//! The text tower: texts to embeddings and hidden states.

use ort::session::Session;
use ort::value::Tensor;
use unclip_bundle::{Bundle, Component};

use crate::tower::{self, Network, row_length};
use crate::{ClipError, ClipTokenizer, TokenizedText, onnx, runtime};

/// Texts per run of the network; bounds its memory.
const BATCH: usize = 16;

/// A text, encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct TextEncoding {
    /// Token ids `[tokens]`: start, text, end, padding.
    pub ids: Vec<i64>,
    /// `[tokens]`, true from the start token to the end token.
    pub mask: Vec<bool>,
    /// Text embedding `[embedding_dim]`, not normalised.
    pub embedding: Vec<f32>,
    /// Hidden states after the final layer norm `[tokens, hidden_size]`, row-major.
    pub hidden_states: Vec<f32>,
    /// Whether the text was too long and lost its end.
    pub truncated: bool,
}

/// transformers' `CLIPTextModelWithProjection` with its tokenizer.
pub struct TextTower {
    network: Network,
    tokenizer: ClipTokenizer,
    embedding_dim: usize,
    hidden_size: usize,
}

impl TextTower {
    /// Loads the bundle's tokenizer and `text_encoder/model.onnx`, to be run on `threads` threads.
    ///
    /// # Errors
    /// [`unclip_bundle::BundleError::NotImported`] when the graph is missing or was written for other weights, whatever
    /// [`crate::check_text_tower`] finds wrong with the bundle, and [`crate::init`]'s.
    pub fn load(bundle: &Bundle, threads: usize) -> Result<Self, ClipError> {
        let tokenizer = ClipTokenizer::load(bundle)?;
        let graph = onnx::text_graph(bundle)?;
        let network = tower::load(bundle, Component::TextEncoder, graph, threads)?;
        Ok(Self {
            embedding_dim: row_length(&network.session, "text_embeds"),
            hidden_size: row_length(&network.session, "last_hidden_state"),
            network,
            tokenizer,
        })
    }

    /// Tokens of every text, padding included.
    pub fn tokens(&self) -> usize {
        self.tokenizer.tokens()
    }

    /// Width of the hidden states.
    pub fn hidden_size(&self) -> usize {
        self.hidden_size
    }

    /// Width of the embedding.
    pub fn embedding_dim(&self) -> usize {
        self.embedding_dim
    }

    /// Encodes any number of texts, each as if it were alone.
    ///
    /// # Errors
    /// [`ClipError::Tokenize`] and [`ClipError::Session`], neither of which a text is known to cause.
    pub fn encode(&mut self, texts: &[&str]) -> Result<Vec<TextEncoding>, ClipError> {
        let mut encodings = Vec::with_capacity(texts.len());
        for texts in texts.chunks(BATCH) {
            let tokenized: Result<Vec<_>, _> = texts.iter().map(|text| self.tokenizer.encode(text)).collect();
            encodings.extend(self.run(tokenized?)?);
        }
        Ok(encodings)
    }

    fn run(&mut self, texts: Vec<TokenizedText>) -> Result<Vec<TextEncoding>, ClipError> {
        let shape = [texts.len(), self.tokens()];
        let ids: Vec<i64> = texts.iter().flat_map(|text| &text.ids).copied().collect();
        let (embeddings, states) = forward(&mut self.network.session, shape, ids)
            .map_err(|error| runtime::failed(&self.network.path, &error))?;
        let embeddings = embeddings.chunks_exact(self.embedding_dim);
        let states = states.chunks_exact(self.tokens() * self.hidden_size);
        let rows = texts.into_iter().zip(embeddings.zip(states));
        Ok(rows.map(|(text, (embedding, states))| encoding(text, embedding, states)).collect())
    }
}

/// Text embeddings `[batch, embedding_dim]` and hidden states `[batch, tokens, hidden_size]`.
fn forward(session: &mut Session, shape: [usize; 2], ids: Vec<i64>) -> ort::Result<(Vec<f32>, Vec<f32>)> {
    let ids = Tensor::from_array((shape, ids))?;
    let outputs = session.run(ort::inputs!["input_ids" => ids])?;
    let embeddings = outputs["text_embeds"].try_extract_tensor::<f32>()?.1.to_vec();
    let states = outputs["last_hidden_state"].try_extract_tensor::<f32>()?.1.to_vec();
    Ok((embeddings, states))
}

fn encoding(text: TokenizedText, embedding: &[f32], states: &[f32]) -> TextEncoding {
    TextEncoding {
        ids: text.ids,
        mask: text.mask,
        embedding: embedding.to_vec(),
        hidden_states: states.to_vec(),
        truncated: text.truncated,
    }
}
