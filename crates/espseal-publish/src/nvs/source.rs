//! A whole CSV file into an image.

use std::path::{Path, PathBuf};

use espseal_format::nvs::item::Key;
use zeroize::Zeroizing;

use super::csv::{self, Row};
use super::error::{NvsError, RowProblem};
use super::image::{Image, LARGEST_PARTITION, Version};
use super::value::{Origin, Value};
use super::wifi::{self, Wifi};
use crate::files::{self, FileError};

/// An image that CSV files are written into, one after the other.
#[derive(Clone)]
pub struct Source {
    /// The image.
    pub image: Image,
    /// What firmware may not expect.
    pub remarks: Vec<Remark>,
    wifi: Wifi,
}

/// What firmware may not expect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Remark {
    /// A key stands twice in a namespace.
    #[error(
        "{}, line {line}: `{key}` stands in its namespace already; firmware reads one of both",
        path.display()
    )]
    Twice {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The key.
        key: Key,
    },
}

impl Source {
    /// Starts an image for a partition of this size.
    ///
    /// # Errors
    /// [`NvsError::Size`].
    pub fn new(size: u32, version: Version) -> Result<Self, NvsError> {
        Ok(Self {
            image: Image::new(size, version)?,
            remarks: Vec::new(),
            wifi: Wifi::default(),
        })
    }

    /// Reads a CSV file and writes its rows. Files that it names count from `folder`.
    ///
    /// # Errors
    /// [`NvsError`], with the line.
    pub fn read(&mut self, path: &Path, folder: &Path) -> Result<(), NvsError> {
        let bytes = files::read(path, "a CSV file", u64::from(LARGEST_PARTITION))?;
        let bytes = Zeroizing::new(bytes);
        let text = str::from_utf8(&bytes).map_err(|_| NvsError::Text { path: path.into() })?;
        self.rows(path, text, folder)
    }

    /// Writes the rows of a text, which is called `path` in errors.
    ///
    /// # Errors
    /// [`NvsError`], with the line.
    pub fn rows(&mut self, path: &Path, text: &str, folder: &Path) -> Result<(), NvsError> {
        let failed = |(line, cause)| NvsError::Row {
            path: path.into(),
            line,
            cause,
        };
        let rows = csv::rows(text).map_err(failed)?;
        self.append(path, &rows, folder)
    }

    /// Writes rows that come from `path`.
    ///
    /// # Errors
    /// [`NvsError`], with the line.
    pub fn append(&mut self, path: &Path, rows: &[Row], folder: &Path) -> Result<(), NvsError> {
        let failed = |(line, cause)| NvsError::Row {
            path: path.into(),
            line,
            cause,
        };
        for row in rows {
            let twice = self
                .row(row, folder)
                .map_err(|cause| failed((row.line, cause)))?;
            self.remarks
                .extend(twice.into_iter().map(|key| Remark::Twice {
                    path: path.into(),
                    line: row.line,
                    key,
                }));
        }
        Ok(())
    }

    /// Writes a row; returns the keys that its namespace has already.
    fn row(&mut self, row: &Row, folder: &Path) -> Result<Vec<Key>, RowProblem> {
        let name = row.key();
        let key = Key::new(name).ok_or_else(|| RowProblem::Key { found: name.into() })?;
        let owned = || name.to_owned();
        if wifi::is_wifi(name) && row.kind() != "data" {
            return Err(RowProblem::WifiKind { key: owned() });
        }
        let no_value = || RowProblem::NoValue { key: owned() };
        let value = match row.kind() {
            "namespace" => {
                self.image.namespace(key)?;
                return Ok(Vec::new());
            }
            "data" => {
                // What is only filled up may be empty.
                let empty = row.encoding().starts_with("blob_").then_some("");
                let text = row.value().or(empty).ok_or_else(no_value)?;
                Value::encode(name, row.encoding(), Origin::Data(text))?
            }
            "file" => {
                let path = folder.join(row.value().ok_or_else(no_value)?);
                let bytes = read_value(&path).map_err(RowProblem::File)?;
                Value::encode(name, row.encoding(), Origin::File(&bytes))?
            }
            found => {
                return Err(RowProblem::Kind {
                    found: found.into(),
                });
            }
        };
        let before = self.wifi.before(name, row.value().unwrap_or_default());
        let entries = before.into_iter().chain([(key, value)]);
        let mut twice = Vec::new();
        for (key, value) in entries.chain(self.wifi.after(name)) {
            if !self.image.entry(key, &value)? {
                twice.push(key);
            }
        }
        Ok(twice)
    }
}

/// Reads a file that a row names; it may be empty.
fn read_value(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    match files::read(path, "a value", u64::from(LARGEST_PARTITION)) {
        Ok(bytes) => Ok(Zeroizing::new(bytes)),
        Err(FileError::Empty { .. }) => Ok(Zeroizing::default()),
        Err(error) => Err(error),
    }
}
