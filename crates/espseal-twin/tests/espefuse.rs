//! Random burns on virtual eFuses of every chip, against espefuse: the same refusals, and the same file
//! byte for byte after each operation.
//!
//! `espefuse/driver.py` is one Python process that holds espefuse for all of them.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and its numbers are small"
)]

#[path = "espefuse/command_lines.rs"]
mod command_lines;
#[path = "espefuse/line.rs"]
mod line;
#[path = "espefuse/operation.rs"]
mod operation;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use espseal_format::chip::{CHIPS, Chip};
use espseal_twin::efuse::espefuse_rules::EspefuseRefusal;
use espseal_twin::efuse::{EfuseError, Efuses, Mac, virt};
use operation::{Operation, Random};
use serde_json::{Value, json};

/// Sequences a chip, and operations a sequence.
const SEQUENCES: u64 = 12;
const OPERATIONS: usize = 28;

#[test]
fn random_burns_leave_the_file_that_espefuse_leaves() {
    let mut driver = Driver::start();
    let (mut accepted, mut refused) = (0, 0);
    let (mut refused_alone, mut other_guards) = (0, 0);
    let mut differences = Vec::new();
    for chip in CHIPS {
        for sequence in 0..SEQUENCES {
            let seed = u64::from(chip.id.to_u16()) << 32 | u64::from(chip.revisions.start) << 16;
            let mut random = Random(seed | sequence);
            let operations = Operation::sequence(&mut random, chip, OPERATIONS);
            let mut efuses = silicon(chip);
            let file = virt::encode(&efuses);
            let answers = driver.play(chip.id.target().unwrap(), &file, &operations);
            for (operation, answer) in operations.iter().zip(&answers) {
                let place = format!("{} {sequence}: {operation:?}", chip.name());
                let result = operation.apply(&mut efuses);
                let refusal = answer["refused"].as_str();
                if refusal.is_none()
                    && matches!(
                        result,
                        Err(EspefuseRefusal::Efuse(EfuseError::PurposeTaken { .. }))
                    )
                {
                    // espefuse burns a key for a purpose that it cannot set: the twin does not.
                    refused_alone += 1;
                    break;
                }
                let file = from_hex(answer["file"].as_str().unwrap());
                let ours = virt::encode(&efuses);
                if guards_of_other_silicon(chip, &ours, &file) {
                    other_guards += 1;
                    break;
                }
                if result.is_err() != refusal.is_some() {
                    differences.push(format!("{place}\n  {result:?}\n  {refusal:?}"));
                    break;
                }
                let differ: Vec<_> = (0..ours.len())
                    .filter(|at| ours[*at] != file[*at])
                    .map(|at| (ours.len() - 1 - at, ours[at], file[at]))
                    .collect();
                if !differ.is_empty() {
                    differences.push(format!("{place}\n  register, ours, theirs: {differ:x?}"));
                    break;
                }
                let read = virt::parse(chip.id, &file).unwrap();
                assert_eq!(virt::encode(&read), file, "{place}: read and written");
                *(if result.is_ok() {
                    &mut accepted
                } else {
                    &mut refused
                }) += 1;
            }
        }
    }
    println!(
        "{} operations on {} chips: {accepted} accepted and {refused} refused alike, {} differences; \
         {refused_alone} keys refused that espefuse burns for another purpose, \
         {other_guards} sequences ended by the guards of other silicon",
        accepted + refused,
        CHIPS.len(),
        differences.len()
    );
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(accepted > 1000 && refused > 500, "{accepted} {refused}");
}

/// A chip with nothing burnt but, where it takes that to tell its eFuses apart, its revision.
fn silicon(chip: &Chip) -> Efuses {
    Efuses::as_shipped(chip.id, Some(chip.revisions.start), Mac([0; 6])).unwrap()
}

/// Whether two files differ only where espefuse's virtual ESP32-P4 of revision 3.0 keeps bits from being
/// burnt that guards of earlier silicon protect, or burns some that guards of this one do.
///
/// espefuse's own fields have the guards of revision 3.0; what it takes for hardware has the earlier.
fn guards_of_other_silicon(chip: &Chip, ours: &[u8], theirs: &[u8]) -> bool {
    let earlier = CHIPS
        .iter()
        .find(|other| other.id == chip.id && other.revisions.end == chip.revisions.start);
    let (Some(earlier), true) = (earlier, ours != theirs) else {
        return false;
    };
    let start = chip.efuse.registers.blocks[0] * 8;
    let bit = |file: &[u8], bit: usize| file[file.len() - 1 - bit / 8] >> (bit % 8) & 1 == 1;
    let guarded = |at: usize| {
        let fields = chip.efuse.fields.iter().chain(earlier.efuse.fields);
        fields
            .filter(|field| field.block == 0)
            .filter(|field| (field.bit..field.bit + field.width).any(|own| usize::from(own) == at))
            .filter_map(|field| field.write_protect)
            .any(|guard| bit(theirs, start + usize::from(guard)))
    };
    (0..ours.len() * 8)
        .filter(|at| bit(ours, *at) != bit(theirs, *at))
        .all(|at| (start + 32..start + 192).contains(&at) && guarded(at - start))
}

/// A Python process that holds espefuse.
struct Driver {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Driver {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/espefuse/driver.py");
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

    fn play(&mut self, chip: &str, file: &[u8], operations: &[Operation]) -> Vec<Value> {
        let operations: Vec<_> = operations.iter().map(Operation::to_json).collect();
        let file: String = file.iter().map(|byte| format!("{byte:02x}")).collect();
        let request = json!({ "chip": chip, "file": file, "operations": operations });
        writeln!(self.requests, "{request}").unwrap();
        self.requests.flush().unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let Value::Array(answers) = serde_json::from_str(&line).unwrap() else {
            unreachable!("a list of answers");
        };
        answers
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap())
        .collect()
}
