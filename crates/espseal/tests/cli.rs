//! The program as a user meets it: exit codes, messages, `--json`, help.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "cli/direct.rs"]
mod direct;
#[path = "cli/ecies.rs"]
mod ecies;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::app_desc::AppDescriptor;
use espseal_format::units::{Digest, SecurityVersion};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use serde_json::Value;

/// A folder with a project in it.
struct Shell {
    folder: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn with_project() -> Self {
        let shell = Self::new();
        shell.run(&["init", "lamp"]).succeeds();
        shell
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Runs in the folder, on the project `lamp`.
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_espseal"));
        command.current_dir(self.folder.path());
        if arguments.first() != Some(&"init") {
            command.args(["--project", "lamp"]);
        }
        Ran(command.args(arguments).output().unwrap())
    }

    /// Signs an image into `app.bin`.
    fn signed_app(&self, version: &str, secure_version: u32) {
        self.write("unsigned.bin", &image(5, version, secure_version));
        let _ = fs::remove_file(self.path("app.bin"));
        self.run(&["sign", "unsigned.bin", "--output", "app.bin"])
            .succeeds();
    }
}

struct Ran(Output);

impl Ran {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    fn succeeds(self) -> Self {
        assert_eq!(self.0.status.code(), Some(0), "{}", self.text());
        self
    }

    /// Exits with `code` and one sentence that has these words.
    fn fails(self, code: i32, words: &[&str]) -> Self {
        let text = self.text();
        assert_eq!(self.0.status.code(), Some(code), "{text}");
        assert!(text.starts_with("error: "), "{text}");
        assert_eq!(text.trim_end().lines().count(), 1, "{text}");
        for word in words {
            assert!(text.contains(word), "`{word}` is not in {text}");
        }
        self
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.0.stdout).unwrap()
    }
}

fn image(chip: u16, version: &str, secure_version: u32) -> Vec<u8> {
    let descriptor = AppDescriptor::new("lamp", version, SecurityVersion::new(secure_version));
    let mut rodata = descriptor.unwrap().encode().to_vec();
    rodata.extend(version.bytes().cycle().take(6000));
    let mut image = vec![0xE9, 1, 2, 0x20];
    image.extend(0x4038_0000_u32.to_le_bytes());
    image.extend([0xEE, 0, 0, 0]);
    image.extend(chip.to_le_bytes());
    image.extend([0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0, 1]);
    let load: u32 = if chip == 0 { 0x3F40_0020 } else { 0x3C00_0020 };
    image.extend(load.to_le_bytes());
    image.extend(u32::try_from(rodata.len()).unwrap().to_le_bytes());
    image.extend(&rodata);
    image.resize((image.len() | 15) + 1, 0);
    *image.last_mut().unwrap() = rodata.iter().fold(0xEF, |sum, byte| sum ^ byte);
    let digest = Digest::of(&image);
    image.extend(digest.0);
    image
}

fn record() -> (String, String) {
    let key = SoftwareDeviceKey::generate(&mut UnwrapErr(SysRng));
    let text = format!(
        "kind = \"agent\"\nchip = \"esp32c3\"\nchannel = \"production\"\n\
         encryption-key = \"{}\"\nreport-key = \"{}\"\n",
        key.public_key(),
        key.report_key()
    );
    (text, key.device_id().to_string())
}

