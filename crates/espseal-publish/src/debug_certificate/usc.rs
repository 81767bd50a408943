//! What a certificate unlocks, as a JSON file says it (`--usc`, "unlock security configuration").
//!
//! ```json
//! { "version": 1,
//!   "groups": [ { "group": "config_flags",
//!                 "entries": [ { "key": "enable_jtag", "value": true } ] } ] }
//! ```
//!
//! The keys are `enable_jtag`, `enable_download_reuse` and `enable_force_spi_boot`; the last entry for
//! a key counts. Groups of other names are passed over.
//!
//! Source: observed with espsecure 5.6.0, `generate-sdc-certificate --usc`; no document describes it.

use std::path::{Path, PathBuf};

use espseal_format::sdc::Unlock;
use serde_json::Value;

use crate::blame::Blame;

/// Keys of an entry, with what they unlock.
const KEYS: [(&str, Unlock); 3] = [
    ("enable_jtag", Unlock::JTAG),
    ("enable_download_reuse", Unlock::DOWNLOAD_REUSE),
    ("enable_force_spi_boot", Unlock::FORCE_SPI_BOOT),
];

/// Changes what is unlocked by what the text of the file `path` says; it may also lock again.
///
/// # Errors
/// [`UscError`].
pub fn apply_usc(unlock: Unlock, path: &Path, text: &[u8]) -> Result<Unlock, UscError> {
    let wrong = |expected| UscError::Shape {
        path: path.into(),
        expected,
    };
    let parsed = serde_json::from_slice(text).map_err(|cause| UscError::Syntax {
        path: path.into(),
        cause,
    })?;
    let Value::Object(file) = parsed else {
        return Err(wrong("an object with `version` and `groups`"));
    };
    // Python's `true` is 1 and its 1.0, too.
    let is_known = |version: &Value| *version == true || version.as_f64() == Some(1.0);
    if !file.get("version").is_some_and(is_known) {
        return Err(wrong("`\"version\": 1`"));
    }
    let mut unlock = unlock;
    for group in list(file.get("groups")).ok_or_else(|| wrong("a list in `groups`"))? {
        let Value::Object(group) = group else {
            return Err(wrong("an object for each of `groups`"));
        };
        if group.get("group").is_none_or(|name| name != "config_flags") {
            continue;
        }
        for entry in list(group.get("entries")).ok_or_else(|| wrong("a list in `entries`"))? {
            let (Some(key), Some(value)) = (entry.get("key"), entry.get("value")) else {
                return Err(wrong(
                    "an object with `key` and `value` for each of `entries`",
                ));
            };
            let (_, bit) = KEYS.iter().find(|(name, _)| key == name).ok_or_else(|| {
                wrong(
                    "`enable_jtag`, `enable_download_reuse` or `enable_force_spi_boot` for each `key`",
                )
            })?;
            unlock = match value {
                Value::Bool(true) => unlock.and(*bit),
                Value::Bool(false) => unlock.without(*bit),
                _ => return Err(wrong("true or false for each `value`")),
            };
        }
    }
    Ok(unlock)
}

/// A list; one that is left out is empty.
fn list(value: Option<&Value>) -> Option<&[Value]> {
    match value {
        None => Some(&[]),
        Some(Value::Array(list)) => Some(list),
        Some(_) => None,
    }
}

/// Why a file does not say what is unlocked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UscError {
    /// The file is no JSON.
    #[error("{} is no JSON: {cause}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        cause: serde_json::Error,
    },
    /// The JSON is something else.
    #[error("{}: expected {expected}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
}

impl UscError {
    /// Who has to act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        Blame::Usage
    }
}
