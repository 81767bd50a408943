//! `factory` as a maker meets it: one device, a batch that is killed again and again, and a key out of escrow.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use espseal_format::chip::{ChipId, chip};
use espseal_format::units::{Digest, SecurityVersion};
use espseal_publish::creation::{self, NewProject, SecureBootSource};
use espseal_publish::observer::Unwatched;
use espseal_publish::rehearsal::images;
use serde_json::Value;

/// Devices of the batch that is killed.
const BATCH: usize = 60;
/// Kills before it may finish.
const KILLS: u64 = 6;
const PARTITIONS: &str = "\
nvs,      data, nvs,      0x9000,  0x4000,
otadata,  data, ota,      0xd000,  0x2000,
nvs_keys, data, nvs_keys, 0xf000,  0x1000, encrypted
ota_0,    app,  ota_0,    0x10000, 0x10000,
ota_1,    app,  ota_1,    0x20000, 0x10000,
espseal,  data, 0x40,     0x30000, 0x4000, encrypted
";

/// A project for the ESP32-C3 with a small table, and the program in it.
struct Maker {
    folder: tempfile::TempDir,
}

impl Maker {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("lamp");
        let new = NewProject {
            name: "Lamp".into(),
            chips: vec![ChipId::Esp32C3],
            channels: vec!["production".into()],
            base_url: "https://localhost:8443/".into(),
            secure_boot: SecureBootSource::None,
            root_keys: 1,
            root_threshold: 1,
        };
        creation::create(&project, &new, 1_767_225_600, &Unwatched).unwrap();
        let model = chip(ChipId::Esp32C3).unwrap();
        fs::write(project.join("bootloader.bin"), images::bootloader(model)).unwrap();
        let app = images::app(model, "1.0.0", SecurityVersion::new(0));
        fs::write(project.join("app.bin"), app).unwrap();
        fs::write(project.join("partitions/esp32c3.csv"), PARTITIONS).unwrap();
        let path = project.join("espseal.toml");
        let text = fs::read_to_string(&path).unwrap().replace(
            "secure-boot-digests = []\n",
            "secure-boot-digests = []\nbootloader = \"bootloader.bin\"\napps = [\"app.bin\"]\n\
             [chip.security]\nflash-encryption = \"release\"\ndevice-key = true\njtag = \"shut\"\n",
        );
        fs::write(&path, text).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_espseal"));
        command.current_dir(self.folder.path());
        command.args(words).args(["--project", "lamp", "--json"]);
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn identity(&self) -> String {
        oracles::run(
            Command::new("age-keygen")
                .arg("-o")
                .arg(self.path("id.txt")),
        );
        let public = oracles::run(
            Command::new("age-keygen")
                .arg("-y")
                .arg(self.path("id.txt")),
        );
        public.trim().to_owned()
    }
}

/// Digest in a device's record, checked against its image, and its id.
fn whole(device: &Path) -> String {
    let record = fs::read_to_string(device.join("made.toml")).unwrap();
    let field = |name: &str| {
        let line = record
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim_start_matches(" = ").trim_matches('"').to_owned()
    };
    let image = fs::read(device.join("flash.bin")).unwrap();
    assert_eq!(field("flash-sha256"), Digest::of(&image).to_string());
    for file in [
        "efuse-plan.json",
        "provision.sh",
        "install.sh",
        "device.toml",
    ] {
        assert!(fs::metadata(device.join(file)).unwrap().len() > 0, "{file}");
    }
    assert_eq!(fs::read_dir(device.join("keys")).unwrap().count(), 2);
    field("device")
}

