//! `espseal factory`: devices, made one by one or in batches.

mod learn;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use espseal_format::chip::ChipId;
use espseal_publish::authority::Authority;
use espseal_publish::blame::Blame;
use espseal_publish::escrow::Recipients;
use espseal_publish::factory::batch::{Batch, EscrowTo};
use espseal_publish::factory::line::{Line, Request};
use espseal_publish::factory::order::{Columns, Order};
use espseal_publish::files;
use espseal_publish::project::{Fleet, Project, names};
use espseal_twin::efuse::Mac;
use serde_json::json;

use super::chip;
use super::escrow_options::mac;
use super::rehearse::{data, revision};
use crate::answer::Answer;
use crate::cli::{Context, Outcome};
use crate::failure::Failure;

/// Makes devices: fresh keys, a flash image that only one chip can read, its eFuse plan, its enrolment.
///
/// Bootloader, partition table, apps and security come from espseal.toml. One device is first tried out on a
/// virtual chip. A batch that was interrupted goes on where it stopped when the same command runs again.
///
/// A device's folder holds flash.bin, the eFuse plan with its script, device.toml for the fleet, and in keys/
/// the secret keys that the script burns. install.sh writes, burns, and removes the keys: after that
/// nobody has the flash key, unless --escrow kept it.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  espseal factory --name 0001 --output batch-1
  espseal factory --count 100 --output batch-1 --escrow age1... --escrow-dir escrow
  espseal factory --devices devices.csv --nvs common.csv --nvs-columns columns.csv --output batch-2
  espseal factory --count 100 --output batch-1 --dry-run   # only check, and boot one on a virtual chip
  ESPEFUSE_PORT=/dev/ttyUSB0 bash batch-1/devices/0001/install.sh
  espseal factory learn batch-1 --escrow-dir escrow        # file keys under the chips they were burnt into
  espseal decrypt dump.bin --address 0 --chip esp32c3 --output plain.bin \\
      --keys-by-mac escrow --mac 7c:df:a1:00:00:01 --identity fleet.txt

devices.csv has a column `name`, perhaps `mac`, and a column for each NVS value of --nvs-columns, which is
written as for ESP-IDF's manufacturing utility: `key,type,encoding[,REPEAT]` without a header."
)]
pub(crate) struct Factory {
    #[command(subcommand)]
    verb: Option<FactoryVerb>,
    #[command(flatten)]
    make: Make,
}

/// What else there is to do.
#[derive(Debug, Subcommand)]
enum FactoryVerb {
    Learn(learn::Learn),
}

/// What to make.
#[derive(Debug, Args)]
struct Make {
    /// Folder of the batch; made when it is missing.
    #[arg(long, short, value_name = "DIR", required = true)]
    output: Option<PathBuf>,
    /// Chip, such as esp32c3; the project's when it has one only.
    #[arg(long, value_parser = chip)]
    chip: Option<ChipId>,
    /// Make so many devices, named 0001 and so on.
    #[arg(long, value_name = "N", conflicts_with_all = ["devices", "name"])]
    count: Option<usize>,
    /// Make a device for each row of a CSV file.
    #[arg(long, value_name = "CSV", conflicts_with = "name")]
    devices: Option<PathBuf>,
    /// Make one device with this name.
    #[arg(long)]
    name: Option<String>,
    /// MAC address of that one device's chip, when it is known.
    #[arg(long, requires = "name", value_parser = mac)]
    mac: Option<Mac>,
    /// NVS values that all devices share: a CSV file as for `espseal nvs build`.
    #[arg(long, value_name = "CSV")]
    nvs: Vec<PathBuf>,
    /// What becomes of the columns of --devices.
    #[arg(long, value_name = "CSV", requires = "devices")]
    nvs_columns: Option<PathBuf>,
    /// Encrypt NVS with keys that the device derives from its HMAC key.
    #[arg(long)]
    nvs_hmac: bool,
    /// Contents of a further partition.
    #[arg(long, value_name = "LABEL=FILE", value_parser = data)]
    data: Vec<(String, PathBuf)>,
    /// Channel that the devices follow; the chip's when it has one only.
    #[arg(long)]
    channel: Option<String>,
    /// Do not enrol the devices; `espseal device enroll` takes their device.toml later.
    #[arg(long)]
    no_enroll: bool,
    /// Keep flash keys, encrypted for this age recipient or the ones in this file.
    #[arg(long, value_name = "RECIPIENT|FILE")]
    escrow: Vec<String>,
    /// Folder of escrowed keys.
    #[arg(
        long,
        value_name = "DIR",
        requires = "escrow",
        default_value = "escrow"
    )]
    escrow_dir: PathBuf,
    /// Revision of the chips, such as 3.0; one that is sold when left out.
    #[arg(long, value_name = "MAJOR.MINOR", value_parser = revision)]
    chip_revision: Option<u16>,
    /// Check everything and boot one device on a virtual chip; make none.
    #[arg(long)]
    dry_run: bool,
}

/// Largest contents of a partition.
const LARGEST: u64 = 128 << 20;

impl Factory {
    pub(super) fn run(self, context: &Context) -> Outcome {
        match self.verb {
            Some(FactoryVerb::Learn(verb)) => verb.run(),
            None => self.make.run(context),
        }
    }
}

