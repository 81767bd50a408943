//! `espseal efuse plan`: what to burn, in which order, and why.

use std::path::PathBuf;

use clap::Args;
use espseal_publish::efuse_plan::document::Document;
use espseal_publish::efuse_plan::page::Page;
use espseal_publish::efuse_plan::plan::plan;
use espseal_publish::files::{self, Secrecy};
use serde_json::json;

use super::options::{ChipOptions, KeyFiles, WishOptions};
use crate::answer::Answer;
use crate::cli::{Context, Outcome};
use crate::failure::Failure;

/// Plans what to burn into a chip's eFuses: in which order, why, and what each step ends for ever.
///
/// Nothing is burnt. What would brick the chip, give a key away or contradict what is burnt already is refused.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal efuse plan --chip esp32c3 --secure-boot-key secure-boot.pem --unused-digests revoke \\
      --flash-encryption release --device-key device-key.bin --jtag shut --uart-download secure
  espseal efuse plan --project lamp --flash-key keys/0001.bin --script provision.sh
  espefuse --port /dev/ttyUSB0 summary --format json --file chip.json
  espseal efuse plan --project lamp --present chip.json --json > plan.json

The script reads the chip before and after each step and goes on after an interruption:
  ESPEFUSE_PORT=/dev/ttyUSB0 bash provision.sh
  ESPEFUSE_VIRTUAL=chip.bin bash provision.sh      # a rehearsal on espefuse's virtual chip")]
pub(crate) struct PlanVerb {
    /// What the chip is now: `espefuse summary --format json`, or an eFuse file; out of the box when left out.
    #[arg(long, value_name = "FILE")]
    present: Option<PathBuf>,
    /// Write the plan as a bash script of espefuse commands.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Overwrite the script.
    #[arg(long, requires = "script")]
    force: bool,
    #[command(flatten)]
    wish: WishOptions,
    #[command(flatten)]
    chip: ChipOptions,
    #[command(flatten)]
    keys: KeyFiles,
}

impl PlanVerb {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let wish = self.wish.wish(context, &self.keys, None)?;
        let present = match &self.present {
            Some(path) => self.chip.read(wish.chip, path)?,
            None => self.chip.blank(wish.chip)?,
        };
        let plan = plan(&wish, &present).map_err(|error| Failure::new(error.blame(), &error))?;
        if let Some(path) = &self.script {
            let script = plan.script(&self.keys.named());
            match self.force {
                true => files::replace(path, script.as_bytes(), Secrecy::Public)?,
                false => files::create(path, script.as_bytes(), Secrecy::Public)?,
            }
        }
        let document = serde_json::to_value(Document::of(&plan))
            .unwrap_or_else(|error| json!({ "error": error.to_string() }));
        let answer = Answer::new(document).listing(Page(&plan).to_string().trim_end());
        Ok(match &self.script {
            Some(path) => answer.line(format_args!("the script is in {}", path.display())),
            None => answer,
        })
    }
}
