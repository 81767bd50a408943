//! Which devices an offer is for, while it is not yet for all.
//!
//! A device draws a bucket from the offer's salt and its own id. Raising the share under the same
//! salt only adds devices, so cohorts nest and staged work survives.
//!
//! Source: `docs/protocol.md`, "Cohort".

use core::fmt;

use crate::sha256::Sha256;

use crate::units::DeviceId;

/// Draws the cohorts of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Salt(pub [u8; 16]);

/// A share of a fleet in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ppm(u32);

impl Ppm {
    /// No device.
    pub const NONE: Self = Self(0);
    /// Every device.
    pub const ALL: Self = Self(1_000_000);

    /// Checks a share; `None` above a million.
    #[must_use]
    pub const fn new(millionths: u32) -> Option<Self> {
        if millionths <= Self::ALL.0 {
            Some(Self(millionths))
        } else {
            None
        }
    }

    /// Returns the share in millionths.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Ppm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ppm", self.0)
    }
}

/// Whether an offer is for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It is.
    Inside,
    /// It is not, or not yet.
    Outside,
}

/// Returns the bucket of a device: the big-endian number in the first four bytes of
/// `SHA-256("espseal/v1/cohort\0" || salt || device id)`.
#[must_use]
pub fn bucket(salt: &Salt, device: &DeviceId) -> u32 {
    let [a, b, c, d, ..] = Sha256::of(&[b"espseal/v1/cohort\0", &salt.0, &device.0]).0;
    u32::from_be_bytes([a, b, c, d])
}

/// Decides whether a device belongs to the cohort of `ppm`.
#[must_use]
pub fn includes(salt: &Salt, device: &DeviceId, ppm: Ppm) -> Membership {
    // bucket / 2^32 < ppm / 10^6, without division; both products are below 2^53.
    let drawn = u64::from(bucket(salt, device)).saturating_mul(1_000_000);
    if drawn < u64::from(ppm.0) << 32 {
        Membership::Inside
    } else {
        Membership::Outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt([0x5A; 16]);

    fn devices() -> impl Iterator<Item = DeviceId> {
        (0_u16..2000).map(|n| {
            let mut id = [0; 32];
            id[..2].copy_from_slice(&n.to_be_bytes());
            DeviceId(id)
        })
    }

    #[test]
    fn nobody_is_in_the_empty_cohort_and_everybody_in_the_full_one() {
        for device in devices() {
            assert_eq!(includes(&SALT, &device, Ppm::NONE), Membership::Outside);
            assert_eq!(includes(&SALT, &device, Ppm::ALL), Membership::Inside);
        }
    }

    #[test]
    fn widening_keeps_every_member() {
        for device in devices() {
            let mut before = Membership::Outside;
            for share in (0..=1_000_000).step_by(50_000) {
                let now = includes(&SALT, &device, Ppm::new(share).unwrap());
                if before == Membership::Inside {
                    assert_eq!(now, Membership::Inside);
                }
                before = now;
            }
        }
    }

    #[test]
    fn a_tenth_of_the_fleet_is_about_a_tenth() {
        let tenth = Ppm::new(100_000).unwrap();
        let inside = devices().filter(|d| includes(&SALT, d, tenth) == Membership::Inside);
        assert!((150..250).contains(&inside.count()));
    }

    #[test]
    fn shares_above_a_million_are_refused() {
        assert_eq!(Ppm::new(1_000_000), Some(Ppm::ALL));
        assert_eq!(Ppm::new(1_000_001), None);
    }
}
