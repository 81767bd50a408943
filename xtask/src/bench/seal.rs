//! Sealing a 4 MiB image as a whole process, beside OpenSSL on the same bytes.
//!
//! OpenSSL's command line does AES-256-GCM only inside CMS (RFC 5083), whose output adds 169 bytes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::Row;
use crate::process;

/// Bytes of the image.
const IMAGE: usize = 4 << 20;
/// Runs of each, in turn; the fastest counts, as the one least disturbed.
const RUNS: usize = 20;

/// Measures with `espseal`, the command line as built for release.
pub(super) fn run(espseal: &Path) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir().context("cannot make a folder for the benchmark")?;
    let path = |name: &str| folder.path().join(name);
    // Not compressible and not constant: AES does not care, file systems may.
    let image: Vec<u8> = (0..IMAGE as u64)
        .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect();
    fs::write(path("image.bin"), image).context("cannot write the image")?;
    process::run(
        openssl()
            .args(["genrsa", "-out"])
            .arg(path("key.pem"))
            .arg("3072"),
    )?;
    process::run(
        openssl()
            .args(["rsa", "-pubout", "-in"])
            .arg(path("key.pem"))
            .arg("-out")
            .arg(path("public.pem")),
    )?;
    let mut fastest = [f64::INFINITY; 2];
    for _ in 0..RUNS {
        for (index, command) in [
            Command::new(espseal)
                .arg("seal")
                .arg(path("image.bin"))
                .arg("--recipient")
                .arg(path("public.pem"))
                .arg("--output")
                .arg(path("ours.enc")),
            openssl()
                .args([
                    "cms",
                    "-encrypt",
                    "-binary",
                    "-aes-256-gcm",
                    "-outform",
                    "DER",
                ])
                .args(["-secretkey", &"5A".repeat(32), "-secretkeyid", "01", "-in"])
                .arg(path("image.bin"))
                .arg("-out")
                .arg(path("peer.enc")),
        ]
        .into_iter()
        .enumerate()
        {
            let _ = fs::remove_file(path("ours.enc"));
            let started = Instant::now();
            process::output(command)?;
            let took = started.elapsed().as_secs_f64() * 1000.0;
            if let Some(fastest) = fastest.get_mut(index) {
                *fastest = fastest.min(took);
            }
        }
    }
    let [ours, peer] = fastest;
    let name = "sealing 4 MiB, whole process (peer: openssl cms)";
    Ok(vec![Row {
        name,
        ours,
        peer: Some(peer),
        unit: "ms",
        goal: None,
    }])
}

fn openssl() -> Command {
    let mut command = Command::new("openssl");
    command.stderr(std::process::Stdio::null());
    command
}
