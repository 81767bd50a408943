//! The rehearsal on the twin: what it lets through and what it stops.

use std::fs;

use espseal_format::chip::ChipId;
use espseal_publish::authority::AuthorityError;
use espseal_publish::blame::Blame;
use espseal_publish::observer::Unwatched;
use espseal_publish::rehearsal::TwinRehearsal;
use espseal_publish::release::Published;

use crate::support::{App, Bench, CHIPS, TIME, app, request};

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
