//! `espseal efuse apply`: a plan on a virtual chip.

use std::path::PathBuf;

use clap::Args;
use espseal_format::chip::ChipId;
use espseal_publish::efuse_plan::apply::{ApplyError, Material, Position};
use espseal_publish::efuse_plan::document::Document;
use espseal_publish::efuse_plan::plan::{Plan, plan};
use espseal_publish::efuse_plan::present::{Form, Present};
use espseal_publish::files::{self, Secrecy};
use espseal_twin::efuse::{Efuses, emulator, virt};
use serde_json::json;

use super::options::{ChipOptions, KeyFiles, WishOptions, usage};
use crate::answer::Answer;
use crate::cli::{Context, Outcome};
use crate::failure::Failure;

/// Carries a plan out on a virtual chip; a real one takes the script of `efuse plan`.
///
/// The eFuse file is written after each step. A run that was interrupted is simply started again: nothing but
/// the file says how far it came.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal efuse plan --chip esp32c3 --flash-encryption release --json > plan.json
  espseal efuse apply plan.json --path-efuse-file chip.bin --flash-key flash-key.bin
  espefuse --chip esp32c3 --virt --path-efuse-file chip.bin summary
  espseal efuse apply --project lamp --path-efuse-file chip.bin --flash-key flash-key.bin

The file is that of `espefuse --virt` or of Espressif's emulator; a new one is made for a chip out of the box.
A file of `espefuse --virt` forgets keys once they are hidden, the emulator's keeps them.")]
pub(crate) struct Apply {
    /// A plan of `efuse plan --json`; without one, the options and the project say what is wished.
    #[arg(value_name = "PLAN")]
    plan: Option<PathBuf>,
    /// The virtual chip.
    #[arg(long, value_name = "FILE")]
    path_efuse_file: PathBuf,
    /// Burn at most this many steps, then stop.
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    #[command(flatten)]
    wish: WishOptions,
    #[command(flatten)]
    chip: ChipOptions,
    #[command(flatten)]
    keys: KeyFiles,
}

/// Largest plan.
const LARGEST_PLAN: u64 = 1 << 20;
/// Largest key file.
const LARGEST_KEY: u64 = 64;

impl Apply {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let (plan, present) = self.plan(context)?;
        let mut efuses = present.efuses().clone();
        let material = self.material(&plan)?;
        let (Position::After(before) | Position::Within(before)) =
            plan.position(&efuses).map_err(refused)?;
        let limit = self.steps.unwrap_or(usize::MAX);
        let mut burnt = Vec::new();
        if present.form() == Form::Blank {
            self.write(&present, &efuses)?;
        }
        while burnt.len() < limit {
            let Some(number) = plan.apply_next(&mut efuses, &material).map_err(refused)? else {
                break;
            };
            self.write(&present, &efuses)?;
            burnt.extend(plan.steps.get(number).map(ToString::to_string));
        }
        let done = before.saturating_add(burnt.len());
        let total = plan.steps.len();
        let mut answer = Answer::new(json!({
            "file": self.path_efuse_file,
            "steps": total,
            "before": before,
            "burnt": burnt,
            "done": done,
        }));
        for (number, step) in (before + 1..).zip(&burnt) {
            answer = answer.line(format_args!("step {number} of {total}: {step}"));
        }
        Ok(answer.line(match done == total {
            true => format!("{} is as planned", self.path_efuse_file.display()),
            false => format!("{done} of {total} steps are done; run it again for the rest"),
        }))
    }

    /// The plan, and the chip that it is for.
    fn plan(&self, context: &Context) -> Result<(Plan, Present), Failure> {
        let Some(path) = &self.plan else {
            let wish = self.wish.wish(context, &self.keys, None)?;
            let present = self.present(wish.chip, None)?;
            let plan =
                plan(&wish, &present).map_err(|error| Failure::new(error.blame(), &error))?;
            return Ok((plan, present));
        };
        let bytes = files::read(path, "an eFuse plan", LARGEST_PLAN)?;
        let plan = Document::parse(&bytes).map_err(|error| {
            let path = path.display();
            Failure::new(error.blame(), format_args!("{path}: {error}"))
        })?;
        if self.wish.chip.is_some_and(|chip| chip != plan.chip.id) {
            let found = plan.chip.name();
            return Err(usage(format_args!(
                "the plan is for {found}, --chip names another"
            )));
        }
        let present = self.present(plan.chip.id, Some(plan.revision))?;
        Ok((plan, present))
    }

    /// The virtual chip, a new one when there is no file yet.
    fn present(&self, chip: ChipId, revision: Option<u16>) -> Result<Present, Failure> {
        match self.path_efuse_file.exists() {
            true => self.chip.read(chip, &self.path_efuse_file),
            false => self.chip.or_revision(revision).blank(chip),
        }
    }

    fn material(&self, plan: &Plan) -> Result<Material, Failure> {
        let mut material = Material::default().with_digests(&plan.digests);
        for (key, path) in self.keys.named() {
            let bytes = files::read_private(path, "a key", LARGEST_KEY)?;
            material = material.with(key, bytes);
        }
        Ok(material)
    }

    /// Writes the file, whole or not at all, in the form that it had.
    fn write(&self, present: &Present, efuses: &Efuses) -> Result<(), Failure> {
        let bytes = match present.form() {
            Form::Emulator => emulator::encode(efuses),
            Form::Blank | Form::Summary | Form::Virtual => virt::encode(efuses),
        };
        Ok(files::replace(
            &self.path_efuse_file,
            &bytes,
            Secrecy::Private,
        )?)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: ApplyError) -> Failure {
    Failure::new(error.blame(), &error)
}
