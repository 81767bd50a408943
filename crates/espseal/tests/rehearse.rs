//! `espseal rehearse` on a real bootloader and a real app, fetched by package name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "whatever fails here fails the test"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const TABLE: &str = "nvs,data,nvs,0xa000,0x3000\notadata,data,ota,0xd000,0x2000\nphy,data,phy,0xf000,0x1000\n\
    ota_0,app,ota_0,0x10000,0xa0000\nota_1,app,ota_1,0xb0000,0xa0000\n";

fn espseal(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_espseal"))
        .args(arguments)
        .output()
        .unwrap()
}

/// A folder with a table and a key; the bootloader and the app are those of `mxdbg`.
struct Workshop {
    folder: tempfile::TempDir,
    firmware: PathBuf,
}

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("table.csv"), TABLE).unwrap();
        let key = folder.path().join("key.pem");
        let made = espseal(&[
            "espsecure",
            "generate-signing-key",
            "--version",
            "2",
            "--scheme",
            "ecdsa256",
            key.to_str().unwrap(),
        ]);
        assert!(made.status.success(), "{made:?}");
        let made = espseal(&[
            "espsecure",
            "generate-signing-key",
            "--version",
            "2",
            "--scheme",
            "rsa3072",
            folder.path().join("rsa.pem").to_str().unwrap(),
        ]);
        assert!(made.status.success(), "{made:?}");
        let firmware = oracles::package("mxdbg", "0.3.2").join("firmware");
        Self { folder, firmware }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().into()
    }

    fn rehearse(&self, more: &[&str]) -> (Option<i32>, Value) {
        let file = |name: &str| self.firmware.join(name).to_str().unwrap().to_owned();
        let (bootloader, app, table) = (
            file("bootloader.bin"),
            file("mxdbg.bin"),
            self.path("table.csv"),
        );
        let mut arguments = vec![
            "rehearse",
            "--json",
            "--chip",
            "esp32s3",
            "--bootloader",
            &bootloader,
            "--partitions",
            &table,
            "--app",
            &app,
        ];
        arguments.extend(more);
        let output = espseal(&arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code(), json)
    }
}

fn status_of<'j>(json: &'j Value, case: &str) -> &'j str {
    let cases = json["cases"].as_array().unwrap();
    cases.iter().find(|found| found["case"] == case).unwrap()["status"]
        .as_str()
        .unwrap()
}

#[test]
fn a_locked_product_boots_and_every_case_is_refused_for_its_own_reason() {
    let workshop = Workshop::new();
    let (key, out) = (workshop.path("rsa.pem"), workshop.path("out"));
    let locked = [
        "--secure-boot-key",
        &key,
        "--flash-encryption",
        "release",
        "--bootloader-secure-boot",
        "on",
        "--bootloader-flash-encryption",
        "on",
        "--rollback",
        "on",
        "--out",
        &out,
    ];
    let (code, json) = workshop.rehearse(&locked);
    assert_eq!(
        (code, json["verdict"].as_str()),
        (Some(0), Some("boots")),
        "{json:#}"
    );
    for case in [
        "wrong-signer",
        "flipped-byte",
        "revoked-key",
        "zero-digest",
        "plaintext-under-encryption",
        "wrong-flash-key",
        "no-rollback",
        "jtag-open",
    ] {
        assert_eq!(status_of(&json, case), "refused", "{case}");
    }
    // The bootloader has no anti-rollback, and says so.
    assert_eq!(status_of(&json, "old-security-version"), "finding");
    assert!(!json["irreversible"].as_array().unwrap().is_empty());
    for name in ["flash.bin", "efuse-virt.bin", "efuse-emulator.bin"] {
        assert!(Path::new(&out).join(name).exists(), "{name}");
    }
    // The vendor's tool reads the eFuses as the twin burnt them.
    let virt = Path::new(&out).join("efuse-virt.bin");
    let summary = oracles::run(
        oracles::tool("espefuse")
            .args(["--chip", "esp32s3", "--virt", "--path-efuse-file"])
            .arg(virt)
            .arg("summary"),
    );
    let line = summary
        .lines()
        .find(|line| line.starts_with("SPI_BOOT_CRYPT_CNT"))
        .unwrap();
    assert!(line.contains("0b111"), "{line}");
}

/// A project of the S3 whose `[[chip]]` entry says everything.
struct DescribedProject {
    workshop: Workshop,
    project: String,
}

impl DescribedProject {
    fn new() -> Self {
        let workshop = Workshop::new();
        let (project, key) = (workshop.path("lamp"), workshop.path("rsa.pem"));
        let run = |arguments: &[&str]| {
            let output = espseal(arguments);
            assert!(output.status.success(), "{output:?}");
        };
        run(&[
            "init",
            &project,
            "--chip",
            "esp32s3",
            "--secure-boot-key",
            &key,
        ]);
        for (source, signed, kind) in [
            (
                "bootloader.bin",
                "bootloader-signed.bin",
                &["--bootloader"][..],
            ),
            ("mxdbg.bin", "app-signed.bin", &[][..]),
        ] {
            let source = workshop.firmware.join(source);
            let signed = format!("{project}/{signed}");
            let source = source.to_str().unwrap();
            let sign = ["sign", source, "--key", &key, "--output", &signed];
            run(&[&sign, kind].concat());
        }
        std::fs::copy(
            workshop.path("table.csv"),
            format!("{project}/partitions/esp32s3.csv"),
        )
        .unwrap();
        Self { workshop, project }
    }

