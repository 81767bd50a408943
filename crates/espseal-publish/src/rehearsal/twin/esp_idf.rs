//! The rehearsal on virtual devices with unmodified ESP-IDF, one for each scheme that a device of the
//! fleet has.
//!
//! Nobody but a device can open what is made for it. So one more virtual device of the chip gets a key
//! of its own, and what the same code makes for all others: a header before the very body of the
//! release (RSA), or a file (ECIES). It has to install that, in one request and in ranges, and to
//! refuse what is changed, truncated or a stranger's.

use std::convert::Infallible;
use std::io::{Cursor, empty};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use espseal_crypto::ecies::HmacKey;
use espseal_crypto::flash_encryption::FlashCryptConfig;
use espseal_format::units::{DeviceId, Digest};
use espseal_twin::boot::{AppSlot, BootloaderSettings};
use espseal_twin::device::VirtualDevice;
use espseal_twin::efuse::{EfuseError, Efuses, KeyProtection, KeyToBurn, KeyUse};
use espseal_twin::factory::FactoryDevice;
use espseal_twin::https::Method;
use espseal_twin::idf::{
    self, Decryptor, Download, Finish, HttpFetch, HttpReply, HttpsOta, HttpsOtaError,
};

use super::{RehearsalFailed, Stage};
use crate::enrolment::ecies::draw_hmac_key;
use crate::idf_recipient::ecies::seal_file;
use crate::idf_recipient::{Opening, header};

/// `max_http_request_size` of the second download: a multiple of 16, as ESP-IDF needs it.
const RANGE: u32 = 16 << 10;
/// Where a header has the wrapped key, or what it is agreed on with.
const WRAPPED_KEY: usize = 20;
/// What is being done while a file is made.
const SEALING: &str = "sealing for a virtual ESP-IDF device";
/// Where the model is told to look.
const URL: &str = "https://rehearsal.invalid/latest";

/// What is wrong with a file that has to be refused.
type Change = (&'static str, fn(&mut Vec<u8>));

/// Files that have to be refused, made from the right one.
const CHANGES: [Change; 3] = [
    ("a file with a flipped byte", |file| {
        if let Some(byte) = file.last_mut() {
            *byte ^= 1;
        }
    }),
    ("a header with a flipped byte", |file| {
        if let Some(byte) = file.get_mut(WRAPPED_KEY) {
            *byte ^= 1;
        }
    }),
    ("a truncated file", |file| {
        file.truncate(file.len().saturating_sub(16));
    }),
];

/// What the virtual device opens its files with.
enum OwnKey {
    /// In its firmware.
    Rsa(PrivateDecryptingKey),
    /// In an eFuse.
    Ecies(HmacKey),
}

impl OwnKey {
    /// What a device with such a key does, in words.
    const fn installs(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "an RSA key of its own installs its header and the body",
            Self::Ecies(_) => "an HMAC key of its own installs its file (ECIES)",
        }
    }

    /// The key to burn.
    const fn in_efuse(&self) -> Option<&HmacKey> {
        match self {
            Self::Rsa(_) => None,
            Self::Ecies(key) => Some(key),
        }
    }

    /// `esp_encrypted_img`, as the device's firmware sets it up.
    fn decryptor(&self, efuses: &Efuses) -> Result<Decryptor, idf::DecryptError> {
        match self {
            Self::Rsa(key) => {
                let key: Result<Pkcs8V1Der<'_>, _> = key.as_der();
                let key = key.map_err(|_| idf::DecryptError::PrivateKey)?;
                Decryptor::new(key.as_ref())
            }
            Self::Ecies(_) => {
                let mut ids = 0..efuses.map().keys.len();
                ids.find_map(|id| Decryptor::ecies(efuses, id).ok())
                    .ok_or(idf::DecryptError::HmacKeyNotFound)
            }
        }
    }
}

/// Burns the key into the first block that takes it.
pub(super) fn burn_hmac_key(efuses: &mut Efuses, key: &HmacKey) -> Result<(), EfuseError> {
    let usage = KeyUse::HmacUpstream;
    let block = efuses
        .free_block_for(usage)
        .ok_or(EfuseError::NoSecondBlock)?;
    let key = KeyToBurn {
        block,
        usage,
        key: key.expose_secret(),
    };
    efuses.burn_keys(&[key], KeyProtection::Usual)
}

