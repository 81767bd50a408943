//! NVS partition images: made from ESP-IDF's CSV form, and read back.
//!
//! Images are byte for byte those of `esp-idf-nvs-partition-gen` 0.3:
//!
//! * [`csv`]: the rows of a file, as Python's `csv` module reads them.
//! * [`value`]: what a row's encoding makes of its value.
//! * [`image`]: pages, entries, encryption.
//! * `wifi`: entries that version 0.3 adds to some keys of the Wi-Fi driver.
//! * [`source`]: a whole CSV file into an image.
//! * [`reading`]: what an image holds.
//! * [`keys`]: key files.
//!
//! What the original would write into an image that firmware cannot read, or reads as something else
//! than the CSV says, is refused ([`error::RowProblem`]).
//!
//! Source: `esp-idf-nvs-partition-gen` 0.3.0 (Apache-2.0); ESP-IDF
//! `docs/en/api-reference/storage/nvs_partition_gen.rst`.

pub mod csv;
pub mod error;
pub mod image;
pub mod keys;
pub mod reading;
pub mod source;
pub mod value;
mod wifi;
