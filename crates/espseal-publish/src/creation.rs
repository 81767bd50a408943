//! Makes a new project: keys, root, development CA, and an `espseal.toml` to adapt.
//!
//! Everything is made in a temporary folder inside the target, which gets its names at the end,
//! `espseal.toml` last: a failure or Ctrl-C leaves the folder as it was.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use espseal_format::chip::{self, ChipId};
use espseal_format::signature_block::{Curve, SignatureScheme};
use espseal_format::units::{ChannelName, Digest, Product};
use rand_core::Rng as _;

use crate::authority::random;
use crate::blame::Blame;
use crate::development_ca::{self, CaError};
use crate::files::{self, FileError, Secrecy, TEMPORARY_PREFIX};
use crate::keys::{KeyError, RoleKey, RoleSigner};
use crate::metadata_signing::{RoleSetup, SigningError, first_root, log_root, sign_root};
use crate::observer::Observer;
use crate::project::{PROJECT_FILE, Project, ProjectError, names};
use crate::release_log::{LogError, ReleaseLog};
use crate::secure_boot_key::{ImageSigner as _, SecureBootKey};

/// A 4 MB table with two app slots and the journal of the agent.
const PARTITIONS: &str = "\
# Two app slots and the journal of the espseal agent, for 4 MB of flash.
# Name,    Type, SubType,  Offset,   Size,     Flags
nvs,       data, nvs,      0x9000,   0x4000,
otadata,   data, ota,      0xd000,   0x2000,
phy_init,  data, phy,      0xf000,   0x1000,
ota_0,     app,  ota_0,    0x10000,  0x1e0000,
ota_1,     app,  ota_1,    0x1f0000, 0x1e0000,
espseal,   data, 0x40,     0x3d0000, 0x4000,   encrypted
nvs_keys,  data, nvs_keys, 0x3d4000, 0x1000,   encrypted
";

/// What a new project is like.
#[derive(Clone, Debug)]
pub struct NewProject {
    /// Human name of the product.
    pub name: String,
    /// Chips that it is built on.
    pub chips: Vec<ChipId>,
    /// Channels, each with a group of its own.
    pub channels: Vec<String>,
    /// Where devices will find the repository.
    pub base_url: String,
    /// Where the secure boot signing key comes from.
    pub secure_boot: SecureBootSource,
    /// How many root keys to make.
    pub root_keys: u8,
    /// How many of them sign a root.
    pub root_threshold: u8,
}

/// Where the secure boot signing key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecureBootSource {
    /// A new key is made in `keys/secure-boot.pem`.
    NewKey,
    /// The fleet's eFuses hold the digest of a key that exists.
    ExistingKey(PathBuf),
    /// The fleet has no secure boot.
    None,
}

/// Makes a project in `folder`, which must be missing or empty.
///
/// # Errors
/// [`CreationError`]; the folder is left as it was.
pub fn create(
    folder: &Path,
    new: &NewProject,
    time: u64,
    observer: &dyn Observer,
) -> Result<Project, CreationError> {
    check(folder, new)?;
    let existed = fs::exists(folder).unwrap_or(false);
    let made = build(folder, new, time, observer);
    if made.is_err() && !existed {
        // Fails when something else is in there by now, which then stays.
        let _ = fs::remove_dir(folder);
    }
    made
}

fn check(folder: &Path, new: &NewProject) -> Result<(), CreationError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            if let Some(Ok(entry)) = entries.next() {
                return Err(CreationError::NotEmpty {
                    folder: folder.into(),
                    found: entry.file_name().to_string_lossy().into_owned(),
                });
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(cause) => {
            return Err(FileError::Read {
                path: folder.into(),
                cause,
            }
            .into());
        }
    }
    let value = |option, found: String, expected| CreationError::Value {
        option,
        found,
        expected,
    };
    if new.name.trim().is_empty() || new.name.chars().any(char::is_control) {
        let expected = "a name without control characters";
        return Err(value("--name", new.name.clone(), expected));
    }
    for id in &new.chips {
        if chip::chip(*id).is_none() {
            return Err(value(
                "--chip",
                id.to_string(),
                "a chip that espseal has a table for",
            ));
        }
    }
    for name in &new.channels {
        if ChannelName::new(name).is_none() {
            let expected = "1 to 24 characters of [a-z0-9-]";
            return Err(value("--channel", name.clone(), expected));
        }
    }
    Ok(())
}

