//! Random command lines on one chip after the other, with espefuse and with the twin: the same
//! files, the same exit status, the same summary.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use espseal_format::chip::CHIPS;
use espseal_twin::efuse::virt;
use espseal_twin::espefuse::{self, EspefuseError, PemKeys};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::line::{self, FILES, PEMS};
use crate::operation::Random;

/// Sequences a chip and command lines a sequence: a share in every run, as many as `ESPSEAL_FULL`
/// says when it is set.
fn lines() -> (u64, usize) {
    match std::env::var("ESPSEAL_FULL") {
        Ok(sequences) => (sequences.parse().unwrap(), 24),
        Err(_) => (2, 16),
    }
}

#[test]
fn random_command_lines_leave_the_file_that_espefuse_leaves() {
    let mut tool = Tool::start();
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::make(folder.path());
    let (mut alike, mut summaries) = (BTreeMap::new(), 0);
    let mut differences = Vec::new();
    let (sequences, lines) = lines();
    for chip in CHIPS {
        for sequence in 0..sequences {
            let seed = u64::from(chip.id.to_u16()) << 40 | u64::from(chip.revisions.start) << 16;
            let mut random = Random(seed | sequence | 1 << 33);
            for name in ["theirs.bin", "ours.bin"] {
                let path = folder.path().join(name);
                match chip.revisions.start {
                    0 => drop(fs::remove_file(path)),
                    _ => fs::write(path, virt::encode(&crate::silicon(chip))).unwrap(),
                }
            }
            let mut history = Vec::new();
            for index in 0..lines {
                let words = match index % 8 {
                    7 => vec!["summary".into(), "--format".into(), "json".into()],
                    _ => line::draw(&mut random, chip),
                };
                history.push(words.join(" "));
                let target = chip.id.target().unwrap();
                let theirs = tool.call(folder.path(), &argv(target, "theirs.bin", &words));
                let ours = call(folder.path(), &argv(target, "ours.bin", &words), &keys);
                let files =
                    ["ours.bin", "theirs.bin"].map(|name| fs::read(folder.path().join(name)));
                if let [Ok(ours), Ok(theirs)] = &files
                    && crate::guards_of_other_silicon(chip, ours, theirs)
                {
                    break;
                }
                let difference = compare(folder.path(), &theirs, &ours, index % 8 == 7);
                if let Some(difference) = difference {
                    differences.push(format!(
                        "{} {sequence}: {}\n  {difference}\n  theirs {}: {}\n  ours {:?}",
                        chip.name(),
                        history.join(" | "),
                        theirs.0,
                        tail(&theirs.1),
                        ours.0
                    ));
                    break;
                }
                summaries += u32::from(index % 8 == 7);
                let outcome = if ours.0.is_ok() {
                    "accepted"
                } else {
                    "refused"
                };
                *alike
                    .entry((words[0].replace('_', "-"), outcome))
                    .or_insert(0) += 1;
            }
        }
    }
    let count = |wanted| {
        alike
            .iter()
            .filter(|row| row.0.1 == wanted)
            .map(|row| row.1)
            .sum::<u32>()
    };
    println!(
        "{} command lines on {} chips: {} accepted and {} refused alike, {summaries} JSON summaries alike, {} differences",
        count("accepted") + count("refused"),
        CHIPS.len(),
        count("accepted"),
        count("refused"),
        differences.len()
    );
    println!("{alike:?}");
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    assert!(count("accepted") > 80 && count("refused") > 60);
}

/// What differs between the two programs; nothing when they agree.
fn compare(
    folder: &Path,
    theirs: &(i64, String),
    ours: &(Result<(), EspefuseError>, String),
    is_json: bool,
) -> Option<String> {
    if (theirs.0 == 0) != ours.0.is_ok() {
        return Some("exit status".into());
    }
    let [left, right] = ["theirs.bin", "ours.bin"].map(|name| fs::read(folder.join(name)));
    // After a command line that makes no sense, a new file may be there or not: it is blank.
    let (left, right) = match (left, right) {
        (Ok(left), Ok(right)) => (left, right),
        (Ok(file), Err(_)) | (Err(_), Ok(file)) => (vec![0; file.len()], file),
        _ => return None,
    };
    if left != right {
        let registers: Vec<_> = (0..left.len().min(right.len()))
            .filter(|at| left[*at] != right[*at])
            .map(|at| (left.len() - 1 - at, right[at], left[at]))
            .collect();
        return Some(format!("registers, ours, theirs: {registers:x?}"));
    }
    if is_json {
        let start = theirs.1.find("\n{")?;
        let [mut theirs, ours]: [Value; 2] = [&theirs.1[start..], &ours.1]
            .map(|text| serde_json::from_str(text).unwrap_or_default());
        let rows = theirs.as_object_mut()?;
        for row in rows.values_mut() {
            // Ours is the name: see docs/espefuse.md.
            let name = row["name"].clone();
            row["description"] = name;
        }
        for (name, row) in rows.iter() {
            if *row != ours[name] {
                return Some(format!("{name}\n  {}\n  {row}", ours[name]));
            }
        }
        if rows.len() != ours.as_object()?.len() {
            return Some("fields of the summary".into());
        }
    }
    None
}

