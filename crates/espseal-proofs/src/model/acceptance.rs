//! The metadata's machine: roots, `now` and `releases` in every order, by a maker and by thieves.

use std::collections::{BTreeSet, VecDeque};

use espseal_agent::acceptance::{self, Clock};
use espseal_format::metadata::now::Now;
use espseal_format::metadata::releases::Releases;
use espseal_format::metadata::root::{RoleKeys, Root};
use espseal_format::units::{Digest, Position, Product};

use super::Sum;

const OWN: Product = Product([1; 16]);
const OTHER: Product = Product([2; 16]);
/// Latest time that roots allow; times are small numbers here.
const CAP: u64 = 3;
const GENERATIONS: [u32; 3] = [1, 2, 3];
const VERSIONS: [u64; 3] = [1, 2, u64::MAX];

/// What the journal keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    root: u32,
    /// Generations that the trusted root gives to `releases` and `now`.
    generations: (u32, u32),
    now: (u32, u64),
    releases: (u32, u64),
    time: u64,
}

fn root(product: Product, version: u32, (releases, now): (u32, u32)) -> Root {
    let role = |generation| RoleKeys {
        threshold: 1,
        keys: heapless::Vec::new(),
        generation,
    };
    Root {
        product,
        version,
        expires: 2,
        max_time: CAP,
        root: role(0),
        releases: role(releases),
        now: role(now),
    }
}

fn position((generation, version): (u32, u64)) -> Position {
    Position {
        generation,
        version,
    }
}

fn nows() -> Vec<Now> {
    let mut all = Vec::new();
    for product in [OWN, OTHER] {
        for generation in GENERATIONS {
            for version in VERSIONS {
                for (time, expires) in [(1, 2), (1, 9), (CAP, 9), (CAP + 1, 9)] {
                    for root_version in 1..=4 {
                        all.push(Now {
                            product,
                            position: position((generation, version)),
                            time,
                            expires,
                            releases: Digest([0; 32]),
                            root_version,
                            holds: heapless::Vec::new(),
                        });
                    }
                }
            }
        }
    }
    all
}

fn all_releases() -> Vec<Releases> {
    let mut all = Vec::new();
    for product in [OWN, OTHER] {
        for generation in GENERATIONS {
            for version in VERSIONS {
                for expires in [2, 9] {
                    all.push(Releases {
                        product,
                        position: position((generation, version)),
                        previous: None,
                        expires,
                        offers: heapless::Vec::new(),
                        epochs: heapless::Vec::new(),
                    });
                }
            }
        }
    }
    all
}

/// Every state that any order of documents leads to; whoever signs them has the keys.
pub(super) fn explore(sum: &mut Sum) {
    let first = Kept {
        root: 1,
        generations: (1, 1),
        now: (0, 0),
        releases: (0, 0),
        time: 0,
    };
    let (nows, releases) = (nows(), all_releases());
    let mut known = BTreeSet::new();
    let mut queue = VecDeque::from([first]);
    while let Some(kept) = queue.pop_front() {
        if !known.insert(kept) {
            continue;
        }
        roots(&kept, sum, &mut queue);
        let trusted = root(OWN, kept.root, kept.generations);
        for now in &nows {
            sum.metadata_judgements += 1;
            let clock = clock(&trusted, &kept);
            let accepted =
                acceptance::now(now, &trusted, kept.root, position(kept.now), clock).is_ok();
            sum.demand(accepted == is_good_now(now, &kept), || {
                format!("{now:?} is judged {accepted} in {kept:?}")
            });
            if !accepted {
                continue;
            }
            for one in &releases {
                sum.metadata_judgements += 1;
                let clock = clock.after(now.time);
                let floor = position(kept.releases);
                let accepted = acceptance::releases(one, &trusted, floor, clock).is_ok();
                let late = one.expires <= told(&kept).max(now.time);
                let good = one.product == OWN
                    && one.position.generation == kept.generations.0
                    && one.position >= floor
                    && !late;
                sum.demand(accepted == good, || {
                    format!("{one:?} is judged {accepted} in {kept:?}")
                });
                if accepted {
                    let (now, one) = (now.position, one.position);
                    queue.push_back(Kept {
                        now: (now.generation, now.version),
                        releases: (one.generation, one.version),
                        time: clock.earliest(),
                        ..kept
                    });
                }
            }
        }
        recovery(&kept, sum);
    }
    for kept in &known {
        sum.demand(kept.time <= CAP, || {
            format!("a time beyond every root's cap: {kept:?}")
        });
    }
    sum.metadata_states = known.len();
}

