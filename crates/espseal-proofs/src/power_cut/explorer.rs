//! Goes through every state that one or two power cuts can leave, and adds up every path.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use espseal_format::otadata::OtadataEntry;
use espseal_format::units::FlashOffset;
use espseal_twin::nor::Change;
use espseal_twin::power::{Moment, Tear};

use super::life::{Bench, Life, Next, Operation, Settled};
use super::state::State;
use super::story::Story;

/// Most cuts in one path.
pub(crate) const MAX_CUTS: usize = 2;
/// A story that takes more lives than this without a cut never ends.
const MAX_LIVES: usize = 40;
/// Violations that are kept word for word.
const KEPT: usize = 10;

/// Which cuts to try.
#[derive(Clone, Debug)]
pub(crate) struct Cuts {
    /// Moments of the last cut, and of the one before it.
    pub(crate) moments: [Vec<Moment>; MAX_CUTS],
    pub(crate) count: usize,
    pub(crate) place: Place,
}

/// Where cuts are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In every operation.
    Everywhere,
    /// Between activation and confirmation only.
    Trial,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Paths with one cut, and with two.
    pub(crate) paths: [u64; MAX_CUTS],
    /// Operations of the story without a cut.
    pub(crate) operations: usize,
    /// Different states that were lived through.
    pub(crate) lives: u64,
    /// Most chunks other than chunk 0 that were fetched again, after one cut and after two.
    pub(crate) refetched: [u32; MAX_CUTS],
    /// Most fetches of chunk 0 beyond those of the story without a cut.
    pub(crate) heads: [u32; MAX_CUTS],
    pub(crate) violations: u64,
    /// The first violations, in words.
    pub(crate) words: Vec<String>,
}

/// Explores one story.
pub(crate) struct Explorer<'s> {
    story: &'s Story,
    cuts: &'s Cuts,
    known: Vec<Mutex<HashMap<(u128, usize), Value>>>,
    lives: AtomicU64,
    violations: AtomicU64,
    words: Mutex<Vec<String>>,
    /// Ends everything at the first violation.
    hasty: bool,
    stop: AtomicBool,
}

/// What all paths from one state have in common, by the number of cuts still to come.
#[derive(Clone, Copy, Debug, Default)]
struct Value {
    paths: [u64; MAX_CUTS + 1],
    head: [u32; MAX_CUTS + 1],
    other: [u32; MAX_CUTS + 1],
    boots: [u32; MAX_CUTS + 1],
    /// Fewest trials given up by the bootloader on a path into quarantine.
    given_up: [Option<u32>; MAX_CUTS + 1],
}

/// What happened on the way to a cut or to the end of a life.
#[derive(Clone, Copy)]
struct Step {
    head: u32,
    other: u32,
    given_up: u32,
}

impl<'s> Explorer<'s> {
    pub(crate) fn new(story: &'s Story, cuts: &'s Cuts, hasty: bool) -> Self {
        Self {
            story,
            cuts,
            known: (0..64).map(|_| Mutex::default()).collect(),
            lives: AtomicU64::new(0),
            violations: AtomicU64::new(0),
            words: Mutex::default(),
            hasty,
            stop: AtomicBool::new(false),
        }
    }

