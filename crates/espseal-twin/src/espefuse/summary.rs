//! `summary`: every field with its meaning, as text, as JSON or as one value.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use espseal_format::chip::ChipId;
use espseal_format::efuse::{Field, KeyRole};

use super::EspefuseError;
use super::arguments::Request;
use super::purposes::name_of;
use super::session::{Session, file_error};
use super::table::{Category, Kind, Row, rows};
use super::value::crc8;
use crate::efuse::{BLOCK_SIZE, Efuses};

/// What a summary says of one field.
struct Entry {
    name: &'static str,
    category: Category,
    block: u8,
    /// First bit in the block; nothing for a value that lies in several places.
    place: Option<u16>,
    width: u16,
    form: &'static str,
    raw: Vec<u8>,
    value: Value,
    readable: bool,
    writeable: bool,
}

/// A value in JSON.
enum Value {
    Flag(bool),
    Number(u64),
    Text(String),
}

impl Value {
    fn text(&self) -> String {
        match self {
            Self::Flag(true) => "True".into(),
            Self::Flag(false) => "False".into(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Flag(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("\"{text}\""),
        }
    }
}

/// `summary`.
pub(super) fn summary(session: &mut Session<'_>, request: &Request) -> Result<(), EspefuseError> {
    let names = request.texts();
    let format = request.value("--format").map_or_else(
        || "summary".into(),
        |text| text.to_string_lossy().into_owned(),
    );
    let mut entries = entries(&session.efuses);
    if !names.is_empty() {
        entries.retain(|entry| names.iter().any(|name| name == entry.name));
    }
    if request.has("--active") {
        entries.retain(|entry| entry.raw.iter().any(|byte| *byte != 0) || !entry.readable);
    }
    let text = match format.as_str() {
        "json" => json(entries),
        "value_only" => match (names.len(), entries.as_slice()) {
            (1, [entry]) => format!("{}\n", entry.value.text()),
            (1, _) => {
                return Err(crate::efuse::EfuseError::NoSuchField(names.concat().into()).into());
            }
            (count, _) => return Err(EspefuseError::OneValue(count)),
        },
        "summary" => listing(&entries),
        _ => {
            return Err(EspefuseError::Choice {
                what: "format",
                value: format,
                expected: vec!["summary", "json", "value_only"],
            });
        }
    };
    match request.value("--file") {
        Some(path) => {
            let path = Path::new(path);
            fs::write(path, text).map_err(|error| file_error(path, error))
        }
        None => Ok(session.output.write_all(text.as_bytes())?),
    }
}

/// Whether Espressif burnt calibration values, so that they are listed.
pub(super) fn is_calibrated(efuses: &Efuses) -> bool {
    let read = |name| efuses.read(name).unwrap_or(0);
    let version = || (read("BLK_VERSION_MAJOR"), read("BLK_VERSION_MINOR"));
    match efuses.chip() {
        ChipId::Esp32 => read("BLK3_PART_RESERVE") == 1,
        ChipId::Esp32S3 | ChipId::Esp32C3 => version().0 >= 1,
        ChipId::Esp32H2 => version() >= (0, 2),
        _ => version() >= (0, 1),
    }
}

/// Everything that there is to say.
fn entries(efuses: &Efuses) -> Vec<Entry> {
    let map = efuses.map();
    let mut entries: Vec<Entry> = rows(efuses.model())
        .iter()
        .filter_map(|row| entry(efuses, row))
        .collect();
    if is_calibrated(efuses) {
        entries.extend(map.calibration.iter().map(|field| {
            let kind = match field.width {
                1 => Kind::Flag,
                65.. => Kind::Bytes,
                _ => Kind::Number,
            };
            plain(efuses, field, Category::Calibration, kind)
        }));
    }
    entries
}

fn entry(efuses: &Efuses, row: &'static Row) -> Option<Entry> {
    match row.kind {
        Kind::Parts(parts) => {
            let fields: Vec<&Field> = parts
                .iter()
                .filter_map(|part| efuses.map().field(part))
                .collect();
            let width = fields.iter().map(|field| field.width).sum();
            let value = fields.iter().rev().fold(0, |value, field| {
                value << field.width | efuses.read(field.name).unwrap_or(0)
            });
            Some(computed(
                row,
                0,
                width,
                "uint",
                &value.to_le_bytes(),
                Value::Number(value),
            ))
        }
        Kind::Revision => {
            let value = u64::from(efuses.revision() / 100);
            Some(computed(
                row,
                0,
                3,
                "uint",
                &value.to_le_bytes(),
                Value::Number(value),
            ))
        }
        Kind::Eui64 => {
            let mac = efuses.read("MAC").unwrap_or(0).to_le_bytes();
            let between = efuses.read("MAC_EXT").unwrap_or(0).to_le_bytes();
            let [a, b, c, d, e, f, ..] = mac;
            let [x, y, ..] = between;
            let bytes = [a, b, c, y, x, d, e, f];
            let value = Value::Text(address(&bytes, "OK"));
            Some(computed(row, 1, 64, "bytes", &bytes, value))
        }
        kind => {
            let field = efuses.map().field(row.name)?;
            Some(Entry {
                name: row.name,
                ..plain(efuses, field, row.category, kind)
            })
        }
    }
}

/// A value that lies in several places; nothing protects it as a whole.
fn computed(
    row: &'static Row,
    block: u8,
    width: u16,
    form: &'static str,
    raw: &[u8],
    value: Value,
) -> Entry {
    let length = usize::from(width.div_ceil(8));
    Entry {
        name: row.name,
        category: row.category,
        block,
        place: None,
        width,
        form,
        raw: raw.get(..length).unwrap_or(raw).to_vec(),
        value,
        readable: true,
        writeable: true,
    }
}

/// A field that lies in one place.
fn plain(efuses: &Efuses, field: &'static Field, category: Category, kind: Kind) -> Entry {
    let view = efuses.read_block(field.block.into());
    let coded = efuses.coding_scheme().data_size() * 8;
    let whole = usize::from(field.width) == BLOCK_SIZE * 8 && efuses.chip() == ChipId::Esp32;
    let width = match whole {
        true => u16::try_from(coded).unwrap_or(field.width),
        false => field.width,
    };
    let raw = bits(&view, field.bit, width);
    let number = raw
        .iter()
        .take(8)
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte));
    let readable = !efuses.is_field_hidden(field);
    let form = match kind {
        Kind::Flag => "bool",
        Kind::Bytes | Kind::Mac => "bytes",
        _ if width == 1 => "bool",
        _ => "uint",
    };
    let value = value(efuses, field, kind, &raw, number);
    let value = match (readable, form) {
        (true, _) => value,
        (false, "bytes") if kind == Kind::Bytes => Value::Text(hidden(efuses, field, &raw)),
        (false, "bytes") => {
            let unseen = vec!["??"; raw.len()].join(":");
            let verdict = match efuses.chip() {
                ChipId::Esp32 => "CRC ?x?? OK",
                _ => "OK",
            };
            Value::Text(format!("{unseen} ({verdict})"))
        }
        (false, "uint") if !matches!(value, Value::Text(_)) => Value::Text("?".into()),
        (false, _) => Value::Text(value.text()),
    };
    Entry {
        name: field.name,
        category,
        block: field.block,
        place: Some(field.bit),
        width,
        form,
        raw,
        value,
        readable,
        writeable: !field.write_protect.is_some_and(|bit| efuses.is_wr_dis(bit)),
    }
}

