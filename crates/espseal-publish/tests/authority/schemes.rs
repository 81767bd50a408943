//! Products on chips that verify other secure boot schemes than the demo's RSA-3072, all the way.

use std::path::{Path, PathBuf};

use espseal_format::chip::{self, ChipId};
use espseal_format::signature_block::{Curve, SignatureScheme};
use espseal_format::units::SecurityVersion;
use espseal_publish::authority::AuthorityError;
use espseal_publish::creation::{self, CreationError, NewProject, SecureBootSource};
use espseal_publish::image_check::ImageRefused;
use espseal_publish::image_signing::{ImageKind, sign_image};
use espseal_publish::observer::Unwatched;
use espseal_publish::rehearsal::{TwinRehearsal, images};
use espseal_publish::release::Published;
use espseal_publish::secure_boot_key::SecureBootKey;

use crate::support::{Bench, TIME, request};

const P192: SignatureScheme = SignatureScheme::Ecdsa(Curve::P192);
const P256: SignatureScheme = SignatureScheme::Ecdsa(Curve::P256);
const P384: SignatureScheme = SignatureScheme::Ecdsa(Curve::P384);

fn project(chips: &[ChipId], secure_boot: SecureBootSource) -> NewProject {
    NewProject {
        name: "Lamp".into(),
        chips: chips.to_vec(),
        channels: vec!["production".into()],
        base_url: "https://localhost:8443/".into(),
        secure_boot,
        root_keys: 1,
        root_threshold: 1,
    }
}

/// A key file outside of any project.
fn key_file(bench: &tempfile::TempDir, scheme: SignatureScheme) -> PathBuf {
    let path = bench.path().join(format!("{scheme}.pem"));
    SecureBootKey::create(&path, scheme).unwrap();
    path
}

/// A product on one chip, its bootloader signed and named, and one agent enrolled.
pub(crate) fn product(chip: ChipId, scheme: Option<SignatureScheme>) -> (Bench, SecureBootKey) {
    let folder = tempfile::tempdir().unwrap();
    let (source, key) = match scheme {
        Some(scheme) => {
            let path = key_file(&folder, scheme);
            (SecureBootSource::ExistingKey(path.clone()), Some(path))
        }
        None => (SecureBootSource::NewKey, None),
    };
    let bench = Bench::of(&project(&[chip], source));
    let key = key.unwrap_or_else(|| bench.project().join("keys/secure-boot.pem"));
    let key = SecureBootKey::load(&key).unwrap();
    let bootloader = images::bootloader(chip::chip(chip).unwrap());
    let path = bench.project().join("bootloader.bin");
    let signed = sign_image(&path, &bootloader, ImageKind::Bootloader, &[&key]).unwrap();
    std::fs::write(&path, signed.bytes).unwrap();
    bench.configure(
        "partition-table-offset",
        "bootloader = \"bootloader.bin\"\npartition-table-offset",
    );
    bench.enrol_agent(chip, "production");
    (bench, key)
}

/// An app for the chip, signed if the chip can verify it.
pub(crate) fn signed_app(chip: ChipId, key: &SecureBootKey) -> Vec<u8> {
    let image = images::app(chip::chip(chip).unwrap(), "2.0.0", SecurityVersion::new(0));
    let signed = sign_image(Path::new("app.bin"), &image, ImageKind::App, &[key]);
    signed.map_or(image, |signed| signed.bytes)
}

fn publish(bench: &Bench, chip: ChipId, key: &SecureBootKey) -> Result<Published, AuthorityError> {
    let path = bench.path("app.bin");
    std::fs::write(&path, signed_app(chip, key)).unwrap();
    let request = request(&path);
    bench
        .authority()
        .publish(&request, TIME, &TwinRehearsal, &Unwatched)
}

