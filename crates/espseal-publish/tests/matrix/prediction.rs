//! What each cell has to be, from the configuration alone; the engine is not asked.

use espseal_format::chip::ChipId;
use espseal_format::signature_block::SignatureScheme;
use espseal_publish::rehearsal::catalogue::{Case, Status};
use espseal_publish::rehearsal::product::Provisioning;
use espseal_publish::rehearsal::report::Warning;
use espseal_twin::boot::EncryptionMode;

use crate::configuration::{Bootloader, Configuration, Scheme};

/// The status that a case has to have.
pub(crate) struct Expected(pub Status);

/// Predicts a cell.
pub(crate) fn expect(configuration: &Configuration, case: Case) -> Expected {
    let chip = configuration.chip;
    let v2 = matches!(configuration.secure_boot, Scheme::V2(_));
    let secure_boot = configuration.secure_boot != Scheme::Off;
    let encryption = configuration.encryption;
    let encrypted = encryption.is_some();
    let first_boot = encryption.is_some_and(|it| it.provisioning == Provisioning::FirstBoot);
    let development = encryption.is_some_and(|it| it.mode == EncryptionMode::Development);
    // The ESP32 and the C2 hold one key and cannot revoke it.
    let one_key = [ChipId::Esp32, ChipId::Esp32C2].contains(&chip.id);
    let full = configuration.bootloader == Bootloader::Full;
    let only_if = |applies: bool, status| match applies {
        true => status,
        false => Status::NotApplicable,
    };
    let refused_if = |protected: bool| match protected {
        true => Status::Refused,
        false => Status::Finding,
    };
    Expected(match case {
        Case::WrongSigner | Case::FlippedByte => refused_if(secure_boot),
        Case::SecondBlockOnly if one_key => only_if(v2, Status::Refused),
        Case::SecondBlockOnly => only_if(v2, Status::Harmless),
        Case::RevokedKey => only_if(v2 && !one_key, Status::Refused),
        Case::ZeroDigest => only_if(v2, Status::Refused),
        Case::OtherSlotsAddress => match encryption {
            None => Status::NotApplicable,
            Some(it) => refused_if(it.config != 0),
        },
        Case::PlaintextUnderEncryption | Case::WrongFlashKey | Case::PlaintextOtadata => {
            only_if(encrypted, Status::Refused)
        }
        Case::CiphertextWithoutEncryption => Status::Refused,
        Case::TornOtadata => Status::Harmless,
        // Coded blocks cannot count.
        Case::OldSecurityVersion if configuration.is_coded() => Status::NotApplicable,
        Case::OldSecurityVersion | Case::NoRollback => refused_if(full),
        Case::ReadProtectionTooLate => only_if(secure_boot && encrypted, Status::Refused),
        Case::JtagOpen => refused_if(secure_boot || encrypted),
        Case::DownloadOpen => match (first_boot, development) {
            // Only secure boot v2 locks the download mode, and the ESP32 has no secure one.
            (true, _) => refused_if(v2 && chip.id != ChipId::Esp32),
            (false, true) => Status::Finding,
            (false, false) => refused_if(secure_boot || encrypted),
        },
        Case::PowerCutOnFirstBoot => only_if(first_boot, Status::Finding),
        _ => Status::Surprise,
    })
}

/// What ESP-IDF warns of: `SECURE_BOOT_V2_ECDSA_INSECURE` is set for four chips, of which all but
/// the ESP32-C61 verify RSA as well.
pub(crate) fn warnings(configuration: &Configuration) -> Vec<Warning> {
    let has_rsa = match configuration.chip.id {
        ChipId::Esp32C5 | ChipId::Esp32H2 | ChipId::Esp32P4 => true,
        ChipId::Esp32C61 => false,
        _ => return Vec::new(),
    };
    match configuration.secure_boot {
        Scheme::V2(SignatureScheme::Ecdsa(_)) => vec![Warning::FlawedEcdsa { has_rsa }],
        _ => Vec::new(),
    }
}
