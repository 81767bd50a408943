//! Direct releases: what they are made of, who gets one, and the rehearsal with a real flash key.

use std::path::PathBuf;

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use espseal_crypto::cose::verify_sign1;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_crypto::flash_encryption::{FlashCryptConfig, FlashKey};
use espseal_format::chip::{ChipId, SchemeId};
use espseal_format::cose::{Role, Sign1};
use espseal_format::metadata::direct::{DirectManifest, FlashScheme};
use espseal_format::repository::Resource;
use espseal_format::units::{DeviceId, Digest, FlashOffset};
use espseal_publish::authority::AuthorityError;
use espseal_publish::direct::{DirectError, DirectRequest};
use espseal_publish::escrow::{Escrow, EscrowedKey, Recipients};
use espseal_publish::files::{self, Secrecy};
use espseal_publish::observer::Unwatched;
use espseal_publish::rehearsal::{
    DirectExhibit, Exhibit, Rehearsal, RehearsalFailed, Rehearsed, TwinRehearsal,
};
use espseal_publish::release::{PublishRequest, Published};

use crate::schemes::{product, signed_app};
use crate::support::{Bench, TIME, app, request};

/// A maker with flash keys in escrow.
struct Vault {
    bench: Bench,
    identity: Identity,
}

impl Vault {
    fn new() -> Self {
        Self::of(Bench::new())
    }

    fn of(bench: Bench) -> Self {
        let identity = Identity::generate();
        let secret = identity.to_string();
        let path = bench.path("identity.txt");
        let text = secret.expose_secret().as_bytes();
        files::create(&path, text, Secrecy::Private).unwrap();
        Escrow::create(&bench.path("escrow")).unwrap();
        Self { bench, identity }
    }

    fn keep(&self, device: &SoftwareDeviceKey, chip: ChipId, key: FlashKey) {
        let recipients = Recipients::new(&[self.identity.to_public().to_string()]).unwrap();
        let escrowed = EscrowedKey {
            mac: None,
            device: Some(device.device_id()),
            chip,
            config: FlashCryptConfig::DEFAULT,
            key,
        };
        let mut escrow = Escrow::list(&self.bench.path("escrow")).unwrap();
        escrow.keep(&escrowed, &recipients).unwrap();
    }

    /// What espsecure decrypts from this address on with [`key`] of 32 bytes.
    fn espsecure(&self, scheme: SchemeId, address: FlashOffset, raw: &[u8]) -> Vec<u8> {
        let plain = self.bench.path("plain.bin");
        let mut command = oracles::tool("espsecure");
        command.arg("decrypt-flash-data");
        if scheme != SchemeId::Esp32Aes {
            command.arg("--aes-xts");
        }
        command
            .arg("--keyfile")
            .arg(self.bench.write("key.bin", &key_file(32)))
            .args(["--address", &address.get().to_string(), "--output"])
            .arg(&plain)
            .arg(self.bench.write("raw.bin", raw));
        oracles::run(&mut command);
        std::fs::read(plain).unwrap()
    }

    fn request(&self, image: &[u8]) -> PublishRequest {
        let app: PathBuf = self.bench.write("app.bin", image);
        PublishRequest {
            direct: Some(DirectRequest {
                escrow: self.bench.path("escrow"),
                identity: self.bench.path("identity.txt"),
            }),
            ..request(&app)
        }
    }

    fn publish(&self, image: &[u8]) -> Result<Published, AuthorityError> {
        let request = self.request(image);
        self.bench
            .authority()
            .publish(&request, TIME, &TwinRehearsal, &Unwatched)
    }
}

fn key_file(length: u8) -> Vec<u8> {
    (0..length).map(|i| i.wrapping_mul(37) ^ 0x5A).collect()
}

fn key(scheme: SchemeId, length: u8) -> FlashKey {
    FlashKey::from_file(scheme, &key_file(length)).unwrap()
}

