//! Runs espsecure and espseal on the same files and compares what they do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use oracles::{Answer, Session};

/// Stands for the output file in arguments: each program has its own.
pub(crate) const OUT: &str = "@out";

/// The schemes in espsecure's words.
pub(crate) const SCHEMES: [&str; 4] = ["rsa3072", "ecdsa192", "ecdsa256", "ecdsa384"];

/// Both programs in a folder of keys and data.
pub(crate) struct Bench {
    session: Session,
    folder: tempfile::TempDir,
    compared: BTreeMap<&'static str, usize>,
}

/// What both programs did with the same arguments.
#[derive(Debug)]
pub(crate) struct Both {
    pub(crate) theirs: Side,
    pub(crate) ours: Side,
}

/// What one program did.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) answer: Answer,
    /// The output file, if it wrote one.
    pub(crate) file: Option<Vec<u8>>,
}

impl Side {
    /// The output file.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.file
            .as_deref()
            .unwrap_or_else(|| panic!("no file: {}", self.answer.text()))
    }

    /// Whether espsecure died of an exception rather than refusing.
    pub(crate) fn crashed(&self) -> bool {
        self.answer.code == 1
    }
}

impl Bench {
    /// Makes a folder with every key file.
    pub(crate) fn new() -> Self {
        static KEYS: OnceLock<tempfile::TempDir> = OnceLock::new();
        let keys = KEYS.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let mut python = oracles::python();
            oracles::run(
                python
                    .args(["-c", include_str!("keys.py")])
                    .arg(folder.path()),
            );
            folder
        });
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(keys.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        Self {
            session: Session::open("espsecure"),
            folder,
            compared: BTreeMap::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Runs both programs; they must agree on accepting or refusing, and a refusal writes nothing.
    pub(crate) fn both(&mut self, arguments: &[&str]) -> Both {
        self.both_with_input(arguments, &[])
    }

    /// As [`Bench::both`], with bytes on standard input.
    pub(crate) fn both_with_input(&mut self, arguments: &[&str], input: &[u8]) -> Both {
        self.both_over(arguments, input, None)
    }

    /// As [`Bench::both`], where the output file is there before with these bytes.
    pub(crate) fn in_place(&mut self, arguments: &[&str], before: &[u8]) -> Both {
        self.both_over(arguments, &[], Some(before))
    }

    fn both_over(&mut self, arguments: &[&str], input: &[u8], before: Option<&[u8]>) -> Both {
        let both = self.run(arguments, input, before);
        let (theirs, ours) = (&both.theirs, &both.ours);
        assert_eq!(
            theirs.answer.accepted(),
            ours.answer.accepted(),
            "{arguments:?}\nespsecure: {}\nespseal: {}",
            theirs.answer.text(),
            ours.answer.text()
        );
        if !ours.answer.accepted() {
            assert_eq!(ours.answer.code, 2, "{arguments:?}");
            assert_eq!(
                ours.file.as_deref(),
                before,
                "{arguments:?} wrote though it failed"
            );
            assert!(theirs.crashed() || theirs.answer.code == 2, "{arguments:?}");
        }
        both
    }

    /// Runs both programs without comparing anything.
    pub(crate) fn run(&mut self, arguments: &[&str], input: &[u8], before: Option<&[u8]>) -> Both {
        let command = arguments.first().copied().unwrap_or_default();
        let name = [
            "decrypt", "digest", "encrypt", "extract", "generate", "sign", "verify",
        ]
        .into_iter()
        .find(|name| command.starts_with(name));
        *self.compared.entry(name.unwrap_or("other")).or_default() += 1;
        let [theirs, ours] = ["theirs.out", "ours.out"].map(|out| -> Vec<String> {
            let _ = fs::remove_file(self.path(out));
            if let Some(before) = before {
                self.write(out, before);
            }
            arguments
                .iter()
                .map(|word| word.replace(OUT, out))
                .collect()
        });
        let words: Vec<&str> = theirs.iter().map(String::as_str).collect();
        let theirs = self
            .session
            .call_with_input(self.folder.path(), &words, input);
        let ours = espseal(self.folder.path(), &ours, input);
        let file = |name| fs::read(self.path(name)).ok();
        Both {
            theirs: Side {
                answer: theirs,
                file: file("theirs.out"),
            },
            ours: Side {
                answer: ours,
                file: file("ours.out"),
            },
        }
    }

    /// Both programs accept and write the same bytes.
    pub(crate) fn same(&mut self, arguments: &[&str]) -> Vec<u8> {
        let both = self.both(arguments);
        assert!(
            both.ours.answer.accepted(),
            "{arguments:?}: {}",
            both.ours.answer.text()
        );
        assert_eq!(both.theirs.bytes(), both.ours.bytes(), "{arguments:?}");
        both.ours.bytes().to_vec()
    }

    /// What `signature-info-v2` says of a file, in the lines that scripts look for; the same for both.
    pub(crate) fn info(&mut self, file: &str) -> Vec<String> {
        let both = self.both(&["signature-info-v2", file]);
        let [theirs, ours] = [&both.theirs, &both.ours].map(|side| {
            let text = String::from_utf8_lossy(&side.answer.output).into_owned();
            let lines = text
                .lines()
                .filter(|line| line.starts_with("Public key digest") || line.ends_with("SA)."));
            lines.map(str::to_owned).collect::<Vec<_>>()
        });
        // A refusal says nothing of the blocks before.
        if both.ours.answer.accepted() {
            assert_eq!(theirs, ours);
        }
        ours
    }

    /// Both programs refuse.
    pub(crate) fn refused(&mut self, arguments: &[&str]) -> Both {
        let both = self.both(arguments);
        assert!(
            !both.ours.answer.accepted(),
            "{arguments:?}: {}",
            both.ours.answer.text()
        );
        both
    }

    /// Both programs accept.
    pub(crate) fn accepted(&mut self, arguments: &[&str]) -> Both {
        let both = self.both(arguments);
        assert!(
            both.ours.answer.accepted(),
            "{arguments:?}: {}",
            both.ours.answer.text()
        );
        both
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let total: usize = self.compared.values().sum();
        println!(
            "{total} calls compared with espsecure 5.6.0: {:?}",
            self.compared
        );
    }
}

/// Runs `espseal espsecure`.
pub(crate) fn espseal(folder: &Path, arguments: &[String], input: &[u8]) -> Answer {
    let mut process = Command::new(env!("CARGO_BIN_EXE_espseal"))
        .arg("espsecure")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may not read, and be gone.
    let _ = std::io::Write::write_all(&mut process.stdin.take().unwrap(), input);
    let output = process.wait_with_output().unwrap();
    Answer {
        code: output.status.code().unwrap(),
        output: output.stdout,
        messages: output.stderr,
    }
}

/// Bytes that look random and are the same in each run.
pub(crate) fn data(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    });
    bytes.take(length).collect()
}
