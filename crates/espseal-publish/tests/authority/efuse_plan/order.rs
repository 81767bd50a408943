//! The order of every plan, judged by rules that do not ask the planner.

use espseal_format::efuse::KeyRole;
use espseal_publish::efuse_plan::plan::{Burn, Plan};
use espseal_twin::efuse::{DownloadMode, FlashEncryption, Jtag};

use super::wishes::{Planned, material, silicons};

/// Number of the first step that does this.
fn first(plan: &Plan, what: impl Fn(&Burn) -> bool) -> Option<usize> {
    plan.steps.iter().position(|step| what(&step.burn))
}

/// Number of the last step that does this.
fn last(plan: &Plan, what: impl Fn(&Burn) -> bool) -> Option<usize> {
    plan.steps.iter().rposition(|step| what(&step.burn))
}

fn burns(burn: &Burn, names: &[&str]) -> bool {
    matches!(burn, Burn::Fields(fields) if fields.iter().any(|(name, _)| names.contains(name)))
}

fn check(planned: &Planned) {
    let (plan, chip) = (&planned.plan, planned.silicon.chip);
    let about = || format!("{:?}: {:#?}", planned.wish, plan.steps);
    let count = plan.steps.len();
    let locks = &chip.locks;
    let download: Vec<_> = locks
        .download_secure
        .into_iter()
        .chain([locks.download_off])
        .collect();
    if let Some(at) = first(plan, |burn| burns(burn, &download)) {
        assert_eq!(at + 1, count, "the download mode is not last: {}", about());
    }
    let secret = |burn: &Burn| burn.keys().iter().any(|key| key.key.is_secret());
    let rd_dis = first(plan, |burn| *burn == Burn::WriteProtect("RD_DIS"));
    let enables: Vec<_> = chip
        .efuse
        .secure_boot_enable
        .iter()
        .map(|row| row.1.name)
        .collect();
    let enable = first(plan, |burn| burns(burn, &enables));
    for after in [rd_dis, enable].into_iter().flatten() {
        assert!(
            last(plan, secret).is_none_or(|at| at < after),
            "a secret key too late: {}",
            about()
        );
    }
    let digest = |burn: &Burn| burn.keys().iter().any(|key| !key.key.is_secret());
    if let (Some(digest), Some(enable)) = (last(plan, digest), enable) {
        assert!(
            digest < enable,
            "secure boot before its digest: {}",
            about()
        );
    }
    if let (Some(enable), Some(rd_dis)) = (enable, rd_dis) {
        assert!(enable < rd_dis, "{}", about());
    }
    let counter = chip.efuse.flash_crypt_cnt.name;
    let counter = first(plan, |burn| burns(burn, &[counter]));
    let flash = |burn: &Burn| {
        let keys = burn.keys();
        keys.iter()
            .any(|key| key.key == espseal_publish::efuse_plan::plan::KeyName::Flash)
    };
    if let Some(counter) = counter {
        assert!(
            last(plan, flash).is_some_and(|key| key < counter),
            "{}",
            about()
        );
        let config = first(plan, |burn| burns(burn, &["FLASH_CRYPT_CONFIG"]));
        assert!(config.is_none_or(|config| config < counter), "{}", about());
    }
    // After JTAG: guards and the download mode, nothing else.
    let jtag: Vec<_> = locks.jtag.iter().copied().chain(locks.jtag_soft).collect();
    if let Some(jtag) = first(plan, |burn| burns(burn, &jtag)) {
        for step in plan.steps.iter().skip(jtag + 1) {
            let late = burns(&step.burn, &download) || matches!(step.burn, Burn::WriteProtect(_));
            assert!(late, "JTAG is shut too early: {}", about());
        }
    }
    // Nothing behind a guard is burnt after the guard.
    for (at, step) in plan.steps.iter().enumerate() {
        let Burn::WriteProtect(name) = step.burn else {
            continue;
        };
        let guard = chip.efuse.field(name).unwrap().write_protect;
        for later in plan.steps.iter().skip(at + 1) {
            if let Burn::Fields(fields) = &later.burn {
                for (name, _) in fields {
                    let own = chip.efuse.field(name).unwrap().write_protect;
                    assert!(
                        own.is_none() || own != guard,
                        "{name} behind a guard: {}",
                        about()
                    );
                }
            }
        }
    }
}

#[test]
fn every_plan_keeps_the_order_and_reaches_what_was_wished() {
    use espseal_publish::efuse_plan::wish::{DownloadPolicy, JtagPolicy};
    use espseal_twin::boot::EncryptionMode;
    let mut plans = 0;
    for silicon in silicons() {
        for planned in silicon.plans().0 {
            check(&planned);
            let wish = &planned.wish;
            let mut end = planned.present.efuses().clone();
            planned
                .plan
                .apply(&mut end, &material(&planned.plan))
                .unwrap();
            assert_eq!(
                end.flash_encryption(),
                match wish.flash_encryption.map(|wish| wish.mode) {
                    None => FlashEncryption::Off,
                    Some(EncryptionMode::Development) => FlashEncryption::Development,
                    Some(EncryptionMode::Release) => FlashEncryption::Release,
                }
            );
            assert_eq!(
                end.flash_key_is_protected(),
                wish.flash_encryption.map(|_| true)
            );
            assert_eq!(end.secure_boot_is_on(), wish.secure_boot.is_some());
            for (slot, digest) in (0..).zip(&planned.plan.digests) {
                assert_eq!(end.trusted_slot(digest), Some(slot));
            }
            let jtag = match wish.jtag {
                JtagPolicy::Open => Jtag::Open,
                JtagPolicy::Soft => Jtag::SoftOff,
                JtagPolicy::Shut => Jtag::Off,
            };
            assert_eq!(end.jtag(), jtag);
            let download = match wish.download {
                DownloadPolicy::Open => DownloadMode::Open,
                DownloadPolicy::Secure => DownloadMode::Secure,
                DownloadPolicy::Shut => DownloadMode::Off,
            };
            assert_eq!(end.download_mode(), download);
            assert_eq!(end.secure_version(), wish.secure_version);
            // No digest is hidden, no secret is readable.
            for entry in silicon.chip.efuse.keys {
                let block = usize::from(entry.key.block);
                if let (KeyRole::Purpose(_), Some(purpose)) = (entry.role, end.key_purpose(block)) {
                    let used = end.read_block(block) != [0; 32] || end.is_read_protected(block);
                    assert!(!used || end.is_read_protected(block) == purpose.is_secret());
                }
            }
            plans += 1;
        }
    }
    println!("{plans} plans keep the order and reach what was wished");
}