#[test]
fn direct_release_is_rehearsed_with_the_devices_own_key_and_decrypts_to_the_image() {
    let vault = Vault::new();
    let esp32 = FlashScheme::Esp32 { crypt_config: 0xF };
    for (chip, scheme, expected) in [
        (ChipId::Esp32, SchemeId::Esp32Aes, esp32),
        (ChipId::Esp32C3, SchemeId::XtsAes128, FlashScheme::Xts128),
    ] {
        let device = vault.bench.enrol_agent(chip, "production");
        vault.bench.enrol_agent(chip, "production");
        vault.keep(&device, chip, key(scheme, 32));
        let image = app(chip);
        let published = vault.publish(&image).unwrap();
        assert_eq!(published.direct_devices, Some(1));
        let log = published.rehearsed.log.join("\n");
        let own = format!("updated by the direct image of {}", device.device_id());
        assert!(log.contains(&own), "{log}");

        let (id, authority) = (device.device_id(), vault.bench.authority());
        let root = authority.root();
        for slot in 0..2 {
            let resource = Resource::Direct {
                manifest: &published.manifest,
                device: &id,
                slot,
            };
            let bytes = vault.bench.stored(resource).unwrap();
            let signed = Sign1::parse(&bytes).unwrap();
            let keys = &root.releases.keys;
            verify_sign1(&signed, Role::Direct, &root.product, keys).unwrap();
            let direct = DirectManifest::parse(signed.payload).unwrap();
            assert_eq!(direct.scheme, expected);
            assert_eq!(direct.device, id);
            let body = vault.bench.stored(Resource::Body(&direct.body)).unwrap();
            assert_eq!(Digest::of(&body), direct.body);
            let (raw, probes) = body.split_at(direct.image_length as usize);
            assert!(vault.espsecure(scheme, direct.slot, raw) == image);
            for (probe, distance) in probes.chunks(4096).zip([0x2000, 0x3000]) {
                let at = FlashOffset::new(direct.journal.get() + distance);
                let plain = vault.espsecure(scheme, at, probe);
                assert!(plain == image[..4096]);
                assert_eq!(Digest::of(&plain), direct.probe);
            }
        }
        drop(authority);
    }
}

#[test]
fn xts_aes_256_device_updates_by_its_direct_image() {
    let chip = ChipId::Esp32S3;
    let (bench, secure_boot_key) = product(chip, None);
    let vault = Vault::of(bench);
    let device = vault.bench.enrol_agent(chip, "production");
    vault.keep(&device, chip, key(SchemeId::XtsAes256, 64));
    let published = vault.publish(&signed_app(chip, &secure_boot_key)).unwrap();
    assert_eq!(published.direct_devices, Some(1));
    let log = published.rehearsed.log.join("\n");
    let own = format!("updated by the direct image of {}", device.device_id());
    assert!(log.contains(&own), "{log}");
}

#[test]
fn without_asking_nothing_is_made_directly() {
    let vault = Vault::new();
    let device = vault.bench.enrol_agent(ChipId::Esp32C3, "production");
    vault.keep(&device, ChipId::Esp32C3, key(SchemeId::XtsAes128, 32));
    let published = vault.bench.release(&app(ChipId::Esp32C3));
    assert_eq!(published.direct_devices, None);
    assert!(!vault.bench.project().join("repository/direct").exists());
}

