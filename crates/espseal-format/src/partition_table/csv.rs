//! The partition table, CSV form.
//!
//! ```text
//! # Name, Type, SubType, Offset, Size, Flags
//! nvs,data,nvs,,0x6000,
//! ```
//!
//! Follows `gen_esp32part.py`: `#` lines and empty lines are skipped; numbers are decimal, `0x`,
//! `0o` or `0b`, with the suffixes K and M; an empty offset is the end of the partition before,
//! aligned; a negative size gives the end; an empty subtype of data is `undefined`. Environment
//! variables are not expanded.
//!
//! Source: ESP-IDF `gen_esp32part.py`.

use core::fmt::{self, Write};

use super::{Checksum, Entry, Flags, Label, PartitionTable, PartitionType, Subtype, VerifyError};
use crate::units::FlashOffset;

mod number;
mod parse;

/// Offsets that a CSV table leaves to the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Where the table itself lies.
    pub table: FlashOffset,
    /// Where the bootloader lies; needed for a partition of type `bootloader`.
    pub bootloader: Option<FlashOffset>,
    /// Where the recovery bootloader lies; needed for a partition of that subtype.
    pub recovery_bootloader: Option<FlashOffset>,
}

impl PartitionTable {
    /// Reads and verifies a CSV table that is to lie at `table_offset`.
    ///
    /// # Errors
    /// [`CsvError`] with the number of the line, or the rule that the table breaks.
    pub fn parse_csv(text: &str, table_offset: FlashOffset) -> Result<Self, CsvError> {
        let places = Places {
            table: table_offset,
            bootloader: None,
            recovery_bootloader: None,
        };
        Self::parse_csv_with(text, &places)
    }

    /// Reads and verifies a CSV table that may name bootloader partitions.
    ///
    /// # Errors
    /// As [`parse_csv`](Self::parse_csv).
    pub fn parse_csv_with(text: &str, places: &Places) -> Result<Self, CsvError> {
        let table = Self::parse_csv_unverified(text, places)?;
        table.verify(places.table).map_err(CsvError::Verify)?;
        Ok(table)
    }

    /// Reads a CSV table without checking the rules of [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`CsvError`] with the number of the line.
    pub fn parse_csv_unverified(text: &str, places: &Places) -> Result<Self, CsvError> {
        if places.bootloader.is_some_and(|start| start >= places.table) {
            return Err(CsvError::BootloaderAboveTable);
        }
        parse::parse(text, places)
    }

    /// Writes the table as CSV, character for character as `gen_esp32part.py` does.
    ///
    /// Flags other than `encrypted` and `readonly` have no CSV form and are left out.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_csv(&self, out: &mut impl Write) -> fmt::Result {
        out.write_str("# ESP-IDF Partition Table\n# Name, Type, SubType, Offset, Size, Flags\n")?;
        self.entries
            .iter()
            .try_for_each(|entry| write_row(entry, out))
    }
}

fn write_row(entry: &Entry, out: &mut impl Write) -> fmt::Result {
    write!(out, "{},", entry.label)?;
    match entry.kind.name() {
        Some(name) => out.write_str(name)?,
        None => write!(out, "{}", entry.kind.to_u8())?,
    }
    match entry.subtype.name(entry.kind) {
        Some(name) => write!(out, ",{name}")?,
        None => write!(out, ",{}", entry.subtype.0)?,
    }
    write!(out, ",{:#x},", entry.offset.get())?;
    let size = entry.size;
    if size.trailing_zeros() >= 20 {
        write!(out, "{}M", size >> 20)?;
    } else if size.trailing_zeros() >= 10 {
        write!(out, "{}K", size >> 10)?;
    } else {
        write!(out, "{size:#x}")?;
    }
    let mut separator = ',';
    for (flag, name) in FLAG_NAMES {
        if entry.flags.contains(flag) {
            write!(out, "{separator}{name}")?;
            separator = ':';
        }
    }
    out.write_str(if separator == ',' { ",\n" } else { "\n" })
}

/// The flags that a CSV table can name.
const FLAG_NAMES: [(Flags, &str); 2] = [
    (Flags::ENCRYPTED, "encrypted"),
    (Flags::READONLY, "readonly"),
];

/// Why a text is no partition table. Lines count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CsvError {
    /// A field cannot be read.
    Field {
        /// The line.
        line: usize,
        /// The column.
        column: Column,
    },
    /// A field has to be given.
    Missing {
        /// The line.
        line: usize,
        /// The column.
        column: Column,
    },
    /// `$NAME` in a line: environment variables are not expanded.
    Variable {
        /// The line.
        line: usize,
    },
    /// A partition starts before the one before it ends.
    Overlap {
        /// The line.
        line: usize,
        /// Where the partition is to start.
        offset: u32,
        /// First free offset.
        free_from: u32,
    },
    /// A partition does not fit the 32-bit address space.
    OutOfRange {
        /// The line.
        line: usize,
    },
    /// A bootloader partition, but no offset to put it at.
    NoBootloaderOffset {
        /// The line.
        line: usize,
    },
    /// The bootloader's offset is not below that of the table.
    BootloaderAboveTable,
    /// There are more partitions than fit.
    TooMany {
        /// The line.
        line: usize,
    },
    /// There are no partitions.
    Empty,
    /// The table breaks a rule.
    Verify(VerifyError),
}

/// A column of a CSV table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The first.
    Name,
    /// The second.
    Type,
    /// The third.
    SubType,
    /// The fourth.
    Offset,
    /// The fifth.
    Size,
    /// The sixth.
    Flags,
}

impl fmt::Display for CsvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { line, column } => {
                write!(
                    f,
                    "line {line}: {column:?} cannot be read: {}",
                    column.expected()
                )
            }
            Self::Missing { line, column } => {
                write!(
                    f,
                    "line {line}: {column:?} is missing: {}",
                    column.expected()
                )
            }
            Self::Variable { line } => write!(
                f,
                "line {line}: variables are not expanded, write the value in place of `$`"
            ),
            Self::Overlap {
                line,
                offset,
                free_from,
            } => write!(
                f,
                "line {line}: offset {offset:#x} is taken, use {free_from:#x} or higher"
            ),
            Self::OutOfRange { line } => {
                write!(
                    f,
                    "line {line}: partition ends past the 32-bit address space"
                )
            }
            Self::NoBootloaderOffset { line } => write!(
                f,
                "line {line}: a bootloader partition needs the bootloader's offset below the table"
            ),
            Self::BootloaderAboveTable => {
                f.write_str("the bootloader's offset has to be below that of the partition table")
            }
            Self::TooMany { line } => write!(
                f,
                "line {line}: at most {} partitions fit",
                super::MAX_ENTRIES
            ),
            Self::Empty => f.write_str("the table names no partition"),
            Self::Verify(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for CsvError {}

impl Column {
    /// What the column takes.
    const fn expected(self) -> &'static str {
        match self {
            Self::Name => "expected at most 16 bytes",
            Self::Type => "expected app, data, bootloader, partition_table or a number up to 0xfe",
            Self::SubType => "expected a subtype of this type or a number up to 0xfe",
            Self::Offset => "expected nothing or a number",
            Self::Size => "expected a number, such as 0x6000, 24K or 1M",
            Self::Flags => "expected nothing or encrypted, readonly, joined by `:`",
        }
    }
}

#[cfg(test)]
mod tests;
