//! The committed corpus: `fuzz/corpus/<target>/`, one input a file. Findings stay in it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Target;

/// The folder of a target.
#[must_use]
pub fn folder(target: &Target) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../../fuzz/corpus").join(target.name)
}

/// Every input of a target, in the order of their names.
///
/// # Errors
/// When a file cannot be read; a missing folder holds nothing.
pub fn inputs(target: &Target) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut inputs = Vec::new();
    let folder = folder(target);
    if !folder.is_dir() {
        return Ok(inputs);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        inputs.push((name, fs::read(entry.path())?));
    }
    inputs.sort();
    Ok(inputs)
}