#[test]
fn batch_that_is_killed_again_and_again_ends_with_every_device_once() {
    let maker = Maker::new();
    let public = maker.identity();
    let count = BATCH.to_string();
    let words = [
        "factory", "--count", &count, "--output", "batch", "--escrow", &public,
    ];
    let mut seen = BTreeSet::new();
    for kill in 0..KILLS {
        let mut child = maker
            .command(&words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 + 97 * kill));
        child.kill().unwrap();
        child.wait().unwrap();
        let devices = maker.path("batch/devices");
        let names = fs::read_dir(devices).into_iter().flatten().flatten();
        for entry in names.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')) {
            seen.insert((entry.file_name(), whole(&entry.path())));
        }
    }
    let answer = maker.json(&words);
    assert_eq!(answer["devices"], BATCH);
    let mut ids = BTreeSet::new();
    for number in 1..=BATCH {
        let name = format!("{number:04}");
        ids.insert(whole(&maker.path(&format!("batch/devices/{name}"))));
    }
    assert_eq!(ids.len(), BATCH);
    assert!(
        seen.iter().all(|(_, id)| ids.contains(id)),
        "a finished device was made again"
    );
    let listed = maker.json(&["device", "list"]);
    let listed = listed["devices"].as_array().unwrap();
    let enrolled: BTreeSet<_> = listed
        .iter()
        .map(|device| device["device"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((listed.len(), &enrolled), (BATCH, &ids));
    // A kill inside the writing of a file leaves its temporary one, sealed as the file itself.
    let kept = fs::read_dir(maker.path("escrow")).unwrap().flatten();
    let kept = kept.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(kept.count(), BATCH);
    let left = fs::read_dir(maker.path("batch/devices")).unwrap().count();
    assert_eq!(left, BATCH, "half a device is left");
    let again = maker.json(&words);
    assert_eq!(
        (&again["made"], &again["enrolled"]),
        (&Value::from(0), &Value::from(0))
    );
    println!(
        "{} devices were finished before {KILLS} kills, {BATCH} in the end",
        seen.len()
    );
    let other = maker.run(&["factory", "--count", "61", "--output", "batch"]);
    assert_eq!(other.status.code(), Some(1));
}

#[test]
fn escrowed_key_is_found_by_the_address_of_its_chip() {
    let maker = Maker::new();
    let public = maker.identity();
    fs::write(maker.path("to.txt"), format!("# fleet\n{public}\n")).unwrap();
    let mac = "7c:df:a1:00:00:01";
    let make = [
        "factory", "--name", "one", "--mac", mac, "--output", "batch", "--escrow", "to.txt",
    ];
    let dry = maker.json(&[&make[..], &["--dry-run"]].concat());
    assert_eq!(dry["made"], 0);
    assert!(!maker.path("batch").exists());
    let made = maker.json(&make);
    assert_eq!(
        (&made["made"], &made["enrolled"]),
        (&Value::from(1), &Value::from(1))
    );
    let image = "batch/devices/one/flash.bin";
    let key = ["--flash-key", "batch/devices/one/keys/flash-key.bin"];
    let escrow = [
        "--keys-by-mac",
        "escrow",
        "--mac",
        mac,
        "--identity",
        "id.txt",
    ];
    let whole = [
        "decrypt",
        image,
        "--chip",
        "esp32c3",
        "--address",
        "0",
        "--output",
    ];
    maker.json(&[&whole[..], &["by-key.bin"], &key].concat());
    maker.json(&[&whole[..], &["by-mac.bin"], &escrow].concat());
    let read = |name: &str| fs::read(maker.path(name)).unwrap();
    assert_eq!(read("by-key.bin"), read("by-mac.bin"));
    // The whole was decrypted; at address 0 a bootloader of the ESP32-C3 starts.
    assert_eq!(read("by-mac.bin")[0], 0xE9);
    for verb in [["flash", "show"], ["partitions", "show"]] {
        let by_key = maker.json(&[&verb[..], &[image], &key].concat());
        assert_eq!(
            maker.json(&[&verb[..], &[image], &escrow].concat()),
            by_key,
            "{verb:?}"
        );
    }
    let fails = |change: &dyn Fn(&mut Vec<&str>), code, expected: &str| {
        let mut words = [&whole[..], &["none.bin"], &escrow].concat();
        change(&mut words);
        let output = maker.run(&words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
    };
    fails(
        &|words| words[11] = "7c:df:a1:00:00:02",
        2,
        "none of the 1 keys",
    );
    fails(&|words| words[3] = "esp32s3", 1, "is for ESP32-C3");
    fails(&|words| words[9] = "nowhere", 3, "nowhere");
    oracles::run(
        Command::new("age-keygen")
            .arg("-o")
            .arg(maker.path("other.txt")),
    );
    fails(
        &|words| words[13] = "other.txt",
        1,
        "not encrypted for any identity",
    );
    fails(&|words| words.truncate(12), 2, "--identity");
    oracles::run(Command::new("chmod").arg("644").arg(maker.path("id.txt")));
    fails(&|_| {}, 3, "mode 0644");
}
