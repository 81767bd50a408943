//! One release, all the way, on three virtual devices, and what happens when each thing goes wrong.
//!
//! * [`inputs`]: what is played with.
//! * [`workshop`], [`fleet`], [`stage`]: the maker, the devices, and both together with the server.
//! * [`acts`], [`attacks`], [`hostile`]: the story, and what goes wrong in it.
//! * [`scene`], [`summary`], [`watch`]: how it is judged and shown.
//! * [`keep`]: what is left behind.

mod acts;
mod attacks;
mod fleet;
mod hostile;
mod inputs;
mod keep;
mod scene;
mod stage;
mod summary;
mod watch;
mod workshop;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use espseal_publish::observer::Observer;

pub(crate) use inputs::OwnFiles;
pub(crate) use scene::Summary;
pub(crate) use summary::draw;

use inputs::Inputs;
use scene::{Scene, Sizes};
use stage::Stage;
use watch::Bars;

/// One act: what the progress bar says, and what plays it.
type Act = (&'static str, fn(&mut Stage<'_>) -> Result<Vec<Scene>>);

/// The acts, in order.
const ACTS: [Act; 13] = [
    ("leaving the factory", acts::leave_the_factory),
    ("polling release 1", acts::poll_release_1),
    ("publishing release 2", acts::publish_release_2),
    (
        "a server that widens the cohort",
        attacks::widen_behind_the_makers_back,
    ),
    ("installing release 2", acts::install_release_2),
    (
        "a server that tampers with the body",
        attacks::tamper_with_body,
    ),
    ("a server that replays release 1", attacks::replay_release_1),
    ("a server that swaps wraps", attacks::swap_wraps),
    ("otadata in plaintext", attacks::write_plaintext_otadata),
    ("a power cut in mid-download", attacks::cut_the_power),
    ("a write-protected flash chip", attacks::protect_the_flash),
    ("firmware that never confirms", attacks::never_confirm),
    ("publishing an unsigned image", attacks::publish_unsigned),
];

/// Plays the demo.
pub(crate) fn play(
    own: &OwnFiles,
    keep: Option<&Path>,
    quiet: bool,
    observer: &dyn Observer,
) -> Result<Summary> {
    let started = Instant::now();
    let inputs = inputs::gather(own)?;
    let temporary = tempfile::tempdir().context("cannot create a temporary folder")?;
    let folder = match keep {
        Some(folder) => folder,
        None => &temporary.path().join("kept"),
    };
    let claimed = claim(folder)?;
    let played = play_in(folder, temporary.path(), inputs, keep, quiet, observer);
    let (scenes, sizes) = match played {
        Ok(played) => played,
        Err(error) => {
            claimed.give_back();
            return Err(error);
        }
    };
    Ok(Summary::new(scenes, sizes, started.elapsed()))
}

/// Plays all acts in an empty folder.
fn play_in(
    folder: &Path,
    temporary: &Path,
    inputs: Vec<Inputs>,
    keep: Option<&Path>,
    quiet: bool,
    observer: &dyn Observer,
) -> Result<(Vec<Scene>, Sizes)> {
    let bars = Bars::new(ACTS.len() as u64, quiet);
    let mut stage = Stage::set(folder, temporary, inputs, observer, bars)?;
    attacks::keep_old_repository(&stage)?;
    let mut scenes = Vec::new();
    for (title, act) in ACTS {
        if observer.is_interrupted() {
            stage.bars.clear();
            return Err(Interrupted.into());
        }
        stage.bars.announce(title);
        match act(&mut stage) {
            Ok(played) => scenes.extend(played),
            Err(error) => scenes.push(Scene::broken(title, &error)),
        }
        stage.bars.finish_scene();
    }
    stage.bars.clear();
    if observer.is_interrupted() {
        return Err(Interrupted.into());
    }
    if let Some(folder) = keep {
        keep::keep(&mut stage, folder)?;
    }
    let sizes = stage.sizes;
    stage.server.stop();
    Ok((scenes, sizes))
}

/// Takes a folder that is missing or empty.
fn claim(folder: &Path) -> Result<Claimed<'_>> {
    let text = || format!("cannot create {}", folder.display());
    let was_there = folder.exists();
    std::fs::create_dir_all(folder).with_context(text)?;
    if std::fs::read_dir(folder)
        .with_context(text)?
        .next()
        .is_some()
    {
        bail!(
            "{} is not empty; give --keep a new folder",
            folder.display()
        );
    }
    Ok(Claimed { folder, was_there })
}

/// A folder that was missing or empty, and is given back so when the demo cannot be played.
struct Claimed<'a> {
    folder: &'a Path,
    was_there: bool,
}

impl Claimed<'_> {
    /// Removes what the demo has put there; what cannot be removed stays.
    fn give_back(&self) {
        for entry in std::fs::read_dir(self.folder)
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            let _ = match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => std::fs::remove_dir_all(path),
                false => std::fs::remove_file(path),
            };
        }
        if !self.was_there {
            let _ = std::fs::remove_dir(self.folder);
        }
    }
}

/// The user asked to stop.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted; nothing was kept")
    }
}

impl std::error::Error for Interrupted {}
