//! The rehearsal of a product: the verdict, how it boots, what is irreversible, and what goes wrong.

use std::fmt;

use espseal_format::chip::{Chip, ChipId, SecureBootScheme};
use espseal_format::signature_block::SignatureScheme;
use espseal_twin::boot::{BootFailure, BootReport, RunningApp};
use espseal_twin::efuse::{Efuses, FlashEncryption};
use espseal_twin::factory::{Step, burnt_between};

use super::bench::{Bench, BenchError, FirstBoots, failure};
use super::catalogue::{self, CaseReport, Status};
use super::product::{Product, Provisioning, SecureBootPlan};
use super::signer::Strangers;

/// What a rehearsal shows.
#[derive(Debug)]
pub struct Report {
    /// The chip.
    pub chip: &'static Chip,
    /// Revision of the silicon, `major * 100 + minor`.
    pub revision: u16,
    /// Whether it boots.
    pub verdict: Verdict,
    /// What ESP-IDF warns of in this plan, although it boots.
    pub warnings: Vec<Warning>,
    /// The first and the second time it is switched on.
    pub boots: Vec<BootReport>,
    /// What is burnt, in order where the factory burns.
    pub irreversible: Vec<Step>,
    /// The catalogue; empty when the product does not boot.
    pub cases: Vec<CaseReport>,
    /// Flash and eFuses as the factory leaves them.
    pub factory: Option<(Vec<u8>, Efuses)>,
}

/// What ESP-IDF warns of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Secure boot v2 with ECDSA on silicon that fails for certain inputs.
    FlawedEcdsa {
        /// Whether the chip can verify RSA instead.
        has_rsa: bool,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FlawedEcdsa { has_rsa } => {
                f.write_str(
                    "secure boot v2 with ECDSA does not work for certain inputs on this chip: ESP-IDF does not \
                     recommend it for production and offers it only with CONFIG_SECURE_BOOT_V2_FORCE_ENABLE_ECDSA; ",
                )?;
                f.write_str(match has_rsa {
                    true => "sign with RSA-3072",
                    false => {
                        "the chip has no other scheme: see its errata for a revision that is fixed"
                    }
                })
            }
        }
    }
}

fn warnings(product: &Product, chip: &Chip) -> Vec<Warning> {
    let revision = product.revision.unwrap_or(chip.usual_revision);
    match product.secure_boot {
        SecureBootPlan::V2 {
            scheme: SignatureScheme::Ecdsa(_),
            ..
        } if chip.is_flawed(SecureBootScheme::V2Ecdsa) => {
            let has_rsa = chip.boots_with(SecureBootScheme::V2Rsa, revision);
            vec![Warning::FlawedEcdsa { has_rsa }]
        }
        _ => Vec::new(),
    }
}

/// What becomes of a product.
#[derive(Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// It boots, locked as planned.
    Boots(RunningApp),
    /// It boots, but this is not on although it was asked for.
    NotLocked {
        /// What runs.
        running: RunningApp,
        /// What is missing.
        missing: &'static str,
    },
    /// It does not boot; nothing irreversible has happened.
    WouldNotBoot(BootFailure),
    /// It does not boot, and what is burnt stays burnt.
    WouldBrick(BootFailure),
    /// The plan itself is refused, before anything is flashed or burnt.
    Refused(BenchError),
}

impl Verdict {
    /// Whether the product may be made like this.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        matches!(self, Self::Boots(_))
    }
}

impl Report {
    /// How many cases show this.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        let cases = self.cases.iter();
        cases.filter(|case| case.status == status).count()
    }
}

/// Rehearses a product.
///
/// # Errors
/// [`BenchError`] when the rehearsal itself cannot be held; a plan that is refused is a [`Verdict`].
pub fn rehearse(product: &Product, strangers: &Strangers) -> Result<Report, BenchError> {
    let chip = product.chip()?;
    let refused = |error| Report {
        chip,
        revision: product.revision.unwrap_or(chip.usual_revision),
        verdict: Verdict::Refused(error),
        warnings: warnings(product, chip),
        boots: Vec::new(),
        irreversible: Vec::new(),
        cases: Vec::new(),
        factory: None,
    };
    let (bench, boots) = match Bench::set_up(product, strangers) {
        Ok(made) => made,
        Err(error @ (BenchError::Factory(_) | BenchError::Step(_))) => return Ok(refused(error)),
        Err(error) => return Err(error),
    };
    let irreversible = match product.provisioning {
        Provisioning::PreEncrypted => product.locking().steps(chip),
        Provisioning::FirstBoot => burnt_between(&bench.factory().1, &bench.finished().1),
    };
    let cases = match boots.running {
        Some(running) => catalogue::run(&bench, running)?,
        None => Vec::new(),
    };
    let verdict = verdict(&bench, &boots, irreversible.is_empty());
    let FirstBoots { reports, .. } = boots;
    Ok(Report {
        chip,
        revision: bench.factory().1.revision(),
        verdict,
        warnings: warnings(product, chip),
        boots: reports.into(),
        irreversible,
        cases,
        factory: Some(bench.factory().clone()),
    })
}

fn verdict(bench: &Bench<'_>, boots: &FirstBoots, nothing_burnt: bool) -> Verdict {
    let Some(running) = boots.running else {
        let [first, second] = &boots.reports;
        let reason = failure(second).or(failure(first));
        let reason = reason.unwrap_or(BootFailure::NoBootableApp);
        return match nothing_burnt {
            true => Verdict::WouldNotBoot(reason),
            false => Verdict::WouldBrick(reason),
        };
    };
    let efuses = &bench.finished().1;
    let (product, off) = (bench.product, FlashEncryption::Off);
    let missing = match () {
        () if product.has_flash_encryption() && efuses.flash_encryption() == off => {
            Some("flash encryption: the bootloader did not turn it on")
        }
        () if product.has_secure_boot() && !efuses.secure_boot_is_on() => {
            Some("secure boot: the bootloader did not turn it on")
        }
        () => None,
    };
    match missing {
        Some(missing) => Verdict::NotLocked { running, missing },
        None => Verdict::Boots(running),
    }
}

/// The chip of a report, for printing.
impl Report {
    /// Number of the chip.
    #[must_use]
    pub const fn chip_id(&self) -> ChipId {
        self.chip.id
    }
}
