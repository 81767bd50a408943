//! Error codes travel in reports and stand in fleet databases.
//!
//! If a test in this module fails, do not change the test.

use std::collections::HashSet;

use espseal_agent::error::{
    AgentError, BodyError, DescriptorField, DeviceError, Document, FlashOperation, HardwareError,
    MetadataError, Misuse, ServerError,
};
use espseal_agent::flash::FlashFaultKind;
use espseal_agent::platform::Slot;
use espseal_format::metadata::direct::FlashScheme;
use espseal_format::units::{ChunkIndex, Digest, FlashOffset, Position, SecurityVersion};

const DOCUMENT: Document = Document::Now;
const DIGEST: Digest = Digest([0; 32]);
const POSITION: Position = Position {
    generation: 0,
    version: 0,
};
const VERSION: SecurityVersion = SecurityVersion::new(0);
const SLOT: Slot = Slot::Factory;
const AT: FlashOffset = FlashOffset::new(0);

fn flash(kind: FlashFaultKind) -> AgentError {
    HardwareError::Flash {
        operation: FlashOperation::Read,
        at: AT,
        kind,
        code: 0,
    }
    .into()
}

fn server() -> Vec<(u16, AgentError)> {
    let document = DOCUMENT;
    vec![
        (0x0101, ServerError::NotFound { document }.into()),
        (0x0102, ServerError::Unreachable { document }.into()),
        (0x0103, ServerError::Interrupted { document }.into()),
        (
            0x0104,
            ServerError::Refused {
                document,
                status: 500,
            }
            .into(),
        ),
        (0x0105, ServerError::TooLong { document, limit: 0 }.into()),
        (
            0x0106,
            ServerError::TooShort {
                document,
                expected: 1,
                found: 0,
            }
            .into(),
        ),
    ]
}

fn metadata() -> Vec<(u16, AgentError)> {
    let (document, expected, found) = (DOCUMENT, DIGEST, DIGEST);
    vec![
        (0x0201, MetadataError::Malformed { document }.into()),
        (0x0202, MetadataError::Signature { document }.into()),
        (0x0203, MetadataError::WrongProduct { document }.into()),
        (
            0x0204,
            MetadataError::WrongDigest {
                document,
                expected,
                found,
            }
            .into(),
        ),
        (
            0x0205,
            MetadataError::RootVersion {
                expected: 1,
                found: 0,
            }
            .into(),
        ),
        (
            0x0206,
            MetadataError::GenerationFell {
                trusted: 1,
                found: 0,
            }
            .into(),
        ),
        (
            0x0207,
            MetadataError::RootExpired {
                expires: 0,
                time: 0,
            }
            .into(),
        ),
        (
            0x0208,
            MetadataError::RootRollback {
                trusted: 1,
                found: 0,
            }
            .into(),
        ),
        (
            0x0209,
            MetadataError::Generation {
                document,
                expected: 1,
                found: 0,
            }
            .into(),
        ),
        (
            0x020A,
            MetadataError::Rollback {
                document,
                floor: POSITION,
                found: POSITION,
            }
            .into(),
        ),
        (
            0x020B,
            MetadataError::Expired {
                document,
                expires: 0,
                time: 0,
            }
            .into(),
        ),
        (
            0x020C,
            MetadataError::TimeBeyondRoot {
                max_time: 0,
                found: 1,
            }
            .into(),
        ),
        (0x020D, MetadataError::NoEpoch { group: 0 }.into()),
        (
            0x020E,
            MetadataError::RoleThreshold {
                document,
                threshold: 2,
            }
            .into(),
        ),
        (
            0x020F,
            MetadataError::PositionReused { position: POSITION }.into(),
        ),
    ]
}

fn body() -> Vec<(u16, AgentError)> {
    let chunk = ChunkIndex::new(0);
    vec![
        (
            0x0301,
            BodyError::NotARecipient { group: 0, epoch: 0 }.into(),
        ),
        (0x0302, BodyError::ShardEntry.into()),
        (0x0303, BodyError::EpochCommitment.into()),
        (0x0304, BodyError::Wrap.into()),
        (0x0305, BodyError::KeyCommitment.into()),
        (0x0306, BodyError::PageHash { page: 0 }.into()),
        (0x0307, BodyError::ChunkHash { chunk }.into()),
        (
            0x0308,
            BodyError::ImageDigest {
                expected: DIGEST,
                found: DIGEST,
            }
            .into(),
        ),
        (0x0309, BodyError::ImageStructure.into()),
        (
            0x030A,
            BodyError::ImageLength {
                expected: 1,
                found: 0,
            }
            .into(),
        ),
        (
            0x030B,
            BodyError::ImageChip {
                expected: 1,
                found: 0,
            }
            .into(),
        ),
        (0x030C, BodyError::Unsigned.into()),
        (0x030D, BodyError::UnknownSigner.into()),
        (
            0x030E,
            BodyError::Descriptor {
                field: DescriptorField::Magic,
            }
            .into(),
        ),
        (0x030F, BodyError::ShardFormat.into()),
    ]
}

