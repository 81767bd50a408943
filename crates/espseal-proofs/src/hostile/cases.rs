//! Signed metadata that this device must not act on, each case with the error it has to lead to.

use std::sync::Arc;

use espseal_agent::agent::UpdateOutcome;
use espseal_agent::error::{AgentError, DeviceError, Document, MetadataError};
use espseal_format::chip::ChipId;
use espseal_format::cohort::Ppm;
use espseal_format::metadata::manifest::{ClassId, Manifest, VendorId};
use espseal_format::metadata::now::Hold;
use espseal_format::metadata::releases::OfferState;
use espseal_format::units::SecurityVersion;

use super::attacks::{Attack, MayErase, Scene, app, blamed};
use super::bed::Outcome;
use crate::maker::{DAY, Files, Maker, OTHER_PRODUCT, TODAY, role, sign_root};
use crate::power_cut::plan::Scope;

/// All cases.
pub(crate) fn attacks(scene: &Scene, _scope: Scope) -> Vec<Attack> {
    let mut attacks = manifests();
    attacks.extend(offers());
    attacks.extend(times());
    attacks.extend(positions(scene));
    attacks.extend(roots());
    let honest = honest_later();
    for attack in &mut attacks {
        // A now whose releases were refused must not have raised any floor: what is older than it
        // still has to do.
        let honest = match attack.name.as_str() {
            STRANGERS_RELEASES => &scene.honest,
            _ => &honest,
        };
        attack.honest = Some(Arc::clone(honest));
    }
    attacks
}

const STRANGERS_RELEASES: &str = "a stranger's releases";

/// What the maker publishes once the attack is over.
pub(crate) fn honest_later() -> Arc<Files> {
    let mut maker = Scene::maker_now();
    maker.now.position.version += 100;
    maker.releases.position.version += 100;
    maker.release(&app("3.0"), 50);
    maker.publish();
    Arc::new(maker.files)
}

/// The maker's repository after `bend`, signed and published.
pub(crate) fn bent(bend: impl FnOnce(&mut Maker)) -> Arc<Files> {
    let mut maker = Scene::maker_now();
    bend(&mut maker);
    maker.publish();
    Arc::new(maker.files)
}

fn manifests() -> Vec<Attack> {
    type Bend = fn(&mut Manifest);
    type Is = fn(&DeviceError) -> bool;
    let cases: [(&str, Bend, Is); 5] = [
        (
            "another vendor",
            |manifest| manifest.vendor = VendorId([1; 16]),
            |error| matches!(error, DeviceError::WrongVendor),
        ),
        (
            "another class",
            |manifest| manifest.class = ClassId([1; 16]),
            |error| matches!(error, DeviceError::WrongClass),
        ),
        (
            "another chip",
            |manifest| manifest.chip = ChipId::Esp32,
            |error| matches!(error, DeviceError::WrongChip { .. }),
        ),
        (
            "an older secure version than the running image's",
            |manifest| manifest.secure_version = SecurityVersion::new(0),
            |error| matches!(error, DeviceError::SecureVersion { .. }),
        ),
        (
            "a minimum version that is not installed",
            |manifest| manifest.min_seq = 3,
            |error| matches!(error, DeviceError::TooOld { .. }),
        ),
    ];
    let mut attacks: Vec<Attack> = cases
        .into_iter()
        .map(|(name, bend, is)| {
            let files = bent(|maker| {
                maker.release_image(&app("2.0").build(), &app("2.0"), 4, bend);
            });
            let judge =
                move |outcome: &Outcome| matches!(outcome, Err(AgentError::Device(error)) if is(error));
            Attack::new(name, files, MayErase::Journal, judge)
        })
        .collect();
    let files = bent(|maker| {
        maker.release_image(&[0xE9; 0x2_0001], &app("2.0"), 4, |_| {});
    });
    attacks.push(Attack::new(
        "an image larger than the slot",
        files,
        MayErase::Journal,
        |outcome| {
            matches!(
                outcome,
                Err(AgentError::Device(DeviceError::TooLarge { .. }))
            )
        },
    ));
    let files = bent(|maker| {
        let foreign = |manifest: &mut Manifest| manifest.product = OTHER_PRODUCT;
        maker.release_image(&app("2.0").build(), &app("2.0"), 4, foreign);
    });
    attacks.push(refused(
        "a manifest of another product",
        files,
        MayErase::Journal,
        Document::Manifest,
    ));
    attacks
}

