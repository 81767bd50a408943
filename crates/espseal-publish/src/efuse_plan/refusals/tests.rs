//! Every refusal has a wish, or a chip, that it is the answer to.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

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

/// What a wish cannot have from the silicon.
fn silicon() -> Vec<(&'static str, Wish, Present)> {
    use ChipId::{Esp32, Esp32C2, Esp32C3, Esp32C6, Esp32C61, Esp32S3};
    let p256 = SignatureScheme::Ecdsa(Curve::P256);
    let v1 = |id| Wish {
        secure_boot: Some(SecureBootWish::V1),
        ..Wish::open(id)
    };
    let shut = |id| Wish {
        download: DownloadPolicy::Shut,
        ..Wish::open(id)
    };
    let counted = |id, version| Wish {
        secure_version: SecurityVersion::new(version),
        ..Wish::open(id)
    };
    let mut config = release(Esp32C3);
    if let Some(encryption) = &mut config.flash_encryption {
        encryption.config = FlashCryptConfig::new(5).unwrap();
    }
    let shared = Wish {
        secure_boot: Some(v2(p256, &[DIGEST], None)),
        ..release(Esp32C2)
    };
    vec![
        ("OtherChip", release(Esp32S3), blank(Esp32C3)),
        ("NoSecureBoot", rsa(Esp32C61), blank(Esp32C61)),
        ("NoSecureBoot", booting(Esp32C3, p256), blank(Esp32C3)),
        ("NoSecureBoot", rsa(Esp32), esp32(101, CodingScheme::None)),
        ("NoSecureBootV1", v1(Esp32S3), blank(Esp32S3)),
        (
            "NoFlashKey",
            encrypted(Esp32C3, EncryptionMode::Release, 64),
            blank(Esp32C3),
        ),
        ("NoCryptConfig", config, blank(Esp32C3)),
        (
            "NoHmac",
            Wish {
                device_key: Some(HmacKeyWish::default()),
                ..Wish::open(Esp32C61)
            },
            blank(Esp32C61),
        ),
        (
            "NoSoftJtag",
            Wish {
                jtag: JtagPolicy::Soft,
                ..Wish::open(Esp32C2)
            },
            blank(Esp32C2),
        ),
        (
            "NoSecureDownload",
            Wish {
                download: DownloadPolicy::Secure,
                ..Wish::open(Esp32)
            },
            blank(Esp32),
        ),
        ("DownloadStays", shut(Esp32), esp32(101, CodingScheme::None)),
        ("SecureVersionTooHigh", counted(Esp32C2, 5), blank(Esp32C2)),
        ("OneKeyBlock", shared, blank(Esp32C2)),
        (
            "CodedDigest",
            rsa(Esp32),
            esp32(300, CodingScheme::ThreeQuarters),
        ),
        (
            "CodedFlashKey",
            release(Esp32),
            esp32(300, CodingScheme::ThreeQuarters),
        ),
        (
            "CodedFlashKey",
            encrypted(Esp32, EncryptionMode::Release, 24),
            esp32(300, CodingScheme::None),
        ),
        (
            "CodedCounter",
            counted(Esp32, 1),
            esp32(300, CodingScheme::ThreeQuarters),
        ),
        (
            "RepeatCoding",
            Wish::open(Esp32),
            esp32(300, CodingScheme::Repeat),
        ),
        (
            "SoftJtagWithoutKey",
            Wish {
                jtag: JtagPolicy::Soft,
                ..Wish::open(Esp32C6)
            },
            blank(Esp32C6),
        ),
    ]
}

