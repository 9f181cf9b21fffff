//! Contact sheets: pictures in rows with their captions below.

use font8x8::UnicodeFonts;
use image::{Rgb, RgbImage};

/// Side of a letter, in pixels.
const LETTER: u32 = 8;
/// Lines of caption below a picture.
const LINES: u32 = 4;
const GAP: u32 = 4;
const PAPER: Rgb<u8> = Rgb([0xEC, 0xEC, 0xEC]);
const INK: Rgb<u8> = Rgb([0x20, 0x20, 0x20]);

/// A sheet of pictures `[len, 3, side, side]` in -1..=1, enlarged `zoom` times, `columns` in a row. Captions are cut to
/// four lines; letters that the small font lacks are left out.
#[must_use]
pub fn contact_sheet(
    images: &[f32],
    side: usize,
    captions: &[String],
    columns: usize,
    zoom: usize,
) -> RgbImage {
    let columns = columns.max(1);
    let rows = captions.len().div_ceil(columns);
    let [picture, columns_u32, rows] =
        [side * zoom.max(1), columns, rows].map(|n| u32::try_from(n).unwrap_or(0));
    let (width, height) = (picture.max(12 * LETTER) + GAP, picture + LINES * (LETTER + 1) + 2 * GAP);
    let mut sheet = RgbImage::from_pixel(columns_u32 * width + GAP, rows * height + GAP, PAPER);
    let cells = (0..rows).flat_map(|row| (0..columns_u32).map(move |column| (column, row)));
    let pictures = images.chunks_exact((3 * side * side).max(1));
    for (((column, row), image), caption) in cells.zip(pictures).zip(captions) {
        let (left, top) = (GAP + column * width, GAP + row * height);
        paste(&mut sheet, image, side, zoom.max(1), (left, top));
        write(&mut sheet, caption, (left, top + picture + 2), (width - GAP) / LETTER);
    }
    sheet
}

fn paste(sheet: &mut RgbImage, image: &[f32], side: usize, zoom: usize, (left, top): (u32, u32)) {
    let plane = side * side;
    let edge = u32::try_from(side * zoom).unwrap_or(0);
    for (x, y) in (0..edge).flat_map(|y| (0..edge).map(move |x| (x, y))) {
        let at = y as usize / zoom * side + x as usize / zoom;
        let pixel = [0, 1, 2].map(|channel| to_u8(image[channel * plane + at]));
        sheet.put_pixel(left + x, top + y, Rgb(pixel));
    }
}

/// Writes words in lines of `columns` letters.
fn write(sheet: &mut RgbImage, text: &str, (left, top): (u32, u32), columns: u32) {
    let (mut column, mut line) = (0, 0);
    for word in text.split_whitespace() {
        let length = u32::try_from(word.chars().count()).unwrap_or(columns);
        if column > 0 && column + length > columns {
            (column, line) = (0, line + 1);
        }
        for letter in word.chars() {
            if column >= columns {
                (column, line) = (0, line + 1);
            }
            if line >= LINES {
                return;
            }
            write_letter(sheet, letter, (left + column * LETTER, top + line * (LETTER + 1)));
            column += 1;
        }
        column += 1;
    }
}

fn write_letter(sheet: &mut RgbImage, letter: char, (left, top): (u32, u32)) {
    let glyph =
        font8x8::BASIC_FONTS.get(letter).or_else(|| font8x8::LATIN_FONTS.get(letter)).unwrap_or_default();
    for (y, row) in (0..).zip(glyph) {
        for x in (0..LETTER).filter(|x| row >> x & 1 == 1) {
            sheet.put_pixel(left + x, top + y, INK);
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255")]
fn to_u8(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_and_captions_stand_where_they_should() {
        let captions = vec!["a long caption of many words that must be cut somewhere".to_owned(); 5];
        let sheet = contact_sheet(&[-1.0; 5 * 3 * 4], 2, &captions, 2, 8);
        assert_eq!(sheet.get_pixel(GAP, GAP), &Rgb([0, 0, 0]));
        assert_eq!(sheet.get_pixel(0, 0), &PAPER);
        assert!(sheet.pixels().any(|pixel| *pixel == INK));
    }
}
