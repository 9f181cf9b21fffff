//! What loading the two towers has in common.

use std::path::{Path, PathBuf};

use ort::session::Session;
use unclip_bundle::{Bundle, BundleError, Component, read_file};

use crate::onnx::{Graph, MODEL_FILE};
use crate::{ClipError, runtime};

/// A graph without its weights has some hundred kB, and a few bytes per layer more.
const MAX_GRAPH_BYTES: u64 = 64 << 20;

/// A network and the file it came from.
pub(crate) struct Network {
    pub(crate) session: Session,
    pub(crate) path: PathBuf,
}

/// Loads an imported graph. `graph` is what the bundle's config and weights ask for now: a file that differs was written
/// for others, and its offsets would read garbage.
pub(crate) fn load(
    bundle: &Bundle,
    component: Component,
    graph: Graph,
    threads: usize,
) -> Result<Network, ClipError> {
    let path = bundle.folder(component).join(MODEL_FILE);
    let weights = graph.weights.clone();
    let graph = graph.into_bytes()?;
    compare(bundle, component, &path, &graph)?;
    let session = runtime::session(&path, &graph, &weights, threads)?;
    Ok(Network { session, path })
}

fn compare(bundle: &Bundle, component: Component, path: &Path, wanted: &[u8]) -> Result<(), BundleError> {
    let stale = |reason: &str| BundleError::NotImported {
        path: bundle.root().to_path_buf(),
        reason: format!("{}/{MODEL_FILE} {reason}", component.folder()),
    };
    match read_file(path, MAX_GRAPH_BYTES, "") {
        Ok(found) if found == wanted => Ok(()),
        Ok(_) => Err(stale("was written for other weights or by another version of unclip")),
        Err(BundleError::Missing { .. }) => Err(stale("has not been written")),
        Err(error) => Err(error),
    }
}

/// The last axis of an output. Graphs are only loaded when they are the exporter's own, so it is there.
pub(crate) fn row_length(session: &Session, output: &str) -> usize {
    let outlet = session.outputs().iter().find(|outlet| outlet.name() == output);
    let shape = outlet.and_then(|outlet| outlet.dtype().tensor_shape());
    let length = shape.and_then(|shape| shape.last().copied()).unwrap_or(0);
    usize::try_from(length).unwrap_or(0)
}