/// How makers brick chips.
fn bricks() -> Vec<(&'static str, Wish, Present)> {
    use ChipId::{Esp32, Esp32C2, Esp32C3, Esp32S3};
    let keys = |digests: &[Digest]| Wish {
        secure_boot: Some(v2(
            SignatureScheme::Rsa3072,
            digests,
            Some(UnusedDigests::Revoke),
        )),
        ..Wish::open(Esp32C3)
    };
    let half_blank = {
        let mut bytes = [0; 32];
        bytes[20] = 1;
        Wish {
            secure_boot: Some(v2(
                SignatureScheme::Ecdsa(Curve::P256),
                &[Digest(bytes)],
                None,
            )),
            ..Wish::open(Esp32C2)
        }
    };
    let unsaid = Wish {
        secure_boot: Some(v2(SignatureScheme::Rsa3072, &[DIGEST], None)),
        ..Wish::open(Esp32C3)
    };
    let plaintext = |mode| {
        let mut wish = encrypted(Esp32C3, mode, 32);
        if let Some(encryption) = &mut wish.flash_encryption {
            encryption.flash = FlashContents::Plaintext;
        }
        wish
    };
    let developing = |jtag, download| Wish {
        jtag,
        download,
        ..encrypted(Esp32C3, EncryptionMode::Development, 32)
    };
    let rd_dis = |id| chip(id, |efuses| efuses.write_protect("RD_DIS").unwrap());
    let hidden = chip(Esp32C3, |efuses| {
        let usage = KeyUse::SecureBootDigest(0);
        efuses.burn_key(6, usage, &DIGEST.0).unwrap();
        efuses.read_protect("BLOCK_KEY2").unwrap();
    });
    let hidden_esp32 = chip(Esp32, |efuses| efuses.read_protect("BLOCK2").unwrap());
    let only_the_last = chip(Esp32S3, |efuses| {
        for block in 4..9 {
            efuses
                .burn_key(block, KeyUse::Purpose(KeyPurpose::User), &[7; 32])
                .unwrap();
            // A block for software needs a purpose that is not free.
            efuses
                .write_protect(&format!("KEY_PURPOSE_{}", block - 4))
                .unwrap();
        }
    });
    let in_block = |id, block| {
        let mut wish = release(id);
        if let Some(encryption) = &mut wish.flash_encryption {
            encryption.block = Some(block);
        }
        wish
    };
    vec![
        // IDF issues 11888, 10927, 16084, 13909.
        ("ReadProtectionLocked", release(Esp32C3), rd_dis(Esp32C3)),
        ("ReadProtectionLocked", release(Esp32), rd_dis(Esp32)),
        (
            "ReadProtectionLocked",
            Wish {
                device_key: Some(HmacKeyWish::default()),
                ..Wish::open(Esp32C3)
            },
            rd_dis(Esp32C3),
        ),
        // IDF issue 6886.
        ("BlankDigest", keys(&[Digest([0; 32])]), blank(Esp32C3)),
        (
            "BlankDigest",
            keys(&[DIGEST, Digest([0xFF; 32])]),
            blank(Esp32C3),
        ),
        ("BlankDigest", half_blank, blank(Esp32C2)),
        ("SameDigest", keys(&[DIGEST, DIGEST]), blank(Esp32C3)),
        ("DigestCount", keys(&[]), blank(Esp32C3)),
        ("DigestHidden", rsa(Esp32C3), hidden),
        ("DigestHidden", rsa(Esp32), hidden_esp32),
        // IDF issue 12979.
        ("UnusedDigests", unsaid, blank(Esp32C3)),
        // IDF issues 3788, 10340.
        (
            "PlaintextFlash",
            plaintext(EncryptionMode::Release),
            blank(Esp32C3),
        ),
        (
            "PlaintextFlash",
            plaintext(EncryptionMode::Development),
            blank(Esp32C3),
        ),
        (
            "LockedWhileDeveloping",
            developing(JtagPolicy::Shut, DownloadPolicy::Open),
            blank(Esp32C3),
        ),
        (
            "LockedWhileDeveloping",
            developing(JtagPolicy::Open, DownloadPolicy::Secure),
            blank(Esp32C3),
        ),
        ("BlockRefuses", in_block(Esp32S3, 5), blank(Esp32S3)),
        ("BlockRefuses", in_block(Esp32C3, 5), blank(Esp32C3)),
        ("NoBlock", release(Esp32S3), only_the_last),
        ("NoSuchBlock", in_block(Esp32C3, 6), blank(Esp32C3)),
        ("NoSuchBlock", in_block(Esp32, 0), blank(Esp32)),
    ]
}

