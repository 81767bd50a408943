//! Files that are read from start to end, piece by piece.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{FileError, PIECE};

/// A file to read from start to end.
pub struct Input {
    path: PathBuf,
    reader: Box<dyn Read>,
    length: Option<u64>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Input({})", self.path.display())
    }
}

impl Input {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// [`FileError::Read`].
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let failed = |cause| FileError::Read {
            path: path.into(),
            cause,
        };
        if path == Path::new("-") {
            return Ok(Self::from_reader("standard input", io::stdin()));
        }
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        Ok(Self {
            path: path.into(),
            reader: Box::new(file),
            length: metadata.is_file().then_some(metadata.len()),
        })
    }

    /// Takes what is no file, under the name that errors call it by.
    pub(crate) fn from_reader(name: &str, reader: impl Read + 'static) -> Self {
        Self {
            path: name.into(),
            reader: Box::new(reader),
            length: None,
        }
    }

    /// Number of bytes, where it is known before reading.
    #[must_use]
    pub const fn length(&self) -> Option<u64> {
        self.length
    }

    /// Fills the buffer; returns how much there was, less only at the end.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, FileError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) => break,
                Ok(read) => filled = filled.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => {
                    let path = self.path.clone();
                    return Err(FileError::Read { path, cause });
                }
            }
        }
        Ok(filled)
    }

    /// Reads all of it; hands on everything but the last `held` bytes, which it returns: where a
    /// signature stands. Fewer are returned when there are no more.
    pub(crate) fn read_but_last<E: From<FileError>>(
        &mut self,
        held: usize,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Vec<u8>, E> {
        let mut buffer = vec![0; PIECE.saturating_add(held)];
        let mut kept = 0;
        loop {
            let read = self.fill(buffer.get_mut(kept..).unwrap_or_default())?;
            let whole = kept.saturating_add(read);
            let passed = whole.saturating_sub(held);
            each(buffer.get(..passed).unwrap_or_default())?;
            let is_end = whole < buffer.len();
            buffer.copy_within(passed..whole, 0);
            kept = whole.saturating_sub(passed);
            if is_end {
                buffer.truncate(kept);
                return Ok(buffer);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A reader that gives little at a time, and now and then nothing but an interruption.
    pub(crate) struct Trickle(pub(crate) Vec<u8>, pub(crate) usize);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(7) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let length = buffer.len().min(self.0.len()).min(70_001);
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0.drain(..length);
            Ok(length)
        }
    }

    #[test]
    fn what_is_handed_on_and_what_is_held_are_the_file() {
        let file: Vec<u8> = (0..=250).cycle().take(2 * PIECE + 9000).collect();
        for held in [0, 1, 68, 4096] {
            for length in [0, 1, 67, 68, 4095, 4096, 4097, PIECE - 1, PIECE]
                .into_iter()
                .chain([PIECE + 1, PIECE + held, PIECE + held + 1, file.len()])
            {
                let trickle = Trickle(file[..length].to_vec(), 0);
                let mut input = Input::from_reader("input", trickle);
                let mut handed = Vec::new();
                let tail = input.read_but_last(held, |piece| {
                    handed.extend_from_slice(piece);
                    Ok::<_, FileError>(())
                });
                let tail = tail.unwrap();
                assert_eq!(tail.len(), held.min(length));
                handed.extend(tail);
                assert_eq!(handed, file[..length]);
            }
        }
    }
}
