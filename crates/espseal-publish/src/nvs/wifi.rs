//! Entries that `esp-idf-nvs-partition-gen` 0.3 adds to some keys of the Wi-Fi driver.
//!
//! Behind the first of `sta.ssid` and `sta.pswd` it writes the driver's blank records for a station. In
//! front of each row of an access point, once its name, password and a mode other than 0 are known, it
//! writes `ap.pmk_info`: 100 zeros and the pairwise master key, PBKDF2-HMAC-SHA1 of the password with
//! the name as salt.
//!
//! Source: `esp-idf-nvs-partition-gen` 0.3.0; IEEE Std 802.11, annex J.4.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use espseal_format::nvs::item::Key;
use zeroize::Zeroizing;

use super::value::Value;

/// Iterations of the pairwise master key.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();
const PMK_LEN: usize = 32;
const PMK_OFFSET: usize = 100;

/// What was seen of Wi-Fi so far.
#[derive(Clone, Default)]
pub(super) struct Wifi {
    ssid: Option<Zeroizing<String>>,
    password: Option<Zeroizing<String>>,
    has_mode: bool,
    station_is_written: bool,
}

/// Whether a key is one of those that bring others along.
pub(super) fn is_wifi(key: &str) -> bool {
    is_access_point(key) || is_station(key)
}

fn is_access_point(key: &str) -> bool {
    matches!(key, "ap.ssid" | "ap.passwd" | "ap.authmode")
}

fn is_station(key: &str) -> bool {
    matches!(key, "sta.ssid" | "sta.pswd")
}

impl Wifi {
    /// Returns what stands in front of a key with this value.
    pub(super) fn before(&mut self, key: &str, value: &str) -> Option<(Key, Value)> {
        if !is_access_point(key) {
            return None;
        }
        let text = || (!value.is_empty()).then(|| Zeroizing::new(value.to_owned()));
        match key {
            "ap.ssid" => self.ssid = text(),
            "ap.passwd" => self.password = text(),
            // A later 0 does not take it back, nothing does.
            _ if value == "0" => {}
            _ => self.has_mode = !value.is_empty(),
        }
        let (Some(ssid), Some(password), true) = (&self.ssid, &self.password, self.has_mode) else {
            return None;
        };
        let mut info = Zeroizing::new(vec![0; PMK_OFFSET + PMK_LEN]);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA1,
            ITERATIONS,
            ssid.as_bytes(),
            password.as_bytes(),
            info.get_mut(PMK_OFFSET..).unwrap_or_default(),
        );
        Some((Key::new("ap.pmk_info")?, Value::Blob(info)))
    }

    /// Returns what stands behind a key.
    pub(super) fn after(&mut self, key: &str) -> Vec<(Key, Value)> {
        if !is_station(key) || std::mem::replace(&mut self.station_is_written, true) {
            return Vec::new();
        }
        let blank = [
            ("sta.apinfo", 140, 0xFF),
            ("sta.pmk", 32, 0),
            ("sta.apsw", 2, 0),
        ];
        let entries = blank.into_iter().filter_map(|(key, length, byte)| {
            let bytes = Zeroizing::new(vec![byte; length]);
            Some((Key::new(key)?, Value::Blob(bytes)))
        });
        entries.collect()
    }
}
