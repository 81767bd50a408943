//! The order of the burns, tried out on a virtual chip while it is made.
//!
//! 1. secret keys, while they can be hidden: flash encryption, HMAC, secure boot v1;
//! 2. flash encryption on, ways around it closed;
//! 3. digests, secure boot on, ways around it closed, read protection locked;
//! 4. slots revoked, secure version raised;
//! 5. JTAG shut, then guards of what is settled;
//! 6. download mode, last of all.
//!
//! Source: ESP-IDF `docs/en/security/security-features-enablement-workflows.rst`.

use espseal_format::chip::{Burn as FieldBurn, Chip};
use espseal_format::signature_block::{Curve, SignatureScheme};
use espseal_format::units::Digest;
use espseal_twin::boot::EncryptionMode;
use espseal_twin::efuse::espefuse_rules::{self, EspefuseRefusal};
use espseal_twin::efuse::{EfuseError, Efuses};

use super::apply::Material;
use super::blocks::Blocks;
use super::checks;
use super::plan::{Burn, Plan, PlannedStep};
use super::present::Present;
use super::reasons::{LeftOpen, Reason};
use super::refusals::Refusal;
use super::state::{State, Watched};
use super::watch;
use super::wish::{
    DownloadPolicy, FlashEncryptionWish, JtagPolicy, Revocation, SecureBootWish, UnusedDigests,
    Wish,
};

/// Makes the plan.
pub(super) fn plan(wish: &Wish, present: &Present) -> Result<Plan, Refusal> {
    let efuses = present.efuses();
    let chip = efuses.model();
    checks::wish(wish, efuses)?;
    checks::present(wish, efuses)?;
    let blocks = Blocks::assign(wish, efuses)?;
    let mut order = Order {
        wish,
        chip,
        efuses: efuses.clone(),
        steps: Vec::new(),
    };
    order.keys(&blocks)?;
    if let Some(encryption) = &wish.flash_encryption {
        order.encryption(encryption)?;
    }
    if let Some(secure_boot) = &wish.secure_boot {
        order.secure_boot(secure_boot, &blocks)?;
    }
    order.counter()?;
    order.jtag()?;
    order.guards()?;
    order.download()?;
    let steps = order.steps;
    checks::download_is_open(efuses, steps.len())?;
    let digests = digests(wish).to_vec();
    let watched = watch::watched(chip, present, &steps);
    let states = states(efuses, &steps, &watched, &digests)?;
    Ok(Plan {
        chip,
        revision: efuses.revision(),
        mac: present.mac(),
        left_open: left_open(wish, &order.efuses),
        digests,
        steps,
        watched,
        states,
    })
}

/// A plan in the making.
struct Order<'a> {
    wish: &'a Wish,
    chip: &'static Chip,
    /// What the chip is after the steps so far.
    efuses: Efuses,
    steps: Vec<PlannedStep>,
}

