//! A case for each refusal: its name, the wish, and the chip that it is made of.

use super::*;

/// What a wish cannot have from the silicon.
pub(super) fn silicon() -> Vec<(&'static str, Wish, Present)> {
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
pub(super) fn bricks() -> Vec<(&'static str, Wish, Present)> {
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
pub(super) fn contradictions() -> Vec<(&'static str, Wish, Present)> {
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
