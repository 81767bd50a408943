//! Unmodified ESP-IDF against the server rules of the design, section 8.

use std::collections::VecDeque;
use std::io::Cursor;

use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PrivateDecryptingKey};
use espseal_crypto::content::{ContentKey, Iv};
use espseal_format::chip::ChipId;
use espseal_format::units::FlashOffset;
use espseal_twin::boot::{AppSlot, BootloaderSettings, Rollback};
use espseal_twin::device::VirtualDevice;
use espseal_twin::https::Method;
use espseal_twin::idf::{
    DecryptError, Decryptor, Download, Finish, HttpFetch, HttpReply, HttpsOta, HttpsOtaError,
    OtaError, mark_app_invalid, mark_app_valid,
};

use crate::support::*;

const URL: &str = "https://updates.example.com/idf/1/latest";
const PENDING: u32 = 1;

/// A server in memory with the quirks under test.
pub(crate) struct Server {
    pub(crate) file: Vec<u8>,
    head_status: u16,
    chunked: bool,
    redirects: VecDeque<String>,
    /// What was asked for: method and range.
    asked: Vec<(Method, Option<String>)>,
}

impl Server {
    pub(crate) fn new(file: Vec<u8>) -> Self {
        let (redirects, asked) = (VecDeque::new(), Vec::new());
        Self {
            file,
            head_status: 200,
            chunked: false,
            redirects,
            asked,
        }
    }
}

impl HttpFetch for Server {
    type Error = std::io::Error;

    fn fetch(
        &mut self,
        method: Method,
        _url: &str,
        range: Option<&str>,
    ) -> Result<HttpReply, std::io::Error> {
        self.asked.push((method, range.map(Into::into)));
        if let Some(location) = self.redirects.pop_front() {
            let body = Box::new(Cursor::new(Vec::new()));
            let location = Some(location);
            let (content_length, content_range_total) = (Some(0), None);
            return Ok(HttpReply {
                status: 302,
                content_length,
                content_range_total,
                location,
                body,
            });
        }
        let total = self.file.len();
        let bounds = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let (status, part) = match bounds {
            None => (200, &self.file[..]),
            Some((first, last)) => {
                let last = last.parse().unwrap_or(total - 1).min(total - 1);
                (206, &self.file[first.parse().unwrap()..=last])
            }
        };
        let (status, body) = match method {
            Method::Head => (self.head_status, Vec::new()),
            Method::Get => (status, part.to_vec()),
        };
        Ok(HttpReply {
            status,
            content_length: (!self.chunked).then_some(part.len() as u64),
            content_range_total: Some(total as u64),
            location: None,
            body: Box::new(Cursor::new(body)),
        })
    }
}

/// Seals a signed image for the device whose key is `recipient`.
fn seal(image: &[u8], recipient: &Signer) -> Vec<u8> {
    let (key, iv) = (ContentKey::from_bytes([9; 32]), Iv([3; 16]));
    let private = PrivateDecryptingKey::from_pkcs8(&recipient.pkcs8()).unwrap();
    let public = Pkcs1PublicEncryptingKey::new(private.public_key()).unwrap();
    let mut wrapped = vec![0; public.ciphertext_size()];
    let wrapped = public
        .encrypt(key.expose_secret(), &mut wrapped)
        .unwrap()
        .to_vec();
    let (body, tag) = aes_gcm(key.expose_secret(), &iv.0, image);
    let mut file = [&[0xCF, 0xB6, 0x88, 0x07], &wrapped[..], &iv.0].concat();
    file.extend((body.len() as u32).to_le_bytes());
    file.extend(tag);
    file.resize(512, 0);
    [file, body].concat()
}

/// AES-256-GCM with a 16-byte IV, by Python's `cryptography`.
fn aes_gcm(key: &[u8], iv: &[u8], image: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in"), [key, iv, image].concat()).unwrap();
    let script = "from cryptography.hazmat.primitives.ciphers.aead import AESGCM\n\
        b = open('in', 'rb').read()\n\
        open('out', 'wb').write(AESGCM(b[:32]).encrypt(b[32:48], b[48:], None))";
    oracles::run(
        oracles::python()
            .current_dir(folder.path())
            .args(["-c", script]),
    );
    let mut body = std::fs::read(folder.path().join("out")).unwrap();
    let tag = body.split_off(body.len() - 16);
    (body, tag)
}

