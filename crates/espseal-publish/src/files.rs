//! Files that are there whole or not at all.
//!
//! Every write goes to a temporary file in the same folder, is flushed to the disk and then gets
//! its name, so that a power cut, a full disk or Ctrl-C leaves the old file or the new one. What is no
//! file (a device, a pipe) is written into, and a link is followed to the file that it names.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

mod draft;
mod input;

pub use draft::Draft;
pub use input::Input;
#[cfg(test)]
pub(crate) use input::tests::Trickle;

/// First characters of a temporary file's name; such files are garbage once nobody holds the lock.
pub const TEMPORARY_PREFIX: &str = ".espseal-tmp-";
/// Bytes that are in memory at a time while a file passes through.
const PIECE: usize = 1 << 20;
/// Permission bits that a private file must not have: everything for group and others.
#[cfg(unix)]
const OTHERS: u32 = 0o077;

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// Mode 0600: only the owner.
    Private,
    /// Mode 0644.
    Public,
}

/// Failure of reading or writing a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be read.
    #[error("cannot read {}: {cause}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The file cannot be written.
    #[error(
        "cannot write {}: {cause}; the file stays as it was; make room or permission and run it again",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The file is empty.
    #[error("{} is empty; expected {expected}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// The file is larger than anything that belongs there.
    #[error("{} has {found} bytes; expected {expected} of at most {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
        /// Largest size accepted.
        limit: u64,
        /// Size found.
        found: u64,
    },
    /// Others may read a private file.
    #[error(
        "{} is a private file with mode {mode:04o}; expected 0600: run `chmod 600` on it, and \
         replace the key if others had access to this machine",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file exists and must not be overwritten.
    #[error("{} exists already; move it away first, it is never overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a whole file that must hold 1 to `limit` bytes.
///
/// # Errors
/// [`FileError::Read`], [`FileError::Empty`] or [`FileError::TooLarge`].
pub fn read(path: &Path, expected: &'static str, limit: u64) -> Result<Vec<u8>, FileError> {
    let failed = |cause| FileError::Read {
        path: path.into(),
        cause,
    };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    // Room for all of it at once: a vector that grows leaves pieces of a secret behind.
    let room = metadata.len().min(limit).saturating_add(1);
    let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or_default());
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.is_empty() {
        return Err(FileError::Empty {
            path: path.into(),
            expected,
        });
    }
    if bytes.len() as u64 > limit {
        return Err(FileError::TooLarge {
            path: path.into(),
            expected,
            limit,
            found: metadata.len().max(bytes.len() as u64),
        });
    }
    Ok(bytes)
}

/// Reads a private file; refuses one that others may read.
///
/// # Errors
/// As [`read`], and [`FileError::Exposed`].
pub fn read_private(
    path: &Path,
    expected: &'static str,
    limit: u64,
) -> Result<Zeroizing<Vec<u8>>, FileError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = fs::metadata(path).map_err(|cause| FileError::Read {
            path: path.into(),
            cause,
        })?;
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_file() && mode & OTHERS != 0 {
            return Err(FileError::Exposed {
                path: path.into(),
                mode,
            });
        }
    }
    read(path, expected, limit).map(Zeroizing::new)
}

/// Writes a file under a name that must be free.
///
/// # Errors
/// [`FileError::Exists`] when the name is taken, [`FileError::Write`] otherwise.
pub fn create(path: &Path, bytes: &[u8], secrecy: Secrecy) -> Result<(), FileError> {
    let temporary = write_temporary(path, bytes, secrecy)?;
    match temporary.persist_noclobber(path) {
        Ok(_) => sync_folder(path),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(FileError::Exists { path: path.into() })
        }
        Err(error) => Err(write_failed(path, error.error)),
    }
}

