//! The configuration file of an HSM key: espsecure's INI file, read strictly.
//!
//! ```text
//! [hsm_config]
//! pkcs11_lib = /usr/lib/softhsm/libsofthsm2.so    PKCS#11 module
//! slot = 1064438308                               slot identifier, decimal
//! label = signing-key                             label of the private key
//! label_pubkey = signing-key                      label of the public key; `label` when left out
//! credentials = 1234                              PIN, or one of the two of espseal's own:
//! credentials_env = SIGNING_PIN                   environment variable that holds it
//! credentials_file = pin.txt                      file of mode 0600 that holds it, in one line
//! ```
//!
//! Keys in any case, `=` or `:`, lines that begin with `#` or `;` are comments, `%%` is a percent sign
//! as in Python's `configparser`; other sections and other keys are passed over. The format has no
//! nesting, types or quoting, and a PIN must not linger in the buffers of a general parser: hence
//! thirty lines here and no dependency. TOML is not it: the values have no quotes.
//!
//! Source: observed with espsecure 5.6.0, which asks for a PIN that is not there; espseal never asks.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::HsmError;
use crate::files;
use crate::keys::KeyError;

/// Largest configuration file or PIN file that is read.
const LARGEST_CONFIG: u64 = 16 << 10;
const SECTION: &str = "hsm_config";
const EXPECTED: &str = "the configuration of an HSM, with a section [hsm_config]";

/// Where a key pair is and how to reach it.
#[derive(Debug)]
pub struct HsmConfig {
    /// The PKCS#11 module, a shared library.
    pub module: PathBuf,
    /// Identifier of the slot.
    pub slot: u64,
    /// Label of the private key.
    pub label: String,
    /// Label of the public key.
    pub label_pubkey: String,
    /// Where the PIN is.
    pub pin: Pin,
}

/// Where the PIN of the user is.
pub enum Pin {
    /// In the configuration file itself.
    Here(Zeroizing<String>),
    /// In an environment variable.
    Environment(String),
    /// In a file that only its owner may read.
    File(PathBuf),
}

impl Pin {
    /// Fetches it.
    pub(super) fn read(&self) -> Result<Zeroizing<String>, HsmError> {
        match self {
            Self::Here(pin) => Ok(pin.clone()),
            Self::Environment(name) => match std::env::var(name).map(Zeroizing::new) {
                Ok(pin) if !pin.is_empty() => Ok(pin),
                _ => Err(HsmError::NoPinInEnvironment { name: name.clone() }),
            },
            Self::File(path) => {
                let bytes = files::read_private(path, "the PIN of an HSM", LARGEST_CONFIG)?;
                let text = str::from_utf8(&bytes).unwrap_or_default();
                let pin = text.trim_end_matches(['\r', '\n']);
                if pin.is_empty() || pin.contains('\n') {
                    return Err(HsmError::NoPinInFile { path: path.clone() });
                }
                Ok(Zeroizing::new(pin.into()))
            }
        }
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here(_) => f.write_str("Pin(private)"),
            Self::Environment(name) => write!(f, "Pin(in the environment variable {name})"),
            Self::File(path) => write!(f, "Pin(in {})", path.display()),
        }
    }
}

impl HsmConfig {
    /// Reads a configuration; one that holds the PIN must be readable by its owner alone.
    ///
    /// # Errors
    /// [`KeyError::File`] when the file is missing, or holds the PIN and is readable by others;
    /// [`KeyError::Hsm`] when it does not say what is needed.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = Zeroizing::new(files::read(path, EXPECTED, LARGEST_CONFIG)?);
        let config = Self::parse(path, &text)?;
        if matches!(config.pin, Pin::Here(_)) {
            files::read_private(path, EXPECTED, LARGEST_CONFIG)?;
        }
        Ok(config)
    }

    /// Takes a configuration from the text of the file `path`, whoever may read that.
    ///
    /// # Errors
    /// [`HsmError::Syntax`], [`HsmError::Missing`], [`HsmError::Pins`], [`HsmError::Slot`].
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, HsmError> {
        let entries = Entries::read(path, text)?;
        let slot = entries.needed("slot")?;
        let label = entries.needed("label")?;
        let here = entries.get("credentials").map(|pin| Pin::Here(pin.clone()));
        let environment = entries
            .get("credentials_env")
            .map(|name| Pin::Environment(name.to_string()));
        let folder = path.parent().unwrap_or(Path::new(""));
        let file = entries
            .get("credentials_file")
            .map(|name| Pin::File(folder.join(name.as_str())));
        let mut pins = [here, environment, file].into_iter().flatten();
        let (Some(pin), None) = (pins.next(), pins.next()) else {
            return Err(HsmError::Pins { path: path.into() });
        };
        Ok(Self {
            module: entries.needed("pkcs11_lib")?.as_str().into(),
            slot: slot.parse().map_err(|_| HsmError::Slot {
                path: path.into(),
                found: slot.to_string(),
            })?,
            label_pubkey: entries.get("label_pubkey").unwrap_or(label).to_string(),
            label: label.to_string(),
            pin,
        })
    }
}

/// Keys in lower case and values of the section.
struct Entries<'a> {
    path: &'a Path,
    entries: Vec<(String, Zeroizing<String>)>,
}

impl<'a> Entries<'a> {
    fn read(path: &'a Path, text: &[u8]) -> Result<Self, HsmError> {
        let mut entries: Vec<(String, Zeroizing<String>)> = Vec::new();
        let mut is_inside = false;
        let text = str::from_utf8(text).map_err(|_| HsmError::NotText { path: path.into() })?;
        for (line, number) in text.lines().zip(1..) {
            let wrong = |expected| HsmError::Syntax {
                path: path.into(),
                line: number,
                expected,
            };
            let content = line.trim();
            if content.is_empty() || content.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = content.strip_prefix('[') {
                is_inside = name.strip_suffix(']') == Some(SECTION);
                continue;
            }
            if !is_inside {
                continue;
            }
            if line.starts_with(char::is_whitespace) {
                return Err(wrong("each value in one line that begins with its key"));
            }
            let (key, value) = content
                .split_once(['=', ':'])
                .ok_or_else(|| wrong("key = value"))?;
            let key = key.trim().to_ascii_lowercase();
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(wrong("each key once"));
            }
            let value =
                percent_signs(value.trim()).ok_or_else(|| wrong("%% for a percent sign"))?;
            entries.push((key, value));
        }
        Ok(Self { path, entries })
    }

    /// A value; an empty one counts as left out.
    fn get(&self, key: &str) -> Option<&Zeroizing<String>> {
        let mut found = self.entries.iter().filter(|(known, _)| known == key);
        found
            .next()
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty())
    }

    fn needed(&self, key: &'static str) -> Result<&Zeroizing<String>, HsmError> {
        self.get(key).ok_or_else(|| HsmError::Missing {
            path: self.path.into(),
            key,
        })
    }
}

/// Turns `%%` into `%`; `None` for one that stands alone.
fn percent_signs(value: &str) -> Option<Zeroizing<String>> {
    let mut plain = Zeroizing::new(String::with_capacity(value.len()));
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        if character == '%' && characters.next() != Some('%') {
            return None;
        }
        plain.push(character);
    }
    Some(plain)
}