fn running(chip: ChipId) -> VirtualDevice {
    let apps: &[(&str, &[u8])] = &[("ota_0", &app(chip, 1, 0))];
    let mut device = device(chip, TWO_SLOTS, apps, Locked::Release, settings());
    device.power_on();
    device
}

pub(crate) fn download(max: Option<u32>) -> Download {
    Download {
        url: URL.into(),
        max_http_request_size: max,
        enc_img_header_size: 512,
    }
}

type Outcome = Result<(), HttpsOtaError<std::io::Error>>;

fn update(
    device: &mut VirtualDevice,
    server: &mut Server,
    max: Option<u32>,
    how: Finish,
) -> Outcome {
    let decryptor = Decryptor::new(&signer().pkcs8()).unwrap();
    HttpsOta::run(device, server, download(max), decryptor, how)
}

fn sealed(chip: ChipId, filler: u8) -> Vec<u8> {
    seal(&signer().sign(&app(chip, filler, 0)), signer())
}

#[test]
fn both_ways_of_downloading_install_the_image_and_mark_it_valid() {
    for chip in CHIPS {
        for max in [None, Some(1024), Some(4096), Some(0x1_0000)] {
            let mut device = running(chip);
            let mut server = Server::new(sealed(chip, 2));
            update(&mut device, &mut server, max, Finish::CheckTag).unwrap();
            let report = device.power_on();
            assert_eq!(slot(&report), AppSlot::Ota(1), "{max:?}\n{}", report.log);
            assert_eq!(state(otadata_entry(&mut device, 1)), PENDING);
            mark_app_valid(&mut device).unwrap();
            assert_eq!(slot(&device.power_on()), AppSlot::Ota(1));
            if max.is_some() {
                assert_eq!(server.asked[0], (Method::Head, None));
            }
        }
    }
}

#[test]
fn ranges_are_counted_as_esp_https_ota_counts_them() {
    let mut server = Server::new(sealed(ChipId::Esp32C3, 2));
    let total = server.file.len();
    update(
        &mut running(ChipId::Esp32C3),
        &mut server,
        Some(4096),
        Finish::CheckTag,
    )
    .unwrap();
    let ranges: Vec<_> = server
        .asked
        .iter()
        .filter_map(|(_, range)| range.clone())
        .collect();
    assert_eq!(total, 512 + 12288);
    // The first request covers the header; each later one starts at plaintext + header.
    assert_eq!(
        ranges,
        [
            "bytes=0-4095",
            "bytes=4096-8191",
            "bytes=8192-12287",
            "bytes=12288-"
        ]
    );
}

#[test]
fn an_unconfirmed_image_is_rolled_back_and_a_rejected_one_too() {
    let chip = ChipId::Esp32C3;
    let mut device = running(chip);
    let mut server = Server::new(sealed(chip, 2));
    update(&mut device, &mut server, None, Finish::CheckTag).unwrap();
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(1));
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
    update(&mut device, &mut server, None, Finish::CheckTag).unwrap();
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(1));
    let again = update(&mut device, &mut server, None, Finish::CheckTag);
    assert!(matches!(
        again,
        Err(HttpsOtaError::Ota(OtaError::RollbackState))
    ));
    mark_app_invalid(&mut device).unwrap();
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
}

/// `esp_ota_begin` asks for the state of the running slot, not of the selected entry.
#[test]
fn fallback_from_an_image_on_trial_does_not_stop_the_next_update() {
    let chip = ChipId::Esp32C3;
    let apps: &[(&str, &[u8])] = &[("ota_0", &app(chip, 1, 0)), ("ota_1", &app(chip, 2, 0))];
    let mut device = device(chip, TWO_SLOTS, apps, Locked::Release, settings());
    set_otadata(&mut device, 0, Some(entry(1, 2)));
    set_otadata(&mut device, 1, Some(entry(2, 0)));
    corrupt(&mut device, OTA_1);
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
    assert_eq!(state(otadata_entry(&mut device, 1)), PENDING);
    let mut server = Server::new(sealed(chip, 3));
    update(&mut device, &mut server, None, Finish::CheckTag).unwrap();
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(1));
}

