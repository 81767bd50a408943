//! Files that are written piece by piece.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write};
use std::path::{Path, PathBuf};

use super::{
    FileError, PIECE, Secrecy, behind_link, open_special, sync_folder, temporary, write_failed,
};

/// A file that is written piece by piece under another name, and appears whole or not at all. A
/// device or a pipe takes the pieces as they come.
///
/// It is not flushed to the disk, unless told so: for what can be made again from its input.
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

    /// Hands on what was written so far, piece by piece; more can be written afterwards.
    ///
    /// # Errors
    /// What `take` fails with; [`FileError::Read`], also for a device or a pipe, which keeps nothing.
    pub(crate) fn read_again<E: From<FileError>>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |cause| FileError::Read {
            path: self.path.clone(),
            cause,
        };
        let Place::Temporary(temporary) = &mut self.place else {
            return Err(failed(io::ErrorKind::NotSeekable.into()).into());
        };
        let file = temporary.as_file_mut();
        file.rewind().map_err(failed)?;
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(read) => take(piece.get(..read).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(failed(cause).into()),
            }
        }
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

    /// As [`Draft::replace`], flushed to the disk: for what may take the place of its own input.
    ///
    /// # Errors
    /// [`FileError::Write`].
    pub fn replace_flushed(self) -> Result<(), FileError> {
        let Place::Temporary(temporary) = &self.place else {
            return Ok(());
        };
        let path = behind_link(&self.path);
        let flushed = temporary.as_file().sync_all();
        flushed.map_err(|cause| write_failed(&path, cause))?;
        self.replace()?;
        sync_folder(&path)
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
