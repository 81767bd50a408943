//! Why a command line of espefuse failed.

use std::io;
use std::path::PathBuf;

use espseal_format::chip::ChipId;

use crate::efuse::EfuseError;
use crate::efuse::virt::VirtFileError;

/// Why a command line of espefuse failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EspefuseError {
    /// The command line names no command.
    #[error("no command: name one, such as summary; --help lists them")]
    NoCommand,
    /// A command that espefuse does not have for this chip.
    #[error("no command {0} for this chip; --help lists them")]
    UnknownCommand(String),
    /// An option that the program or the command does not have.
    #[error("no option {0} here; --help lists them")]
    UnknownOption(String),
    /// An option lacks its value, or has one that it does not take.
    #[error("option {option} {problem}")]
    OptionValue {
        /// The option.
        option: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The call is for a chip on a serial port.
    #[error("espseal burns virtual chips only: add --virt or --path-efuse-file FILE")]
    NotVirtual,
    /// No chip of this name, or none that espseal knows well enough.
    #[error("chip {0} is not one that espseal has eFuse tables for")]
    UnknownChip(String),
    /// A value that is not one of those possible.
    #[error("{what} {value} is not one of: {}", expected.join(", "))]
    Choice {
        /// What was asked for.
        what: &'static str,
        /// What was given.
        value: String,
        /// What is possible.
        expected: Vec<&'static str>,
    },
    /// Values come in groups, and one is incomplete, or there is none.
    #[error("{command} takes {expected}, not {found} words")]
    Words {
        /// The command.
        command: &'static str,
        /// What it takes.
        expected: &'static str,
        /// Words given.
        found: usize,
    },
    /// A word that is no number.
    #[error("{0} is no number")]
    NoNumber(String),
    /// A name or block is given twice in one command.
    #[error("{0} is given twice")]
    Repeated(String),
    /// espefuse takes a lone name before another command apart into letters and refuses them.
    #[error(
        "espefuse 5.6.0 cannot take a single name in {command} when another command follows: call it by itself"
    )]
    LoneName {
        /// The command.
        command: &'static str,
    },
    /// The field takes another kind of value, or another value.
    #[error("{field} cannot be set to {value}: expected {expected}")]
    Value {
        /// Name of the field.
        field: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// The number does not fit the field.
    #[error("{value} does not fit the {width} bits of {field}")]
    TooWide {
        /// Name of the field.
        field: &'static str,
        /// What was given.
        value: String,
        /// Bits in the field.
        width: u16,
    },
    /// espefuse does not burn this field.
    #[error("burning {0} is not supported")]
    Unsupported(&'static str),
    /// The hardware gets this purpose wrong in this block.
    #[error("{field} cannot be {purpose}: the hardware gets it wrong")]
    HardwareBug {
        /// Name of the purpose field.
        field: &'static str,
        /// Name of the purpose.
        purpose: String,
    },
    /// Burnt bits are 0 in the new value.
    #[error("{0}: the new value clears bits that are burnt; --force-write-always burns the others")]
    CannotClear(&'static str),
    /// What is there cannot be seen.
    #[error(
        "{0} is read-protected: burning it could damage what is there; --force-write-always burns all the same"
    )]
    Hidden(&'static str),
    /// No bit can be added.
    #[error("{0} is write-protected and can never be burnt again")]
    WriteProtected(&'static str),
    /// The coding of the block lets it be burnt only once.
    #[error(
        "{0} is burnt already, and its coding does not allow to add bits; --force-write-always does it all the same"
    )]
    BurntBefore(&'static str),
    /// Software has to read the key.
    #[error("{0} must stay readable")]
    MustBeReadable(&'static str),
    /// `RD_DIS` can no longer be burnt.
    #[error("RD_DIS is write-protected: nothing can be read-protected any more")]
    ReadDisableLocked,
    /// The burn came out otherwise; it is done.
    #[error("{0} did not take the value; the rest was burnt")]
    Unsuccessful(&'static str),
    /// The data does not fit the block.
    #[error("{block} has {size} bytes: {found} bytes at offset {offset} do not fill it to the end")]
    DataLength {
        /// Name of the block.
        block: &'static str,
        /// Bytes in the block.
        size: usize,
        /// Where the data is to start.
        offset: usize,
        /// Bytes of data.
        found: usize,
    },
    /// The bit is past the end of the block.
    #[error("{block} has bits 0 to {last}, not {bit}")]
    NoSuchBit {
        /// Name of the block.
        block: &'static str,
        /// Its last bit.
        last: usize,
        /// What was asked for.
        bit: i64,
    },
    /// An offset makes no sense with several blocks.
    #[error("--offset is for one block, not {0}")]
    OffsetOfSeveral(usize),
    /// The key file is too long or too short.
    #[error("a key for {purpose} has {expected} bytes, {} has {found}", path.display())]
    KeyLength {
        /// The purpose.
        purpose: String,
        /// The file.
        path: PathBuf,
        /// Bytes that the chip takes.
        expected: usize,
        /// Bytes in the file.
        found: usize,
    },
    /// The file holds no key of the kind asked for.
    #[error("{} holds no {expected} in PEM format", .0.path.display(), expected = .0.expected)]
    NoKey(Box<NoKey>),
    /// No free block for the second half of a key.
    #[error("no free block for the second half of the key")]
    NoSecondBlock,
    /// The chip is too old for secure boot v2.
    #[error("secure boot v2 needs chip revision 3.0, this chip has {}.{}", .0 / 100, .0 % 100)]
    OldRevision(u16),
    /// Secure boot v2 needs whole blocks.
    #[error("the digest has 32 bytes: coding scheme 3/4 leaves 24")]
    CodedBlock,
    /// The regulator's eFuses contradict the voltage.
    #[error("cannot set the flash regulator to {voltage}: {field} is burnt")]
    Regulator {
        /// What was asked for.
        voltage: &'static str,
        /// What stands against it.
        field: &'static str,
    },
    /// The ESP32's coding scheme "repeat".
    #[error("coding scheme 2 (repeat) is not supported")]
    RepeatCoding,
    /// `--format value_only` shows one field.
    #[error("--format value_only takes exactly one eFuse name, not {0}")]
    OneValue(usize),
    /// Nobody answered the question before the burn.
    #[error("not confirmed: answer BURN, or give --do-not-confirm")]
    NoAnswer,
    /// A table of custom fields.
    #[error("--extend-efuse-table is not supported")]
    CustomTable,
    /// An eFuse dump as a token.
    #[error("--token and --show-token are not supported on virtual chips of espseal")]
    Token,
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The answer could not be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
    /// The eFuse file is not one of this chip.
    #[error("{}: {error}", path.display())]
    EfuseFile {
        /// The file.
        path: PathBuf,
        /// Why.
        error: VirtFileError,
    },
    /// The twin does not know the chip.
    #[error("no eFuse tables for {0}")]
    NoTable(ChipId),
    /// The silicon refuses.
    #[error(transparent)]
    Efuse(#[from] EfuseError),
}

/// A file without the key asked for.
#[derive(Debug)]
pub struct NoKey {
    pub(super) path: PathBuf,
    pub(super) expected: &'static str,
}

impl EspefuseError {
    /// The exit code of espefuse: 2, and 1 where Python itself fails.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NoNumber(_)
            | Self::NoAnswer
            | Self::File { .. }
            | Self::Output(_)
            | Self::EfuseFile { .. } => 1,
            _ => 2,
        }
    }
}
