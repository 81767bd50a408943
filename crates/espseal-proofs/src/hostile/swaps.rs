//! Every file in the place of every other: of this repository, of its past, of another device,
//! product, group, channel and chip; and whole repositories of those.

use std::collections::BTreeMap;
use std::sync::Arc;

use espseal_agent::agent::UpdateOutcome;
use espseal_format::chip::ChipId;

use super::attacks::{Attack, MayErase, Scene, app, blamed, device_key, document, erases};
use super::bed::Outcome;
use crate::image::App;
use crate::maker::{Files, GROUP, Maker, OTHER_PRODUCT, PRODUCT};
use crate::power_cut::plan::Scope;

/// All swaps.
pub(crate) fn attacks(scene: &Scene, _scope: Scope) -> Vec<Attack> {
    let strangers = strangers();
    let mut attacks = Vec::new();
    for path in &scene.asked {
        let mut contents: BTreeMap<&[u8], String> = BTreeMap::new();
        let own = [("now", &*scene.honest), ("then", &*scene.older)];
        let others = strangers.iter().map(|(name, files)| (*name, &**files));
        for (whose, files) in own.into_iter().chain(others) {
            for (other, bytes) in files {
                contents.entry(bytes).or_insert(format!("{whose}/{other}"));
            }
        }
        contents.remove(&scene.honest[path][..]);
        for (bytes, other) in contents {
            attacks.push(swap(scene, path, &other, bytes));
        }
    }
    for (name, files) in &strangers {
        attacks.push(whole(scene, name, files));
    }
    // All of the past at once, to a device that has seen the present.
    let mut past = Attack::new(
        "the whole past",
        Arc::clone(&scene.older),
        MayErase::Nothing,
        |outcome| matches!(outcome, Err(error) if blamed(error).is_some()),
    );
    past.before = vec![scene.without_body()];
    past.honest = Some(Arc::clone(&scene.honest));
    attacks.push(past);
    attacks
}

fn swap(scene: &Scene, path: &str, other: &str, bytes: &[u8]) -> Attack {
    let wanted = document(path);
    let judge =
        move |outcome: &Outcome| matches!(outcome, Err(error) if blamed(error) == Some(wanted));
    let name = format!("{path} is {other}");
    let mut attack = Attack::new(
        name,
        scene.with(path, bytes.to_vec()),
        erases(wanted),
        judge,
    );
    attack.before = vec![scene.without_body()];
    // An earlier poll left root 2 behind: it is not asked for again.
    if matches!(wanted, espseal_agent::error::Document::Root { .. }) {
        attack.before.clear();
    }
    attack.honest = Some(Arc::clone(&scene.honest));
    attack
}

/// A whole repository that is not for this device: whatever it leads to, nothing is installed.
fn whole(scene: &Scene, name: &str, files: &Arc<Files>) -> Attack {
    let judge = |outcome: &Outcome| match outcome {
        Ok(outcome) => !matches!(outcome, UpdateOutcome::RestartToBoot { .. }),
        Err(_) => true,
    };
    let mut attack = Attack::new(
        format!("the whole repository of {name}"),
        Arc::clone(files),
        MayErase::Journal,
        judge,
    );
    attack.honest = Some(Arc::clone(&scene.honest));
    attack
}

/// Repositories signed by the same keys, for somebody else.
fn strangers() -> Vec<(&'static str, Arc<Files>)> {
    let c3 = ChipId::Esp32C3;
    let makers = [
        (
            "another product",
            Maker::of(c3, OTHER_PRODUCT, GROUP, "stable"),
        ),
        ("another group", Maker::of(c3, PRODUCT, GROUP + 1, "stable")),
        ("another channel", Maker::of(c3, PRODUCT, GROUP, "beta")),
        (
            "another chip",
            Maker::of(ChipId::Esp32, PRODUCT, GROUP, "stable"),
        ),
        ("another device", Maker::of(c3, PRODUCT, GROUP, "stable")),
    ];
    let publish = |(name, mut maker): (&'static str, Maker)| {
        let device = device_key(if name == "another device" { 3 } else { 2 });
        maker.enrol(&[&device]);
        let app = App {
            chip: maker.chip,
            ..app("2.0")
        };
        maker.root.version = 2;
        maker.publish_root();
        maker.release(&app, 3);
        maker.publish();
        (name, Arc::new(maker.files))
    };
    makers.map(publish).into()
}
