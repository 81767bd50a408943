//! Why a key in an HSM does not sign.

use std::path::PathBuf;

use cryptoki::error::Error;
use espseal_format::signature_block::SignatureScheme;

use crate::blame::Blame;
use crate::files::FileError;

/// Failure of finding or using a key in an HSM.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HsmError {
    /// The configuration is not text.
    #[error("{} is not UTF-8; expected an INI file with [hsm_config]", path.display())]
    NotText {
        /// The configuration.
        path: PathBuf,
    },
    /// A line of the configuration is malformed. The line itself may hold the PIN.
    #[error("{}, line {line}: expected {expected}", path.display())]
    Syntax {
        /// The configuration.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What belongs there.
        expected: &'static str,
    },
    /// The configuration leaves something out.
    #[error("{} has no `{key}` in [hsm_config]; add `{key} = ...`", path.display())]
    Missing {
        /// The configuration.
        path: PathBuf,
        /// What is missing.
        key: &'static str,
    },
    /// The PIN is given not at all or more than once.
    #[error(
        "{}: expected the PIN in exactly one of `credentials`, `credentials_env` (name of an \
         environment variable) and `credentials_file` (a file of mode 0600)",
        path.display()
    )]
    Pins {
        /// The configuration.
        path: PathBuf,
    },
    /// The slot is no number.
    #[error("{}: slot is `{found}`; expected its identifier in decimal", path.display())]
    Slot {
        /// The configuration.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// The environment variable is not there.
    #[error("the environment variable {name} is not set; expected the PIN of the HSM in it")]
    NoPinInEnvironment {
        /// Its name.
        name: String,
    },
    /// The file holds no PIN.
    #[error("{} does not hold a PIN; expected one line of UTF-8", path.display())]
    NoPinInFile {
        /// The file.
        path: PathBuf,
    },
    /// A private file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The module cannot be loaded.
    #[error(
        "{} is no PKCS#11 module that can be loaded ({cause}); check `pkcs11_lib`",
        module.display()
    )]
    Module {
        /// The shared library.
        module: PathBuf,
        /// What the loader says.
        cause: Error,
    },
    /// The slot has no token.
    #[error("slot {slot} has no initialized token; slots that have one: {found:?}")]
    NoToken {
        /// The slot that was asked for.
        slot: u64,
        /// Slots with a token.
        found: Vec<u64>,
    },
    /// The PIN is wrong.
    #[error(
        "the token in slot {slot} refuses the PIN; it was tried once: correct it before the token \
         locks"
    )]
    WrongPin {
        /// The slot.
        slot: u64,
    },
    /// Too many wrong PINs.
    #[error("the token in slot {slot} is locked after wrong PINs; its security officer unlocks it")]
    PinLocked {
        /// The slot.
        slot: u64,
    },
    /// There is no such key.
    #[error("the token has no {half} key with the label `{label}`; check `label`, `label_pubkey`")]
    NoKey {
        /// The label.
        label: String,
        /// `private` or `public`.
        half: &'static str,
    },
    /// A label names several keys.
    #[error("the token has {found} {half} keys with the label `{label}`; give each its own label")]
    SeveralKeys {
        /// The label.
        label: String,
        /// `private` or `public`.
        half: &'static str,
        /// How many.
        found: usize,
    },
    /// The key is of a kind that secure boot does not know.
    #[error(
        "`{label}` in the token is another kind of key; expected RSA-3072 or ECDSA P-192, P-256 or \
         P-384"
    )]
    WrongKind {
        /// The label.
        label: String,
    },
    /// A role needs P-256.
    #[error("`{label}` in the token is a key for {found}; roles sign with ECDSA P-256")]
    NotP256 {
        /// The label.
        label: String,
        /// What it is.
        found: SignatureScheme,
    },
    /// The token does not offer the operation.
    #[error(
        "the token does not sign with `{label}` ({scheme}): expected CKM_RSA_PKCS_PSS, CKM_RSA_X_509 or \
         CKM_SHA256_RSA_PKCS_PSS for RSA, CKM_ECDSA for ECDSA, among its mechanisms"
    )]
    NoMechanism {
        /// The label.
        label: String,
        /// What it is.
        scheme: SignatureScheme,
    },
    /// The token hashes by itself, and there is only a digest.
    #[error(
        "the token signs with `{label}` by CKM_SHA256_RSA_PKCS_PSS only, which needs all of the data \
         and not its digest; sign the file with `espseal sign` or `espseal espsecure sign-data`"
    )]
    NeedsContent {
        /// The label.
        label: String,
    },
    /// The token refuses to sign.
    #[error("the token did not sign with `{label}` ({cause}); check that the key may sign")]
    Refused {
        /// The label.
        label: String,
        /// What the token says.
        cause: Error,
    },
    /// No randomness for a salt.
    #[error("no salt could be drawn; the system's random number generator does not work")]
    NoSalt,
    /// Another step fails.
    #[error("the HSM could not {step}: {cause}")]
    Token {
        /// The step.
        step: &'static str,
        /// What the module says.
        cause: Error,
    },
}

impl HsmError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::File(FileError::Exposed { .. } | FileError::Empty { .. }) => Blame::Usage,
            Self::File(_) | Self::Refused { .. } | Self::NoSalt | Self::Token { .. } => Blame::Io,
            _ => Blame::Usage,
        }
    }
}
