//! Commands that burn fields and protections: `burn-efuse`, `read-protect-efuse`,
//! `write-protect-efuse`, `burn-custom-mac`, `set-flash-voltage`.

use espseal_format::chip::ChipId;
use espseal_format::efuse::{Field, KeyRole};

use super::arguments::Request;
use super::purposes::purpose_number;
use super::session::{Burnt, Force, Session};
use super::table::{Kind, Row, rows};
use super::{EspefuseError, value};
use crate::efuse::BLOCK_SIZE;

/// What one name and value come to.
struct Wish {
    field: &'static Field,
    bits: [u8; BLOCK_SIZE],
}

/// `burn-efuse`.
pub(super) fn burn_efuse(
    session: &mut Session<'_>,
    request: &Request,
) -> Result<(), EspefuseError> {
    let words = request.texts();
    let pairs: Vec<(&str, Option<&str>)> = match words.as_slice() {
        [name] if request.is_last => vec![(name, None)],
        words if !words.is_empty() && words.len() % 2 == 0 => words
            .chunks(2)
            .filter_map(|pair| match pair {
                [name, value] => Some((name.as_str(), Some(value.as_str()))),
                _ => None,
            })
            .collect(),
        words => {
            return Err(EspefuseError::Words {
                command: request.command.name,
                expected: "pairs of an eFuse and its value",
                found: words.len(),
            });
        }
    };
    let mut wishes = Vec::new();
    for (name, value) in pairs {
        wishes.extend(wish(session, name, value)?);
    }
    for wish in &wishes {
        session.save(wish.field, wish.bits, Force::No)?;
    }
    if session.commit(Force::No)? != Burnt::Done {
        return Ok(());
    }
    // Bits that could not be cleared, or were ignored.
    let failed = wishes.iter().find(|wish| {
        let view = session.efuses.read_block(wish.field.block.into());
        let mask = super::session::mask_of(wish.field);
        let mut bits = view.iter().zip(mask).zip(wish.bits);
        !session.is_hidden(wish.field) && bits.any(|((view, mask), bit)| view & mask != bit)
    });
    match failed {
        Some(wish) => Err(EspefuseError::Unsuccessful(wish.field.name)),
        None => Ok(()),
    }
}

/// Reads a name and a value.
fn wish(session: &Session<'_>, name: &str, text: Option<&str>) -> Result<Vec<Wish>, EspefuseError> {
    let chip = session.chip();
    let row = rows(session.efuses.model())
        .iter()
        .find(|row| row.listed && (row.name == name || row.aliases.contains(&name)));
    let Some(row) = row else {
        let field = session.efuses.map().calibration.iter();
        let field = field.filter(|_| super::summary::is_calibrated(&session.efuses));
        let field = field.into_iter().find(|field| field.name == name);
        let field = field.ok_or_else(|| crate::efuse::EfuseError::NoSuchField(name.into()))?;
        let bits = number(field, field.width, text)?;
        return Ok(vec![placed(field, bits)?]);
    };
    match row.kind {
        Kind::Parts(parts) => in_parts(session, row, parts, text),
        Kind::Eui64 | Kind::Revision | Kind::Vref => Err(EspefuseError::Unsupported(row.name)),
        Kind::Mac => {
            let field = session.field(row.name)?;
            let address = value::mac(row.name, text.unwrap_or_default())?;
            match row.name {
                "CUSTOM_MAC" => Ok(vec![placed_bytes(field, &address)]),
                _ => Err(EspefuseError::Unsupported(row.name)),
            }
        }
        Kind::Bytes => {
            let field = session.field(row.name)?;
            let width = match chip {
                ChipId::Esp32 => session.efuses.coding_scheme().data_size() * 8,
                _ => usize::from(field.width),
            };
            let width = u16::try_from(width).unwrap_or(field.width);
            let bytes = value::bytes(field, width, text.unwrap_or_default())?;
            Ok(vec![placed_bytes(field, &bytes)])
        }
        Kind::Purpose => {
            let field = session.field(row.name)?;
            let number = purpose(session, field, text.unwrap_or_default())?;
            Ok(vec![placed(field, number)?])
        }
        kind => {
            let field = session.field(row.name)?;
            let number = plain(session, field, kind, text)?;
            Ok(vec![placed(field, number)?])
        }
    }
}

