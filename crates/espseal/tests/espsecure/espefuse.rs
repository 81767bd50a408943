//! `espseal espefuse` as a program: its link, PEM files, the question before a burn, exit codes.
//!
//! What its commands do to a chip is compared with espefuse in `espseal-twin/tests/espefuse`.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::bench::Bench;

const CHIP: [&str; 5] = [
    "--chip",
    "esp32c6",
    "--virt",
    "--path-efuse-file",
    "chip.bin",
];

#[test]
fn pem_keys_are_burnt_as_espefuse_burns_them() {
    let bench = Bench::new();
    let pem = bench.path("rsa3072.pem");
    let pem = pem.to_str().unwrap();
    let digest = ["burn-key-digest", "BLOCK_KEY0", pem, "SECURE_BOOT_DIGEST0"];
    let theirs = tempfile::tempdir().unwrap();
    let mut tool = oracles::tool("espefuse");
    oracles::run(
        tool.current_dir(theirs.path())
            .args(CHIP)
            .arg("--do-not-confirm")
            .args(digest),
    );
    let ours = tempfile::tempdir().unwrap();
    let words: Vec<&str> = ["--do-not-confirm"].into_iter().chain(digest).collect();
    let output = espefuse(ours.path(), &words, "");
    assert!(output.status.success(), "{output:?}");
    let file = |folder: &Path| fs::read(folder.join("chip.bin")).unwrap();
    assert_eq!(file(ours.path()), file(theirs.path()));
}

#[test]
fn the_question_before_a_burn_takes_nothing_but_burn() {
    let folder = tempfile::tempdir().unwrap();
    let burn = ["burn-efuse", "DIS_TWAI", "1"];
    let blank = vec![0; 512];
    for (answer, code) in [("burn\n", 0), ("", 1)] {
        let output = espefuse(folder.path(), &burn, answer);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(fs::read(folder.path().join("chip.bin")).unwrap(), blank);
    }
    let output = espefuse(folder.path(), &burn, "BURN\n");
    assert!(output.status.success(), "{output:?}");
    assert_ne!(fs::read(folder.path().join("chip.bin")).unwrap(), blank);
}

#[test]
fn refusals_end_with_the_exit_codes_of_espefuse() {
    let folder = tempfile::tempdir().unwrap();
    for (words, code) in [
        (&["burn-efuse", "DIS_TWAI", "2"][..], 2),
        (&["burn-efuse", "SOFT_DIS_JTAG", "many"], 1),
        (&["burn-efuse", "NO_SUCH_EFUSE", "1"], 2),
        (&["--no-such-option"], 2),
        (&["--help"], 0),
        (&["summary"], 0),
    ] {
        let output = espefuse(folder.path(), words, "");
        assert_eq!(output.status.code(), Some(code), "{words:?} {output:?}");
    }
}

/// Calls the program through a link named `espefuse`.
fn espefuse(folder: &Path, words: &[&str], answer: &str) -> Output {
    let link = folder.join("espefuse");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_espseal"), &link).unwrap();
    }
    let mut process = Command::new(link)
        .current_dir(folder)
        .args(CHIP)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    // A program that asks nothing is gone before it is answered.
    let _ = input.write_all(answer.as_bytes());
    drop(input);
    process.wait_with_output().unwrap()
}