#[test]
fn one_release_from_init_to_rollout() {
    let shell = Shell::with_project();
    let (text, id) = record();
    shell.write("device.toml", text.as_bytes());
    shell.run(&["device", "enroll", "device.toml"]).succeeds();
    let listed = shell.run(&["device", "list"]).succeeds();
    assert!(String::from_utf8_lossy(&listed.0.stdout).contains(&id));
    shell.signed_app("1.0.0", 0);
    let verified = shell.run(&["verify", "app.bin", "--channel", "production", "--json"]);
    assert_eq!(verified.succeeds().json()["version"], "1.0.0");
    let publish = [
        "publish",
        "app.bin",
        "--channel",
        "production",
        "--ppm",
        "1000",
        "--json",
    ];
    let published = shell.run(&publish).succeeds();
    assert!(published.text().is_empty(), "{}", published.text());
    let published = published.json();
    assert_eq!(
        (&published["seq"], &published["agents"]),
        (&1.into(), &1.into())
    );
    assert!(published["rehearsal"].as_array().unwrap().len() > 5);
    let rollout = [
        "rollout",
        "--channel",
        "production",
        "--ppm",
        "1000000",
        "--json",
    ];
    let changed = shell.run(&rollout).succeeds().json();
    assert_eq!(changed["offers"][0]["ppm"], 1_000_000);
    let held = shell
        .run(&["now", "--hold", "production", "--json"])
        .succeeds()
        .json();
    assert_eq!(held["holds"][0]["ppm"], 0);
    let renewed = shell.run(&["now"]).succeeds();
    assert!(
        renewed.text().contains("0 of 1000000 devices"),
        "{}",
        renewed.text()
    );
    shell.run(&["device", "revoke", &id[..10]]).succeeds();
    let devices = shell.run(&["--json", "device", "list"]).succeeds().json();
    assert_eq!(devices["devices"][0]["standing"], "revoked");
    let root = shell
        .run(&["root", "--replace", "now", "--json"])
        .succeeds()
        .json();
    assert_eq!(root["root-version"], 2);
}

#[test]
fn refusals_exit_with_1_and_usage_with_2_and_io_with_3() {
    let shell = Shell::with_project();
    shell.signed_app("1.0.0", 0);
    let publish = |file: &str| shell.run(&["publish", file, "--channel", "production"]);
    publish("unsigned.bin").fails(1, &["unsigned.bin", "espseal sign"]);
    let signed = fs::read(shell.path("app.bin")).unwrap();
    shell.write("short.bin", &signed[..signed.len() - 1]);
    publish("short.bin").fails(1, &["short.bin", &signed.len().to_string()]);
    shell.write("empty.bin", b"");
    publish("empty.bin").fails(1, &["empty.bin", "empty"]);
    shell.write("text.bin", b"this is no firmware image at all");
    publish("text.bin").fails(1, &["text.bin", "0xe9"]);
    shell.write("esp32.bin", &image(0, "1.0.0", 0));
    publish("esp32.bin").fails(1, &["ESP32", "ESP32-C3"]);
    publish("none.bin").fails(3, &["none.bin"]);
    publish("lamp").fails(3, &["lamp"]);
    shell
        .run(&["publish", "app.bin", "--channel", "staging"])
        .fails(2, &["staging", "production"]);
    let again = [
        "publish",
        "app.bin",
        "--channel",
        "production",
        "--seq",
        "4",
    ];
    shell.run(&again).succeeds();
    shell.run(&again).fails(1, &["seq", "at least 5"]);
    shell.signed_app("1.0.1", 17);
    publish("app.bin").fails(1, &["secure version 17", "16"]);
    let json = shell.run(&["publish", "empty.bin", "--channel", "production", "--json"]);
    let json = json.fails(1, &[]).json();
    assert_eq!(json["code"], 1);
    assert!(json["error"].as_str().unwrap().contains("empty.bin"));
}

#[test]
fn missing_expiry_names_the_line_to_write() {
    let shell = Shell::with_project();
    shell.signed_app("1.0.0", 0);
    let path = shell.path("lamp/espseal.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("now-hours = 72\n", "")).unwrap();
    shell
        .run(&["publish", "app.bin", "--channel", "production"])
        .fails(1, &["lifetimes.now-hours is missing"]);
    fs::write(&path, text.replace("now-hours = 72", "now-hours = 0")).unwrap();
    shell.run(&["now"]).fails(1, &["lifetimes.now-hours is 0"]);
    fs::write(&path, "format = 1\n=").unwrap();
    let ran = shell.run(&["now"]);
    assert_eq!(ran.0.status.code(), Some(2), "{}", ran.text());
}

#[test]
fn keys_that_others_may_read_and_keys_of_another_kind_are_refused() {
    let shell = Shell::with_project();
    shell.write("unsigned.bin", &image(5, "1.0.0", 0));
    let sign = |key: &str| shell.run(&["sign", "unsigned.bin", "--output", "x", "--key", key]);
    sign("lamp/keys/now.pem").fails(1, &["ESP32-C3", "ECDSA P-256"]);
    sign("lamp/espseal.toml").fails(2, &["espseal.toml", "0600"]);
    sign("none.pem").fails(3, &["none.pem"]);
    fs::set_permissions(shell.path("unsigned.bin"), private()).unwrap();
    sign("unsigned.bin").fails(2, &["PEM"]);
    assert!(!shell.path("x").exists());
    shell.write("x", b"mine");
    let sign = ["sign", "unsigned.bin", "--output", "x"];
    shell.run(&sign).fails(3, &["x exists already"]);
    assert_eq!(fs::read(shell.path("x")).unwrap(), b"mine");
}

#[cfg(unix)]
fn private() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(0o600)
}

