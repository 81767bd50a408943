//! Ctrl-C and termination: noticed between steps, where stopping leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the user asked to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts to notice Ctrl-C. A second one ends the process at once: every file is written
    /// whole or not at all, so that is safe too, only less tidy.
    pub(crate) fn watch(&self) {
        let flag = Arc::clone(&self.0);
        // Fails when a handler is there already; then that one ends the process.
        let _ = ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        });
    }

    /// Whether the user asked to stop.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
