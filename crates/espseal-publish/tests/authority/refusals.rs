//! Each refusal of `publish`, its exit class, and that it changes nothing on disk.

use std::fs;
use std::path::Path;

use espseal_format::chip::ChipId;
use espseal_format::cose::Sign1;
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::{KeyId, SECTOR_SIZE};
use espseal_publish::authority::AuthorityError;
use espseal_publish::blame::Blame;
use espseal_publish::data_signing::DataToSign;
use espseal_publish::files::FileError;
use espseal_publish::image_check::{ImageRefused, check_image};
use espseal_publish::observer::Unwatched;
use espseal_publish::project::{Project, ProjectError};
use espseal_publish::release::{PublishRequest, RepositoryState};
use espseal_publish::release_log::LogError;
use espseal_publish::secure_boot_key::SecureBootKey;

use crate::support::{App, Bench, TIME, Trusting, app, request, secure_boot_key};

const C3: ChipId = ChipId::Esp32C3;

/// Publishes and expects a refusal that leaves every file as it was.
fn refused(bench: &Bench, request: &PublishRequest) -> AuthorityError {
    let before = bench.snapshot();
    let error = bench.publish(request).unwrap_err();
    assert_eq!(error.blame(), Blame::Refused, "{error}");
    assert_eq!(bench.snapshot(), before, "{error}");
    error
}

