//! What an escrowed key's age file holds, as text that a person can use without espseal.
//!
//! ```text
//! espseal flash key 1
//! mac = 7c:df:a1:00:00:01           or "unknown"
//! device = <64 hexadecimal digits>  or "unknown"
//! chip = esp32c3
//! scheme = xts-aes-128              esp32-aes, xts-aes-128, xts-aes-256
//! flash-crypt-config = 15           eFuse FLASH_CRYPT_CONFIG; ESP32 only
//! key = <hexadecimal digits>        as espsecure's key file has it
//! ```
//!
//! `age -d -i IDENTITY FILE | sed -n 's/^key = //p' | xxd -r -p` is espsecure's key file.

use espseal_crypto::flash_encryption::{FlashCryptConfig, FlashKey};
use espseal_format::chip::SchemeId;
use espseal_format::units::DeviceId;
use espseal_twin::efuse::Mac;
use zeroize::Zeroizing;

use super::{EscrowedKey, PlainKey, UNKNOWN};

/// First line.
const TITLE: &str = "espseal flash key 1";
/// Most bytes of a record.
pub(super) const LARGEST: usize = 512;
/// Bytes of the longest key.
const LONGEST_KEY: usize = 64;
/// Names of the schemes.
const SCHEMES: [(SchemeId, &str); 3] = [
    (SchemeId::Esp32Aes, "esp32-aes"),
    (SchemeId::XtsAes128, "xts-aes-128"),
    (SchemeId::XtsAes256, "xts-aes-256"),
];

/// Writes a record; `None` when neither a MAC address nor a device id says whose key it is.
pub(super) fn encode(key: &PlainKey<'_>) -> Option<Zeroizing<String>> {
    if key.mac.is_none() && key.device.is_none() {
        return None;
    }
    // Room for all of it at once: a string that grows leaves pieces of a secret behind.
    let mut text = Zeroizing::new(String::with_capacity(LARGEST));
    text.push_str(TITLE);
    text.push('\n');
    let mut line = |name: &str, value: &str| {
        for part in [name, " = ", value, "\n"] {
            text.push_str(part);
        }
    };
    let mac = key.mac.map(|mac| mac.to_string());
    let device = key.device.map(|device| device.to_string());
    let target = key.chip.target()?;
    let scheme = SCHEMES.iter().find(|(id, _)| *id == key.key.scheme())?.1;
    line("mac", mac.as_deref().unwrap_or(UNKNOWN));
    line("device", device.as_deref().unwrap_or(UNKNOWN));
    line("chip", target);
    line("scheme", scheme);
    if key.key.scheme() == SchemeId::Esp32Aes {
        line("flash-crypt-config", &key.config.get().to_string());
    }
    text.push_str("key = ");
    for byte in key.key.file() {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xF));
    }
    text.push('\n');
    Some(text)
}

/// Reads a record; the name of the field that cannot be understood otherwise.
pub(super) fn decode(text: &[u8]) -> Result<EscrowedKey, &'static str> {
    let text = str::from_utf8(text).map_err(|_| "first line")?;
    // A key that was cut may be another scheme's key.
    if !text.ends_with('\n') {
        return Err("last line");
    }
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) || text.len() > LARGEST {
        return Err("first line");
    }
    let mut field = |name: &'static str| {
        let line = lines.next().and_then(|line| line.strip_prefix(name));
        line.and_then(|line| line.strip_prefix(" = ")).ok_or(name)
    };
    let mac = match field("mac")? {
        UNKNOWN => None,
        text => Some(mac(text).ok_or("mac")?),
    };
    let device = match field("device")? {
        UNKNOWN => None,
        text => Some(DeviceId::from_hex(text).ok_or("device")?),
    };
    let chip = field("chip")?.parse().map_err(|_| "chip")?;
    let name = field("scheme")?;
    let mut schemes = SCHEMES.iter();
    let (scheme, _) = schemes.find(|entry| entry.1 == name).ok_or("scheme")?;
    let config = match scheme {
        SchemeId::Esp32Aes => {
            let bits = field("flash-crypt-config")?.parse().ok();
            bits.and_then(FlashCryptConfig::new)
                .ok_or("flash-crypt-config")?
        }
        _ => FlashCryptConfig::DEFAULT,
    };
    let digits = field("key")?.as_bytes();
    let mut key = Zeroizing::new([0; LONGEST_KEY]);
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = key.get_mut(..pairs.len()).ok_or("key")?;
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high).ok_or("key")? << 4 | nibble(*low).ok_or("key")?;
    }
    let key = FlashKey::from_file(*scheme, bytes).map_err(|_| "key")?;
    if !rest.is_empty() || lines.next().is_some() || (mac.is_none() && device.is_none()) {
        return Err("last line");
    }
    Ok(EscrowedKey {
        mac,
        device,
        chip,
        config,
        key,
    })
}

/// Reads six pairs of hexadecimal digits with colons between them.
fn mac(text: &str) -> Option<Mac> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let [high, low] = parts.next()?.as_bytes() else {
            return None;
        };
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    parts.next().is_none().then_some(Mac(mac))
}

/// Value of one lower-case hexadecimal digit.
pub(super) const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

const fn digit(nibble: u8) -> char {
    match nibble {
        0..=9 => (b'0' + nibble) as char,
        _ => (b'a' - 10 + (nibble & 0xF)) as char,
    }
}
