//! `espseal device key`: the key of an ESP-IDF device with the ECIES scheme, and its record.

use std::path::PathBuf;

use clap::Args;
use espseal_format::chip::ChipId;
use espseal_format::units::ChannelName;
use espseal_publish::enrolment::{Device, Recipient, Standing, ecies};
use espseal_publish::files::{self, Secrecy};
use serde_json::json;

use crate::answer::Answer;
use crate::cli::Outcome;

/// Makes the public key of an unmodified ESP-IDF device with the ECIES scheme.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal device key --new --hmac-key device_hmac_key.bin --public-key device_pub_key.pem
  espefuse burn-key BLOCK_KEY1 device_hmac_key.bin HMAC_UP         # before RD_DIS is write-protected
  espseal device key --hmac-key device_hmac_key.bin --record device.toml --chip esp32c3 --channel production
  espseal device enroll device.toml

The device derives its private key from the HMAC key in its eFuse (esp_encrypted_img with
CONFIG_PRE_ENCRYPTED_OTA_USE_ECIES, hmac_key_id = the number of the key block), so no two devices may
have the same. Both files are those of `esp_enc_img_gen.py --generate_ecc_key`. Burn the HMAC key, then
delete its file: whoever has it opens every image for this device.")]
pub(crate) struct Key {
    /// 32-byte key for an eFuse block of purpose HMAC_UP; only its owner may be able to read it.
    #[arg(long, value_name = "FILE")]
    hmac_key: PathBuf,
    /// Draws the HMAC key and writes it to a new file.
    #[arg(long)]
    new: bool,
    /// Where to write the public key as PEM; an existing file is not overwritten.
    #[arg(long, value_name = "PEM", required_unless_present = "record")]
    public_key: Option<PathBuf>,
    /// Where to write the device's record for `espseal device enroll`.
    #[arg(long, value_name = "FILE", requires_all = ["chip", "channel"])]
    record: Option<PathBuf>,
    /// Chip of the device, for its record.
    #[arg(long, requires = "record")]
    chip: Option<ChipId>,
    /// Channel that the device follows, for its record.
    #[arg(long, requires = "record", value_parser = channel)]
    channel: Option<ChannelName>,
}

impl Key {
    pub(super) fn run(self) -> Outcome {
        if let (Some(record), Some(chip)) = (&self.record, self.chip) {
            ecies::check_chip(record, chip)?;
        }
        if self.new {
            let key = ecies::draw_hmac_key();
            files::create(&self.hmac_key, key.expose_secret(), Secrecy::Private)?;
        }
        let public_key = ecies::read_device_key(&self.hmac_key)?.public_key();
        let id = ecies::device_id(&public_key);
        let mut answer = Answer::new(json!({
            "device": id.to_string(),
            "hmac-key": self.hmac_key,
            "public-key": self.public_key,
            "record": self.record,
        }))
        .line(format_args!("device {id}"));
        if self.new {
            let path = self.hmac_key.display();
            answer = answer.line(format_args!(
                "{path}: HMAC key, to burn with purpose HMAC_UP and then to delete"
            ));
        }
        if let Some(path) = &self.public_key {
            let pem = ecies::to_pem(&public_key);
            files::create(path, pem.as_bytes(), Secrecy::Public)?;
            answer = answer.line(format_args!("{}: public key", path.display()));
        }
        if let (Some(path), Some(chip), Some(channel)) = (&self.record, self.chip, self.channel) {
            let device = Device {
                id,
                chip,
                channel,
                recipient: Recipient::EspIdfEcies { public_key },
                standing: Standing::Enrolled,
            };
            files::create(path, device.to_toml().as_bytes(), Secrecy::Public)?;
            let path = path.display();
            answer = answer.line(format_args!("{path}: record, for `espseal device enroll`"));
        }
        Ok(answer)
    }
}

fn channel(name: &str) -> Result<ChannelName, &'static str> {
    ChannelName::new(name).ok_or("no channel name; espseal.toml has the channels")
}
