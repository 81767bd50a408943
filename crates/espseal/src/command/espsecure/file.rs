//! Files as espsecure's commands name them: `-` is standard input or output where it takes that.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use espseal_publish::blame::Blame;
use espseal_publish::files::{self, FileError, Secrecy};
use zeroize::Zeroizing;

use crate::answer::Answer;
use crate::failure::Failure;

/// A file to read, or standard input.
#[derive(Clone, Debug)]
pub(super) struct Input(PathBuf);

impl From<&str> for Input {
    fn from(path: &str) -> Self {
        Self(path.into())
    }
}

impl Input {
    /// Reads all of it; an empty file is a file.
    pub(super) fn read(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut bytes = Zeroizing::new(Vec::new());
        let read = match self.is_standard_input() {
            true => std::io::stdin().lock().read_to_end(&mut bytes),
            false => std::fs::File::open(&self.0).and_then(|mut file| file.read_to_end(&mut bytes)),
        };
        read.map_err(|cause| FileError::Read {
            path: self.0.clone(),
            cause,
        })?;
        Ok(bytes)
    }

    /// Opens it, to be read piece by piece.
    pub(super) fn open(&self) -> Result<files::Input, Failure> {
        Ok(files::Input::open(&self.0)?)
    }

    /// Whether it is `-`.
    pub(super) fn is_standard_input(&self) -> bool {
        self.0 == Path::new("-")
    }

    /// Refuses an output that would replace the input, as espsecure does.
    pub(super) fn must_differ_from(&self, output: &Path) -> Result<(), Failure> {
        if self.0 == output {
            return Err(Failure::new(
                Blame::Usage,
                format_args!("the input and the output are both {self}; choose another output"),
            ));
        }
        Ok(())
    }

    /// The path.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.is_standard_input() {
            true => f.write_str("standard input"),
            false => self.0.display().fmt(f),
        }
    }
}

/// A file to write, or standard output. An existing file is replaced, as espsecure does.
#[derive(Clone, Debug)]
pub(super) struct Output(PathBuf);

impl From<&str> for Output {
    fn from(path: &str) -> Self {
        Self(path.into())
    }
}

impl Output {
    /// Writes all of it, and adds to the answer where it went.
    pub(super) fn write(
        &self,
        bytes: &[u8],
        secrecy: Secrecy,
        answer: Answer,
        what: &str,
    ) -> Result<Answer, Failure> {
        if self.0 == Path::new("-") {
            let mut out = std::io::stdout().lock();
            let written = out.write_all(bytes).and_then(|()| out.flush());
            written.map_err(|error| Failure::output(&error))?;
            return Ok(answer.line(format_args!("wrote {what} to standard output")));
        }
        files::replace(&self.0, bytes, secrecy)?;
        Ok(answer.listing(format_args!("wrote {what} to {}", self.0.display())))
    }

    /// The path.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}
