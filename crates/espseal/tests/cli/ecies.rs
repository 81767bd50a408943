//! ESP-IDF devices with the ECIES scheme, from their key to the download.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use espseal_format::chip::ChipId;
use espseal_twin::efuse::{Efuses, KeyProtection, KeyToBurn, KeyUse, Mac};
use espseal_twin::https::{HttpsClient, Method};
use espseal_twin::idf::Decryptor;

use super::*;

const NEW_KEY: [&str; 7] = [
    "device",
    "key",
    "--new",
    "--hmac-key",
    "hmac.bin",
    "--public-key",
    "public.pem",
];
const RECORD: [&str; 6] = [
    "--record",
    "device.toml",
    "--chip",
    "esp32c3",
    "--channel",
    "production",
];

/// What a device opens that has this HMAC key in its third key block; `None` when it opens nothing.
fn open(hmac_key: &[u8], file: &[u8]) -> Option<Vec<u8>> {
    let mut efuses = Efuses::as_shipped(ChipId::Esp32C3, None, Mac([2, 0, 0, 0, 0, 1])).unwrap();
    let key = KeyToBurn {
        block: usize::from(efuses.map().keys[2].key.block),
        usage: KeyUse::HmacUpstream,
        key: hmac_key,
    };
    efuses.burn_keys(&[key], KeyProtection::Usual).unwrap();
    let mut decryptor = Decryptor::ecies(&efuses, 2).unwrap();
    let plain = decryptor.update(file).unwrap();
    decryptor.end().ok()?;
    Some(plain)
}

#[test]
fn device_gets_its_own_file_from_key_to_download() {
    let shell = Shell::with_project();
    let made = shell.run(&[&NEW_KEY[..], &RECORD, &["--json"]].concat());
    let made = made.succeeds().json();
    let id = made["device"].as_str().unwrap();
    let enrolled = shell.run(&["device", "enroll", "device.toml", "--json"]);
    let enrolled = enrolled.succeeds().json();
    assert_eq!(enrolled["enrolled"][0]["kind"], "esp-idf-ecies");
    assert_eq!(enrolled["enrolled"][0]["device"], id);
    shell.signed_app("1.0.0", 0);
    let publish = [
        "publish",
        "app.bin",
        "--channel",
        "production",
        "--ppm",
        "1000000",
    ];
    let published = shell.run(&[&publish[..], &["--json"]].concat());
    let published = published.succeeds().json();
    assert_eq!(published["esp-idf-files"], 1);
    let log = published["rehearsal"].to_string();
    assert!(log.contains("ECIES"), "{log}");

    let mut server = Command::new(env!("CARGO_BIN_EXE_espseal"))
        .current_dir(shell.path("lamp"))
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut log = BufReader::new(server.stderr.take().unwrap());
    log.read_line(&mut line).unwrap();
    let listening: Value = serde_json::from_str(&line).unwrap();
    let address = listening["address"].as_str().unwrap();
    let client = HttpsClient::new(&fs::read(shell.path("lamp/ca/ca.pem")).unwrap()).unwrap();
    let latest = format!("https://{address}/idf/{id}/latest");
    let redirect = client.download(Method::Get, &latest, None).unwrap();
    let url = redirect.location.clone().unwrap();
    let mut file = Vec::new();
    let mut answer = client.download(Method::Get, &url, None).unwrap();
    assert_eq!(answer.content_length, Some(image_length(&shell) + 512));
    answer.read_to_end(&mut file).unwrap();
    let mut part = Vec::new();
    let mut answer = client
        .download(Method::Get, &url, Some("bytes=1024-"))
        .unwrap();
    assert_eq!(answer.status, 206);
    answer.read_to_end(&mut part).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(part, file[1024..]);
    let hmac_key = fs::read(shell.path("hmac.bin")).unwrap();
    let image = fs::read(shell.path("app.bin")).unwrap();
    assert_eq!(open(&hmac_key, &file).unwrap(), image);
    assert_eq!(open(&[1; 32], &file), None);
}

fn image_length(shell: &Shell) -> u64 {
    fs::metadata(shell.path("app.bin")).unwrap().len()
}

#[test]
fn key_files_are_private_never_overwritten_and_never_on_the_screen() {
    let shell = Shell::new();
    let made = shell.run(&NEW_KEY).succeeds();
    let key = fs::read(shell.path("hmac.bin")).unwrap();
    assert_eq!(key.len(), 32);
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!made.text().contains(&hex));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |name: &str| fs::metadata(shell.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("hmac.bin"), mode("public.pem")), (0o600, 0o644));
    shell.run(&NEW_KEY).fails(3, &["hmac.bin", "exists"]);
    assert_eq!(fs::read(shell.path("hmac.bin")).unwrap(), key);
    // The same key gives the same public key and the same device.
    let again = ["device", "key", "--hmac-key", "hmac.bin", "--public-key"];
    shell
        .run(&[&again[..], &["public.pem"]].concat())
        .fails(3, &["public.pem", "exists"]);
    let second = shell
        .run(&[&again[..], &["second.pem"]].concat())
        .succeeds();
    assert_eq!(made.text().lines().next(), second.text().lines().next());
    let pem = |name: &str| fs::read_to_string(shell.path(name)).unwrap();
    assert_eq!(pem("public.pem"), pem("second.pem"));
    let exposed = fs::Permissions::from_mode(0o644);
    fs::set_permissions(shell.path("hmac.bin"), exposed).unwrap();
    shell
        .run(&[&again[..], &["third.pem"]].concat())
        .fails(3, &["hmac.bin", "0600"]);
    shell.write("short.bin", &[1; 31]);
    fs::set_permissions(shell.path("short.bin"), private()).unwrap();
    let short = [
        "device",
        "key",
        "--hmac-key",
        "short.bin",
        "--public-key",
        "x.pem",
    ];
    shell.run(&short).fails(2, &["31 bytes", "32"]);
}

#[test]
fn chip_without_hmac_is_refused_before_a_key_is_drawn() {
    let shell = Shell::new();
    let record = RECORD.map(|word| if word == "esp32c3" { "esp32" } else { word });
    shell
        .run(&[&NEW_KEY[..], &record].concat())
        .fails(1, &["ESP32", "HMAC", "esp-idf-rsa"]);
    assert!(!shell.path("hmac.bin").exists());
    let without_chip = [&NEW_KEY[..], &RECORD[..2]].concat();
    assert_eq!(shell.run(&without_chip).0.status.code(), Some(2));
}

#[test]
fn seal_takes_the_scheme_from_the_key() {
    let shell = Shell::new();
    shell.run(&NEW_KEY).succeeds();
    shell.write("plain.bin", &[0x5A; 3000]);
    let seal = ["seal", "plain.bin", "--recipient", "public.pem", "--output"];
    let sealed = shell.run(&[&seal[..], &["sealed.bin", "--json"]].concat());
    assert_eq!(sealed.succeeds().json()["scheme"], "ECIES");
    let key = fs::read(shell.path("hmac.bin")).unwrap();
    let file = fs::read(shell.path("sealed.bin")).unwrap();
    assert_eq!(open(&key, &file).unwrap(), [0x5A; 3000]);
    shell
        .run(&[&seal[..], &["sealed.bin"]].concat())
        .fails(3, &["exists"]);
    let pem = fs::read_to_string(shell.path("public.pem")).unwrap();
    let middle = pem.lines().nth(1).unwrap();
    let broken = pem.replace(middle, &middle.chars().rev().collect::<String>());
    shell.write("public.pem", broken.as_bytes());
    shell
        .run(&[&seal[..], &["other.bin"]].concat())
        .fails(2, &["RSA"]);
}
