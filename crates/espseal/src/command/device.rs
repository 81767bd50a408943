//! `espseal device`: enrols, lists and revokes devices, makes keys of ESP-IDF devices.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use comfy_table::Table;
use espseal_publish::enrolment::registry::Registry;
use espseal_publish::enrolment::{Device as Record, Recipient, Standing};
use espseal_publish::project::Project;
use serde_json::json;

use crate::answer::Answer;
use crate::cli::{Context, Outcome};

mod key;

/// Enrols, lists and revokes devices, makes keys of ESP-IDF devices.
#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    Enroll(Enroll),
    Key(key::Key),
    List(List),
    Revoke(Revoke),
}

/// Enrols devices from the records that provisioning wrote.
#[derive(Debug, Args)]
#[command(after_help = "\
A record is a TOML file with the device's public keys:
  kind = \"agent\"                 # or \"esp-idf-rsa\" with rsa-public-key instead of the two keys,
                                 # or \"esp-idf-ecies\" with ecies-public-key
  chip = \"esp32c3\"
  channel = \"production\"
  encryption-key = \"04…\"         # HPKE public key, uncompressed P-256 point
  report-key = \"04…\"             # public key of its signed reports

Example:
  espseal device enroll factory/device-*.toml")]
pub(crate) struct Enroll {
    /// Device records.
    #[arg(required = true, value_name = "RECORD")]
    records: Vec<PathBuf>,
}

/// Lists the enrolled devices.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  espseal --json device list")]
pub(crate) struct List {}

/// Shuts a device out: from the next epoch on it cannot open releases.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  espseal device revoke 3fa95c

A new epoch starts at once and the releases on offer are wrapped anew for all others. What the
device has already downloaded and opened stays open to it.")]
pub(crate) struct Revoke {
    /// Device id, or its first digits.
    device: String,
}

impl Device {
    pub(super) fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Enroll(verb) => verb.run(context),
            Self::Key(verb) => verb.run(),
            Self::List(_) => list(context),
            Self::Revoke(verb) => verb.run(context),
        }
    }
}

impl Enroll {
    fn run(self, context: &Context) -> Outcome {
        let observer = context.progress.watch_interrupt();
        let mut authority = context.authority()?;
        let devices = authority.read_devices(&self.records)?;
        let enrolled: Vec<_> = devices.iter().map(describe).collect();
        let waiting = authority.enrol_all(devices, observer)?.len();
        let count = enrolled.len();
        let mut answer = Answer::new(json!({ "enrolled": enrolled, "from-next-release": waiting }))
            .line(format_args!("enrolled {count} device(s)"));
        if waiting > 0 {
            answer = answer.line(format_args!(
                "{waiting} of them can open what is published from now on"
            ));
        }
        Ok(answer)
    }
}

fn list(context: &Context) -> Outcome {
    let project = Project::open(&context.global.project)?;
    let registry = Registry::open(&project)?;
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["device", "kind", "chip", "channel", "standing"]);
    for device in registry.devices() {
        table.add_row([
            device.id.to_string(),
            kind(device).into(),
            device.chip.to_string(),
            device.channel.to_string(),
            standing(device).into(),
        ]);
    }
    let all: Vec<_> = registry.devices().iter().map(describe).collect();
    Ok(Answer::new(json!({ "devices": all })).listing(table))
}

impl Revoke {
    fn run(self, context: &Context) -> Outcome {
        let observer = context.progress.watch_interrupt();
        let revoked = context
            .authority()?
            .revoke(&self.device, context.time()?, observer)?;
        let answer = Answer::new(json!({
            "revoked": revoked.id.to_string(),
            "epoch": revoked.epoch,
        }))
        .line(format_args!("revoked device {}", revoked.id));
        Ok(match revoked.epoch {
            Some(epoch) => answer.line(format_args!(
                "its group is in epoch {epoch} now; the releases on offer were wrapped anew"
            )),
            None => answer,
        })
    }
}

fn describe(device: &Record) -> serde_json::Value {
    json!({
        "device": device.id.to_string(),
        "kind": kind(device),
        "chip": device.chip.target(),
        "channel": device.channel.as_str(),
        "standing": standing(device),
    })
}

fn kind(device: &Record) -> &'static str {
    match device.recipient {
        Recipient::Agent { .. } => "agent",
        Recipient::EspIdfRsa { .. } => "esp-idf-rsa",
        Recipient::EspIdfEcies { .. } => "esp-idf-ecies",
    }
}

fn standing(device: &Record) -> &'static str {
    match device.standing {
        Standing::Enrolled => "enrolled",
        Standing::Revoked => "revoked",
    }
}
