//! Images that the maker's keys did not sign, or no longer.

use espseal_format::signature_block::{Curve, ImageDigests, SignatureScheme};
use espseal_twin::boot::{RunningApp, SecureBootSupport};

use super::{Case, CaseReport, Guard, Status, judge};
use crate::rehearsal::bench::{Bench, BenchError};
use crate::rehearsal::product::SecureBootPlan;
use crate::rehearsal::signer::{append_sector, append_v1, bare_image, padded};
use crate::rehearsal::tamper;
use crate::secure_boot_key::ImageSigner as _;

const NO_SECURE_BOOT: &str = "secure boot is off: this device runs anybody's app";
const NOT_COMPILED_IN: &str = "the ROM verifies the bootloader, but this bootloader has no secure boot compiled in and verifies no app";

/// What a bootloader does about an app whose signature does not count.
fn guard(bench: &Bench<'_>, because: &'static str, v2: &'static [&'static str]) -> Guard {
    match (
        &bench.product.secure_boot,
        bench.product.settings.secure_boot,
    ) {
        (SecureBootPlan::Off, SecureBootSupport::Absent) => Guard::Absent(NO_SECURE_BOOT),
        (_, SecureBootSupport::Absent) => Guard::Absent(NOT_COMPILED_IN),
        (_, SecureBootSupport::V1 { .. }) => Guard::Stops {
            because,
            words: &[
                "Secure boot signature verification failed",
                "image valid, signature bad",
            ],
        },
        (_, SecureBootSupport::V2(_)) => Guard::Stops { because, words: v2 },
    }
}

/// The app as the maker's build made it, without a signature.
fn unsigned<'a>(bench: &Bench<'a>) -> Result<&'a [u8], BenchError> {
    let image = bench.app().and_then(bare_image);
    image.ok_or_else(|| no_image(bench))
}

fn no_image(bench: &Bench<'_>) -> BenchError {
    let label = bench.product.app_partitions().next();
    BenchError::Image {
        label: label.map_or_else(
            || "no app partition".into(),
            |entry| entry.label.to_string(),
        ),
    }
}

/// The scheme of the product; without secure boot, one that its chip knows.
fn scheme(bench: &Bench<'_>) -> SignatureScheme {
    match (
        &bench.product.secure_boot,
        bench.product.settings.secure_boot,
    ) {
        (SecureBootPlan::V2 { scheme, .. }, _) => *scheme,
        (_, SecureBootSupport::V2(scheme)) => scheme,
        _ => SignatureScheme::Ecdsa(Curve::P256),
    }
}

/// Signed by a stranger instead of the maker.
pub(super) fn wrong_signer(
    bench: &Bench<'_>,
    running: RunningApp,
) -> Result<CaseReport, BenchError> {
    let image = unsigned(bench)?;
    let stranger = bench.stranger(scheme(bench))?;
    let signed = match bench.product.settings.secure_boot {
        SecureBootSupport::V1 { .. } => append_v1(image, stranger)?,
        _ => append_sector(&padded(image), &[stranger])?,
    };
    let mut device = bench.device()?;
    bench.install_alone(&mut device, running, &signed)?;
    let words = &[
        "Sig block 0 signed with untrusted key",
        "image valid, signature bad",
    ];
    Ok(judge(
        Case::WrongSigner,
        "the same app, signed with a key that the device does not know",
        &device.power_on(),
        guard(
            bench,
            "the digest of the signing key is not burnt in eFuse",
            words,
        ),
    ))
}

/// Changed behind the maker's back, with checksum and hash made right again.
pub(super) fn flipped_byte(
    bench: &Bench<'_>,
    running: RunningApp,
) -> Result<CaseReport, BenchError> {
    let app = bench.app().ok_or_else(|| no_image(bench))?;
    let changed = tamper::flip_and_repair(app).ok_or_else(|| no_image(bench))?;
    let mut device = bench.device()?;
    bench.install_alone(&mut device, running, &changed)?;
    let words = &[
        "Sig block 0 invalid: Image digest does not match",
        "image valid, signature bad",
    ];
    Ok(judge(
        Case::FlippedByte,
        "one bit of the app flipped, checksum and SHA-256 made right again",
        &device.power_on(),
        guard(
            bench,
            "the signature covers every byte; the hash alone protects nothing",
            words,
        ),
    ))
}

/// The maker's signature is there, but only in the second place.
pub(super) fn second_block_only(
    bench: &Bench<'_>,
    running: RunningApp,
) -> Result<CaseReport, BenchError> {
    let case = Case::SecondBlockOnly;
    let SecureBootPlan::V2 { scheme, .. } = bench.product.secure_boot else {
        return Ok(match bench.product.secure_boot {
            SecureBootPlan::V1 { .. } => case.does_not_apply("secure boot v1 has one signature"),
            _ => case.does_not_apply("secure boot is off: no signature is looked at"),
        });
    };
    let app = bench.app().ok_or_else(|| no_image(bench))?;
    let image = tamper::signed_part(app).ok_or_else(|| no_image(bench))?;
    let first = bench
        .stranger(scheme)?
        .sign_block(&ImageDigests::of(image))?;
    let moved = tamper::second_block_only(app, &first).ok_or_else(|| no_image(bench))?;
    let mut device = bench.device()?;
    bench.install_alone(&mut device, running, &moved)?;
    let report = device.power_on();
    let done = "a stranger's signature in the first block, yours in the second";
    if bench.product.settings.secure_boot == SecureBootSupport::Absent {
        return Ok(judge(case, done, &report, Guard::Absent(NOT_COMPILED_IN)));
    }
    if bench.chip.signature_blocks == 1 {
        let because = "this chip looks at the first block only";
        let words = &["Sig block 0 signed with untrusted key"];
        return Ok(judge(case, done, &report, Guard::Stops { because, words }));
    }
    Ok(match report.running() {
        Some(app) => CaseReport {
            case,
            status: Status::Harmless,
            done: done.into(),
            device: format!("boots from {}", app.slot).into(),
            reason: "the chip looks at three blocks and one trusted signature is enough: \
                     this is how keys are rotated"
                .into(),
        },
        None => {
            let guard = Guard::Absent("one trusted signature of three is enough on this chip");
            judge(case, done, &report, guard)
        }
    })
}

/// The keys that signed the release are revoked.
pub(super) fn revoked_key(bench: &Bench<'_>) -> Result<CaseReport, BenchError> {
    let case = Case::RevokedKey;
    let SecureBootPlan::V2 { digests, .. } = &bench.product.secure_boot else {
        return Ok(case.does_not_apply("without secure boot v2 there is no key to revoke"));
    };
    if bench.chip.efuse.key_revoke.is_empty() {
        return Ok(case.does_not_apply(
            "this chip holds one key and cannot revoke it: a leaked key stays valid for ever",
        ));
    }
    let mut device = bench.device()?;
    for slot in 0..digests.len() {
        device.efuses_mut().revoke(slot)?;
    }
    let because = "a revoked digest counts for nothing; the ROM stops at the bootloader. \
                   Revoke a key only when bootloader and apps are signed with another one";
    let words = &["No trusted signatures", "secure boot verification failed"];
    Ok(judge(
        case,
        "every key of the release revoked in eFuse",
        &device.power_on(),
        Guard::Stops { because, words },
    ))
}
