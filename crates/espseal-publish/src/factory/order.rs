//! Which devices are wanted: a number of them, or one for each row of a CSV file.
//!
//! The CSV file has a header. `name` (or `id`) and `mac` are ours; every other column is a value for NVS, and a
//! configuration says what becomes of it, as for Espressif's manufacturing utility: no header, and rows of
//! key, type (`namespace`, `data`, `file`), encoding, and perhaps `REPEAT`, which lets an empty value be that
//! of the device before.
//!
//! ```text
//! settings,namespace,                  name,mac,serial,server
//! serial,data,string                   0001,7c:df:a1:00:00:01,SN-1,https://a.example
//! server,data,string,REPEAT            0002,7c:df:a1:00:00:02,SN-2,
//! ```
//!
//! Source: ESP-IDF `docs/en/api-reference/storage/mass_mfg.rst`.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use espseal_twin::efuse::Mac;
use zeroize::Zeroizing;

use super::error::{MakeError, OrderProblem};
use crate::files;
use crate::nvs::csv::{self, Row};

/// Largest CSV file that is read: a million devices.
const LARGEST: u64 = 256 << 20;
/// Longest name of a device.
const LONGEST_NAME: usize = 64;
/// Digits of a counted name.
const DIGITS: usize = 4;
/// How a configuration repeats values.
const REPEAT: &str = "REPEAT";

/// A device that is wanted. Prints without its values: they may be secret.
pub struct Order {
    /// Its name: a folder of the batch.
    pub name: String,
    /// Its chip's MAC address, if it is known before the chip is at hand.
    pub mac: Option<Mac>,
    /// What goes into its NVS partition, besides what all devices share.
    pub values: Vec<Row>,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order")
            .field("name", &self.name)
            .field("mac", &self.mac)
            .finish_non_exhaustive()
    }
}

impl Order {
    /// One device with this name.
    ///
    /// # Errors
    /// [`OrderProblem::Name`].
    pub fn new(name: &str, mac: Option<Mac>) -> Result<Self, OrderProblem> {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = !name.is_empty() && name.len() <= LONGEST_NAME && !name.starts_with('.');
        match fits && name.bytes().all(sound) {
            true => Ok(Self {
                name: name.into(),
                mac,
                values: Vec::new(),
            }),
            false => Err(OrderProblem::Name { found: name.into() }),
        }
    }

    /// So many devices, named `0001`, `0002` and so on.
    #[must_use]
    pub fn count(count: usize) -> Vec<Self> {
        let name = |number| format!("{number:0DIGITS$}");
        let order = |number| Self {
            name: name(number),
            mac: None,
            values: Vec::new(),
        };
        (1..=count).map(order).collect()
    }