fn offers() -> Vec<Attack> {
    let held = |outcome: &Outcome| matches!(outcome, Ok(UpdateOutcome::Held));
    let hold = |maker: &mut Maker| {
        let hold = Hold {
            channel: maker.channel.clone(),
            chip: maker.chip,
            seq: 3,
            ppm: Ppm::NONE,
        };
        maker.now.holds = heapless::Vec::from_slice(&[hold]).unwrap();
    };
    let offer = |bend: fn(&mut espseal_format::metadata::releases::Offer)| {
        bent(|maker| bend(&mut maker.releases.offers[0]))
    };
    let none = offer(|offer| offer.ppm = Ppm::NONE);
    let state = offer(|offer| offer.state = OfferState::Held);
    let older = offer(|offer| offer.seq = 1);
    let downgrade = |outcome: &Outcome| {
        matches!(
            outcome,
            Err(AgentError::Device(DeviceError::Downgrade { .. }))
        )
    };
    let mut held_later = Attack::new(
        "a hold while it is staged",
        bent(|_| {}),
        MayErase::Image,
        held,
    );
    held_later.later = Some(bent(hold));
    let changed = |outcome: &Outcome| matches!(outcome, Ok(UpdateOutcome::OfferChanged));
    let mut changed_later = Attack::new(
        "another offer while it is staged",
        bent(|_| {}),
        MayErase::Image,
        changed,
    );
    changed_later.later = Some(bent(|maker| {
        maker.release(&app("2.5"), 9);
    }));
    let mut expired_later = refused(
        "a manifest that expires while it is staged",
        bent(|maker| release_until(maker, TODAY + 2 * DAY)),
        MayErase::Image,
        Document::Manifest,
    );
    expired_later.later = Some(bent(|maker| {
        release_until(maker, TODAY + 2 * DAY);
        maker.now.time = TODAY + 3 * DAY;
    }));
    vec![
        Attack::new("a hold for everybody", bent(hold), MayErase::Journal, held),
        Attack::new("an offer to nobody", none, MayErase::Journal, held),
        Attack::new("a held offer", state, MayErase::Journal, held),
        Attack::new("a downgrade", older, MayErase::Journal, downgrade),
        held_later,
        changed_later,
        expired_later,
    ]
}

fn release_until(maker: &mut Maker, expires: u64) {
    maker.release_image(&app("2.0").build(), &app("2.0"), 4, |manifest| {
        manifest.expires = expires;
    });
}

fn times() -> Vec<Attack> {
    let late = |clock| {
        move |mut attack: Attack| {
            attack.clock = Some(clock);
            attack
        }
    };
    let beyond = bent(|maker| {
        maker.now.time = maker.root.max_time + 1;
        maker.now.expires = maker.root.max_time + DAY;
    });
    let beyond = Attack::new(
        "a time beyond the root's cap",
        beyond,
        MayErase::Journal,
        |outcome| {
            let Err(AgentError::Metadata(error)) = outcome else {
                return false;
            };
            matches!(error, MetadataError::TimeBeyondRoot { .. })
        },
    );
    let root = Attack::new(
        "an expired root, by a clock",
        bent(|_| {}),
        MayErase::Journal,
        |outcome| {
            let Err(AgentError::Metadata(error)) = outcome else {
                return false;
            };
            matches!(error, MetadataError::RootExpired { .. })
        },
    );
    let releases = bent(|maker| {
        maker.releases.expires = TODAY + DAY;
        maker.now.time = TODAY + 2 * DAY;
    });
    let manifest = bent(|maker| release_until(maker, TODAY - DAY));
    vec![
        beyond,
        late(TODAY + 4000 * DAY)(root),
        late(TODAY + 8 * DAY)(refused(
            "an expired now",
            bent(|_| {}),
            MayErase::Journal,
            Document::Now,
        )),
        refused(
            "releases that expired before now",
            releases,
            MayErase::Journal,
            Document::Releases,
        ),
        refused(
            "an expired manifest",
            manifest,
            MayErase::Journal,
            Document::Manifest,
        ),
    ]
}