/// `esp_ota_set_boot_partition` erases what the secure version rules out.
#[test]
fn image_below_the_secure_version_is_erased() {
    let chip = ChipId::Esp32C3;
    let apps: &[(&str, &[u8])] = &[("ota_0", &app(chip, 1, 2))];
    let anti_rollback = BootloaderSettings {
        anti_rollback: espseal_twin::boot::AntiRollback::Enabled,
        ..settings()
    };
    let mut device = device(chip, TWO_SLOTS, apps, Locked::Release, anti_rollback);
    let version = espseal_format::units::SecurityVersion::new(2);
    device.efuses_mut().raise_secure_version(version).unwrap();
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
    let mut server = Server::new(sealed(chip, 3));
    let refused = update(&mut device, &mut server, None, Finish::CheckTag);
    assert!(matches!(
        refused,
        Err(HttpsOtaError::Ota(OtaError::SmallSecureVersion))
    ));
    let slot = OTA_1 as usize..OTA_1 as usize + 0x2_0000;
    assert!(
        device.flash().contents()[slot]
            .iter()
            .all(|byte| *byte == 0xFF)
    );
}

#[test]
fn a_changed_tag_is_noticed_only_by_the_documented_sequence() {
    let chip = ChipId::Esp32C3;
    let mut server = Server::new(sealed(chip, 2));
    server.file[408] ^= 1;
    let refused = update(&mut running(chip), &mut server, None, Finish::CheckTag);
    assert!(matches!(
        refused,
        Err(HttpsOtaError::Decrypt(DecryptError::Tag))
    ));
    let mut device = running(chip);
    update(&mut device, &mut server, None, Finish::OneShot).unwrap();
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(1));
}

#[test]
fn secure_boot_is_what_stops_a_changed_or_strangers_image() {
    let chip = ChipId::Esp32C3;
    let mut changed = Server::new(sealed(chip, 2));
    changed.file[512 + 1000] ^= 1;
    let strangers = seal(&Signer::generate().sign(&app(chip, 2, 0)), signer());
    for mut server in [changed, Server::new(strangers)] {
        let mut device = running(chip);
        let refused = update(&mut device, &mut server, None, Finish::OneShot);
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, HttpsOtaError::Ota(OtaError::ValidateFailed { .. })),
            "{refused}"
        );
        assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
    }
}

#[test]
fn a_file_for_another_device_another_chip_or_no_file_is_refused() {
    let chip = ChipId::Esp32C3;
    let image = signer().sign(&app(chip, 2, 0));
    let run = |file| {
        update(
            &mut running(chip),
            &mut Server::new(file),
            None,
            Finish::CheckTag,
        )
    };
    let other = run(seal(&image, &Signer::generate()));
    assert!(matches!(
        other,
        Err(HttpsOtaError::Decrypt(DecryptError::Unwrap))
    ));
    assert!(matches!(
        run(image.clone()),
        Err(HttpsOtaError::Decrypt(DecryptError::Magic))
    ));
    let esp32 = run(sealed(ChipId::Esp32, 2));
    assert!(matches!(
        esp32,
        Err(HttpsOtaError::Ota(OtaError::InvalidVersion {
            found: 0,
            ..
        }))
    ));
    let noise = run(seal(&[0x55; 8192], signer()));
    let found = HttpsOtaError::<std::io::Error>::Ota(OtaError::InvalidVersion {
        expected: 5,
        found: 0x5555,
    });
    assert_eq!(noise.unwrap_err().to_string(), found.to_string());
    let short = run(seal(&image[..500], signer()));
    assert!(
        matches!(short, Err(HttpsOtaError::IncompleteHeaders)),
        "less than 1024 bytes"
    );
    let mut cut = sealed(chip, 2);
    cut.truncate(cut.len() - 100);
    assert!(matches!(
        run(cut),
        Err(HttpsOtaError::Decrypt(DecryptError::Incomplete))
    ));
}

#[test]
fn an_image_for_other_revisions_is_refused_before_anything_is_erased() {
    let chip = ChipId::Esp32C3;
    let revision = running(chip).efuses().revision();
    let with = |at: usize, bound: u16| {
        let mut image = app(chip, 2, 0);
        image[at..at + 2].copy_from_slice(&bound.to_le_bytes());
        let mut device = running(chip);
        let before = device.flash().contents().to_vec();
        let mut server = Server::new(seal(&image, signer()));
        let refused = update(&mut device, &mut server, None, Finish::CheckTag);
        let untouched = device.flash().contents() == before;
        (refused.unwrap_err().to_string(), untouched)
    };
    let newer = with(15, revision + 1);
    assert!(
        newer
            .0
            .contains("chip revision check failed. Required >= v")
    );
    assert!(newer.1);
    // The signature does not fit the changed image: only the header's check is meant here.
    assert!(!with(15, revision).0.contains("revision"));
    assert!(!with(17, revision).0.contains("revision"));
    if revision > 1 {
        assert!(with(17, revision - 1).0.contains("Required <= v"));
    }
}

