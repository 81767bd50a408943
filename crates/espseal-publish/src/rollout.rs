//! Widening, narrowing, holding and resuming what is on offer.
//!
//! An offer is changed by new `releases` with the same manifest, `seq` and salt, so that cohorts
//! nest and staged work survives. A hold needs only the short-lived `now` key.

use espseal_format::chip::ChipId;
use espseal_format::cohort::Ppm;
use espseal_format::metadata::now::Hold;
use espseal_format::metadata::releases::{Offer, OfferState};

use crate::authority::{Authority, AuthorityError, Draft, Signed, Visible};
use crate::observer::{Observer, Stage};
use crate::project::Channel;

/// A change to what a channel offers.
#[derive(Clone, Debug)]
pub struct RolloutRequest {
    /// The channel.
    pub channel: String,
    /// One chip of it; `None` for all.
    pub chip: Option<ChipId>,
    /// New share of the devices; `None` to keep it.
    pub ppm: Option<Ppm>,
    /// New state; `None` to keep it.
    pub state: Option<OfferState>,
}

/// What a new `now` changes.
#[derive(Clone, Debug, Default)]
pub struct NowRequest {
    /// Channels whose offers are stopped until the hold is lifted.
    pub hold: Vec<String>,
    /// Channels whose holds are lifted.
    pub lift: Vec<String>,
}

/// The result of a change.
#[derive(Debug)]
pub struct Changed {
    /// What is on offer.
    pub offers: Vec<Offer>,
    /// What holds.
    pub holds: Vec<Hold>,
    /// What was signed.
    pub signed: Signed,
    /// Offers whose manifests expire before the signed `now` does, or have expired, and when: no device
    /// installs them then.
    pub expiring: Vec<(Offer, u64)>,
}

impl Authority {
    /// Changes how widely a channel's releases are offered.
    ///
    /// # Errors
    /// [`AuthorityError`]; [`AuthorityError::NoOffer`] when the channel offers nothing.
    pub fn roll_out(
        &mut self,
        request: &RolloutRequest,
        time: u64,
        observer: &dyn Observer,
    ) -> Result<Changed, AuthorityError> {
        let channel = self.project.channel(&request.channel)?.clone();
        let visible = self.visible()?.ok_or(AuthorityError::NothingPublished)?;
        self.check_time(Some(&visible), time)?;
        let mut offers: Vec<_> = visible.releases.offers.iter().cloned().collect();
        let mut changed = 0u32;
        for offer in &mut offers {
            let chosen = request.chip.is_none_or(|chip| chip == offer.chip);
            if offer.channel == channel.name && chosen {
                offer.ppm = request.ppm.unwrap_or(offer.ppm);
                offer.state = request.state.unwrap_or(offer.state);
                changed = changed.saturating_add(1);
            }
        }
        if changed == 0 {
            return Err(AuthorityError::NoOffer {
                channel: channel.name,
                chip: request.chip,
            });
        }
        let draft = Draft {
            offers: offers.clone(),
            epochs: visible.releases.epochs.iter().cloned().collect(),
        };
        let signed = self.show(Some(&visible), draft, time, observer)?;
        Ok(Changed {
            expiring: self.expiring(&offers, signed),
            offers,
            holds: visible.now.holds.iter().cloned().collect(),
            signed,
        })
    }

    /// Signs the short-lived `now` again. Holds stay until they are lifted or a new release takes
    /// the place of the one they speak of.
    ///
    /// # Errors
    /// [`AuthorityError`]; [`AuthorityError::NoOffer`] when a channel to hold offers nothing.
    pub fn sign_now(
        &mut self,
        request: &NowRequest,
        time: u64,
        observer: &dyn Observer,
    ) -> Result<Changed, AuthorityError> {
        let visible = self.visible()?.ok_or(AuthorityError::NothingPublished)?;
        self.check_time(Some(&visible), time)?;
        observer.begin(Stage::Signing, 0);
        let mut holds: Vec<_> = visible.now.holds.iter().cloned().collect();
        for name in &request.lift {
            let channel = self.project.channel(name)?;
            holds.retain(|hold| hold.channel != channel.name);
        }
        for name in &request.hold {
            let channel = self.project.channel(name)?;
            holds.retain(|hold| hold.channel != channel.name);
            holds.extend(stops(&visible, channel)?);
        }
        if observer.is_interrupted() {
            return Err(AuthorityError::Interrupted);
        }
        let signed = self.renew(&visible, holds.clone(), time)?;
        let offers: Vec<_> = visible.releases.offers.iter().cloned().collect();
        Ok(Changed {
            expiring: self.expiring(&offers, signed),
            offers,
            holds,
            signed,
        })
    }

    /// The offers whose manifests do not outlive a `now`; one that cannot be read is not judged.
    fn expiring(&self, offers: &[Offer], signed: Signed) -> Vec<(Offer, u64)> {
        let expiring = |offer: &Offer| {
            let expires = self.manifest(&offer.manifest).ok()?.expires;
            (expires < signed.expires).then(|| (offer.clone(), expires))
        };
        offers.iter().filter_map(expiring).collect()
    }
}

/// Holds that stop every offer of a channel.
fn stops(visible: &Visible, channel: &Channel) -> Result<Vec<Hold>, AuthorityError> {
    let holds: Vec<_> = visible
        .releases
        .offers
        .iter()
        .filter(|offer| offer.channel == channel.name)
        .map(|offer| Hold {
            channel: offer.channel.clone(),
            chip: offer.chip,
            seq: offer.seq,
            ppm: Ppm::NONE,
        })
        .collect();
    match holds.is_empty() {
        true => Err(AuthorityError::NoOffer {
            channel: channel.name.clone(),
            chip: None,
        }),
        false => Ok(holds),
    }
}