/// Writes many files of one folder under names that must be free, on all cores. The folder is flushed once.
///
/// # Errors
/// As [`create`]; files written by then stay.
pub fn create_all<T: Sync>(
    folder: &Path,
    items: &[T],
    file: impl Fn(&T) -> (PathBuf, Vec<u8>) + Sync,
    secrecy: Secrecy,
) -> Result<(), FileError> {
    let write = |item: &T| {
        let (path, bytes) = file(item);
        let temporary = write_temporary(&path, &bytes, secrecy)?;
        match temporary.persist_noclobber(&path) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(FileError::Exists { path })
            }
            Err(error) => Err(write_failed(&path, error.error)),
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = items
            .chunks(share)
            .map(|items| scope.spawn(|| items.iter().try_for_each(write)))
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    sync_folder(&folder.join("."))
}

/// Writes a file, taking the place of the one that had the name. What is there and is no file, such
/// as `/dev/null` or a pipe, is written into.
///
/// # Errors
/// [`FileError::Write`].
pub fn replace(path: &Path, bytes: &[u8], secrecy: Secrecy) -> Result<(), FileError> {
    if let Some(mut special) = open_special(path)? {
        return special
            .write_all(bytes)
            .map_err(|cause| write_failed(path, cause));
    }
    let path = &behind_link(path);
    let temporary = write_temporary(path, bytes, secrecy)?;
    temporary
        .persist(path)
        .map_err(|error| write_failed(path, error.error))?;
    sync_folder(path)
}

/// Opens for writing what is there and is no regular file: a device or a pipe. Giving its name to
/// another file would remove it.
///
/// # Errors
/// [`FileError::Write`], also for a folder.
pub fn open_special(path: &Path) -> Result<Option<File>, FileError> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => {
            let opened = OpenOptions::new().write(true).open(path);
            opened.map(Some).map_err(|cause| write_failed(path, cause))
        }
        _ => Ok(None),
    }
}

/// The file that a link names, or the path itself.
fn behind_link(path: &Path) -> PathBuf {
    match path.is_symlink() {
        true => path.canonicalize().unwrap_or_else(|_| path.into()),
        false => path.into(),
    }
}

/// Appends one line to a file that only grows, and flushes it to the disk.
///
/// # Errors
/// [`FileError::Write`].
pub fn append(path: &Path, line: &[u8]) -> Result<(), FileError> {
    let failed = |cause| write_failed(path, cause);
    let mut file = OpenOptions::new().append(true).open(path).map_err(failed)?;
    file.write_all(line).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// Makes a folder with its parents; a private one has mode 0700.
///
/// # Errors
/// [`FileError::Write`].
pub fn make_folder(path: &Path, secrecy: Secrecy) -> Result<(), FileError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(match secrecy {
            Secrecy::Private => 0o700,
            Secrecy::Public => 0o755,
        });
    }
    builder
        .create(path)
        .map_err(|cause| write_failed(path, cause))
}

/// Removes the temporary files that an interrupted run left in a folder and below it.
///
/// # Errors
/// [`FileError::Read`] when a folder cannot be listed, [`FileError::Write`] when a file stays.
pub fn remove_temporaries(folder: &Path) -> Result<(), FileError> {
    let failed = |cause| FileError::Read {
        path: folder.into(),
        cause,
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let temporary = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(TEMPORARY_PREFIX));
        let is_folder = entry.file_type().map_err(failed)?.is_dir();
        if temporary {
            let removed = match is_folder {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            removed.map_err(|cause| write_failed(&path, cause))?;
        } else if is_folder {
            remove_temporaries(&path)?;
        }
    }
    Ok(())
}

fn write_temporary(
    path: &Path,
    bytes: &[u8],
    secrecy: Secrecy,
) -> Result<tempfile::NamedTempFile, FileError> {
    let failed = |cause| write_failed(path, cause);
    let mut temporary = temporary(path, secrecy)?;
    temporary.write_all(bytes).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    Ok(temporary)
}

