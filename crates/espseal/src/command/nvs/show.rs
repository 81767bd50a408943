//! `espseal nvs show`: what an NVS image holds.

use std::path::PathBuf;

use clap::Args;
use comfy_table::Table;
use espseal_format::nvs::{PageState, VERSION_1, VERSION_2};
use espseal_publish::nvs::reading::{self, Contents, Entry, PageSummary, Stored};
use serde_json::{Value, json};

use super::super::flash_options::read_input;
use super::KeySource;
use crate::answer::Answer;
use crate::cli::Outcome;

/// Bytes of a blob that a table row shows.
const SHOWN: usize = 24;

/// Shows the entries of an NVS partition image, plain or with its keys.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal nvs show nvs.bin
  espseal nvs show nvs.bin --keys nvs-keys.bin
  espseal nvs show nvs.bin --hmac-key hmac.bin --json | jq '.entries[] | select(.key == \"name\")'

Values are shown as they are, secrets among them. Long blobs are cut; --json has all of them, in
hexadecimal. Exits with 1 when an entry is damaged, or encrypted with another key.")]
pub(crate) struct Show {
    /// Image of an NVS partition; `-` for standard input.
    file: PathBuf,
    #[command(flatten)]
    keys: KeySource,
}

impl Show {
    pub(super) fn run(self) -> Outcome {
        let cipher = self.keys.cipher()?;
        let image = read_input(&self.file, "an NVS partition image")?;
        let contents = reading::read(&image, cipher.as_ref());
        let mut answer = Answer::new(document(&contents)).listing(table(&contents.entries));
        for (number, page) in contents.pages.iter().enumerate() {
            if let Some(line) = describe(page) {
                answer = answer.line(format_args!("page {number}: {line}"));
            }
        }
        let erased = contents
            .pages
            .iter()
            .filter(|page| page.header.is_none())
            .count();
        answer = answer.line(format_args!("{erased} pages are erased"));
        for finding in &contents.findings {
            answer = answer.line(format_args!("wrong: {finding}"));
        }
        Ok(match contents.findings.is_empty() {
            true => answer,
            false => answer.refused(),
        })
    }
}

fn table(entries: &[Entry]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["namespace", "key", "type", "value"]);
    for entry in entries {
        table.add_row([
            namespace(entry),
            entry.key.to_string(),
            entry.kind.to_string(),
            shown(&entry.value),
        ]);
    }
    table
}

fn namespace(entry: &Entry) -> String {
    match entry.namespace {
        Some(name) => name.to_string(),
        None => format!("({})", entry.number),
    }
}

fn shown(value: &Stored) -> String {
    match value {
        Stored::Number(number) => number.to_string(),
        Stored::Text(text) => format!("{:?}", text.as_str()),
        Stored::Bytes(bytes) if bytes.len() > SHOWN => {
            let start = hex(bytes.get(..SHOWN).unwrap_or_default());
            format!("{start}.. ({} bytes)", bytes.len())
        }
        Stored::Bytes(bytes) => hex(bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn describe(page: &PageSummary) -> Option<String> {
    let header = page.header?;
    Some(format!(
        "{}, sequence {}, version {}, {} entries written, {} erased",
        state(header.state),
        header.seq,
        version(header.version),
        page.written,
        page.erased,
    ))
}

const fn state(state: PageState) -> &'static str {
    match state {
        PageState::Active => "active",
        PageState::Full => "full",
        PageState::Freeing => "freeing",
        PageState::Corrupt => "corrupt",
    }
}

fn version(byte: u8) -> String {
    match byte {
        VERSION_1 => "1".into(),
        VERSION_2 => "2".into(),
        other => format!("{other:#04x}"),
    }
}

fn document(contents: &Contents) -> Value {
    let pages = contents.pages.iter().map(|page| match page.header {
        None => json!({ "state": "erased" }),
        Some(header) => json!({
            "state": state(header.state),
            "sequence": header.seq,
            "version": version(header.version),
            "written": page.written,
            "erased": page.erased,
        }),
    });
    let entries = contents.entries.iter().map(|entry| {
        let value = match &entry.value {
            // Numbers of 64 bits do not survive every JSON reader as numbers.
            Stored::Number(number) => json!(number.to_string()),
            Stored::Text(text) => json!(text.as_str()),
            Stored::Bytes(bytes) => json!(hex(bytes)),
        };
        json!({
            "namespace": entry.namespace.map(|name| name.to_string()),
            "key": entry.key.to_string(),
            "type": entry.kind.to_string(),
            "value": value,
        })
    });
    let findings = contents.findings.iter().map(ToString::to_string);
    json!({
        "pages": pages.collect::<Vec<_>>(),
        "entries": entries.collect::<Vec<_>>(),
        "findings": findings.collect::<Vec<_>>(),
    })
}
