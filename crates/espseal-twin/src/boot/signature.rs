//! Secure boot v2 as the ROM and the bootloader verify it.
//!
//! A signature counts when its block is intact, names this image, carries a key whose digest is burnt
//! and not revoked, and verifies. The ESP32 looks at the first block only, later chips at three.
//!
//! Source: ESP-IDF `docs/en/security/secure-boot-v2.rst`,
//! `bootloader_support/src/secure_boot_v2/secure_boot_signatures_bootloader.c`.

use espseal_crypto::secure_boot::{VerifyError, v1, verify_block};
use espseal_format::secure_boot_v1::AppSignature;
use espseal_format::signature_block::{
    BlockError, Curve, ImageDigests, MAGIC, SignatureBlock, SignatureScheme, SignatureSector,
};
use espseal_format::units::Digest;

use super::log::Log;
use crate::efuse::Efuses;

const TAG: &str = "secure_boot_v2";

/// Keys that this chip trusts.
#[derive(Clone, Debug)]
pub(crate) struct Trusted {
    digests: [Option<Digest>; 3],
    blocks: usize,
    /// Secure boot is not burnt yet, nor any digest: an image vouches for itself.
    first_boot: bool,
    /// Schemes that the ROM of this chip verifies.
    schemes: Vec<SignatureScheme>,
    /// Digests as the chip compares them; the C2 holds half of one.
    digest_len: usize,
}

/// No signature verifies with a trusted key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotTrusted {
    /// Digest slots of trusted keys whose signature is wrong.
    pub bad_slots: Vec<usize>,
}

impl Trusted {
    /// Takes the keys that are burnt and not revoked.
    pub(crate) fn from_efuses(efuses: &Efuses) -> Self {
        let digests = efuses.secure_boot_digests();
        Self {
            digests,
            blocks: efuses.model().signature_blocks.into(),
            first_boot: !efuses.secure_boot_enabled() && digests == [None; 3],
            schemes: schemes(efuses),
            digest_len: if efuses.keys_share_a_block() { 16 } else { 32 },
        }
    }

    /// How many bytes of a digest the chip compares.
    pub(crate) const fn digest_len(&self) -> usize {
        self.digest_len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.digests.iter().all(Option::is_none)
    }

    /// The slot that trusts a key.
    fn slot_of(&self, key: &Digest) -> Option<usize> {
        self.digests.iter().position(|burnt| {
            burnt
                .is_some_and(|burnt| burnt.0.get(..self.digest_len) == key.0.get(..self.digest_len))
        })
    }

