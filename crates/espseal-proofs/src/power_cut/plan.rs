//! Which stories are explored, with which cuts: everything, or the share that tests have time for.

use espseal_agent::config::RollbackRule;
use espseal_format::chip::ChipId;
use espseal_twin::boot::Rollback;
use espseal_twin::power::{Moment, Tear};

use super::explorer::{Cuts, Place};
use super::story::Plot;
use crate::geometry::{CHIPS, FACTORY, Geometry, LARGE, Locks, THREE_SLOTS, TWO_SLOTS, Table};

/// Length of a small new image in bytes, before padding and signature: three chunks when signed.
pub(crate) const SMALL: usize = 7000;
/// Length of an image of two pages of hashes.
pub(crate) const WHOLE: usize = 135 * 4096;

/// One story to explore.
pub(crate) struct Task {
    pub(crate) geometry: Geometry,
    pub(crate) plot: Plot,
    pub(crate) length: usize,
    pub(crate) cuts: Cuts,
}

/// How much to explore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What a deliberate bug has to be caught by within seconds.
    Quick,
    /// What `cargo xtask test` has time for.
    Share,
    /// Everything.
    Full,
}

/// Every moment that tears an operation in a way of its own: around the entry of 32 bytes, its
/// fields, the rows of 16 and 32 bytes, the record of 368 bytes, pages, both ends.
fn fine() -> Vec<Moment> {
    let bytes = [
        0, 1, 4, 15, 16, 17, 24, 28, 31, 32, 33, 128, 255, 256, 352, 368, 1024, 2048, 4080, 4095,
    ];
    let torn = bytes.map(Tear::AfterBytes).into_iter();
    moments(torn.chain([1, 2, 3].map(Tear::Scattered)))
}

/// Moments for pairs of cuts.
fn coarse() -> Vec<Moment> {
    let torn = [0, 31, 2048].map(Tear::AfterBytes).into_iter();
    moments(torn.chain([Tear::Scattered(1)]))
}

/// Every bit of an otadata entry (32 bytes) in turn is slower than the others.
fn slow_bits() -> Vec<Moment> {
    (0..256)
        .map(|bit| Moment::Inside(Tear::SlowBit(bit)))
        .collect()
}

fn moments(tears: impl Iterator<Item = Tear>) -> Vec<Moment> {
    let inside = tears.map(Moment::Inside);
    [Moment::Before]
        .into_iter()
        .chain(inside)
        .chain([Moment::After])
        .collect()
}

fn once(moments: Vec<Moment>) -> Cuts {
    Cuts {
        moments: [moments, Vec::new()],
        count: 1,
        place: Place::Everywhere,
    }
}

fn twice(place: Place) -> Cuts {
    Cuts {
        moments: [coarse(), coarse()],
        count: 2,
        place,
    }
}

