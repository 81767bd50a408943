//! The release authority at work in one project: everything read, checked and locked.

mod error;
mod visible;

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use espseal_crypto::cose::verify_threshold;
use espseal_format::cose::Sign;
use espseal_format::metadata::root::Root;
use espseal_format::repository::Resource;
use getrandom::SysRng;
use rand_core::UnwrapErr;

pub use error::AuthorityError;
pub use visible::{Draft, Signed, Visible};

use crate::enrolment::registry::Registry;
use crate::epochs::EpochKeys;
use crate::files::{self, FileError};
use crate::metadata_signing::{log_root, place};
use crate::observer::{Observer, Stage};
use crate::project::Project;
use crate::release_log::{LoggedRole, ReleaseLog};
use crate::repository::Store as _;
use crate::repository::folder::FolderStore;
use crate::root_renewal::finish_replacing;

/// How long one espseal waits for another.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest root file that is read.
const LARGEST_ROOT: u64 = 2048;

/// COSE bytes of each root, with its version.
type RootFiles = Vec<(u32, Vec<u8>)>;

/// A project that nobody else changes while this value lives.
#[derive(Debug)]
pub struct Authority {
    pub(crate) project: Project,
    pub(crate) root: Root,
    pub(crate) log: ReleaseLog,
    pub(crate) store: FolderStore,
    pub(crate) registry: Registry,
    pub(crate) epochs: EpochKeys,
    roots: RootFiles,
    _lock: File,
}

impl Authority {
    /// Opens a project and locks it, waiting up to a minute for another espseal to finish.
    ///
    /// # Errors
    /// [`AuthorityError`] when anything in the project is missing or damaged.
    pub fn open(folder: &Path, observer: &dyn Observer) -> Result<Self, AuthorityError> {
        let project = Project::open(folder)?;
        let lock = lock(&project.file("state/lock"), observer)?;
        for below in ["state", "devices", "keys", "roots"] {
            files::remove_temporaries(&project.file(below))?;
        }
        let mut log = ReleaseLog::open(&project.file("state/releases.log"))?;
        let registry = Registry::open(&project)?;
        let (root, roots) = read_roots(&project)?;
        note_root(&mut log, &root)?;
        finish_replacing(&project, &root)?;
        Ok(Self {
            store: FolderStore::open(&project.repository())?,
            epochs: EpochKeys::new(&project.file("keys/epochs"), project.product),
            project,
            root,
            log,
            registry,
            roots,
            _lock: lock,
        })
    }

    /// The project.
    #[must_use]
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// The current root.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The enrolled devices.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Works under a new root from now on.
    pub(crate) fn adopt_root(&mut self, root: Root, bytes: Vec<u8>) -> Result<(), AuthorityError> {
        self.roots.push((root.version, bytes));
        self.root = root;
        note_root(&mut self.log, &self.root)
    }

    /// Puts every root into the repository.
    pub(crate) fn store_roots(&self) -> Result<(), AuthorityError> {
        for (version, bytes) in &self.roots {
            self.store.put(&Resource::Root(*version).path(), bytes)?;
        }
        Ok(())
    }
}

/// Has the log say which root is the newest one kept, should a crash have come in between.
fn note_root(log: &mut ReleaseLog, root: &Root) -> Result<(), AuthorityError> {
    if let Some((logged, _)) = log.newest(LoggedRole::Root)
        && logged > place(root)
    {
        return Err(AuthorityError::RootMissing {
            found: root.version,
            logged: logged.version,
        });
    }
    Ok(log_root(log, root)?)
}

/// The system's random number generator.
pub(crate) fn random() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// Locks a file for this process alone.
fn lock(path: &Path, observer: &dyn Observer) -> Result<File, AuthorityError> {
    let failed = |cause| FileError::Write {
        path: path.into(),
        cause,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(failed)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(cause)) => return Err(failed(cause).into()),
            Err(TryLockError::WouldBlock) => {}
        }
        if observer.is_interrupted() {
            return Err(AuthorityError::Interrupted);
        }
        if start.elapsed() > PATIENCE {
            return Err(AuthorityError::Locked { path: path.into() });
        }
        observer.begin(Stage::WaitingForLock, 0);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Reads `roots/1.cose` and those after it, each verified by itself and by the one before.
fn read_roots(project: &Project) -> Result<(Root, RootFiles), AuthorityError> {
    let mut newest: Option<Root> = None;
    let mut all = Vec::new();
    for version in 1.. {
        let path = project.file(&format!("roots/{version}.cose"));
        if version > 1 && !fs::exists(&path).unwrap_or(false) {
            break;
        }
        let bytes = files::read(&path, "a signed root", LARGEST_ROOT)?;
        let damaged = || AuthorityError::DamagedRoot { path: path.clone() };
        let envelope = Sign::parse(&bytes).map_err(|_| damaged())?;
        let root = Root::parse(envelope.payload).map_err(|_| damaged())?;
        for keys in [Some(&root.root), newest.as_ref().map(|old| &old.root)]
            .into_iter()
            .flatten()
        {
            verify_threshold(&envelope, &project.product, &keys.keys, keys.threshold)
                .map_err(|_| damaged())?;
        }
        if root.version != version || root.product != project.product {
            return Err(damaged());
        }
        newest = Some(root);
        drop(envelope);
        all.push((version, bytes));
    }
    newest
        .map(|root| (root, all))
        .ok_or_else(|| AuthorityError::DamagedRoot {
            path: project.file("roots/1.cose"),
        })
}