    /// Explores on all cores.
    pub(crate) fn run(&self) -> Findings {
        let mut bench = Bench::new(self.story);
        let first = State::default();
        let (operations, children) = self.first_cuts(&mut bench, &first);
        let next = AtomicUsize::new(0);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let work = || {
                    let mut bench = Bench::new(self.story);
                    let take = || children.get(next.fetch_add(1, Ordering::Relaxed));
                    while let Some((trail, state)) = take() {
                        self.value(&mut bench, state, self.cuts.count - 1, &mut trail.clone());
                    }
                };
                let builder = std::thread::Builder::new().stack_size(32 << 20);
                builder.spawn_scoped(scope, work).unwrap();
            }
        });
        let whole = self.value(&mut bench, &first, self.cuts.count, &mut Vec::new());
        self.findings(operations, &whole)
    }

    /// Goes on from `state` to the end without a cut; whether a release is quarantined on the way.
    pub(crate) fn follow(&self, bench: &mut Bench<'_>, state: &State, trail: &str) -> bool {
        let value = self.value(bench, state, 0, &mut vec![trail.to_owned()]);
        value.given_up[0].is_some()
    }

    /// Cuts of the story without any other cut, to be shared out among the cores.
    fn first_cuts(
        &self,
        bench: &mut Bench<'_>,
        first: &State,
    ) -> (usize, Vec<(Vec<String>, State)>) {
        let (mut state, mut operations, mut children) = (first.clone(), 0, Vec::new());
        for _ in 0..MAX_LIVES {
            let Ok(life) = bench.live(&state) else {
                break;
            };
            operations += life.operations.len();
            self.each_cut(&state, &life, self.cuts.count, |cut, child, _| {
                children.push((vec![cut], child));
            });
            if self.is_last(&life) {
                break;
            }
            state = life.state;
        }
        (operations, children)
    }

    /// Everything that follows from `state` with up to `cuts` cuts.
    fn value(
        &self,
        bench: &mut Bench<'_>,
        state: &State,
        cuts: usize,
        trail: &mut Vec<String>,
    ) -> Value {
        let key = (state.key(), cuts);
        if let Some(value) = self.shard(key).get(&key) {
            return *value;
        }
        if self.stop.load(Ordering::Relaxed) {
            return Value::default();
        }
        self.lives.fetch_add(1, Ordering::Relaxed);
        let life = match bench.live(state) {
            Ok(life) => life,
            Err(trouble) => {
                self.violation(trail, &trouble.to_string());
                self.shard(key).insert(key, Value::default());
                return Value::default();
            }
        };
        let mut value = self.uncut(bench, state, &life, cuts, trail);
        if cuts > 0 {
            self.each_cut(state, &life, cuts, |cut, child, step| {
                trail.push(cut);
                let after = self.value(bench, &child, cuts - 1, trail);
                trail.pop();
                value.merge(&after, step, 1);
            });
        }
        self.shard(key).insert(key, value);
        value
    }

    /// What follows when this life is not cut.
    fn uncut(
        &self,
        bench: &mut Bench<'_>,
        state: &State,
        life: &Life,
        cuts: usize,
        trail: &mut Vec<String>,
    ) -> Value {
        let step = Step {
            head: life.head,
            other: life.other,
            given_up: life.aborted,
        };
        let mut value = Value::default();
        let after = if self.is_last(life) {
            Value::end()
        } else {
            trail.push("|".into());
            if trail.iter().rev().take_while(|word| *word == "|").count() > MAX_LIVES {
                self.violation(trail, "the story never ends");
                return value;
            }
            let mut after = self.value(bench, &life.state, cuts, trail);
            trail.pop();
            if matches!(life.next, Next::Settled(_)) {
                self.judge_quarantine(&after, trail);
                after.given_up = [None; MAX_CUTS + 1];
            }
            after
        };
        value.merge(&after, step, 0);
        if let Next::Settled(settled) = life.next {
            let condemned = self.story.condemned(state.stage.phase);
            value.given_up = match settled {
                Settled::Quarantined if !condemned => value.paths.map(|paths| {
                    let reached = paths > 0;
                    reached.then_some(life.aborted)
                }),
                _ => [None; MAX_CUTS + 1],
            };
        }
        value
    }

    /// Calls `visit` with every state that a cut in this life can leave.
    fn each_cut(
        &self,
        before: &State,
        life: &Life,
        cuts: usize,
        mut visit: impl FnMut(String, State, Step),
    ) {
        let base = &self.story.base;
        let mut state = before.clone();
        for (index, operation) in life.operations.iter().enumerate() {
            let Operation {
                change,
                head,
                other,
                in_trial,
            } = operation;
            let wanted = self.cuts.place == Place::Everywhere || *in_trial;
            for moment in self.cuts.moments[cuts - 1].iter().filter(|_| wanted) {
                let mut child = state.clone();
                let mut refused = false;
                let done = match moment {
                    Moment::Before => 0,
                    Moment::After => {
                        child.apply(base, change);
                        1
                    }
                    Moment::Inside(tear) => {
                        if !tears(*tear, change) {
                            continue;
                        }
                        let torn = change.torn(*tear);
                        child.put(base, change.offset, &torn);
                        refused = change.new != torn && refuses(&torn);
                        // The cells that were still to come may hold their new value already.
                        u32::from(torn == change.new)
                    }
                };
                // Giving up an entry is the first thing that a boot does, in two operations.
                let given_up = life.aborted.min((index as u32 + done) / 2) + u32::from(refused);
                let step = Step {
                    head: *head,
                    other: *other,
                    given_up,
                };
                visit(name(index, change.offset, *moment), child, step);
            }
            state.apply(base, change);
        }
    }

    /// A release is quarantined after two trials that the bootloader gave up, and not earlier;
    /// `phase` is what follows from the beginning of a phase.
    fn judge_quarantine(&self, phase: &Value, trail: &[String]) {
        for (cuts, given_up) in phase.given_up.iter().enumerate() {
            if let Some(given_up) = given_up.filter(|given_up| *given_up < 2) {
                let words = format!("{cuts} cuts led to quarantine after {given_up} trials");
                self.violation(trail, &words);
            }
        }
    }

    fn is_last(&self, life: &Life) -> bool {
        matches!(life.next, Next::Settled(_))
            && usize::from(life.state.stage.phase) == self.story.phases.len()
    }

    /// Holds the sums over all paths against what the design promises.
    fn findings(&self, operations: usize, whole: &Value) -> Findings {
        let mut found = Findings {
            operations,
            ..Findings::default()
        };
        self.judge_quarantine(whole, &[]);
        for cuts in 0..=self.cuts.count {
            let allowed = cuts as u32;
            let again = whole.other[cuts].saturating_sub(whole.other[0]);
            let heads = whole.head[cuts].saturating_sub(whole.head[0]);
            let boots = whole.boots[cuts].saturating_sub(whole.boots[0]);
            if again > allowed {
                self.violation(&[], &format!("{cuts} cuts cost {again} chunks"));
            }
            // Each attempt at staging fetches chunk 0 twice.
            if heads > 2 * allowed {
                self.violation(&[], &format!("{cuts} cuts cost chunk 0 {heads} times"));
            }
            if boots > 4 * allowed {
                self.violation(&[], &format!("{cuts} cuts cost {boots} restarts"));
            }
            if let Some(index) = cuts.checked_sub(1) {
                found.paths[index] = whole.paths[cuts];
                found.refetched[index] = again;
                found.heads[index] = heads;
            }
        }
        self.count(&mut found);
        found
    }

    /// What has been counted so far.
    pub(crate) fn count(&self, found: &mut Findings) {
        found.lives = self.lives.load(Ordering::Relaxed);
        found.violations = self.violations.load(Ordering::Relaxed);
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        found.words = std::mem::take(&mut *words);
    }

    /// Keeps a violation.
    pub(crate) fn violation(&self, trail: &[String], words: &str) {
        if self.hasty {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.violations.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(format!(
                "{}: [{}] {words}",
                self.story.name(),
                trail.join("; ")
            ));
        }
    }

    fn shard(&self, key: (u128, usize)) -> MutexGuard<'_, HashMap<(u128, usize), Value>> {
        let shard = &self.known[key.0 as usize % self.known.len()];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Value {
    /// A story that is over.
    const fn end() -> Self {
        Self {
            paths: [1, 0, 0],
            head: [0; MAX_CUTS + 1],
            other: [0; MAX_CUTS + 1],
            boots: [0; MAX_CUTS + 1],
            given_up: [None; MAX_CUTS + 1],
        }
    }

    /// Adds the paths of `after`, which `step` leads to with `cut` cuts.
    fn merge(&mut self, after: &Self, step: Step, cut: usize) {
        for from in 0..=MAX_CUTS - cut {
            if after.paths[from] == 0 {
                continue;
            }
            let to = from + cut;
            self.paths[to] += after.paths[from];
            self.head[to] = self.head[to].max(after.head[from] + step.head);
            self.other[to] = self.other[to].max(after.other[from] + step.other);
            self.boots[to] = self.boots[to].max(after.boots[from] + 1);
            let given_up = after.given_up[from].map(|given_up| given_up + step.given_up);
            self.given_up[to] = [self.given_up[to], given_up].into_iter().flatten().min();
        }
    }
}