/// Every geometry of these tables and locks, with every bootloader.
fn geometries(tables: &[&'static Table], locks: &[Locks]) -> Vec<Geometry> {
    let bootloaders = [
        (Rollback::Enabled, RollbackRule::Required),
        (Rollback::Disabled, RollbackRule::Optional),
        (Rollback::Disabled, RollbackRule::Required),
    ];
    let mut all = Vec::new();
    for chip in CHIPS {
        for table in tables {
            for locks in locks {
                for (rollback, rule) in bootloaders {
                    all.push(Geometry {
                        chip,
                        table,
                        locks: *locks,
                        rollback,
                        rule,
                    });
                }
            }
        }
    }
    all
}

/// Every plot on each of these geometries that it suits.
fn stories(geometries: &[Geometry], length: usize, cuts: &Cuts) -> Vec<Task> {
    let each = geometries.iter().flat_map(|geometry| {
        let plots = Plot::ALL.into_iter().filter(|plot| plot.suits(geometry));
        plots.map(|plot| Task {
            geometry: *geometry,
            plot,
            length,
            cuts: cuts.clone(),
        })
    });
    each.collect()
}

/// The tasks of a scope.
pub(crate) fn tasks(scope: Scope) -> Vec<Task> {
    let small = [&TWO_SLOTS, &FACTORY, &THREE_SLOTS];
    let all = [Locks::Release, Locks::Signed, Locks::Open];
    let ends = [Locks::Release, Locks::Open];
    let plain = |task: &Task| task.geometry.rollback == Rollback::Enabled;
    match scope {
        Scope::Quick => {
            let geometries = geometries(&[&TWO_SLOTS], &[Locks::Release]);
            let mut tasks = stories(&geometries, SMALL, &once(coarse()));
            let c3 = |task: &Task| task.geometry.chip == ChipId::Esp32C3;
            tasks.retain(|task| plain(task) && c3(task) && task.plot != Plot::Crasher);
            tasks.extend(slow_rollback(ChipId::Esp32C3));
            tasks
        }
        Scope::Share => {
            let mut tasks = stories(&geometries(&small, &ends), SMALL, &once(coarse()));
            tasks.retain(is_telling);
            let open = geometries(&[&TWO_SLOTS], &[Locks::Open]);
            let pairs = stories(&open, 4200, &twice(Place::Everywhere));
            tasks.extend(pairs.into_iter().filter(|task| {
                task.plot == Plot::Update && plain(task) && task.geometry.chip == ChipId::Esp32C3
            }));
            let slow = stories(&open, 4200, &once(slow_bits()));
            tasks.extend(slow.into_iter().filter(|task| {
                task.plot == Plot::Update && plain(task) && task.geometry.chip == ChipId::Esp32
            }));
            tasks.extend(slow_rollback(ChipId::Esp32C3));
            tasks.extend(two_pages(&once(vec![Moment::Before]), |task| {
                plain(task) && task.geometry.chip == ChipId::Esp32
            }));
            tasks
        }
        Scope::Full => {
            let mut tasks = stories(&geometries(&small, &all), SMALL, &once(fine()));
            let pairs = twice(Place::Everywhere);
            tasks.extend(stories(&geometries(&[&TWO_SLOTS], &ends), SMALL, &pairs));
            let others = geometries(&[&FACTORY, &THREE_SLOTS], &[Locks::Release]);
            let others = stories(&others, SMALL, &pairs).into_iter();
            tasks.extend(others.filter(|task| plain(task) && is_telling(task)));
            let unencrypted = geometries(&[&TWO_SLOTS], &[Locks::Signed, Locks::Open]);
            tasks.extend(stories(&unencrypted, SMALL, &once(slow_bits())));
            tasks.extend(two_pages(&once(coarse()), plain));
            tasks.extend(two_pages(&twice(Place::Trial), plain));
            tasks
        }
    }
}

/// A rollback on unencrypted flash with each slow bit: the one thing that tells NEW from VALID.
fn slow_rollback(chip: ChipId) -> impl Iterator<Item = Task> {
    let open = geometries(&[&TWO_SLOTS], &[Locks::Open]);
    let tasks = stories(&open, 4200, &once(slow_bits())).into_iter();
    tasks.filter(move |task| {
        let geometry = &task.geometry;
        task.plot == Plot::Rollback
            && geometry.rollback == Rollback::Enabled
            && geometry.chip == chip
    })
}

/// Updates to an image of two pages of hashes, on encrypted flash.
fn two_pages(cuts: &Cuts, wanted: impl Fn(&Task) -> bool) -> Vec<Task> {
    let mut tasks = stories(&geometries(&[&LARGE], &[Locks::Release]), WHOLE, cuts);
    tasks.retain(|task| task.plot == Plot::Update && wanted(task));
    tasks
}

/// Whether a story belongs to the share: all plots on encrypted devices of two slots, and on each
/// other table two plots that write wherever anything is ever written.
fn is_telling(task: &Task) -> bool {
    let Geometry { table, locks, .. } = task.geometry;
    let main = locks == Locks::Release && table.name == TWO_SLOTS.name;
    let guarded = task.geometry.rollback == Rollback::Enabled;
    main || guarded && matches!(task.plot, Plot::Update | Plot::Relapse)
}