impl Make {
    fn run(self, context: &Context) -> Outcome {
        let observer = context.progress.watch_interrupt();
        let project = Project::open(&context.global.project)?;
        let fleet = fleet(&project, self.chip)?;
        let columns = match &self.nvs_columns {
            Some(path) => Columns::read(path)?,
            None => Columns::default(),
        };
        let orders = self.orders(&columns)?;
        let recipients = match self.escrow.is_empty() {
            true => None,
            false => Some(Recipients::new(&self.escrow)?),
        };
        let line = Line::set_up(&Request {
            project: &project,
            fleet,
            channel: self.channel.as_deref(),
            enrols: !self.no_enroll,
            revision: self.chip_revision,
            data: self.contents()?,
            nvs: self.nvs.clone(),
            has_values: !columns.is_empty(),
            nvs_hmac: self.nvs_hmac,
        })?;
        if recipients.is_some() && line.flash_encryption().is_none() {
            return Err(usage(
                "--escrow keeps flash keys, and flash encryption is off",
            ));
        }
        let total = orders.len();
        if self.dry_run {
            for order in &orders {
                line.check(order)?;
            }
            return Ok(
                Answer::new(json!({ "devices": total, "made": 0 })).line(format_args!(
                    "{total} device(s) can be made; one was tried out on a virtual chip"
                )),
            );
        }
        let output = self.output.as_deref().unwrap_or(Path::new("."));
        let batch = Batch::open(output, &line, &orders)?;
        let escrow = recipients.as_ref().map(|recipients| EscrowTo {
            recipients,
            folder: &self.escrow_dir,
        });
        let report = batch.run(&line, &orders, escrow.as_ref(), observer)?;
        let (made, found) = (report.made, report.found);
        let mut answer = Answer::new(json!(null)).line(format_args!(
            "made {made} device(s) in {}{}",
            output.join("devices").display(),
            match found {
                0 => String::new(),
                found => format!(", {found} were there"),
            }
        ));
        let mut enrolled = 0;
        if !self.no_enroll {
            let (now, late) = enrol(context, &batch)?;
            enrolled = now;
            answer = answer.line(format_args!("enrolled {now} device(s)"));
            if late > 0 {
                answer = answer.line(format_args!(
                    "{late} of them can open what is published from now on"
                ));
            }
        }
        let kept = escrow.is_some();
        answer = answer.line(match (line.flash_encryption(), kept) {
            (None, _) => "flash encryption is off: anybody can read these devices' flash".to_owned(),
            (_, false) => "keys/ of each device may go once its install.sh is done, which removes it; then nobody has \
                the flash key"
                .to_owned(),
            (_, true) => format!(
                "keys/ of each device may go once its install.sh is done, which removes it; the flash keys stay in {}, \
                 encrypted",
                self.escrow_dir.display()
            ),
        });
        Ok(answer.with_json(json!({
            "batch": output,
            "devices": total,
            "made": made,
            "found": found,
            "enrolled": enrolled,
            "escrow": kept.then_some(&self.escrow_dir),
        })))
    }

    fn orders(&self, columns: &Columns) -> Result<Vec<Order>, Failure> {
        Ok(match (&self.devices, self.count, &self.name) {
            (Some(path), ..) => Order::read(path, columns)?,
            (_, Some(0), _) => return Err(usage("--count is 0; expected at least 1")),
            (_, Some(count), _) => Order::count(count),
            (_, _, Some(name)) => vec![Order::new(name, self.mac).map_err(usage)?],
            _ => return Err(usage("which devices? give --count, --devices or --name")),
        })
    }

    fn contents(&self) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let read = |(label, path): &(String, PathBuf)| {
            let bytes = files::read(path, "the contents of a partition", LARGEST)?;
            Ok((label.clone(), bytes))
        };
        self.data.iter().map(read).collect()
    }
}

/// The fleet of a chip, or the only one.
fn fleet(project: &Project, chip: Option<ChipId>) -> Result<&Fleet, Failure> {
    let found = match (chip, project.fleets.as_slice()) {
        (Some(chip), _) => project.fleet(chip),
        (None, [only]) => Some(only),
        _ => None,
    };
    found.ok_or_else(|| {
        let targets = project
            .fleets
            .iter()
            .filter_map(|fleet| fleet.chip.id.target());
        let all = names(targets);
        usage(format_args!(
            "which chip? the project has {all}; name one with --chip"
        ))
    })
}

/// Enrols the finished devices of a batch that are not yet. Returns how many, and how many of them wait
/// for the next release.
fn enrol(context: &Context, batch: &Batch) -> Result<(usize, usize), Failure> {
    let mut authority: Authority = context.authority()?;
    let records = batch.enrolments()?;
    let devices = authority.read_unknown_devices(&records)?;
    let count = devices.len();
    if count == 0 {
        return Ok((0, 0));
    }
    let late = authority.enrol_all(devices, &context.progress)?;
    Ok((count, late.len()))
}

fn usage(message: impl std::fmt::Display) -> Failure {
    Failure::new(Blame::Usage, message)
}
