//! Faults of the flash chip, one at every call: the error has its type, the state is intact, and the
//! update succeeds once the fault is gone.
//!
//! The firmware tries once more in the same life and restarts when that does not help either.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use espseal_agent::config::RollbackRule;
use espseal_agent::error::{AgentError, FlashOperation, HardwareError};
use espseal_agent::flash::FlashFaultKind;
use espseal_twin::boot::Rollback;
use serde::Serialize;

use crate::answer::Answer;
use crate::geometry::{CHIPS, Geometry, Locks, TWO_SLOTS};
use crate::power_cut::explorer::{Cuts, Explorer, Findings, Place as CutPlace};
use crate::power_cut::life::{Bench, Next, Trouble};
use crate::power_cut::meter::{Fault, Meter, Place};
use crate::power_cut::plan::{SMALL, Scope};
use crate::power_cut::state::State;
use crate::power_cut::story::{Plot, Story};

/// What came out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Sum {
    faults: u64,
    by_kind: BTreeMap<&'static str, u64>,
    /// Lives in which trying again at once was enough.
    recovered_at_once: u64,
    violations: u64,
    seconds: f64,
    first_violations: Vec<String>,
}

/// Bits of a sector that are stuck in turn, by byte and mask: fields of otadata entry and record (one
/// of them makes VALID of NEW), both ends.
const STUCK: [(usize, u8); 7] = [
    (0, 4),
    (24, 2),
    (25, 4),
    (30, 4),
    (40, 4),
    (360, 4),
    (4095, 4),
];

/// Runs every fault.
pub(crate) fn run(scope: Scope, hasty: bool, mut say: impl FnMut(&str)) -> Sum {
    let begun = Instant::now();
    let mut sum = Sum::default();
    for chip in CHIPS {
        for plot in [
            Plot::Update,
            Plot::RootRotation,
            Plot::Crasher,
            Plot::Direct,
        ] {
            let wanted = match scope {
                Scope::Full => true,
                Scope::Share => chip == CHIPS[1],
                Scope::Quick => chip == CHIPS[1] && matches!(plot, Plot::Update | Plot::Crasher),
            };
            if !wanted {
                continue;
            }
            let geometry = Geometry {
                chip,
                table: &TWO_SLOTS,
                locks: Locks::Release,
                rollback: Rollback::Enabled,
                rule: RollbackRule::Required,
            };
            let before = sum.faults;
            sum.story(&Story::new(geometry, plot, SMALL), scope, hasty);
            let faults = sum.faults - before;
            say(&format!("{chip}: {}: {faults} faults", plot.name()));
        }
    }
    sum.seconds = begun.elapsed().as_secs_f64();
    sum
}

impl Sum {
    fn story(&mut self, story: &Story, scope: Scope, hasty: bool) {
        let cuts = Cuts {
            moments: [Vec::new(), Vec::new()],
            count: 0,
            place: CutPlace::Everywhere,
        };
        let explorer = Explorer::new(story, &cuts, hasty);
        let cases = cases(story, scope);
        let (next, all) = (AtomicUsize::new(0), Mutex::new(self));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut bench = Bench::new(story);
                    let take = || cases.get(next.fetch_add(1, Ordering::Relaxed));
                    while let Some((state, fault)) = take() {
                        let at_once = suffer(&explorer, &mut bench, story, state, *fault);
                        let mut sum = all.lock().unwrap();
                        sum.faults += 1;
                        *sum.by_kind.entry(kind(*fault)).or_default() += 1;
                        sum.recovered_at_once += u64::from(at_once);
                    }
                });
            }
        });
        let mut found = Findings::default();
        explorer.count(&mut found);
        let mut sum = all.lock().unwrap();
        sum.violations += found.violations;
        sum.first_violations.append(&mut found.words);
    }
}

