//! `espseal encrypt` and `espseal decrypt`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "whatever fails here fails the test"
)]

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

struct Folder(tempfile::TempDir);

impl Folder {
    /// With a key file for every scheme and some data.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for length in [16, 24, 32, 64] {
            let key: Vec<u8> = (0..length).collect();
            folder.write(&format!("key{length}"), &key);
            folder.set_mode(&format!("key{length}"), 0o600);
        }
        folder.write("data", &data(1000));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    #[cfg(unix)]
    fn set_mode(&self, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn espseal(&self, words: &str) -> Output {
        self.espseal_with(words, &[])
    }

    fn espseal_with(&self, words: &str, input: &[u8]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_espseal"))
            .args(words.split(' '))
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // It may not read, and be gone.
        let _ = stdin.write_all(input);
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    fn succeeds(&self, words: &str) -> String {
        let output = self.espseal(words);
        let messages = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{words}: {messages}");
        messages
    }

    /// It fails with this code, says this, and leaves no file behind.
    fn fails(&self, words: &str, code: i32, says: &str) {
        let before = self.names();
        let output = self.espseal(words);
        let messages = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words}: {messages}");
        assert!(messages.contains(says), "{words}: {messages}");
        assert_eq!(self.names(), before, "{words}");
    }
}

fn data(length: u32) -> Vec<u8> {
    (0..length)
        .map(|at| ((at * at) >> 3).to_le_bytes()[0])
        .collect()
}

/// Every chip's key lengths: the bytes of espsecure's commands, and back.
#[test]
fn native_verbs_write_what_espsecures_commands_write() {
    let folder = Folder::new();
    folder.write("whole", &data(992));
    for (chip, key, xts) in [
        ("esp32", "key24", ""),
        ("esp32", "key32", ""),
        ("esp32c3", "key32", " --aes-xts"),
        ("esp32s3", "key64", " --aes-xts"),
        ("esp32c2", "key16", " --aes-xts"),
    ] {
        folder.succeeds(&format!(
            "encrypt whole --chip {chip} --flash-key {key} --address 0x10010 --output ours"
        ));
        folder.succeeds(&format!(
            "espsecure encrypt-flash-data -k {key}{xts} -a 0x10010 -o theirs whole"
        ));
        assert_eq!(folder.read("ours"), folder.read("theirs"), "{chip} {key}");
        folder.succeeds(&format!(
            "decrypt ours --chip {chip} --flash-key {key} --address 0x10010 --output back"
        ));
        assert_eq!(folder.read("back"), folder.read("whole"), "{chip} {key}");
        for name in ["ours", "theirs", "back"] {
            fs::remove_file(folder.path(name)).unwrap();
        }
    }
}

#[test]
fn last_block_is_filled_as_erased_flash_is_and_said() {
    let folder = Folder::new();
    let said = folder.succeeds(
        "encrypt data --chip esp32c3 --flash-key key32 --address 0x20 --output encrypted",
    );
    assert!(
        said.contains("1008 bytes, the last 8 of them 0xFF"),
        "{said}"
    );
    folder.succeeds(
        "decrypt encrypted --chip esp32c3 --flash-key key32 --address 0x20 --output decrypted",
    );
    let mut expected = data(1000);
    expected.extend([0xFF; 8]);
    assert_eq!(folder.read("decrypted"), expected);
}

#[test]
fn flash_crypt_config_reaches_the_key() {
    let folder = Folder::new();
    for config in ["0", "0xF", "6"] {
        folder.succeeds(&format!(
            "encrypt data --chip esp32 --flash-key key32 --address 0x9000 --flash-crypt-config {config} --output {config}"
        ));
    }
    assert_ne!(folder.read("0"), folder.read("0xF"));
    assert_ne!(folder.read("6"), folder.read("0xF"));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let folder = Folder::new();
    folder.write("empty", &[]);
    folder.write("odd", &data(33));
    folder.write("there", b"before");
    folder.write("exposed", &[7; 32]);
    folder.set_mode("exposed", 0o644);
    let c3 = "--chip esp32c3 --flash-key key32";
    for (words, code, says) in [
        (format!("encrypt data {c3} --address 0x18 --output o"), 2, "multiple of 16"),
        (format!("decrypt odd {c3} --address 0 --output o"), 2, "33 bytes"),
        (format!("encrypt empty {c3} --address 0 --output o"), 3, "is empty"),
        (format!("encrypt missing {c3} --address 0 --output o"), 3, "cannot read missing"),
        (format!("encrypt . {c3} --address 0 --output o"), 3, "cannot read"),
        (format!("encrypt data {c3} --address 0 --output there"), 3, "exists already"),
        (format!("encrypt data {c3} --address 0 --output data"), 3, "exists already"),
        (format!("encrypt data {c3} --address 0 --output no/folder"), 3, "cannot write"),
        (format!("encrypt data {c3} --address 0xffffff00 --output o"), 2, "beyond"),
        (format!("--json encrypt data {c3} --address 0 --output -"), 2, "--json"),
        (
            "encrypt data --chip esp32c3 --flash-key exposed --address 0 --output o".into(),
            3,
            "mode 0644",
        ),
        (
            "encrypt data --chip esp32c3 --flash-key key64 --address 0 --output o".into(),
            2,
            "64 bytes",
        ),
        (
            "encrypt data --chip esp32 --flash-key key16 --address 0 --output o".into(),
            2,
            "16 bytes",
        ),
        (
            "encrypt data --chip esp32 --flash-key key32 --address 0xffff00 --output o".into(),
            2,
            "beyond 0x1000000",
        ),
        (
            "encrypt data --chip esp32 --flash-key key32 --address 0 --flash-crypt-config 16 --output o".into(),
            2,
            "0 to 15",
        ),
    ] {
        folder.fails(&words, code, says);
    }
    assert_eq!(folder.read("there"), b"before");
}

#[test]
fn pipes_and_scripts_are_served() {
    let folder = Folder::new();
    let options = "--chip esp32c3 --flash-key key32 --address 0x1000 --output";
    let there = folder.espseal_with(&format!("encrypt - {options} -"), &data(64));
    assert!(there.status.success());
    assert_eq!(there.stdout.len(), 64);
    let back = folder.espseal_with(&format!("decrypt - {options} -"), &there.stdout);
    assert_eq!(back.stdout, data(64));
    let answer = folder.espseal(&format!("--json encrypt data {options} encrypted"));
    let json: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    let expected = serde_json::json!({
        "output": "encrypted", "address": 0x1000, "length": 1008, "padding": 8,
    });
    assert_eq!(json, expected);
}

/// A file of 256 MiB, most of it a hole, in and out; what the process used is asked of Python, as the
/// standard library of Rust does not say.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_file() {
    let folder = Folder::new();
    let large = fs::File::create(folder.path("large")).unwrap();
    large.set_len(256 << 20).unwrap();
    let script = "import resource, subprocess, sys\n\
        subprocess.run(sys.argv[1:], check=True)\n\
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let words = "espsecure encrypt-flash-data -x -k key64 -a 0 -o /dev/null large";
    let output = oracles::python()
        .args(["-c", script, env!("CARGO_BIN_EXE_espseal")])
        .args(words.split(' '))
        .current_dir(folder.0.path())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let kibibytes: u64 = printed.trim().parse().unwrap();
    println!("peak memory for 256 MiB: {kibibytes} KiB");
    assert!(kibibytes < 64 << 10, "{kibibytes} KiB");
}