fn argv(chip: &str, file: &str, words: &[String]) -> Vec<String> {
    let globals = [
        "--chip",
        chip,
        "--virt",
        "--path-efuse-file",
        file,
        "--do-not-confirm",
    ];
    globals
        .into_iter()
        .map(String::from)
        .chain(words.iter().cloned())
        .collect()
}

/// Runs the twin's espefuse, on files of a folder.
fn call(folder: &Path, argv: &[String], keys: &Keys) -> (Result<(), EspefuseError>, String) {
    let files = ["theirs.bin", "ours.bin", "nofile"]
        .into_iter()
        .chain(FILES.iter().map(|file| file.0))
        .chain(PEMS);
    let files: Vec<&str> = files.collect();
    let argv: Vec<OsString> = argv
        .iter()
        .map(|word| match files.contains(&word.as_str()) {
            true => folder.join(word).into(),
            false => word.into(),
        })
        .collect();
    let mut output = Vec::new();
    let result = espefuse::run(&argv, &mut std::io::empty(), &mut output, keys);
    (result, String::from_utf8(output).unwrap())
}

fn tail(text: &str) -> &str {
    let start = text.char_indices().rev().nth(300).map_or(0, |(at, _)| at);
    &text[start..]
}

/// The keys of the folder, as Python's cryptography reads them.
struct Keys(BTreeMap<String, (Option<Vec<u8>>, Vec<u8>)>);

impl Keys {
    fn make(folder: &Path) -> Self {
        let mut random = Random(7);
        for (name, length) in FILES {
            fs::write(folder.join(name), random.bytes(length)).unwrap();
        }
        let mut python = oracles::python();
        let text = oracles::run(python.args(["-c", include_str!("pem.py")]).arg(folder));
        let made: BTreeMap<String, [Value; 2]> = serde_json::from_str(&text).unwrap();
        Self(
            made.into_iter()
                .map(|(name, [scalar, digest])| {
                    let scalar = scalar.as_str().map(crate::from_hex);
                    (name, (scalar, crate::from_hex(digest.as_str().unwrap())))
                })
                .collect(),
        )
    }

    fn of(&self, path: &Path) -> Option<&(Option<Vec<u8>>, Vec<u8>)> {
        self.0.get(path.file_name()?.to_str()?)
    }
}

impl PemKeys for Keys {
    fn secure_boot_digest(&self, path: &Path, _: &[u8]) -> Option<[u8; 32]> {
        self.of(path)?.1.clone().try_into().ok()
    }

    fn ecdsa_scalar(&self, path: &Path, _: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        Some(Zeroizing::new(self.of(path)?.0.clone()?))
    }
}

/// A Python process that holds espefuse.
struct Tool {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Tool {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/espefuse/cli.py");
        let mut process = oracles::python()
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let requests = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            requests,
            answers,
        }
    }

    fn call(&mut self, folder: &Path, argv: &[String]) -> (i64, String) {
        let request = json!({ "folder": folder, "argv": argv, "input": "" });
        writeln!(self.requests, "{request}").unwrap();
        self.requests.flush().unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        (
            answer["code"].as_i64().unwrap(),
            answer["output"].as_str().unwrap().into(),
        )
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The blank file of every chip is the one that espefuse makes.
#[test]
fn a_missing_file_is_made_and_a_summary_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for chip in CHIPS {
        let target = chip.id.target().unwrap();
        let (result, _) = call(
            folder.path(),
            &argv(target, "ours.bin", &["summary".into()]),
            &Keys(BTreeMap::new()),
        );
        result.unwrap();
        let path = folder.path().join("ours.bin");
        let file = fs::read(&path).unwrap();
        assert!(virt::parse(chip.id, &file).is_ok() && file.iter().all(|byte| *byte == 0));
        fs::remove_file(path).unwrap();
    }
}
