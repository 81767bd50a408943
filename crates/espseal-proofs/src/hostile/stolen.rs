//! Stolen role keys: what they can do, and how a new root takes it back.

use std::sync::Arc;

use espseal_agent::agent::UpdateOutcome;
use espseal_agent::error::{AgentError, Document, MetadataError};

use super::attacks::{Attack, MayErase, Scene};
use super::bed::Outcome;
use crate::maker::{DAY, Maker, TODAY, role};
use crate::power_cut::plan::Scope;

/// Fast-forwards, and what follows them.
pub(crate) fn attacks(_scene: &Scene, _scope: Scope) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for stolen in [Stolen::Now, Stolen::Releases] {
        let mut thief = Scene::maker_now();
        stolen.fast_forward(&mut thief);
        thief.files.retain(|path, _| !path.ends_with(".bin"));
        let forward = Arc::new(thief.files.clone());
        let honest = Scene::maker_now();
        let refused = Attack {
            before: vec![Arc::clone(&forward)],
            ..Attack::new(
                format!("{stolen:?} fast-forwarded, no new root"),
                Arc::new(honest.files),
                MayErase::Nothing,
                move |outcome| is_rollback(outcome, stolen.document()),
            )
        };
        let recovered = Attack {
            before: vec![Arc::clone(&forward)],
            ..Attack::new(
                format!("{stolen:?} fast-forwarded, then a new root"),
                Arc::new(stolen.recover().files),
                MayErase::Slot,
                |outcome| matches!(outcome, Ok(UpdateOutcome::RestartToBoot { .. })),
            )
        };
        // After the new root the stolen key signs nothing any more.
        let locked_out = Attack {
            before: vec![Arc::new({
                let mut files = stolen.recover().files;
                files.retain(|path, _| !path.ends_with(".bin"));
                files
            })],
            ..Attack::new(
                format!("{stolen:?} used after the new root"),
                forward,
                MayErase::Nothing,
                |outcome| matches!(outcome, Err(AgentError::Metadata(_))),
            )
        };
        attacks.extend([refused, recovered, locked_out]);
    }
    attacks
}

/// Which role's key the thief has; `now` helps with both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stolen {
    Now,
    Releases,
}

impl Stolen {
    const fn document(self) -> Document {
        match self {
            Self::Now => Document::Now,
            Self::Releases => Document::Releases,
        }
    }

    /// Signs the last version there is, at the latest time that the root allows.
    fn fast_forward(self, maker: &mut Maker) {
        match self {
            Self::Now => {
                maker.now.position.version = u64::MAX;
                maker.now.time = maker.root.max_time;
                maker.now.expires = maker.root.max_time + DAY;
            }
            Self::Releases => maker.releases.position.version = u64::MAX,
        }
        maker.releases.expires = u64::MAX;
        maker.publish_as_is();
    }

    /// A new root that takes the key away and raises the generation.
    fn recover(self) -> Maker {
        let mut maker = Scene::maker_now();
        maker.root.version = 3;
        let (spare, generation) = (&maker.keys.spare, 2);
        match self {
            Self::Now => maker.root.now = role(1, generation, &[&spare[0]]),
            Self::Releases => maker.root.releases = role(1, generation, &[&spare[0]]),
        }
        maker.publish_root();
        let first = espseal_format::units::Position {
            generation,
            version: 1,
        };
        let keys = &mut maker.keys;
        match self {
            Self::Now => {
                std::mem::swap(&mut keys.now, &mut keys.spare[0]);
                maker.now.position = first;
            }
            Self::Releases => {
                std::mem::swap(&mut keys.releases, &mut keys.spare[0]);
                maker.releases.position = first;
            }
        }
        // As usual, and before the time that the thief has claimed.
        maker.now.time = TODAY + DAY;
        maker.now.expires = TODAY + 8 * DAY;
        maker.releases.expires = TODAY + 365 * DAY;
        let app = super::attacks::app("2.0");
        maker.release_image(&app.build(), &app, 3, |manifest| {
            manifest.expires = TODAY + 365 * DAY;
        });
        maker.publish();
        maker
    }
}

fn is_rollback(outcome: &Outcome, document: Document) -> bool {
    let Err(AgentError::Metadata(error)) = outcome else {
        return false;
    };
    matches!(error, MetadataError::Rollback { document: found, .. } if *found == document)
}
