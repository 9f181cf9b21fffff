//! Loading ONNX Runtime, and the settings every session shares.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::Session;

use crate::ClipError;

const LIBRARY: &str = "libonnxruntime.so";

/// Where a graph that comes from memory finds its external data (onnxruntime_session_options_config_keys.h).
const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// ONNX Runtime's own builds write a device id under the user's cache folder and send events to their maker. This variable,
/// set to 1, keeps them from it. It is read when the environment is made, before any call that would turn events off.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

/// The one environment of the process. ONNX Runtime is told never to be unloaded by keeping it here.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// Loads ONNX Runtime, once per process; later calls do nothing, a call after a failure tries again.
///
/// The library is `path`, or without one the first that exists of `../lib/libonnxruntime.so` relative to the executable
/// and `.native/onnxruntime/libonnxruntime.so` in the folders above it.
///
/// # Errors
/// [`ClipError::LibraryNotFound`] and [`ClipError::Library`].
pub fn init(path: Option<&Path>) -> Result<(), ClipError> {
    environment(path).map(drop)
}

/// A session on a graph whose weights lie in the folder `weights`, which computes on `threads` threads. Idle threads
/// sleep: spinning ones would starve whoever shares the machine. `path` is what errors name.
pub(crate) fn session(
    path: &Path,
    graph: &[u8],
    weights: &Path,
    threads: usize,
) -> Result<Session, ClipError> {
    let environment = environment(None)?;
    build(&environment, graph, weights, threads).map_err(|error| failed(path, &error))
}

/// ONNX Runtime's words about a session.
pub(crate) fn failed(model: &Path, error: &ort::Error) -> ClipError {
    ClipError::Session { path: model.to_path_buf(), reason: error.to_string() }
}

fn build(environment: &Environment, graph: &[u8], weights: &Path, threads: usize) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_intra_threads(threads.max(1))?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_config_entry(WEIGHTS_FOLDER, weights.to_string_lossy())?
        .commit_from_memory(graph)
}

fn environment(path: Option<&Path>) -> Result<Environment, ClipError> {
    let mut environment = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*environment {
        return Ok(environment.clone());
    }
    let loaded = load(&find(path)?)?;
    Ok(environment.insert(loaded).clone())
}

fn load(library: &Path) -> Result<Environment, ClipError> {
    forbid_telemetry();
    let unusable = |reason: String| ClipError::Library { path: library.to_path_buf(), reason };
    ort::init_from(library)
        .map_err(|error| unusable(error.to_string()))?
        .with_name("unclip")
        .with_telemetry(false)
        .build()
        .map_err(|error| unusable(error.to_string()))
}

/// unclip's programs set the variable before they have a second thread (`unclip_service::settle_environment`); this is for
/// whoever uses this crate otherwise.
fn forbid_telemetry() {
    if std::env::var_os(NO_TELEMETRY).is_some_and(|value| value == "1") {
        return;
    }
    #[expect(unsafe_code, reason = "nothing else keeps ONNX Runtime from its telemetry")]
    // SAFETY: std's own readers are locked out meanwhile. C code that reads the environment in another thread at this very
    // moment would be at fault, which is why unclip's programs come here with the variable set.
    unsafe {
        std::env::set_var(NO_TELEMETRY, "1");
    }
}

fn find(path: Option<&Path>) -> Result<PathBuf, ClipError> {
    let searched = path.map_or_else(candidates, |path| {
        vec![std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())]
    });
    let found = searched.iter().find(|path| path.is_file()).cloned();
    found.ok_or(ClipError::LibraryNotFound { searched })
}

/// An installed copy first, then a checkout's.
fn candidates() -> Vec<PathBuf> {
    let executable = std::env::current_exe().unwrap_or_default();
    let folder = executable.parent().unwrap_or(Path::new("."));
    let installed = folder.join("../lib").join(LIBRARY);
    let native = Path::new(".native/onnxruntime").join(LIBRARY);
    let checkouts = folder.ancestors().map(|above| above.join(&native));
    std::iter::once(installed).chain(checkouts).collect()
}
