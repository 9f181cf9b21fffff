//! What loading the two towers has in common.

use std::path::PathBuf;

use ort::session::Session;
use unclip_bundle::{Bundle, BundleError, Component};

use crate::onnx::{Graph, MODEL_FILE};

/// The path of an imported graph. `graph` is what the bundle's config and weights ask for now: a file that differs was
/// written for others, and its offsets would read garbage.
pub(crate) fn imported(bundle: &Bundle, component: Component, graph: Graph) -> Result<PathBuf, BundleError> {
    let stale = |reason: &str| BundleError::NotImported {
        path: bundle.root().to_path_buf(),
        reason: format!("{}/{MODEL_FILE} {reason}", component.folder()),
    };
    let path = bundle.folder(component).join(MODEL_FILE);
    let wanted = graph.into_bytes()?;
    match std::fs::read(&path) {
        Ok(found) if found == wanted => Ok(path),
        Ok(_) => Err(stale("was written for other weights or by another version of unclip")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(stale("has not been written")),
        Err(source) => Err(BundleError::Io { path, source }),
    }
}

/// The last axis of an output. Graphs are only loaded when they are the exporter's own, so it is there.
pub(crate) fn row_length(session: &Session, output: &str) -> usize {
    let outlet = session.outputs().iter().find(|outlet| outlet.name() == output);
    let shape = outlet.and_then(|outlet| outlet.dtype().tensor_shape());
    let length = shape.and_then(|shape| shape.last().copied()).unwrap_or(0);
    usize::try_from(length).unwrap_or(0)
}
