//! What is burnt by a plan boots in the twin, with flash as the factory encrypts it.

#[allow(dead_code, reason = "shared with the matrix of rehearsals")]
#[path = "../../matrix/configuration.rs"]
mod configuration;

use configuration::{Bootloader, Configuration, Makers, configurations};
use espseal_format::chip::{CHIPS, ChipId, HmacPeripheral};
use espseal_format::units::SecurityVersion;
use espseal_publish::efuse_plan::apply::Material;
use espseal_publish::efuse_plan::plan::{KeyName, Plan, plan};
use espseal_publish::efuse_plan::present::Present;
use espseal_publish::efuse_plan::wish::{
    DownloadPolicy, FlashContents, FlashEncryptionWish, HmacKeyWish, JtagPolicy, Revocation,
    SecureBootWish, UnusedDigests, Wish,
};
use espseal_publish::rehearsal::product::{
    FlashEncryptionPlan, Product, Provisioning, SecureBootPlan,
};
use espseal_twin::boot::EncryptionMode;
use espseal_twin::device::VirtualDevice;
use espseal_twin::efuse::Mac;
use espseal_twin::factory::{FactoryPlan, Security};
use espseal_twin::nor::NorFlash;
use zeroize::Zeroizing;

use super::wishes::key_bytes;

/// The locks that a product is tried with.
const LOCKS: [(JtagPolicy, DownloadPolicy); 4] = [
    (JtagPolicy::Open, DownloadPolicy::Open),
    (JtagPolicy::Shut, DownloadPolicy::Secure),
    (JtagPolicy::Shut, DownloadPolicy::Shut),
    (JtagPolicy::Soft, DownloadPolicy::Secure),
];

/// The wish for a product, and the keys to fulfil it.
fn wish(product: &Product, jtag: JtagPolicy, download: DownloadPolicy) -> (Wish, Material) {
    let chip = product.chip().unwrap();
    let mut material = Material::default();
    let secure_boot = match &product.secure_boot {
        SecureBootPlan::Off => None,
        SecureBootPlan::V1 { key } => {
            material = material.with(KeyName::Bootloader, Zeroizing::new(key.to_vec()));
            Some(SecureBootWish::V1)
        }
        SecureBootPlan::V2 { scheme, digests } => {
            material = material.with_digests(digests);
            Some(SecureBootWish::V2 {
                scheme: *scheme,
                digests: digests.clone(),
                unused: Some(UnusedDigests::Revoke),
                revocation: Revocation::Lenient,
            })
        }
    };
    let coded = product.coding != espseal_twin::efuse::CodingScheme::None;
    let flash_encryption = match &product.flash_encryption {
        FlashEncryptionPlan::Off => None,
        FlashEncryptionPlan::On { key, mode, config } => {
            let file = key.file();
            let file = if coded { &file[..24] } else { file };
            material = material.with(KeyName::Flash, Zeroizing::new(file.to_vec()));
            Some(FlashEncryptionWish {
                mode: *mode,
                key_length: file.len(),
                block: None,
                config: *config,
                flash: FlashContents::Encrypted,
            })
        }
    };
    for key in [KeyName::Device, KeyName::Jtag] {
        material = material.with(key, Zeroizing::new(key_bytes(key, 32)));
    }
    let hmac = chip.hmac == HmacPeripheral::Present;
    let wish = Wish {
        secure_boot,
        flash_encryption,
        device_key: hmac.then_some(HmacKeyWish::default()),
        jtag_key: (jtag == JtagPolicy::Soft).then_some(HmacKeyWish::default()),
        jtag,
        download,
        secure_version: SecurityVersion::new(u32::from(!coded)),
        ..Wish::open(product.chip)
    };
    (wish, material)
}

/// Flash as the factory makes it.
fn flash(product: &Product, present: &Present) -> Vec<u8> {
    let locking = product.locking();
    let contents: Vec<_> = product
        .contents
        .iter()
        .map(|content| (content.label.as_str(), content.bytes.as_slice()))
        .collect();
    let made = FactoryPlan {
        chip: product.chip,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        flash_size: product.flash_size(),
        bootloader: &product.bootloader,
        table_offset: product.table_offset,
        table: &product.table,
        contents: &contents,
        security: Security::Locked(&locking),
    };
    made.build_on(present.efuses().clone()).unwrap().flash
}

fn boot(product: &Product, plan: &Plan, present: &Present, material: &Material, flash: &[u8]) {
    let mut efuses = present.efuses().clone();
    plan.apply(&mut efuses, material).unwrap();
    let flash = NorFlash::from_bytes(flash.to_vec()).unwrap();
    let mut device = VirtualDevice::new(flash, efuses, product.settings);
    for _ in 0..2 {
        let report = device.power_on();
        assert!(
            device.running().is_some(),
            "{:#?}\n{}",
            plan.steps,
            report.log
        );
    }
}

/// Configurations that the factory burns, every `share`th of them.
fn tried(share: usize) -> Vec<Configuration> {
    let all = CHIPS.iter().flat_map(|chip| configurations(chip));
    all.filter(|row| row.impossible().is_none() && row.bootloader == Bootloader::Full)
        .filter(|row| {
            row.encryption
                .is_none_or(|encryption| encryption.provisioning == Provisioning::PreEncrypted)
        })
        .step_by(share)
        .collect()
}

fn boots(share: usize) {
    let makers = Makers::default();
    let (mut products, mut plans) = (0, 0);
    for configuration in tried(share) {
        let mut product = configuration.product(&makers).unwrap();
        if let SecureBootPlan::V1 { key } = &mut product.secure_boot {
            // One byte repeated is refused.
            *key = key_bytes(KeyName::Bootloader, key.len()).into();
        }
        let present = Present::blank(product.chip, product.revision, product.coding).unwrap();
        let flash = flash(&product, &present);
        let mut booted = 0;
        for (jtag, download) in LOCKS {
            let (wish, material) = wish(&product, jtag, download);
            // Locks that the chip does not have, or that development forbids.
            if let Ok(plan) = plan(&wish, &present) {
                boot(&product, &plan, &present, &material, &flash);
                booted += 1;
            }
        }
        let developing = configuration
            .encryption
            .is_some_and(|encryption| encryption.mode == EncryptionMode::Development);
        let old = product.chip == ChipId::Esp32;
        let expected = if developing || old { 1 } else { 2 };
        assert!(booted >= expected, "{configuration}: {booted} plans");
        products += 1;
        plans += booted;
    }
    println!("{products} products, {plans} plans: each boots twice in the twin");
}

#[test]
fn what_a_plan_burns_boots() {
    boots(5);
}

/// `cargo xtask efuse-plans --full`.
#[test]
#[ignore = "takes a minute"]
fn what_every_plan_burns_boots() {
    boots(1);
}
