//! `generate-signing-key` and `generate-flash-encryption-key`: files that both programs can use.

use crate::bench::{Bench, OUT, SCHEMES, data};
use crate::mask::without_signatures;

#[cfg(unix)]
fn mode(bench: &Bench, name: &str) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::metadata(bench.path(name)).unwrap();
    metadata.permissions().mode() & 0o777
}

#[test]
fn new_signing_keys_have_the_same_form_and_serve_both_programs() {
    let mut bench = Bench::new();
    bench.write("data", &data(5000, 1));
    let mut schemes: Vec<Vec<&str>> = SCHEMES.map(|scheme| vec!["-v", "2", "-s", scheme]).to_vec();
    schemes.push(vec!["-v", "2"]);
    schemes.push(vec!["-v", "1"]);
    schemes.push(vec![]);
    schemes.push(vec!["--version", "1", "--scheme", "ecdsa256"]);
    for scheme in schemes {
        let both = bench.accepted(&[&["generate-signing-key"], &scheme[..], &[OUT]].concat());
        #[cfg(unix)]
        assert_eq!(mode(&bench, "ours.out"), 0o600);
        let [theirs, ours] = [&both.theirs, &both.ours].map(|side| {
            let text = String::from_utf8(side.bytes().to_vec()).unwrap();
            let lines: Vec<_> = text.lines().map(|line| line.len()).collect();
            let label = text.lines().next().unwrap().to_owned();
            // RSA numbers differ in length by a byte or two.
            (label, lines.len(), text.ends_with('\n'))
        });
        assert_eq!(theirs, ours);
        bench.write("made.pem", both.ours.bytes());
        bench.same(&["digest-sbv2-public-key", "-k", "made.pem", "-o", OUT]);
        bench.same(&["extract-public-key", "-v", "2", "-k", "made.pem", OUT]);
        let both = bench.accepted(&["sign-data", "-v", "2", "-k", "made.pem", "-o", OUT, "data"]);
        assert_eq!(
            without_signatures(both.theirs.bytes()),
            without_signatures(both.ours.bytes())
        );
        bench.write("signed", both.ours.bytes());
        bench.accepted(&["verify-signature", "-v", "2", "-k", "made.pem", "signed"]);
    }
}

#[test]
fn signing_keys_are_never_overwritten_and_version_1_has_one_scheme() {
    let mut bench = Bench::new();
    for scheme in ["rsa3072", "ecdsa192", "ecdsa384"] {
        bench.refused(&["generate-signing-key", "-v", "1", "-s", scheme, OUT]);
        bench.refused(&["generate-signing-key", "-s", scheme, OUT]);
    }
    bench.refused(&["generate-signing-key", "-v", "2", "-s", "rsa2048", OUT]);
    bench.refused(&["generate-signing-key", "-v", "3", OUT]);
    bench.refused(&["generate-signing-key", "-v", "2", "no/such/folder"]);
    bench.refused(&["generate-signing-key", "-v", "2"]);
    let both = bench.in_place(&["generate-signing-key", "-v", "1", OUT], b"precious");
    assert_eq!(both.ours.bytes(), b"precious");
}

#[test]
fn flash_encryption_keys_have_the_same_length_and_replace_what_is_there() {
    let mut bench = Bench::new();
    for length in [
        "128", "192", "256", "512", "0", "7", "8", "255", "257", "1024",
    ] {
        let make = ["generate-flash-encryption-key", "-l", length, OUT];
        let both = bench.accepted(&make);
        assert_eq!(
            both.theirs.bytes().len(),
            both.ours.bytes().len(),
            "{length}"
        );
        let again = bench.in_place(&make, &[1; 1000]);
        assert_eq!(both.ours.bytes().len(), again.ours.bytes().len());
        assert!(again.ours.bytes().len() < 16 || again.ours.bytes() != both.ours.bytes());
        #[cfg(unix)]
        assert_eq!(mode(&bench, "ours.out"), 0o600);
    }
    let both = bench.accepted(&["generate-flash-encryption-key", OUT]);
    assert_eq!(
        (both.theirs.bytes().len(), both.ours.bytes().len()),
        (32, 32)
    );
    for length in ["x", "0x100", "1.5", ""] {
        bench.refused(&["generate-flash-encryption-key", "--keylen", length, OUT]);
    }
    bench.refused(&["generate-flash-encryption-key"]);
}