    /// Numbers of the slots in force, as the ROM prints them.
    pub(crate) fn slots(&self) -> String {
        let used = self
            .digests
            .iter()
            .enumerate()
            .filter(|(_, digest)| digest.is_some());
        used.map(|(slot, _)| slot.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// What the ROM verifies. Once secure boot is on, one eFuse decides between SHA-384 and SHA-256.
fn schemes(efuses: &Efuses) -> Vec<SignatureScheme> {
    let p384 = SignatureScheme::Ecdsa(Curve::P384);
    let all = [
        SignatureScheme::Rsa3072,
        SignatureScheme::Ecdsa(Curve::P192),
        SignatureScheme::Ecdsa(Curve::P256),
        p384,
    ];
    let fits = |scheme: &SignatureScheme| {
        !efuses.secure_boot_enabled() || (*scheme == p384) == efuses.signs_sha384()
    };
    let known = all.into_iter().filter(|scheme| efuses.rom_knows(*scheme));
    known.filter(fits).collect()
}

/// Verifies a signature sector for an image with these digests, as a second stage that is built for this
/// scheme does.
pub(crate) fn verify_app(
    sector: &[u8],
    digests: &ImageDigests,
    trusted: &Trusted,
    scheme: SignatureScheme,
    log: &mut Log,
) -> Result<(), NotTrusted> {
    if trusted.first_boot {
        log.info(
            TAG,
            "Secure boot V2 is not enabled yet and eFuse digest keys are not set",
        );
    } else if trusted.is_empty() {
        log.error(TAG, "Could not read eFuse secure boot digests!");
        return Err(NotTrusted {
            bad_slots: Vec::new(),
        });
    }
    log.info(
        TAG,
        match scheme {
            SignatureScheme::Rsa3072 => "Verifying with RSA-PSS...",
            SignatureScheme::Ecdsa(_) => "Verifying with ECDSA...",
        },
    );
    if trusted.blocks > 1 && !has_block_of(sector, scheme) {
        log.error(TAG, "No signature block generated for valid scheme");
        let name = name(scheme);
        let text = format!(
            "{name} signing scheme selected but no signature block for the selected scheme"
        );
        log.error(TAG, text);
        return Err(NotTrusted {
            bad_slots: Vec::new(),
        });
    }
    match verify(sector, digests, trusted) {
        Ok(()) => {
            log.info(TAG, "Signature verified successfully!");
            Ok(())
        }
        Err(failure) => {
            failure
                .reasons
                .into_iter()
                .for_each(|reason| log.rom(reason));
            log.error(TAG, "Secure Boot V2 verification failed.");
            Err(NotTrusted {
                bad_slots: failure.bad_slots,
            })
        }
    }
}

/// Verifies an app's signature of secure boot v1.
pub(crate) fn verify_app_v1(
    block: &[u8; 68],
    digest: &Digest,
    key: &[u8; 64],
    log: &mut Log,
) -> Result<(), NotTrusted> {
    let refused = NotTrusted {
        bad_slots: Vec::new(),
    };
    let Ok((_, signature)) = AppSignature::split(block) else {
        let version = block.first_chunk().copied().unwrap_or_default();
        let version = u32::from_le_bytes(version);
        log.error(
            "secure_boot",
            format!("image has invalid signature version field {version:#010x} (image without a signature?)"),
        );
        return Err(refused);
    };
    v1::verify_app(key, digest, signature).map_err(|_| refused)
}

/// Verifies the bootloader's signature sector, as the ROM does.
pub(crate) fn verify_bootloader(
    sector: &[u8],
    digests: &ImageDigests,
    trusted: &Trusted,
    log: &mut Log,
) -> Result<(), NotTrusted> {
    log.rom(format!("Valid secure boot key blocks: {}", trusted.slots()));
    match verify(sector, digests, trusted) {
        Ok(()) => {
            log.rom("secure boot verification succeeded");
            Ok(())
        }
        Err(failure) => {
            failure
                .reasons
                .into_iter()
                .for_each(|reason| log.rom(reason));
            log.rom("secure boot verification failed");
            Err(NotTrusted {
                bad_slots: failure.bad_slots,
            })
        }
    }
}

/// Why none of the signatures counts.
struct Failure {
    /// What is wrong with each.
    reasons: Vec<String>,
    /// Slots of trusted keys whose signature is wrong.
    bad_slots: Vec<usize>,
}

/// Looks for one signature that counts; otherwise says what is wrong with each.
fn verify(sector: &[u8], digests: &ImageDigests, trusted: &Trusted) -> Result<(), Failure> {
    let mut failure = Failure {
        reasons: Vec::new(),
        bad_slots: Vec::new(),
    };
    let Some(sector) = sector
        .first_chunk()
        .filter(|sector| sector.starts_with(&[MAGIC]))
    else {
        let magic = sector.first().copied().unwrap_or(0);
        let found = format!("(found {magic:#x} not 0xe7). Image not V2 signed?");
        failure.reasons.push(format!(
            "No signature block magic byte found at signature sector {found}"
        ));
        return Err(failure);
    };
    let parsed = SignatureSector::parse(sector);
    for (index, place) in parsed.places().iter().enumerate().take(trusted.blocks) {
        let reason = match place {
            Err(BlockError::Absent) => continue,
            Err(BlockError::Crc { computed, stored }) => {
                format!("invalid: Stored CRC {stored:#010x} calculated {computed:#010x}")
            }
            Err(error) => format!("invalid: {error}"),
            Ok(block) => match verify_one(block, digests, trusted) {
                Ok(()) => return Ok(()),
                Err(BlockRefusal::Untrusted) => "signed with untrusted key".into(),
                Err(BlockRefusal::ImageDigest) => "invalid: Image digest does not match".into(),
                Err(BlockRefusal::Scheme) => "invalid: the ROM does not know its scheme".into(),
                Err(BlockRefusal::Signature { slot }) => {
                    failure.bad_slots.extend(slot);
                    "signature verification failed".into()
                }
            },
        };
        failure.reasons.push(format!("Sig block {index} {reason}"));
    }
    failure.reasons.push("No trusted signatures".into());
    Err(failure)
}

/// Why a block with the right CRC does not count.
enum BlockRefusal {
    /// Its key is not burnt, or revoked.
    Untrusted,
    /// It was made for another image.
    ImageDigest,
    /// The chip does not know its scheme.
    Scheme,
    /// The signature is wrong; the slot of its key, if it is trusted.
    Signature { slot: Option<usize> },
}

fn verify_one(
    block: &SignatureBlock<'_>,
    digests: &ImageDigests,
    trusted: &Trusted,
) -> Result<(), BlockRefusal> {
    let known = block
        .scheme()
        .filter(|scheme| trusted.schemes.contains(scheme));
    let (Some(_), Some(key)) = (known, block.key_digest()) else {
        return Err(BlockRefusal::Scheme);
    };
    let slot = trusted.slot_of(&key);
    if slot.is_none() && !trusted.first_boot {
        return Err(BlockRefusal::Untrusted);
    }
    match verify_block(block, digests) {
        Ok(_) => Ok(()),
        Err(VerifyError::ImageDigest { .. } | VerifyError::ImageDigest384 { .. }) => {
            Err(BlockRefusal::ImageDigest)
        }
        Err(_) => Err(BlockRefusal::Signature { slot }),
    }
}

/// Whether some block has the version byte of this scheme; nothing else is looked at.
fn has_block_of(sector: &[u8], scheme: SignatureScheme) -> bool {
    let Some(sector) = sector.first_chunk() else {
        return false;
    };
    let parsed = SignatureSector::parse(sector);
    parsed.blocks().any(|(_, block)| {
        block
            .scheme()
            .is_some_and(|found| name(found) == name(scheme))
    })
}

/// The name that `esp_secure_boot_get_scheme_name` gives.
const fn name(scheme: SignatureScheme) -> &'static str {
    match scheme {
        SignatureScheme::Rsa3072 => "RSA",
        SignatureScheme::Ecdsa(_) => "ECDSA",
    }
}

/// Digests of the keys in a signature sector, up to the first block that does not verify or is absent.
///
/// `None` when an intact block for this image carries a wrong signature.
pub(crate) fn key_digests(
    sector: &[u8],
    digests: &ImageDigests,
    blocks: usize,
) -> Option<Vec<Digest>> {
    let mut keys = Vec::new();
    let Some(sector) = sector.first_chunk() else {
        return Some(keys);
    };
    let parsed = SignatureSector::parse(sector);
    for place in parsed.places().iter().take(blocks) {
        let Ok(block) = place else {
            break;
        };
        match verify_block(block, digests) {
            Ok(key) => keys.push(key),
            Err(VerifyError::ImageDigest { .. } | VerifyError::ImageDigest384 { .. }) => break,
            Err(_) => return None,
        }
    }
    Some(keys)
}
