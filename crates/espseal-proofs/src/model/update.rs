//! The update's machine: two slots, otadata, journal; any number of cuts, crashes and releases.
//!
//! A life goes through the steps of bootloader and agent; after each change of flash the power may go.
//! A torn write is an entry that does not parse; the journal keeps its older record.

use std::collections::{BTreeMap, VecDeque};

use espseal_agent::boot::{self, MAX_FAILURES, MAX_RETRIES, Selection, Situation, Verdict};
use espseal_agent::config::{Layout, Region, RollbackRule};
use espseal_agent::platform::Slot;
use espseal_format::journal::State;
use espseal_format::otadata::{OtaState, Otadata, OtadataEntry, slot_of};
use espseal_format::units::FlashOffset;

use super::Sum;

/// What stands in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    /// Does not boot.
    Partial,
    /// The image confirmed last.
    Confirmed,
    /// The image on offer, complete and verified.
    Offered,
    /// A complete image of the past: confirmed before, or given up.
    Former,
}

/// Everything in flash, and what an observer knows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct World {
    otadata: Otadata,
    slots: [Content; 2],
    journal: State,
    target: u8,
    attempts: u8,
    failures: u8,
}

type Key = ([Option<(u32, u32)>; 2], [Content; 2], u8, u8, u8, u8);

/// What the firmware does when it is asked to confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Firmware {
    Confirms,
    Crashes,
}

/// How a life ends that nobody cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Restart,
    Settled,
    Quarantined,
}

impl World {
    /// As delivered: slot 0 runs, otadata is blank.
    fn delivered() -> Self {
        Self {
            otadata: Otadata::default(),
            slots: [Content::Confirmed, Content::Partial],
            journal: State::Idle,
            target: 0,
            attempts: 0,
            failures: 0,
        }
    }

    /// Tells worlds apart; only the order of sequence numbers and their slots matter.
    fn key(&mut self) -> Key {
        let least = self
            .otadata
            .entries
            .iter()
            .flatten()
            .map(|entry| entry.seq)
            .min();
        let surplus = least.map_or(0, |least| (least - 1) / 2 * 2);
        for entry in self.otadata.entries.iter_mut().flatten() {
            *entry = OtadataEntry::new(entry.seq - surplus, entry.state);
        }
        let entry =
            |entry: &Option<OtadataEntry>| entry.map(|entry| (entry.seq, entry.state.to_u32()));
        let [first, second] = &self.otadata.entries;
        (
            [entry(first), entry(second)],
            self.slots,
            self.journal as u8,
            self.target,
            self.attempts,
            self.failures,
        )
    }
}

/// One life being lived: every change of flash is kept as a place to cut.
struct Life<'s> {
    world: World,
    tape: Vec<World>,
    sum: &'s mut Sum,
    layout: &'s Layout,
}

