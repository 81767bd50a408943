//! Progress bars on standard error, when it is a terminal.

use std::cell::RefCell;
use std::time::Duration;

use espseal_publish::observer::{Observer, Stage};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::interrupt::Interrupt;

/// Shows the stages of the work, and notices Ctrl-C.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: RefCell<ProgressBar>,
    stage: RefCell<Option<Stage>>,
    quiet: bool,
    interrupt: Interrupt,
}

impl Progress {
    /// Starts without a bar; `quiet` never shows one.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            bar: RefCell::new(ProgressBar::hidden()),
            stage: RefCell::new(None),
            quiet,
            interrupt: Interrupt::default(),
        }
    }

    /// Starts to notice Ctrl-C; for verbs that stop between steps.
    pub(crate) fn watch_interrupt(&self) -> &Self {
        self.interrupt.watch();
        self
    }

    /// Removes the bar from the terminal.
    pub(crate) fn clear(&self) {
        self.bar.borrow().finish_and_clear();
    }
}

impl Observer for Progress {
    fn begin(&self, stage: Stage, total: u64) {
        if self.quiet || (total == 0 && *self.stage.borrow() == Some(stage)) {
            return;
        }
        self.clear();
        let (bar, template) = match total {
            0 => (ProgressBar::new_spinner(), "{spinner} {msg}"),
            total => (ProgressBar::new(total), "{bar:30} {pos}/{len} {msg}"),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(stage.describe());
        if total == 0 {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        self.bar.replace(bar);
        self.stage.replace(Some(stage));
    }

    fn advance(&self, steps: u64) {
        self.bar.borrow().inc(steps);
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.is_asked()
    }
}