    /// Reads a CSV file of devices.
    ///
    /// # Errors
    /// [`MakeError::Order`] with the line, [`MakeError::File`].
    pub fn read(path: &Path, columns: &Columns) -> Result<Vec<Self>, MakeError> {
        let bytes = Zeroizing::new(files::read(path, "a CSV file of devices", LARGEST)?);
        let failed = |line, cause| MakeError::Order {
            path: path.into(),
            line,
            cause,
        };
        let text = str::from_utf8(&bytes).map_err(|_| failed(1, OrderProblem::Text))?;
        Self::parse(text, columns).map_err(|(line, cause)| failed(line, cause))
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    /// The line and what is wrong with it.
    pub fn parse(text: &str, columns: &Columns) -> Result<Vec<Self>, (usize, OrderProblem)> {
        let mut records = csv::records(text).into_iter();
        let (line, header) = records.next().ok_or((1, OrderProblem::NoDevices))?;
        let header: Vec<&str> = header.iter().map(|name| name.trim()).collect();
        let failed = |cause| (line, cause);
        let place = |name: &str| header.iter().position(|column| *column == name);
        let name_at = place("name").or_else(|| place("id"));
        let name_at = name_at.ok_or_else(|| failed(OrderProblem::NoName))?;
        for (index, column) in header.iter().enumerate() {
            let known = ["name", "id", "mac"].contains(column) || columns.has(column);
            if !known {
                let found = (*column).into();
                return Err(failed(OrderProblem::UnknownColumn { found }));
            }
            if place(column) != Some(index) {
                let found = (*column).into();
                return Err(failed(OrderProblem::ColumnTwice { found }));
            }
        }
        let places = columns.places(&place).map_err(failed)?;
        let (mut names, mut macs) = (HashSet::new(), HashSet::new());
        let mut repeated: Vec<Option<Zeroizing<String>>> = vec![None; places.len()];
        let mut orders = Vec::new();
        for (line, record) in records {
            let failed = |cause| (line, cause);
            let field = |at: usize| record.get(at).map_or("", |field| field.as_str());
            if record.len() != header.len() {
                return Err(failed(OrderProblem::Fields {
                    expected: header.len(),
                    found: record.len(),
                }));
            }
            let mac = match place("mac").map(field).map(str::trim) {
                None | Some("") => None,
                Some(text) => Some(mac(text).ok_or_else(|| {
                    let found = text.chars().take(24).collect();
                    failed(OrderProblem::Mac { found })
                })?),
            };
            let mut order = Self::new(field(name_at).trim(), mac).map_err(failed)?;
            // Folders of some systems do not tell upper case from lower case.
            if !names.insert(order.name.to_ascii_lowercase()) {
                let found = order.name;
                return Err(failed(OrderProblem::NameTwice { found }));
            }
            if let Some(mac) = mac.filter(|mac| !macs.insert(mac.0)) {
                return Err(failed(OrderProblem::MacTwice { found: mac }));
            }
            for ((column, at), before) in columns.rows.iter().zip(&places).zip(&mut repeated) {
                let mut value = at.map(field);
                if value == Some("") && column.repeats {
                    value = before.as_ref().map(|text| text.as_str());
                }
                let words = [&column.key, &column.kind, &column.encoding].map(String::as_str);
                order.values.push(Row::new(line, words, value));
                *before = value.map(|text| Zeroizing::new(text.to_owned()));
            }
            orders.push(order);
        }
        match orders.is_empty() {
            true => Err((line, OrderProblem::NoDevices)),
            false => Ok(orders),
        }
    }
}

/// What becomes of the columns: the rows of a configuration, in order.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    rows: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    key: String,
    kind: String,
    encoding: String,
    repeats: bool,
}

impl Columns {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`MakeError::Order`] with the line, [`MakeError::File`].
    pub fn read(path: &Path) -> Result<Self, MakeError> {
        let bytes = files::read(path, "a configuration of NVS values", LARGEST)?;
        let failed = |line, cause| MakeError::Order {
            path: path.into(),
            line,
            cause,
        };
        let text = str::from_utf8(&bytes).map_err(|_| failed(1, OrderProblem::Text))?;
        Self::parse(text).map_err(|(line, cause)| failed(line, cause))
    }

    /// Reads the text of a configuration.
    ///
    /// # Errors
    /// The line and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, (usize, OrderProblem)> {
        let mut rows: Vec<Column> = Vec::new();
        for (line, record) in csv::records(text) {
            let mut fields = record.iter().map(|field| field.trim().to_owned());
            let mut next = || fields.next().unwrap_or_default();
            let (key, kind, encoding, repeat) = (next(), next(), next(), next());
            let surplus = fields.any(|field| !field.is_empty());
            if surplus || !["", REPEAT].contains(&repeat.as_str()) || key == "key" {
                return Err((line, OrderProblem::Configuration));
            }
            let same = |row: &Column| row.key == key && row.kind != "namespace";
            if kind != "namespace" && rows.iter().any(same) {
                return Err((line, OrderProblem::ColumnTwice { found: key }));
            }
            rows.push(Column {
                key,
                kind,
                encoding,
                repeats: !repeat.is_empty(),
            });
        }
        Ok(Self { rows })
    }

    /// Whether there is anything to write for each device.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn has(&self, name: &str) -> bool {
        let mut rows = self.rows.iter();
        rows.any(|row| row.kind != "namespace" && row.key == name)
    }

    /// Where each row's value stands; `None` for namespaces.
    fn places(
        &self,
        place: &dyn Fn(&str) -> Option<usize>,
    ) -> Result<Vec<Option<usize>>, OrderProblem> {
        let rows = self.rows.iter();
        rows.map(|row| match row.kind.as_str() {
            "namespace" => Ok(None),
            _ => place(&row.key)
                .map(Some)
                .ok_or_else(|| OrderProblem::NoColumn {
                    expected: row.key.clone(),
                }),
        })
        .collect()
    }
}

