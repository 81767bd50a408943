//! `espseal verify`: shows what `publish` would say about an image.

use std::path::PathBuf;

use clap::Args;
use espseal_format::cohort::Ppm;
use espseal_format::metadata::releases::OfferState;
use espseal_publish::release::{PublishRequest, RepositoryState};
use serde_json::json;

use crate::answer::Answer;
use crate::cli::{Context, Outcome};

/// Shows what `publish` would say about an image, and publishes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  espseal verify lamp-signed.bin --channel production")]
pub(crate) struct Verify {
    /// Signed app image.
    app: PathBuf,
    /// Channel it would be offered on.
    #[arg(long)]
    channel: String,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let request = PublishRequest {
            app: self.app,
            channel: self.channel,
            ppm: Ppm::ALL,
            state: OfferState::Active,
            seq: None,
            min_seq: 0,
            repository: RepositoryState::Existing,
            direct: None,
        };
        let image = context.authority()?.verify_image(&request)?;
        let descriptor = image.descriptor();
        let keys: Vec<_> = image
            .signing_keys()
            .iter()
            .map(ToString::to_string)
            .collect();
        Ok(Answer::new(json!({
            "chip": image.chip().target(),
            "project": descriptor.project(),
            "version": descriptor.version(),
            "secure-version": descriptor.secure_version().get(),
            "length": image.bytes().len(),
            "signing-keys": keys,
        }))
        .line(format_args!(
            "{} may be published on {}",
            request.app.display(),
            request.channel
        ))
        .line(format_args!(
            "  {} {} for {}, secure version {}, {} bytes",
            descriptor.project(),
            descriptor.version(),
            image.chip(),
            descriptor.secure_version(),
            image.bytes().len()
        ))
        .line(format_args!("  signed with {}", keys.join(", "))))
    }
}
