//! ESP-IDF devices with the ECIES scheme: who is enrolled, what is sealed, stored, found and removed.

use std::collections::BTreeSet;
use std::fs;

use espseal_crypto::content::{self, Iv, Tag};
use espseal_crypto::ecies::DeviceKey;
use espseal_format::chip::ChipId;
use espseal_format::enc_img::{EciesExchange, EncImgHeader};
use espseal_format::report::IdfSubscription;
use espseal_format::repository::Resource;
use espseal_format::units::{DeviceId, Digest};
use espseal_publish::authority::AuthorityError;
use espseal_publish::blame::Blame;
use espseal_publish::enrolment::ecies::{self, EciesKeyError};
use espseal_publish::enrolment::{Device, EnrolmentError, Recipient, Standing};
use espseal_publish::observer::{Observer, Stage, Unwatched};
use espseal_publish::project::Project;
use espseal_publish::rehearsal::TwinRehearsal;

use crate::support::{App, Bench, TIME, Trusting, app, request};

const C3: ChipId = ChipId::Esp32C3;
const HMAC_KEY: &[u8; 32] = include_bytes!("../../../../vectors/enc-img-ecies/device_hmac_key.bin");
const PUBLIC_PEM: &str = include_str!("../../../../vectors/enc-img-ecies/device_pub_key.pem");

/// A device and what only it knows.
struct Owner {
    id: DeviceId,
    key: DeviceKey,
}

impl Owner {
    /// Enrols a new device of the ESP32-C3 fleet.
    fn enrolled(bench: &Bench) -> Self {
        let owner = Self::new();
        owner.enrol(bench).unwrap();
        owner
    }

    fn new() -> Self {
        let key = ecies::draw_hmac_key().device_key().unwrap();
        let id = ecies::device_id(&key.public_key());
        Self { id, key }
    }

    fn enrol(&self, bench: &Bench) -> Result<(), AuthorityError> {
        let pem = ecies::to_pem(&self.key.public_key());
        bench.enrol(&bench.write("ecies.toml", record(&pem, C3).as_bytes()))
    }

    /// The file that the server finds for a body.
    fn file(&self, bench: &Bench, body: &Digest) -> Option<Vec<u8>> {
        let device = &self.id;
        let link = bench.stored(Resource::IdfLink { device, body })?;
        let file = &Digest(link.try_into().unwrap());
        let bytes = bench.stored(Resource::IdfFile { device, file })?;
        assert_eq!(Digest::of(&bytes), *file, "named by its content");
        Some(bytes)
    }

    /// Opens a file as the device does.
    fn open(&self, file: &[u8]) -> Option<Vec<u8>> {
        let (header, body) = file.split_first_chunk().unwrap();
        let header = EncImgHeader::parse(header).unwrap();
        let exchange = EciesExchange::parse(&header.wrapped_key);
        let key = self.key.content_key(&exchange).ok()?;
        let mut body = body.to_vec();
        content::open(&key, &Iv(header.iv), &Tag(header.tag), &mut body).ok()?;
        Some(body)
    }