/// Reads a MAC address: twelve hexadecimal digits, with colons or dashes between pairs or without.
#[must_use]
pub fn mac(text: &str) -> Option<Mac> {
    let digits: Vec<u8> = match text.len() {
        12 => text.bytes().collect(),
        17 => {
            let pairs: Vec<&str> = text.split([':', '-']).collect();
            let whole = pairs.len() == 6 && pairs.iter().all(|pair| pair.len() == 2);
            whole.then(|| pairs.concat().into_bytes())?
        }
        _ => return None,
    };
    let mut mac = [0; 6];
    let (pairs, _) = digits.as_chunks::<2>();
    for (byte, pair) in mac.iter_mut().zip(pairs) {
        if !pair.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    // The lowest bit of the first byte marks group addresses, which no chip has.
    (mac != [0; 6] && mac[0] & 1 == 0).then_some(Mac(mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURATION: &str =
        "settings,namespace,\nserial,data,string\nserver,data,string,REPEAT\n";

    fn values(order: &Order) -> Vec<(&str, Option<&str>)> {
        order
            .values
            .iter()
            .map(|row| (row.key(), row.value()))
            .collect()
    }

    #[test]
    fn rows_become_devices_with_their_values() {
        let columns = Columns::parse(CONFIGURATION).unwrap();
        let text = "mac,server,serial,name\n7C-DF-a1-00-00-01,https://a,\"S,1\",one\n,,S2,two\n7cdfa1000003,b,S3,three\n";
        let orders = Order::parse(text, &columns).unwrap();
        assert_eq!(orders[0].mac, Some(Mac([0x7c, 0xdf, 0xa1, 0, 0, 1])));
        assert_eq!(orders[1].mac, None);
        assert_eq!(orders[2].mac, Some(Mac([0x7c, 0xdf, 0xa1, 0, 0, 3])));
        let expected = [
            ("settings", None),
            ("serial", Some("S,1")),
            ("server", Some("https://a")),
        ];
        assert_eq!(values(&orders[0]), expected);
        let expected = [
            ("settings", None),
            ("serial", Some("S2")),
            ("server", Some("https://a")),
        ];
        assert_eq!(values(&orders[1]), expected);
        assert_eq!(values(&orders[2])[2].1, Some("b"));
    }

    #[test]
    fn lists_that_cannot_be_are_refused_with_the_line() {
        let columns = Columns::parse(CONFIGURATION).unwrap();
        for (text, line, expected) in [
            ("", 1, "no device"),
            ("name,serial,server\n", 1, "no device"),
            ("mac,serial,server\n,a,b\n", 1, "no column `name`"),
            ("name,serial\na,b\n", 1, "no column `server`"),
            ("name,serial,server,extra\na,b,c,d\n", 1, "column `extra`"),
            (
                "name,serial,server,name\na,b,c,d\n",
                1,
                "`name` stands twice",
            ),
            ("name,serial,server\na,b\n", 2, "2 fields, expected 3"),
            (
                "name,serial,server\na,b,c\nA,b,c\n",
                3,
                "device `A` stands twice",
            ),
            ("name,serial,server\n../a,b,c\n", 2, "`../a` is no name"),
            ("name,serial,server\n.a,b,c\n", 2, "`.a` is no name"),
            ("name,serial,server\n,b,c\n", 2, "`` is no name"),
            (
                "name,serial,server,mac\na,b,c,7c:df\n",
                2,
                "`7c:df` is no MAC",
            ),
            (
                "name,serial,server,mac\na,b,c,01:00:00:00:00:01\n",
                2,
                "is no MAC",
            ),
            (
                "name,serial,server,mac\na,b,c,7cdfa1000003\nb,b,c,7C:DF:A1:00:00:03\n",
                3,
                "7c:df:a1:00:00:03 stands twice",
            ),
        ] {
            let (found, cause) = Order::parse(text, &columns).unwrap_err();
            assert!(cause.to_string().contains(expected), "{text:?}: {cause}");
            assert_eq!(found, line, "{text:?}");
        }
        for text in [
            "key,type,encoding\n",
            "a,data,u8,AGAIN\n",
            "a,data,u8\na,data,u8\n",
        ] {
            assert!(Columns::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn counted_devices_have_names_in_order() {
        let orders = Order::count(10_001);
        assert_eq!(orders[0].name, "0001");
        assert_eq!(orders[10_000].name, "10001");
    }
}