fn build(
    folder: &Path,
    new: &NewProject,
    time: u64,
    observer: &dyn Observer,
) -> Result<Project, CreationError> {
    files::make_folder(folder, Secrecy::Public)?;
    let failed = |cause| FileError::Write {
        path: folder.into(),
        cause,
    };
    let temporary = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .tempdir_in(folder)
        .map_err(failed)?;
    fill(temporary.path(), new, time)?;
    Project::open(temporary.path())?;
    if observer.is_interrupted() {
        return Err(CreationError::Interrupted);
    }
    move_out(temporary.path(), folder).map_err(failed)?;
    Ok(Project::open(folder)?)
}

/// The schemes that the agent and every one of the chips verify, the preferred one first: one key
/// signs for all of them.
fn common_schemes(chips: &[ChipId]) -> Vec<SignatureScheme> {
    let all = [
        SignatureScheme::Rsa3072,
        SignatureScheme::Ecdsa(Curve::P256),
        SignatureScheme::Ecdsa(Curve::P384),
        SignatureScheme::Ecdsa(Curve::P192),
    ];
    let verify = |scheme: &SignatureScheme| {
        let mut chips = chips.iter().filter_map(|id| chip::chip(*id));
        chips.all(|chip| chip.verifies(*scheme))
    };
    all.into_iter().filter(verify).collect()
}

/// Reads a key of a scheme that the agent and all chips verify.
fn existing_key(path: &Path, chips: &[ChipId]) -> Result<SecureBootKey, CreationError> {
    let key = SecureBootKey::load(path)?;
    let (found, schemes) = (key.public_key().scheme(), common_schemes(chips));
    match schemes.contains(&found) {
        true => Ok(key),
        false => Err(CreationError::Scheme {
            path: path.into(),
            found,
            chips: names(chips.iter()),
            expected: names(schemes.iter()),
        }),
    }
}

/// Makes every file of the project.
fn fill(folder: &Path, new: &NewProject, time: u64) -> Result<(), CreationError> {
    for (name, secrecy) in [
        ("keys", Secrecy::Private),
        ("keys/epochs", Secrecy::Private),
        ("ca", Secrecy::Private),
        ("partitions", Secrecy::Public),
        ("roots", Secrecy::Public),
        ("devices", Secrecy::Public),
        ("state", Secrecy::Public),
        ("repository", Secrecy::Public),
    ] {
        files::make_folder(&folder.join(name), secrecy)?;
    }
    let public = |name: &str, text: &[u8]| files::create(&folder.join(name), text, Secrecy::Public);
    let digest = match &new.secure_boot {
        SecureBootSource::None => None,
        SecureBootSource::NewKey => {
            let scheme = common_schemes(&new.chips).first().copied();
            let scheme = scheme.ok_or_else(|| CreationError::NoCommonScheme {
                chips: names(new.chips.iter()),
            })?;
            let path = folder.join("keys/secure-boot.pem");
            Some(SecureBootKey::create(&path, scheme)?.digest())
        }
        SecureBootSource::ExistingKey(path) => Some(existing_key(path, &new.chips)?.digest()),
    };
    for id in &new.chips {
        public(&table_name(*id), PARTITIONS.as_bytes())?;
    }
    let mut product = Product([0; 16]);
    random().fill_bytes(&mut product.0);
    let mut ids = [[0; 16]; 2];
    for id in &mut ids {
        random().fill_bytes(id);
    }
    public(PROJECT_FILE, describe(new, product, ids, digest).as_bytes())?;
    public("state/lock", b"")?;
    public(".gitignore", b"/keys/\n/ca/*.key\n/state/lock\n")?;
    let now = i64::try_from(time).unwrap_or(i64::MAX);
    development_ca::create(&folder.join("ca"), &new.name, now)?;
    make_root(folder, new, time)
}

fn make_root(folder: &Path, new: &NewProject, time: u64) -> Result<(), CreationError> {
    let project = Project::open(folder)?;
    let roots = (1..=new.root_keys)
        .map(|number| RoleKey::create(&folder.join(format!("keys/root-{number}.pem"))))
        .collect::<Result<Vec<_>, _>>()?;
    let alone = |name: &str| -> Result<RoleSetup, KeyError> {
        let key = RoleKey::create(&folder.join("keys").join(name))?;
        Ok(RoleSetup {
            keys: vec![key.public_key()],
            threshold: 1,
            generation: 1,
        })
    };
    let setup = RoleSetup {
        keys: roots.iter().map(RoleSigner::public_key).collect(),
        threshold: new.root_threshold,
        generation: 0,
    };
    let (releases, now) = (alone("releases.pem")?, alone("now.pem")?);
    let root = first_root(
        project.product,
        &project.lifetimes,
        time,
        [&setup, &releases, &now],
    )?;
    let mut log = ReleaseLog::create(&folder.join("state/releases.log"))?;
    let signers: Vec<_> = roots.iter().map(|key| key as &dyn RoleSigner).collect();
    let document = sign_root(&log, &root, None, &signers)?;
    files::create(
        &folder.join("roots/1.cose"),
        &document.bytes,
        Secrecy::Public,
    )?;
    Ok(log_root(&mut log, &root)?)
}

