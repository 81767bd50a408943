//! The time of day, as the server believes it.
//!
//! It decides only what is offered to unmodified ESP-IDF devices, and dates reports and polls. All
//! deadlines (heads, bodies, stalled downloads, the writer's rhythm) count on the monotonic clock, which
//! does not jump. Agents judge expiry by what is signed and by their own clock, never by this one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// The system's clock, set ahead or back by what a test wants it to have jumped.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Seconds; clones share them, so that the clock of a running server can jump.
    jumped: Arc<AtomicI64>,
}

impl Clock {
    /// Jumps forwards, or back where `seconds` is negative.
    pub fn jump(&self, seconds: i64) {
        let add = |jumped: i64| Some(jumped.saturating_add(seconds));
        // The closure never refuses.
        let _before = self
            .jumped
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Seconds since 1970; 0 for a clock that is set to before that.
    pub(crate) fn seconds(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        since
            .as_secs()
            .saturating_add_signed(self.jumped.load(Ordering::Relaxed))
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(
            self.seconds(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_jumps_for_all_who_hold_it_and_stops_at_1970() {
        let clock = Clock::default();
        let held = clock.clone();
        let before = clock.seconds();
        clock.jump(1_000_000);
        assert!(held.seconds() >= before + 1_000_000);
        clock.jump(i64::MIN);
        assert_eq!(held.seconds(), 0);
        clock.jump(i64::MAX);
        clock.jump(i64::MAX);
        assert!(held.seconds() > i64::MAX as u64);
    }
}