fn positions(scene: &Scene) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for generation in [0, 2] {
        let now = bent(|maker| maker.now.position.generation = generation);
        let releases = bent(|maker| maker.releases.position.generation = generation);
        attacks.push(refused(
            "a now of another generation",
            now,
            MayErase::Journal,
            Document::Now,
        ));
        let name = "releases of another generation";
        attacks.push(refused(
            name,
            releases,
            MayErase::Journal,
            Document::Releases,
        ));
    }
    let foreign = |what: &str, files, document| {
        refused(
            &format!("{what} of another product"),
            files,
            MayErase::Journal,
            document,
        )
    };
    let now = bent(|maker| maker.now.product = OTHER_PRODUCT);
    let releases = bent(|maker| maker.releases.product = OTHER_PRODUCT);
    attacks.push(foreign("a now", now, Document::Now));
    attacks.push(foreign("releases", releases, Document::Releases));
    // Older ones than a device has seen, each with the other in order.
    let seen = bent(|maker| {
        maker.now.position.version += 10;
        maker.releases.position.version += 10;
        maker.releases.offers.clear();
    });
    let older_now = bent(|maker| maker.releases.position.version += 10);
    let older_releases = bent(|maker| maker.now.position.version += 10);
    let mut replays = [
        refused("an older now", older_now, MayErase::Nothing, Document::Now),
        refused(
            "older releases",
            older_releases,
            MayErase::Nothing,
            Document::Releases,
        ),
    ];
    for replay in &mut replays {
        replay.before = vec![Arc::clone(&seen)];
    }
    attacks.extend(replays);
    let stranger = |sign: fn(&mut Maker)| {
        let mut maker = Scene::maker_now();
        maker.publish();
        sign(&mut maker);
        Arc::new(maker.files)
    };
    let now = stranger(|maker| {
        let bytes = maker.signed_now(&maker.keys.stranger);
        maker.put(espseal_format::repository::Resource::Now, bytes);
    });
    attacks.push(refused(
        "a stranger's now",
        now,
        MayErase::Journal,
        Document::Now,
    ));
    let releases = stranger(|maker| {
        std::mem::swap(&mut maker.keys.releases, &mut maker.keys.stranger);
        maker.publish();
    });
    attacks.push(refused(
        STRANGERS_RELEASES,
        releases,
        MayErase::Journal,
        Document::Releases,
    ));
    let swapped = stranger(|maker| {
        std::mem::swap(&mut maker.keys.releases, &mut maker.keys.now);
        maker.publish();
    });
    attacks.push(refused(
        "keys of each other's roles",
        swapped,
        MayErase::Journal,
        Document::Now,
    ));
    // A root that was trusted once does not come back.
    let mut rollback = Attack::new(
        "a now that names an older root",
        bent(|maker| maker.now.root_version = 1),
        MayErase::Nothing,
        |outcome| {
            let Err(AgentError::Metadata(error)) = outcome else {
                return false;
            };
            matches!(error, MetadataError::RootRollback { .. })
        },
    );
    rollback.before = vec![scene.without_body()];
    attacks.push(rollback);
    attacks
}

fn roots() -> Vec<Attack> {
    type Bend = fn(&mut Maker) -> Vec<u8>;
    let cases: [(&str, Bend); 8] = [
        ("one signature of two", |maker| {
            sign_root(&maker.root, &[&maker.keys.root[0]])
        }),
        ("one key signing twice", |maker| {
            let mut bytes = sign_root(&maker.root, &[&maker.keys.root[0], &maker.keys.root[1]]);
            let ids: Vec<_> = [0, 1]
                .map(|key: usize| {
                    let key = maker.keys.root[key].public_key();
                    espseal_format::units::KeyId::of(&key).0
                })
                .into();
            let length = ids[0].len();
            let find =
                |bytes: &[u8], id: &[u8]| bytes.windows(length).position(|found| found == id);
            let second = find(&bytes, &ids[1]).unwrap();
            bytes[second..second + length].copy_from_slice(&ids[0]);
            bytes
        }),
        ("signed by strangers", |maker| {
            sign_root(&maker.root, &[&maker.keys.stranger, &maker.keys.spare[0]])
        }),
        ("new keys, signed by the new ones only", |maker| {
            maker.root.root = role(1, 0, &[&maker.keys.stranger]);
            sign_root(&maker.root, &[&maker.keys.stranger])
        }),
        ("new keys, signed by the old ones only", |maker| {
            maker.root.root = role(1, 0, &[&maker.keys.stranger]);
            maker.signed_root_by_two()
        }),
        ("a version left out", |maker| {
            maker.root.version = 3;
            maker.signed_root_by_two()
        }),
        ("a lower generation", |maker| {
            maker.root.now = role(1, 0, &[&maker.keys.now]);
            maker.signed_root_by_two()
        }),
        ("another product", |maker| {
            maker.root.product = OTHER_PRODUCT;
            maker.signed_root_by_two()
        }),
    ];
    cases
        .into_iter()
        .map(|(name, bend)| {
            let mut maker = Scene::maker_now();
            let bytes = bend(&mut maker);
            let mut files = maker.files;
            files.insert("root/2.cose".into(), bytes);
            let judge = |outcome: &Outcome| match outcome {
                Err(error @ AgentError::Metadata(metadata)) => {
                    matches!(blamed(error), Some(Document::Root { .. }))
                        || matches!(metadata, MetadataError::GenerationFell { .. })
                }
                _ => false,
            };
            Attack::new(
                format!("a root with {name}"),
                Arc::new(files),
                MayErase::Nothing,
                judge,
            )
        })
        .collect()
}

fn refused(name: &str, files: Arc<Files>, may_erase: MayErase, document: Document) -> Attack {
    let judge = move |outcome: &Outcome| matches!(outcome, Err(error @ AgentError::Metadata(_)) if blamed(error) == Some(document));
    Attack::new(name, files, may_erase, judge)
}
