//! What differs between the two releases, and nothing else.

/// Version in the app descriptor and in every line printed.
#[cfg(not(feature = "release-2"))]
pub(crate) const VERSION: &str = "1.0.0";
/// Version in the app descriptor and in every line printed.
#[cfg(feature = "release-2")]
pub(crate) const VERSION: &str = "2.0.0";

/// Release note, printed at start-up.
#[cfg(not(feature = "release-2"))]
pub(crate) const CHANGES: &str = "first release, blinks once a second";
/// Release note, printed at start-up.
#[cfg(feature = "release-2")]
pub(crate) const CHANGES: &str = "hold BOOT to blink faster";

/// Day of the release: fixed, so that a rebuild gives the same bytes.
#[cfg(not(feature = "release-2"))]
pub(crate) const BUILD_DATE: &str = "2026-11-02";
/// Day of the release: fixed, so that a rebuild gives the same bytes.
#[cfg(feature = "release-2")]
pub(crate) const BUILD_DATE: &str = "2026-11-16";

/// Hour of the release: fixed, so that a rebuild gives the same bytes.
pub(crate) const BUILD_TIME: &str = "12:00:00";

/// Milliseconds between two changes of the LED.
#[cfg(not(feature = "release-2"))]
pub(crate) const fn pause_ms(_button_held: bool) -> u64 {
    500
}

/// Milliseconds between two changes of the LED.
#[cfg(feature = "release-2")]
pub(crate) const fn pause_ms(button_held: bool) -> u64 {
    if button_held { 60 } else { 250 }
}
