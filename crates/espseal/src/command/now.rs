//! `espseal now`: renews the short-lived `now`, from cron.

use clap::Args;
use espseal_publish::rollout::NowRequest;

use super::rollout::answer;
use crate::cli::{Context, Outcome};

/// Renews the short-lived `now`; stops or lifts releases of a channel.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal now                          # from cron: 0 */6 * * *
  espseal now --hold production        # stop, with nothing but the `now` key
  espseal now --lift production

A hold stays in every later `now` until it is lifted or a new release takes the place of the held one.")]
pub(crate) struct Now {
    /// Stop what this channel offers; may be given again.
    #[arg(long, value_name = "CHANNEL")]
    hold: Vec<String>,
    /// Lift the hold on this channel; may be given again.
    #[arg(long, value_name = "CHANNEL")]
    lift: Vec<String>,
}

impl Now {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let observer = context.progress.watch_interrupt();
        let request = NowRequest {
            hold: self.hold,
            lift: self.lift,
        };
        let changed = context
            .authority()?
            .sign_now(&request, context.time()?, observer)?;
        Ok(answer(&changed))
    }
}
