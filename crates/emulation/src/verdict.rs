//! What was seen, for people and for scripts.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::budget::Budgets;
use crate::life::{Goal, Life};

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) updates: Vec<Update>,
    pub(crate) cuts: Cuts,
    pub(crate) rollback: Rollback,
    pub(crate) hostile: Vec<Hostile>,
    pub(crate) budgets: Budgets,
    pub(crate) seconds: f64,
}

/// An update that nothing disturbed.
#[derive(Debug, Serialize)]
pub(crate) struct Update {
    /// The release that it led to.
    release: usize,
    chunks: usize,
    /// Erases and page programs of each run.
    flash_operations: Vec<usize>,
    head_fetched: u32,
}

impl Update {
    pub(crate) fn of(life: &Life, goal: Goal) -> Self {
        Self {
            release: goal.release,
            chunks: life.fetched.len(),
            flash_operations: life.operations.iter().map(Vec::len).collect(),
            head_fetched: life.head_fetched(),
        }
    }
}

/// The power cuts; each was followed by a resumed and confirmed update.
#[derive(Debug, Serialize)]
pub(crate) struct Cuts {
    pub(crate) points: usize,
    pub(crate) inside_a_page: usize,
    pub(crate) inside_an_erase: usize,
    pub(crate) places: BTreeMap<&'static str, usize>,
    pub(crate) fetched_again_at_most: u32,
    pub(crate) head_fetched_at_most: u32,
}

/// The release that fails its self-test.
#[derive(Debug, Serialize)]
pub(crate) struct Rollback {
    pub(crate) boots: usize,
    pub(crate) failures: u8,
}

/// A body that a hostile server changed.
#[derive(Debug, Serialize)]
pub(crate) struct Hostile {
    pub(crate) chunk: u32,
    pub(crate) refused_with: u16,
}

impl Verdict {
    /// How many budgets were exceeded; everything else ended the program where it failed.
    pub(crate) fn budgets_exceeded(&self) -> usize {
        let rows = self.budgets.rows.iter();
        rows.filter(|row| !row.is_kept()).count()
    }

    pub(crate) fn print(&self) {
        let cuts = &self.cuts;
        println!("\nthe agent on an emulated RV32IMC core, judged by the virtual device:");
        for update in &self.updates {
            println!(
                "  update     to release {}: {} chunks, {:?} flash operations, confirmed",
                update.release, update.chunks, update.flash_operations
            );
        }
        println!(
            "  power cuts {} points, {} inside a page program, {} inside an erase; each resumed, confirmed",
            cuts.points, cuts.inside_a_page, cuts.inside_an_erase
        );
        for (place, count) in &cuts.places {
            println!("             {count:>4} in {place}");
        }
        println!(
            "             fetched again after a cut: at most {} chunk; chunk 0 at most {} times",
            cuts.fetched_again_at_most, cuts.head_fetched_at_most
        );
        println!(
            "  rollback   {} boots, {} failures counted, quarantined, release 1 runs",
            self.rollback.boots, self.rollback.failures
        );
        for hostile in &self.hostile {
            println!(
                "  hostile    bit flipped in chunk {}: refused with {:#06x}, nothing bootable written",
                hostile.chunk, hostile.refused_with
            );
        }
        println!("\nbudgets:");
        for row in &self.budgets.rows {
            let verdict = match row.at_most {
                None => String::new(),
                Some(limit) if row.is_kept() => format!("at most {limit}: kept"),
                Some(limit) => format!("at most {limit}: EXCEEDED"),
            };
            println!(
                "  {:<56} {:>10.2} {:<10} {verdict}",
                row.name, row.found, row.unit
            );
        }
        println!("\n{:.0} s", self.seconds);
    }
}
