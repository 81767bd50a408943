//! What is shown of a dump, as text with colours and as JSON.

use console::{StyledObject, style};
use espseal_twin::boot::AppSlot;
use espseal_twin::inspect::dump::{Content, Encryption, FlashMap, Form, Place, Region};
use espseal_twin::inspect::finding::{Finding, Severity};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::command::image::{image_json, kind as image_kind};
use crate::command::partitions::{kind, subtype};

/// Shows a map.
pub(super) fn describe(map: &FlashMap) -> Answer {
    let mut answer = Answer::new(json(map)).listing(headline(map));
    for region in &map.regions {
        let row = format_args!(
            "{:#09x}  {:#09x}  {:<16} {:<20} {}",
            region.offset.get(),
            region.size,
            region.name(),
            colour(region),
            content(region)
        )
        .to_string();
        answer = answer.listing(row.trim_end());
    }
    for finding in &map.findings {
        answer = answer.listing(format_args!("{}: {finding}", mark(finding)));
    }
    answer
}

fn headline(map: &FlashMap) -> String {
    let chip = map
        .chip
        .map_or("unknown chip".into(), |chip| chip.to_string());
    let encryption = match map.encryption {
        Encryption::On => "flash encryption on",
        Encryption::Off => "flash encryption off",
        Encryption::Unknown => "no sign of flash encryption or of its absence",
    };
    let selected = match map.selected() {
        Some(slot) => format!(", boots {slot} first"),
        None => String::new(),
    };
    let megabytes = map.size >> 20;
    format!(
        "{chip}, {megabytes} MB ({:#x} bytes), {encryption}{selected}",
        map.size
    )
}

fn form(form: Form) -> String {
    match form {
        Form::Erased => "erased".into(),
        Form::Plain => "plain".into(),
        Form::Encrypted => "encrypted".into(),
        Form::EncryptedFor(address) => format!("encrypted for {address}"),
        Form::LooksEncrypted => "looks encrypted".into(),
        Form::Missing => "not in the dump".into(),
    }
}

/// Colours appear on a terminal only. Padded here: escape codes would count otherwise.
fn colour(region: &Region) -> StyledObject<String> {
    let text = format!("{:<20}", form(region.form));
    match region.form {
        Form::Erased | Form::Missing => style(text).dim(),
        Form::Plain => style(text).cyan(),
        Form::Encrypted => style(text).green(),
        Form::LooksEncrypted => style(text).yellow(),
        Form::EncryptedFor(_) => style(text).red(),
    }
}

fn mark(finding: &Finding) -> StyledObject<&'static str> {
    match finding.severity() {
        Severity::Error => style("error").red().bold(),
        Severity::Warning => style("warning").yellow(),
        Severity::Note => style("note").dim(),
    }
}

fn content(region: &Region) -> String {
    let purpose = match &region.place {
        Place::Partition(entry) => format!("{}/{}", kind(entry), subtype(entry)),
        _ => String::new(),
    };
    let found = match &region.content {
        Content::Nothing => String::new(),
        Content::Image(image) => {
            let name = match (&image.app, &image.bootloader) {
                (Some(Ok(app)), _) => format!("{} {}", app.project(), app.version()),
                (_, Some(Ok(bootloader))) => format!("ESP-IDF {}", bootloader.idf_version()),
                _ => image_kind(image).into(),
            };
            let signed = match image.signing_keys().count() {
                0 => "",
                _ => ", signed",
            };
            let state = match image.is_sound() {
                true => "valid",
                false => "INVALID",
            };
            let length = image.survey.layout.image_len;
            format!("{name}, {length:#x} bytes, {state}{signed}")
        }
        Content::BrokenImage(_) => "broken image".into(),
        Content::Table { partitions } => format!("{partitions} partitions"),
        Content::Otadata(view) => {
            let entries = view.entries.map(|entry| match entry.parse() {
                Ok(entry) => format!("seq {} {}", entry.seq, entry.state),
                Err(_) => "-".into(),
            });
            entries.join(" | ")
        }
        Content::Nvs(pages) => format!(
            "{} pages used, {} erased, {} damaged",
            pages.used, pages.erased, pages.damaged
        ),
    };
    format!("{purpose:<14} {found}").trim().to_owned()
}

fn json(map: &FlashMap) -> Value {
    let regions: Vec<_> = map.regions.iter().map(region_json).collect();
    let findings: Vec<_> = map
        .findings
        .iter()
        .map(|finding| {
            let severity = match finding.severity() {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "note",
            };
            json!({ "severity": severity, "message": finding.to_string() })
        })
        .collect();
    json!({
        "chip": map.chip.and_then(|chip| chip.target()),
        "size": map.size,
        "encryption": match map.encryption {
            Encryption::On => "on",
            Encryption::Off => "off",
            Encryption::Unknown => "unknown",
        },
        "boots-first": map.selected().map(|slot: AppSlot| slot.to_string()),
        "regions": regions,
        "findings": findings,
    })
}

fn region_json(region: &Region) -> Value {
    let content = match &region.content {
        Content::Image(image) => json!({ "image": image_json(image) }),
        Content::BrokenImage(error) => json!({ "broken-image": error.to_string() }),
        Content::Table { partitions } => json!({ "partitions": partitions }),
        Content::Nvs(pages) => json!({
            "nvs": { "used": pages.used, "erased": pages.erased, "damaged": pages.damaged },
        }),
        Content::Otadata(view) => json!({
            "otadata": view.entries.map(|entry| entry.parse().ok().map(|entry| json!({
                "seq": entry.seq, "state": entry.state.to_string(),
            }))),
        }),
        Content::Nothing => Value::Null,
    };
    let (kind, subtype) = match &region.place {
        Place::Partition(entry) => (Some(kind(entry)), Some(subtype(entry))),
        _ => (None, None),
    };
    json!({
        "name": region.name(),
        "type": kind,
        "subtype": subtype,
        "offset": region.offset.get(),
        "size": region.size,
        "form": match region.form {
            Form::EncryptedFor(_) => "encrypted-for-other-address",
            Form::Erased => "erased",
            Form::Plain => "plain",
            Form::Encrypted => "encrypted",
            Form::LooksEncrypted => "looks-encrypted",
            Form::Missing => "missing",
        },
        "encrypted-for": match region.form {
            Form::EncryptedFor(address) => Some(address.get()),
            _ => None,
        },
        "content": content,
    })
}