/// Makes an empty file beside the one that is to be written.
fn temporary(path: &Path, secrecy: Secrecy) -> Result<tempfile::NamedTempFile, FileError> {
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX);
    #[cfg(unix)]
    if secrecy == Secrecy::Public {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o644));
    }
    builder
        .tempfile_in(folder)
        .map_err(|cause| write_failed(path, cause))
}

/// Flushes the folder entry, without which a power cut may forget the new name.
fn sync_folder(path: &Path) -> Result<(), FileError> {
    #[cfg(unix)]
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        File::open(parent)
            .and_then(|folder| folder.sync_all())
            .map_err(|cause| write_failed(path, cause))?;
    }
    Ok(())
}

fn write_failed(path: &Path, cause: io::Error) -> FileError {
    FileError::Write {
        path: path.into(),
        // What `tempfile` adds is the name of the temporary file, which says nothing to the user.
        cause: match cause.raw_os_error() {
            Some(_) => cause,
            None => cause.kind().into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn private_files_are_0600_and_an_exposed_one_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, b"secret", Secrecy::Private).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(*read_private(&path, "a key", 10).unwrap(), b"secret");
        for mode in [0o640, 0o604, 0o644, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read_private(&path, "a key", 10).unwrap_err();
            assert!(matches!(error, FileError::Exposed { .. }), "{mode:o}");
        }
    }

    #[test]
    fn create_never_overwrites_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        create(&path, b"one", Secrecy::Public).unwrap();
        let again = create(&path, b"two", Secrecy::Public);
        assert!(matches!(again, Err(FileError::Exists { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, b"three", Secrecy::Public).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn pipe_is_written_into_and_a_link_leads_to_its_file() {
        use std::os::unix::fs::{FileTypeExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let is_pipe = || fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo();
        let read = || {
            let pipe = pipe.clone();
            std::thread::spawn(move || fs::read(pipe).unwrap())
        };
        let reader = read();
        replace(&pipe, b"whole", Secrecy::Public).unwrap();
        assert_eq!(reader.join().unwrap(), b"whole");
        assert!(is_pipe());
        let reader = read();
        let mut draft = Draft::begin(&pipe, Secrecy::Private).unwrap();
        draft.write_all(b"in pieces").unwrap();
        draft.replace().unwrap();
        assert_eq!(reader.join().unwrap(), b"in pieces");
        assert!(is_pipe());

        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, b"old").unwrap();
        symlink(&file, &link).unwrap();
        replace(&link, b"new", Secrecy::Public).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        let mut draft = Draft::begin(&link, Secrecy::Public).unwrap();
        draft.write_all(b"newer").unwrap();
        draft.replace().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"newer");
        assert!(link.is_symlink());
        let into_folder = replace(folder.path(), b"no", Secrecy::Public);
        assert!(matches!(into_folder, Err(FileError::Write { .. })));
    }

    #[test]
    fn empty_missing_and_oversized_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let missing = read(&path, "an image", 4);
        assert!(matches!(missing, Err(FileError::Read { .. })));
        fs::write(&path, b"").unwrap();
        let empty = read(&path, "an image", 4);
        assert!(matches!(empty, Err(FileError::Empty { .. })));
        fs::write(&path, b"12345").unwrap();
        let large = read(&path, "an image", 4);
        assert!(matches!(large, Err(FileError::TooLarge { found: 5, .. })));
        let is_folder = read(folder.path(), "an image", 4);
        assert!(matches!(is_folder, Err(FileError::Read { .. })));
    }

    #[test]
    fn leftovers_of_an_interrupted_run_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("bodies");
        fs::create_dir(&below).unwrap();
        fs::write(below.join(".espseal-tmp-abc"), b"half").unwrap();
        fs::write(below.join("kept.bin"), b"whole").unwrap();
        remove_temporaries(folder.path()).unwrap();
        assert_eq!(fs::read_dir(&below).unwrap().count(), 1);
        assert!(below.join("kept.bin").exists());
    }
}
