//! `esp_https_ota`: begin, perform until done, finish.
//!
//! Offsets of partial downloads are counted as ESP-IDF counts them: the first request covers header and
//! body, each later one starts at plaintext written + header size. A request size that is no multiple
//! of 16 therefore loses bytes, as on the device.
//!
//! Source: ESP-IDF `components/esp_https_ota/src/esp_https_ota.c`.

use std::io::Read;

use super::decrypt::{DecryptError, Decryptor};
use super::http::{HttpFetch, HttpReply, MAX_REDIRECTS, URL_LIMIT};
use super::ota_ops::{OtaError, OtaHandle};
use crate::device::VirtualDevice;
use crate::https::Method;

/// Bytes that are read before anything is written: `DEFAULT_OTA_BUF_SIZE`.
const BUFFER: usize = 1024;

/// How to download: the fields of `esp_https_ota_config_t` that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// URL of the image, perhaps one that redirects.
    pub url: String,
    /// `partial_http_download` with this `max_http_request_size`; `None` fetches in one request.
    pub max_http_request_size: Option<u32>,
    /// `enc_img_header_size`: 512 for `esp_encrypted_img`; 0 when the application forgot it.
    pub enc_img_header_size: u32,
}

/// What the application does at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// `esp_encrypted_img_decrypt_end`, then `esp_https_ota_finish`: the documented sequence.
    CheckTag,
    /// The one-shot `esp_https_ota()`, which never checks the tag.
    OneShot,
}

/// One update of an ESP-IDF device.
pub struct HttpsOta<'a, H> {
    device: &'a mut VirtualDevice,
    http: &'a mut H,
    download: Download,
    decryptor: Decryptor,
    url: String,
    reply: HttpReply,
    /// Bytes of the current answer that are still to come.
    left: Option<u64>,
    /// Length of the body without the header, as far as it is known.
    image_length: Option<u64>,
    /// Plaintext written.
    written: u64,
}

impl<'a, H: HttpFetch> HttpsOta<'a, H> {
    /// Downloads, decrypts and writes the image and selects it for the next boot.
    ///
    /// # Errors
    /// [`HttpsOtaError`], named as ESP-IDF names the step.
    pub fn run(
        device: &'a mut VirtualDevice,
        http: &'a mut H,
        download: Download,
        decryptor: Decryptor,
        finish: Finish,
    ) -> Result<(), HttpsOtaError<H::Error>> {
        let mut ota = Self::begin(device, http, download, decryptor)?;
        let mut handle = ota.perform()?;
        if finish == Finish::CheckTag {
            ota.decryptor.end()?;
        }
        handle.end(ota.device)?;
        handle.set_boot_partition(ota.device)?;
        Ok(())
    }

    fn begin(
        device: &'a mut VirtualDevice,
        http: &'a mut H,
        download: Download,
        decryptor: Decryptor,
    ) -> Result<Self, HttpsOtaError<H::Error>> {
        let mut url = download.url.clone();
        let header = u64::from(download.enc_img_header_size);
        let mut image_length = None;
        let mut range = None;
        if let Some(max) = download.max_http_request_size {
            let head = connect(http, Method::Head, &mut url, None)?;
            let total = match head.status {
                200 => head.content_length,
                // HEAD is not usable: a ranged GET tells the length.
                _ => {
                    let probe = connect(http, Method::Get, &mut url, Some("bytes=0-0"))?;
                    match probe.status {
                        200 => probe.content_length,
                        206 => probe.content_range_total,
                        status => return Err(HttpsOtaError::Status(status)),
                    }
                }
            };
            let total = total.ok_or(HttpsOtaError::NoContentLength)?;
            let length = total.saturating_sub(header);
            image_length = Some(length);
            if length > u64::from(max) {
                range = Some(format!("bytes=0-{}", max.saturating_sub(1)));
            }
        }
        let reply = connect(http, Method::Get, &mut url, range.as_deref())?;
        if download.max_http_request_size.is_none() {
            image_length = reply
                .content_length
                .map(|total| total.saturating_sub(header));
        }
        let left = reply.content_length;
        Ok(Self {
            device,
            http,
            download,
            decryptor,
            url,
            reply,
            left,
            image_length,
            written: 0,
        })
    }

    fn perform(&mut self) -> Result<OtaHandle, HttpsOtaError<H::Error>> {
        let mut handle = OtaHandle::begin(self.device)?;
        let head = self.read_piece()?;
        if head.len() < BUFFER {
            return Err(HttpsOtaError::IncompleteHeaders);
        }
        let plain = self.decryptor.update(&head)?;
        if plain.is_empty() {
            return Err(HttpsOtaError::IncompleteHeaders);
        }
        OtaHandle::check_header(self.device, &plain)?;
        self.write(&mut handle, &plain)?;
        loop {
            let piece = self.read_piece()?;
            if !piece.is_empty() {
                let plain = self.decryptor.update(&piece)?;
                if plain.is_empty() {
                    // ESP-IDF returns its own state number here and the caller's loop ends.
                    return Err(HttpsOtaError::NothingDecrypted);
                }
                self.write(&mut handle, &plain)?;
                continue;
            }
            if self.left.is_some_and(|left| left > 0) {
                return Err(HttpsOtaError::ConnectionClosed);
            }
            let Some(max) = self.download.max_http_request_size else {
                return Ok(handle);
            };
            let length = self.image_length.unwrap_or(0);
            if length <= self.written {
                return if length == self.written {
                    Ok(handle)
                } else {
                    Err(HttpsOtaError::ConnectionClosed)
                };
            }
            self.next_request(length, max)?;
        }
    }