impl Order<'_> {
    /// Keys that have to be hidden; on a chip with one key block, the digest with them.
    fn keys(&mut self, blocks: &Blocks) -> Result<(), Refusal> {
        for repair in &blocks.repairs {
            self.step(repair.clone())?;
        }
        let shared = blocks.shared_with_digest();
        for keys in blocks.secrets() {
            let reason = match shared {
                true => Reason::SharedBlock,
                false => Reason::SecretKey,
            };
            self.push(Burn::Keys(keys), reason)?;
        }
        Ok(())
    }

    /// Flash encryption.
    fn encryption(&mut self, wish: &FlashEncryptionWish) -> Result<(), Refusal> {
        let locks = &self.chip.locks;
        let counter = self.chip.efuse.flash_crypt_cnt;
        let burns = match wish.mode {
            EncryptionMode::Release => locks.release.flash_encryption,
            EncryptionMode::Development => locks.first_boot.flash_encryption,
        };
        if self.chip.efuse.field(CRYPT_CONFIG).is_some() {
            let config = u64::from(wish.config.get());
            self.fields(&[(CRYPT_CONFIG, config)], Reason::CryptConfig)?;
        }
        let value = checks::counter_goal(&self.efuses, wish.mode)?;
        self.fields(&[(counter.name, value)], Reason::Encryption(wish.mode))?;
        let others = self.bypasses(burns);
        self.fields(&others, Reason::EncryptionBypass)
    }

    /// Secure boot.
    fn secure_boot(&mut self, wish: &SecureBootWish, blocks: &Blocks) -> Result<(), Refusal> {
        let chip = self.chip;
        let mut enable = Vec::new();
        match wish {
            SecureBootWish::V1 => {
                let field = checks::enable_field(chip, None);
                enable.extend(field.map(|field| (field.name, 1)));
            }
            SecureBootWish::V2 { scheme, .. } => {
                for key in blocks.digests() {
                    self.push(Burn::Keys(vec![key]), Reason::DigestFirst)?;
                }
                if *scheme == SignatureScheme::Ecdsa(Curve::P384) {
                    let field = chip.efuse.secure_boot_sha384;
                    enable.extend(field.map(|field| (field.name, 1)));
                }
                let field = checks::enable_field(chip, Some(*scheme));
                enable.extend(field.map(|field| (field.name, 1)));
            }
        }
        self.fields(&enable, Reason::SecureBoot)?;
        let burns = match self.develops() {
            false => chip.locks.release.secure_boot,
            true => chip.locks.first_boot.secure_boot,
        };
        let others = self.bypasses(burns);
        self.fields(&others, Reason::SecureBootBypass)?;
        let SecureBootWish::V2 {
            digests,
            unused,
            revocation,
            ..
        } = wish
        else {
            return Ok(());
        };
        self.write_protect(chip.efuse.rd_dis.name, Reason::DigestsReadable)?;
        if *unused == Some(UnusedDigests::Revoke) {
            let unused = chip.efuse.key_revoke.iter().skip(digests.len());
            let burns: Vec<_> = unused.map(|field| (field.name, 1)).collect();
            self.fields(&burns, Reason::RevokeUnused)?;
        }
        if let (Revocation::Aggressive, Some(field)) = (revocation, chip.efuse.aggressive_revoke) {
            self.fields(&[(field.name, 1)], Reason::AggressiveRevoke)?;
        }
        Ok(())
    }

    /// The anti-rollback counter.
    fn counter(&mut self) -> Result<(), Refusal> {
        let field = self.chip.efuse.secure_version;
        let wished = self.wish.secure_version.get();
        let value = 1_u64.checked_shl(wished).unwrap_or(0).wrapping_sub(1);
        match wished {
            0 => Ok(()),
            _ => self.fields(&[(field.name, value)], Reason::AntiRollback),
        }
    }

    fn jtag(&mut self) -> Result<(), Refusal> {
        let locks = &self.chip.locks;
        let soft = locks.jtag_soft.and_then(|name| {
            let field = self.chip.efuse.field(name)?;
            Some((name, Watched::whole(field).mask))
        });
        match self.wish.jtag {
            JtagPolicy::Open => Ok(()),
            JtagPolicy::Soft => {
                let burns: Vec<FieldBurn> = soft.into_iter().collect();
                self.fields(&burns, Reason::JtagSoft)
            }
            JtagPolicy::Shut => {
                let hard = locks.jtag.iter().map(|name| (*name, 1));
                let burns: Vec<FieldBurn> = hard.chain(soft).collect();
                self.fields(&burns, Reason::JtagShut)
            }
        }
    }

    /// Guards of what is settled. JTAG's fields share one with others: it stays while JTAG is open.
    fn guards(&mut self) -> Result<(), Refusal> {
        let settled = self.wish.jtag == JtagPolicy::Shut && !self.develops();
        let secured = self.wish.secure_boot.is_some() || self.wish.flash_encryption.is_some();
        if !(settled && secured) {
            return Ok(());
        }
        let rd_dis = self.chip.efuse.rd_dis.name;
        let guards = self.chip.locks.release.write_protect.iter();
        for name in guards.filter(|name| **name != rd_dis) {
            self.write_protect(name, Reason::Guard)?;
        }
        Ok(())
    }

    fn download(&mut self) -> Result<(), Refusal> {
        let locks = &self.chip.locks;
        let field = match self.wish.download {
            DownloadPolicy::Open => None,
            DownloadPolicy::Secure => locks.download_secure,
            DownloadPolicy::Shut => Some(locks.download_off),
        };
        match field {
            Some(name) => self.fields(&[(name, 1)], Reason::DownloadLast),
            None => Ok(()),
        }
    }

    /// Whether flash encryption is for trying.
    fn develops(&self) -> bool {
        let encryption = self.wish.flash_encryption;
        encryption.is_some_and(|encryption| encryption.mode == EncryptionMode::Development)
    }

    /// What is left of a list once what has a place of its own is out: counter, JTAG, the ESP32's config.
    fn bypasses(&self, burns: &'static [FieldBurn]) -> Vec<FieldBurn> {
        let locks = &self.chip.locks;
        let counter = self.chip.efuse.flash_crypt_cnt.name;
        let placed = |name: &str| {
            name == counter
                || name == CRYPT_CONFIG
                || locks.jtag.contains(&name)
                || locks.jtag_soft == Some(name)
        };
        let rest = burns.iter().filter(|(name, _)| !placed(name));
        rest.copied().collect()
    }

    /// Burns what of these fields is not burnt yet, in one command.
    fn fields(&mut self, burns: &[FieldBurn], reason: Reason) -> Result<(), Refusal> {
        let mut missing = Vec::new();
        for (name, value) in burns {
            let burnt = self.efuses.read(name).map_err(Refusal::Chip)?;
            if value & !burnt != 0 {
                // What is burnt has to be in the new value.
                missing.push((*name, value | burnt));
            }
        }
        match missing.is_empty() {
            true => Ok(()),
            false => self.push(Burn::Fields(missing), reason),
        }
    }

    /// Write-protects a field, unless it is.
    fn write_protect(&mut self, name: &'static str, reason: Reason) -> Result<(), Refusal> {
        let field = self.chip.efuse.field(name);
        let bit = field.and_then(|field| field.write_protect);
        let burnt = self.efuses.read(self.chip.efuse.wr_dis.name);
        let burnt = burnt.map_err(Refusal::Chip)?;
        match bit.is_some_and(|bit| burnt >> bit & 1 == 1) {
            true => Ok(()),
            false => self.push(Burn::WriteProtect(name), reason),
        }
    }

    fn push(&mut self, burn: Burn, reason: Reason) -> Result<(), Refusal> {
        self.step(PlannedStep { burn, reason })
    }

    /// Tries a step out and adds it.
    fn step(&mut self, step: PlannedStep) -> Result<(), Refusal> {
        rehearse(&step, &mut self.efuses)?;
        self.steps.push(step);
        Ok(())
    }
}

