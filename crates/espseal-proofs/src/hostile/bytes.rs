//! Every byte of every artefact flipped, every artefact cut off at every length and made longer,
//! and artefacts that never end.

use std::sync::Arc;

use espseal_agent::error::{AgentError, Document, ServerError};

use super::attacks::{Attack, MayErase, Scene, blamed, document, erases};
use super::bed::Outcome;
use crate::power_cut::plan::Scope;

/// Every bent byte; of the body only some, unless it is to be everything.
pub(crate) fn attacks(scene: &Scene, scope: Scope) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for path in &scene.asked {
        let bytes = &scene.honest[path];
        let step = match (document(path), scope) {
            (_, Scope::Full) => 1,
            (Document::Body, Scope::Share) => 97,
            (Document::Body, Scope::Quick) => 997,
            (_, Scope::Share) => 1,
            (_, Scope::Quick) => 37,
        };
        for at in (0..bytes.len()).step_by(step) {
            let masks: &[u8] = if scope == Scope::Full {
                &[0x01, 0x80, 0xFF]
            } else {
                &[1 << (at % 8)]
            };
            for mask in masks {
                let mut bent = bytes.clone();
                bent[at] ^= mask;
                attacks.push(bend(scene, path, &format!("byte {at} ^ {mask:#x}"), bent));
            }
            let cut = bytes[..at].to_vec();
            attacks.push(bend(scene, path, &format!("cut off at {at}"), cut));
        }
        for more in [vec![0], vec![0xFF], vec![0; 5000]] {
            let longer = [&bytes[..], &more].concat();
            let name = format!("{} bytes longer", more.len());
            attacks.push(bend(scene, path, &name, longer));
        }
        let mut endless = bend(scene, path, "without an end", bytes.clone());
        endless.endless = Some(path.clone());
        attacks.push(endless);
    }
    attacks
}

fn bend(scene: &Scene, path: &str, what: &str, bytes: Vec<u8>) -> Attack {
    let wanted = document(path);
    let honest = scene.honest[path].clone();
    let harmless = is_harmless(wanted, &honest, &bytes);
    let judge = move |outcome: &Outcome| match outcome {
        Ok(_) => harmless,
        Err(error) => blames(error, wanted),
    };
    let mut attack = Attack::new(
        format!("{path}: {what}"),
        scene.with(path, bytes),
        erases(wanted),
        judge,
    );
    // The roots before it are honest, so they may be kept.
    if wanted == Document::Now {
        attack.may_erase = MayErase::Journal;
    }
    attack.honest = Some(Arc::clone(&scene.honest));
    attack
}

/// Whether an error blames the document, or what an unsigned lie in `now` sends the device after.
fn blames(error: &AgentError, wanted: Document) -> bool {
    let found = blamed(error);
    let sent_after = matches!(
        error,
        AgentError::Server(ServerError::NotFound {
            document: Document::Root { .. }
        })
    );
    found == Some(wanted) || wanted == Document::Now && sent_after
}

/// What no device reads cannot hurt one: entries of other devices, bytes behind the last range.
fn is_harmless(wanted: Document, honest: &[u8], bent: &[u8]) -> bool {
    match wanted {
        Document::Shard => bent.len() >= honest.len(),
        Document::Page { .. } | Document::Body => bent.starts_with(honest),
        _ => false,
    }
}
