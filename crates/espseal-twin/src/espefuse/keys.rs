//! `burn-key` and `burn-key-digest`.

use std::path::{Path, PathBuf};

use espseal_format::chip::ChipId;
use espseal_format::efuse::{ByteOrder, KeyPurpose, KeyRole};
use zeroize::Zeroizing;

use super::EspefuseError;
use super::arguments::Request;
use super::error::NoKey;
use super::fields::{add_protection, force, hide, not_twice};
use super::purposes::{Named, key_block, named};
use super::session::{Force, Session, read};
use crate::efuse::{BLOCK_SIZE, CodingScheme};

/// What the ESP32 does with a key block, by the name it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    FlashEncryption,
    SecureBootV1,
    SecureBootV2,
    Plain,
}

/// One key and where it goes.
struct Part {
    block: usize,
    purpose: Named,
    bytes: Zeroizing<Vec<u8>>,
}

/// `burn-key`.
pub(super) fn burn_key(session: &mut Session<'_>, request: &Request) -> Result<(), EspefuseError> {
    check_options(session.chip(), request)?;
    if session.chip() == ChipId::Esp32 {
        return burn_esp32(session, request);
    }
    let mut parts = Vec::new();
    for (block, path, name) in groups(session, request)? {
        let purpose = named(session.chip(), session.efuses.map(), &name);
        let purpose = purpose.ok_or_else(|| no_purpose(name.clone()))?;
        parts.extend(self::parts(session, block, &path, &name, purpose)?);
    }
    burn(session, request, parts)
}

/// `burn-key-digest`.
pub(super) fn burn_key_digest(
    session: &mut Session<'_>,
    request: &Request,
) -> Result<(), EspefuseError> {
    check_options(session.chip(), request)?;
    match session.chip() {
        ChipId::Esp32 => burn_esp32_digest(session, request),
        ChipId::Esp32C2 => {
            let bytes = digest(session, &one_file(request)?)?;
            let purpose = Named::One(KeyPurpose::SecureBootDigest);
            let block = 3;
            burn(
                session,
                request,
                vec![Part {
                    block,
                    purpose,
                    bytes,
                }],
            )
        }
        chip => {
            let mut parts = Vec::new();
            for (block, path, name) in groups(session, request)? {
                let purpose = named(chip, session.efuses.map(), &name).filter(|purpose| {
                    let digest = |purpose: &KeyPurpose| purpose.digest_slot().is_some();
                    name.starts_with("CUSTOM_DIGEST_")
                        || matches!(purpose, Named::One(purpose) if digest(purpose))
                });
                let purpose = purpose.ok_or_else(|| no_purpose(name))?;
                let bytes = digest(session, &path)?;
                parts.push(Part {
                    block,
                    purpose,
                    bytes,
                });
            }
            burn(session, request, parts)
        }
    }
}

/// Options that the chip's variant of the command does not have.
fn check_options(chip: ChipId, request: &Request) -> Result<(), EspefuseError> {
    let foreign: &[&str] = match chip {
        ChipId::Esp32 => &["--no-read-protect", "--no-write-protect"],
        _ => &["--no-protect-key"],
    };
    match foreign.iter().find(|option| request.has(option)) {
        Some(option) => Err(EspefuseError::UnknownOption((*option).into())),
        None => Ok(()),
    }
}

/// The words in threes: block, key file, purpose.
fn groups(
    session: &Session<'_>,
    request: &Request,
) -> Result<Vec<(usize, PathBuf, String)>, EspefuseError> {
    let chunks = request.words.chunks_exact(3);
    if request.words.is_empty() || !chunks.remainder().is_empty() {
        return Err(EspefuseError::Words {
            command: request.command.name,
            expected: "groups of block, key file and purpose",
            found: request.words.len(),
        });
    }
    let shared = session.chip() == ChipId::Esp32C2;
    let mut names = Vec::new();
    let mut groups = Vec::new();
    for chunk in chunks {
        let [block, path, purpose] = chunk else {
            continue;
        };
        let name = block.to_string_lossy().into_owned();
        let number = key_block(session.chip(), session.efuses.map(), &name);
        let number = number.ok_or_else(|| no_block(name.clone()))?;
        names.push(name);
        groups.push((
            number,
            PathBuf::from(path),
            purpose.to_string_lossy().into_owned(),
        ));
    }
    if !shared {
        not_twice(&names)?;
    }
    Ok(groups)
}

