//! The demo, judged by the vendor's tools and by an independent implementation of the sealing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Where `ota_1` and otadata stand in the built-in partition tables.
struct Device {
    name: &'static str,
    chip: &'static str,
    otadata: usize,
}

const DEVICES: [Device; 3] = [
    Device {
        name: "c3-agent",
        chip: "esp32c3",
        otadata: 0xF000,
    },
    Device {
        name: "esp32-agent",
        chip: "esp32",
        otadata: 0x1_0000,
    },
    Device {
        name: "c3-esp-idf",
        chip: "esp32c3",
        otadata: 0xF000,
    },
];
/// All devices end on release 2 in `ota_1`.
const OTA_1: usize = 0x21_0000;

struct Kept {
    folder: tempfile::TempDir,
    summary: Value,
}

impl Kept {
    fn play() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        let output = Command::new(env!("CARGO_BIN_EXE_espseal"))
            .args(["demo", "--json", "--keep"])
            .arg(&kept)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{text}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self {
            folder,
            summary: serde_json::from_str(&text).unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("kept").join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// What `espseal flash show` says of a device.
    fn flash_show(&self, device: &Device, offset: &str) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_espseal"))
            .args(["flash", "show", "--table-offset", offset, "--flash-key"])
            .arg(self.path(&format!("{}/flash-key.bin", device.name)))
            .arg(self.path(&format!("{}/flash.bin", device.name)))
            .output()
            .unwrap()
    }

    /// Decrypts a stretch of a device's raw flash with espsecure.
    fn decrypt(&self, device: &Device, address: usize, length: usize) -> Vec<u8> {
        let flash = self.read(&format!("{}/flash.bin", device.name));
        let (input, output) = (self.path("cipher.tmp"), self.path("plain.tmp"));
        fs::write(&input, &flash[address..address + length]).unwrap();
        let mut command = oracles::tool("espsecure");
        command.arg("decrypt-flash-data");
        if device.chip != "esp32" {
            command.arg("--aes-xts");
        }
        command
            .arg("--keyfile")
            .arg(self.path(&format!("{}/flash-key.bin", device.name)));
        command
            .arg("--address")
            .arg(format!("{address:#x}"))
            .arg("--output")
            .arg(&output);
        oracles::run(command.arg(&input));
        fs::read(output).unwrap()
    }
}

#[test]
fn what_the_demo_keeps_holds_up_to_the_vendors_tools() {
    let kept = Kept::play();
    every_scene_came_out(&kept);
    for device in &DEVICES {
        active_slot_holds_the_signed_release(&kept, device);
        otadata_selects_it(&kept, device);
        efuses_are_locked(&kept, device);
        flash_show_finds_nothing_wrong(&kept, device);
    }
    sealed_image_opens_with_an_independent_implementation(&kept);
    no_plaintext_is_anywhere(&kept);
}

fn every_scene_came_out(kept: &Kept) {
    assert_eq!(kept.summary["passed"], true);
    let scenes = kept.summary["scenes"].as_array().unwrap();
    assert!(scenes.len() >= 23, "{} scenes", scenes.len());
}

fn active_slot_holds_the_signed_release(kept: &Kept, device: &Device) {
    let release = kept.read(&format!("images/{}-release-2.bin", device.chip));
    let plain = kept.decrypt(device, OTA_1, release.len());
    assert!(plain == release, "{}: ota_1 is not release 2", device.name);
    let image = kept.path("plain.tmp");
    let key = kept.path("keys/secure-boot.pem");
    let mut command = oracles::tool("espsecure");
    command.args(["verify-signature", "--version", "2", "--keyfile"]);
    let said = oracles::run(command.arg(key).arg(image));
    assert!(said.contains("verification successful"), "{said}");
}

fn otadata_selects_it(kept: &Kept, device: &Device) {
    let plain = kept.decrypt(device, device.otadata, 0x2000);
    let word = |at: usize| u32::from_le_bytes(plain[at..at + 4].try_into().unwrap());
    // Sequence, state VALID, and the CRC that ESP-IDF computes (seen for 1 and 2).
    assert_eq!(
        [word(0), word(24), word(28)],
        [1, 2, 0x4743_989A],
        "{}",
        device.name
    );
    assert_eq!(
        [word(0x1000), word(0x1018), word(0x101C)],
        [2, 2, 0x55F6_3774],
        "{}",
        device.name
    );
}

fn flash_show_finds_nothing_wrong(kept: &Kept, device: &Device) {
    let offset = match device.chip {
        "esp32" => "0x9000",
        _ => "0x8000",
    };
    let output = kept.flash_show(device, offset);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {said}", device.name);
    assert!(
        said.contains("boots ota_1 first"),
        "{}: {said}",
        device.name
    );
}

