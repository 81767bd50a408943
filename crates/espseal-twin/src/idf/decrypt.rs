//! `esp_encrypted_img`, both schemes: decrypts a download piece by piece.
//!
//! Plaintext is handed out before the tag is checked; only [`Decryptor::end`] checks it.
//!
//! Source: idf-extra-components `esp_encrypted_img/src/esp_encrypted_img.c`.

use aws_lc_rs::rsa::{Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use espseal_crypto::content::{BodyKeystream, ContentKey, Iv, Tag};
use zeroize::Zeroizing;

use crate::efuse::{Efuses, HmacPeripheral};

mod ecies;

const HEADER: usize = 512;
const MAGIC: [u8; 4] = [0xCF, 0xB6, 0x88, 0x07];
/// Plaintext leaves in multiples of this, until the last piece.
const CACHE: usize = 16;

/// State of one decryption.
pub struct Decryptor {
    key: DeviceKey,
    header: Vec<u8>,
    body: Option<Body>,
}

/// Where the content key comes from.
enum DeviceKey {
    /// `PRE_ENCRYPTED_OTA_USE_RSA`: it is in the header, wrapped.
    Rsa(Box<Pkcs1PrivateDecryptingKey>),
    /// `PRE_ENCRYPTED_OTA_USE_ECIES`: it is agreed on.
    Ecies(HmacPeripheral),
}

/// What is known once the header is complete.
struct Body {
    keystream: BodyKeystream,
    key: ContentKey,
    iv: Iv,
    tag: Tag,
    length: u32,
    /// Ciphertext received.
    received: u32,
    /// Plaintext handed out.
    handed_out: u32,
    /// Up to 15 bytes that wait for the rest of their block.
    cache: Vec<u8>,
    /// All ciphertext, for the tag.
    ciphertext: Vec<u8>,
}

impl Decryptor {
    /// RSA scheme: takes the device's RSA-3072 private key (PKCS#8 DER).
    ///
    /// # Errors
    /// [`DecryptError::PrivateKey`].
    pub fn new(private_key_pkcs8: &[u8]) -> Result<Self, DecryptError> {
        let key = PrivateDecryptingKey::from_pkcs8(private_key_pkcs8)
            .map_err(|_| DecryptError::PrivateKey)?;
        let key = Pkcs1PrivateDecryptingKey::new(key).map_err(|_| DecryptError::PrivateKey)?;
        Ok(Self::with(DeviceKey::Rsa(Box::new(key))))
    }

    /// ECIES scheme: takes the key in eFuse key block `hmac_key_id`, counted from 0
    /// (`esp_decrypt_cfg_t::hmac_key_id`).
    ///
    /// # Errors
    /// [`DecryptError::HmacKeyNotFound`] unless the block's purpose is `HMAC_UP`.
    pub fn ecies(efuses: &Efuses, hmac_key_id: usize) -> Result<Self, DecryptError> {
        let peripheral = efuses.hmac_peripheral(hmac_key_id);
        let peripheral = peripheral.ok_or(DecryptError::HmacKeyNotFound)?;
        Ok(Self::with(DeviceKey::Ecies(peripheral)))
    }

    const fn with(key: DeviceKey) -> Self {
        Self {
            key,
            header: Vec::new(),
            body: None,
        }
    }

    /// Takes the next piece; returns the plaintext that it completes, perhaps none
    /// (`ESP_ERR_NOT_FINISHED` with no data).
    ///
    /// # Errors
    /// [`DecryptError::Magic`], [`DecryptError::Unwrap`], [`DecryptError::Derive`].
    pub fn update(&mut self, mut data: &[u8]) -> Result<Vec<u8>, DecryptError> {
        if self.body.is_none() {
            let (head, rest) = data.split_at(data.len().min(HEADER - self.header.len()));
            self.header.extend_from_slice(head);
            data = rest;
            let known = self.header.len().min(MAGIC.len());
            if self.header.len() >= MAGIC.len() && self.header.get(..known) != Some(&MAGIC) {
                return Err(DecryptError::Magic);
            }
            let Some(header) = self.header.first_chunk() else {
                return Ok(Vec::new());
            };
            self.body = Some(Body::open(&self.key, header)?);
        }
        match &mut self.body {
            Some(body) => body.update(data),
            None => Ok(Vec::new()),
        }
    }

    /// Checks length and tag (`esp_encrypted_img_decrypt_end`).
    ///
    /// # Errors
    /// [`DecryptError::Incomplete`], [`DecryptError::Tag`].
    pub fn end(self) -> Result<(), DecryptError> {
        let Some(mut body) = self.body else {
            return Err(DecryptError::Incomplete);
        };
        if !body.cache.is_empty() || body.received != body.length {
            return Err(DecryptError::Incomplete);
        }
        let (key, iv, tag) = (&body.key, &body.iv, &body.tag);
        espseal_crypto::content::open(key, iv, tag, &mut body.ciphertext)
            .map_err(|_| DecryptError::Tag)
    }
}

impl DeviceKey {
    /// `process_gcm_key`.
    fn content_key(&self, wrapped: &[u8]) -> Result<ContentKey, DecryptError> {
        match self {
            Self::Rsa(key) => {
                let mut plain = Zeroizing::new(vec![0; key.min_output_size()]);
                let unwrapped = key
                    .decrypt(wrapped, &mut plain)
                    .map_err(|_| DecryptError::Unwrap)?;
                let key = *unwrapped.first_chunk().ok_or(DecryptError::Unwrap)?;
                Ok(ContentKey::from_bytes(key))
            }
            Self::Ecies(peripheral) => ecies::content_key(&ecies::scalar(peripheral), wrapped),
        }
    }
}

impl Body {
    fn open(key: &DeviceKey, header: &[u8; HEADER]) -> Result<Self, DecryptError> {
        let field = |range: core::ops::Range<usize>| header.get(range).unwrap_or_default();
        let key = key.content_key(field(4..388))?;
        let iv = Iv(field(388..404).first_chunk().copied().unwrap_or_default());
        let length = field(404..408).first_chunk().copied().unwrap_or_default();
        let tag = Tag(field(408..424).first_chunk().copied().unwrap_or_default());
        Ok(Self {
            keystream: BodyKeystream::new(&key, &iv),
            key,
            iv,
            tag,
            length: u32::from_le_bytes(length),
            received: 0,
            handed_out: 0,
            cache: Vec::new(),
            ciphertext: Vec::new(),
        })
    }

    fn update(&mut self, data: &[u8]) -> Result<Vec<u8>, DecryptError> {
        let more = u32::try_from(data.len()).map_err(|_| DecryptError::Incomplete)?;
        self.received = self.received.wrapping_add(more);
        self.ciphertext.extend_from_slice(data);
        self.cache.extend_from_slice(data);
        // Only a piece that ends exactly at the stated length is taken for the last one.
        let ready = match self.received == self.length {
            true => self.cache.len(),
            false => self.cache.len() - self.cache.len() % CACHE,
        };
        let rest = self.cache.split_off(ready);
        let mut plain = core::mem::replace(&mut self.cache, rest);
        self.keystream.apply(self.handed_out, &mut plain);
        self.handed_out = self
            .handed_out
            .wrapping_add(u32::try_from(plain.len()).unwrap_or(0));
        Ok(plain)
    }
}

/// Why a sealed image does not decrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// The caller's private key does not parse.
    #[error("the private key is not an RSA key in PKCS#8 DER form")]
    PrivateKey,
    /// The application names an eFuse block without an HMAC key.
    #[error("Could not find HMAC key in configured eFuse block!")]
    HmacKeyNotFound,
    /// The file is not a sealed image.
    #[error("Magic Verification failed")]
    Magic,
    /// The content key was wrapped for another device.
    #[error("Unable to decipher GCM key")]
    Unwrap,
    /// The sender's public key is not a point on the curve.
    #[error("Failed to derive GCM key")]
    Derive,
    /// More or less data came than the header states.
    #[error("Decryption process not completed successfully")]
    Incomplete,
    /// The data was changed on the way.
    #[error("the authentication tag does not match")]
    Tag,
}