/// Reads the value of a flag, a number, a counter or a pin.
fn plain(
    session: &Session<'_>,
    field: &'static Field,
    kind: Kind,
    text: Option<&str>,
) -> Result<u64, EspefuseError> {
    let counts = matches!(kind, Kind::Count | Kind::NamedCount(_));
    match (text, kind) {
        (None, _) if counts => {
            let burnt = session.efuses.read(field.name)?;
            let value = burnt | burnt.saturating_add(1);
            match value >> field.width {
                0 => Ok(value),
                _ => Err(too_wide(field, &value.to_string())),
            }
        }
        (None, _) if field.width == 1 => Ok(1),
        (Some(text), Kind::Pin) => {
            let pin = number(field, 6, Some(text))?;
            match pin {
                0..=29 => Ok(pin),
                32 | 33 => Ok(pin - 2),
                _ => Err(EspefuseError::Value {
                    field: field.name,
                    value: text.into(),
                    expected: "a pin: 0 to 29, 32 or 33",
                }),
            }
        }
        (Some("2"), _) if field.name == "CODING_SCHEME" => Err(EspefuseError::RepeatCoding),
        (text, _) => {
            let value = number(field, field.width, text)?;
            match (field.width, value) {
                (1, 1) | (2.., _) => Ok(value),
                _ => Err(too_wide(field, text.unwrap_or_default())),
            }
        }
    }
}

/// Reads a number above 0 for a field of this width.
fn number(field: &'static Field, width: u16, text: Option<&str>) -> Result<u64, EspefuseError> {
    let Some(text) = text else {
        return Err(EspefuseError::Value {
            field: field.name,
            value: "nothing".into(),
            expected: "a number",
        });
    };
    let number = value::integer(text).ok_or_else(|| EspefuseError::NoNumber(text.into()))?;
    if number == 0 {
        return Err(EspefuseError::Value {
            field: field.name,
            value: text.into(),
            expected: "a number above 0",
        });
    }
    let fits = |value: &u64| width >= 64 || value.checked_shr(width.into()) == Some(0);
    u64::try_from(number)
        .ok()
        .filter(fits)
        .ok_or_else(|| too_wide(field, text))
}

/// Reads what a key is for: a name, or a number in decimal.
fn purpose(session: &Session<'_>, field: &'static Field, text: &str) -> Result<u64, EspefuseError> {
    let map = session.efuses.map();
    let wrong = || EspefuseError::Value {
        field: field.name,
        value: text.into(),
        expected: "a key purpose of this chip, other than USER",
    };
    let number = match text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        true => text.parse().ok(),
        false => purpose_number(session.chip(), map, text),
    };
    let number: u8 = number.filter(|number| *number != 0).ok_or_else(wrong)?;
    if super::purposes::name_of(session.chip(), map, number).is_none() {
        return Err(wrong());
    }
    let purpose = map.purpose(number);
    let refused = map
        .keys
        .iter()
        .filter(|entry| matches!(entry.role, KeyRole::Purpose(own) if own.low == *field))
        .any(|entry| entry.refuses.contains(&purpose));
    match refused {
        true => Err(EspefuseError::HardwareBug {
            field: field.name,
            purpose: purpose.to_string(),
        }),
        false => Ok(number.into()),
    }
}

/// Reads a number that lies in several fields.
fn in_parts(
    session: &Session<'_>,
    row: &'static Row,
    parts: &[&str],
    text: Option<&str>,
) -> Result<Vec<Wish>, EspefuseError> {
    let burnable = [
        "RECOVERY_BOOTLOADER_FLASH_SECTOR",
        "BOOTLOADER_ANTI_ROLLBACK_SECURE_VERSION",
    ];
    if !burnable.contains(&row.name) {
        return Err(EspefuseError::Unsupported(row.name));
    }
    let fields: Vec<&'static Field> = parts
        .iter()
        .map(|part| session.field(part))
        .collect::<Result<_, _>>()?;
    let width = fields.iter().map(|field| field.width).sum();
    let Some(first) = fields.first() else {
        return Ok(Vec::new());
    };
    let mut rest = number(first, width, text)?;
    let mut wishes = Vec::new();
    for field in fields {
        let part = rest & ((1 << field.width) - 1);
        rest >>= field.width;
        wishes.push(placed(field, part)?);
    }
    Ok(wishes)
}

