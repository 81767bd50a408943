//! Rules that keep nothing: when staging is allowed, and what an offer means.

use espseal_agent::acceptance::{self, Installed, Standing};
use espseal_agent::boot::{self, Selection};
use espseal_agent::config::RollbackRule;
use espseal_agent::error::{AgentError, DeviceError, MetadataError};
use espseal_agent::platform::Slot;
use espseal_format::chip::ChipId;
use espseal_format::cohort::{self, Membership, Ppm, Salt};
use espseal_format::metadata::now::{Hold, Now};
use espseal_format::metadata::releases::{Offer, OfferState};
use espseal_format::otadata::OtaState;
use espseal_format::units::{ChannelName, DeviceId, Digest, Position, Product};

use super::Sum;

/// Every combination.
pub(super) fn explore(sum: &mut Sum) {
    staging(sum);
    offers(sum);
}

/// Staging needs running == selected, and VALID or something that only a torn VALID leaves behind.
fn staging(sum: &mut Sum) {
    let states = [
        OtaState::New,
        OtaState::PendingVerify,
        OtaState::Valid,
        OtaState::Invalid,
        OtaState::Aborted,
        OtaState::Undefined,
        OtaState::Unknown(6),
    ];
    let slots = [Slot::Factory, Slot::Ota(0), Slot::Ota(1)];
    for running in slots {
        for slot in slots {
            let entries = states.map(|state| Selection::Entry { slot, state });
            for selection in entries.into_iter().chain([Selection::Default { slot }]) {
                for rule in [RollbackRule::Required, RollbackRule::Optional] {
                    sum.rules += 1;
                    let found = boot::may_stage(&selection, running, rule).is_ok();
                    let state = match selection {
                        Selection::Entry { state, .. } => state,
                        Selection::Default { .. } => OtaState::Valid,
                    };
                    let settled = match state {
                        OtaState::Valid | OtaState::Unknown(_) => true,
                        OtaState::New | OtaState::Undefined => rule == RollbackRule::Optional,
                        _ => false,
                    };
                    sum.demand(found == (running == slot && settled), || {
                        format!(
                            "staging is allowed: {found}: {running} runs, {selection:?}, {rule:?}"
                        )
                    });
                }
            }
        }
    }
}

fn offers(sum: &mut Sum) {
    let channel = ChannelName::new("stable").unwrap();
    let shares = [0, 1, 500_000, 999_999, 1_000_000].map(|ppm| Ppm::new(ppm).unwrap());
    let devices = [0_u8, 1, 2, 3, 4, 5].map(|byte| DeviceId([byte; 32]));
    for seq in [1, 2, 3] {
        for manifest in [Digest([1; 32]), Digest([2; 32])] {
            for (ppm, state) in shares
                .iter()
                .flat_map(|ppm| [OfferState::Active, OfferState::Held].map(|state| (*ppm, state)))
            {
                let offer = Offer {
                    channel: channel.clone(),
                    chip: ChipId::Esp32,
                    manifest,
                    seq,
                    salt: Salt([9; 16]),
                    ppm,
                    state,
                };
                for device in &devices {
                    let free = judged(&offer, None, device);
                    check(sum, &offer, None, device, &free);
                    for hold in shares {
                        let held = judged(&offer, Some(hold), device);
                        check(sum, &offer, Some(hold), device, &held);
                        // now may only narrow.
                        let widened = held == Ok(Standing::Wanted) && free != Ok(Standing::Wanted);
                        sum.demand(!widened, || format!("a hold of {hold:?} widens {offer:?}"));
                    }
                }
            }
        }
    }
}

const INSTALLED: Position = Position {
    generation: 1,
    version: 2,
};

fn judged(offer: &Offer, hold: Option<Ppm>, device: &DeviceId) -> Result<Standing, AgentError> {
    let hold = hold.map(|ppm| Hold {
        channel: offer.channel.clone(),
        chip: offer.chip,
        seq: offer.seq,
        ppm,
    });
    let now = Now {
        product: Product([1; 16]),
        position: INSTALLED,
        time: 0,
        expires: 1,
        releases: Digest([0; 32]),
        root_version: 1,
        holds: hold.into_iter().collect(),
    };
    let installed = Installed {
        position: INSTALLED,
        manifest: Some(Digest([1; 32])),
    };
    let offered = Position {
        version: offer.seq,
        ..INSTALLED
    };
    acceptance::offer(offer, offered, &now, &installed, device)
}

fn check(
    sum: &mut Sum,
    offer: &Offer,
    hold: Option<Ppm>,
    device: &DeviceId,
    found: &Result<Standing, AgentError>,
) {
    sum.rules += 1;
    let ppm = hold.map_or(offer.ppm, |hold| {
        if hold.get() < offer.ppm.get() {
            hold
        } else {
            offer.ppm
        }
    });
    let inside = cohort::includes(&offer.salt, device, ppm) == Membership::Inside;
    let good = match (offer.seq, found) {
        (1, found) => matches!(
            found,
            Err(AgentError::Device(DeviceError::Downgrade { .. }))
        ),
        (2, Ok(standing)) => *standing == Standing::UpToDate && offer.manifest == Digest([1; 32]),
        (2, Err(error)) => {
            let reused = matches!(
                error,
                AgentError::Metadata(MetadataError::PositionReused { .. })
            );
            reused && offer.manifest == Digest([2; 32])
        }
        (_, Ok(standing)) => {
            let expected = if offer.state == OfferState::Held || ppm == Ppm::NONE {
                Standing::Held
            } else if inside {
                Standing::Wanted
            } else {
                Standing::NotInCohort
            };
            *standing == expected
        }
        (_, Err(_)) => false,
    };
    sum.demand(good, || {
        format!("{offer:?} under {hold:?} is judged {found:?}")
    });
}