    /// Puts lines into the `[[chip]]` entry.
    fn describe(&self, lines: &str) {
        let path = format!("{}/espseal.toml", self.project);
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, tail) = text.split_once("\n[[channel]]").unwrap();
        std::fs::write(path, format!("{head}{lines}\n[[channel]]{tail}")).unwrap();
    }

    fn rehearse(&self, more: &[&str]) -> (Option<i32>, Value) {
        let mut arguments = vec!["rehearse", "--json", "--project", &self.project];
        arguments.extend(more);
        let output = espseal(&arguments);
        let text = match output.stdout.is_empty() {
            true => &output.stderr,
            false => &output.stdout,
        };
        let json = serde_json::from_slice(text).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code(), json)
    }
}

const BUILT_FOR_IT: [&str; 4] = [
    "--bootloader-secure-boot",
    "on",
    "--bootloader-flash-encryption",
    "on",
];

#[test]
fn a_project_says_what_is_rehearsed_and_options_overrule_it() {
    let described = DescribedProject::new();
    described.describe(
        "bootloader = \"bootloader-signed.bin\"\napps = [\"app-signed.bin\"]\n\
         [chip.security]\nsecure-boot = \"rsa\"\nunused-digests = \"revoke\"\n\
         flash-encryption = \"release\"\nflash-key-bits = 512\n",
    );
    let out = described.workshop.path("out");
    let mut options = BUILT_FOR_IT.to_vec();
    options.extend(["--out", &out]);
    let (code, json) = described.rehearse(&options);
    assert_eq!(
        (code, json["verdict"].as_str(), json["chip"].as_str()),
        (Some(0), Some("boots"), Some("esp32s3")),
        "{json:#}"
    );
    for case in ["wrong-signer", "plaintext-under-encryption"] {
        assert_eq!(status_of(&json, case), "refused", "{case}");
    }
    let summary = oracles::run(
        oracles::tool("espefuse")
            .args(["--chip", "esp32s3", "--virt", "--path-efuse-file"])
            .arg(format!("{out}/efuse-virt.bin"))
            .arg("summary"),
    );
    let purposes = summary
        .lines()
        .filter(|line| line.starts_with("KEY_PURPOSE_") && line.contains("XTS_AES_256"));
    assert_eq!(purposes.count(), 2, "a key of 512 bits fills two blocks");

    let mut options = BUILT_FOR_IT.to_vec();
    options.extend(["--flash-encryption", "off"]);
    let (code, json) = described.rehearse(&options);
    assert_eq!(code, Some(0), "{json:#}");
    assert_eq!(status_of(&json, "wrong-flash-key"), "not-applicable");

    // The keys that options name stand in place of the project's: the ROM refuses what they did not sign.
    let digest = "11".repeat(32);
    let mut options = BUILT_FOR_IT.to_vec();
    options.extend(["--secure-boot-key", &digest]);
    let (code, json) = described.rehearse(&options);
    assert_eq!((code, &json["good"]), (Some(1), &Value::Bool(false)));
}

#[test]
fn what_neither_options_nor_project_name_is_asked_for() {
    let described = DescribedProject::new();
    let words = |json: &Value| json.to_string();
    for (more, named) in [
        (&[][..], "bootloader = "),
        (&["--bootloader", "b.bin"][..], "apps = "),
        (
            &["--chip", "esp32c3"][..],
            "no [[chip]] for ESP32-C3: it has ESP32-S3",
        ),
    ] {
        let (code, json) = described.rehearse(more);
        assert_eq!(code, Some(2));
        assert!(words(&json).contains(named), "{json:#}");
    }
    let nowhere = described.workshop.path("nowhere");
    let output = espseal(&["rehearse", "--project", &nowhere, "--chip", "esp32s3"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(text.contains("--bootloader"), "{text}");
}

#[test]
fn a_product_that_would_brick_exits_1_and_says_so() {
    let workshop = Workshop::new();
    // Locked for a key that did not sign: the ROM refuses the unsigned bootloader for ever.
    let digest = "11".repeat(32);
    let (code, json) = workshop.rehearse(&[
        "--secure-boot-key",
        &digest,
        "--bootloader-secure-boot",
        "on",
    ]);
    assert_ne!(code, Some(0));
    assert_ne!(json["good"], Value::Bool(true));
    // No S3 has ECDSA.
    let key = workshop.path("key.pem");
    let (code, _) = workshop.rehearse(&["--secure-boot-key", &key]);
    assert_ne!(code, Some(0));
}

#[test]
fn an_open_product_boots_and_its_open_doors_are_findings() {
    let workshop = Workshop::new();
    let (code, json) = workshop.rehearse(&[]);
    assert_eq!(
        (code, json["verdict"].as_str()),
        (Some(0), Some("boots")),
        "{json:#}"
    );
    assert_eq!(status_of(&json, "flipped-byte"), "finding");
    assert_eq!(status_of(&json, "download-open"), "finding");
    assert_eq!(status_of(&json, "wrong-flash-key"), "not-applicable");
}
