//! Keys in an HSM, with SoftHSM2 (Debian's `softhsm2`) as the token: what it signs is verified by the
//! pinned espsecure and by espseal; refusals; role keys.
//!
//! Every program runs as a child with a `SOFTHSM2_CONF` of its own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod agent;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use espseal_agent::agent::UpdateOutcome;
use espseal_crypto::device_key::SoftwareDeviceKey;
use oracles::Session;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "648219";
/// Writes `<label>.pem` (PKCS#8) and `<label>.pub` for each key.
const MAKE_KEYS: &str = "
import sys
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec, rsa
for word in sys.argv[2:]:
    label, kind = word.split('=')
    key = rsa.generate_private_key(65537, int(kind)) if kind.isdigit() else \\
        ec.generate_private_key(getattr(ec, kind)())
    open(f'{sys.argv[1]}/{label}.pem', 'wb').write(key.private_bytes(
        s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    open(f'{sys.argv[1]}/{label}.pub', 'wb').write(key.public_key().public_bytes(
        s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo))
";
const SCHEMES: [(&str, &str); 4] = [
    ("rsa", "3072"),
    ("p192", "SECP192R1"),
    ("p256", "SECP256R1"),
    ("p384", "SECP384R1"),
];

/// A token in a folder.
struct Token {
    folder: tempfile::TempDir,
    slot: String,
}

impl Token {
    /// A token with these keys: label, and bits or curve.
    fn new(keys: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tokens")).unwrap();
        let mut token = Self {
            folder,
            slot: String::new(),
        };
        token.restrict("ALL");
        let words = keys.iter().map(|(label, kind)| format!("{label}={kind}"));
        let mut python = oracles::python();
        let folder = token.folder.path();
        oracles::run(python.args(["-c", MAKE_KEYS]).arg(folder).args(words));
        let init = ["--init-token", "--free", "--label", "test", "--so-pin", PIN];
        let said = oracles::run(token.softhsm().args(init).args(["--pin", PIN]));
        token.slot = said.split_whitespace().last().unwrap().into();
        for (number, (label, _)) in keys.iter().enumerate() {
            token.import(label, label, number);
        }
        token
    }

    fn softhsm(&self) -> Command {
        let mut command = Command::new("softhsm2-util");
        command.env("SOFTHSM2_CONF", self.path("softhsm2.conf"));
        command
    }

    fn import(&self, file: &str, label: &str, number: usize) {
        let mut command = self.softhsm();
        let import = command
            .arg("--import")
            .arg(self.path(&format!("{file}.pem")));
        let import = import.args(["--slot", &self.slot, "--pin", PIN, "--label", label]);
        oracles::run(import.args(["--id", &format!("{:02x}", number + 1)]));
    }

    /// Leaves these mechanisms to the token.
    fn restrict(&self, mechanisms: &str) {
        let tokens = self.path("tokens");
        self.write(
            "softhsm2.conf",
            &format!(
                "directories.tokendir = {}\nlog.level = ERROR\nslots.mechanisms = {mechanisms}\n",
                tokens.display()
            ),
        );
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a private file.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Writes `<label>.ini`.
    fn configure(&self, label: &str) -> String {
        let name = format!("{label}.ini");
        let slot = &self.slot;
        self.write(
            &name,
            &format!(
                "[hsm_config]\npkcs11_lib = {MODULE}\nslot = {slot}\nlabel = {label}\ncredentials = {PIN}\n"
            ),
        );
        name
    }

    fn espseal(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_espseal"));
        command.env("SOFTHSM2_CONF", self.path("softhsm2.conf"));
        command.current_dir(self.folder.path());
        command.args(arguments).output().unwrap()
    }

    fn succeeds(&self, arguments: &[&str]) {
        let done = self.espseal(arguments);
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{arguments:?}: {text}");
    }

    /// Fails with one sentence that has these words and not the PIN.
    fn fails(&self, arguments: &[&str], words: &[&str]) {
        let done = self.espseal(arguments);
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {text}");
        for word in words {
            assert!(text.contains(word), "`{word}` is not in {text}");
        }
        assert!(!text.contains(PIN), "{text}");
    }

    fn sign(&self, config: &str, output: &str) -> Vec<String> {
        let sign = "espsecure sign-data --version 2 --hsm --hsm-config";
        let mut words: Vec<String> = sign.split(' ').map(Into::into).collect();
        words.extend([config, "--output", output, "data"].map(Into::into));
        words
    }
}

/// Signs with each key and lets espsecure and espseal verify; returns how many signatures.
fn sign_and_verify(token: &Token, espsecure: &mut Session) -> usize {
    // More than one piece, for a token that hashes by itself.
    token.write(
        "data",
        &"what is signed need not be an image ".repeat(40_000),
    );
    for (label, _) in SCHEMES {
        let (config, public) = (token.configure(label), format!("{label}.pub"));
        let words = token.sign(&config, "signed");
        token.succeeds(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let verify = ["verify-signature", "--version", "2"];
        let theirs = [&verify[..], &["--keyfile", &public, "signed"]].concat();
        let answer = espsecure.call(token.folder.path(), &theirs);
        assert!(answer.accepted(), "{label}: {}", answer.text());
        let in_token = ["--hsm", "--hsm-config", &config, "signed"];
        for key in [&["--keyfile", &public, "signed"][..], &in_token] {
            token.succeeds(&[&["espsecure"], &verify[..], key].concat());
        }
        for (other, _) in SCHEMES.iter().filter(|(other, _)| *other != label) {
            let config = token.configure(other);
            let other = ["--hsm", "--hsm-config", &config, "signed"];
            token.fails(&[&["espsecure"], &verify[..], &other].concat(), &[]);
        }
    }
    SCHEMES.len()
}

#[test]
fn rsa_p192_p256_and_p384_in_a_token_sign_what_espsecure_verifies() {
    let token = Token::new(&SCHEMES);
    let mut espsecure = Session::open("espsecure");
    let mut signed = 0;
    for mechanisms in [
        "ALL",
        "CKM_RSA_PKCS_PSS,CKM_ECDSA",
        "CKM_RSA_X_509,CKM_ECDSA",
        "CKM_SHA256_RSA_PKCS_PSS,CKM_ECDSA",
    ] {
        token.restrict(mechanisms);
        signed += sign_and_verify(&token, &mut espsecure);
    }
    println!("{signed} signatures of SoftHSM2 verified by espsecure 5.6.0 and by espseal");
    token.restrict("CKM_RSA_PKCS");
    for (label, _) in SCHEMES {
        let words = token.sign(&token.configure(label), "unsigned");
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        token.fails(&words, &[label, "CKM_RSA_X_509"]);
    }
    assert!(!token.path("unsigned").exists());
}

#[test]
fn tokens_and_keys_that_do_not_fit_are_refused_and_nothing_is_written() {
    let token = Token::new(&[("p256", "SECP256R1"), ("old", "2048"), ("k1", "SECP256K1")]);
    token.import("old", "twice", 7);
    token.import("p256", "twice", 8);
    token.write("data", "data");
    let fails = |config: &str, words: &[&str]| {
        let sign = token.sign(config, "unsigned");
        token.fails(&sign.iter().map(String::as_str).collect::<Vec<_>>(), words);
    };
    fails(&token.configure("absent"), &["private key", "`absent`"]);
    fails(&token.configure("twice"), &["2 private keys", "`twice`"]);
    fails(&token.configure("old"), &["`old`", "RSA-3072"]);
    fails(&token.configure("k1"), &["`k1`", "another kind"]);
    let good = fs::read_to_string(token.path(&token.configure("p256"))).unwrap();
    let changed = |from: &str, to: &str, words: &[&str]| {
        assert!(good.contains(from));
        token.write("changed.ini", &good.replace(from, to));
        fails("changed.ini", words);
    };
    changed(PIN, "999999", &["refuses the PIN", &token.slot]);
    let sign = token.sign("changed.ini", "unsigned");
    let said = token.espseal(&sign.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(!String::from_utf8_lossy(&said.stderr).contains("999999"));
    let locked = module_with_a_locked_pin(&token);
    changed(
        MODULE,
        &locked,
        &["locked", &token.slot, "security officer"],
    );
    changed(MODULE, "/none.so", &["/none.so", "pkcs11_lib"]);
    changed(MODULE, "data", &["data", "PKCS#11 module"]);
    changed(&token.slot, "7", &["slot 7", &token.slot]);
    changed(
        "label = p256",
        "label = p256\nlabel_pubkey = none",
        &["public key", "`none`"],
    );
    changed("slot", "slat", &["`slot`"]);
    // Another public key: the signature is verified before it is written.
    changed("label = p256", "label = p256\nlabel_pubkey = k1", &["`k1`"]);
    assert!(!token.path("unsigned").exists());
    let version_1 = ["espsecure", "sign-data", "-v", "1", "--hsm", "--hsm-config"];
    token.fails(&[&version_1[..], &["p256.ini", "data"]].concat(), &["v1"]);
    token.fails(
        &["espsecure", "sign-data", "-v", "2", "--hsm", "data"],
        &["--hsm-config"],
    );
}

/// SoftHSM2, but for `C_Login`, which says that the PIN is locked: SoftHSM2 never locks one.
fn module_with_a_locked_pin(token: &Token) -> String {
    let library = token.path("locked.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-x", "c", "-o"]);
    compiler.arg(&library).arg("-").arg("-ldl");
    let mut compiler = compiler
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let source = include_bytes!("locked_pin.c");
    std::io::Write::write_all(&mut compiler.stdin.take().unwrap(), source).unwrap();
    assert!(compiler.wait().unwrap().success());
    library.to_str().unwrap().into()
}

#[test]
fn debug_certificates_are_signed_in_a_token() {
    let token = Token::new(&[("p256", "SECP256R1"), ("rsa", "3072")]);
    let config = token.configure("p256");
    let hsm = ["--hsm", "--hsm-config", &config, "--mac", "001122334455"];
    let certificate = ["espsecure", "generate-sdc-certificate", "-o", "certificate"];
    token.succeeds(&[&certificate[..], &hsm, &["--pub-key", "p256.pub"]].concat());
    let in_token = fs::read(token.path("certificate")).unwrap();
    let key = ["-k", "p256.pem", "--mac", "001122334455"];
    token.succeeds(&[&certificate[..], &key].concat());
    let in_file = fs::read(token.path("certificate")).unwrap();
    // What precedes the CRC, what is unlocked, and the key.
    for range in [0..12, 16..340] {
        assert_eq!(in_token[range.clone()], in_file[range]);
    }
    let digest = ["espsecure", "digest-sdc-public-key", "-o", "digest"];
    token.succeeds(&[&digest[..], &hsm[..3]].concat());
    let in_token = fs::read(token.path("digest")).unwrap();
    let answer = Session::open("espsecure").call(
        token.folder.path(),
        &["digest-sdc-public-key", "-o", "theirs", "-k", "p256.pem"],
    );
    assert!(answer.accepted(), "{}", answer.text());
    assert_eq!(in_token, fs::read(token.path("theirs")).unwrap());

    let wrong = [&certificate[..], &hsm, &["--pub-key", "rsa.pub"]].concat();
    token.fails(&wrong, &["rsa.pub"]);
    token.fails(&[&certificate[..], &hsm, &key[..2]].concat(), &["--hsm"]);
    let config = token.configure("rsa");
    let rsa = ["--hsm", "--hsm-config", &config, "--mac", "001122334455"];
    token.fails(&[&certificate[..], &rsa].concat(), &["P-256"]);
    let nothing = [&certificate[..], &["--mac", "001122334455"]].concat();
    token.fails(&nothing, &["--keyfile"]);
}

#[test]
fn root_keys_in_a_token_sign_the_next_root() {
    let token = Token::new(&[("other", "SECP256R1")]);
    token.succeeds(&["init", "lamp"]);
    for (number, name) in [(1, "root-1"), (2, "root-2")] {
        let key = token.path(&format!("lamp/keys/{name}.pem"));
        fs::rename(key, token.path(&format!("{name}.pem"))).unwrap();
        token.import(name, name, number);
        token.configure(name);
    }
    let renew = |keys: &[&str]| {
        let keys = keys.iter().flat_map(|key| ["--key", key]);
        let words: Vec<_> = ["--project", "lamp", "root"]
            .into_iter()
            .chain(keys)
            .collect();
        token.espseal(&words)
    };
    let two_of_them = renew(&["root-1.ini", "root-2.ini"]);
    let text = String::from_utf8_lossy(&two_of_them.stderr).into_owned();
    assert!(two_of_them.status.success(), "{text}");
    assert!(token.path("lamp/roots/2.cose").exists());
    token.configure("other");
    for keys in [
        &["root-1.ini", "other.ini"][..],
        &["root-1.ini", "root-1.ini"],
    ] {
        assert!(!renew(keys).status.success(), "{keys:?}");
    }
    assert!(!token.path("lamp/roots/3.cose").exists());
}

#[test]
fn signature_that_is_not_by_the_named_public_key_is_not_written() {
    let token = Token::new(&[("one", "SECP256R1"), ("other", "SECP256R1")]);
    token.write("data", "data");
    let config = token.configure("one");
    let text = fs::read_to_string(token.path(&config)).unwrap();
    token.write(&config, &format!("{text}label_pubkey = other\n"));
    let sign = token.sign(&config, "unsigned");
    token.fails(
        &sign.iter().map(String::as_str).collect::<Vec<_>>(),
        &["did not sign"],
    );
    assert!(!token.path("unsigned").exists());
}

#[test]
fn native_sign_takes_an_hsm_key_and_role_keys_in_a_token_publish_what_an_agent_accepts() {
    let token = Token::new(&[
        ("sb", "3072"),
        ("releases", "SECP256R1"),
        ("now", "SECP256R1"),
    ]);
    for label in ["sb", "releases", "now"] {
        token.configure(label);
    }
    token.succeeds(&["init", "lamp"]);
    let project = token.path("lamp/espseal.toml");
    let text = fs::read_to_string(&project).unwrap();
    let keys = "[role-keys]\nreleases = \"../releases.ini\"\nnow = \"../now.ini\"\n\n[lifetimes]";
    fs::write(&project, text.replace("[lifetimes]", keys)).unwrap();
    fs::write(token.path("unsigned.bin"), image()).unwrap();
    let espseal = |words: &str| -> Output {
        let words: Vec<_> = words.split(' ').collect();
        token.espseal(&[&["--project", "lamp"], words.as_slice()].concat())
    };
    let ok = |words: &str| {
        let done = espseal(words);
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{words}: {text}");
        done.stdout
    };
    ok("sign unsigned.bin --hsm-config sb.ini --output by-hsm.bin");
    let verify = ["verify-signature", "-v", "2", "-k", "sb.pub", "by-hsm.bin"];
    let answer = Session::open("espsecure").call(token.folder.path(), &verify);
    assert!(answer.accepted(), "{}", answer.text());
    ok("sign unsigned.bin --output app.bin");
    // Root does not name the token's keys yet.
    let early = espseal("publish app.bin --channel production");
    assert!(!early.status.success());
    assert!(!token.path("lamp/repository/now").exists());
    ok("root --replace releases --replace now");
    let again = espseal("root --replace now");
    let text = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        !again.status.success() && text.contains("now.ini"),
        "{text}"
    );
    for name in ["releases", "now"] {
        fs::remove_file(token.path(&format!("lamp/keys/{name}.pem"))).unwrap();
    }
    let key = SoftwareDeviceKey::generate(&mut rand_core::UnwrapErr(getrandom::SysRng));
    let record = format!(
        "kind = \"agent\"\nchip = \"esp32c3\"\nchannel = \"production\"\n\
         encryption-key = \"{}\"\nreport-key = \"{}\"\n",
        key.public_key(),
        key.report_key()
    );
    fs::write(token.path("device.toml"), record).unwrap();
    ok("device enroll device.toml");
    ok("publish app.bin --channel production");
    ok("now");
    let factory = fs::read(token.path("app.bin")).unwrap();
    let time = std::time::SystemTime::now();
    let time = time
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let outcome = agent::update(&token.path("lamp"), key, &factory, time);
    let Ok(UpdateOutcome::RestartToBoot { .. }) = outcome else {
        panic!("{outcome:?}");
    };
    // The token's RSA key is no role key.
    token.write(
        "now.ini",
        &fs::read_to_string(token.path("sb.ini")).unwrap(),
    );
    let wrong = espseal("now");
    let text = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(text.contains("P-256") && !wrong.status.success(), "{text}");
}

/// An app for ESP32-C3 with a descriptor.
fn image() -> Vec<u8> {
    use espseal_format::app_desc::AppDescriptor;
    use espseal_format::units::{Digest, SecurityVersion};
    let descriptor = AppDescriptor::new("lamp", "1.0", SecurityVersion::new(0));
    let mut rodata = descriptor.unwrap().encode().to_vec();
    rodata.extend(b"lamp".iter().cycle().take(6000));
    let mut image = vec![0xE9, 1, 2, 0x20];
    image.extend(0x4038_0000_u32.to_le_bytes());
    image.extend([0xEE, 0, 0, 0, 5, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0, 1]);
    image.extend(0x3C00_0020_u32.to_le_bytes());
    image.extend(u32::try_from(rodata.len()).unwrap().to_le_bytes());
    image.extend(&rodata);
    image.resize((image.len() | 15) + 1, 0);
    *image.last_mut().unwrap() = rodata.iter().fold(0xEF, |sum, byte| sum ^ byte);
    let digest = Digest::of(&image);
    image.extend(digest.0);
    image
}
