//! The build itself enforces who may know what: these tests read the crate graph.
//!
//! Arrows as in `ARCHITECTURE.md`; the rule that matters most is that the server cannot reach code
//! that signs for a role, unwraps a key or opens a body.
#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::process::Command;

/// The crates of the workspace and what each may depend on, in the order of trust.
const ARROWS: [(&str, &[&str]); 7] = [
    ("espseal-format", &[]),
    ("espseal-crypto", &["espseal-format"]),
    ("espseal-agent", &["espseal-crypto", "espseal-format"]),
    (
        "espseal-twin",
        &["espseal-agent", "espseal-crypto", "espseal-format"],
    ),
    (
        "espseal-publish",
        &[
            "espseal-agent",
            "espseal-crypto",
            "espseal-format",
            "espseal-twin",
        ],
    ),
    ("espseal-server", &["espseal-format"]),
    (
        "espseal",
        &[
            "espseal-agent",
            "espseal-crypto",
            "espseal-format",
            "espseal-publish",
            "espseal-server",
            "espseal-twin",
        ],
    ),
];

/// Crates that can sign for a role, unwrap a key or open a body.
const KEYED: [&str; 16] = [
    "espseal-crypto",
    "espseal-agent",
    "espseal-twin",
    "espseal-publish",
    "aes",
    "aes-gcm",
    "aes-kw",
    "ctr",
    "ghash",
    "hkdf",
    "hpke",
    "cryptoki",
    "ecdsa",
    "p192",
    "p256",
    "p384",
];

/// Names every crate that `package` links, directly or not, itself left out.
fn reachable(package: &str) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").expect("cargo runs the tests");
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}"])
        .output()
        .expect("cargo tree starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("names are UTF-8");
    let names: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect();
    assert!(
        names.contains(package),
        "cargo tree names the package itself"
    );
    names.into_iter().filter(|name| name != package).collect()
}

#[test]
fn crates_depend_only_along_the_arrows() {
    for (package, allowed) in ARROWS {
        let found: Vec<_> = reachable(package)
            .into_iter()
            .filter(|name| name.starts_with("espseal") && !allowed.contains(&name.as_str()))
            .collect();
        assert!(found.is_empty(), "{package} reaches {found:?}");
    }
}

#[test]
fn the_server_cannot_reach_signing_unwrapping_or_decryption() {
    let found: Vec<_> = reachable("espseal-server")
        .into_iter()
        .filter(|name| KEYED.contains(&name.as_str()))
        .collect();
    assert!(found.is_empty(), "espseal-server reaches {found:?}");
}

#[test]
fn the_list_of_keyed_crates_is_not_out_of_date() {
    let publish = reachable("espseal-publish");
    for name in [
        "espseal-crypto",
        "aes",
        "aes-kw",
        "ghash",
        "cryptoki",
        "ecdsa",
        "p192",
        "p256",
        "p384",
    ] {
        assert!(
            publish.contains(name),
            "{name} no longer exists under this name"
        );
    }
}
