//! Stores that hold a repository: static files that any host may serve.
//!
//! Paths come from `espseal_format::repository::Resource`. What is named by a digest is written
//! once and never changed; the few names that move (`now.cose`, shards, device records) are
//! replaced in one step, `now.cose` last, since it alone makes a release visible.

pub mod folder;

use crate::blame::Blame;
use crate::files::FileError;

/// A place that keeps the files of a repository.
pub trait Store {
    /// Writes a file that never changes; the same bytes under the same path are accepted again.
    ///
    /// # Errors
    /// [`StoreError::Different`] when other bytes stand there.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Writes a file in one step, taking the place of what stood there.
    ///
    /// # Errors
    /// [`StoreError::File`] when the store cannot be written; the old bytes stay.
    fn replace(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// Reads a file; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::File`] when the store cannot be read.
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Names of the files right below a folder, in no order; a missing folder has none.
    ///
    /// # Errors
    /// [`StoreError::File`] when the store cannot be read.
    fn list(&self, path: &str) -> Result<Vec<String>, StoreError>;

    /// Removes a file; a missing one is as good as removed.
    ///
    /// # Errors
    /// [`StoreError::File`] when the file stays.
    fn remove(&self, path: &str) -> Result<(), StoreError>;

    /// Removes every file right below a folder, and the folder; a missing one is as good as
    /// removed.
    ///
    /// # Errors
    /// [`StoreError::File`] when a file stays.
    fn remove_folder(&self, path: &str) -> Result<(), StoreError>;
}

/// Failure of a repository store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Other bytes stand under a name that never changes.
    #[error(
        "repository file {path} holds other bytes than this release would put there; expected it \
         absent or equal: the repository is damaged or belongs to another product, restore it"
    )]
    Different {
        /// Path relative to the repository.
        path: String,
    },
    /// A path would leave the repository.
    #[error("`{path}` is no repository path; expected names of [a-z0-9.-] separated by `/`")]
    Path {
        /// The path asked for.
        path: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl StoreError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Different { .. } => Blame::Refused,
            Self::Path { .. } => Blame::Usage,
            Self::File(_) => Blame::Io,
        }
    }
}
