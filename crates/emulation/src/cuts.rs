//! Power cuts: at flash operations all over an update, before them and inside page programs.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, anyhow, ensure};
use emulated::flash::{Cut, Moment};
use emulated::frame::OperationKind;

use crate::life::{Life, Plan, TornErase, Unit, address};
use crate::product::CHUNKS;
use crate::scenes::{Leg, Stage};
use crate::verdict::Cuts;

/// One place for power to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    /// Which update.
    leg: usize,
    /// Which run of it.
    run: usize,
    cut: Cut,
    /// The address of the operation.
    at: u32,
    torn_erase: Option<TornErase>,
}

/// What one cut led to.
struct Outcome {
    point: Point,
    fetched_again: u32,
    head_fetched: u32,
}

/// Cuts, resumes and judges at `--cuts` points of the undisturbed updates.
pub(crate) fn play(stage: &Stage<'_>, legs: &[Leg<'_>]) -> Result<Cuts> {
    let lives = legs.iter().map(|leg| &leg.life).enumerate();
    let every: Vec<_> = lives.flat_map(|(leg, life)| points_of(leg, life)).collect();
    let points = chosen(&every, stage.arguments.cuts, |point| {
        match (point.torn_erase, stage.workshop.product.place(point.at)) {
            (Some(_), _) => Kind::TornErase,
            (None, CHUNKS) => Kind::AmongChunks,
            (None, _) => Kind::Turning,
        }
    });
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let worker = |name: usize| -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(point) = points.get(index) else {
                return Ok(());
            };
            let outcome = strike(stage, legs, *point, name).with_context(|| {
                let Cut { operation, moment } = point.cut;
                let (run, at) = (point.run, address(point.at));
                let update = point.leg + 1;
                let torn = point.torn_erase.map_or("", |_| " and a torn erase");
                format!("power cut in update {update}, run {run}, at operation {operation} ({at}), {moment:?}{torn}")
            });
            let failed = outcome.is_err();
            if let Ok(mut outcomes) = outcomes.lock() {
                outcomes.push(outcome);
                if outcomes.len().is_multiple_of(25) {
                    stage.say(&format!("{} of {} cuts", outcomes.len(), points.len()));
                }
            }
            if failed {
                next.store(points.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..stage.arguments.jobs.max(1))
            .map(|name| scope.spawn(move || worker(name)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
    })?;
    let outcomes = outcomes
        .into_inner()
        .map_err(|_| anyhow!("a worker panicked"))?
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    ensure!(outcomes.len() == points.len(), "not every cut was played");
    Ok(tally(stage, &outcomes))
}

/// Every flash operation of an update: before it, inside it, and at the end of a run after it.
fn points_of(leg: usize, clean: &Life) -> Vec<Point> {
    let mut points = Vec::new();
    for (run, operations) in clean.operations.iter().enumerate() {
        let mut add = |operation, moment, at, torn_erase| {
            points.push(Point {
                leg,
                run,
                cut: Cut { operation, moment },
                at,
                torn_erase,
            });
        };
        for (operation, (kind, at)) in (0_u32..).zip(operations) {
            add(operation, Moment::Before, *at, None);
            match kind {
                OperationKind::Program => {
                    add(operation, Moment::Inside(bytes_done(operation)), *at, None);
                }
                OperationKind::Erase => {
                    let seed = operation.wrapping_add(1).wrapping_mul(0x9E37_79B9);
                    let torn = TornErase { at: *at, seed };
                    add(operation, Moment::Before, *at, Some(torn));
                }
            }
        }
        // Everything written, and the restart not begun.
        let last = u32::try_from(operations.len()).unwrap_or(0).checked_sub(1);
        if let (Some((_, at)), Some(last)) = (operations.last(), last) {
            add(last, Moment::After, *at, None);
        }
    }
    points
}

/// How much of a page gets programmed: another place for each operation, from 1 to 255 bytes.
fn bytes_done(operation: u32) -> u16 {
    u16::try_from(operation.wrapping_mul(89) % 255).map_or(1, |place| place + 1)
}

/// Kinds of points, each of which gets its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    TornErase,
    /// Where the update turns: journal, otadata, chunk 0.
    Turning,
    AmongChunks,
}

/// Eighths of the points that each kind gets.
const SHARES: [(Kind, usize); 3] = [
    (Kind::TornErase, 1),
    (Kind::Turning, 3),
    (Kind::AmongChunks, 4),
];

/// Picks points evenly within each kind; where one kind has too few, the others have more.
fn chosen(points: &[Point], count: usize, kind_of: impl Fn(&Point) -> Kind) -> Vec<Point> {
    let groups = SHARES.map(|(kind, share)| {
        let mut group: Vec<Point> = points
            .iter()
            .copied()
            .filter(|point| kind_of(point) == kind)
            .collect();
        // They alternate in time: sorted, as many of one sort as of the other are hit.
        group.sort_by_key(|point| matches!(point.cut.moment, Moment::Inside(_)));
        (count * share / 8, group)
    });
    let taken: usize = groups
        .iter()
        .map(|(share, group)| group.len().min(*share))
        .sum();
    let mut rest = count - taken;
    groups
        .iter()
        .flat_map(|(share, group)| {
            let mine = group.len().min(*share);
            let more = rest.min(group.len() - mine);
            rest -= more;
            evenly(group, mine + more)
        })
        .collect()
}