/// Reads a key file for a purpose and splits it into what each block holds.
fn parts(
    session: &Session<'_>,
    block: usize,
    path: &Path,
    name: &str,
    purpose: Named,
) -> Result<Vec<Part>, EspefuseError> {
    let file = read(path)?;
    let length = |expected: usize, found: usize| match found == expected {
        true => Ok(()),
        false => Err(EspefuseError::KeyLength {
            purpose: name.into(),
            path: path.into(),
            expected,
            found,
        }),
    };
    match purpose {
        Named::Xts256 => {
            length(64, file.len())?;
            let (first, second) = file.split_at(32);
            Ok(vec![
                part(block, KeyPurpose::XtsAes256Key1, first),
                part(block, KeyPurpose::XtsAes256Key2, second),
            ])
        }
        Named::EcdsaP384 => {
            let scalar = scalar(session, path, &file)?;
            length(48, scalar.len())?;
            let (high, low) = scalar.split_at(16);
            let mut padded = Zeroizing::new(vec![0; 16]);
            padded.extend_from_slice(high);
            Ok(vec![
                part(block, KeyPurpose::EcdsaKeyP384H, &padded),
                part(block, KeyPurpose::EcdsaKeyP384L, low),
            ])
        }
        Named::One(KeyPurpose::EcdsaKey | KeyPurpose::EcdsaKeyP192) => {
            let scalar = scalar(session, path, &file)?;
            if scalar.len() != 24 {
                length(32, scalar.len())?;
            }
            let mut padded = Zeroizing::new(vec![0; 32_usize.saturating_sub(scalar.len())]);
            padded.extend_from_slice(&scalar);
            let bytes = padded;
            Ok(vec![Part {
                block,
                purpose,
                bytes,
            }])
        }
        Named::One(KeyPurpose::SecureBootDigest) if file.len() == 16 => {
            Ok(vec![part(block, KeyPurpose::SecureBootDigest, &file)])
        }
        purpose => {
            let expected = match purpose {
                Named::One(KeyPurpose::XtsAes128KeyDerived) => 16,
                _ => 32,
            };
            length(expected, file.len())?;
            let bytes = file;
            Ok(vec![Part {
                block,
                purpose,
                bytes,
            }])
        }
    }
}

/// Saves keys, purposes and protections, and burns them.
fn burn(
    session: &mut Session<'_>,
    request: &Request,
    mut parts: Vec<Part>,
) -> Result<(), EspefuseError> {
    let force = force(request);
    let taken: Vec<usize> = parts.iter().map(|part| part.block).collect();
    // The second half of a key goes to the next free block.
    let mut before = None;
    let mut given = taken.clone();
    for part in &mut parts {
        if let Some(KeyPurpose::XtsAes256Key1 | KeyPurpose::EcdsaKeyP384H) = before {
            let free = session.efuses.next_free_block(part.block, &given);
            part.block = free.ok_or(EspefuseError::NoSecondBlock)?;
            given.push(part.block);
        }
        before = match part.purpose {
            Named::One(purpose) => Some(purpose),
            _ => None,
        };
        let halves = matches!(
            part.purpose,
            Named::One(KeyPurpose::XtsAes256Key1 | KeyPurpose::EcdsaKeyP384H)
        );
        if !halves {
            before = None;
        }
    }
    for part in &parts {
        save(session, request, part, force)?;
    }
    session.commit(force).map(drop)
}