fn placed(field: &'static Field, value: u64) -> Result<Wish, EspefuseError> {
    let mut bits = [0; BLOCK_SIZE];
    field
        .burn(&mut bits, value)
        .ok_or_else(|| too_wide(field, &value.to_string()))?;
    Ok(Wish { field, bits })
}

/// Bytes at the start of a field, which starts at a whole byte.
fn placed_bytes(field: &'static Field, bytes: &[u8]) -> Wish {
    let mut bits = [0; BLOCK_SIZE];
    bits.iter_mut()
        .skip(usize::from(field.bit / 8))
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    Wish { field, bits }
}

fn too_wide(field: &'static Field, value: &str) -> EspefuseError {
    EspefuseError::TooWide {
        field: field.name,
        value: value.into(),
        width: field.width,
    }
}

/// `write-protect-efuse`.
pub(super) fn write_protect(
    session: &mut Session<'_>,
    request: &Request,
) -> Result<(), EspefuseError> {
    for name in names(session, request)? {
        let field = named(session, &name)?;
        let bit = field
            .write_protect
            .ok_or(EspefuseError::Unsupported(field.name))?;
        if !session.efuses.is_wr_dis(bit) {
            let wr_dis = &session.efuses.map().wr_dis;
            add_protection(session, wr_dis, 1 << bit)?;
        }
    }
    session.commit(Force::No).map(drop)
}

/// `read-protect-efuse`: not for keys that software has to read.
pub(super) fn read_protect(
    session: &mut Session<'_>,
    request: &Request,
) -> Result<(), EspefuseError> {
    for name in names(session, request)? {
        let field = named(session, &name)?;
        // As in espefuse, which looks at the purpose only under the block's full name.
        let purpose = session.efuses.key_purpose(field.block.into());
        let readable = match purpose {
            Some(purpose) => !purpose.is_secret(),
            None => {
                session.chip() == ChipId::Esp32C2 && session.efuses.read("XTS_KEY_LENGTH_256")? == 0
            }
        };
        if session.is_hidden(field) {
            continue;
        }
        let by_block = name == field.name && name.starts_with("BLOCK_KEY") && field.width == 256;
        if by_block && readable {
            return Err(EspefuseError::MustBeReadable(field.name));
        }
        hide(session, field)?;
    }
    session.commit(Force::No).map(drop)
}

/// Adds the read protection of a field.
pub(super) fn hide(session: &mut Session<'_>, field: &Field) -> Result<(), EspefuseError> {
    let map = session.efuses.map();
    let block = map.blocks.get(usize::from(field.block));
    let bits = match (field.read_protect, block) {
        (Some(bit), _) => 1 << bit,
        (None, Some(block)) if field.width == u16::from(block.words) * 32 => block
            .read_protect
            .iter()
            .fold(0, |bits, bit| bits | 1_u64 << bit),
        _ => 0,
    };
    if bits == 0 {
        return Err(EspefuseError::Unsupported("a field that stays readable"));
    }
    let rd_dis = &map.rd_dis;
    let burnt = rd_dis.get(&session.efuses.read_block(0)).unwrap_or(0);
    if bits & !burnt == 0 {
        return Ok(());
    }
    if session.is_locked(rd_dis) {
        return Err(EspefuseError::ReadDisableLocked);
    }
    add_protection(session, rd_dis, bits)
}

/// Adds protection bits to those that are burnt or about to be.
pub(super) fn add_protection(
    session: &mut Session<'_>,
    field: &'static Field,
    bits: u64,
) -> Result<(), EspefuseError> {
    if session.is_locked(field) {
        return Err(EspefuseError::WriteProtected(field.name));
    }
    session.add_bits(field, bits)
}