impl Life<'_> {
    fn keep(&mut self) {
        self.tape.push(self.world.clone());
    }

    /// Erases an entry, then writes it.
    fn write(&mut self, sector: usize, entry: OtadataEntry) {
        self.world.otadata.entries[sector] = None;
        self.keep();
        self.world.otadata.entries[sector] = Some(entry);
        self.keep();
    }

    /// What ESP-IDF's bootloader does; the slot that runs.
    fn boot(&mut self) -> Option<u8> {
        for sector in 0..2 {
            if let Some(entry) = self.world.otadata.entries[sector]
                && entry.state == OtaState::PendingVerify
            {
                self.write(sector, entry.with_state(OtaState::Aborted));
            }
        }
        let blank = self.world.otadata.entries.iter().all(Option::is_none);
        let selected = self
            .world
            .otadata
            .selected()
            .map(|(sector, entry)| (sector, *entry));
        let first = match selected {
            Some((sector, entry)) => {
                if entry.state == OtaState::New {
                    self.write(sector, entry.with_state(OtaState::PendingVerify));
                }
                slot_of(entry.seq, 2)?
            }
            None => 0,
        };
        let boots = |slot: &u8| self.world.slots[usize::from(*slot)] != Content::Partial;
        let slot = [first, 1 - first].into_iter().find(boots)?;
        if blank {
            self.write(0, OtadataEntry::new(u32::from(slot) + 1, OtaState::Valid));
        }
        Some(slot)
    }

    fn selection(&self) -> Selection {
        Selection::of(&self.world.otadata, self.layout)
    }

    fn names(entry: &OtadataEntry, slot: u8) -> bool {
        slot_of(entry.seq, 2) == Some(slot)
    }

    fn drop_selected_entry(&mut self) {
        let target = self.world.target;
        let selected = self.world.otadata.selected();
        if let Some((sector, _)) = selected.filter(|(_, entry)| Self::names(entry, target)) {
            self.world.otadata.entries[sector] = None;
            self.keep();
        }
    }

    fn live(&mut self, firmware: Firmware) -> Option<End> {
        let running = self.boot();
        let before = self.world.clone();
        self.sum
            .demand(running.is_some(), || format!("nothing boots: {before:?}"));
        let running = running?;
        let content = self.world.slots[usize::from(running)];
        let on_trial = matches!(self.world.journal, State::Activating | State::Confirming);
        self.sum
            .demand(content == Content::Confirmed || on_trial, || {
                format!("an image runs that was not confirmed, outside its trial: {before:?}")
            });
        let target_entry = self.target_entry();
        let situation = Situation {
            state: self.world.journal,
            target: Slot::Ota(self.world.target),
            attempts: self.world.attempts,
            running: Slot::Ota(running),
            selection: self.selection(),
            target_entry,
            rule: RollbackRule::Required,
        };
        // A trial that ended without a self-test that passed.
        let given_up =
            target_entry == Some(OtaState::Aborted) && self.world.journal == State::Activating;
        match boot::judge(&situation) {
            Verdict::Nothing => {}
            Verdict::Await => {
                self.sum.demand(self.world.failures < MAX_FAILURES, || {
                    format!("an image in quarantine gets a trial: {before:?}")
                });
                if firmware == Firmware::Crashes {
                    self.keep();
                    return Some(End::Restart);
                }
                self.confirm();
            }
            Verdict::Finish => self.confirmed(),
            Verdict::Retry => {
                self.sum
                    .demand(!given_up, || format!("a crash counts as torn: {before:?}"));
                self.drop_selected_entry();
                self.world.journal = State::Staging;
                self.world.attempts += 1;
                self.keep();
            }
            Verdict::Failed => {
                let reason = given_up || before.attempts >= MAX_RETRIES;
                self.sum
                    .demand(reason, || format!("a failure without a reason: {before:?}"));
                self.drop_selected_entry();
                self.world.journal = State::Idle;
                self.world.attempts = 0;
                self.world.failures += 1;
                self.keep();
            }
            verdict @ (Verdict::Fallback | Verdict::NoRollback) => {
                self.sum
                    .demand(false, || format!("judged {verdict:?}: {before:?}"));
                return None;
            }
        }
        self.update(running)
    }

    fn target_entry(&self) -> Option<OtaState> {
        let target = self.world.target;
        let otadata = &self.world.otadata;
        let selected = otadata.selected().map(|(_, entry)| *entry);
        let named = selected
            .into_iter()
            .chain(otadata.entries.into_iter().flatten());
        named
            .into_iter()
            .find(|entry| Self::names(entry, target))
            .map(|entry| entry.state)
    }

    fn confirm(&mut self) {
        if self.world.journal != State::Confirming {
            self.world.journal = State::Confirming;
            self.keep();
        }
        let selected = self
            .world
            .otadata
            .selected()
            .map(|(sector, entry)| (sector, *entry));
        if let Some((sector, entry)) = selected.filter(|(_, entry)| entry.state != OtaState::Valid)
        {
            self.write(sector, entry.with_state(OtaState::Valid));
        }
        self.confirmed();
    }

    /// The journal's last word; the image confirmed before is one of the past now.
    fn confirmed(&mut self) {
        let target = usize::from(self.world.target);
        self.world.journal = State::Confirmed;
        self.world.attempts = 0;
        self.world.failures = 0;
        for content in &mut self.world.slots {
            if *content == Content::Confirmed {
                *content = Content::Former;
            }
        }
        self.world.slots[target] = Content::Confirmed;
        self.keep();
    }

    fn update(&mut self, running: u8) -> Option<End> {
        match self.world.journal {
            State::Activating | State::Confirming => return Some(End::Restart),
            State::Confirmed => return Some(End::Settled),
            _ if self.world.failures >= MAX_FAILURES => return Some(End::Quarantined),
            _ => {}
        }
        let world = self.world.clone();
        let allowed = boot::may_stage(
            &self.selection(),
            Slot::Ota(running),
            RollbackRule::Required,
        );
        self.sum
            .demand(allowed.is_ok(), || format!("{allowed:?}: {world:?}"));
        allowed.ok()?;
        let target = 1 - running;
        let at = usize::from(target);
        self.sum
            .demand(self.world.slots[at] != Content::Confirmed, || {
                format!("the confirmed image is overwritten: {world:?}")
            });
        if self.world.journal != State::Staging || self.world.target != target {
            self.world.journal = State::Staging;
            self.world.target = target;
            self.world.attempts = 0;
            self.keep();
        }
        let selected = self.world.otadata.selected().map(|(sector, _)| sector);
        for sector in 0..2 {
            let entry = self.world.otadata.entries[sector];
            let stale = entry.is_some_and(|entry| Self::names(&entry, target));
            if stale && selected != Some(sector) {
                self.world.otadata.entries[sector] = None;
                self.keep();
            }
        }
        if self.world.slots[at] != Content::Offered {
            self.world.slots[at] = Content::Partial;
            self.keep();
            self.world.slots[at] = Content::Offered;
            self.keep();
        }
        let seq = self.world.otadata.next_seq_for(target, 2)?;
        let sector = self.world.otadata.next_sector();
        self.world.journal = State::Activating;
        self.keep();
        self.write(sector, OtadataEntry::new(seq, OtaState::New));
        Some(End::Restart)
    }
}

