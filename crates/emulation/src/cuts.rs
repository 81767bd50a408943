//! Power cuts: at flash operations all over an update, before them and inside page programs.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, anyhow, ensure};
use emulated::flash::{Cut, Moment};
use emulated::frame::OperationKind;

use crate::life::{Life, Plan, Unit, address};
use crate::scenes::Stage;
use crate::verdict::Cuts;

/// One place for power to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    /// Which run of the clean life.
    run: usize,
    cut: Cut,
    /// The address of the operation.
    at: u32,
}

/// What one cut led to.
struct Outcome {
    point: Point,
    fetched_again: u32,
    head_fetched: u32,
}

/// Cuts, resumes and judges at `--cuts` points of the clean life.
pub(crate) fn play(stage: &Stage<'_>, clean: &Life) -> Result<Cuts> {
    let points = chosen(&every_point(clean), stage, stage.arguments.cuts);
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let worker = |name: usize| -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(point) = points.get(index) else {
                return Ok(());
            };
            let outcome = strike(stage, clean, *point, name).with_context(|| {
                let Cut { operation, moment } = point.cut;
                let (run, at) = (point.run, address(point.at));
                format!("power cut in run {run} at operation {operation} ({at}), {moment:?}")
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

/// Every flash operation of the clean life, before it, and inside it where it is a program.
fn every_point(clean: &Life) -> Vec<Point> {
    let mut points = Vec::new();
    for (run, operations) in clean.operations.iter().enumerate() {
        for (operation, (kind, at)) in (0_u32..).zip(operations) {
            let mut add = |moment| {
                points.push(Point {
                    run,
                    cut: Cut { operation, moment },
                    at: *at,
                });
            };
            add(Moment::Before);
            if *kind == OperationKind::Program {
                // Another place in the page for each operation, never its end.
                add(Moment::Inside(
                    (operation.wrapping_mul(89) % 255 + 1) as u16,
                ));
            }
        }
        // The restart itself: everything written, nothing begun.
        if let (Some((_, at)), Ok(count)) = (operations.last(), u32::try_from(operations.len())) {
            points.push(Point {
                run,
                cut: Cut {
                    operation: count - 1,
                    moment: Moment::After,
                },
                at: *at,
            });
        }
    }
    points
}

/// Picks points evenly: half of them where the update turns (journal, otadata, chunk 0), half among
/// the chunks.
fn chosen(points: &[Point], stage: &Stage<'_>, count: usize) -> Vec<Point> {
    let product = stage.workshop.product;
    let (turning, others): (Vec<Point>, Vec<Point>) = points
        .iter()
        .copied()
        .partition(|point| product.place(point.at) != "chunks");
    let half = count.div_ceil(2).min(turning.len());
    let rest = count.saturating_sub(half).min(others.len());
    let half = count.saturating_sub(rest).min(turning.len());
    [evenly(&turning, half), evenly(&others, rest)].concat()
}

/// `count` of the points, evenly spread.
fn evenly(points: &[Point], count: usize) -> Vec<Point> {
    (0..count)
        .filter_map(|index| points.get(index * points.len() / count.max(1)))
        .copied()
        .collect()
}

/// Cuts once, resumes, and lets the virtual device judge.
fn strike(stage: &Stage<'_>, clean: &Life, point: Point, worker: usize) -> Result<Outcome> {
    let flash = clean.flash.get(point.run).context("no such run")?;
    let file = stage.folder.join(format!("cut-{worker}.bin"));
    let unit = Unit::new(stage.workshop, file, flash)?;
    let plan = Plan {
        cut: Some(point.cut),
        ..Plan::QUIET
    };
    let life = unit.live(plan, &stage.server)?;
    unit.must_run_confirmed_update(&life)?;
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
    Cuts {
        points: outcomes.len(),
        inside_a_page: outcomes.iter().filter(inside).count(),
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
