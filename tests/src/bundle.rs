//! The fixtures' bundles, imported by the command under test.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::TempDir;

use crate::programs::{program, repository};

/// A bundle that `unclip import` has made from a fixture. It is removed when its last user drops it.
pub struct Bundle {
    folder: TempDir,
}

impl Bundle {
    /// The imported fixture: all tests of a process that run at the same time share it.
    pub fn imported(name: &str) -> Arc<Self> {
        static KNOWN: Mutex<Option<HashMap<String, Weak<Bundle>>>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(bundle) = known.get(name).and_then(Weak::upgrade) {
            return bundle;
        }
        let bundle = Arc::new(Self::import(&fixture(name)));
        known.insert(name.to_owned(), Arc::downgrade(&bundle));
        bundle
    }

    /// The same fixture with another value in the last weight of a file, as `prior/diffusion_pytorch_model.safetensors`:
    /// another model, that everything else fits.
    pub fn with_another_weight(name: &str, file: &str) -> Self {
        let changed = scratch();
        copy_folder(&fixture(name), changed.path());
        let path = changed.path().join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.last_chunk_mut::<4>().unwrap();
        *last = (f32::from_le_bytes(*last) + 0.5).to_le_bytes();
        std::fs::write(&path, bytes).unwrap();
        Self::import(changed.path())
    }

    fn import(checkpoint: &Path) -> Self {
        let folder = scratch();
        let output = Command::new(program("unclip"))
            .arg("import")
            .arg(checkpoint)
            .arg("-o")
            .arg(folder.path().join("bundle"))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "unclip import of {}: {errors}", checkpoint.display());
        Self { folder }
    }

    /// Where it lies.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("bundle")
    }
}

/// The folder of a fixture's bundle, as it was before any import.
///
/// # Panics
/// There is no such fixture.
pub fn fixture(name: &str) -> PathBuf {
    let path = fixtures().join(name).join("bundle");
    assert!(path.is_dir(), "{}: no such fixture; run `make fixtures`", path.display());
    path
}

pub(crate) fn fixtures() -> PathBuf {
    repository().join("tests/fixtures")
}

/// An empty folder beside the build outputs, removed when it is dropped.
pub fn scratch() -> TempDir {
    let parent = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target/tmp");
    std::fs::create_dir_all(&parent).unwrap();
    TempDir::with_prefix_in("unclip-", parent).unwrap()
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