#[test]
fn init_refuses_a_folder_with_contents_and_bad_options() {
    let shell = Shell::with_project();
    shell
        .run(&["init", "lamp"])
        .fails(2, &["lamp", "not empty"]);
    shell.write("file", b"");
    shell.run(&["init", "file"]).fails(3, &["file"]);
    shell
        .run(&["init", "a", "--channel", "A b"])
        .fails(2, &["--channel", "A b"]);
    shell
        .run(&["init", "a", "--root-keys", "1", "--root-threshold", "2"])
        .fails(2, &["threshold 2"]);
    shell
        .run(&["init", "a", "--base-url", "http://x/"])
        .fails(2, &["https://"]);
    shell
        .run(&["init", "a", "--secure-boot-key", "none.pem"])
        .fails(3, &["none.pem"]);
    shell
        .run(&["init", "a", "--secure-boot-key", "lamp/keys/now.pem"])
        .fails(2, &["now.pem", "RSA-3072"]);
    assert!(!shell.path("a").exists());
    let outside = Command::new(env!("CARGO_BIN_EXE_espseal"))
        .current_dir(shell.folder.path())
        .arg("now")
        .output();
    Ran(outside.unwrap()).fails(2, &["espseal init"]);
}

#[test]
fn help_shows_examples_and_wrong_arguments_exit_with_2() {
    let shell = Shell::new();
    for verb in [
        "init", "sign", "verify", "publish", "rollout", "now", "root",
    ] {
        let help = shell.run(&[verb, "--help"]).succeeds();
        let text = String::from_utf8_lossy(&help.0.stdout).into_owned();
        assert!(text.contains("Example"), "{verb}: {text}");
        assert!(text.contains("--json"), "{verb}");
    }
    for wrong in [
        &["publish"][..],
        &["fly"],
        &["publish", "app.bin", "--channel", "x", "--ppm", "1000001"],
        &["rollout", "--channel", "production"],
        &["rollout", "--channel", "production", "--hold", "--resume"],
        &["publish", "app.bin", "--channel", "x", "--seq", "0"],
    ] {
        let ran = shell.run(wrong);
        assert_eq!(ran.0.status.code(), Some(2), "{wrong:?} {}", ran.text());
    }
}

#[test]
fn toml_mistakes_are_one_sentence_with_line_and_column() {
    let shell = Shell::with_project();
    shell.write("device.toml", b"kind = \"agent\"\nchip");
    shell
        .run(&["device", "enroll", "device.toml"])
        .fails(2, &["device.toml", "line 2, column 5"]);
    shell.write("lamp/partitions/esp32c3.csv", &[0xFF]);
    shell.run(&["now"]).fails(2, &["partition table in CSV"]);
    shell.write("lamp/espseal.toml", b"format = 1\n=");
    shell
        .run(&["now"])
        .fails(2, &["espseal.toml", "line 2, column 1"]);
}