    fn next_request(&mut self, length: u64, max: u32) -> Result<(), HttpsOtaError<H::Error>> {
        let start = self
            .written
            .saturating_add(self.download.enc_img_header_size.into());
        let range = if length - self.written > u64::from(max) {
            format!(
                "bytes={start}-{}",
                start.saturating_add(max.into()).saturating_sub(1)
            )
        } else {
            format!("bytes={start}-")
        };
        self.reply = connect(self.http, Method::Get, &mut self.url, Some(&range))?;
        self.left = self.reply.content_length;
        Ok(())
    }

    /// Reads up to a buffer full; less only at the end of the answer.
    fn read_piece(&mut self) -> Result<Vec<u8>, HttpsOtaError<H::Error>> {
        let mut piece = Vec::new();
        let want = self
            .left
            .map_or(BUFFER as u64, |left| left.min(BUFFER as u64));
        (&mut self.reply.body)
            .take(want)
            .read_to_end(&mut piece)
            .map_err(|_| HttpsOtaError::ConnectionClosed)?;
        if let Some(left) = &mut self.left {
            *left -= piece.len() as u64;
        }
        Ok(piece)
    }

    fn write(
        &mut self,
        handle: &mut OtaHandle,
        plain: &[u8],
    ) -> Result<(), HttpsOtaError<H::Error>> {
        handle.write(self.device, plain)?;
        self.written += plain.len() as u64;
        Ok(())
    }
}

/// Sends a request and follows redirects.
///
/// The limit is that of `esp_http_client_perform`. `esp_https_ota`'s own `GET` counts redirects and has
/// no limit: where the model gives up, the device goes round for ever.
fn connect<H: HttpFetch>(
    http: &mut H,
    method: Method,
    url: &mut String,
    range: Option<&str>,
) -> Result<HttpReply, HttpsOtaError<H::Error>> {
    for _ in 0..=MAX_REDIRECTS {
        if url.len() > URL_LIMIT {
            return Err(HttpsOtaError::UrlTooLong { length: url.len() });
        }
        let reply = http
            .fetch(method, url, range)
            .map_err(HttpsOtaError::Http)?;
        match (reply.status, reply.location) {
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                let scheme = location.get(..8).unwrap_or_default();
                if !scheme.eq_ignore_ascii_case("https://") {
                    return Err(HttpsOtaError::RedirectDowngrade);
                }
                *url = location;
            }
            (status @ (301 | 302 | 303 | 307 | 308 | 304), None) => {
                return Err(HttpsOtaError::Status(status));
            }
            (status, _) if status >= 400 && method == Method::Get => {
                return Err(HttpsOtaError::Status(status));
            }
            (status, location) => {
                return Ok(HttpReply {
                    status,
                    location,
                    ..reply
                });
            }
        }
    }
    Err(HttpsOtaError::TooManyRedirects)
}

/// Why an ESP-IDF device did not take an update.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpsOtaError<H> {
    /// No answer came.
    #[error("Failed to open HTTP connection: {0}")]
    Http(H),
    /// The server answered with another status.
    #[error("Received incorrect http status {0}")]
    Status(u16),
    /// The server redirects to something that is no absolute `https://` URL.
    #[error("redirect to something else than an absolute https URL")]
    RedirectDowngrade,
    /// The server redirects in circles.
    #[error("Error, reach max_redirection_count")]
    TooManyRedirects,
    /// The URL does not fit the client's buffers.
    #[error("a URL of {length} bytes does not fit the 512-byte buffer of esp_http_client")]
    UrlTooLong {
        /// Length of the URL.
        length: usize,
    },
    /// Partial download needs the length of the image.
    #[error("Failed to get image length from http response")]
    NoContentLength,
    /// Less than 1024 bytes came, or no plaintext in them.
    #[error("Complete headers were not received")]
    IncompleteHeaders,
    /// The answer ended before the image did.
    #[error("Connection closed before complete data was received!")]
    ConnectionClosed,
    /// A piece held no complete block; ESP-IDF gives up.
    #[error(
        "a piece of the download decrypted to nothing: use a max_http_request_size that is a multiple of 16"
    )]
    NothingDecrypted,
    /// The image does not decrypt.
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
    /// The image was not written, not verified or not selected.
    #[error(transparent)]
    Ota(#[from] OtaError),
}
