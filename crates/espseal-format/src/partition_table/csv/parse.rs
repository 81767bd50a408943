//! Reads lines into entries and gives them places.

use super::{
    Checksum, Column, CsvError, Entry, FLAG_NAMES, Flags, FlashOffset, Label, PartitionTable,
    PartitionType, Places, Subtype, number,
};
use crate::partition_table::verify::{TABLE_SECTOR, offset_alignment};

/// A line before offsets are filled in.
struct Row<'a> {
    line: usize,
    name: &'a str,
    kind: PartitionType,
    subtype: Subtype,
    offset: Option<i64>,
    size: i64,
    flags: Flags,
}

/// Reads all lines.
pub(super) fn parse(text: &str, places: &Places) -> Result<PartitionTable, CsvError> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut table = PartitionTable {
        entries: heapless::Vec::new(),
        checksum: Checksum::Md5,
    };
    let mut free_from = i64::from(places.table.get()).saturating_add(i64::from(TABLE_SECTOR));
    for (line, text) in (1..).zip(Lines(Some(text))) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let row = Row::parse(line, text, places)?;
        let entry = row.place(&mut free_from)?;
        table
            .entries
            .push(entry)
            .map_err(|_| CsvError::TooMany { line })?;
    }
    if table.entries.is_empty() {
        return Err(CsvError::Empty);
    }
    Ok(table)
}

/// The lines of a text as Python's `splitlines` finds them.
struct Lines<'a>(Option<&'a str>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.filter(|text| !text.is_empty())?;
        let Some((line, rest)) = text.split_once(BREAKS) else {
            self.0 = None;
            return Some(text);
        };
        let broken_by = text.get(line.len()..).unwrap_or_default();
        self.0 = Some(match broken_by.starts_with("\r\n") {
            true => rest.strip_prefix('\n').unwrap_or(rest),
            false => rest,
        });
        Some(line)
    }
}

/// Characters that end a line.
const BREAKS: [char; 10] = [
    '\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}',
];

impl<'a> Row<'a> {
    fn parse(line: usize, text: &'a str, places: &Places) -> Result<Self, CsvError> {
        if has_variable(text) {
            return Err(CsvError::Variable { line });
        }
        let mut fields = text.split(',').map(str::trim);
        let mut field = || fields.next().unwrap_or_default();
        let (name, kind, subtype, offset, size, flags) =
            (field(), field(), field(), field(), field(), field());
        let kind = parse_type(line, kind)?;
        let subtype = parse_subtype(line, kind, subtype)?;
        Ok(Self {
            line,
            name,
            kind,
            subtype,
            offset: parse_offset(line, kind, subtype, offset, places)?,
            size: parse_size(line, kind, size, places)?,
            flags: parse_flags(line, flags)?,
        })
    }

    /// Fills in the offset and moves `free_from` behind the partition.
    fn place(self, free_from: &mut i64) -> Result<Entry, CsvError> {
        let Self { line, kind, .. } = self;
        let out_of_range = CsvError::OutOfRange { line };
        let is_primary = matches!(
            kind,
            PartitionType::Bootloader | PartitionType::PartitionTable
        ) && self.subtype == Subtype::PRIMARY;
        let alignment = i64::from(offset_alignment(kind));
        let offset = match self.offset {
            None => next_multiple(*free_from, alignment).ok_or(out_of_range)?,
            Some(offset) if offset < *free_from && !is_primary => {
                return Err(CsvError::Overlap {
                    line,
                    offset: u32::try_from(offset).map_err(|_| out_of_range)?,
                    free_from: u32::try_from(*free_from).map_err(|_| out_of_range)?,
                });
            }
            Some(offset) => offset,
        };
        let size = match self.size {
            end if end < 0 && !is_primary => end
                .checked_neg()
                .and_then(|end| end.checked_sub(offset))
                .ok_or(out_of_range)?,
            size => size,
        };
        if !is_primary {
            *free_from = offset.checked_add(size).ok_or(out_of_range)?;
        }
        Ok(Entry {
            kind,
            subtype: self.subtype,
            offset: FlashOffset::new(u32::try_from(offset).map_err(|_| out_of_range)?),
            size: u32::try_from(size).map_err(|_| out_of_range)?,
            label: truncated_label(self.name).ok_or(CsvError::Field {
                line,
                column: Column::Name,
            })?,
            flags: self.flags,
        })
    }
}

