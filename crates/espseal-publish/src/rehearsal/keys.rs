//! The maker's secure-boot keys: private ones that sign, public ones and digests that only name.

use std::path::Path;

use espseal_format::image::ImageLayout;
use espseal_format::signature_block::{SignatureScheme, SignatureSector};
use espseal_format::units::{Digest, SECTOR_SIZE};

use super::signer::{append_v1, bare_image};
use crate::blame::Blame;
use crate::files::{self, FileError};
use crate::keys::KeyError;
use crate::secure_boot_key::{ImageSigner, SecureBootKey, read_public_key};
use espseal_crypto::secure_boot::PublicKey;

/// Largest key file.
const LARGEST: u64 = 64 << 10;
/// What belongs in a key file.
const EXPECTED: &str = "a secure boot key in PEM";

/// Keys of a product, in the order of their digest slots.
#[derive(Debug, Default)]
pub struct Keys {
    private: Vec<SecureBootKey>,
    public: Vec<PublicKey>,
    digests: Vec<Digest>,
}

impl Keys {
    /// Reads keys: a PEM file with a private or a public key each, or a digest as 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn load(arguments: &[String]) -> Result<Self, KeysError> {
        let mut keys = Self::default();
        for argument in arguments {
            match Digest::from_hex(argument) {
                Some(digest) => keys.digests.push(digest),
                None => keys.load_file(Path::new(argument))?,
            }
        }
        Ok(keys)
    }

    fn load_file(&mut self, path: &Path) -> Result<(), KeysError> {
        let text = files::read(path, EXPECTED, LARGEST)?;
        if !names_private_key(&text) {
            let public = read_public_key(path, &text)?;
            self.digests.push(public.digest());
            self.public.push(public);
            return Ok(());
        }
        let private = SecureBootKey::load(path)?;
        self.digests.push(private.digest());
        self.public.push(private.public_key());
        self.private.push(private);
        Ok(())
    }

    /// Adds keys of which only the digests are known.
    pub fn add_digests(&mut self, digests: &[Digest]) {
        self.digests.extend_from_slice(digests);
    }

    /// Takes a private key.
    pub fn add_private(&mut self, key: SecureBootKey) {
        self.digests.push(key.digest());
        self.public.push(key.public_key());
        self.private.push(key);
    }

    /// Whether no key is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Digests, as burnt in eFuse.
    #[must_use]
    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    /// The scheme of the keys, as far as it is known.
    #[must_use]
    pub fn scheme(&self) -> Option<SignatureScheme> {
        self.public.first().map(PublicKey::scheme)
    }

    /// Whether a key can sign.
    #[must_use]
    pub const fn can_sign(&self) -> bool {
        !self.private.is_empty()
    }

    /// The keys that can sign.
    #[must_use]
    pub fn signers(&self) -> Vec<&dyn ImageSigner> {
        let keys = self.private.iter();
        keys.map(|key| key as &dyn ImageSigner).collect()
    }

    /// Signs an app for secure boot v1, unless something follows the image already; `None` then, and
    /// when no private key is known.
    ///
    /// # Errors
    /// [`KeysError::Key`] when the key is not ECDSA P-256.
    pub fn sign_v1(&self, image: &[u8]) -> Result<Option<Vec<u8>>, KeysError> {
        let bare = bare_image(image).filter(|bare| bare.len() == image.len());
        match (bare, self.private.first()) {
            (Some(bare), Some(key)) => Ok(Some(append_v1(bare, key)?)),
            _ => Ok(None),
        }
    }

    /// The key that a bootloader of secure boot v1 has built in: X, Y, big-endian.
    ///
    /// # Errors
    /// [`KeysError::NoVerificationKey`] unless a P-256 key is known.
    pub fn verification_key(&self) -> Result<[u8; 64], KeysError> {
        let mut keys = self.public.iter();
        let point = keys.find_map(|key| match key {
            PublicKey::P256(key) => Some(key.coordinates()),
            _ => None,
        });
        let [x, y] = point.ok_or(KeysError::NoVerificationKey)?;
        let mut key = [0; 64];
        key.iter_mut()
            .zip(x.iter().chain(&y))
            .for_each(|(to, from)| *to = *from);
        Ok(key)
    }

    /// Whether an image is followed by a signature sector.
    #[must_use]
    pub fn is_signed(image: &[u8]) -> bool {
        Self::scheme_of(image).is_some()
    }

    /// The scheme of an image's first signature.
    #[must_use]
    pub fn scheme_of(image: &[u8]) -> Option<SignatureScheme> {
        let end = ImageLayout::parse(image).ok()?.signed_len;
        let at = usize::try_from(end).ok()?.next_multiple_of(SECTOR_SIZE);
        let sector = image.get(at..)?.first_chunk()?;
        let parsed = SignatureSector::parse(sector);
        parsed.blocks().find_map(|(_, block)| block.scheme())
    }
}

/// Whether a PEM file says that it holds a private key.
fn names_private_key(text: &[u8]) -> bool {
    const LABEL: &[u8] = b"PRIVATE KEY-----";
    text.windows(LABEL.len()).any(|window| window == LABEL)
}

/// Why the maker's keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file holds no usable key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Secure boot v1 needs the key that is built into the bootloader.
    #[error(
        "secure boot v1 needs --secure-boot-key with the ECDSA P-256 key that the bootloader was built with, \
         private or public"
    )]
    NoVerificationKey,
}

impl KeysError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::File(_) => Blame::Io,
            Self::Key(error) => error.blame(),
            Self::NoVerificationKey => Blame::Usage,
        }
    }
}
