//! A repository in a folder, ready to be copied to or served from any static host.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Store, StoreError};
use crate::files::{self, FileError, Secrecy};

/// Largest file that a repository holds: the body of an image for 16 MB flash.
const LARGEST_FILE: u64 = 16 << 20;

/// A repository in a local folder.
#[derive(Debug)]
pub struct FolderStore {
    root: PathBuf,
}

impl FolderStore {
    /// Opens a folder, made when it is missing, and clears what an interrupted run left there.
    ///
    /// The caller holds the project lock, so no temporary file belongs to a live writer.
    ///
    /// # Errors
    /// [`StoreError::File`] when the folder cannot be made or listed.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        files::make_folder(root, Secrecy::Public)?;
        files::remove_temporaries(root)?;
        Ok(Self { root: root.into() })
    }

    fn locate(&self, path: &str) -> Result<PathBuf, StoreError> {
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        };
        let sound =
            |name: &str| !name.is_empty() && !name.starts_with('.') && name.bytes().all(allowed);
        if path.split('/').all(sound) {
            return Ok(self.root.join(path));
        }
        Err(StoreError::Path { path: path.into() })
    }

    fn prepare(&self, path: &str) -> Result<PathBuf, StoreError> {
        let target = self.locate(path)?;
        if let Some(parent) = target.parent() {
            files::make_folder(parent, Secrecy::Public)?;
        }
        Ok(target)
    }
}

impl Store for FolderStore {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let target = self.prepare(path)?;
        match files::create(&target, bytes, Secrecy::Public) {
            Err(FileError::Exists { .. }) => match self.get(path)? {
                Some(found) if found == bytes => Ok(()),
                _ => Err(StoreError::Different { path: path.into() }),
            },
            done => Ok(done?),
        }
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let target = self.prepare(path)?;
        Ok(files::replace(&target, bytes, Secrecy::Public)?)
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let target = self.locate(path)?;
        match files::read(&target, "a repository file", LARGEST_FILE) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(FileError::Read { cause, .. }) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<String>, StoreError> {
        let folder = self.locate(path)?;
        let failed = |cause| FileError::Read {
            path: folder.clone(),
            cause,
        };
        let entries = match fs::read_dir(&folder) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let is_file = entry.file_type().map_err(failed)?.is_file();
            names.extend(entry.file_name().into_string().ok().filter(|_| is_file));
        }
        Ok(names)
    }

    fn remove(&self, path: &str) -> Result<(), StoreError> {
        let target = self.locate(path)?;
        match fs::remove_file(&target) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => Err(FileError::Write {
                path: target,
                cause,
            }
            .into()),
            _ => Ok(()),
        }
    }

    fn remove_folder(&self, path: &str) -> Result<(), StoreError> {
        let target = self.locate(path)?;
        match fs::remove_dir_all(&target) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => Err(FileError::Write {
                path: target,
                cause,
            }
            .into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_addressed_files_are_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::open(folder.path()).unwrap();
        store.put("bodies/aa.bin", b"one").unwrap();
        store.put("bodies/aa.bin", b"one").unwrap();
        let other = store.put("bodies/aa.bin", b"two");
        assert!(matches!(other, Err(StoreError::Different { .. })));
        assert_eq!(store.get("bodies/aa.bin").unwrap().unwrap(), b"one");
    }

    #[test]
    fn moving_names_are_replaced_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::open(folder.path()).unwrap();
        assert_eq!(store.get("now.cose").unwrap(), None);
        store.replace("now.cose", b"one").unwrap();
        store.replace("now.cose", b"two").unwrap();
        assert_eq!(store.get("now.cose").unwrap().unwrap(), b"two");
        store.remove("now.cose").unwrap();
        store.remove("now.cose").unwrap();
        assert_eq!(store.get("now.cose").unwrap(), None);
        store.put("idf/aa/bb.header", b"x").unwrap();
        store.put("idf/ab/bb.header", b"x").unwrap();
        assert_eq!(store.list("idf/aa").unwrap(), ["bb.header"]);
        store.remove_folder("idf/aa").unwrap();
        store.remove_folder("idf/aa").unwrap();
        assert!(store.list("idf/aa").unwrap().is_empty());
        assert_eq!(store.get("idf/aa/bb.header").unwrap(), None);
        assert!(store.get("idf/ab/bb.header").unwrap().is_some());
    }

    #[test]
    fn paths_stay_inside_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::open(folder.path()).unwrap();
        for path in [
            "../out", "/etc/x", "a//b", "", "a/..", "a\\b", ".hidden", "A",
        ] {
            let refused = store.put(path, b"x");
            assert!(matches!(refused, Err(StoreError::Path { .. })), "{path}");
        }
    }
}