/// What a number or bytes mean.
fn value(efuses: &Efuses, field: &Field, kind: Kind, raw: &[u8], number: u64) -> Value {
    match kind {
        Kind::Flag => Value::Flag(number == 1),
        Kind::Bytes => Value::Text(spaced(raw)),
        Kind::Mac => mac(efuses, field, raw),
        Kind::Named(names) | Kind::NamedCount(names) => {
            let name = usize::try_from(number)
                .ok()
                .and_then(|number| names.get(number));
            match name {
                Some(name) if !name.is_empty() => Value::Text((*name).into()),
                _ => Value::Number(number),
            }
        }
        Kind::Purpose => {
            let mut keys = efuses.map().keys.iter();
            let number = keys.find_map(|entry| match entry.role {
                KeyRole::Purpose(whole) if whole.low == *field => {
                    let read = |part: &Field| part.get(&efuses.read_block(0)).unwrap_or(0);
                    Some(whole.join(read))
                }
                _ => None,
            });
            let name = name_of(efuses.chip(), efuses.map(), number.unwrap_or(u8::MAX));
            Value::Text(name.unwrap_or_else(|| "FORBIDDEN_STATE".into()))
        }
        Kind::Pin if number >= 30 => Value::Number(number + 2),
        Kind::Vref => {
            let steps = (number & 0xF) * 7;
            Value::Number(match number & 0x10 {
                0 => 1100 + steps,
                _ => 1100 - steps,
            })
        }
        _ => Value::Number(number),
    }
}