/// Saves one key.
fn save(
    session: &mut Session<'_>,
    request: &Request,
    part: &Part,
    force: Force,
) -> Result<(), EspefuseError> {
    let map = session.efuses.map();
    let entry = map
        .keys
        .iter()
        .find(|entry| usize::from(entry.key.block) == part.block);
    let entry = entry.ok_or_else(|| no_block(session.block_name(part.block).into()))?;
    let (secret, order, number) = match part.purpose {
        Named::One(purpose) => (
            purpose.is_secret(),
            purpose.byte_order(),
            map.purpose_number(purpose),
        ),
        Named::Custom(number) => (false, ByteOrder::AsGiven, Some(number)),
        Named::Xts256 | Named::EcdsaP384 => (true, ByteOrder::Reversed, None),
    };
    if let (Named::One(purpose), KeyRole::Purpose(field)) = (part.purpose, entry.role)
        && entry.refuses.contains(&purpose)
    {
        let purpose = purpose.to_string();
        let field = field.low.name;
        return Err(EspefuseError::HardwareBug { field, purpose });
    }
    let name = match part.purpose {
        Named::One(KeyPurpose::XtsAes128KeyDerived) => "BLOCK_KEY0_LOW_128",
        Named::One(KeyPurpose::SecureBootDigest) => "BLOCK_KEY0_HI_128",
        _ => entry.key.name,
    };
    let field = session.field(name)?;
    let bits = laid_out(field.bit, field.width, &part.bytes, order);
    session.save(field, bits, force)?;
    match (entry.role, part.purpose, number) {
        (KeyRole::Purpose(purpose), _, Some(number)) => {
            let settings = session.efuses.read_block(0);
            let burnt = purpose.join(|part| part.get(&settings).unwrap_or(0));
            if burnt != number && session.is_locked(&purpose.low) {
                return Err(EspefuseError::WriteProtected(purpose.low.name));
            }
            for (part, value) in purpose.split(number) {
                let part = session.field(part.name)?;
                session.save_field(part, value, force)?;
            }
            if part.purpose == Named::One(KeyPurpose::EcdsaKey) && session.efuses.revision() < 102 {
                // The H2's first silicon has to be told to draw its nonces itself.
                if let Ok(forced) = session.field("ECDSA_FORCE_USE_HARDWARE_K") {
                    session.save_field(forced, 1, force)?;
                }
            }
            protect(session, purpose.low.write_protect)?;
        }
        (KeyRole::Purpose(_), _, None) => return Err(no_purpose("of this name".into())),
        (KeyRole::Shared { whole }, Named::One(KeyPurpose::XtsAes128Key), _) => {
            let whole = session.field(whole.name)?;
            session.save_field(whole, 1, force)?;
        }
        _ => {}
    }
    if secret && !request.has("--no-read-protect") {
        hide(session, field)?;
    }
    match request.has("--no-write-protect") {
        true => Ok(()),
        false => protect(session, field.write_protect),
    }
}

/// Adds a bit of `WR_DIS`.
fn protect(session: &mut Session<'_>, bit: Option<u8>) -> Result<(), EspefuseError> {
    let wr_dis = &session.efuses.map().wr_dis;
    match bit {
        Some(bit) if !session.efuses.is_wr_dis(bit) => add_protection(session, wr_dis, 1 << bit),
        _ => Ok(()),
    }
}

/// `burn-key` of the ESP32, whose blocks have fixed uses.
fn burn_esp32(session: &mut Session<'_>, request: &Request) -> Result<(), EspefuseError> {
    let chunks = request.words.chunks_exact(2);
    if request.words.is_empty() || !chunks.remainder().is_empty() {
        return Err(EspefuseError::Words {
            command: request.command.name,
            expected: "pairs of block and key file",
            found: request.words.len(),
        });
    }
    let mut names = Vec::new();
    let mut keys = Vec::new();
    for chunk in chunks {
        let [name, path] = chunk else { continue };
        let name = name.to_string_lossy().into_owned();
        let (field, slot) = match name.as_str() {
            "BLOCK1" => ("BLOCK1", Slot::Plain),
            "BLOCK2" => ("BLOCK2", Slot::Plain),
            "BLOCK3" => ("BLOCK3", Slot::Plain),
            "flash_encryption" => ("BLOCK1", Slot::FlashEncryption),
            "secure_boot_v1" => ("BLOCK2", Slot::SecureBootV1),
            "secure_boot_v2" => ("BLOCK2", Slot::SecureBootV2),
            _ => return Err(no_block(name)),
        };
        let path = PathBuf::from(path);
        keys.push((field, slot, read(&path)?, path));
        names.push(name);
    }
    not_twice(&names)?;
    let force = force(request);
    let expected = session.efuses.coding_scheme().data_size();
    for ((field, slot, bytes, path), name) in keys.into_iter().zip(names) {
        if bytes.len() != expected {
            return Err(EspefuseError::KeyLength {
                purpose: name,
                path,
                expected,
                found: bytes.len(),
            });
        }
        save_esp32(session, request, field, slot, &bytes, force)?;
    }
    session.commit(force).map(drop)
}

