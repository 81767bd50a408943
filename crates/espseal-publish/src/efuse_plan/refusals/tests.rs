//! Every refusal has a wish, or a chip, that it is the answer to.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod cases;

use std::collections::BTreeSet;

use espseal_crypto::flash_encryption::FlashCryptConfig;
use espseal_format::chip::ChipId;
use espseal_format::efuse::KeyPurpose;
use espseal_format::signature_block::{Curve, SignatureScheme};
use espseal_format::units::{Digest, SecurityVersion};
use espseal_twin::boot::EncryptionMode;
use espseal_twin::efuse::{CodingScheme, Efuses, KeyProtection, KeyToBurn, KeyUse, Mac};

use super::super::plan::{Plan, plan};
use super::super::present::Present;
use super::super::wish::{
    BurntKeys, DownloadPolicy, FlashContents, FlashEncryptionWish, HmacKeyWish, JtagPolicy,
    Revocation, SecureBootWish, UnusedDigests, Wish,
};
use super::Refusal;

const KEY: [u8; 32] = *b"a flash key that is as good as a";
const DIGEST: Digest = Digest(*b"the digest of one maker's key...");
const OTHER: Digest = Digest(*b"the digest of another's key.....");

/// A chip out of the box, and whatever was done to it since.
fn chip(id: ChipId, burn: impl FnOnce(&mut Efuses)) -> Present {
    let mut efuses = Efuses::as_shipped(id, None, Mac([2, 0, 0, 0, 0, 9])).unwrap();
    burn(&mut efuses);
    Present::of(efuses)
}

fn blank(id: ChipId) -> Present {
    chip(id, |_| {})
}

fn esp32(revision: u16, coding: CodingScheme) -> Present {
    Present::blank(ChipId::Esp32, Some(revision), coding).unwrap()
}

fn encrypted(id: ChipId, mode: EncryptionMode, key_length: usize) -> Wish {
    Wish {
        flash_encryption: Some(FlashEncryptionWish {
            mode,
            key_length,
            block: None,
            config: FlashCryptConfig::DEFAULT,
            flash: FlashContents::Encrypted,
        }),
        ..Wish::open(id)
    }
}

fn release(id: ChipId) -> Wish {
    encrypted(id, EncryptionMode::Release, 32)
}

fn v2(
    scheme: SignatureScheme,
    digests: &[Digest],
    unused: Option<UnusedDigests>,
) -> SecureBootWish {
    SecureBootWish::V2 {
        scheme,
        digests: digests.to_vec(),
        unused,
        revocation: Revocation::Lenient,
    }
}

fn booting(id: ChipId, scheme: SignatureScheme) -> Wish {
    Wish {
        secure_boot: Some(v2(scheme, &[DIGEST], Some(UnusedDigests::Revoke))),
        ..Wish::open(id)
    }
}

fn rsa(id: ChipId) -> Wish {
    booting(id, SignatureScheme::Rsa3072)
}

fn refusal(wish: &Wish, present: &Present) -> Refusal {
    match plan(wish, present) {
        Err(refusal) => refusal,
        Ok(plan) => panic!("planned: {:?}", plan.steps),
    }
}

fn planned(wish: &Wish, present: &Present) -> Plan {
    plan(wish, present).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// The name of a refusal. A new one does not compile until it stands here, and then has to have a case.
fn name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Chip(_) => "Chip",
        Refusal::OtherChip { .. } => "OtherChip",
        Refusal::NoSecureBoot { .. } => "NoSecureBoot",
        Refusal::NoSecureBootV1 { .. } => "NoSecureBootV1",
        Refusal::NoFlashKey { .. } => "NoFlashKey",
        Refusal::NoCryptConfig { .. } => "NoCryptConfig",
        Refusal::NoHmac { .. } => "NoHmac",
        Refusal::NoSoftJtag { .. } => "NoSoftJtag",
        Refusal::NoSecureDownload { .. } => "NoSecureDownload",
        Refusal::DownloadStays { .. } => "DownloadStays",
        Refusal::SecureVersionTooHigh { .. } => "SecureVersionTooHigh",
        Refusal::OneKeyBlock { .. } => "OneKeyBlock",
        Refusal::CodedDigest => "CodedDigest",
        Refusal::CodedFlashKey { .. } => "CodedFlashKey",
        Refusal::CodedCounter => "CodedCounter",
        Refusal::RepeatCoding => "RepeatCoding",
        Refusal::BlankDigest { .. } => "BlankDigest",
        Refusal::SameDigest { .. } => "SameDigest",
        Refusal::DigestCount { .. } => "DigestCount",
        Refusal::UnusedDigests { .. } => "UnusedDigests",
        Refusal::PlaintextFlash { .. } => "PlaintextFlash",
        Refusal::LockedWhileDeveloping { .. } => "LockedWhileDeveloping",
        Refusal::SoftJtagWithoutKey => "SoftJtagWithoutKey",
        Refusal::ReadProtectionLocked { .. } => "ReadProtectionLocked",
        Refusal::DigestHidden { .. } => "DigestHidden",
        Refusal::Irreversible { .. } => "Irreversible",
        Refusal::OtherValue { .. } => "OtherValue",
        Refusal::OtherDigest { .. } => "OtherDigest",
        Refusal::RevokedSlot { .. } => "RevokedSlot",
        Refusal::BurntKey { .. } => "BurntKey",
        Refusal::HalfKey { .. } => "HalfKey",
        Refusal::OtherKey { .. } => "OtherKey",
        Refusal::BlockTaken { .. } => "BlockTaken",
        Refusal::BlockRefuses { .. } => "BlockRefuses",
        Refusal::NoSuchBlock { .. } => "NoSuchBlock",
        Refusal::NoBlock { .. } => "NoBlock",
        Refusal::CounterUsedUp { .. } => "CounterUsedUp",
        Refusal::WriteProtected { .. } => "WriteProtected",
        Refusal::DownloadClosed { .. } => "DownloadClosed",
        Refusal::Step { .. } => "Step",
    }
}