/// A MAC address, which lies in its field with the first byte lowest, but Espressif's with the last.
fn mac(efuses: &Efuses, field: &Field, raw: &[u8]) -> Value {
    let mut bytes = raw.to_vec();
    if field.name == "MAC" || field.name == "MAC_EXT" {
        bytes.reverse();
    }
    if efuses.chip() != ChipId::Esp32 {
        return Value::Text(address(&bytes, "OK"));
    }
    let stored = match field.name {
        "MAC" => efuses.read("MAC_CRC"),
        _ => efuses.read("CUSTOM_MAC_CRC"),
    };
    let stored = u8::try_from(stored.unwrap_or(0)).unwrap_or(0);
    let computed = crc8(&bytes);
    let verdict = match stored == computed {
        true => format!("CRC {stored:#04x} OK"),
        false => format!("CRC {stored:#04x} invalid - calculated {computed:#04x}"),
    };
    Value::Text(address(&bytes, &verdict))
}

/// Bytes of which some are hidden.
fn hidden(efuses: &Efuses, field: &Field, raw: &[u8]) -> String {
    let parts: Vec<String> = raw
        .iter()
        .zip(0_u16..)
        .map(|(byte, index)| {
            let bit = field.bit.saturating_add(index * 8);
            let own = Field {
                bit,
                width: 8,
                ..*field
            };
            match efuses.is_field_hidden(&own) {
                true => "??".into(),
                false => format!("{byte:02x}"),
            }
        })
        .collect();
    parts.join(" ")
}

/// `width` bits from `bit` on, lowest first.
fn bits(view: &[u8; BLOCK_SIZE], bit: u16, width: u16) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(width.div_ceil(8))];
    for index in 0..width {
        let from = bit.saturating_add(index);
        let set = view
            .get(usize::from(from / 8))
            .is_some_and(|byte| byte >> (from % 8) & 1 == 1);
        if let Some(byte) = bytes.get_mut(usize::from(index / 8)).filter(|_| set) {
            *byte |= 1 << (index % 8);
        }
    }
    bytes
}

