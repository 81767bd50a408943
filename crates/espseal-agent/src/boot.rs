//! What otadata, journal and running slot say together: pure decisions, no flash.
//!
//! Facts this rests on (ESP-IDF `bootloader_utility.c`): at boot every PENDING entry becomes
//! ABORTED, then the valid entry with the highest sequence wins and NEW becomes PENDING; when the
//! selected image does not verify, *any* slot that verifies is started.

use espseal_format::journal::State;
use espseal_format::otadata::{OtaState, Otadata, slot_of};

use crate::config::{Layout, RollbackRule};
use crate::error::DeviceError;
use crate::platform::Slot;

/// Torn activations that are tried again before they count as one failure.
pub const MAX_RETRIES: u8 = 3;
/// Failures from which on a manifest is never tried again.
pub const MAX_FAILURES: u8 = 2;

/// What the bootloader selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// A valid otadata entry.
    Entry {
        /// The slot it names.
        slot: Slot,
        /// Its state.
        state: OtaState,
    },
    /// No entry is valid: the bootloader starts its default.
    Default {
        /// Factory, or `ota_0` where there is none.
        slot: Slot,
    },
}

impl Selection {
    /// Reads the bootloader's choice out of otadata.
    #[must_use]
    pub fn of(otadata: &Otadata, layout: &Layout) -> Self {
        let default = Self::Default {
            slot: layout.default_slot(),
        };
        let Some((_, entry)) = otadata.selected() else {
            return default;
        };
        match slot_of(entry.seq, layout.slot_count()) {
            Some(slot) => Self::Entry {
                slot: Slot::Ota(slot),
                state: entry.state,
            },
            None => default,
        }
    }

    /// The slot selected.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        match self {
            Self::Entry { slot, .. } | Self::Default { slot } => *slot,
        }
    }
}

/// Whether an update may be staged now (design, section 7 item 1).
///
/// A state that ESP-IDF has not assigned is a VALID whose write was torn: the CRC of an entry does
/// not cover it, and the bootloader returns to such an entry as to a VALID one.
///
/// # Errors
/// [`DeviceError::RunningNotSelected`], [`DeviceError::NotConfirmed`] or, for states that a
/// bootloader with rollback never leaves behind, [`DeviceError::NoRollback`].
pub fn may_stage(
    selection: &Selection,
    running: Slot,
    rule: RollbackRule,
) -> Result<(), DeviceError> {
    let selected = selection.slot();
    if selected != running {
        return Err(DeviceError::RunningNotSelected { running, selected });
    }
    let Selection::Entry { state, .. } = selection else {
        return Ok(());
    };
    match (state, rule) {
        (OtaState::Valid | OtaState::Unknown(_), _) => Ok(()),
        (OtaState::New | OtaState::Undefined, RollbackRule::Optional) => Ok(()),
        (OtaState::New | OtaState::Undefined, RollbackRule::Required) => {
            Err(DeviceError::NoRollback)
        }
        _ => Err(DeviceError::NotConfirmed),
    }
}

/// What a boot finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The journal's state.
    pub state: State,
    /// The slot the journal activated.
    pub target: Slot,
    /// Torn activations of this manifest so far.
    pub attempts: u8,
    /// The slot that runs.
    pub running: Slot,
    /// What the bootloader selects by now.
    pub selection: Selection,
    /// State of the otadata entry that names the target, selected or not.
    pub target_entry: Option<OtaState>,
    /// What the maker allows.
    pub rule: RollbackRule,
}

/// What follows from a [`Situation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is pending.
    Nothing,
    /// The selected image did not start and another runs; only a repair helps.
    Fallback,
    /// The new image runs and has to be confirmed.
    Await,
    /// The new image was marked valid, only the journal does not know yet.
    Finish,
    /// The new image runs on a bootloader that cannot roll back.
    NoRollback,
    /// Power went away at the wrong moment: try the activation again.
    Retry,
    /// The new image failed: count it.
    Failed,
}

/// Judges a boot (design, section 7 items 5 to 7).
#[must_use]
pub fn judge(situation: &Situation) -> Verdict {
    let confirming = match situation.state {
        State::Activating => false,
        State::Confirming => true,
        _ if situation.selection.slot() == situation.running => return Verdict::Nothing,
        _ => return Verdict::Fallback,
    };
    if situation.running == situation.target {
        judge_new_image(situation, confirming)
    } else {
        judge_old_image(situation, confirming)
    }
}

fn judge_new_image(situation: &Situation, confirming: bool) -> Verdict {
    match (situation.selection, situation.rule) {
        (Selection::Entry { slot, .. }, _) if slot != situation.running => Verdict::Fallback,
        (Selection::Default { .. }, _) => Verdict::Fallback,
        (
            Selection::Entry {
                state: OtaState::PendingVerify,
                ..
            },
            _,
        ) => Verdict::Await,
        (
            Selection::Entry {
                state: OtaState::Valid,
                ..
            },
            _,
        ) if confirming => Verdict::Finish,
        // The app marked itself valid before asking the agent; the digest is still checked.
        (
            Selection::Entry {
                state: OtaState::Valid,
                ..
            },
            _,
        ) => Verdict::Await,
        // It awaited confirmation before, so this is a VALID that did not take: write it again.
        (Selection::Entry { .. }, _) if confirming => Verdict::Await,
        (Selection::Entry { .. }, RollbackRule::Optional) => Verdict::Await,
        // No bootloader leaves this behind: NEW or ABORTED that did not take, and nobody watches the
        // trial.
        (
            Selection::Entry {
                state: OtaState::Unknown(_),
                ..
            },
            RollbackRule::Required,
        ) => again_if(true, situation.attempts),
        (Selection::Entry { .. }, RollbackRule::Required) => Verdict::NoRollback,
    }
}

fn judge_old_image(situation: &Situation, confirming: bool) -> Verdict {
    let torn = match situation.target_entry {
        // Torn while being written, or never written.
        None => true,
        // Nobody took it up: no boot since, or no rollback and an image that did not start.
        Some(OtaState::New) => true,
        // Power went away after the self-test and before the entry was rewritten.
        Some(OtaState::Aborted) => confirming,
        // Rolled back by the app, or selected and found unbootable.
        Some(_) => false,
    };
    again_if(torn, situation.attempts)
}

/// A torn activation is tried again a few times.
const fn again_if(torn: bool, attempts: u8) -> Verdict {
    if torn && attempts < MAX_RETRIES {
        Verdict::Retry
    } else {
        Verdict::Failed
    }
}