#[test]
fn agents_update_to_what_each_scheme_signed_and_confirm_it() {
    for (chip, scheme) in [
        (ChipId::Esp32C61, None),
        (ChipId::Esp32C6, Some(P256)),
        (ChipId::Esp32H2, Some(P192)),
        (ChipId::Esp32P4, Some(P256)),
        (ChipId::Esp32P4, Some(P384)),
        (ChipId::Esp32P4, None),
        (ChipId::Esp32C5, Some(P384)),
        (ChipId::Esp32S3, None),
        (ChipId::Esp32C2, None),
    ] {
        let (bench, key) = product(chip, scheme);
        let published =
            publish(&bench, chip, &key).unwrap_or_else(|error| panic!("{chip}: {error}"));
        let log = published.rehearsed.log.join("\n");
        let confirmed = "updated, confirmed, and still boots from ota_1";
        assert!(log.contains(confirmed), "{chip}: {log}");
    }
}

#[test]
fn new_keys_are_of_a_scheme_that_every_chip_verifies() {
    for (chips, scheme) in [
        (&[ChipId::Esp32C2][..], P256),
        (&[ChipId::Esp32C61, ChipId::Esp32C6], P256),
        (
            &[ChipId::Esp32C6, ChipId::Esp32S3],
            SignatureScheme::Rsa3072,
        ),
    ] {
        let bench = Bench::of(&project(chips, SecureBootSource::NewKey));
        let key = SecureBootKey::load(&bench.project().join("keys/secure-boot.pem")).unwrap();
        assert_eq!(
            espseal_publish::secure_boot_key::ImageSigner::public_key(&key).scheme(),
            scheme
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let apart = project(
        &[ChipId::Esp32C2, ChipId::Esp32S3],
        SecureBootSource::NewKey,
    );
    let error = creation::create(&folder.path().join("p"), &apart, TIME, &Unwatched).unwrap_err();
    assert!(
        matches!(error, CreationError::NoCommonScheme { .. }),
        "{error}"
    );
    assert!(!folder.path().join("p/espseal.toml").exists());
}

#[test]
fn keys_that_a_chip_cannot_verify_make_no_project() {
    let folder = tempfile::tempdir().unwrap();
    for (chip, scheme) in [
        (ChipId::Esp32S3, P256),
        (ChipId::Esp32C2, SignatureScheme::Rsa3072),
        (ChipId::Esp32C6, P384),
    ] {
        let key = folder.path().join(format!("{chip}.pem"));
        SecureBootKey::create(&key, scheme).unwrap();
        let new = project(&[chip], SecureBootSource::ExistingKey(key));
        let path = folder.path().join(format!("{chip}-project"));
        let error = creation::create(&path, &new, TIME, &Unwatched).unwrap_err();
        assert!(
            matches!(error, CreationError::Scheme { found, .. } if found == scheme),
            "{error}"
        );
    }
}

#[test]
fn an_image_of_another_scheme_than_the_fleet_wishes_is_refused() {
    let (bench, _) = product(ChipId::Esp32C6, Some(P256));
    let folder = tempfile::tempdir().unwrap();
    let rsa = SecureBootKey::load(&key_file(&folder, SignatureScheme::Rsa3072)).unwrap();
    // Without a wish it is the key that is foreign; the chip does verify RSA.
    let error = publish(&bench, ChipId::Esp32C6, &rsa).unwrap_err();
    let refused = |error: &AuthorityError| match error {
        AuthorityError::Image(refused) => format!("{refused:?}"),
        other => panic!("{other}"),
    };
    assert!(refused(&error).starts_with("ForeignKey"), "{error}");
    bench.configure(
        "\n[[channel]]",
        "\n[chip.security]\nsecure-boot = \"ecdsa-p256\"\n\n[[channel]]",
    );
    let error = publish(&bench, ChipId::Esp32C6, &rsa).unwrap_err();
    assert!(
        matches!(
            &error,
            AuthorityError::Image(ImageRefused::Scheme { found, .. }) if *found == SignatureScheme::Rsa3072
        ),
        "{error}"
    );
}