/// Every fault at every call of every life of the undisturbed story.
fn cases(story: &Story, scope: Scope) -> Vec<(State, Fault)> {
    let mut bench = Bench::new(story);
    let (mut state, mut cases) = (State::default(), Vec::new());
    loop {
        let meter = Meter::default();
        let life = bench.live_through(&state, &meter).1.unwrap();
        let (reads, writes) = meter.calls();
        for call in 0..writes {
            let once = [Fault::Protected, Fault::Fails, Fault::FailsErased];
            let stuck = STUCK.map(|bit| Fault::StuckBit(call, bit));
            let faults = once.map(|fault| fault(call)).into_iter().chain(stuck);
            cases.extend(faults.map(|fault| (state.clone(), fault)));
        }
        // A story of crashes tells what stuck bits do to the trial; its reads are those of others.
        let reads = if story.plot == Plot::Crasher {
            0
        } else {
            reads
        };
        for call in 0..reads {
            let places: &[Place] = match scope {
                Scope::Quick => &[],
                _ => &[Place::First, Place::Middle, Place::Last],
            };
            let misread = places.iter().map(|place| Fault::Misread(call, *place));
            let faults = [Fault::Unread(call)].into_iter().chain(misread);
            cases.extend(faults.map(|fault| (state.clone(), fault)));
        }
        let last = usize::from(life.state.stage.phase) == story.phases.len();
        if last && matches!(life.next, Next::Settled(_)) {
            return cases;
        }
        state = life.state;
    }
}

/// Lives one life with the fault, then on without it; whether that one life came to its usual end.
fn suffer(
    explorer: &Explorer<'_>,
    bench: &mut Bench<'_>,
    story: &Story,
    state: &State,
    fault: Fault,
) -> bool {
    let meter = Meter::with(fault);
    let (after, lived) = bench.live_through(state, &meter);
    let trail = format!("{fault:?} in phase {}", state.stage.phase);
    let misread = matches!(fault, Fault::Misread(..));
    let seen = meter.error.get().or(match &lived {
        Err(Trouble::Agent(_, error)) => Some(*error),
        _ => None,
    });
    let trail = [trail];
    match seen {
        Some(error) if !misread && !is_of(fault, &error) => {
            explorer.violation(&trail, &format!("reported as {error:?}"));
        }
        None if !misread && meter.fault_struck() => {
            explorer.violation(&trail, "nobody noticed the fault");
        }
        _ => {}
    }
    if let (Err(Trouble::Words(words)), false) = (&lived, misread) {
        explorer.violation(&trail, words);
    }
    let over = usize::from(after.stage.phase) == story.phases.len();
    if !over && explorer.follow(bench, &after, &trail[0]) && story.plot != Plot::Crasher {
        explorer.violation(&trail, "one fault led to quarantine");
    }
    lived.is_ok()
}

/// Whether an error is the one that this fault calls for.
fn is_of(fault: Fault, error: &AgentError) -> bool {
    let AgentError::Hardware(error) = error else {
        return false;
    };
    match (fault, error) {
        (Fault::Protected(_), HardwareError::Flash { kind, code, .. }) => {
            *kind == FlashFaultKind::WriteProtected && *code == 0x6001
        }
        (Fault::Unread(_), HardwareError::Flash { operation, .. }) => {
            *operation == FlashOperation::Read
        }
        (Fault::Fails(_) | Fault::FailsErased(_), HardwareError::Flash { kind, .. }) => {
            *kind == FlashFaultKind::Hardware
        }
        (Fault::StuckBit(..), HardwareError::ReadBack { .. }) => true,
        _ => false,
    }
}

const fn kind(fault: Fault) -> &'static str {
    match fault {
        Fault::Protected(_) => "write-protected (0x6001)",
        Fault::Fails(_) => "write or erase fails",
        Fault::FailsErased(_) => "write fails after its erase",
        Fault::StuckBit(..) => "stuck bit",
        Fault::Unread(_) => "read fails",
        Fault::Misread(..) => "read returns another bit",
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
            "{} faults {:?}, {} of them overcome without a restart; {} violations; {:.0} s",
            self.faults, self.by_kind, self.recovered_at_once, self.violations, self.seconds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_flash_chip_is_reported_and_overcome() {
        let sum = run(Scope::Share, false, |line| println!("{line}"));
        println!("{}", sum.summary());
        assert_eq!(sum.violations, 0, "{:#?}", sum.first_violations);
    }
}
