//! `espseal rollout`: widens, narrows, holds and resumes what was published.

use clap::{ArgGroup, Args};
use espseal_format::chip::ChipId;
use espseal_format::cohort::Ppm;
use espseal_format::metadata::releases::OfferState;
use espseal_publish::rollout::{Changed, RolloutRequest};
use serde_json::json;

use crate::answer::{Answer, date};
use crate::cli::{Context, Outcome};

/// Widens, narrows, holds or resumes what a channel offers.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true), after_help = "\
Examples:
  espseal rollout --channel production --ppm 250000
  espseal rollout --channel production --hold
  espseal rollout --channel production --resume --ppm 1000000

The release, its seq and its cohorts stay the same: devices that are in stay in.")]
pub(crate) struct Rollout {
    /// The channel.
    #[arg(long)]
    channel: String,
    /// One chip of the channel; all when left out.
    #[arg(long, value_parser = super::chip)]
    chip: Option<ChipId>,
    /// New share of the devices, in millionths.
    #[arg(long, value_name = "N", group = "change", value_parser = super::ppm)]
    ppm: Option<Ppm>,
    /// Let no more devices take it.
    #[arg(long, group = "change", conflicts_with = "resume")]
    hold: bool,
    /// Let devices take it again.
    #[arg(long, group = "change")]
    resume: bool,
}

impl Rollout {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let observer = context.progress.watch_interrupt();
        let request = RolloutRequest {
            channel: self.channel,
            chip: self.chip,
            ppm: self.ppm,
            state: match (self.hold, self.resume) {
                (true, _) => Some(OfferState::Held),
                (_, true) => Some(OfferState::Active),
                _ => None,
            },
        };
        let changed = context
            .authority()?
            .roll_out(&request, context.time()?, observer)?;
        Ok(answer(&changed))
    }
}

/// Says what is on offer and what holds.
pub(super) fn answer(changed: &Changed) -> Answer {
    let offers: Vec<_> = changed
        .offers
        .iter()
        .map(|offer| {
            json!({
                "channel": offer.channel.as_str(),
                "chip": offer.chip.target(),
                "seq": offer.seq,
                "manifest": offer.manifest.to_string(),
                "ppm": offer.ppm.get(),
                "held": offer.state == OfferState::Held,
            })
        })
        .collect();
    let holds: Vec<_> = changed
        .holds
        .iter()
        .map(|hold| {
            json!({
                "channel": hold.channel.as_str(),
                "chip": hold.chip.target(),
                "seq": hold.seq,
                "ppm": hold.ppm.get(),
            })
        })
        .collect();
    let expiring: Vec<_> = changed
        .expiring
        .iter()
        .map(|(offer, expires)| {
            json!({
                "channel": offer.channel.as_str(),
                "chip": offer.chip.target(),
                "expires": expires,
            })
        })
        .collect();
    let mut answer = Answer::new(json!({
        "offers": offers,
        "holds": holds,
        "releases-version": changed.signed.releases.version,
        "now-version": changed.signed.now.version,
        "now-expires": changed.signed.expires,
        "releases-expire": changed.signed.releases_expire,
        "expiring": expiring,
    }));
    for offer in &changed.offers {
        let hold = changed.holds.iter().find(|hold| {
            (&hold.channel, hold.chip, hold.seq) == (&offer.channel, offer.chip, offer.seq)
        });
        let state = match (offer.state, hold) {
            (OfferState::Held, _) => "held".into(),
            (OfferState::Active, None) => format!("{} of 1000000 devices", offer.ppm.get()),
            (OfferState::Active, Some(hold)) => format!(
                "{} of 1000000 devices, by a hold of `now`",
                hold.ppm.min(offer.ppm).get()
            ),
        };
        answer = answer.line(format_args!(
            "{} {} seq {}: {state}",
            offer.channel, offer.chip, offer.seq
        ));
    }
    answer = answer.line(format_args!(
        "signed now {}, it expires {}",
        changed.signed.now,
        date(changed.signed.expires)
    ));
    if changed.signed.releases_expire < changed.signed.expires {
        answer = answer.line(format_args!(
            "  sign `releases` anew with `espseal rollout`: it expires {}",
            date(changed.signed.releases_expire)
        ));
    }
    for (offer, expires) in &changed.expiring {
        answer = answer.line(format_args!(
            "  publish {} for {} anew: no device installs what is on offer after {}",
            offer.channel,
            offer.chip,
            date(*expires)
        ));
    }
    answer
}