#[test]
fn wrong_arguments_are_one_json_object_too() {
    let shell = Shell::new();
    for wrong in [
        &["publish", "--json"][..],
        &["--json", "fly"],
        &["publish", "x", "--channel", "x", "--ppm", "many", "--json"],
    ] {
        let json = shell.run(wrong).fails(2, &["--help"]).json();
        assert_eq!(json["code"], 2);
        assert!(
            !json["error"].as_str().unwrap().contains("error:"),
            "{json}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_is_gone_or_full_never_panics() {
    let shell = Shell::with_project();
    let run = |arguments: &[&str], device: &str| {
        let out = fs::File::options().write(true).open(device).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_espseal"));
        command.args(["--project", "lamp"]).args(arguments);
        let command = command.current_dir(shell.folder.path());
        Ran(command.stdout(out).output().unwrap())
    };
    run(&["device", "list"], "/dev/full").fails(3, &["standard output"]);
    run(&["device", "list", "--json"], "/dev/full").fails(3, &["standard output"]);
    run(
        &["verify", "x", "--channel", "production", "--json"],
        "/dev/full",
    )
    .fails(3, &["read x"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let list = Command::new(env!("CARGO_BIN_EXE_espseal"))
        .current_dir(shell.path("lamp"))
        .args(["device", "list"])
        .stdout(writer)
        .output();
    Ran(list.unwrap()).succeeds();
    let deaf = Command::new(env!("CARGO_BIN_EXE_espseal"))
        .current_dir(shell.folder.path())
        .arg("now")
        .stderr(fs::File::options().write(true).open("/dev/full").unwrap())
        .status();
    assert_eq!(deaf.unwrap().code(), Some(2));
}

#[test]
fn a_bad_role_key_is_found_before_anything_is_written() {
    let shell = Shell::with_project();
    let (text, id) = record();
    shell.write("device.toml", text.as_bytes());
    shell.run(&["device", "enroll", "device.toml"]).succeeds();
    shell.signed_app("1.0.0", 0);
    let publish = ["publish", "app.bin", "--channel", "production"];
    shell.run(&publish).succeeds();
    let key = fs::read_to_string(shell.path("lamp/keys/now.pem")).unwrap();
    let short = key.split("-----END").next().unwrap();
    fs::write(shell.path("lamp/keys/now.pem"), short).unwrap();
    let before = files_below(&shell.path("lamp"));
    shell.run(&publish).fails(2, &["now.pem", "cut short"]);
    shell
        .run(&["device", "revoke", &id])
        .fails(2, &["now.pem", "cut short"]);
    assert_eq!(files_below(&shell.path("lamp")), before);
}

#[test]
fn a_damaged_secure_boot_key_is_named_by_the_rehearsal() {
    let shell = Shell::with_project();
    shell.signed_app("1.0.0", 0);
    let publish = ["publish", "app.bin", "--channel", "production"];
    let key = shell.path("lamp/keys/secure-boot.pem");
    fs::write(&key, "no key").unwrap();
    shell
        .run(&publish)
        .fails(1, &["secure-boot.pem", "RSA-3072"]);
    fs::remove_file(&key).unwrap();
    shell.run(&publish).fails(1, &["`bootloader`"]);
}

#[test]
fn a_write_that_fails_names_no_temporary_file() {
    let shell = Shell::with_project();
    shell.write("unsigned.bin", &image(5, "1.0.0", 0));
    let ran = shell.run(&["sign", "unsigned.bin", "--output", "none/x"]);
    let ran = ran.fails(3, &["none/x", "the file stays as it was"]);
    assert!(!ran.text().contains("espseal-tmp"), "{}", ran.text());
}

/// Every file below a folder with its bytes.
fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files_below(&path)),
            false => all.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    all.sort();
    all
}

#[cfg(unix)]
#[test]
fn ctrl_c_in_the_demo_ends_with_130_and_keeps_nothing() {
    let shell = Shell::new();
    // While the stage is set, and while the acts are played.
    for sign in ["kept/project", "kept/server.db"] {
        let child = Command::new(env!("CARGO_BIN_EXE_espseal"))
            .current_dir(shell.folder.path())
            .args(["demo", "--keep", "kept"])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        while !shell.path(sign).exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let pid = child.id().to_string();
        let killed = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(killed.success());
        Ran(child.wait_with_output().unwrap()).fails(130, &["interrupted"]);
        assert!(!shell.path("kept").exists());
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_with_130_and_nothing_is_published() {
    let shell = Shell::with_project();
    shell.signed_app("1.0.0", 0);
    let lock = fs::File::options()
        .write(true)
        .open(shell.path("lamp/state/lock"))
        .unwrap();
    lock.lock().unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_espseal"))
        .current_dir(shell.path("lamp"))
        .args(["publish", "../app.bin", "--channel", "production"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    let pid = child.id().to_string();
    let killed = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    Ran(output).fails(130, &["interrupted"]);
    assert!(!Path::new(&shell.path("lamp/repository/now.cose")).exists());
}
