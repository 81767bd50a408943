//! A device that runs unmodified ESP-IDF: `esp_https_ota` with `esp_encrypted_img`, and `app_update`.
//!
//! It shows what such a device accepts, which is less than an espseal agent checks: no metadata, no
//! versions, the authentication tag only at the end, and only when the application asks for it.
//!
//! Source: ESP-IDF `components/esp_https_ota`, `components/app_update`, `components/esp_http_client`;
//! idf-extra-components `esp_encrypted_img`.

mod decrypt;
mod http;
mod https_ota;
mod ota_ops;

pub use decrypt::{DecryptError, Decryptor};
pub use http::{HttpFetch, HttpReply, MAX_REDIRECTS, URL_LIMIT};
pub use https_ota::{Download, Finish, HttpsOta, HttpsOtaError};
pub use ota_ops::{OtaError, mark_app_invalid, mark_app_valid};
