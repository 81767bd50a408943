//! `dump`: the blocks as software reads them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::EspefuseError;
use super::arguments::Request;
use super::session::{Session, file_error};

/// `dump`.
pub(super) fn dump(session: &mut Session<'_>, request: &Request) -> Result<(), EspefuseError> {
    let format = request.value("--format").map_or_else(
        || "default".into(),
        |text| text.to_string_lossy().into_owned(),
    );
    let path = request.value("--file-name").map(PathBuf::from);
    let blocks: Vec<Vec<u8>> = session
        .efuses
        .map()
        .blocks
        .iter()
        .enumerate()
        .map(|(number, block)| {
            let view = session.efuses.read_block(number);
            let length = usize::from(block.words) * 4;
            view.get(..length).unwrap_or(&view).to_vec()
        })
        .collect();
    let write =
        |path: &Path, bytes: &[u8]| fs::write(path, bytes).map_err(|error| file_error(path, error));
    match (format.as_str(), path) {
        ("default" | "split", Some(path)) => {
            for (number, block) in blocks.iter().enumerate() {
                write(&numbered(&path, number), block)?;
            }
            Ok(())
        }
        ("joint", Some(path)) => write(&path, &blocks.concat()),
        ("default" | "split" | "joint", None) => {
            let text = listing(session, &blocks);
            Ok(session.output.write_all(text.as_bytes())?)
        }
        ("token", _) => Err(EspefuseError::Token),
        _ => Err(EspefuseError::Choice {
            what: "format",
            value: format,
            expected: vec!["default", "split", "joint"],
        }),
    }
}

/// The words of each block.
fn listing(session: &Session<'_>, blocks: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for (number, block) in blocks.iter().enumerate() {
        let words: Vec<String> = block
            .chunks(4)
            .map(|word| {
                word.iter().rev().fold(String::new(), |mut hex, byte| {
                    // Writing to a string does not fail.
                    let _ = write!(hex, "{byte:02x}");
                    hex
                })
            })
            .collect();
        let name = session.block_name(number);
        let _ = writeln!(text, "{name:<15} [{number:<2}] dump: {}", words.join(" "));
    }
    text
}

/// `dump.bin` becomes `dump3.bin` for block 3.
fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push(number.to_string());
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}
