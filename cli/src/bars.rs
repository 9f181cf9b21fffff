//! A progress bar per stage.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use unclip_proto::v1::{Stage, StageProgress};

use crate::output::stage_name;

const STAGES: [Stage; 4] = [Stage::TextEncoder, Stage::Prior, Stage::Decoder, Stage::Upsampler];

/// The bars of one request. They draw on standard error, and only if that is a terminal.
pub(crate) struct Bars {
    bars: HashMap<Stage, ProgressBar>,
    /// Steps done by picture and stage.
    done: HashMap<(u32, Stage), u64>,
    images: u64,
}

impl Bars {
    /// Bars for so many pictures.
    pub(crate) fn new(images: u32) -> Self {
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:<13} {bar:40} {pos:>4}/{len:<4} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bars = STAGES.map(|stage| {
            // The steps are unknown until the stage starts; with none at all the bar would look full.
            let bar = all.add(ProgressBar::new(1).with_style(style.clone()).with_prefix(stage_name(stage)));
            bar.tick();
            (stage, bar)
        });
        Self { bars: HashMap::from(bars), done: HashMap::new(), images: u64::from(images) }
    }

    /// Moves the bar of the stage that `news` is of. A stage's bar counts the steps of all pictures.
    pub(crate) fn update(&mut self, news: &StageProgress) {
        let (stage, Some(progress)) = (news.stage(), news.progress) else {
            return;
        };
        let Some(bar) = self.bars.get(&stage) else { return };
        self.done.insert((news.image_index, stage), u64::from(progress.step));
        let done = self.done.iter().filter(|((_, of), _)| *of == stage).map(|(_, steps)| steps).sum();
        bar.set_length(u64::from(progress.steps) * self.images);
        bar.set_position(done);
    }

    /// Leaves the bars on the screen as they are.
    pub(crate) fn finish(&self) {
        STAGES.iter().filter_map(|stage| self.bars.get(stage)).for_each(ProgressBar::abandon);
    }
}
