//! A progress bar per stage.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use unclip_proto::v1::{Stage, StageProgress};

use crate::output::stage_name;

/// The bars of one request, in the order in which its stages start. They draw on standard error, and only if that is a
/// terminal.
pub(crate) struct Bars {
    all: MultiProgress,
    bars: HashMap<Stage, ProgressBar>,
    /// Steps done by picture and stage.
    done: HashMap<(u32, Stage), u64>,
    images: u64,
}

impl Bars {
    /// Bars for so many pictures.
    pub(crate) fn new(images: usize) -> Self {
        Self { all: MultiProgress::new(), bars: HashMap::new(), done: HashMap::new(), images: images as u64 }
    }

    /// Moves the bar of the stage that `news` is of. A stage's bar counts the steps of all pictures.
    pub(crate) fn update(&mut self, news: &StageProgress) {
        let (stage, Some(progress)) = (news.stage(), news.progress) else {
            return;
        };
        self.done.insert((news.image_index, stage), u64::from(progress.step));
        let own = || self.done.iter().filter(|((_, of), _)| *of == stage).map(|(_, steps)| *steps);
        // How many pictures a request inverts shows when they are at it.
        let pictures = if stage == Stage::Inversion { own().count() as u64 } else { self.images };
        let (length, position) = (u64::from(progress.steps) * pictures, own().sum());
        let bar = self.bars.entry(stage).or_insert_with(|| self.all.add(bar(stage)));
        bar.set_length(length);
        bar.set_position(position);
    }

    /// Prints something above the bars.
    pub(crate) fn beside(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }

    /// Leaves the bars on the screen as they are.
    pub(crate) fn finish(&self) {
        self.bars.values().for_each(ProgressBar::abandon);
    }
}

fn bar(stage: Stage) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:<13} {bar:40} {pos:>4}/{len:<4} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(1).with_style(style).with_prefix(stage_name(stage))
}
