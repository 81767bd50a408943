//! Secure boot v2 as the ROM and the bootloader verify it.
//!
//! A signature counts when its block is intact, names this image, carries a key whose digest is burnt
//! and not revoked, and verifies. The ESP32 looks at the first block only, later chips at three.
//!
//! Source: ESP-IDF `docs/en/security/secure-boot-v2.rst`,
//! `bootloader_support/src/secure_boot_v2/secure_boot_signatures_bootloader.c`.

use espseal_crypto::secure_boot::{VerifyError, verify_rsa};
use espseal_format::signature_block::{
    BlockError, MAGIC, RsaSignatureBlock, SignatureBlock, SignatureSector,
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
}

/// No signature verifies with a trusted key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotTrusted;

impl Trusted {
    /// Takes the keys that are burnt and not revoked.
    pub(crate) fn from_efuses(efuses: &Efuses) -> Self {
        Self {
            digests: efuses.secure_boot_digests(),
            blocks: efuses.model().signature_blocks.into(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.digests.iter().all(Option::is_none)
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

/// Verifies a signature sector for an image with this digest, as the second stage does.
pub(crate) fn verify_app(
    sector: &[u8],
    digest: &Digest,
    trusted: &Trusted,
    log: &mut Log,
) -> Result<(), NotTrusted> {
    if trusted.is_empty() {
        log.error(TAG, "Could not read eFuse secure boot digests!");
        return Err(NotTrusted);
    }
    log.info(TAG, "Verifying with RSA-PSS...");
    match verify(sector, digest, trusted) {
        Ok(()) => {
            log.info(TAG, "Signature verified successfully!");
            Ok(())
        }
        Err(reasons) => {
            reasons.into_iter().for_each(|reason| log.rom(reason));
            log.error(TAG, "Secure Boot V2 verification failed.");
            Err(NotTrusted)
        }
    }
}

/// Verifies the bootloader's signature sector, as the ROM does.
pub(crate) fn verify_bootloader(
    sector: &[u8],
    digest: &Digest,
    trusted: &Trusted,
    log: &mut Log,
) -> Result<(), NotTrusted> {
    log.rom(format!("Valid secure boot key blocks: {}", trusted.slots()));
    match verify(sector, digest, trusted) {
        Ok(()) => {
            log.rom("secure boot verification succeeded");
            Ok(())
        }
        Err(reasons) => {
            reasons.into_iter().for_each(|reason| log.rom(reason));
            log.rom("secure boot verification failed");
            Err(NotTrusted)
        }
    }
}

/// Looks for one signature that counts; otherwise says what is wrong with each.
fn verify(sector: &[u8], digest: &Digest, trusted: &Trusted) -> Result<(), Vec<String>> {
    let Some(sector) = sector
        .first_chunk()
        .filter(|sector| sector.starts_with(&[MAGIC]))
    else {
        let magic = sector.first().copied().unwrap_or(0);
        let found = format!("(found {magic:#x} not 0xe7). Image not V2 signed?");
        return Err(vec![format!(
            "No signature block magic byte found at signature sector {found}"
        )]);
    };
    let parsed = SignatureSector::parse(sector);
    let mut reasons = Vec::new();
    for (index, place) in parsed.places().iter().enumerate().take(trusted.blocks) {
        match place {
            Err(BlockError::Absent) => {}
            Err(BlockError::Crc { computed, stored }) => reasons.push(format!(
                "Sig block {index} invalid: Stored CRC {stored:#010x} calculated {computed:#010x}"
            )),
            Err(error) => reasons.push(format!("Sig block {index} invalid: {error}")),
            Ok(SignatureBlock::Rsa(block)) => match verify_block(block, digest, trusted) {
                Ok(()) => return Ok(()),
                Err(reason) => reasons.push(format!("Sig block {index} {reason}")),
            },
            Ok(_) => reasons.push(format!("Sig block {index} invalid: scheme is not RSA")),
        }
    }
    reasons.push("No trusted signatures".into());
    Err(reasons)
}

fn verify_block(
    block: &RsaSignatureBlock,
    digest: &Digest,
    trusted: &Trusted,
) -> Result<(), &'static str> {
    if !trusted.digests.contains(&Some(block.key_digest())) {
        return Err("signed with untrusted key");
    }
    match verify_rsa(block, digest) {
        Ok(_) => Ok(()),
        Err(VerifyError::ImageDigest { .. }) => Err("invalid: Image digest does not match"),
        Err(_) => Err("signature verification failed"),
    }
}