/// The names of a protection command, none of them twice.
fn names(session: &Session<'_>, request: &Request) -> Result<Vec<String>, EspefuseError> {
    let names = request.texts();
    for name in &names {
        named(session, name)?;
    }
    if names.is_empty() {
        return Err(EspefuseError::Words {
            command: request.command.name,
            expected: "names of eFuses",
            found: 0,
        });
    }
    if names.len() == 1 && !request.is_last {
        return Err(EspefuseError::LoneName {
            command: request.command.name,
        });
    }
    not_twice(&names)?;
    Ok(names)
}

/// Refuses a name that is given twice.
pub(super) fn not_twice(names: &[String]) -> Result<(), EspefuseError> {
    let mut seen = std::collections::BTreeSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        Some(name) => Err(EspefuseError::Repeated(name.clone())),
        None => Ok(()),
    }
}

/// The field of a name or alias.
fn named(session: &Session<'_>, name: &str) -> Result<&'static Field, EspefuseError> {
    let row = rows(session.efuses.model())
        .iter()
        .find(|row| row.listed && (row.name == name || row.aliases.contains(&name)));
    session.field(row.map_or(name, |row| row.name))
}

/// `burn-custom-mac`.
pub(super) fn burn_custom_mac(
    session: &mut Session<'_>,
    request: &Request,
) -> Result<(), EspefuseError> {
    let words = request.texts();
    let [word] = words.as_slice() else {
        return Err(EspefuseError::Words {
            command: request.command.name,
            expected: "one MAC address",
            found: words.len(),
        });
    };
    let force = force(request);
    let mac = value::mac("CUSTOM_MAC", word)?;
    let field = session.field("CUSTOM_MAC")?;
    let wish = placed_bytes(field, &mac);
    session.save(field, wish.bits, force)?;
    match session.chip() {
        ChipId::Esp32 => {
            let check = session.field("CUSTOM_MAC_CRC")?;
            session.save_field(check, value::crc8(&mac).into(), force)?;
            let version = session.field("MAC_VERSION")?;
            session.save_field(version, 1, force)?;
        }
        ChipId::Esp32C2 => {
            let used = session.field("CUSTOM_MAC_USED")?;
            session.save_field(used, 1, force)?;
        }
        _ => {}
    }
    session.commit(force).map(drop)
}

/// `set-flash-voltage`.
pub(super) fn set_flash_voltage(
    session: &mut Session<'_>,
    request: &Request,
) -> Result<(), EspefuseError> {
    let words = request.texts();
    let voltage = match words.as_slice() {
        [word] => ["1.8V", "3.3V", "OFF"]
            .into_iter()
            .find(|known| known == word),
        _ => None,
    };
    let Some(voltage) = voltage else {
        return Err(EspefuseError::Choice {
            what: "voltage",
            value: words.join(" "),
            expected: vec!["1.8V", "3.3V", "OFF"],
        });
    };
    let [force, on, high] = match session.chip() {
        ChipId::Esp32 => ["XPD_SDIO_FORCE", "XPD_SDIO_REG", "XPD_SDIO_TIEH"],
        _ => ["VDD_SPI_FORCE", "VDD_SPI_XPD", "VDD_SPI_TIEH"],
    };
    let against: &[&'static str] = match voltage {
        "OFF" => &[on, high],
        "1.8V" => &[high],
        _ => &[],
    };
    for field in against {
        if session.efuses.read(field)? != 0 {
            return Err(EspefuseError::Regulator { voltage, field });
        }
    }
    let burnt: &[&str] = match voltage {
        "OFF" => &[force],
        "1.8V" => &[force, on],
        _ => &[force, on, high],
    };
    for name in burnt {
        let field = session.field(name)?;
        session.save_field(field, 1, Force::No)?;
    }
    session.commit(Force::No).map(drop)
}

/// Whether the command was given `--force-write-always`.
pub(super) fn force(request: &Request) -> Force {
    match request.has("--force-write-always") {
        true => Force::Always,
        false => Force::No,
    }
}
