//! The rehearsal on the twin: what it lets through and what it stops.

use std::fs;

use espseal_crypto::content::ContentKey;
use espseal_format::chip::ChipId;
use espseal_publish::authority::AuthorityError;
use espseal_publish::blame::Blame;
use espseal_publish::observer::Unwatched;
use espseal_publish::rehearsal::{Exhibit, Rehearsal, RehearsalFailed, Rehearsed, TwinRehearsal};
use espseal_publish::release::Published;
use espseal_publish::seal::SealedBody;
use rcgen::RsaKeySize;

use crate::support::{App, Bench, CHIPS, TIME, app, request, rsa_pem, rsa_record};

fn rehearse(bench: &Bench, image: &[u8]) -> Result<Published, AuthorityError> {
    let path = bench.write("app.bin", image);
    bench
        .authority()
        .publish(&request(&path), TIME, &TwinRehearsal, &Unwatched)
}

#[test]
fn release_boots_updates_and_confirms_on_both_chips() {
    let bench = Bench::new();
    for chip in CHIPS {
        let published = rehearse(&bench, &app(chip)).unwrap();
        let log = published.rehearsed.log.join("\n");
        assert!(log.contains("boots from ota_0 after the factory"), "{log}");
        assert!(
            log.contains("still boots from ota_1 after a restart"),
            "{log}"
        );
        let secure = App {
            secure_version: 2,
            ..App::new(chip)
        };
        rehearse(&bench, &secure.signed()).unwrap();
    }
}

/// Gives the RSA header another tag than the body has.
struct Exchanged;

impl Rehearsal for Exchanged {
    fn rehearse(&self, exhibit: &Exhibit<'_>) -> Result<Rehearsed, RehearsalFailed> {
        let whole = exhibit.sealed;
        let mut tag = whole.tag;
        tag.0[0] ^= 1;
        let sealed = SealedBody {
            body: whole.body.clone(),
            digest: whole.digest,
            plaintext: whole.plaintext,
            pages: whole.pages.clone(),
            page_digests: whole.page_digests.clone(),
            iv: whole.iv,
            tag,
            commitment: whole.commitment,
            key: ContentKey::from_bytes(*whole.key.expose_secret()),
        };
        TwinRehearsal.rehearse(&Exhibit {
            sealed: &sealed,
            ..*exhibit
        })
    }
}

#[test]
fn rsa_scheme_is_rehearsed_where_a_device_has_it_and_there_alone() {
    let bench = Bench::new();
    let image = app(ChipId::Esp32C3);
    let log = |bench: &Bench| rehearse(bench, &image).unwrap().rehearsed.log.join("\n");
    assert!(!log(&bench).contains("RSA key"));
    let record = rsa_record(&rsa_pem(RsaKeySize::_3072), ChipId::Esp32C3);
    bench
        .enrol(&bench.write("device.toml", record.as_bytes()))
        .unwrap();
    let log = log(&bench);
    for line in [
        "a virtual ESP32-C3 with unmodified ESP-IDF and an RSA key of its own installs its header \
         and the body, in one request and in ranges",
        "it refuses a file with a flipped byte: the authentication tag does not match",
        "it refuses a header with a flipped byte: ",
        "it refuses a truncated file: Decryption process not completed successfully",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
    let path = bench.write("app.bin", &image);
    let mut authority = bench.authority();
    let outcome = authority.publish(&request(&path), TIME, &Exchanged, &Unwatched);
    let Err(AuthorityError::Rehearsal(failed)) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(failed.step, "updating an ESP-IDF device");
    assert!(failed.found.contains("tag"), "{failed}");
}

#[test]
fn fleet_without_secure_boot_rehearses_too() {
    let bench = Bench::new();
    let path = bench.project().join("espseal.toml");
    let text: Vec<_> = fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(|line| match line.starts_with("secure-boot-digests") {
            true => "secure-boot-digests = []".to_owned(),
            false => line.to_owned(),
        })
        .collect();
    fs::write(&path, text.join("\n")).unwrap();
    rehearse(&bench, &app(ChipId::Esp32C3)).unwrap();
}

#[test]
fn failed_rehearsal_publishes_and_writes_nothing() {
    let bench = Bench::new();
    bench.enrol_agent(ChipId::Esp32C3, "production");
    let table = bench.project().join("partitions/esp32c3.csv");
    let text = fs::read_to_string(&table).unwrap();
    let journal = text
        .lines()
        .find(|line| line.starts_with("espseal"))
        .unwrap();
    fs::write(&table, text.replace(journal, "")).unwrap();
    let path = bench.write("app.bin", &app(ChipId::Esp32C3));
    let before = bench.snapshot();
    let error = bench
        .authority()
        .publish(&request(&path), TIME, &TwinRehearsal, &Unwatched)
        .unwrap_err();
    assert!(matches!(error, AuthorityError::Rehearsal(_)), "{error}");
    assert_eq!(error.blame(), Blame::Refused);
    assert_eq!(bench.snapshot(), before);
}

#[test]
fn signed_bootloader_is_asked_for_when_the_signing_key_is_elsewhere() {
    let bench = Bench::new();
    fs::remove_file(bench.project().join("keys/secure-boot.pem")).unwrap();
    let error = rehearse(&bench, &app(ChipId::Esp32C3)).unwrap_err();
    assert!(error.to_string().contains("bootloader"), "{error}");
}