/// The rules of section 6, said once more.
fn is_good_now(now: &Now, kept: &Kept) -> bool {
    now.product == OWN
        && now.root_version == kept.root
        && now.position.generation == kept.generations.1
        && now.position >= position(kept.now)
        && now.time <= CAP
        && now.expires > told(kept).max(now.time)
}

/// What a device without a clock of its own knows about the time under a root.
fn clock(root: &Root, kept: &Kept) -> Clock {
    let floor = position(kept.now);
    Clock::Floor(acceptance::time_told(root.now.generation, floor, kept.time))
}

/// What the generation of `now` that holds has said about the time.
fn told(kept: &Kept) -> u64 {
    match kept.generations.1 == kept.now.0 {
        true => kept.time,
        false => 0,
    }
}

fn roots(kept: &Kept, sum: &mut Sum, queue: &mut VecDeque<Kept>) {
    let trusted = root(OWN, kept.root, kept.generations);
    for product in [OWN, OTHER] {
        for version in 0..=4 {
            for releases in GENERATIONS {
                for now in GENERATIONS {
                    sum.metadata_judgements += 1;
                    let next = root(product, version, (releases, now));
                    let accepted = acceptance::root_step(&trusted, &next).is_ok();
                    let good = product == OWN
                        && version == kept.root + 1
                        && releases >= kept.generations.0
                        && now >= kept.generations.1;
                    sum.demand(accepted == good, || {
                        format!("{next:?} is judged {accepted} in {kept:?}")
                    });
                    if accepted && version <= 3 {
                        queue.push_back(Kept {
                            root: version,
                            generations: (releases, now),
                            ..*kept
                        });
                    }
                }
            }
        }
    }
    for time in 0..=CAP + 1 {
        let floor = acceptance::root(&trusted, Clock::Floor(time)).is_ok();
        sum.demand(floor, || format!("a floor of {time} expires the root"));
        let clock = acceptance::root(&trusted, Clock::Trusted(time)).is_ok();
        sum.demand(clock == (time < trusted.expires), || {
            format!("a clock of {time} is not believed")
        });
    }
}

/// Whatever a thief has signed, a root that raises the generations is followed by documents that
/// start from 1 again, at an honest time that lies before the thief's.
fn recovery(kept: &Kept, sum: &mut Sum) {
    let next = (kept.generations.0 + 1, kept.generations.1 + 1);
    let trusted = root(OWN, kept.root, kept.generations);
    let rescue = root(OWN, kept.root + 1, next);
    let clock = clock(&rescue, kept);
    let now = Now {
        product: OWN,
        position: position((next.1, 1)),
        time: 1,
        expires: 2,
        releases: Digest([0; 32]),
        root_version: rescue.version,
        holds: heapless::Vec::new(),
    };
    let releases = Releases {
        product: OWN,
        position: position((next.0, 1)),
        previous: None,
        expires: 2,
        offers: heapless::Vec::new(),
        epochs: heapless::Vec::new(),
    };
    let rescued = acceptance::root_step(&trusted, &rescue).is_ok()
        && acceptance::root(&rescue, clock).is_ok()
        && acceptance::now(&now, &rescue, rescue.version, position(kept.now), clock).is_ok()
        && acceptance::releases(&releases, &rescue, position(kept.releases), clock).is_ok();
    sum.demand(rescued, || format!("no new root helps any more: {kept:?}"));
}
