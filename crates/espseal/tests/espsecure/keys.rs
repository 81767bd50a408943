//! Key files in every form: digests, public keys and refusals.

use crate::bench::{Bench, OUT};

/// Every key file, sorted.
fn files(bench: &Bench) -> Vec<String> {
    let names = std::fs::read_dir(bench.path(".")).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            std::path::Path::new(name)
                .extension()
                .is_some_and(|extension| extension == "pem")
        })
        .collect();
    names.sort();
    names
}

#[test]
fn every_command_takes_and_refuses_the_same_key_files() {
    let mut bench = Bench::new();
    bench.write("data", &[7; 4096]);
    let (mut same, mut refused) = (0, 0);
    for key in files(&bench) {
        for arguments in [
            &["digest-sbv2-public-key", "-k", &key, "-o", OUT][..],
            &["extract-public-key", "-v", "1", "-k", &key, OUT],
            &["extract-public-key", "-v", "2", "-k", &key, OUT],
            &["digest-private-key", "-k", &key, OUT],
            &["digest-rsa-public-key", "-k", &key, "-o", OUT],
            &["digest-private-key", "-l", "192", "-k", &key, OUT],
            &["extract-public-key", "--keyfile", &key, OUT],
        ]
        .into_iter()
        // espsecure takes 0.2 s to load an RSA key.
        .take(if key.starts_with("rsa") { 4 } else { 7 })
        {
            let both = bench.both(arguments);
            assert_eq!(both.theirs.file, both.ours.file, "{arguments:?}");
            match both.ours.file {
                Some(_) => same += 1,
                None => refused += 1,
            }
        }
        bench.both(&["sign-data", "-v", "2", "-k", &key, "-o", OUT, "data"]);
        bench.both(&["sign-data", "-v", "1", "-k", &key, "-o", OUT, "data"]);
    }
    println!("{same} equal files, {refused} refusals");
    assert!(same > 100 && refused > 100, "{same} {refused}");
}

#[test]
fn any_length_of_a_private_keys_digest_gives_the_same_bytes() {
    let mut bench = Bench::new();
    for length in ["192", "256", "128", "0", "1", "512", "-1"] {
        bench.same(&[
            "digest-private-key",
            "-l",
            length,
            "-k",
            "ecdsa256.pem",
            OUT,
        ]);
        bench.same(&[
            "digest-private-key",
            "--keylen",
            length,
            "-k",
            "ecdsa256-pkcs8.pem",
            OUT,
        ]);
    }
    for length in ["x", "0x100", ""] {
        bench.refused(&[
            "digest-private-key",
            "-l",
            length,
            "-k",
            "ecdsa256.pem",
            OUT,
        ]);
    }
}

#[test]
fn an_output_that_is_the_input_is_refused_and_one_that_exists_is_replaced() {
    let mut bench = Bench::new();
    let before = bench.read("ecdsa256.pem");
    for arguments in [
        &["digest-private-key", "-k", "ecdsa256.pem", "ecdsa256.pem"][..],
        &["extract-public-key", "-k", "ecdsa256.pem", "ecdsa256.pem"],
        &[
            "digest-sbv2-public-key",
            "-k",
            "ecdsa256.pem",
            "-o",
            "ecdsa256.pem",
        ],
        &[
            "digest-rsa-public-key",
            "-k",
            "ecdsa256.pem",
            "-o",
            "ecdsa256.pem",
        ],
    ] {
        bench.refused(arguments);
    }
    assert_eq!(bench.read("ecdsa256.pem"), before);
    for arguments in [
        &["digest-private-key", "-k", "ecdsa256.pem", OUT][..],
        &["extract-public-key", "-k", "ecdsa256.pem", OUT],
        &["digest-sbv2-public-key", "-k", "ecdsa256.pem", "-o", OUT],
    ] {
        let both = bench.in_place(arguments, b"before");
        assert_eq!(both.theirs.bytes(), both.ours.bytes());
    }
}

#[test]
fn a_dash_writes_the_bytes_to_standard_output() {
    let mut bench = Bench::new();
    for arguments in [
        &["digest-private-key", "-k", "ecdsa256.pem", "-"][..],
        &["extract-public-key", "-k", "ecdsa256.pem", "-"],
        &["extract-public-key", "-v", "2", "-k", "ecdsa256.pem", "-"],
    ] {
        let both = bench.accepted(arguments);
        let (theirs, ours) = (&both.theirs.answer.output, &both.ours.answer.output);
        // espsecure adds its messages, before and after.
        let found = theirs.windows(ours.len()).any(|window| window == ours);
        assert!(found && ours.len() >= 32, "{arguments:?}");
    }
    let pem = bench.read("ecdsa256.pem");
    for arguments in [
        &["digest-private-key", "-k", "-", OUT][..],
        &["extract-public-key", "-k", "-", OUT],
        &["digest-sbv2-public-key", "-k", "-", "-o", OUT],
    ] {
        let both = bench.both_with_input(arguments, &pem);
        assert_eq!(both.theirs.bytes(), both.ours.bytes(), "{arguments:?}");
    }
}
