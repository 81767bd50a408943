//! `espseal publish`: seals, rehearses, signs and publishes a release.

use std::path::PathBuf;

use clap::Args;
use espseal_format::cohort::Ppm;
use espseal_format::metadata::releases::OfferState;
use espseal_publish::direct::DirectRequest;
use espseal_publish::rehearsal::TwinRehearsal;
use espseal_publish::release::{PublishRequest, Published, RepositoryState};
use serde_json::json;

use crate::answer::{Answer, date};
use crate::cli::{Context, Outcome};

/// Seals a signed app image, rehearses the update on a virtual device, and publishes it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal publish lamp-signed.bin --channel production
  espseal publish lamp-signed.bin --channel production --ppm 10000     # one device in a hundred
  espseal publish lamp-signed.bin --channel beta --hold                # staged, not yet offered
  espseal publish lamp-signed.bin --channel production --direct escrow/ --identity release.key

`espseal rollout` widens, holds and resumes what was published.")]
pub(crate) struct Publish {
    /// Signed app image.
    app: PathBuf,
    /// Channel to offer it on.
    #[arg(long)]
    channel: String,
    /// Share of the devices that are offered it, in millionths.
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = super::ppm)]
    ppm: Ppm,
    /// Publish it, but let no device take it yet.
    #[arg(long)]
    hold: bool,
    /// Place in the order of installations; the next free one when left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seq: Option<u64>,
    /// Only devices that run at least this seq may update to it; what runs a release from before
    /// `espseal root --replace releases` counts as older than any.
    #[arg(long, value_name = "N", default_value_t = 0)]
    min_seq: u64,
    /// The repository was lost: start a new one.
    #[arg(long)]
    new_repository: bool,
    /// Make direct images besides, with the flash keys in this folder of escrowed keys.
    ///
    /// A direct image is ciphertext for one device's flash and one of its slots, for firmware that
    /// keeps no decryption key: each enrolled device whose flash key is in escrow gets one for each OTA
    /// slot. Whoever reads the repository can tell which blocks of an image two releases share.
    #[arg(long, value_name = "FOLDER", requires = "identity")]
    direct: Option<PathBuf>,
    /// age identity file that opens the escrowed flash keys.
    #[arg(long, value_name = "FILE", requires = "direct")]
    identity: Option<PathBuf>,
}

impl Publish {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let observer = context.progress.watch_interrupt();
        let request = PublishRequest {
            app: self.app,
            channel: self.channel,
            ppm: self.ppm,
            state: match self.hold {
                true => OfferState::Held,
                false => OfferState::Active,
            },
            seq: self.seq,
            min_seq: self.min_seq,
            repository: match self.new_repository {
                true => RepositoryState::New,
                false => RepositoryState::Existing,
            },
            direct: self
                .direct
                .zip(self.identity)
                .map(|(escrow, identity)| DirectRequest { escrow, identity }),
        };
        let published =
            context
                .authority()?
                .publish(&request, context.time()?, &TwinRehearsal, observer)?;
        Ok(answer(&request, &published))
    }
}

fn answer(request: &PublishRequest, published: &Published) -> Answer {
    let held = request.state == OfferState::Held;
    let ppm = request.ppm.get();
    Answer::new(json!({
        "channel": published.channel.name.as_str(),
        "chip": published.chip.target(),
        "project": published.project,
        "version": published.version,
        "secure-version": published.secure_version.get(),
        "generation": published.position.generation,
        "seq": published.position.version,
        "manifest": published.manifest.to_string(),
        "body": published.body.to_string(),
        "body-length": published.body_length,
        "group": published.channel.group,
        "epoch": published.epoch,
        "agents": published.agents,
        "esp-idf-devices": published.esp_idf_devices,
        "esp-idf-files": published.esp_idf_files,
        "direct-devices": published.direct_devices,
        "ppm": ppm,
        "held": held,
        "releases-version": published.signed.releases.version,
        "now-version": published.signed.now.version,
        "now-expires": published.signed.expires,
        "rehearsal": published.rehearsed.log,
    }))
    .line(format_args!(
        "published {} {} for {} on {} as seq {}",
        published.project,
        published.version,
        published.chip,
        published.channel.name,
        published.position
    ))
    .line(format_args!(
        "  rehearsed   {}",
        published.rehearsed.log.last().map_or("", String::as_str)
    ))
    .line(format_args!(
        "  sealed      {} bytes, body {}",
        published.body_length, published.body
    ))
    .line(format_args!(
        "  opens for   {} agent(s) in epoch {}, {} ESP-IDF device(s), {} of them with a file of their own{}",
        published.agents,
        published.epoch,
        published.esp_idf_devices,
        published.esp_idf_files,
        match published.direct_devices {
            Some(devices) => format!("; direct images for {devices} device(s)"),
            None => String::new(),
        }
    ))
    .line(format_args!(
        "  offered to  {}",
        match held {
            true => "nobody yet: `espseal rollout --resume` starts it".into(),
            false => format!("{ppm} of 1000000 devices"),
        }
    ))
    .line(format_args!(
        "  now expires {}: `espseal now` renews it",
        date(published.signed.expires)
    ))
}
