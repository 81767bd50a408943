//! What is shown of an image, as text and as JSON.

use std::fmt::Write as _;
use std::path::Path;

use espseal_format::image::{Compared, Segment, memories};
use espseal_format::units::Digest;
use espseal_twin::inspect::image::{Inspection, Kind, Signature};
use serde_json::{Value, json};

use super::{Found, Stored};
use crate::answer::Answer;

impl Found {
    /// Shows the image.
    pub(super) fn describe(&self, file: &Path) -> Answer {
        Answer::new(self.json()).listing(self.text(file).trim_end())
    }

    fn text(&self, file: &Path) -> String {
        let image = &self.image;
        let layout = &image.survey.layout;
        let header = &layout.header;
        let chip = header.chip();
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<16} {value}");
        };
        let stored = match self.stored {
            Stored::Plain => String::new(),
            Stored::Encrypted => format!(", encrypted for {}", self.address),
        };
        line("image", format!("{}{stored}", file.display()));
        line("kind", format!("{} for {chip}", kind(image)));
        let size = layout.image_len;
        line("length", format!("{size:#x} ({size} bytes)"));
        line("entry", format!("{:#010x}", header.entry_addr.get()));
        let flash_size = header.flash_size().bytes();
        let flash_size = flash_size.map_or("unknown".into(), |size| format!("{} MB", size >> 20));
        let frequency = header.flash_frequency().mhz(chip);
        let frequency = frequency.map_or("unknown clock".into(), |mhz| format!("{mhz} MHz"));
        let mode = header.flash_mode();
        line("flash", format!("{mode}, {frequency}, {flash_size}"));
        line(
            "chip revisions",
            format!(
                "{} to {}",
                revision(header.min_chip_rev_full.get()),
                highest_revision(header.max_chip_rev_full.get())
            ),
        );
        for (index, segment) in layout.segments.iter().enumerate() {
            line(
                &format!("segment {index}"),
                format!(
                    "{:#08x} at {:#08x} -> {:#010x} {}",
                    segment.data_len,
                    segment.data_offset,
                    segment.load_addr,
                    memory_names(image, segment)
                ),
            );
        }
        line(
            "checksum",
            compared(&image.survey.checksum, |sum| format!("{sum:#04x}")),
        );
        line(
            "SHA-256",
            image
                .survey
                .hash
                .as_ref()
                .map_or("not appended".into(), |hash| {
                    compared(hash, Digest::to_string)
                }),
        );
        self.describe_descriptors(&mut line);
        self.describe_signatures(&mut line);
        text
    }

    fn describe_descriptors(&self, line: &mut impl FnMut(&str, String)) {
        match &self.image.app {
            Some(Ok(app)) => {
                line("project", app.project().into());
                line("version", app.version().into());
                line("secure version", app.secure_version().to_string());
                line("ESP-IDF", app.idf_version().into());
                line("compiled", format!("{} {}", app.date(), app.time()));
                line("ELF SHA-256", hex(app.elf_sha256()));
                let (lowest, highest) = app.efuse_block_revisions();
                let lowest = revision(lowest);
                line(
                    "eFuse revisions",
                    format!("{lowest} to {}", highest_revision(highest)),
                );
                if let Some(size) = app.mmu_page_size() {
                    line("MMU page", format!("{size:#x}"));
                }
            }
            Some(Err(error)) => line("descriptor", error.to_string()),
            None => {}
        }
        match &self.image.bootloader {
            Some(Ok(bootloader)) => {
                line("version", bootloader.version().to_string());
                line("secure version", bootloader.secure_version().to_string());
                line("ESP-IDF", bootloader.idf_version().into());
                line("compiled", bootloader.date_time().into());
            }
            Some(Err(error)) => line("descriptor", error.to_string()),
            None => {}
        }
    }

    fn describe_signatures(&self, line: &mut impl FnMut(&str, String)) {
        let image = &self.image;
        if let Some(Err(error)) = image.mapping {
            line("mapping", error.to_string());
        }
        match (image.kind, image.ends_on_page) {
            (Kind::App, Some(true)) => line("padding", "ends on an MMU page".into()),
            (Kind::App, Some(false)) => line("padding", "none: `espseal sign` adds it".into()),
            _ => {}
        }
        if let Some((_, digest)) = image.v1_signature {
            line(
                "signature v1",
                format!("ECDSA P-256 over {digest}; `image verify --key` checks it"),
            );
        }
        if !image.is_signed() {
            line("signature v2", "none".into());
            return;
        }
        for (index, signature) in image.signatures.iter().enumerate() {
            let name = format!("signature {index}");
            match signature {
                Signature::Verified { scheme, key } => {
                    line(&name, format!("{scheme}, valid, key {key}"))
                }
                Signature::Wrong { cause, .. } => line(&name, format!("INVALID: {cause}")),
                Signature::Unusable(error) => line(&name, format!("unusable: {error}")),
                _ => {}
            }
        }
    }

    /// Everything, for scripts.
    pub(super) fn json(&self) -> Value {
        let mut value = image_json(&self.image);
        if let Some(object) = value.as_object_mut() {
            object.insert(
                "encrypted".into(),
                (self.stored == Stored::Encrypted).into(),
            );
            object.insert("address".into(), self.address.get().into());
        }
        value
    }
}

