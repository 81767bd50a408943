//! A hostile server: copies of the repository with one thing changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use espseal_format::cohort::Ppm;
use espseal_format::cose::Sign1;
use espseal_format::metadata::now::Now;
use espseal_format::metadata::releases::Releases;
use espseal_format::repository::Resource;
use espseal_format::units::{DeviceId, Digest};
use espseal_format::wrap::ShardEntry;

/// Copies a repository as it is now.
pub(crate) fn copy_repository(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_repository(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot copy to {}", target.display()))?;
        }
    }
    Ok(())
}

/// Flips one bit in the middle of a body.
pub(crate) fn tamper_with_body(repository: &Path, body: &Digest) -> Result<()> {
    edit(&path(repository, &Resource::Body(body)), |bytes| {
        let middle = bytes.len() / 2;
        *bytes.get_mut(middle).context("the body is empty")? ^= 1;
        Ok(())
    })
}

/// Gives each of two devices the epoch key that was wrapped for the other.
pub(crate) fn swap_wraps(repository: &Path, one: &DeviceId, other: &DeviceId) -> Result<()> {
    let shards = files_below(&repository.join("epochs"))?;
    for shard in shards {
        edit(&shard, |bytes| {
            let (entries, _) = bytes.as_chunks_mut::<{ ShardEntry::LEN }>();
            let find = |entries: &[[u8; ShardEntry::LEN]], id: &DeviceId| {
                entries.iter().position(|entry| entry.starts_with(&id.0))
            };
            if let (Some(a), Some(b)) = (find(entries, one), find(entries, other)) {
                entries.swap(a, b);
                for (index, id) in [(a, one), (b, other)] {
                    if let Some(name) = entries.get_mut(index).and_then(|e| e.first_chunk_mut()) {
                        *name = id.0;
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Offers everything to everybody, under the maker's old signature.
pub(crate) fn widen_cohort(repository: &Path) -> Result<()> {
    let named = path(repository, &Resource::Releases(&releases_of(repository)?));
    let widened = widened(&named)?;
    fs::write(&named, widened).with_context(|| format!("cannot write {}", named.display()))
}

/// The same, and `now` names the forged releases, under its own old signature.
pub(crate) fn widen_cohort_and_forge_now(repository: &Path) -> Result<()> {
    let widened = widened(&path(
        repository,
        &Resource::Releases(&releases_of(repository)?),
    ))?;
    let digest = Digest::of(&widened);
    let named = path(repository, &Resource::Releases(&digest));
    fs::write(&named, widened).with_context(|| format!("cannot write {}", named.display()))?;
    edit(&path(repository, &Resource::Now), |bytes| {
        let signed = Sign1::parse(bytes)?;
        let now = Now {
            releases: digest,
            ..Now::parse(signed.payload)?
        };
        let mut payload = [0; DOCUMENT];
        let length = now.encode(&mut payload)?;
        *bytes = forge(
            &signed,
            payload.get(..length).context("now fits its limit")?,
        )?;
        Ok(())
    })
}

/// Longest signed document.
const DOCUMENT: usize = 2048;

/// Digest of the releases that `now` names.
fn releases_of(repository: &Path) -> Result<Digest> {
    let now = fs::read(path(repository, &Resource::Now)).context("cannot read now.cose")?;
    Ok(Now::parse(Sign1::parse(&now)?.payload)?.releases)
}

/// Signed releases with every offer widened to all devices.
fn widened(releases: &Path) -> Result<Vec<u8>> {
    let bytes =
        fs::read(releases).with_context(|| format!("cannot read {}", releases.display()))?;
    let signed = Sign1::parse(&bytes)?;
    let mut releases = Releases::parse(signed.payload)?;
    for offer in &mut releases.offers {
        offer.ppm = Ppm::ALL;
    }
    let mut payload = [0; DOCUMENT];
    let length = releases.encode(&mut payload)?;
    forge(
        &signed,
        payload.get(..length).context("releases fit their limit")?,
    )
}

/// Puts a payload under somebody's signature of another one.
fn forge(signed: &Sign1<'_>, payload: &[u8]) -> Result<Vec<u8>> {
    let forged = Sign1 {
        kid: signed.kid,
        payload,
        signature: signed.signature,
    };
    let mut document = vec![0; DOCUMENT];
    let length = forged.encode(&mut document)?;
    document.truncate(length);
    Ok(document)
}

fn path(repository: &Path, resource: &Resource<'_>) -> PathBuf {
    repository.join(resource.path().as_str())
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let mut bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    change(&mut bytes)?;
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}