/// Every state that lives, cuts, crashes and releases lead to.
pub(super) fn explore(sum: &mut Sum) {
    let region = |offset| Region {
        offset: FlashOffset::new(offset),
        size: 0x1_0000,
    };
    let layout = Layout {
        factory: None,
        slots: [region(0x1_0000), region(0x2_0000)].into_iter().collect(),
        otadata: FlashOffset::new(0x9000),
        journal: FlashOffset::new(0xB000),
    };
    let mut known: BTreeMap<Key, World> = BTreeMap::new();
    let mut queue = VecDeque::from([World::delivered()]);
    while let Some(mut world) = queue.pop_front() {
        let key = world.key();
        if known.insert(key, world.clone()).is_some() {
            continue;
        }
        for firmware in [Firmware::Confirms, Firmware::Crashes] {
            let (tape, end, last) = lived(&world, firmware, sum, &layout);
            sum.update_steps += tape.len() as u64;
            queue.extend(tape);
            match end {
                Some(End::Settled | End::Quarantined) => queue.push_back(released(&last)),
                Some(End::Restart) => queue.push_back(last),
                None => {}
            }
        }
        if sum.violations > 0 {
            break;
        }
    }
    for world in known.values() {
        ends_well(world, sum, &layout);
    }
    sum.update_states = known.len();
}

fn lived(
    world: &World,
    firmware: Firmware,
    sum: &mut Sum,
    layout: &Layout,
) -> (Vec<World>, Option<End>, World) {
    let mut life = Life {
        world: world.clone(),
        tape: Vec::new(),
        sum,
        layout,
    };
    let end = life.live(firmware);
    (life.tape, end, life.world)
}

/// The maker goes on to the next release.
fn released(world: &World) -> World {
    let mut world = world.clone();
    for content in &mut world.slots {
        if *content == Content::Offered {
            *content = Content::Former;
        }
    }
    world.journal = State::Idle;
    world.failures = 0;
    world
}

/// From every state the update ends after few lives without a cut.
fn ends_well(world: &World, sum: &mut Sum, layout: &Layout) {
    let mut now = world.clone();
    for _ in 0..12 {
        let (_, end, last) = lived(&now, Firmware::Confirms, sum, layout);
        now = last;
        match end {
            Some(End::Restart) => {}
            Some(End::Settled) => {
                let confirmed = now.slots[usize::from(now.target)] == Content::Confirmed;
                sum.demand(confirmed, || {
                    format!("settled without the new image: {world:?}")
                });
                return;
            }
            Some(End::Quarantined) => return,
            None => return,
        }
    }
    sum.demand(false, || format!("the update never ends: {world:?}"));
}
