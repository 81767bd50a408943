//! The rehearsal on a virtual device with unmodified ESP-IDF and the ECIES scheme.
//!
//! Nobody but a device can open the file that is made for it. So one more virtual device of the chip
//! gets an HMAC key of its own burnt, and a file that is sealed by the same code as all others; it has
//! to install that file, in one request and in ranges, and to refuse a changed, a truncated and a
//! stranger's one.

use std::convert::Infallible;
use std::io::{Cursor, empty};

use espseal_crypto::ecies::HmacKey;
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

/// `max_http_request_size` of the second download: a multiple of 16, as ESP-IDF needs it.
const RANGE: u32 = 16 << 10;
/// Where the model is told to look.
const URL: &str = "https://rehearsal.invalid/latest";

/// What is wrong with a file that has to be refused.
type Change = (&'static str, fn(&mut Vec<u8>));

/// Files that have to be refused, made from the right one.
const CHANGES: [Change; 2] = [
    ("a file with a flipped byte", |file| {
        if let Some(byte) = file.last_mut() {
            *byte ^= 1;
        }
    }),
    ("a truncated file", |file| {
        file.truncate(file.len().saturating_sub(16));
    }),
];

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
    /// Updates a device that runs unmodified ESP-IDF to the release.
    pub(super) fn update_esp_idf(&self, log: &mut Vec<String>) -> Result<(), RehearsalFailed> {
        let step = "sealing for a virtual ESP-IDF device";
        let key = draw_hmac_key();
        let image = self.exhibit.image.bytes();
        let seal = |key: &HmacKey| {
            let device = key.device_key().map_err(|error| self.failed(step, error))?;
            seal_file(&device.public_key(), image).map_err(|error| self.failed(step, error))
        };
        let file = seal(&key)?.bytes;
        let (made, settings, _) = self.make_device(Some(&key), None)?;
        for max in [None, Some(RANGE)] {
            self.install(self.copy(&made, settings)?, &file, max)?;
        }
        log.push(format!(
            "a virtual {} with unmodified ESP-IDF and an HMAC key of its own installs its file \
             (ECIES), in one request and in ranges",
            self.exhibit.image.chip()
        ));
        for (what, change) in CHANGES {
            let mut changed = file.clone();
            change(&mut changed);
            let device = self.copy(&made, settings)?;
            log.push(self.refuse(device, what, &changed)?);
        }
        let strangers = seal(&draw_hmac_key())?.bytes;
        let device = self.copy(&made, settings)?;
        log.push(self.refuse(device, "the file of another HMAC key", &strangers)?);
        Ok(())
    }

    /// Downloads, restarts, confirms and restarts.
    fn install(
        &self,
        mut device: VirtualDevice,
        file: &[u8],
        max: Option<u32>,
    ) -> Result<(), RehearsalFailed> {
        let step = "updating an ESP-IDF device";
        self.boot(&mut device, &mut Vec::new(), step)?;
        download(&mut device, file, max).map_err(|error| self.failed(step, error))?;
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
        what: &'static str,
        file: &[u8],
    ) -> Result<String, RehearsalFailed> {
        let step = "offering an ESP-IDF device what it must refuse";
        let before = self.boot(&mut device, &mut Vec::new(), step)?;
        let Err(error) = download(&mut device, file, None) else {
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
    file: &[u8],
    max_http_request_size: Option<u32>,
) -> Result<(), HttpsOtaError<Infallible>> {
    let download = Download {
        url: URL.into(),
        max_http_request_size,
        enc_img_header_size: 512,
    };
    let efuses = device.efuses();
    let keys = 0..efuses.map().keys.len();
    let decryptors = keys.filter_map(|id| Decryptor::ecies(efuses, id).ok());
    let decryptor = decryptors
        .last()
        .ok_or(idf::DecryptError::HmacKeyNotFound)?;
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