/// `burn-key-digest` of the ESP32.
fn burn_esp32_digest(session: &mut Session<'_>, request: &Request) -> Result<(), EspefuseError> {
    let path = one_file(request)?;
    let revision = session.efuses.revision();
    if revision < 300 {
        return Err(EspefuseError::OldRevision(revision));
    }
    if session.efuses.coding_scheme() != CodingScheme::None {
        return Err(EspefuseError::CodedBlock);
    }
    let bytes = digest(session, &path)?;
    let force = force(request);
    save_esp32(
        session,
        request,
        "BLOCK2",
        Slot::SecureBootV2,
        &bytes,
        force,
    )?;
    session.commit(force).map(drop)
}

fn save_esp32(
    session: &mut Session<'_>,
    request: &Request,
    field: &str,
    slot: Slot,
    bytes: &[u8],
    force: Force,
) -> Result<(), EspefuseError> {
    let secret = matches!(slot, Slot::FlashEncryption | Slot::SecureBootV1);
    let order = match secret {
        true => ByteOrder::Reversed,
        false => ByteOrder::AsGiven,
    };
    let field = session.field(field)?;
    let width = u16::try_from(bytes.len() * 8).unwrap_or(field.width);
    session.save(field, laid_out(0, width, bytes, order), force)?;
    if request.has("--no-protect-key") {
        return Ok(());
    }
    if secret {
        hide(session, field)?;
    }
    protect(session, field.write_protect)
}

/// Bytes of a key where they stand in its block.
fn laid_out(bit: u16, width: u16, bytes: &[u8], order: ByteOrder) -> [u8; BLOCK_SIZE] {
    let mut bits = [0; BLOCK_SIZE];
    let room = usize::from(width / 8);
    let target = bits.iter_mut().skip(usize::from(bit / 8)).take(room);
    match order {
        ByteOrder::AsGiven => target.zip(bytes).for_each(|(to, from)| *to = *from),
        ByteOrder::Reversed => target
            .zip(bytes.iter().rev())
            .for_each(|(to, from)| *to = *from),
    }
    bits
}

fn part(block: usize, purpose: KeyPurpose, bytes: &[u8]) -> Part {
    Part {
        block,
        purpose: Named::One(purpose),
        bytes: Zeroizing::new(bytes.to_vec()),
    }
}

/// The private scalar of an ECDSA key.
fn scalar(
    session: &Session<'_>,
    path: &Path,
    file: &[u8],
) -> Result<Zeroizing<Vec<u8>>, EspefuseError> {
    let scalar = session.keys.ecdsa_scalar(path, file);
    scalar.ok_or_else(|| no_key(path, "ECDSA private key"))
}

/// The digest of a secure boot v2 key.
fn digest(session: &Session<'_>, path: &Path) -> Result<Zeroizing<Vec<u8>>, EspefuseError> {
    let file = read(path)?;
    let digest = session.keys.secure_boot_digest(path, &file);
    let digest = digest.ok_or_else(|| no_key(path, "RSA-3072 or ECDSA key"))?;
    Ok(Zeroizing::new(digest.to_vec()))
}

fn one_file(request: &Request) -> Result<PathBuf, EspefuseError> {
    match request.words.as_slice() {
        [path] => Ok(PathBuf::from(path)),
        words => Err(EspefuseError::Words {
            command: request.command.name,
            expected: "one key file",
            found: words.len(),
        }),
    }
}

fn no_key(path: &Path, expected: &'static str) -> EspefuseError {
    let path = path.into();
    EspefuseError::NoKey(Box::new(NoKey { path, expected }))
}

fn no_block(value: String) -> EspefuseError {
    EspefuseError::Choice {
        what: "key block",
        value,
        expected: vec!["the key blocks of this chip, see dump"],
    }
}

fn no_purpose(value: String) -> EspefuseError {
    EspefuseError::Choice {
        what: "key purpose",
        value,
        expected: vec!["those of this chip"],
    }
}
