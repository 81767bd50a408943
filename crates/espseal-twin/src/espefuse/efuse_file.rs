//! Writing the eFuse file: the old chip or the new one, never half of each.
//!
//! espefuse writes into the file. Where that can be told from the outside, so does this: into a
//! device or a pipe, a file with several names or another owner, and in a folder that takes no new
//! file. Everywhere else a finished file takes the name.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Writes the file.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (target, old) = match fs::metadata(path) {
        Ok(old) if old.is_file() && names(&old) == 1 => (path.canonicalize()?, Some(old)),
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => {
            (path.to_owned(), None)
        }
        _ => return fs::write(path, bytes),
    };
    if old.is_some() {
        // A file that may not be written to is not replaced either.
        OpenOptions::new().write(true).open(&target)?;
    }
    let Some(draft) = draft_of(&target) else {
        return fs::write(path, bytes);
    };
    let Ok(file) = OpenOptions::new().write(true).create_new(true).open(&draft) else {
        return fs::write(path, bytes);
    };
    let finished = finish(file, old.as_ref(), bytes);
    let written = match finished {
        Ok(true) => fs::rename(&draft, &target),
        Ok(false) => fs::write(path, bytes),
        Err(error) => Err(error),
    };
    // Nothing to remove after a rename.
    let _ = fs::remove_file(&draft);
    written
}

/// Fills the new file; `false` when it cannot be given the old one's owner.
fn finish(mut file: File, old: Option<&Metadata>, bytes: &[u8]) -> io::Result<bool> {
    if let Some(old) = old {
        if owner(old) != owner(&file.metadata()?) {
            return Ok(false);
        }
        file.set_permissions(old.permissions())?;
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(true)
}

/// Where the new file is written, in the same folder.
fn draft_of(target: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(format!(".espseal-tmp-{}-", std::process::id()));
    name.push(target.file_name()?);
    Some(target.with_file_name(name))
}

/// How many names the file has.
#[cfg(unix)]
fn names(file: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(file)
}

#[cfg(not(unix))]
fn names(_: &Metadata) -> u64 {
    1
}

/// User and group.
#[cfg(unix)]
fn owner(file: &Metadata) -> (u32, u32) {
    use std::os::unix::fs::MetadataExt as _;
    (file.uid(), file.gid())
}

#[cfg(not(unix))]
fn owner(_: &Metadata) {}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn inode(path: &Path) -> u64 {
        fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn another_file_takes_the_name_with_the_old_mode_and_nothing_is_left_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chip.bin");
        write(&path, &[1; 100]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let before = inode(&path);
        write(&path, &[2; 50]).unwrap();
        assert_ne!(inode(&path), before, "the old file was not touched");
        assert_eq!(fs::read(&path).unwrap(), [2; 50]);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_stay_links_and_other_names_see_the_new_chip() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        write(&path("chip.bin"), &[1; 10]).unwrap();
        symlink("chip.bin", path("link")).unwrap();
        write(&path("link"), &[2; 10]).unwrap();
        assert!(path("link").is_symlink());
        assert_eq!(fs::read(path("chip.bin")).unwrap(), [2; 10]);
        fs::hard_link(path("chip.bin"), path("name")).unwrap();
        write(&path("chip.bin"), &[3; 10]).unwrap();
        assert_eq!(fs::read(path("name")).unwrap(), [3; 10]);
        symlink("new.bin", path("dangling")).unwrap();
        write(&path("dangling"), &[4; 10]).unwrap();
        assert_eq!(fs::read(path("new.bin")).unwrap(), [4; 10]);
        write(Path::new("/dev/null"), &[5; 10]).unwrap();
        assert!(!Path::new("/dev/null").is_file());
    }
}
