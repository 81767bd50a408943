//! Why no image is made.

use std::path::PathBuf;

use espseal_format::nvs::item::LAST_NAMESPACE;

use super::image::{LARGEST_PARTITION, MAX_CHUNKS};
use crate::blame::Blame;
use crate::files::FileError;

/// Failure of making an NVS image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NvsError {
    /// The partition has no whole pages, or none, or too many.
    #[error(
        "an NVS partition cannot have {found:#x} bytes; expected a multiple of 0x1000 up to \
         {LARGEST_PARTITION:#x}, and at least 0x3000 unless firmware only reads it"
    )]
    Size {
        /// The size.
        found: u32,
    },
    /// A CSV file is not UTF-8.
    #[error("{} is no UTF-8 text; expected CSV in UTF-8", path.display())]
    Text {
        /// The file.
        path: PathBuf,
    },
    /// A row cannot become entries. The value is not shown: it may be secret.
    #[error("{}, line {line}: {cause}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Number of the line that the row starts on, from 1.
        line: usize,
        /// What is wrong.
        cause: RowProblem,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl NvsError {
    /// Who can put it right.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Size { .. } | Self::Text { .. } => Blame::Usage,
            Self::Row {
                cause: RowProblem::File(_),
                ..
            }
            | Self::File(_) => Blame::Io,
            Self::Row { .. } => Blame::Usage,
        }
    }
}

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowProblem {
    /// The first row does not name a column.
    #[error(
        "there is no column `{name}`; expected key, type, encoding and value in the first line"
    )]
    NoColumn {
        /// The column.
        name: &'static str,
    },
    /// The row has more fields than there are columns.
    #[error(
        "the row has {found} fields, expected {expected}: put a value with a comma in it into quotes"
    )]
    Surplus {
        /// Fields.
        found: usize,
        /// Columns.
        expected: usize,
    },
    /// The key cannot be stored.
    #[error("the key `{found}` is no key: expected 1 to 15 ASCII characters")]
    Key {
        /// The key.
        found: String,
    },
    /// The type is none.
    #[error("the type `{found}` is unknown; expected namespace, data or file")]
    Kind {
        /// The type.
        found: String,
    },
    /// The encoding is none.
    #[error(
        "the encoding `{found}` is unknown; expected u8, i8, u16, i16, u32, i32, u64, i64, string, \
         hex2bin, base64, binary, blob_fill(n;0xNN) or blob_sz_fill(n;0xNN), these six in lower case"
    )]
    Encoding {
        /// The encoding.
        found: String,
    },
    /// There is no value.
    #[error("`{key}` has no value")]
    NoValue {
        /// The key.
        key: String,
    },
    /// The value is not what its encoding says.
    #[error("the value of `{key}` is no {expected}")]
    Value {
        /// The key.
        key: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// The value is too long.
    #[error("the value of `{key}` has {found} bytes, expected at most {limit}{}", chunks(*limit))]
    Long {
        /// The key.
        key: String,
        /// Bytes, with the NUL of a string.
        found: usize,
        /// The most that this version of the format stores.
        limit: usize,
    },
    /// A key stands before the first namespace.
    #[error(
        "`{key}` stands before the first namespace, where firmware never finds it; begin with a row \
         `name,namespace,,`"
    )]
    NoNamespace {
        /// The key.
        key: String,
    },
    /// A namespace is begun again after another one.
    #[error(
        "`{key}` follows a second `{namespace},namespace` row; esp-idf-nvs-partition-gen 0.3 would file \
         it under `{last}`, the namespace begun last: put all keys of a namespace together"
    )]
    Reopened {
        /// The key.
        key: String,
        /// The namespace that is begun again.
        namespace: String,
        /// The one begun last.
        last: String,
    },
    /// There are too many namespaces.
    #[error("`{key}` is one namespace too many; NVS has room for {LAST_NAMESPACE}")]
    ManyNamespaces {
        /// Its name.
        key: String,
    },
    /// The original writes more than the row says for this key.
    #[error(
        "`{key}` belongs to the Wi-Fi driver, and esp-idf-nvs-partition-gen 0.3 derives further entries \
         from its value: expected type data"
    )]
    WifiKind {
        /// The key.
        key: String,
    },
    /// The partition is full.
    #[error(
        "`{key}` does not fit into {pages} pages; make the partition larger{}", reserve(*reserved)
    )]
    Full {
        /// The key.
        key: String,
        /// Pages that may be written.
        pages: usize,
        /// Whether a page stays free for firmware to write.
        reserved: bool,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(FileError),
}

fn reserve(reserved: bool) -> &'static str {
    match reserved {
        true => " (one page more has to stay free for firmware)",
        false => "",
    }
}

fn chunks(limit: usize) -> String {
    match limit > 4096 {
        true => format!(" in {MAX_CHUNKS} chunks"),
        false => String::new(),
    }
}