fn efuses_are_locked(kept: &Kept, device: &Device) {
    let mut command = oracles::tool("espefuse");
    command.args(["--chip", device.chip, "--virt", "--path-efuse-file"]);
    command.arg(kept.path(&format!("{}/efuse-virt.bin", device.name)));
    let said = oracles::run(command.args(["summary", "--format", "json"]));
    let json = &said[said.find('{').unwrap()..];
    let summary: Value = serde_json::from_str(json).unwrap();
    let expected: &[(&str, Value)] = match device.chip {
        "esp32" => &[
            ("ABS_DONE_1", true.into()),
            ("FLASH_CRYPT_CONFIG", 15.into()),
        ],
        _ => &[
            ("SECURE_BOOT_EN", true.into()),
            ("KEY_PURPOSE_1", "SECURE_BOOT_DIGEST0".into()),
        ],
    };
    for (field, value) in expected {
        assert_eq!(&summary[field]["value"], value, "{}: {field}", device.name);
    }
}

fn sealed_image_opens_with_an_independent_implementation(kept: &Kept) {
    let mut command = oracles::python();
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/open_sealed.py"));
    command
        .arg(kept.path("keys/c3-esp-idf.der"))
        .arg(kept.path("repository"));
    for release in [1, 2] {
        command.arg(kept.path(&format!("images/esp32c3-release-{release}.bin")));
    }
    assert_eq!(oracles::run(&mut command).trim(), "2 images opened");
}

/// Bytes in a window that must not be found again.
const WINDOW: usize = 32;
/// Windows with fewer different bytes are padding, which SQLite's empty pages hold too.
const MIN_DIFFERENT: usize = 4;

fn no_plaintext_is_anywhere(kept: &Kept) {
    let mut windows = HashSet::new();
    for name in [
        "esp32c3-release-1",
        "esp32c3-release-2",
        "esp32-release-1",
        "esp32-release-2",
    ] {
        let image = kept.read(&format!("images/{name}.bin"));
        // The signature sector at the end repeats public values only.
        windows.extend(telling_windows(&image[..image.len() - 4096]).map(<[u8]>::to_vec));
    }
    assert!(
        windows.len() > 1000,
        "only {} windows to look for",
        windows.len()
    );
    let mut searched = 0;
    let mut files = files_below(&kept.path("repository"));
    files.push(kept.path("server.db"));
    files.extend(
        files_below(&kept.path("logs"))
            .into_iter()
            .filter(|path| path.to_string_lossy().ends_with("-traffic.bin")),
    );
    for path in files {
        let bytes = fs::read(&path).unwrap();
        searched += bytes.len();
        let found = bytes
            .windows(WINDOW)
            .position(|window| windows.contains(window));
        assert_eq!(found, None, "plaintext in {}", path.display());
    }
    assert!(searched > 1_000_000, "only {searched} bytes were searched");
}

fn telling_windows(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .windows(WINDOW)
        .filter(|window| window.iter().collect::<HashSet<_>>().len() >= MIN_DIFFERENT)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(files_below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files
}

/// Runs the demo on two releases of a maker.
fn play_own(first: &Path, second: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_espseal"))
        .args(["demo", "--json", "--app"])
        .arg(first)
        .arg("--app")
        .arg(second)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[test]
fn the_demo_plays_a_makers_own_releases() {
    let [first, second] = ["2026.0.4", "2026.0.5"].map(|version| {
        oracles::package("ivh", version).join("ivh/firmware/nodemcu-32s/firmware.bin")
    });
    let (code, text) = play_own(&first, &second);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn the_demo_names_what_a_makers_release_lacks() {
    let package = oracles::package("pinpong", "0.6.2").join("pinpong-0.6.2/pinpong/base");
    let [first, second] =
        ["2.7", "2.8"].map(|version| package.join(format!("FirmataExpress.HANDPY.{version}.bin")));
    let (code, text) = play_own(&first, &second);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("has no app descriptor at offset 0x20"),
        "{text}"
    );
}

#[test]
fn the_demo_refuses_bad_input_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.bin");
    fs::write(&empty, b"").unwrap();
    let missing = folder.path().join("missing.bin");
    for (app, words, code) in [(&missing, "cannot read", 3), (&empty, "is empty", 1)] {
        let output = Command::new(env!("CARGO_BIN_EXE_espseal"))
            .args(["demo", "--app"])
            .arg(app)
            .arg("--app")
            .arg(app)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(words) && said.contains("error: "), "{said}");
        assert_eq!(output.status.code(), Some(code), "{said}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_espseal"))
        .args(["demo", "--app"])
        .arg(&empty)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