fn device() -> Vec<(u16, AgentError)> {
    let (installed, offered, minimum) = (POSITION, POSITION, POSITION);
    vec![
        (0x0401, DeviceError::WrongVendor.into()),
        (0x0402, DeviceError::WrongClass.into()),
        (
            0x0403,
            DeviceError::WrongChip {
                expected: 1,
                found: 0,
            }
            .into(),
        ),
        (0x0404, DeviceError::Downgrade { installed, offered }.into()),
        (0x0405, DeviceError::TooOld { installed, minimum }.into()),
        (
            0x0406,
            DeviceError::SecureVersion {
                floor: VERSION,
                found: VERSION,
            }
            .into(),
        ),
        (
            0x0407,
            DeviceError::TooLarge {
                slot_size: 0,
                length: 1,
            }
            .into(),
        ),
        (0x0408, DeviceError::NoTargetSlot.into()),
        (
            0x0409,
            DeviceError::RunningNotSelected {
                running: SLOT,
                selected: SLOT,
            }
            .into(),
        ),
        (0x040A, DeviceError::NotConfirmed.into()),
        (0x040B, DeviceError::NoRollback.into()),
        (0x040C, DeviceError::NoBurntDigest.into()),
        (0x040D, DeviceError::Quarantined { manifest: DIGEST }.into()),
        (0x040E, DeviceError::WrongImage { expected: DIGEST }.into()),
    ]
}

fn direct() -> Vec<(u16, AgentError)> {
    vec![
        (0x040F, DeviceError::FlashNotEncrypted.into()),
        (0x0410, DeviceError::DirectRelease { found: DIGEST }.into()),
        (0x0411, DeviceError::DirectDevice.into()),
        (
            0x0412,
            DeviceError::DirectScheme {
                expected: FlashScheme::Esp32 { crypt_config: 0xF },
                found: FlashScheme::Xts128,
            }
            .into(),
        ),
        (
            0x0413,
            DeviceError::DirectSlot {
                expected: AT,
                found: AT,
            }
            .into(),
        ),
        (
            0x0414,
            DeviceError::DirectJournal {
                expected: AT,
                found: AT,
            }
            .into(),
        ),
        (
            0x0415,
            DeviceError::DirectLength {
                expected: 1,
                found: 0,
            }
            .into(),
        ),
        (0x0416, DeviceError::WrongFlashKey.into()),
    ]
}

fn hardware_and_misuse() -> Vec<(u16, AgentError)> {
    vec![
        (0x0501, flash(FlashFaultKind::WriteProtected)),
        (0x0502, flash(FlashFaultKind::OutOfRange)),
        (0x0503, flash(FlashFaultKind::Hardware)),
        (0x0504, flash(FlashFaultKind::PowerLost)),
        (0x0505, HardwareError::ReadBack { at: AT }.into()),
        (0x0506, HardwareError::Signing.into()),
        (0x0601, Misuse::Layout.into()),
        (0x0602, Misuse::BuiltInRoot.into()),
        (0x0603, Misuse::NothingToConfirm.into()),
        (0x0604, Misuse::RunningSlot { running: SLOT }.into()),
        (0x0605, Misuse::Encoding.into()),
    ]
}

#[test]
fn codes_are_what_they_always_were_and_no_two_are_equal() {
    let all = [
        server(),
        metadata(),
        body(),
        device(),
        direct(),
        hardware_and_misuse(),
    ]
    .concat();
    for (code, error) in &all {
        assert_eq!(error.code(), *code, "{error:?}");
    }
    let distinct: HashSet<u16> = all.iter().map(|(code, _)| *code).collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn messages_are_lower_case_and_name_who_has_to_act() {
    let all = [
        server(),
        metadata(),
        body(),
        device(),
        direct(),
        hardware_and_misuse(),
    ]
    .concat();
    for (code, error) in all {
        let text = error.to_string();
        let blame = match code >> 8 {
            1 => "server: ",
            2 => "metadata: ",
            3 => "release: ",
            4 => "device: ",
            5 => "hardware: ",
            _ => "misuse: ",
        };
        assert!(text.starts_with(blame), "{text}");
        assert!(text.is_ascii() && !text.ends_with('.'), "{text}");
    }
}
