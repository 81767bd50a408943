//! `espseal root`: signs the next root.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use espseal_format::metadata::releases::Offer;
use espseal_publish::blame::Blame;
use espseal_publish::root_renewal::{RoleChange, RootRequest};
use serde_json::json;

use crate::answer::{Answer, date};
use crate::cli::{Context, Outcome};
use crate::failure::Failure;

/// Signs the next root: a later expiry, or new role keys after a theft.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal root                                    # a later expiry
  espseal root --replace now                      # the `now` key may have been stolen
  espseal root --key /media/a/root-1.pem --key /media/b/root-2.pem

A role key may be in an HSM: name an .ini file (see `espseal sign --help`) with --key, or in espseal.toml:
  [role-keys]
  releases = \"hsm-releases.ini\"
  now = \"keys/now.pem\"
then `espseal root --replace releases` makes devices trust the token's key.
A replaced role starts a new generation: nothing that the old key has signed counts any more. After
`--replace releases` devices install what is on offer once more, which then counts as newer.")]
pub(crate) struct Root {
    /// Root key that signs; may be given again. keys/root-*.pem of the project when left out.
    #[arg(long = "key", value_name = "PEM")]
    keys: Vec<PathBuf>,
    /// Role that gets a new key and a new generation; may be given again.
    #[arg(long, value_name = "ROLE")]
    replace: Vec<Role>,
}

/// A role that signs alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// The key that puts releases on offer.
    Releases,
    /// The short-lived key of cron jobs.
    Now,
}

impl Root {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let observer = context.progress.watch_interrupt();
        let mut authority = context.authority()?;
        let change = |role| match self.replace.contains(&role) {
            true => RoleChange::Replace,
            false => RoleChange::Keep,
        };
        let (releases, now) = (change(Role::Releases), change(Role::Now));
        let root_keys = match self.keys.is_empty() {
            true => keys_in(&context.global.project.join("keys"))?,
            false => self.keys,
        };
        let request = RootRequest {
            root_keys,
            releases,
            now,
        };
        let renewed = authority.renew_root(&request, context.time()?, observer)?;
        let names = |offers: &[Offer]| -> Vec<String> {
            let name = |offer: &Offer| format!("{} for {}", offer.channel, offer.chip);
            offers.iter().map(name).collect()
        };
        let out_of_reach = names(&renewed.out_of_reach);
        let without_direct = names(&renewed.without_direct);
        let mut answer = Answer::new(json!({
            "root-version": renewed.version,
            "expires": renewed.expires,
            "now-version": renewed.signed.map(|signed| signed.now.version),
            "out-of-reach": out_of_reach,
            "without-direct": without_direct,
        }))
        .line(format_args!(
            "signed root {}, it expires {}",
            renewed.version,
            date(renewed.expires)
        ));
        for offer in out_of_reach {
            answer = answer.line(format_args!(
                "  publish anew  {offer}: it has a --min-seq, which no device of the old generation reaches"
            ));
        }
        for offer in without_direct {
            answer = answer.line(format_args!(
                "  publish anew  {offer}: its direct images were signed with the replaced key"
            ));
        }
        Ok(answer)
    }
}

/// The root keys that are still in the project.
fn keys_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| {
        let what = format!(
            "cannot list {}: {error}; check its permissions",
            folder.display()
        );
        Failure::new(Blame::Io, what)
    };
    let mut keys = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let is_root = name
            .to_str()
            .is_some_and(|name| name.starts_with("root-") && name.ends_with(".pem"));
        if is_root {
            keys.push(entry.path());
        }
    }
    keys.sort();
    Ok(keys)
}
