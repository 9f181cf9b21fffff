//! Loading ONNX Runtime: failures are errors, and a later call may succeed. Alone in its process.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is the report")]

mod common;

use unclip_clip::{ClipError, init};

#[test]
fn a_missing_or_foreign_library_is_an_error_and_can_be_put_right() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("libonnxruntime.so");
    let error = init(Some(&missing)).unwrap_err();
    assert!(matches!(error, ClipError::LibraryNotFound { .. }), "{error}");
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
    assert!(error.to_string().contains("make setup"), "{error}");

    std::fs::write(&missing, b"not a library").unwrap();
    let error = init(Some(&missing)).unwrap_err();
    assert!(matches!(error, ClipError::Library { .. }), "{error}");

    common::start();
    // Once loaded it stays.
    init(Some(&missing)).unwrap();
}
