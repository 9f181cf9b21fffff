//! Sheets of pictures with a line of text under each.

use font8x8::legacy::BASIC_LEGACY;
use image::{Rgb, RgbImage, imageops};

/// Width and height of a letter.
const LETTER: u32 = 8;
const GAP: u32 = 6;
const INK: Rgb<u8> = Rgb([40, 40, 40]);
const PAPER: Rgb<u8> = Rgb([255, 255, 255]);

/// A grid of pictures of one size.
pub struct Sheet {
    columns: u32,
    cell: u32,
    cells: Vec<(RgbImage, String)>,
}

impl Sheet {
    /// A sheet with so many columns; pictures are enlarged by whole factors to about `cell` pixels.
    pub fn new(columns: usize, cell: u32) -> Self {
        let columns = u32::try_from(columns.max(1)).unwrap_or(1);
        Self { columns, cell, cells: Vec::new() }
    }

    /// Adds a picture, `[3, side, side]` in -1 to 1, row-major.
    pub fn push(&mut self, values: &[f32], side: usize, text: &str) {
        let side = u32::try_from(side).unwrap_or_default();
        let plane = values.len() / 3;
        let picture = RgbImage::from_fn(side, side, |x, y| {
            let at = usize::try_from(y * side + x).unwrap_or_default();
            Rgb(std::array::from_fn(|channel| to_byte(values.get(channel * plane + at).copied())))
        });
        let factor = (self.cell / side.max(1)).max(1);
        let picture = imageops::resize(&picture, side * factor, side * factor, imageops::FilterType::Nearest);
        self.cells.push((picture, text.to_owned()));
    }

    /// Draws it.
    pub fn draw(&self) -> RgbImage {
        let width = self.cells.iter().map(|(picture, _)| picture.width()).max().unwrap_or(1) + GAP;
        let height =
            self.cells.iter().map(|(picture, _)| picture.height()).max().unwrap_or(1) + LETTER + 2 * GAP;
        let rows = u32::try_from(self.cells.len()).unwrap_or(1).div_ceil(self.columns).max(1);
        let mut sheet = RgbImage::from_pixel(width * self.columns + GAP, height * rows + GAP, PAPER);
        let places = (0..rows).flat_map(|row| (0..self.columns).map(move |column| (column, row)));
        for (index, ((column, row), (picture, text))) in places.zip(&self.cells).enumerate() {
            let (x, y) = (column * width + GAP, row * height + GAP);
            imageops::replace(&mut sheet, picture, i64::from(x), i64::from(y));
            let room = width * self.without_text(index + 1, column + 1) + picture.width();
            write(&mut sheet, x, y + picture.height() + 2, text, room);
        }
        sheet
    }
}

impl Sheet {
    /// Cells from `index` to the end of the row that leave their place to the text before them.
    fn without_text(&self, index: usize, column: u32) -> u32 {
        let rest = usize::try_from(self.columns.saturating_sub(column)).unwrap_or_default();
        let empty = self.cells.iter().skip(index).take(rest).take_while(|(_, text)| text.is_empty()).count();
        u32::try_from(empty).unwrap_or_default()
    }
}

fn to_byte(value: Option<f32>) -> u8 {
    let value = value.unwrap_or_default().mul_add(127.5, 127.5).round().clamp(0.0, 255.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
    let byte = value as u8;
    byte
}

/// Writes text in 8 by 8 pixel letters, as much as fits into `width`; what is not ASCII becomes a question mark.
pub(super) fn write(picture: &mut RgbImage, x: u32, y: u32, text: &str, width: u32) {
    let room = usize::try_from(width / LETTER).unwrap_or_default();
    for (place, letter) in (0_u32..).zip(text.chars().take(room)) {
        let code = usize::try_from(u32::from(letter)).unwrap_or_default();
        let glyph = BASIC_LEGACY.get(code).or(BASIC_LEGACY.get(63)).copied().unwrap_or_default();
        for (row, bits) in (0_u32..).zip(glyph) {
            for column in (0..LETTER).filter(|column| bits >> column & 1 == 1) {
                if let Some(pixel) = picture.get_pixel_mut_checked(x + place * LETTER + column, y + row) {
                    *pixel = INK;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_lie_side_by_side() {
        let mut sheet = Sheet::new(2, 16);
        for _ in 0..3 {
            sheet.push(&[-1.0; 3 * 64], 8, "a cat with a long name");
        }
        let drawn = sheet.draw();
        assert_eq!(drawn.dimensions(), (2 * 22 + 6, 2 * 36 + 6));
        assert_eq!(drawn.get_pixel(6, 6), &Rgb([0, 0, 0]));
        assert_eq!(drawn.get_pixel(24, 8), &PAPER);
    }
}