/// Whether a tear lies within an operation.
fn tears(tear: Tear, change: &Change) -> bool {
    match tear {
        Tear::AfterBytes(bytes) => (bytes as usize) < change.new.len(),
        // A bit that keeps its value anyway is no tear.
        Tear::SlowBit(bit) => {
            let at = bit as usize / 8;
            let cells = change.old.get(at).zip(change.new.get(at));
            cells.is_some_and(|(old, new)| (old ^ new) >> (bit % 8) & 1 == 1)
        }
        Tear::Scattered(_) => true,
    }
}

/// Whether these cells are an otadata entry whose image the bootloader does not start any more.
///
/// One slow bit of PENDING (1) makes INVALID (3), where nothing encrypts: a trial given up before it
/// began, which the device cannot tell from one that failed.
fn refuses(cells: &[u8]) -> bool {
    let entry = cells.first_chunk().map(OtadataEntry::parse);
    entry.is_some_and(|entry| entry.is_ok_and(|entry| entry.is_invalid()))
}

fn name(index: usize, at: FlashOffset, moment: Moment) -> String {
    let moment = match moment {
        Moment::Before => "before".into(),
        Moment::After => "after".into(),
        Moment::Inside(Tear::AfterBytes(bytes)) => format!("{bytes} bytes into"),
        Moment::Inside(Tear::SlowBit(bit)) => format!("all but bit {bit} of"),
        Moment::Inside(Tear::Scattered(seed)) => format!("scattered ({seed}) in"),
    };
    format!("cut {moment} operation {index} at {at}")
}
