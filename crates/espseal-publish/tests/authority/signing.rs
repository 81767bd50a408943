//! Signing images: every chip with every scheme, and one signature after another.

use std::path::Path;

use espseal_format::chip::{CHIPS, ChipId, EcdsaCurve};
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::SecurityVersion;
use espseal_publish::data_signing::{Padding, SignedData};
use espseal_publish::image_signing::{ImageKind, SignError, append_signatures, sign_image};
use espseal_publish::rehearsal::images;
use espseal_publish::secure_boot_key::{ImageSigner, SecureBootKey};

use crate::support::App;

const SCHEMES: [SignatureScheme; 4] = [
    SignatureScheme::Rsa3072,
    SignatureScheme::Ecdsa(EcdsaCurve::P192),
    SignatureScheme::Ecdsa(EcdsaCurve::P256),
    SignatureScheme::Ecdsa(EcdsaCurve::P384),
];

fn key(folder: &Path, name: &str, scheme: SignatureScheme) -> SecureBootKey {
    SecureBootKey::create(&folder.join(name), scheme).unwrap()
}

fn app(chip: ChipId) -> Vec<u8> {
    App::new(chip).build()
}

fn append(image: &[u8], key: &SecureBootKey) -> Result<Vec<u8>, SignError> {
    append_signatures(Path::new("app.bin"), image, &[key]).map(|signed| signed.bytes)
}

fn sign(image: &[u8], keys: &[&dyn ImageSigner]) -> Result<Vec<u8>, SignError> {
    sign_image(Path::new("app.bin"), image, ImageKind::App, keys).map(|signed| signed.bytes)
}

/// Digests of the keys whose blocks verify.
fn signers(image: &[u8]) -> Vec<String> {
    let signed = SignedData::parse(image, Padding::ToSector).unwrap();
    signed
        .blocks()
        .map(|(_, place)| {
            place.verified.unwrap();
            place.key.to_string()
        })
        .collect()
}

#[test]
fn a_chip_gets_signatures_of_its_own_schemes_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let keys = SCHEMES.map(|scheme| key(folder.path(), &scheme.to_string(), scheme));
    let mut table = String::new();
    for chip in CHIPS {
        let image = images::app(chip, "1.0.0", SecurityVersion::new(0));
        let marks = keys.iter().map(|key| match sign(&image, &[key]) {
            Ok(signed) => {
                assert_eq!(signers(&signed), [key.digest().to_string()]);
                'x'
            }
            Err(SignError::Scheme { .. }) => '-',
            Err(error) => panic!("{}: {error}", chip.name()),
        });
        table.push_str(&format!("{} {}\n", chip.name(), marks.collect::<String>()));
    }
    // RSA-3072, P-192, P-256, P-384, as facts.md and the chips' sources have them.
    assert_eq!(
        table,
        "ESP32 x---\nESP32-S2 x---\nESP32-S3 x---\nESP32-C2 -xx-\nESP32-C3 x---\nESP32-C5 xxxx\n\
         ESP32-C6 xxx-\nESP32-C61 -xx-\nESP32-H2 xxx-\nESP32-P4 xxxx\n\
         ESP32-P4 xxx-\n"
    );
}

#[test]
fn app_is_not_signed_as_a_bootloader_nor_a_bootloader_as_an_app() {
    let folder = tempfile::tempdir().unwrap();
    let keys = SCHEMES.map(|scheme| key(folder.path(), &scheme.to_string(), scheme));
    for chip in CHIPS {
        let key = keys
            .iter()
            .find(|key| chip.verifies(key.public_key().scheme()));
        let key = key.unwrap();
        let app = images::app(chip, "1.0.0", SecurityVersion::new(0));
        let bootloader = images::bootloader(chip);
        for (image, kind, other) in [
            (app, ImageKind::App, ImageKind::Bootloader),
            (bootloader, ImageKind::Bootloader, ImageKind::App),
        ] {
            let path = Path::new("image.bin");
            sign_image(path, &image, kind, &[key]).unwrap();
            let error = sign_image(path, &image, other, &[key]).unwrap_err();
            assert!(
                matches!(&error, SignError::OtherKind { expected, .. } if *expected == other),
                "{}: {error}",
                chip.name()
            );
            assert!(error.to_string().contains("--bootloader"), "{error}");
        }
    }
}

#[test]
fn appended_signatures_verify_beside_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let keys = SCHEMES.map(|scheme| key(folder.path(), &scheme.to_string(), scheme));
    let digests: Vec<_> = keys.iter().map(|key| key.digest().to_string()).collect();
    let one = sign(&app(ChipId::Esp32C5), &[&keys[0]]).unwrap();
    let two = append(&one, &keys[1]).unwrap();
    let three = append(&two, &keys[2]).unwrap();
    assert_eq!(signers(&three), digests[..3]);
    let at_once = sign(&app(ChipId::Esp32C5), &[&keys[0], &keys[1], &keys[2]]).unwrap();
    assert_eq!(signers(&at_once), digests[..3]);
    let sector = three.len() - 4096;
    assert_eq!(three[..sector], at_once[..sector]);
    let fourth = append(&three, &keys[3]).unwrap_err();
    assert!(
        matches!(
            fourth,
            SignError::TooMany {
                found: 4,
                limit: 3,
                ..
            }
        ),
        "{fourth}"
    );
}

#[test]
fn a_signature_is_not_added_to_what_is_not_soundly_signed() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["one", "two"].map(|name| key(folder.path(), name, SCHEMES[0]));
    let unsigned = app(ChipId::Esp32C3);
    let one = sign(&unsigned, &[&first]).unwrap();
    let sector = one.len() - 4096;
    let mut wrong = vec![
        unsigned.clone(),
        one[..sector].to_vec(),
        [&one[..], &[0]].concat(),
    ];
    // The flash mode is not covered by the image's checksum, but by the signature.
    for place in [
        2,
        sector,
        sector + 4,
        sector + 40,
        sector + 900,
        sector + 1196,
    ] {
        let mut image = one.clone();
        image[place] ^= 1;
        wrong.push(image);
    }
    for (number, image) in wrong.iter().enumerate() {
        let error = append(image, &second).unwrap_err();
        let fits = matches!(error, SignError::Unsound { .. } | SignError::Image { .. });
        assert!(fits, "case {number}: {error}");
    }
    let again = append(&one, &first).unwrap_err();
    assert!(matches!(again, SignError::SameKey { .. }), "{again}");
    append(&one, &second).unwrap();
}

#[test]
fn an_esp32_gets_one_signature() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["one", "two"].map(|name| key(folder.path(), name, SCHEMES[0]));
    let image = app(ChipId::Esp32);
    let both = sign(&image, &[&first, &second]).unwrap_err();
    assert!(
        matches!(both, SignError::TooMany { limit: 1, .. }),
        "{both}"
    );
    let one = sign(&image, &[&first]).unwrap();
    let more = append(&one, &second).unwrap_err();
    assert!(
        matches!(more, SignError::TooMany { limit: 1, .. }),
        "{more}"
    );
}