    /// Names in the device's folder of the repository.
    fn folder(&self, bench: &Bench) -> BTreeSet<String> {
        let folder = bench.project().join(format!("repository/idf/{}", self.id));
        let Ok(entries) = fs::read_dir(folder) else {
            return BTreeSet::new();
        };
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

fn record(pem: &str, chip: ChipId) -> String {
    format!(
        "kind = \"esp-idf-ecies\"\nchip = \"{}\"\nchannel = \"production\"\n\
         ecies-public-key = \"\"\"\n{pem}\"\"\"\n",
        chip.target().unwrap()
    )
}

fn load(bench: &Bench, text: &str) -> Result<Device, EnrolmentError> {
    let path = bench.write("device.toml", text.as_bytes());
    Device::load(&path, &Project::open(&bench.project()).unwrap())
}

/// PEM of a `SubjectPublicKeyInfo` with this DER.
fn pem(der: &[u8]) -> String {
    let unix = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("PUBLIC KEY", der), unix)
}

fn der() -> Vec<u8> {
    pem::parse(PUBLIC_PEM).unwrap().into_contents()
}

#[test]
fn record_with_espressifs_key_round_trips_and_its_id_is_the_digest_of_the_der() {
    let bench = Bench::new();
    let device = load(&bench, &record(PUBLIC_PEM, C3)).unwrap();
    let Recipient::EspIdfEcies { public_key } = &device.recipient else {
        panic!("{device:?}")
    };
    assert_eq!(ecies::to_pem(public_key), PUBLIC_PEM);
    assert_eq!(device.id, DeviceId(Digest::of(&der()).0));
    let again = load(&bench, &device.to_toml()).unwrap();
    assert_eq!((again.id, &again.recipient), (device.id, &device.recipient));
    let key = bench.path("hmac.bin");
    espseal_publish::files::create(&key, HMAC_KEY, espseal_publish::files::Secrecy::Private)
        .unwrap();
    let own = ecies::read_device_key(&key).unwrap();
    assert_eq!(own.public_key(), *public_key);
}

#[test]
fn keys_that_no_device_can_use_are_not_enrolled() {
    let bench = Bench::new();
    let refused = |text: &str| match load(&bench, text).unwrap_err() {
        EnrolmentError::Ecies(error) => error,
        other => panic!("{other}"),
    };
    let changed = |at: usize, to: u8| {
        let mut der = der();
        der[at] = to;
        record(&pem(&der), C3)
    };
    // The last byte of Y, and X beyond the field.
    assert!(matches!(
        refused(&changed(90, der()[90] ^ 1)),
        EciesKeyError::NoPoint { .. }
    ));
    let mut beyond = der();
    beyond[27..59].fill(0xFF);
    assert!(matches!(
        refused(&record(&pem(&beyond), C3)),
        EciesKeyError::NoPoint { .. }
    ));
    // Compressed, the identity, another curve, trailing bytes, another algorithm.
    let compressed = [&der()[..26], &[2], &der()[27..59]].concat();
    let identity = [&der()[..26], &[0]].concat();
    let trailing = [&der()[..], &[0]].concat();
    for other in [&compressed, &identity, &trailing] {
        let error = refused(&record(&pem(other), C3));
        assert!(matches!(error, EciesKeyError::OtherKey { .. }), "{error}");
    }
    assert!(matches!(
        refused(&changed(22, 0x06)),
        EciesKeyError::OtherKey { .. }
    ));
    let all_zero = [&der()[..26], &[0; 65]].concat();
    assert!(matches!(
        refused(&record(&pem(&all_zero), C3)),
        EciesKeyError::NoPoint { .. }
    ));
    assert!(matches!(
        refused(&record("no key\n", C3)),
        EciesKeyError::NoPem { .. }
    ));
}

#[test]
fn chips_without_hmac_and_fleets_without_secure_boot_are_refused() {
    let bench = Bench::new();
    let error = load(&bench, &record(PUBLIC_PEM, ChipId::Esp32)).unwrap_err();
    assert_eq!(error.blame(), Blame::Refused);
    let EnrolmentError::Ecies(EciesKeyError::NoHmac { chip, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!(chip, ChipId::Esp32);
    let path = std::path::Path::new("x");
    for chip in [ChipId::Esp32, ChipId::Esp32C2, ChipId::Esp32C61] {
        assert!(ecies::check_chip(path, chip).is_err(), "{chip}");
    }
    for chip in [
        ChipId::Esp32S2,
        ChipId::Esp32S3,
        C3,
        ChipId::Esp32C5,
        ChipId::Esp32C6,
        ChipId::Esp32H2,
        ChipId::Esp32P4,
    ] {
        assert!(ecies::check_chip(path, chip).is_ok(), "{chip}");
    }
    let text = fs::read_to_string(bench.project().join("espseal.toml")).unwrap();
    let digest = text.split("secure-boot-digests = [").nth(1).unwrap();
    let digest = digest.split(']').next().unwrap();
    bench.configure(
        &format!("secure-boot-digests = [{digest}]"),
        "secure-boot-digests = []",
    );
    let error = load(&bench, &record(PUBLIC_PEM, C3)).unwrap_err();
    assert!(
        matches!(error, EnrolmentError::NoSecureBoot { .. }),
        "{error}"
    );
}

#[test]
fn fields_of_other_kinds_are_surplus() {
    let bench = Bench::new();
    let text = record(PUBLIC_PEM, C3);
    for (field, line) in [
        ("encryption-key", "encryption-key = \"04\"\n"),
        ("report-key", "report-key = \"04\"\n"),
        ("rsa-public-key", "rsa-public-key = \"x\"\n"),
    ] {
        let error = load(&bench, &format!("{line}{text}")).unwrap_err();
        assert!(
            matches!(error, EnrolmentError::Surplus { field: found, .. } if found == field),
            "{error}"
        );
    }
    for kind in ["agent", "esp-idf-rsa"] {
        let error = load(&bench, &text.replace("esp-idf-ecies", kind)).unwrap_err();
        assert!(
            matches!(
                error,
                EnrolmentError::Surplus {
                    field: "ecies-public-key",
                    ..
                }
            ),
            "{error}"
        );
    }
    let missing = text.split("ecies-public-key").next().unwrap().to_owned();
    let error = load(&bench, &missing).unwrap_err();
    assert!(matches!(error, EnrolmentError::Missing { .. }), "{error}");
}

#[test]
fn hmac_key_files_have_32_bytes_and_are_private() {
    let bench = Bench::new();
    let path = bench.write("hmac.bin", &[1; 31]);
    let error = ecies::read_device_key(&path).map(|_| ()).unwrap_err();
    #[cfg(unix)]
    assert!(matches!(error, EciesKeyError::File(_)), "{error}");
    espseal_publish::files::replace(&path, &[1; 31], espseal_publish::files::Secrecy::Private)
        .unwrap();
    let error = ecies::read_device_key(&path).map(|_| ()).unwrap_err();
    assert!(
        matches!(error, EciesKeyError::Length { found: 31, .. }),
        "{error}"
    );
    espseal_publish::files::replace(&path, &[1; 33], espseal_publish::files::Secrecy::Private)
        .unwrap();
    let error = ecies::read_device_key(&path).map(|_| ()).unwrap_err();
    assert_eq!(error.blame(), Blame::Usage, "{error}");
}

#[test]
fn each_device_gets_a_file_that_it_alone_opens_whether_it_came_before_or_after_the_release() {
    let bench = Bench::new();
    let mut devices: Vec<_> = (0..5).map(|_| Owner::enrolled(&bench)).collect();
    let image = App {
        length: 300_000,
        ..App::new(C3)
    }
    .signed();
    let published = bench.release(&image);
    assert_eq!((published.esp_idf_devices, published.esp_idf_files), (5, 5));
    devices.push(Owner::enrolled(&bench));
    let mut seen = BTreeSet::new();
    for owner in &devices {
        let file = owner.file(&bench, &published.body).unwrap();
        assert_eq!(file.len(), image.len() + 512);
        assert_eq!(owner.open(&file).unwrap(), image);
        let others = devices.iter().filter(|other| other.id != owner.id);
        assert!(others.into_iter().all(|other| other.open(&file).is_none()));
        assert!(seen.insert(file[512..1024].to_vec()), "a body of its own");
        let stored = bench.stored(Resource::IdfSubscription(&owner.id)).unwrap();
        let subscription = IdfSubscription::parse(&stored).unwrap();
        assert_eq!((subscription.device, subscription.chip), (owner.id, C3));
    }
    // Neither image nor header stands in what all others get.
    let body = bench.stored(Resource::Body(&published.body)).unwrap();
    assert!(!seen.contains(&body[..512].to_vec()));
}

#[test]
fn other_channels_and_chips_are_sealed_nothing() {
    let bench = Bench::new();
    let owner = Owner::new();
    let pem = ecies::to_pem(&owner.key.public_key());
    let beta = record(&pem, C3).replace("production", "beta");
    bench
        .enrol(&bench.write("beta.toml", beta.as_bytes()))
        .unwrap();
    let c3 = Owner::enrolled(&bench);
    assert_eq!(bench.release(&app(ChipId::Esp32)).esp_idf_files, 0);
    assert!(c3.folder(&bench).is_empty());
    assert_eq!(bench.release(&app(C3)).esp_idf_files, 1);
    assert!(owner.folder(&bench).is_empty());
}

#[test]
fn files_of_the_release_and_the_one_before_stay_and_older_ones_go() {
    let bench = Bench::new();
    let owner = Owner::enrolled(&bench);
    let bodies: Vec<_> = (0..4).map(|_| bench.release(&app(C3)).body).collect();
    for old in &bodies[..2] {
        assert_eq!(owner.file(&bench, old), None);
    }
    for kept in &bodies[2..] {
        assert!(owner.file(&bench, kept).is_some());
    }
    assert_eq!(owner.folder(&bench).len(), 4, "two links, two files");
    // A release for another chip leaves them alone.
    bench.release(&app(ChipId::Esp32));
    assert_eq!(owner.folder(&bench).len(), 4);
}

#[test]
fn revoked_device_loses_its_files_and_gets_no_more() {
    let bench = Bench::new();
    let (revoked, other) = (Owner::enrolled(&bench), Owner::enrolled(&bench));
    let first = bench.release(&app(C3)).body;
    assert!(revoked.file(&bench, &first).is_some());
    let id = revoked.id.to_string();
    let answer = bench.authority().revoke(&id, TIME + 1, &Unwatched).unwrap();
    assert_eq!(answer.epoch, None, "nobody else has to change anything");
    assert!(revoked.folder(&bench).is_empty());
    assert_eq!(bench.stored(Resource::IdfSubscription(&revoked.id)), None);
    let next = bench.release_at(&app(C3), TIME + 2);
    assert_eq!(next.esp_idf_files, 1);
    assert!(revoked.folder(&bench).is_empty());
    assert!(other.file(&bench, &next.body).is_some());
    let registry = bench.authority();
    let kept = registry.registry().find(&id).unwrap();
    assert_eq!(kept.standing, Standing::Revoked);
    drop(registry);
    let back = revoked.enrol(&bench);
    assert!(matches!(
        back,
        Err(AuthorityError::Enrolment(EnrolmentError::WasRevoked { .. }))
    ));
}

/// Presses Ctrl-C after some files.
struct StopAfter(std::cell::Cell<i64>);

impl Observer for StopAfter {
    fn begin(&self, stage: Stage, total: u64) {
        if stage == Stage::SealingFiles {
            assert_eq!(total, 20);
            self.0.set(3);
        }
    }

    fn advance(&self, steps: u64) {
        self.0.set(self.0.get().saturating_sub_unsigned(steps));
    }

    fn is_interrupted(&self) -> bool {
        self.0.get() <= 0
    }
}

#[test]
fn interruption_while_sealing_leaves_the_old_release_and_the_next_run_tidies_up() {
    let bench = Bench::new();
    let devices: Vec<_> = (0..20).map(|_| Owner::enrolled(&bench)).collect();
    let old = bench.release(&app(C3)).body;
    let (now, path) = (bench.now(), bench.path("app.bin"));
    let stop = StopAfter(std::cell::Cell::new(i64::MAX));
    let stopped = bench
        .authority()
        .publish(&request(&path), TIME, &Trusting, &stop);
    assert!(matches!(stopped, Err(AuthorityError::Interrupted)));
    assert_eq!(bench.now(), now);
    let left = |count| {
        devices
            .iter()
            .filter(|owner| owner.folder(&bench).len() == count)
            .count()
    };
    assert!(left(4) >= 3 && left(4) < 20, "{} sealed", left(4));
    assert_eq!(left(2) + left(4), 20);
    for owner in &devices {
        assert!(owner.file(&bench, &old).is_some());
    }
    let new = bench.release(&app(C3)).body;
    for owner in &devices {
        assert_eq!(
            owner.folder(&bench).len(),
            4,
            "nothing of the attempt is left"
        );
        assert!(owner.file(&bench, &new).is_some());
    }
}

#[test]
fn damaged_store_stops_a_late_enrolment() {
    let bench = Bench::new();
    let body = bench.release(&app(C3)).body;
    let path = bench
        .project()
        .join("repository")
        .join(Resource::Body(&body).path().as_str());
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let owner = Owner::new();
    let refused = owner.enrol(&bench);
    assert!(
        matches!(refused, Err(AuthorityError::SealedFile(_))),
        "{refused:?}"
    );
    assert!(owner.folder(&bench).is_empty());
    assert!(bench.authority().registry().devices().is_empty());
}

#[test]
fn rehearsal_covers_the_scheme_where_a_device_needs_it_and_there_alone() {
    let bench = Bench::new();
    let path = bench.write("app.bin", &app(C3));
    let log = |bench: &Bench| {
        let published = bench
            .authority()
            .publish(&request(&path), TIME, &TwinRehearsal, &Unwatched)
            .unwrap();
        published.rehearsed.log.join("\n")
    };
    assert!(!log(&bench).contains("ECIES"));
    Owner::enrolled(&bench);
    let log = log(&bench);
    for line in [
        "a virtual ESP32-C3 with unmodified ESP-IDF and an HMAC key of its own installs its file",
        "it refuses a file with a flipped byte: the authentication tag does not match",
        "it refuses a truncated file: Decryption process not completed successfully",
        "it refuses the file of another HMAC key: ",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
}