#[test]
fn each_way_to_brick_a_chip_is_refused_with_its_reason() {
    let mut seen = BTreeSet::new();
    let mut cases = 0;
    for (expected, wish, present) in cases::silicon()
        .into_iter()
        .chain(cases::bricks())
        .chain(cases::contradictions())
    {
        let refusal = refusal(&wish, &present);
        assert_eq!(name(&refusal), expected, "{wish:?}: {refusal}");
        let message = refusal.to_string();
        assert!(message.len() > 40, "{message}");
        seen.insert(expected);
        cases += 1;
    }
    // `Chip` stands for chips without a table, of which no present state can be made.
    let all = 39;
    println!("{cases} refused wishes, {} different reasons", seen.len());
    assert_eq!(seen.len(), all, "{seen:?}");
}

#[test]
fn the_nearest_thing_that_is_not_refused_is_planned() {
    use ChipId::{Esp32, Esp32C2, Esp32C3};
    // RD_DIS may be locked when nothing has to be hidden any more.
    let locked = chip(Esp32C3, |efuses| {
        efuses.burn_key(4, KeyUse::FlashEncryption, &KEY).unwrap();
        efuses.write_protect("RD_DIS").unwrap();
    });
    let accepting = Wish {
        burnt_keys: BurntKeys::Accept,
        ..release(Esp32C3)
    };
    assert!(!planned(&accepting, &locked).steps.is_empty());
    // Every slot in use, or all of the others revoked: nothing has to be said.
    let all = Wish {
        secure_boot: Some(v2(
            SignatureScheme::Rsa3072,
            &[DIGEST, OTHER, Digest([9; 32])],
            None,
        )),
        ..Wish::open(Esp32C3)
    };
    planned(&all, &blank(Esp32C3));
    let one = Wish {
        secure_boot: Some(v2(SignatureScheme::Rsa3072, &[DIGEST], None)),
        ..Wish::open(Esp32C3)
    };
    let revoked = chip(Esp32C3, |efuses| efuses.revoke_from(1).unwrap());
    planned(&one, &revoked);
    // A revoked slot may hold anybody's digest.
    let rotated = chip(Esp32C3, |efuses| {
        efuses
            .burn_key(7, KeyUse::SecureBootDigest(1), &OTHER.0)
            .unwrap();
        efuses.revoke_from(1).unwrap();
    });
    planned(&one, &rotated);
    // The other half of the only block.
    let both = Wish {
        secure_boot: Some(v2(SignatureScheme::Ecdsa(Curve::P256), &[DIGEST], None)),
        ..encrypted(Esp32C2, EncryptionMode::Release, 16)
    };
    assert_eq!(
        planned(&both, &blank(Esp32C2)).steps[0].burn.keys().len(),
        2
    );
    // Revision 3 can shut its download mode.
    let shut = Wish {
        download: DownloadPolicy::Shut,
        ..Wish::open(Esp32)
    };
    planned(&shut, &blank(Esp32));
    // What is as wished needs no cable.
    let done = Wish {
        download: DownloadPolicy::Secure,
        ..Wish::open(Esp32C3)
    };
    let closed = chip(Esp32C3, |efuses| {
        efuses.burn("ENABLE_SECURITY_DOWNLOAD", 1).unwrap()
    });
    assert!(planned(&done, &closed).steps.is_empty());
}

#[test]
fn a_readable_secret_key_that_is_accepted_is_hidden_first() {
    let readable = chip(ChipId::Esp32C3, |efuses| {
        let key = KeyToBurn {
            block: 4,
            usage: KeyUse::FlashEncryption,
            key: &KEY,
        };
        efuses.burn_keys(&[key], KeyProtection::Open).unwrap();
    });
    let wish = Wish {
        burnt_keys: BurntKeys::Accept,
        ..release(ChipId::Esp32C3)
    };
    let plan = planned(&wish, &readable);
    let titles: Vec<_> = plan.steps.iter().map(ToString::to_string).collect();
    assert_eq!(titles[0], "read protection of BLOCK_KEY0");
    assert_eq!(titles[1], "write protection of BLOCK_KEY0");
    // Nothing of the key stands in the plan.
    assert!(!format!("{plan:?}").contains("97, 32, 102"), "{plan:?}");
}
