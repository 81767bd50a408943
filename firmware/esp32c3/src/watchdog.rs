//! The watchdog over a new image: one that hangs before it has confirmed itself is rolled back.
//!
//! esp-hal stops the watchdog that the bootloader leaves running. A reset by this one is a restart
//! like any other: the bootloader finds the entry PENDING and goes back to the image before.

use esp_hal::peripherals::RTC_TIMER;
use esp_hal::rtc_cntl::{Rtc, RwdtStage, RwdtStageAction};
use esp_hal::time::Duration;

/// A running watchdog that nobody feeds.
pub struct Watchdog<'d> {
    rtc: Rtc<'d>,
}

impl<'d> Watchdog<'d> {
    /// Starts it: the chip resets after this time.
    #[must_use]
    pub fn start(timer: RTC_TIMER<'d>, patience: Duration) -> Self {
        let mut rtc = Rtc::new(timer);
        rtc.rwdt.set_timeout(RwdtStage::Stage0, patience);
        rtc.rwdt
            .set_stage_action(RwdtStage::Stage0, RwdtStageAction::ResetSystem);
        rtc.rwdt.enable();
        Self { rtc }
    }

    /// Stops it: the image has proved itself.
    pub fn stop(&mut self) {
        self.rtc.rwdt.disable();
    }
}