#[test]
fn an_image_without_the_magic_byte_costs_the_first_sector_of_the_slot() {
    let chip = ChipId::Esp32C3;
    let mut image = app(chip, 2, 0);
    image[0] = 0xE8;
    let mut device = running(chip);
    let at = usize::try_from(OTA_1).unwrap();
    let mut server = Server::new(seal(&image, signer()));
    device
        .bus()
        .write_raw(FlashOffset::new(OTA_1), &[0; 64])
        .unwrap();
    let refused = update(&mut device, &mut server, None, Finish::CheckTag);
    assert!(matches!(
        refused,
        Err(HttpsOtaError::Ota(OtaError::InvalidMagic { found: 0xE8 }))
    ));
    assert_eq!(device.flash().contents()[at..at + 4096], [0xFF; 4096]);
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
}

#[test]
fn an_image_larger_than_the_slot_is_refused_while_writing() {
    let chip = ChipId::Esp32C3;
    let mut image = app(chip, 2, 0);
    image.resize(0x2_1000, 0);
    let mut server = Server::new(seal(&image, signer()));
    let refused = update(&mut running(chip), &mut server, None, Finish::CheckTag);
    assert!(matches!(
        refused,
        Err(HttpsOtaError::Ota(OtaError::TooLarge { size: 0x2_0000 }))
    ));
}

#[test]
fn partial_downloads_need_a_length_and_a_request_size_that_keeps_blocks_whole() {
    let chip = ChipId::Esp32C3;
    let mut chunked = Server::new(sealed(chip, 2));
    chunked.chunked = true;
    let refused = update(
        &mut running(chip),
        &mut chunked,
        Some(4096),
        Finish::CheckTag,
    );
    assert!(matches!(refused, Err(HttpsOtaError::NoContentLength)));
    for odd in [1000, 1030, 4097] {
        let mut server = Server::new(sealed(chip, 2));
        let refused = update(&mut running(chip), &mut server, Some(odd), Finish::CheckTag);
        assert!(refused.is_err(), "{odd}");
    }
    // HEAD refused, as with pre-signed URLs: a ranged GET tells the length.
    let mut server = Server::new(sealed(chip, 2));
    server.head_status = 405;
    update(
        &mut running(chip),
        &mut server,
        Some(4096),
        Finish::CheckTag,
    )
    .unwrap();
    assert_eq!(server.asked[1], (Method::Get, Some("bytes=0-0".into())));
}

#[test]
fn redirects_have_to_be_https_short_and_few() {
    let chip = ChipId::Esp32C3;
    let run = |redirects: &[String]| {
        let mut server = Server::new(sealed(chip, 2));
        server.redirects = redirects.iter().cloned().collect();
        update(&mut running(chip), &mut server, None, Finish::CheckTag)
    };
    let good = String::from("https://cdn.example.com/a.bin");
    run(std::slice::from_ref(&good)).unwrap();
    run(&["HTTPS://cdn.example.com/a.bin".into()]).unwrap();
    let plain = run(&["http://cdn.example.com/a.bin".into()]);
    assert!(matches!(plain, Err(HttpsOtaError::RedirectDowngrade)));
    assert!(matches!(
        run(&["/a.bin".into()]),
        Err(HttpsOtaError::RedirectDowngrade)
    ));
    let long = format!("https://cdn.example.com/{}", "a".repeat(500));
    assert!(matches!(
        run(&[long]),
        Err(HttpsOtaError::UrlTooLong { length: 524 })
    ));
    assert!(matches!(
        run(&vec![good; 20]),
        Err(HttpsOtaError::TooManyRedirects)
    ));
}

#[test]
fn without_rollback_support_the_new_image_is_undefined_and_stays() {
    let chip = ChipId::Esp32;
    let mut device = running(chip);
    device.set_settings(BootloaderSettings {
        rollback: Rollback::Disabled,
        ..settings()
    });
    update(
        &mut device,
        &mut Server::new(sealed(chip, 2)),
        None,
        Finish::CheckTag,
    )
    .unwrap();
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(1));
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(1));
    assert_eq!(state(otadata_entry(&mut device, 1)), u32::MAX);
}