fn refused_image(bench: &Bench, image: &[u8]) -> ImageRefused {
    let path = bench.write("app.bin", image);
    match refused(bench, &request(&path)) {
        AuthorityError::Image(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn image_that_nobody_signed_is_refused() {
    let bench = Bench::new();
    let signed = app(C3);
    let unsigned = signed.get(..signed.len() - 4096).unwrap();
    let error = refused_image(&bench, unsigned);
    assert!(matches!(error, ImageRefused::Unsigned { .. }), "{error}");
    let blank = [unsigned, &[0xFF; 4096]].concat();
    let error = refused_image(&bench, &blank);
    assert!(matches!(error, ImageRefused::Unsigned { .. }), "{error}");
}

#[test]
fn image_cut_short_anywhere_is_refused() {
    let bench = Bench::new();
    let signed = app(C3);
    for length in [1, 23, 24, 31, 300, 6000, 0x8000, signed.len() - 4096 - 1] {
        let error = refused_image(&bench, &signed[..length]);
        assert!(
            matches!(error, ImageRefused::Image { .. }),
            "{length} {error}"
        );
    }
    for length in [signed.len() - 4095, signed.len() - 2000, signed.len() - 1] {
        let error = refused_image(&bench, &signed[..length]);
        assert!(
            matches!(error, ImageRefused::Length { .. }),
            "{length} {error}"
        );
    }
    let longer = [signed.as_slice(), &[0]].concat();
    let error = refused_image(&bench, &longer);
    assert!(matches!(error, ImageRefused::Length { .. }), "{error}");
}

#[test]
fn empty_image_is_refused() {
    let bench = Bench::new();
    let error = refused_image(&bench, &[]);
    assert!(matches!(error, ImageRefused::File(FileError::Empty { .. })));
}

#[test]
fn missing_image_and_folder_in_its_place_are_io_failures() {
    let bench = Bench::new();
    for path in [bench.path("none.bin"), bench.project()] {
        let error = bench.publish(&request(&path)).unwrap_err();
        assert_eq!(error.blame(), Blame::Io, "{error}");
    }
}

#[test]
fn signature_over_another_image_is_refused() {
    let bench = Bench::new();
    let mut signed = app(C3);
    let other = App {
        version: "9.9.9",
        ..App::new(C3)
    }
    .signed();
    let at = signed.len() - 4096;
    signed[at..].copy_from_slice(&other[at..]);
    let error = refused_image(&bench, &signed);
    assert!(matches!(error, ImageRefused::Signature { place: 0, .. }));
}

#[test]
fn image_of_a_chip_that_the_channel_does_not_serve_is_refused() {
    let bench = Bench::new();
    bench.configure("chips = [\"esp32\", \"esp32c3\"]", "chips = [\"esp32\"]");
    let path = bench.write("app.bin", &app(C3));
    let error = refused(&bench, &request(&path));
    assert!(matches!(error, AuthorityError::WrongChip { found: C3, .. }));
    let mut foreign = App::new(C3).build();
    foreign[12] = 9;
    let content = foreign.len() - 32;
    let digest = espseal_format::units::Digest::of(&foreign[..content]);
    foreign[content..].copy_from_slice(&digest.0);
    let path = bench.write("app.bin", &foreign);
    let error = refused(&bench, &request(&path));
    assert!(matches!(
        error,
        AuthorityError::WrongChip {
            found: ChipId::Esp32S3,
            ..
        }
    ));
}

#[test]
fn image_is_checked_against_the_chip_of_its_fleet_whatever_the_channel_says() {
    let bench = Bench::new();
    let project = Project::open(&bench.project()).unwrap();
    let fleet = project.fleet(ChipId::Esp32).unwrap();
    let error = check_image(Path::new("app.bin"), app(C3), fleet, None).unwrap_err();
    assert!(matches!(
        error,
        ImageRefused::Chip {
            found: C3,
            expected: ChipId::Esp32,
            ..
        }
    ));
}

#[test]
fn image_larger_than_the_smallest_slot_is_refused() {
    let bench = Bench::new();
    let table = bench.project().join("partitions/esp32c3.csv");
    let text = fs::read_to_string(&table).unwrap();
    // One slot stays large: the smaller one decides.
    let line = "ota_1,     app,  ota_1,    0x1f0000, 0x1e0000,";
    assert!(text.contains(line));
    fs::write(
        &table,
        text.replace(line, "ota_1, app, ota_1, 0x1f0000, 0x10000,"),
    )
    .unwrap();
    let error = refused_image(&bench, &app(C3));
    assert!(matches!(
        error,
        ImageRefused::TooLarge { slot: 0x1_0000, .. }
    ));
}

#[test]
fn table_whose_app_slots_have_a_gap_is_refused() {
    let bench = Bench::new();
    let table = bench.project().join("partitions/esp32c3.csv");
    let text = fs::read_to_string(&table).unwrap();
    fs::write(&table, text.replace("ota_1", "ota_2")).unwrap();
    let project = Project::open(&bench.project());
    assert!(matches!(
        project,
        Err(ProjectError::TooFewSlots { found: 1, .. })
    ));
    let line = "ota_1,     app,  ota_1,    0x1f0000, 0x1e0000,";
    let halves = "ota_1, app, ota_1, 0x1f0000, 0xf0000,\nota_3, app, ota_3, 0x2e0000, 0xf0000,";
    fs::write(&table, text.replace(line, halves)).unwrap();
    let error = Project::open(&bench.project()).unwrap_err();
    assert!(
        matches!(
            error,
            ProjectError::SlotGap {
                found: 2,
                counted: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn key_that_is_not_in_the_fleets_efuses_is_refused() {
    let bench = Bench::new();
    let path = bench.path("other.pem");
    SecureBootKey::create(&path, SignatureScheme::Rsa3072).unwrap();
    let error = refused_image(&bench, &App::new(C3).signed_by(&path));
    assert!(matches!(error, ImageRefused::ForeignKey { .. }), "{error}");
    let burnt = SecureBootKey::load(secure_boot_key()).unwrap().digest();
    assert!(error.to_string().contains(&burnt.to_string()));
}

#[test]
fn secure_version_beyond_the_efuse_counter_is_refused() {
    let bench = Bench::new();
    let with = |chip, secure_version| {
        App {
            secure_version,
            ..App::new(chip)
        }
        .signed()
    };
    let error = refused_image(&bench, &with(C3, 17));
    assert!(matches!(
        error,
        ImageRefused::SecureVersionTooHigh { bits: 16, .. }
    ));
    let error = refused_image(&bench, &with(ChipId::Esp32, 33));
    assert!(matches!(
        error,
        ImageRefused::SecureVersionTooHigh { bits: 32, .. }
    ));
    bench.release(&with(C3, 16));
}

#[test]
fn secure_version_below_the_current_release_is_refused() {
    let bench = Bench::new();
    let with = |secure_version| {
        App {
            secure_version,
            ..App::new(C3)
        }
        .signed()
    };
    bench.release(&with(3));
    let error = refused_image(&bench, &with(2));
    assert!(
        matches!(error, ImageRefused::SecureVersionLower { .. }),
        "{error}"
    );
    bench.release(&with(3));
}

#[test]
fn image_without_app_descriptor_is_refused() {
    let bench = Bench::new();
    let mut image = App::new(C3).build();
    image[32] ^= 1;
    let sum_at = image.len() - 33;
    image[sum_at] ^= 1;
    let digest = espseal_format::units::Digest::of(&image[..=sum_at]);
    image[sum_at + 1..].copy_from_slice(&digest.0);
    let key = SecureBootKey::load(secure_boot_key()).unwrap();
    let kind = espseal_publish::image_signing::ImageKind::App;
    let signed =
        espseal_publish::image_signing::sign_image(Path::new("x"), &image, kind, &[&key]).unwrap();
    let error = refused_image(&bench, &signed.bytes);
    assert!(
        matches!(error, ImageRefused::NoDescriptor { .. }),
        "{error}"
    );
}

#[test]
fn image_that_does_not_end_on_an_mmu_page_is_refused() {
    let bench = Bench::new();
    let key = SecureBootKey::load(secure_boot_key()).unwrap();
    let mut image = App::new(C3).build();
    image.resize(image.len().next_multiple_of(SECTOR_SIZE), 0xFF);
    let mut data = DataToSign::unsigned(&image);
    data.sign(&[&key], &mut image.as_slice()).unwrap();
    image.extend_from_slice(&data.sector());
    let error = refused_image(&bench, &image);
    assert!(matches!(error, ImageRefused::Padding { .. }), "{error}");
}

#[test]
fn second_manifest_under_one_seq_is_refused_even_after_the_repository_is_lost() {
    let bench = Bench::new();
    let path = bench.write("app.bin", &app(C3));
    let at_seven = PublishRequest {
        seq: Some(7),
        ..request(&path)
    };
    bench.publish(&at_seven).unwrap();
    let error = refused(&bench, &at_seven);
    assert!(matches!(
        error,
        AuthorityError::Log(LogError::SeqTaken { next: 8, .. })
    ));
    let behind = PublishRequest {
        seq: Some(6),
        ..request(&path)
    };
    let error = refused(&bench, &behind);
    assert!(matches!(
        error,
        AuthorityError::Log(LogError::SeqBehind { .. })
    ));

    fs::remove_dir_all(bench.project().join("repository")).unwrap();
    let error = bench.publish(&request(&path)).unwrap_err();
    assert!(
        matches!(error, AuthorityError::RepositoryLost { .. }),
        "{error}"
    );
    assert_eq!(error.blame(), Blame::Io);
    let anew = PublishRequest {
        repository: RepositoryState::New,
        ..at_seven
    };
    let error = refused(&bench, &anew);
    assert!(matches!(
        error,
        AuthorityError::Log(LogError::SeqTaken { .. })
    ));
    let published = bench
        .publish(&PublishRequest { seq: None, ..anew })
        .unwrap();
    assert_eq!(published.position.version, 8);
    assert_eq!(bench.releases().position.version, 2);
}

#[test]
fn lost_release_log_stops_everything() {
    let bench = Bench::new();
    bench.release(&app(C3));
    fs::remove_file(bench.project().join("state/releases.log")).unwrap();
    let error = espseal_publish::authority::Authority::open(&bench.project(), &Unwatched);
    assert!(matches!(
        error,
        Err(AuthorityError::Log(LogError::Missing { .. }))
    ));
}

#[test]
fn missing_and_zero_expiry_are_refused() {
    for line in [
        "root-days = 3650",
        "releases-days = 365",
        "manifest-days = 3650",
        "now-hours = 72",
    ] {
        let name = line.split_once(' ').unwrap().0;
        for replacement in [String::new(), format!("{name} = 0")] {
            let bench = Bench::new();
            bench.configure(line, &replacement);
            let error = Project::open(&bench.project()).unwrap_err();
            assert!(
                matches!(error, ProjectError::NoExpiry { field, .. } if field == name),
                "{line}: {error}"
            );
            assert_eq!(error.blame(), Blame::Refused);
        }
    }
}

#[test]
fn release_that_no_device_could_take_is_refused() {
    let bench = Bench::new();
    let path = bench.write("app.bin", &app(C3));
    let request = PublishRequest {
        seq: Some(3),
        min_seq: 3,
        ..request(&path)
    };
    let before = bench.snapshot();
    let error = bench.publish(&request).unwrap_err();
    assert!(matches!(
        error,
        AuthorityError::MinSeq { min_seq: 3, seq: 3 }
    ));
    assert_eq!(bench.snapshot(), before);
}

#[test]
fn clock_behind_the_last_now_is_refused() {
    let bench = Bench::new();
    bench.release(&app(C3));
    let path = bench.path("app.bin");
    let result = bench
        .authority()
        .publish(&request(&path), TIME - 1, &Trusting, &Unwatched);
    assert!(matches!(result, Err(AuthorityError::ClockBehind { .. })));
    let later = TIME + 3650 * 86_400;
    let result = bench
        .authority()
        .publish(&request(&path), later, &Trusting, &Unwatched);
    assert!(matches!(result, Err(AuthorityError::RootExpired { .. })));
}

#[test]
fn well_formed_now_that_was_never_signed_here_is_refused() {
    let bench = Bench::new();
    bench.release(&app(C3));
    let mut forged = bench.now();
    forged.position.version += 1;
    let mut payload = [0; 1024];
    let length = forged.encode(&mut payload).unwrap();
    let envelope = Sign1 {
        kid: KeyId([0; 8]),
        payload: &payload[..length],
        signature: &[1; 64],
    };
    let mut bytes = [0; 1024];
    let length = envelope.encode(&mut bytes).unwrap();
    let path = bench.project().join("repository/now.cose");
    fs::write(path, &bytes[..length]).unwrap();
    let error = refused(&bench, &request(&bench.path("app.bin")));
    assert!(
        matches!(error, AuthorityError::RepositoryDamaged { .. }),
        "{error}"
    );
}

#[test]
fn log_that_is_older_than_what_was_published_signs_nothing() {
    let bench = Bench::new();
    bench.release(&app(C3));
    let log = bench.project().join("state/releases.log");
    let old = fs::read(&log).unwrap();
    bench.release(&app(C3));
    fs::write(&log, old).unwrap();
    for repository in [RepositoryState::Existing, RepositoryState::New] {
        let request = PublishRequest {
            repository,
            ..request(&bench.path("app.bin"))
        };
        let error = refused(&bench, &request);
        assert!(matches!(error, AuthorityError::LogBehind { .. }), "{error}");
    }
}

#[test]
fn repository_that_somebody_tampered_with_is_refused() {
    let bench = Bench::new();
    bench.release(&app(C3));
    let path = bench.path("app.bin");
    let now = bench.project().join("repository/now.cose");
    let old = fs::read(&now).unwrap();
    bench.release(&app(C3));
    let new = fs::read(&now).unwrap();
    fs::write(&now, &old).unwrap();
    let error = refused(&bench, &request(&path));
    assert!(matches!(error, AuthorityError::RepositoryRolledBack { .. }));
    let mut changed = new.clone();
    *changed.get_mut(80).unwrap() ^= 1;
    fs::write(&now, &changed).unwrap();
    let error = refused(&bench, &request(&path));
    assert!(matches!(error, AuthorityError::RepositoryDamaged { .. }));
    fs::write(&now, &new).unwrap();
    let releases = bench.now().releases;
    let path_of = format!("repository/releases/{releases}.cose");
    fs::write(bench.project().join(path_of), b"other").unwrap();
    let error = refused(&bench, &request(&path));
    assert!(matches!(error, AuthorityError::RepositoryDamaged { .. }));
}