fn spaced(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

fn address(bytes: &[u8], verdict: &str) -> String {
    format!("{} ({verdict})", spaced(bytes).replace(' ', ":"))
}

/// The raw value in hex.
fn raw(entry: &Entry) -> String {
    if entry.form == "bytes" {
        return format!("0x{}", spaced(&entry.raw).replace(' ', ""));
    }
    let digits = usize::from(entry.width.div_ceil(4));
    let hex = entry.raw.iter().rev().fold(String::new(), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let start = hex.len().saturating_sub(digits);
    format!("0x{}", hex.get(start..).unwrap_or_default())
}

fn form(entry: &Entry) -> String {
    match entry.form {
        "bytes" => format!("bytes:{}", entry.width / 8),
        "uint" => format!("uint:{}", entry.width),
        form => form.into(),
    }
}

/// The keys of espefuse's JSON, in its order. The description is the field's name.
fn json(mut entries: Vec<Entry>) -> String {
    entries.sort_by_key(|entry| entry.name);
    let number =
        |place: Option<u16>| place.map_or_else(|| "null".into(), |place| place.to_string());
    let objects: Vec<String> = entries
        .iter()
        .map(|entry| {
            let lines = [
                format!("\"bit_len\": {}", entry.width),
                format!("\"block\": {}", entry.block),
                format!("\"category\": \"{}\"", entry.category.name()),
                format!("\"description\": \"{}\"", entry.name),
                format!("\"efuse_type\": \"{}\"", form(entry)),
                format!("\"name\": \"{}\"", entry.name),
                format!("\"pos\": {}", number(entry.place.map(|bit| bit % 32))),
                format!("\"raw_value\": \"{}\"", raw(entry)),
                format!("\"readable\": {}", entry.readable),
                format!("\"value\": {}", entry.value.json()),
                format!("\"word\": {}", number(entry.place.map(|bit| bit / 32))),
                format!("\"writeable\": {}", entry.writeable),
            ];
            let lines = lines.join(",\n        ");
            format!("    \"{}\": {{\n        {lines}\n    }}", entry.name)
        })
        .collect();
    match objects.is_empty() {
        true => "{}\n".into(),
        false => format!("{{\n{}\n}}\n", objects.join(",\n")),
    }
}

/// The summary for people.
fn listing(entries: &[Entry]) -> String {
    let mut text =
        String::from("EFUSE_NAME (Block) = [Meaningful Value] [Readable/Writeable] (Hex Value)\n");
    for category in Category::ALL {
        let own: Vec<&Entry> = entries
            .iter()
            .filter(|entry| entry.category == category)
            .collect();
        if own.is_empty() {
            continue;
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n{} fuses:", category.name());
        for entry in own {
            let name = format!("{} (BLOCK{})", entry.name, entry.block);
            let access = match (entry.readable, entry.writeable) {
                (true, true) => "R/W",
                (true, false) => "R/-",
                (false, true) => "-/W",
                (false, false) => "-/-",
            };
            let raw = match entry.form {
                "bytes" => String::new(),
                _ => format!(" ({})", raw(entry)),
            };
            let _ = writeln!(text, "{name:<50} = {} {access}{raw}", entry.value.text());
        }
    }
    text
}

/// `get-custom-mac`.
pub(super) fn get_custom_mac(session: &mut Session<'_>) -> Result<(), EspefuseError> {
    let efuses = &session.efuses;
    let version = efuses.read("MAC_VERSION").unwrap_or(1);
    let shown = entries(efuses)
        .into_iter()
        .find(|entry| entry.name == "CUSTOM_MAC")
        .filter(|_| efuses.chip() != ChipId::Esp32 || version == 1);
    match shown {
        Some(entry) => writeln!(session.output, "Custom MAC Address: {}", entry.value.text())?,
        None => writeln!(
            session.output,
            "Custom MAC Address is not set in the device."
        )?,
    }
    Ok(())
}

/// `adc-info`.
pub(super) fn adc_info(session: &mut Session<'_>) -> Result<(), EspefuseError> {
    let efuses = &session.efuses;
    let shown: Vec<String> = entries(efuses)
        .into_iter()
        .filter(|entry| entry.category == Category::Calibration || entry.name == "ADC_VREF")
        .map(|entry| format!("{} = {}\n", entry.name, entry.value.text()))
        .collect();
    let version = (
        efuses.read("BLK_VERSION_MAJOR").unwrap_or(0),
        efuses.read("BLK_VERSION_MINOR").unwrap_or(0),
    );
    writeln!(session.output, "Block version: {}.{}", version.0, version.1)?;
    Ok(session.output.write_all(shown.concat().as_bytes())?)
}
