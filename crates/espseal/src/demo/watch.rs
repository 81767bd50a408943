//! Progress of the demo, and what an agent did during one update.

use std::collections::BTreeSet;

use espseal_agent::observer::{Event, Observer};
use espseal_format::units::ChunkIndex;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bars: one for the whole demo, one for the update that runs.
pub(crate) struct Bars {
    all: MultiProgress,
    scenes: ProgressBar,
}

impl Bars {
    /// Shows the bars on a terminal; nowhere with `quiet`.
    pub(crate) fn new(scenes: u64, quiet: bool) -> Self {
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let all = MultiProgress::with_draw_target(target);
        let bar = all.add(ProgressBar::new(scenes));
        bar.set_style(style("{bar:30.green} {pos:>2}/{len} {msg}"));
        Self { all, scenes: bar }
    }

    /// Says what is played now.
    pub(crate) fn announce(&self, title: &'static str) {
        self.scenes.set_message(title);
        self.scenes.tick();
    }

    /// One scene is done.
    pub(crate) fn finish_scene(&self) {
        self.scenes.inc(1);
    }

    /// Watches one update.
    pub(crate) fn watch(&self) -> Watch {
        let bar = self.all.add(ProgressBar::new(0));
        bar.set_style(style("{bar:30} {pos}/{len} chunks {msg}"));
        Watch {
            bar,
            counts: Counts::default(),
            fetched: BTreeSet::new(),
        }
    }

    /// Clears the terminal.
    pub(crate) fn clear(&self) {
        self.scenes.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Counts what one update does.
pub(crate) struct Watch {
    bar: ProgressBar,
    pub counts: Counts,
    /// The chunks that came over the network.
    pub fetched: BTreeSet<ChunkIndex>,
}

/// What one update did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Chunks of the body.
    pub chunks: u32,
    /// Chunks that came over the network.
    pub fetched: u32,
    /// Chunks that stood in flash already.
    pub skipped: u32,
    /// Sectors erased or rewritten.
    pub changed: u32,
}

impl Observer for Watch {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Staging { chunks, .. } => {
                self.counts.chunks = *chunks;
                self.bar.set_length(u64::from(*chunks));
            }
            Event::Fetched { chunk } => {
                self.fetched.insert(*chunk);
                self.counts.fetched += 1;
                self.bar.inc(1);
            }
            Event::Skipped { .. } => {
                self.counts.skipped += 1;
                self.bar.inc(1);
            }
            Event::Erased { .. } | Event::Written { .. } => self.counts.changed += 1,
            _ => {}
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