/// What contradicts what is burnt.
fn contradictions() -> Vec<(&'static str, Wish, Present)> {
    use ChipId::{Esp32, Esp32C2, Esp32C3, Esp32C5, Esp32S3};
    let burnt = |id, burns: &[(&str, u64)]| {
        chip(id, |efuses| {
            for (name, value) in burns {
                efuses.burn(name, *value).unwrap();
            }
        })
    };
    let key = |id, block, usage, bytes: &[u8], protection| {
        chip(id, |efuses| {
            let key = KeyToBurn {
                block,
                usage,
                key: bytes,
            };
            efuses.burn_keys(&[key], protection).unwrap();
        })
    };
    let flash = |id, block| {
        key(
            id,
            block,
            KeyUse::FlashEncryption,
            &KEY,
            KeyProtection::Usual,
        )
    };
    let digest = |slot, digest: Digest| {
        key(
            Esp32C3,
            6,
            KeyUse::SecureBootDigest(slot),
            &digest.0,
            KeyProtection::Usual,
        )
    };
    let half = KeyUse::Purpose(KeyPurpose::XtsAes256Key1);
    let accepting = |wish: Wish| Wish {
        burnt_keys: BurntKeys::Accept,
        ..wish
    };
    let mut config = release(Esp32);
    if let Some(encryption) = &mut config.flash_encryption {
        encryption.config = FlashCryptConfig::new(5).unwrap();
    }
    let in_block = Wish {
        device_key: Some(HmacKeyWish { block: Some(2) }),
        ..Wish::open(Esp32C3)
    };
    let c2 = |wish: Wish| Wish {
        secure_boot: Some(v2(SignatureScheme::Ecdsa(Curve::P256), &[DIGEST], None)),
        ..wish
    };
    let development = |id| encrypted(id, EncryptionMode::Development, 32);
    vec![
        (
            "Irreversible",
            Wish::open(Esp32C3),
            burnt(Esp32C3, &[("SECURE_BOOT_EN", 1)]),
        ),
        (
            "Irreversible",
            Wish::open(Esp32C3),
            burnt(Esp32C3, &[("SPI_BOOT_CRYPT_CNT", 1)]),
        ),
        (
            "Irreversible",
            development(Esp32C3),
            burnt(Esp32C3, &[("SPI_BOOT_CRYPT_CNT", 7)]),
        ),
        (
            "Irreversible",
            Wish::open(Esp32C3),
            burnt(Esp32C3, &[("DIS_PAD_JTAG", 1)]),
        ),
        (
            "Irreversible",
            Wish::open(Esp32C3),
            burnt(Esp32C3, &[("SOFT_DIS_JTAG", 1)]),
        ),
        (
            "Irreversible",
            Wish::open(Esp32C3),
            burnt(Esp32C3, &[("ENABLE_SECURITY_DOWNLOAD", 1)]),
        ),
        (
            "Irreversible",
            Wish::open(Esp32C3),
            burnt(Esp32C3, &[("SECURE_VERSION", 3)]),
        ),
        (
            "Irreversible",
            rsa(Esp32),
            burnt(Esp32, &[("ABS_DONE_0", 1)]),
        ),
        (
            "OtherValue",
            config,
            burnt(Esp32, &[("FLASH_CRYPT_CONFIG", 0xF)]),
        ),
        (
            "OtherValue",
            rsa(Esp32C5),
            burnt(Esp32C5, &[("SECURE_BOOT_SHA384_EN", 1)]),
        ),
        ("OtherDigest", rsa(Esp32C3), digest(0, OTHER)),
        ("OtherDigest", rsa(Esp32C3), digest(1, OTHER)),
        // A purpose without a digest: nothing would boot.
        (
            "OtherDigest",
            rsa(Esp32C3),
            burnt(Esp32C3, &[("KEY_PURPOSE_2", 9)]),
        ),
        (
            "RevokedSlot",
            rsa(Esp32C3),
            burnt(Esp32C3, &[("SECURE_BOOT_KEY_REVOKE0", 1)]),
        ),
        ("BurntKey", release(Esp32C3), flash(Esp32C3, 4)),
        ("BurntKey", release(Esp32), flash(Esp32, 1)),
        (
            "BurntKey",
            Wish {
                device_key: Some(HmacKeyWish::default()),
                ..Wish::open(Esp32C3)
            },
            key(Esp32C3, 5, KeyUse::HmacUpstream, &KEY, KeyProtection::Usual),
        ),
        (
            "HalfKey",
            accepting(encrypted(Esp32S3, EncryptionMode::Release, 64)),
            key(Esp32S3, 4, half, &KEY, KeyProtection::Usual),
        ),
        (
            "OtherKey",
            accepting(encrypted(Esp32S3, EncryptionMode::Release, 64)),
            flash(Esp32S3, 4),
        ),
        (
            "OtherKey",
            accepting(encrypted(Esp32C2, EncryptionMode::Release, 16)),
            key(
                Esp32C2,
                3,
                KeyUse::FlashEncryption,
                &KEY,
                KeyProtection::Usual,
            ),
        ),
        ("BlockTaken", in_block, digest(0, OTHER)),
        (
            "BlockTaken",
            encrypted(Esp32C2, EncryptionMode::Release, 16),
            key(
                Esp32C2,
                3,
                KeyUse::SecureBootDigest(0),
                &DIGEST.0,
                KeyProtection::Usual,
            ),
        ),
        (
            "BlockTaken",
            accepting(c2(encrypted(Esp32C2, EncryptionMode::Release, 16))),
            key(
                Esp32C2,
                3,
                KeyUse::FlashEncryption,
                &KEY[..16],
                KeyProtection::Usual,
            ),
        ),
        (
            "CounterUsedUp",
            development(Esp32C3),
            burnt(Esp32C3, &[("SPI_BOOT_CRYPT_CNT", 3)]),
        ),
        (
            "WriteProtected",
            release(Esp32C3),
            chip(Esp32C3, |efuses| {
                efuses.write_protect("SPI_BOOT_CRYPT_CNT").unwrap()
            }),
        ),
        (
            "WriteProtected",
            Wish {
                jtag: JtagPolicy::Shut,
                ..Wish::open(Esp32C3)
            },
            chip(Esp32C3, |efuses| {
                efuses.write_protect("DIS_ICACHE").unwrap()
            }),
        ),
        (
            "DownloadClosed",
            Wish {
                download: DownloadPolicy::Secure,
                ..release(Esp32C3)
            },
            burnt(Esp32C3, &[("ENABLE_SECURITY_DOWNLOAD", 1)]),
        ),
        (
            "Step",
            Wish {
                secure_version: SecurityVersion::new(3),
                ..Wish::open(Esp32)
            },
            chip(Esp32, |efuses| efuses.read_protect("BLOCK3").unwrap()),
        ),
    ]
}

#[test]
fn each_way_to_brick_a_chip_is_refused_with_its_reason() {
    let mut seen = BTreeSet::new();
    let mut cases = 0;
    for (expected, wish, present) in silicon()
        .into_iter()
        .chain(bricks())
        .chain(contradictions())
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
