//! The power supply of a virtual device, and the plan of when it fails.
//!
//! Every operation that changes flash or eFuses asks the supply first. A planned [`PowerCut`] strikes
//! before, inside or after the n-th of them; from then on nothing works until [`Power::restore`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Power supply shared by the flash and the eFuses of one device.
///
/// Clones are handles of the same supply.
#[derive(Clone, Debug, Default)]
pub struct Power(Arc<Mutex<Supply>>);

/// A planned loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerCut {
    /// How many operations complete before the one that is hit, counted from the plan (the first
    /// cut) or from the power-on after the cut before (later ones).
    pub operation: u64,
    /// Where in that operation the power goes.
    pub moment: Moment,
}

/// Where in an operation the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of the operation happens.
    Before,
    /// The operation is torn.
    Inside(Tear),
    /// The operation is complete, and nothing after it happens.
    After,
}

/// What a torn operation leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// So many bytes have their new value; of the next byte, the upper four bits; the rest is old.
    AfterBytes(u32),
    /// Each bit has its old or its new value, drawn from this seed: an erase or a program pulse
    /// works on all cells at once.
    Scattered(u64),
    /// Every bit has its new value but for this one, counted from the lowest of the first byte: the
    /// slowest cell of a pulse that was cut short.
    SlowBit(u32),
}

/// The device is without power until it is switched on again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("power is lost: switch the device on again")]
pub struct PowerLost;

#[derive(Debug, Default)]
struct Supply {
    lost: bool,
    completed: u64,
    countdown: u64,
    cuts: VecDeque<PowerCut>,
}

/// What the supply grants to one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// The operation completes.
    Whole,
    /// The operation completes and then power goes.
    WholeThenLost,
    /// The operation is torn.
    Torn(Tear),
}

impl Power {
    /// Replaces the plan of power cuts; the first one counts from now.
    pub fn plan(&self, cuts: impl IntoIterator<Item = PowerCut>) {
        let mut supply = self.lock();
        supply.cuts = cuts.into_iter().collect();
        supply.countdown = 0;
    }

    /// Number of operations that were begun, since the device was made.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().completed
    }

    /// Whether power has gone.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lock().lost
    }

    /// Whether a planned cut has not struck yet.
    #[must_use]
    pub fn has_cuts_left(&self) -> bool {
        !self.lock().cuts.is_empty()
    }

    /// Switches power on again; the next planned cut counts from now.
    pub fn restore(&self) {
        let mut supply = self.lock();
        if supply.lost {
            supply.lost = false;
            supply.countdown = 0;
        }
    }

    /// Fails when power has gone; reads ask this.
    pub(crate) fn check(&self) -> Result<(), PowerLost> {
        if self.lock().lost {
            Err(PowerLost)
        } else {
            Ok(())
        }
    }

    /// Asks for one operation that changes cells.
    pub(crate) fn operate(&self) -> Result<Grant, PowerLost> {
        let mut supply = self.lock();
        if supply.lost {
            return Err(PowerLost);
        }
        let position = supply.countdown;
        supply.countdown = position.saturating_add(1);
        let moment = match supply.cuts.front() {
            Some(cut) if cut.operation == position => cut.moment,
            _ => {
                supply.completed = supply.completed.saturating_add(1);
                return Ok(Grant::Whole);
            }
        };
        supply.cuts.pop_front();
        supply.lost = true;
        if moment == Moment::Before {
            return Err(PowerLost);
        }
        supply.completed = supply.completed.saturating_add(1);
        Ok(match moment {
            Moment::Inside(tear) => Grant::Torn(tear),
            Moment::Before | Moment::After => Grant::WholeThenLost,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Supply> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tear {
    /// Replaces in `new`, the complete result of an operation on `old`, what did not come to pass.
    pub(crate) fn apply(self, old: &[u8], new: &mut [u8]) {
        match self {
            Self::AfterBytes(count) => {
                let done = usize::try_from(count).unwrap_or(usize::MAX);
                let rest = new.iter_mut().zip(old).skip(done);
                for (index, (new, old)) in rest.enumerate() {
                    let kept = if index == 0 { 0x0F } else { 0xFF };
                    *new = (*new & !kept) | (*old & kept);
                }
            }
            Self::SlowBit(bit) => {
                let cell = usize::try_from(bit / 8).unwrap_or(usize::MAX);
                let mask = 1_u8 << (bit % 8);
                if let (Some(new), Some(old)) = (new.get_mut(cell), old.get(cell)) {
                    *new = (*new & !mask) | (*old & mask);
                }
            }
            Self::Scattered(seed) => {
                let mut state = seed;
                for (new, old) in new.iter_mut().zip(old) {
                    let [mask, ..] = split_mix(&mut state).to_le_bytes();
                    *new = (*new & mask) | (*old & !mask);
                }
            }
        }
    }
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014): reproducible tears, no cryptography.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(operation: u64, moment: Moment) -> PowerCut {
        PowerCut { operation, moment }
    }

    #[test]
    fn a_cut_before_an_operation_lets_nothing_of_it_happen() {
        let power = Power::default();
        power.plan([cut(1, Moment::Before)]);
        assert_eq!(power.operate(), Ok(Grant::Whole));
        assert_eq!(power.operate(), Err(PowerLost));
        assert_eq!(power.operations(), 1);
        assert_eq!(power.check(), Err(PowerLost));
        power.restore();
        assert_eq!(power.operate(), Ok(Grant::Whole));
    }

    #[test]
    fn the_second_cut_counts_from_the_power_on_after_the_first() {
        let power = Power::default();
        power.plan([cut(0, Moment::After), cut(1, Moment::Before)]);
        assert_eq!(power.operate(), Ok(Grant::WholeThenLost));
        assert_eq!(power.operate(), Err(PowerLost));
        power.restore();
        assert_eq!(power.operate(), Ok(Grant::Whole));
        assert_eq!(power.operate(), Err(PowerLost));
        assert!(!power.has_cuts_left());
    }

    #[test]
    fn a_torn_operation_stops_within_a_byte() {
        let old = [0xFF; 4];
        let mut new = [0x11; 4];
        Tear::AfterBytes(1).apply(&old, &mut new);
        assert_eq!(new, [0x11, 0x1F, 0xFF, 0xFF]);
    }

    #[test]
    fn a_slow_bit_is_the_only_one_that_keeps_its_value() {
        let old = [0xFF; 3];
        let mut new = [0; 3];
        Tear::SlowBit(9).apply(&old, &mut new);
        assert_eq!(new, [0, 2, 0]);
    }

    #[test]
    fn scattered_tears_mix_only_old_and_new_bits_and_repeat_with_their_seed() {
        let old = [0b1111_0000; 64];
        let complete = [0b1100_1100; 64];
        let mut torn = complete;
        Tear::Scattered(7).apply(&old, &mut torn);
        let mut again = complete;
        Tear::Scattered(7).apply(&old, &mut again);
        assert_eq!(torn, again);
        assert!(torn != old && torn != complete);
        assert!(torn.iter().all(|byte| byte & 0b1100_0011 == 0b1100_0000));
    }
}
