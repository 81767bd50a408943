//! The repository folder, read by what the paths mean.
//!
//! A file is opened by a path that `espseal-format` built from a parsed [`Resource`], never by text
//! from a client.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use espseal_format::repository::Resource;
use rustix::fs::{Mode, OFlags};

/// A folder that `espseal publish` wrote.
#[derive(Debug)]
pub(crate) struct Repository {
    root: PathBuf,
}

impl Repository {
    /// Takes a folder that can be read.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        std::fs::read_dir(root)?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// Whether the folder is still there.
    pub(crate) fn is_there(&self) -> bool {
        self.root.is_dir()
    }

    /// Opens a file and tells its length; `None` when there is none.
    pub(crate) fn file(&self, resource: &Resource<'_>) -> io::Result<Option<(File, u64)>> {
        let path = self.root.join(resource.path().as_str());
        // Without NONBLOCK, opening a named pipe would wait for its other end.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from) {
            Ok(file) => File::from(file),
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then_some((file, metadata.len())))
    }

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// `InvalidData` when the file is larger.
    pub(crate) fn read(
        &self,
        resource: &Resource<'_>,
        limit: usize,
    ) -> io::Result<Option<Vec<u8>>> {
        let Some((file, len)) = self.file(resource)? else {
            return Ok(None);
        };
        let mut bytes =
            Vec::with_capacity(usize::try_from(len).map_or(limit, |len| len.min(limit)));
        file.take((limit as u64).saturating_add(1))
            .read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            let text = format!("{} has more than {limit} bytes", resource.path());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Some(bytes))
    }

    /// Whether a file exists.
    pub(crate) fn has(&self, resource: &Resource<'_>) -> bool {
        self.root.join(resource.path().as_str()).is_file()
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
