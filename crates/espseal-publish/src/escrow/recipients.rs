//! Who can open escrowed keys: age's X25519 recipients, and the identities that belong to them.
//!
//! A recipient is `age1` and 58 more characters; an identity starts with `AGE-SECRET-KEY-1`. Files
//! of them have one a line; `#` begins a comment. Both are what `age-keygen` writes.

use std::fmt;
use std::path::Path;

use age::x25519;
use aws_lc_rs::agreement::{self, UnparsedPublicKey, X25519};

use super::EscrowError;
use crate::files;

/// Largest file of recipients or identities.
const LARGEST: u64 = 64 << 10;
/// Characters that bech32 writes five bits with.
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// Characters of the checksum.
const CHECKSUM: usize = 6;
/// How every recipient starts.
const PREFIX: &str = "age1";

/// Whom escrowed keys are encrypted for: any one of them can open them.
#[derive(Clone, Debug)]
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Takes recipients, each as `age1...` or as the name of a file with some.
    ///
    /// # Errors
    /// [`EscrowError::Recipient`], [`EscrowError::NoRecipients`], [`EscrowError::File`].
    pub fn new<T: AsRef<str>>(arguments: &[T]) -> Result<Self, EscrowError> {
        let mut all = Self(Vec::new());
        for argument in arguments {
            let text = argument.as_ref();
            match text.to_ascii_lowercase().starts_with(PREFIX) && !text.contains(['/', '.']) {
                true => all.add(text)?,
                false => all.read(Path::new(text))?,
            }
        }
        match all.0.is_empty() {
            true => Err(EscrowError::NoRecipients { path: None }),
            false => Ok(all),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none, which [`new`](Self::new) refuses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0
            .iter()
            .map(|recipient| recipient as &dyn age::Recipient)
    }

    fn add(&mut self, text: &str) -> Result<(), EscrowError> {
        let refused = |reason| EscrowError::Recipient {
            found: text.chars().take(70).collect(),
            reason,
        };
        // The crate says no more than that it is none.
        let recipient: x25519::Recipient = text.parse().map_err(|_| refused(NOT_X25519))?;
        if !has_large_order(&recipient) {
            return Err(refused("everybody can open what is encrypted for it"));
        }
        if !self.0.contains(&recipient) {
            self.0.push(recipient);
        }
        Ok(())
    }

    fn read(&mut self, path: &Path) -> Result<(), EscrowError> {
        let bytes = files::read(path, "age recipients", LARGEST)?;
        let none = || EscrowError::NoRecipients {
            path: Some(path.into()),
        };
        let text = str::from_utf8(&bytes).map_err(|_| none())?;
        let mut lines = entries(text).peekable();
        lines.peek().ok_or_else(none)?;
        lines.try_for_each(|line| self.add(line))
    }
}

const NOT_X25519: &str =
    "an X25519 recipient is age1 and 58 more characters, as `age-keygen -y` prints it";

/// Whether the Diffie-Hellman of age gives a secret with this key. The crate panics on the dozen
/// keys with which it does not.
fn has_large_order(recipient: &x25519::Recipient) -> bool {
    let text = recipient.to_string();
    let digits = text
        .as_bytes()
        .strip_prefix(PREFIX.as_bytes())
        .unwrap_or_default();
    let digits = digits
        .get(..digits.len().saturating_sub(CHECKSUM))
        .unwrap_or_default();
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0u32);
    for digit in digits {
        let value = (0..).zip(BECH32).find(|(_, known)| *known == digit);
        bits = bits << 5 | value.map_or(0, |(value, _)| value);
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count).unwrap_or(u8::MAX));
            bits &= (1 << count) - 1;
        }
    }
    let peer = UnparsedPublicKey::new(&X25519, bytes);
    agreement::PrivateKey::generate(&X25519)
        .is_ok_and(|own| agreement::agree(&own, &peer, (), |_| Ok(())).is_ok())
}

/// The private halves, which open escrowed keys. Prints nothing of them.
pub struct Identities(Vec<x25519::Identity>);

impl Identities {
    /// Reads an identity file, which only its owner may read.
    ///
    /// # Errors
    /// [`EscrowError::Identity`], [`EscrowError::LockedIdentity`], [`EscrowError::NoIdentity`],
    /// [`EscrowError::File`] with the file's mode when others may read it.
    pub fn read(path: &Path) -> Result<Self, EscrowError> {
        let bytes = files::read_private(path, "an age identity", LARGEST)?;
        if bytes.starts_with(b"age-encryption.org/") || bytes.starts_with(b"-----BEGIN AGE") {
            return Err(EscrowError::LockedIdentity { path: path.into() });
        }
        let none = || EscrowError::NoIdentity { path: path.into() };
        let text = str::from_utf8(&bytes).map_err(|_| none())?;
        let mut all = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let Some(line) = entry(line) else { continue };
            all.push(line.parse().map_err(|_| EscrowError::Identity {
                path: path.into(),
                line: number,
            })?);
        }
        match all.is_empty() {
            true => Err(none()),
            false => Ok(Self(all)),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|identity| identity as &dyn age::Identity)
    }

    #[cfg(test)]
    pub(super) fn of(identity: x25519::Identity) -> Self {
        Self(vec![identity])
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}

/// The lines that are neither blank nor comments.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(entry)
}

fn entry(line: &str) -> Option<&str> {
    let line = line.trim();
    (!line.is_empty() && !line.starts_with('#')).then_some(line)
}