/// An image as JSON; `flash show` uses it too.
pub(crate) fn image_json(image: &Inspection) -> Value {
    let layout = &image.survey.layout;
    let header = &layout.header;
    let chip = header.chip();
    let segments: Vec<_> = layout
        .segments
        .iter()
        .map(|segment| {
            let names: Vec<_> = memories(chip, segment.load_addr)
                .map(|memory| memory.to_string())
                .collect();
            json!({
                "load-address": segment.load_addr,
                "offset": segment.data_offset,
                "length": segment.data_len,
                "memories": names,
            })
        })
        .collect();
    let app = image
        .app
        .as_ref()
        .and_then(|app| app.as_ref().ok())
        .map(|app| {
            json!({
                "project": app.project(),
                "version": app.version(),
                "secure-version": app.secure_version().get(),
                "idf": app.idf_version(),
                "date": app.date(),
                "time": app.time(),
                "elf-sha256": hex(app.elf_sha256()),
            })
        });
    let bootloader = image
        .bootloader
        .as_ref()
        .and_then(|bootloader| bootloader.as_ref().ok());
    let bootloader = bootloader.map(|bootloader| {
        json!({
            "version": bootloader.version(),
            "secure-version": bootloader.secure_version(),
            "idf": bootloader.idf_version(),
            "compiled": bootloader.date_time(),
        })
    });
    json!({
        "kind": kind(image),
        "chip": chip.target(),
        "chip-id": chip.to_u16(),
        "length": layout.image_len,
        "entry": header.entry_addr.get(),
        "flash-mode": header.flash_mode().to_string(),
        "flash-frequency-mhz": header.flash_frequency().mhz(chip),
        "flash-size": header.flash_size().bytes(),
        "min-chip-revision": header.min_chip_rev_full.get(),
        "max-chip-revision": header.max_chip_rev_full.get(),
        "segments": segments,
        "checksum": { "stored": image.survey.checksum.stored, "valid": image.survey.checksum.holds() },
        "sha256": image.survey.hash.map(|hash| json!({
            "stored": hash.stored.to_string(), "valid": hash.holds(),
        })),
        "mapping-error": image.mapping.and_then(|mapping| mapping.err()).map(|error| error.to_string()),
        "app": app,
        "bootloader": bootloader,
        "ends-on-page": image.ends_on_page,
        "signatures": image.signatures.iter().map(signature_json).collect::<Vec<_>>(),
        "signature-v1": image.v1_signature.is_some(),
        "sound": image.is_sound(),
    })
}

fn signature_json(signature: &Signature) -> Value {
    match signature {
        Signature::Verified { scheme, key } => json!({
            "state": "valid", "scheme": scheme.to_string(), "key-digest": key.to_string(),
        }),
        Signature::Wrong { scheme, key, cause } => json!({
            "state": "invalid",
            "scheme": scheme.map(|scheme| scheme.to_string()),
            "key-digest": key.map(|key| key.to_string()),
            "cause": cause.to_string(),
        }),
        Signature::Unusable(error) => json!({ "state": "unusable", "cause": error.to_string() }),
        _ => json!({ "state": "absent" }),
    }
}

/// What kind of image it is, in a word.
pub(crate) fn kind(image: &Inspection) -> &'static str {
    match image.kind {
        Kind::App => "app",
        Kind::Bootloader => "bootloader",
    }
}

fn compared<T: PartialEq>(value: &Compared<T>, show: impl Fn(&T) -> String) -> String {
    let (stored, computed) = (show(&value.stored), show(&value.computed));
    match value.holds() {
        true => format!("{stored} (valid)"),
        false => format!(
            "{stored} at {:#x} (INVALID, the image gives {computed})",
            value.offset
        ),
    }
}

fn memory_names(image: &Inspection, segment: &Segment) -> String {
    let chip = image.survey.layout.header.chip();
    let names: Vec<_> = memories(chip, segment.load_addr)
        .map(|memory| memory.to_string())
        .collect();
    names.join(", ")
}

/// A revision, major * 100 + minor, as `v1.2`.
fn revision(number: u16) -> String {
    format!("v{}.{}", number / 100, number % 100)
}

/// A highest revision, which may be none.
fn highest_revision(number: u16) -> String {
    match number {
        0 | u16::MAX => "any".into(),
        number => revision(number),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