/// `count` of the points, evenly spread.
fn evenly(points: &[Point], count: usize) -> Vec<Point> {
    (0..count)
        .filter_map(|index| points.get(index * points.len() / count.max(1)))
        .copied()
        .collect()
}

/// Cuts once, resumes, and lets the virtual device judge.
fn strike(stage: &Stage<'_>, legs: &[Leg<'_>], point: Point, worker: usize) -> Result<Outcome> {
    let leg = legs.get(point.leg).context("no such update")?;
    let flash = leg.life.flash.get(point.run).context("no such run")?;
    let file = stage.folder.join(format!("cut-{worker}.bin"));
    let unit = Unit::new(stage.workshop, file, flash)?;
    let plan = Plan {
        cut: Some(point.cut),
        torn_erase: point.torn_erase,
        ..Plan::QUIET
    };
    let life = unit.live(plan, leg.server)?;
    unit.must_have_updated(&life, leg.goal)?;
    ensure!(
        life.fetched_again() <= 1,
        "chunks came again: {:?}",
        life.fetched
    );
    Ok(Outcome {
        point,
        fetched_again: life.fetched_again(),
        head_fetched: life.head_fetched(),
    })
}

fn tally(stage: &Stage<'_>, outcomes: &[Outcome]) -> Cuts {
    let mut places = BTreeMap::new();
    for outcome in outcomes {
        let place = stage.workshop.product.place(outcome.point.at);
        *places.entry(place).or_insert(0) += 1;
    }
    let inside = |outcome: &&Outcome| matches!(outcome.point.cut.moment, Moment::Inside(_));
    let torn = |outcome: &&Outcome| outcome.point.torn_erase.is_some();
    Cuts {
        points: outcomes.len(),
        inside_a_page: outcomes.iter().filter(inside).count(),
        inside_an_erase: outcomes.iter().filter(torn).count(),
        places,
        fetched_again_at_most: outcomes
            .iter()
            .map(|one| one.fetched_again)
            .max()
            .unwrap_or(0),
        head_fetched_at_most: outcomes
            .iter()
            .map(|one| one.head_fetched)
            .max()
            .unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERASE: (OperationKind, u32) = (OperationKind::Erase, 0x4000);
    const PROGRAM: (OperationKind, u32) = (OperationKind::Program, 0x100);

    fn points() -> Vec<Point> {
        let clean = Life {
            operations: vec![vec![ERASE, PROGRAM, PROGRAM], vec![], vec![ERASE]],
            ..Life::default()
        };
        points_of(0, &clean)
    }

    #[test]
    fn power_may_go_before_and_inside_each_operation_and_after_the_last() {
        let found: Vec<_> = points()
            .into_iter()
            .map(|point| {
                (
                    point.run,
                    point.cut.operation,
                    point.cut.moment,
                    point.torn_erase,
                )
            })
            .collect();
        let torn = |operation: u32| {
            Some(TornErase {
                at: 0x4000,
                seed: (operation + 1).wrapping_mul(0x9E37_79B9),
            })
        };
        assert_eq!(
            found,
            [
                (0, 0, Moment::Before, None),
                (0, 0, Moment::Before, torn(0)),
                (0, 1, Moment::Before, None),
                (0, 1, Moment::Inside(90), None),
                (0, 2, Moment::Before, None),
                (0, 2, Moment::Inside(179), None),
                (0, 2, Moment::After, None),
                (2, 0, Moment::Before, None),
                (2, 0, Moment::Before, torn(0)),
                (2, 0, Moment::After, None),
            ]
        );
    }

    #[test]
    fn a_program_is_never_cut_at_its_first_or_last_byte() {
        assert!((0..1000).all(|operation| (1..=255).contains(&bytes_done(operation))));
    }

    fn kind(point: &Point) -> Kind {
        match (point.torn_erase, point.at) {
            (Some(_), _) => Kind::TornErase,
            (None, 0x100) => Kind::Turning,
            (None, _) => Kind::AmongChunks,
        }
    }

    #[test]
    fn as_many_points_are_chosen_as_asked_for_and_none_twice() {
        let all = points();
        for count in 0..=all.len() {
            let chosen = chosen(&all, count, kind);
            assert_eq!(chosen.len(), count);
            for (index, point) in chosen.iter().enumerate() {
                assert!(!chosen[..index].contains(point), "{count}: {point:?} twice");
            }
        }
        assert_eq!(chosen(&all, 99, kind).len(), all.len());
    }

    #[test]
    fn every_kind_gets_its_share() {
        let all = points();
        let chosen = chosen(&all, 8, kind);
        for wanted in [Kind::TornErase, Kind::Turning, Kind::AmongChunks] {
            assert!(
                chosen.iter().any(|point| kind(point) == wanted),
                "{wanted:?}"
            );
        }
    }
}