fn parse_type(line: usize, text: &str) -> Result<PartitionType, CsvError> {
    let column = Column::Type;
    if text.is_empty() {
        return Err(CsvError::Missing { line, column });
    }
    match number::parse(text) {
        Some(value) => u8::try_from(value).ok().map(PartitionType::from_u8),
        None => PartitionType::from_name(text),
    }
    .ok_or(CsvError::Field { line, column })
}

fn parse_subtype(line: usize, kind: PartitionType, text: &str) -> Result<Subtype, CsvError> {
    let column = Column::SubType;
    if text.is_empty() {
        return match kind {
            PartitionType::App => Err(CsvError::Missing { line, column }),
            _ => Ok(Subtype::UNDEFINED),
        };
    }
    match number::parse(text) {
        Some(value) => u8::try_from(value).ok().map(Subtype),
        None => Subtype::from_name(kind, text),
    }
    .ok_or(CsvError::Field { line, column })
}

fn parse_offset(
    line: usize,
    kind: PartitionType,
    subtype: Subtype,
    text: &str,
    places: &Places,
) -> Result<Option<i64>, CsvError> {
    let given = match (kind, subtype) {
        (PartitionType::Bootloader, Subtype::PRIMARY) => Some(places.bootloader),
        (PartitionType::Bootloader, Subtype::RECOVERY) => Some(places.recovery_bootloader),
        (PartitionType::PartitionTable, Subtype::PRIMARY) => Some(Some(places.table)),
        _ => None,
    };
    if let Some(place) = given {
        let place = place.ok_or(CsvError::NoBootloaderOffset { line })?;
        return Ok(Some(i64::from(place.get())));
    }
    if text.is_empty() {
        return Ok(None);
    }
    let offset = number::parse(text).ok_or(CsvError::Field {
        line,
        column: Column::Offset,
    })?;
    Ok(Some(offset))
}

fn parse_size(
    line: usize,
    kind: PartitionType,
    text: &str,
    places: &Places,
) -> Result<i64, CsvError> {
    let column = Column::Size;
    match kind {
        PartitionType::Bootloader => places
            .bootloader
            .and_then(|start| places.table.get().checked_sub(start.get()))
            .map(i64::from)
            .ok_or(CsvError::NoBootloaderOffset { line }),
        PartitionType::PartitionTable => Ok(i64::from(TABLE_SECTOR)),
        _ if text.is_empty() => Err(CsvError::Missing { line, column }),
        _ => number::parse(text).ok_or(CsvError::Field { line, column }),
    }
}

fn parse_flags(line: usize, text: &str) -> Result<Flags, CsvError> {
    let names = text.split(':').filter(|name| !name.is_empty());
    names.into_iter().try_fold(Flags::default(), |flags, name| {
        FLAG_NAMES
            .iter()
            .find(|known| known.1 == name)
            .map(|known| flags.union(known.0))
            .ok_or(CsvError::Field {
                line,
                column: Column::Flags,
            })
    })
}

/// Cuts a name to 16 bytes, as `gen_esp32part.py` does, though not within a character.
fn truncated_label(name: &str) -> Option<Label> {
    match name.get(..16) {
        Some(head) => Label::new(head),
        None => Label::new(name),
    }
}

/// Whether a line holds `$NAME`, which the original would look up or refuse.
fn has_variable(text: &str) -> bool {
    text.split('$')
        .skip(1)
        .any(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '{'))
}

fn next_multiple(value: i64, of: i64) -> Option<i64> {
    let rest = value.checked_rem_euclid(of)?;
    match rest {
        0 => Some(value),
        rest => value.checked_add(of.checked_sub(rest)?),
    }
}
