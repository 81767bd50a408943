//! `espseal factory learn`: which chip a device ended up on.

use std::path::PathBuf;

use clap::Args;
use espseal_publish::factory::batch::Batch;
use espseal_twin::efuse::Mac;
use serde_json::json;

use crate::answer::Answer;
use crate::cli::Outcome;
use crate::command::escrow_options::mac;

/// Notes the MAC addresses of the chips that devices were installed on, and files escrowed keys under them.
///
/// install.sh leaves the address of its chip in mac.txt; --device and --mac tell one by hand.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal factory learn batch-1 --escrow-dir escrow
  espseal factory learn batch-1 --escrow-dir escrow --device 0001 --mac 7c:df:a1:00:00:01")]
pub(crate) struct Learn {
    /// Folder of the batch.
    #[arg(value_name = "DIR")]
    batch: PathBuf,
    /// Folder of escrowed keys.
    #[arg(long, value_name = "DIR")]
    escrow_dir: Option<PathBuf>,
    /// A device of the batch.
    #[arg(long, value_name = "NAME", requires = "mac")]
    device: Option<String>,
    /// MAC address of that device's chip.
    #[arg(long, requires = "device", value_parser = mac)]
    mac: Option<Mac>,
}

impl Learn {
    pub(super) fn run(self) -> Outcome {
        let batch = Batch::reopen(&self.batch)?;
        let told = self.device.as_deref().zip(self.mac);
        let learnt = batch.learn(told, self.escrow_dir.as_deref())?;
        let mut answer = Answer::new(json!({
            "learnt": learnt
                .iter()
                .map(|(name, mac)| json!({ "device": name, "mac": mac.to_string() }))
                .collect::<Vec<_>>(),
        }));
        for (name, mac) in &learnt {
            answer = answer.line(format_args!("{name} is on {mac}"));
        }
        Ok(answer.line(format_args!("learnt {} address(es)", learnt.len())))
    }
}
