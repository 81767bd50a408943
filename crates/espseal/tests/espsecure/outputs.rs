//! Outputs that are no files, inputs that are large.

use crate::bench::{Bench, data};

/// Every command that writes, into a device: it stays one, although root may replace it.
#[cfg(unix)]
#[test]
fn devices_that_are_written_to_stay_devices() {
    use std::os::unix::fs::{FileTypeExt as _, symlink};
    use std::process::Command;
    let mut bench = Bench::new();
    bench.write("data", &data(4096, 1));
    bench.write("key", &data(32, 2));
    bench.write(
        "image",
        include_bytes!("../../../../vectors/app-image/app.bin"),
    );
    let device = bench.path("device");
    // Another /dev/null; who is not root could not replace it, and takes a link.
    let made = Command::new("mknod")
        .arg(&device)
        .args(["c", "1", "3"])
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        symlink("/dev/null", &device).unwrap();
    }
    for command in [
        "sign-data -v 1 -k ecdsa256.pem -o device data",
        "sign-data -v 2 -k rsa3072.pem -o device data",
        "digest-private-key -k ecdsa256.pem device",
        "digest-rsa-public-key -k rsa3072.pem -o device",
        "digest-sbv2-public-key -k ecdsa256.pem -o device",
        "digest-sdc-public-key -k ecdsa256.pem -o device",
        "digest-secure-bootloader -k key -o device image",
        "encrypt-flash-data -k key -a 0 -o device data",
        "decrypt-flash-data -k key -a 0 -x -o device data",
        "extract-public-key -k ecdsa256.pem device",
        "generate-flash-encryption-key device",
        "generate-sdc-certificate -k ecdsa256.pem --mac 001122334455 -o device",
    ] {
        bench.accepted(&command.split(' ').collect::<Vec<_>>());
        let now = std::fs::metadata(&device).unwrap().file_type();
        assert!(now.is_char_device(), "{command}");
    }
    bench.refused(&["generate-signing-key", "-v", "2", "device"]);
}

/// Files of 128 MiB are signed and verified in little memory, the bytes as espsecure's.
#[cfg(target_os = "linux")]
#[test]
fn large_files_are_signed_and_verified_as_they_pass() {
    const LIMIT: u64 = 64 << 10;
    const MEASURE: &str = "\
import os, sys
for words in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        os.dup2(os.open('/dev/null', os.O_WRONLY), 1)
        os.execv(sys.argv[1], [sys.argv[1], 'espsecure', *words.split()])
    _, status, usage = os.wait4(child, 0)
    print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, words)
";
    let mut bench = Bench::new();
    let large = std::fs::File::create(bench.path("large")).unwrap();
    large.set_len((128 << 20) + 100).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&large, &data(1 << 20, 7), 77 << 20).unwrap();
    let output = oracles::python()
        .args(["-c", MEASURE, env!("CARGO_BIN_EXE_espseal")])
        .args([
            "sign-data -v 1 -k ecdsa256.pem -o signed-1 large",
            "sign-data -v 2 -k rsa3072.pem -o signed-2 large",
            "sign-data -v 2 -a -k ecdsa256.pem -o signed-twice signed-2",
            "verify-signature -v 1 -k ecdsa256.pem signed-1",
            "verify-signature -v 2 -k rsa3072-public.pem signed-twice",
            "verify-signature -v 2 -k ecdsa256-public.pem signed-twice",
            "signature-info-v2 signed-twice",
            "sign-data -v 2 large -k rsa3072.pem",
        ])
        .current_dir(bench.path("."))
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    println!("exit code, peak memory in KiB, for 128 MiB:\n{printed}");
    assert_eq!(printed.lines().count(), 8);
    for line in printed.lines() {
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some("0"), "{line}");
        let kibibytes: u64 = words.next().unwrap().parse().unwrap();
        assert!(kibibytes < LIMIT, "{line}");
    }
    // espsecure crashes at an RSA block when it is to verify with an ECDSA key.
    let verify = ["verify-signature", "-v", "2", "-k"];
    for (key, file) in [
        ("rsa3072-public.pem", "signed-twice"),
        ("rsa3072-public.pem", "large"),
    ] {
        bench.accepted(&[&verify[..], &[key, file]].concat());
    }
    bench.accepted(&[
        "verify-signature",
        "-v",
        "1",
        "-k",
        "ecdsa256.pem",
        "signed-1",
    ]);
}