/// Gives the finished files their names; takes the names back when one cannot be given.
fn move_out(from: &Path, to: &Path) -> io::Result<()> {
    let mut names = fs::read_dir(from)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_by_key(|name| name == PROJECT_FILE);
    let mut moved: Vec<&std::ffi::OsString> = Vec::new();
    for name in &names {
        let failed = if fs::exists(to.join(name))? {
            Some(io::ErrorKind::AlreadyExists.into())
        } else {
            fs::rename(from.join(name), to.join(name)).err()
        };
        if let Some(error) = failed {
            for name in moved {
                fs::rename(to.join(name), from.join(name))?;
            }
            return Err(error);
        }
        moved.push(name);
    }
    Ok(())
}

fn table_name(chip: ChipId) -> String {
    format!("partitions/{}.csv", chip.target().unwrap_or_default())
}

/// Writes `espseal.toml` with the comments a person wants to find in it.
fn describe(
    new: &NewProject,
    product: Product,
    [vendor, class]: [[u8; 16]; 2],
    secure_boot: Option<Digest>,
) -> String {
    let quoted = |text: &str| toml::Value::String(text.into()).to_string();
    let mut text = format!(
        "\
# What this product is. Public: keep it in version control. The keys are in keys/, never there.
format = 1
name = {name}
product = \"{product}\"
vendor = \"{vendor}\"
class = \"{class}\"
# Where devices find the repository.
base-url = {url}

# How long signed documents live. `now` is renewed by `espseal now` from a cron job, several times
# within its lifetime; all others by publishing.
[lifetimes]
root-days = 3650
releases-days = 365
manifest-days = 3650
now-hours = 72
",
        name = quoted(&new.name),
        url = quoted(&new.base_url),
        vendor = Product(vendor),
        class = Product(class),
    );
    for id in &new.chips {
        let digests = secure_boot.map_or(String::new(), |digest| format!("\"{digest}\""));
        text += &format!(
            "
[[chip]]
chip = \"{target}\"
partition-table = \"{table}\"
partition-table-offset = 0x8000
# Digests of the secure boot keys burnt into the eFuses of every device; empty: no secure boot.
secure-boot-digests = [{digests}]
",
            target = id.target().unwrap_or_default(),
            table = table_name(*id),
        );
    }
    let chips: Vec<_> = new
        .chips
        .iter()
        .filter_map(|id| id.target())
        .map(quoted)
        .collect();
    for (index, name) in new.channels.iter().enumerate() {
        text += &format!(
            "
[[channel]]
name = {name}
# Devices of a group share an epoch key: no two channels share a group.
group = {group}
chips = [{chips}]
",
            name = quoted(name),
            group = index + 1,
            chips = chips.join(", "),
        );
    }
    text
}

/// Failure of making a project.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreationError {
    /// The folder holds something.
    #[error(
        "{} is not empty: it holds `{found}`; expected a missing or empty folder, choose another",
        folder.display()
    )]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
        /// Something in it.
        found: String,
    },
    /// An option makes no sense.
    #[error("{option} is `{found}`; expected {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The user interrupted.
    #[error("interrupted; nothing was left behind")]
    Interrupted,
    /// The key cannot sign for every chip.
    #[error(
        "{} is a key for {found}; the agent on {chips} verifies {expected}: choose a key of such a scheme",
        path.display()
    )]
    Scheme {
        /// The file.
        path: PathBuf,
        /// Its scheme.
        found: SignatureScheme,
        /// The chips.
        chips: String,
        /// Schemes that would do.
        expected: String,
    },
    /// No secure boot key signs for all of the chips.
    #[error(
        "{chips} have no secure boot scheme in common; expected chips that one key signs for: make a \
         project for each kind"
    )]
    NoCommonScheme {
        /// The chips.
        chips: String,
    },
    /// The options do not make a project.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A key cannot be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The root cannot be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The log cannot be started.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The development CA cannot be made.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl CreationError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NotEmpty { .. }
            | Self::Value { .. }
            | Self::Scheme { .. }
            | Self::NoCommonScheme { .. } => Blame::Usage,
            Self::Interrupted => Blame::Interrupted,
            Self::Project(error) => error.blame(),
            Self::Key(error) => error.blame(),
            Self::Signing(error) => error.blame(),
            Self::Log(error) => error.blame(),
            Self::Ca(error) => error.blame(),
            Self::File(_) => Blame::Io,
        }
    }
}
