//! `efuse plan` and `efuse apply` as a user meets them, with the real espefuse beside.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Ran, private};

/// A digest, as it stands in espseal.toml.
const DIGEST: &str = "4b57b2b4ba1c2a3e4d5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5";

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for (name, seed) in [("flash.bin", 3), ("device.bin", 5)] {
            let key: Vec<u8> = (0..32).map(|byte: u8| byte * seed + 1).collect();
            fs::write(bench.path(name), key).unwrap();
            private(&bench.path(name));
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, line: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_espseal"));
        command.current_dir(self.folder.path());
        Ran(command.args(line.split_whitespace()).output().unwrap())
    }

    fn espefuse(&self, line: &str) -> String {
        let mut espefuse = oracles::tool("espefuse");
        espefuse.current_dir(self.folder.path());
        oracles::run(espefuse.args(line.split_whitespace()))
    }
}

fn release(more: &str) -> String {
    format!(
        "efuse plan --chip esp32c3 --secure-boot rsa --secure-boot-key {DIGEST} --unused-digests revoke \
         --flash-encryption release --device-key device.bin --flash-key flash.bin --jtag shut \
         --uart-download secure {more}"
    )
}

#[test]
fn a_plan_says_why_in_which_order_and_what_ends() {
    let bench = Bench::new();
    let page = bench.run(&release("--script burn.sh")).exits(0).text();
    for words in [
        "eFuse plan for ESP32-C3 v0.4: 11 steps",
        "1. burn the flash encryption key into BLOCK_KEY0",
        "why     a secret key has to be hidden",
        "ends    the device key: the key can be neither read nor replaced",
        "command espefuse burn-efuse SPI_BOOT_CRYPT_CNT 0x7",
        "check   espefuse summary: SPI_BOOT_CRYPT_CNT = 0x7",
        "11. burn ENABLE_SECURITY_DOWNLOAD = 0x1",
        "What can no longer be debugged",
        "no breakpoints",
        "What stays open",
        "the script is in burn.sh",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(page.lines().all(|line| line.len() <= 100), "{page}");
    bench
        .run(&release("--script burn.sh"))
        .exits(3)
        .says("exists already");
    bench.run(&release("--script burn.sh --force")).exits(0);
    let json = bench.run(&release("--json")).exits(0).json();
    assert_eq!(json["steps"].as_array().unwrap().len(), 11);
    assert_eq!(json["steps"][10]["reason"], "download-last");
    assert_eq!(json["keys"][0]["bytes"], 32);
}

#[test]
fn a_plan_that_would_brick_is_refused() {
    let bench = Bench::new();
    let zeros = "0".repeat(64);
    for (line, reason) in [
        (
            format!("--secure-boot rsa --secure-boot-key {zeros} --unused-digests revoke"),
            "nothing would ever boot",
        ),
        (
            format!("--secure-boot rsa --secure-boot-key {DIGEST}"),
            "nobody said what becomes of them",
        ),
        (
            "--flash-encryption development --jtag shut".into(),
            "debugging is not over",
        ),
        (
            "--flash-encryption release --flash-key-block 5".into(),
            "hardware gets it wrong",
        ),
        ("--jtag soft".into(), "never opens again"),
    ] {
        bench
            .run(&format!("efuse plan --chip esp32c3 {line}"))
            .exits(1)
            .says(reason);
    }
    bench.run("efuse plan").exits(2).says("--chip");
    bench
        .run(&format!(
            "efuse plan --chip esp32c3 --secure-boot-key {DIGEST}"
        ))
        .exits(2)
        .says("--secure-boot");
    // A dump that starts with a plaintext bootloader.
    let mut dump = vec![0xFF; 0x1000];
    dump[..14].copy_from_slice(&[0xE9, 1, 2, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0]);
    fs::write(bench.path("dump.bin"), dump).unwrap();
    bench
        .run("efuse plan --chip esp32c3 --flash-encryption release --flash dump.bin")
        .exits(1)
        .says("never boots again");
}

#[test]
fn a_virtual_chip_is_burnt_step_by_step_and_read_by_espefuse() {
    let bench = Bench::new();
    let plan = bench.run(&release("--json")).exits(0);
    fs::write(bench.path("plan.json"), &plan.0.stdout).unwrap();
    let apply = "efuse apply plan.json --path-efuse-file chip.bin --device-key device.bin";
    bench.run(apply).exits(2).says("--flash-key");
    let apply = format!("{apply} --flash-key flash.bin");
    for done in 1..=11 {
        let run = bench
            .run(&format!("{apply} --steps 1 --json"))
            .exits(0)
            .json();
        assert_eq!(run["done"], done);
    }
    // Keys that are burnt may be gone.
    bench
        .run("efuse apply plan.json --path-efuse-file chip.bin")
        .exits(0)
        .says("as planned");
    let summary =
        "--chip esp32c3 --virt --path-efuse-file chip.bin summary --format json --file chip.json";
    bench.espefuse(summary);
    let again = release("--accept-burnt-keys --present chip.json --json");
    let none = bench.run(&again).exits(0).json();
    assert_eq!(none["steps"].as_array().unwrap().len(), 0);
    bench
        .run(&release("--present chip.json"))
        .exits(1)
        .says("--accept-burnt-keys");
    // Another chip is none of the plan's.
    bench
        .run("efuse apply plan.json --path-efuse-file chip.bin --chip esp32s3")
        .exits(2)
        .says("another");
    bench.espefuse(
        "--chip esp32c3 --virt --path-efuse-file other.bin --do-not-confirm burn-efuse DIS_PAD_JTAG 1",
    );
    let other = fs::read(bench.path("other.bin")).unwrap();
    bench
        .run("efuse apply plan.json --path-efuse-file other.bin")
        .exits(1)
        .says("neither before nor after");
    assert_eq!(fs::read(bench.path("other.bin")).unwrap(), other);
}

#[test]
fn the_section_of_the_project_is_the_wish() {
    let bench = Bench::new();
    bench.run("init lamp --name Lamp --chip esp32c3").exits(0);
    let path = bench.path("lamp/espseal.toml");
    let toml = fs::read_to_string(&path).unwrap();
    let section = "[chip.security]\nsecure-boot = \"off\"\nflash-encryption = \"release\"\n\
                   device-key = true\ndevice-key-block = 4\njtag = \"shut\"\nuart-download = \"shut\"\n\n[[channel]]";
    fs::write(&path, toml.replacen("[[channel]]", section, 1)).unwrap();
    let json = bench
        .run("efuse plan --project lamp --json")
        .exits(0)
        .json();
    assert_eq!(json["steps"][1]["burn"]["keys"][0]["block"], "BLOCK_KEY4");
    let last = json["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(last["command"], "burn-efuse DIS_DOWNLOAD_MODE 0x1");
    // Options change it.
    let json = bench
        .run("efuse plan --project lamp --uart-download open --flash-encryption off --json")
        .exits(0)
        .json();
    assert_eq!(json["steps"][0]["burn"]["keys"][0]["key"], "device-key");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"shut\"", "\"closed\"")).unwrap();
    bench
        .run("efuse plan --project lamp")
        .exits(2)
        .says("closed");
}
