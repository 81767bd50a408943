//! Files that are written piece by piece.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{FileError, Secrecy, behind_link, open_special, temporary, write_failed};

/// A file that is written piece by piece under another name, and appears whole or not at all. A
/// device or a pipe takes the pieces as they come.
///
/// It is not flushed to the disk: for what can be made again from its input.
#[derive(Debug)]
pub struct Draft {
    place: Place,
    path: PathBuf,
}

/// Where the pieces go.
#[derive(Debug)]
enum Place {
    /// A file beside the one to be.
    Temporary(tempfile::NamedTempFile),
    /// A device or a pipe.
    Special(File),
}

impl Draft {
    /// Starts a file.
    ///
    /// # Errors
    /// [`FileError::Write`].
    pub fn begin(path: &Path, secrecy: Secrecy) -> Result<Self, FileError> {
        let place = match open_special(path)? {
            Some(special) => Place::Special(special),
            None => Place::Temporary(temporary(&behind_link(path), secrecy)?),
        };
        Ok(Self {
            place,
            path: path.into(),
        })
    }

    /// Writes the next piece.
    ///
    /// # Errors
    /// [`FileError::Write`].
    pub fn put(&mut self, piece: &[u8]) -> Result<(), FileError> {
        let written = self.write_all(piece);
        written.map_err(|cause| write_failed(&self.path, cause))
    }

    /// Gives the file its name, which must be free.
    ///
    /// # Errors
    /// [`FileError::Exists`] when the name is taken, [`FileError::Write`] otherwise.
    pub fn create(self) -> Result<(), FileError> {
        let Place::Temporary(temporary) = self.place else {
            return Ok(());
        };
        match temporary.persist_noclobber(&self.path) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(FileError::Exists { path: self.path })
            }
            Err(error) => Err(write_failed(&self.path, error.error)),
        }
    }

    /// Gives the file its name, in the place of the one that had it.
    ///
    /// # Errors
    /// [`FileError::Write`].
    pub fn replace(self) -> Result<(), FileError> {
        let Place::Temporary(temporary) = self.place else {
            return Ok(());
        };
        match temporary.persist(behind_link(&self.path)) {
            Ok(_) => Ok(()),
            Err(error) => Err(write_failed(&self.path, error.error)),
        }
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.place {
            Place::Temporary(temporary) => temporary.as_file_mut().write(bytes),
            Place::Special(special) => special.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::Temporary(temporary) => temporary.as_file_mut().flush(),
            Place::Special(special) => special.flush(),
        }
    }
}
