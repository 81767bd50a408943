//! Hostile servers: every byte of every artefact bent, every file in the place of every other, old
//! and foreign metadata, stolen keys, endless answers, images that were not signed for.
//!
//! The device polls such a repository once. The error has to name the document at fault, nothing
//! outside the journal may be erased before the commitments have held, nothing bootable may be left
//! behind, and the honest repository has to succeed afterwards.

pub(crate) mod attacks;
pub(crate) mod bed;
mod bytes;
pub(crate) mod cases;
mod direct;
mod images;
mod stolen;
mod swaps;

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use crate::answer::Answer;
use crate::power_cut::plan::Scope;
use attacks::{Attack, Scene};
use bed::Bed;

/// What came out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Sum {
    attacks: u64,
    by_kind: BTreeMap<&'static str, u64>,
    /// Most bytes that one poll read.
    most_read: usize,
    violations: u64,
    seconds: f64,
    first_violations: Vec<String>,
}

/// How many bytes one poll may read at the most: the release of 12 KB with chunk 0 twice, its
/// metadata twice, and less than a page of an answer that does not end.
const MOST_READ: usize = 32 * 1024;

/// Runs every attack; bytes are bent all of them in metadata, and in the body as far as the scope says.
pub(crate) fn run(scope: Scope, hasty: bool, mut say: impl FnMut(&str)) -> Sum {
    let begun = Instant::now();
    let mut sum = Sum::default();
    let scene = Scene::new();
    type Kind = fn(&Scene, Scope) -> Vec<Attack>;
    let kinds: [(&'static str, Kind); 5] = [
        ("policy and metadata", cases::attacks),
        ("images and keys", images::attacks),
        ("stolen keys", stolen::attacks),
        ("files swapped", swaps::attacks),
        ("bytes bent", bytes::attacks),
    ];
    for (kind, attacks) in kinds {
        if hasty && sum.violations > 0 {
            break;
        }
        let attacks = attacks(&scene, scope);
        sum.launch(&scene, kind, &attacks, hasty);
        say(&format!("{kind}: {} attacks", attacks.len()));
    }
    if !(hasty && sum.violations > 0) {
        let scene = Scene::direct();
        let attacks = direct::attacks(&scene);
        sum.launch(&scene, "direct images", &attacks, hasty);
        say(&format!("direct images: {} attacks", attacks.len()));
    }
    sum.seconds = begun.elapsed().as_secs_f64();
    sum
}

impl Sum {
    fn launch(&mut self, scene: &Scene, kind: &'static str, attacks: &[Attack], hasty: bool) {
        let next = std::sync::atomic::AtomicUsize::new(0);
        let sum = std::sync::Mutex::new(self);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let work = || {
            let mut bed = Bed::new(scene);
            loop {
                let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(attack) = attacks.get(index) else {
                    return;
                };
                let (read, verdict) = attack.launch(scene, &mut bed);
                let mut sum = sum.lock().unwrap();
                sum.attacks += 1;
                *sum.by_kind.entry(kind).or_default() += 1;
                sum.most_read = sum.most_read.max(read);
                let verdict = verdict.and_then(|()| {
                    let bounded = read <= MOST_READ;
                    bounded
                        .then_some(())
                        .ok_or(format!("{read} bytes were read"))
                });
                if let Err(words) = verdict {
                    sum.violations += 1;
                    if sum.first_violations.len() < 20 {
                        let words = format!("{kind}: {}: {words}", attack.name);
                        sum.first_violations.push(words);
                    }
                    if hasty {
                        next.store(attacks.len(), std::sync::atomic::Ordering::Relaxed);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
    }
}

impl Answer for Sum {
    fn violations(&self) -> u64 {
        self.violations
    }

    fn words(&self) -> &[String] {
        &self.first_violations
    }

    fn summary(&self) -> String {
        format!(
            "{} attacks {:?}; at most {} bytes read in one; {} violations; {:.0} s",
            self.attacks, self.by_kind, self.most_read, self.violations, self.seconds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hostile_repository_gets_more_than_an_error_that_names_it() {
        let sum = run(Scope::Share, false, |line| println!("{line}"));
        println!("{}", sum.summary());
        assert_eq!(sum.violations, 0, "{:#?}", sum.first_violations);
    }
}