/// Demands a refusal of `--direct` that changes nothing.
fn refused(vault: &Vault, image: &[u8]) -> DirectError {
    let before = vault.bench.snapshot();
    match vault.publish(image) {
        Err(AuthorityError::Direct(error)) => {
            assert_eq!(vault.bench.snapshot(), before);
            error
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn nobody_with_a_key_in_escrow_is_a_refusal() {
    let vault = Vault::new();
    vault.bench.enrol_agent(ChipId::Esp32C3, "production");
    let stranger = vault.bench.enrol_agent(ChipId::Esp32C3, "beta");
    vault.keep(&stranger, ChipId::Esp32C3, key(SchemeId::XtsAes128, 32));
    let error = refused(&vault, &app(ChipId::Esp32C3));
    assert!(matches!(error, DirectError::NoKeys { .. }), "{error}");
}

#[test]
fn key_of_another_chip_or_for_another_identity_is_a_refusal() {
    let vault = Vault::new();
    let device = vault.bench.enrol_agent(ChipId::Esp32C3, "production");
    vault.keep(&device, ChipId::Esp32, key(SchemeId::Esp32Aes, 32));
    let error = refused(&vault, &app(ChipId::Esp32C3));
    assert!(matches!(error, DirectError::OtherChip { .. }), "{error}");

    let mut vault = Vault::new();
    let device = vault.bench.enrol_agent(ChipId::Esp32C3, "production");
    vault.identity = Identity::generate();
    vault.keep(&device, ChipId::Esp32C3, key(SchemeId::XtsAes128, 32));
    let error = refused(&vault, &app(ChipId::Esp32C3));
    assert!(matches!(error, DirectError::Escrow(_)), "{error}");
}

#[test]
fn fleet_without_secure_boot_gets_no_direct_images() {
    let vault = Vault::new();
    let device = vault.bench.enrol_agent(ChipId::Esp32C3, "production");
    vault.keep(&device, ChipId::Esp32C3, key(SchemeId::XtsAes128, 32));
    let path = vault.bench.project().join("espseal.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let open = text.lines().map(|line| match line.split_once(" = ") {
        Some(("secure-boot-digests", _)) => "secure-boot-digests = []",
        _ => line,
    });
    std::fs::write(&path, open.collect::<Vec<_>>().join("\n")).unwrap();
    let error = refused(&vault, &app(ChipId::Esp32C3));
    assert!(matches!(error, DirectError::NoSecureBoot { .. }), "{error}");
}

#[test]
fn revoked_device_finds_no_direct_image_any_more_and_others_keep_theirs() {
    let vault = Vault::new();
    let [gone, stays] = [0, 1].map(|number| {
        let device = vault.bench.enrol_agent(ChipId::Esp32C3, "production");
        let mut own = key_file(32);
        own[0] ^= number;
        let own = FlashKey::from_file(SchemeId::XtsAes128, &own).unwrap();
        vault.keep(&device, ChipId::Esp32C3, own);
        device.device_id()
    });
    let published = vault.publish(&app(ChipId::Esp32C3)).unwrap();
    let stored = |device: &DeviceId, slot| {
        let (manifest, bench) = (&published.manifest, &vault.bench);
        bench.stored(Resource::Direct {
            manifest,
            device,
            slot,
        })
    };
    let bodies = |device: &DeviceId| {
        [0, 1].map(|slot| {
            let bytes = stored(device, slot).unwrap();
            let signed = Sign1::parse(&bytes).unwrap();
            DirectManifest::parse(signed.payload).unwrap().body
        })
    };
    let (of_gone, of_stays) = (bodies(&gone), bodies(&stays));
    let digits = gone.to_string();
    let mut authority = vault.bench.authority();
    authority.revoke(&digits, TIME, &Unwatched).unwrap();
    for slot in [0, 1] {
        assert!(stored(&gone, slot).is_none());
        assert!(stored(&stays, slot).is_some());
    }
    for (body, there) in [(of_gone, false), (of_stays, true)]
        .map(|(b, t)| b.map(|b| (b, t)))
        .concat()
    {
        for resource in [Resource::Body(&body), Resource::Pages(&body)] {
            assert_eq!(vault.bench.stored(resource).is_some(), there);
        }
    }
    assert!(
        vault
            .bench
            .stored(Resource::Body(&published.body))
            .is_some()
    );
}

/// Exchanges the flash key of the device that rehearses.
struct Exchanged;

impl Rehearsal for Exchanged {
    fn rehearse(&self, exhibit: &Exhibit<'_>) -> Result<Rehearsed, RehearsalFailed> {
        let whole = exhibit.direct.unwrap();
        let direct = DirectExhibit {
            device: whole.device,
            key: EscrowedKey {
                mac: None,
                device: Some(whole.device),
                chip: whole.key.chip,
                config: whole.key.config,
                key: key(SchemeId::XtsAes128, 32),
            },
            images: whole.images.clone(),
        };
        let exhibit = Exhibit {
            direct: Some(&direct),
            ..*exhibit
        };
        TwinRehearsal.rehearse(&exhibit)
    }
}

#[test]
fn rehearsal_stops_a_direct_image_for_another_flash_key() {
    let vault = Vault::new();
    let device = vault.bench.enrol_agent(ChipId::Esp32C3, "production");
    let FlashKey::Xts128(mut other) = key(SchemeId::XtsAes128, 32) else {
        panic!("another kind of key");
    };
    other[3] ^= 1;
    vault.keep(&device, ChipId::Esp32C3, FlashKey::Xts128(other));
    let request = vault.request(&app(ChipId::Esp32C3));
    let outcome = vault
        .bench
        .authority()
        .publish(&request, TIME, &Exchanged, &Unwatched);
    let Err(AuthorityError::Rehearsal(failed)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(failed.found.contains("flash key"), "{failed}");
    assert!(!vault.bench.project().join("repository/direct").exists());
}