impl Stage<'_> {
    /// Updates devices that run unmodified ESP-IDF to the release, where the fleet has some.
    pub(super) fn update_esp_idf(&self, log: &mut Vec<String>) -> Result<(), RehearsalFailed> {
        let recipients = self.exhibit.esp_idf;
        if recipients.rsa > 0 {
            let key = PrivateDecryptingKey::generate(KeySize::Rsa3072);
            let key = key.map_err(|_| self.failed(SEALING, "no RSA key was made"))?;
            self.update_with(&OwnKey::Rsa(key), log)?;
        }
        if recipients.ecies > 0 {
            self.update_with(&OwnKey::Ecies(draw_hmac_key()), log)?;
        }
        Ok(())
    }

    /// Updates a device that has this key.
    fn update_with(&self, key: &OwnKey, log: &mut Vec<String>) -> Result<(), RehearsalFailed> {
        let file = self.file_for(key)?;
        let flash_key = self.draw_flash_key()?;
        let (made, settings, _) =
            self.make_device(&flash_key, FlashCryptConfig::DEFAULT, key.in_efuse())?;
        for max in [None, Some(RANGE)] {
            self.install(self.copy(&made, settings)?, key, &file, max)?;
        }
        log.push(format!(
            "a virtual {} with unmodified ESP-IDF and {}, in one request and in ranges",
            self.exhibit.image.chip(),
            key.installs()
        ));
        for (what, change) in CHANGES {
            let mut changed = file.clone();
            change(&mut changed);
            let device = self.copy(&made, settings)?;
            log.push(self.refuse(device, key, what, &changed)?);
        }
        if let OwnKey::Ecies(_) = key {
            let strangers = self.file_for(&OwnKey::Ecies(draw_hmac_key()))?;
            let device = self.copy(&made, settings)?;
            log.push(self.refuse(device, key, "the file of another HMAC key", &strangers)?);
        }
        Ok(())
    }

    /// What the device downloads.
    fn file_for(&self, key: &OwnKey) -> Result<Vec<u8>, RehearsalFailed> {
        match key {
            OwnKey::Rsa(key) => {
                let public: Result<PublicKeyX509Der<'_>, _> = key.public_key().as_der();
                let public = public.map_err(|_| self.failed(SEALING, "its RSA key has no DER"))?;
                let device = DeviceId(Digest::of(public.as_ref()).0);
                let length = self.exhibit.manifest.component.body_length;
                let opening = Opening::of(self.exhibit.sealed, length);
                let header = header(device, public.as_ref(), &opening)
                    .map_err(|error| self.failed(SEALING, error))?;
                Ok([&header, self.exhibit.sealed.body.as_slice()].concat())
            }
            OwnKey::Ecies(key) => {
                let device = key
                    .device_key()
                    .map_err(|error| self.failed(SEALING, error))?;
                seal_file(&device.public_key(), self.exhibit.image.bytes())
                    .map(|file| file.bytes)
                    .map_err(|error| self.failed(SEALING, error))
            }
        }
    }

    /// Downloads, restarts, confirms and restarts.
    fn install(
        &self,
        mut device: VirtualDevice,
        key: &OwnKey,
        file: &[u8],
        max: Option<u32>,
    ) -> Result<(), RehearsalFailed> {
        let step = "updating an ESP-IDF device";
        self.boot(&mut device, &mut Vec::new(), step)?;
        download(&mut device, key, file, max).map_err(|error| self.failed(step, error))?;
        for confirm in [true, false] {
            let running = self.boot(&mut device, &mut Vec::new(), step)?;
            if running != AppSlot::Ota(1) {
                return Err(self.failed(step, format!("{running} runs")));
            }
            if confirm {
                idf::mark_app_valid(&mut device).map_err(|error| self.failed(step, error))?;
            }
        }
        Ok(())
    }

    /// Offers a file that has to be refused; returns what the device said.
    fn refuse(
        &self,
        mut device: VirtualDevice,
        key: &OwnKey,
        what: &'static str,
        file: &[u8],
    ) -> Result<String, RehearsalFailed> {
        let step = "offering an ESP-IDF device what it must refuse";
        let before = self.boot(&mut device, &mut Vec::new(), step)?;
        let Err(error) = download(&mut device, key, file, None) else {
            return Err(self.failed(step, format!("it installed {what}")));
        };
        let after = self.boot(&mut device, &mut Vec::new(), step)?;
        if after != before {
            return Err(self.failed(step, format!("{after} runs after {what}")));
        }
        let first = error.to_string();
        let first = first.lines().next().unwrap_or_default();
        Ok(format!("it refuses {what}: {first}"))
    }

    fn copy(
        &self,
        made: &FactoryDevice,
        settings: BootloaderSettings,
    ) -> Result<VirtualDevice, RehearsalFailed> {
        let (flash, efuses) = (made.flash.clone(), made.efuses.clone());
        self.switch_ready(FactoryDevice { flash, efuses }, settings)
    }
}

/// Runs `esp_https_ota` with `esp_encrypted_img`, ending with the documented calls.
fn download(
    device: &mut VirtualDevice,
    key: &OwnKey,
    file: &[u8],
    max_http_request_size: Option<u32>,
) -> Result<(), HttpsOtaError<Infallible>> {
    let download = Download {
        url: URL.into(),
        max_http_request_size,
        enc_img_header_size: 512,
    };
    let decryptor = key.decryptor(device.efuses())?;
    let mut server = Server { file };
    HttpsOta::run(device, &mut server, download, decryptor, Finish::CheckTag)
}

/// A server that answers as `espseal serve` does.
struct Server<'a> {
    file: &'a [u8],
}

impl HttpFetch for Server<'_> {
    type Error = Infallible;

    fn fetch(
        &mut self,
        method: Method,
        _: &str,
        range: Option<&str>,
    ) -> Result<HttpReply, Infallible> {
        let total = self.file.len();
        let bounds = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let part = bounds.and_then(|(first, last)| {
            let end = last
                .parse()
                .map_or(total, |last: usize| last.saturating_add(1));
            self.file.get(first.parse().ok()?..end.min(total))
        });
        let (status, bytes) = match part {
            Some(part) => (206, part),
            None => (200, self.file),
        };
        Ok(HttpReply {
            status,
            content_length: Some(bytes.len() as u64),
            content_range_total: Some(total as u64),
            location: None,
            body: match method {
                Method::Get => Box::new(Cursor::new(bytes.to_vec())),
                Method::Head => Box::new(empty()),
            },
        })
    }
}