/// Burns a step with keys that stand in for the real ones.
fn rehearse(step: &PlannedStep, efuses: &mut Efuses) -> Result<(), Refusal> {
    step.burn
        .carry_out(efuses, &Material::stand_in())
        .map_err(|cause| match cause {
            EspefuseRefusal::Efuse(EfuseError::WriteProtected { field }) => {
                Refusal::WriteProtected { field }
            }
            cause => Refusal::Step {
                step: step.to_string().into(),
                cause,
            },
        })
}

/// The states between the steps.
fn states(
    efuses: &Efuses,
    steps: &[PlannedStep],
    watched: &[Watched],
    digests: &[Digest],
) -> Result<Vec<State>, Refusal> {
    let mut efuses = efuses.clone();
    let mut states = vec![State::of(&efuses, watched, digests)];
    for step in steps {
        // Digests are public: the real ones have to be seen.
        let material = Material::stand_in().with_digests(digests);
        step.burn
            .carry_out(&mut efuses, &material)
            .map_err(|cause| Refusal::Step {
                step: step.to_string().into(),
                cause,
            })?;
        states.push(State::of(&efuses, watched, digests));
    }
    Ok(states)
}

/// Digests of the wish.
pub(super) fn digests(wish: &Wish) -> &[Digest] {
    match &wish.secure_boot {
        Some(SecureBootWish::V2 { digests, .. }) => digests,
        Some(SecureBootWish::V1) | None => &[],
    }
}

fn left_open(wish: &Wish, end: &Efuses) -> Vec<LeftOpen> {
    let mut open = Vec::new();
    let encryption = wish.flash_encryption.map(|encryption| encryption.mode);
    let secured = wish.secure_boot.is_some() || encryption.is_some();
    if wish.secure_boot.is_none() {
        open.push(LeftOpen::NoSecureBoot);
    }
    match encryption {
        None => open.push(LeftOpen::NoFlashEncryption),
        Some(EncryptionMode::Development) => open.push(LeftOpen::Development),
        Some(EncryptionMode::Release) => {}
    }
    if wish.jtag == JtagPolicy::Open {
        open.push(LeftOpen::Jtag);
    }
    match wish.download {
        DownloadPolicy::Open => open.push(LeftOpen::Download),
        DownloadPolicy::Secure => open.push(LeftOpen::SecureDownload),
        DownloadPolicy::Shut => {}
    }
    let used = digests(wish).len();
    let slots = used..end.map().key_revoke.len();
    if used > 0 && slots.into_iter().any(|slot| !end.is_revoked(slot)) {
        open.push(LeftOpen::FreeDigests);
    }
    let guarded = end.model().locks.release.write_protect.len() > 1;
    if secured && wish.jtag != JtagPolicy::Shut && guarded {
        open.push(LeftOpen::Unguarded);
    }
    open
}

/// The ESP32's field of address bits that tweak the key.
pub(super) const CRYPT_CONFIG: &str = "FLASH_CRYPT_CONFIG";

impl Burn {
    /// Burns as espefuse does: all of it or nothing.
    pub(super) fn carry_out(
        &self,
        efuses: &mut Efuses,
        material: &Material,
    ) -> Result<(), EspefuseRefusal> {
        match self {
            Self::Keys(keys) => material.burn(efuses, keys),
            Self::Fields(fields) => espefuse_rules::burn_efuse(efuses, fields),
            Self::ReadProtect(name) => espefuse_rules::read_protect(efuses, &[name]),
            Self::WriteProtect(name) => espefuse_rules::write_protect(efuses, &[name]),
        }
    }
}
