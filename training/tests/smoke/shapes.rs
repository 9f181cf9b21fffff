//! Four synthetic pictures with captions.

use unclip_training::data::Batch;
use unclip_training::run::BatchSource;

/// Squares of four colours on white.
pub(crate) struct Shapes {
    pub(crate) side: usize,
}

const COLOURS: [(&str, [f32; 3]); 4] = [
    ("a red square", [1.0, -1.0, -1.0]),
    ("a green square", [-1.0, 1.0, -1.0]),
    ("a blue square", [-1.0, -1.0, 1.0]),
    ("a black square", [-1.0, -1.0, -1.0]),
];

impl Shapes {
    fn picture(&self, item: usize) -> Vec<f32> {
        let (side, quarter) = (self.side, self.side / 4);
        let inside = |place: usize| (quarter..side - quarter).contains(&place);
        let pixel = |channel: usize, at: usize| match inside(at / side) && inside(at % side) {
            true => COLOURS[item].1[channel],
            false => 1.0,
        };
        (0..3).flat_map(|channel| (0..side * side).map(move |at| pixel(channel, at))).collect()
    }

    fn of(&self, items: Vec<usize>) -> Batch {
        Batch {
            images: items.iter().flat_map(|item| self.picture(*item)).collect(),
            side: self.side,
            captions: items.iter().map(|item| COLOURS[*item].0.to_owned()).collect(),
            items,
            ..Batch::default()
        }
    }
}

impl BatchSource for Shapes {
    fn side(&self) -> usize {
        self.side
    }

    fn len(&self) -> usize {
        COLOURS.len()
    }

    fn batch(&self, seed: u64, step: u64, size: usize) -> Batch {
        let first = usize::try_from((seed ^ step) % 4).unwrap();
        self.of((0..size).map(|row| (first + row) % 4).collect())
    }

    fn plain(&self, limit: usize) -> Batch {
        self.of((0..limit.min(4)).collect())
    }
}
