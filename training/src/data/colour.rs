//! Colour words: what they look like, and which one a pixel or a picture looks like.

use serde::{Deserialize, Serialize};

use super::oklab::Lab;

/// A colour that captions name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// #E0282E
    Red,
    /// #F5821F
    Orange,
    /// #FFD22E
    Yellow,
    /// #2FA84F
    Green,
    /// #2F6FE0
    Blue,
    /// #8A3FC7
    Purple,
    /// #F584B8
    Pink,
    /// #8B5A33
    Brown,
    /// #1E1E1E
    Black,
    /// #FFFFFF
    White,
    /// #8C8C8C
    Gray,
}

/// Chroma below which a pixel has no hue to speak of.
const NEUTRAL: f32 = 0.035;
/// Lightness below which a neutral pixel is black, and above which it is white.
const BLACK_BELOW: f32 = 0.42;
const WHITE_ABOVE: f32 = 0.92;
/// How much lightness and chroma count beside hue when colours are compared. Hue counts most: shading changes the
/// others within one object.
const LIGHTNESS: f32 = 1.2;
const CHROMA: f32 = 0.8;
/// Squared distance from the background, per channel of 0 to 255, within which a pixel belongs to it.
const BACKGROUND_WITHIN: i32 = 24 * 24 * 3;
/// A picture has a hue if at least this part of its object has.
const COLOURED: f32 = 0.2;

impl Colour {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Red,
        Self::Orange,
        Self::Yellow,
        Self::Green,
        Self::Blue,
        Self::Purple,
        Self::Pink,
        Self::Brown,
        Self::Black,
        Self::White,
        Self::Gray,
    ];

    /// The word, such as `red`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Orange => "orange",
            Self::Yellow => "yellow",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Purple => "purple",
            Self::Pink => "pink",
            Self::Brown => "brown",
            Self::Black => "black",
            Self::White => "white",
            Self::Gray => "gray",
        }
    }

    /// What it looks like, sRGB.
    #[must_use]
    pub const fn rgb(self) -> [u8; 3] {
        match self {
            Self::Red => [0xE0, 0x28, 0x2E],
            Self::Orange => [0xF5, 0x82, 0x1F],
            Self::Yellow => [0xFF, 0xD2, 0x2E],
            Self::Green => [0x2F, 0xA8, 0x4F],
            Self::Blue => [0x2F, 0x6F, 0xE0],
            Self::Purple => [0x8A, 0x3F, 0xC7],
            Self::Pink => [0xF5, 0x84, 0xB8],
            Self::Brown => [0x8B, 0x5A, 0x33],
            Self::Black => [0x1E, 0x1E, 0x1E],
            Self::White => [0xFF, 0xFF, 0xFF],
            Self::Gray => [0x8C, 0x8C, 0x8C],
        }
    }

    /// The colour that a word names, `grey` and capitals included.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let word = word.to_lowercase();
        let word = if word == "grey" { "gray" } else { &word };
        Self::ALL.into_iter().find(|colour| colour.word() == word)
    }

    /// The colour that a pixel looks most like.
    #[must_use]
    pub fn of_pixel(rgb: [u8; 3]) -> Self {
        let lab = Lab::from_rgb(rgb);
        if lab.chroma() < NEUTRAL {
            return match lab.l {
                l if l < BLACK_BELOW => Self::Black,
                l if l > WHITE_ABOVE => Self::White,
                _ => Self::Gray,
            };
        }
        let hues = Self::ALL.into_iter().filter(|colour| colour.has_hue());
        let nearest = hues.min_by(|one, other| one.distance(lab).total_cmp(&other.distance(lab)));
        nearest.unwrap_or(Self::Gray)
    }

    /// Whether it is none of black, white and gray.
    #[must_use]
    pub const fn has_hue(self) -> bool {
        !matches!(self, Self::Black | Self::White | Self::Gray)
    }

    /// Whether a pixel is as good as this colour, where it is a background's.
    #[must_use]
    pub fn is_near(self, pixel: [u8; 3]) -> bool {
        is_near(pixel, self.rgb())
    }

    fn distance(self, lab: Lab) -> f32 {
        let own = Lab::from_rgb(self.rgb());
        let hue = (lab.hue() - own.hue()).sin().hypot(1.0 - (lab.hue() - own.hue()).cos());
        let lightness = LIGHTNESS * (lab.l - own.l);
        let chroma = CHROMA * (lab.chroma() - own.chroma());
        hue.hypot(lightness).hypot(chroma)
    }
}

/// The colour of the object in a picture `[3, side, side]` of -1..=1 on a plain background: the one that most of its
/// pixels have, those without hue counted only when hardly any has one. `None` if there is only background.
#[must_use]
pub fn dominant_colour(image: &[f32], background: Colour) -> Option<Colour> {
    let plane = image.len() / 3;
    let mut votes = [0usize; Colour::ALL.len()];
    for at in 0..plane {
        let pixel = [to_u8(image[at]), to_u8(image[plane + at]), to_u8(image[2 * plane + at])];
        if !is_near(pixel, background.rgb()) {
            votes[Colour::of_pixel(pixel) as usize] += 1;
        }
    }
    winner(&votes)
}

fn winner(votes: &[usize; Colour::ALL.len()]) -> Option<Colour> {
    let count = |colour: &Colour| votes[*colour as usize];
    let total: usize = votes.iter().sum();
    let hues: usize = Colour::ALL.iter().filter(|colour| colour.has_hue()).map(count).sum();
    let by_hue = hues as f32 >= COLOURED * total as f32;
    let candidates = Colour::ALL.into_iter().filter(|colour| colour.has_hue() == by_hue);
    candidates.max_by_key(count).filter(|_| total > 0)
}

fn is_near(one: [u8; 3], other: [u8; 3]) -> bool {
    let squares = one.iter().zip(other).map(|(one, other)| (i32::from(*one) - i32::from(other)).pow(2));
    squares.sum::<i32>() <= BACKGROUND_WITHIN
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255")]
fn to_u8(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_is_its_own_nearest() {
        for (place, colour) in Colour::ALL.into_iter().enumerate() {
            assert_eq!(colour as usize, place);
            assert_eq!(Colour::of_pixel(colour.rgb()), colour);
            assert_eq!(Colour::from_word(&colour.word().to_uppercase()), Some(colour));
        }
    }

    #[test]
    fn shades_keep_their_name() {
        for (rgb, colour) in [
            ([0x8B, 0, 0], Colour::Red),
            ([0x90, 0xC0, 0xFF], Colour::Blue),
            ([0x55, 0xAC, 0xEE], Colour::Blue),
            ([0x77, 0xB2, 0x55], Colour::Green),
            ([0xFF, 0xCC, 0x4D], Colour::Yellow),
            ([0xDD, 0x2E, 0x44], Colour::Red),
            ([0xAA, 0x8E, 0xD6], Colour::Purple),
            ([0x99, 0x6B, 0x45], Colour::Brown),
            ([0xFF, 0xAC, 0x33], Colour::Orange),
        ] {
            assert_eq!(Colour::of_pixel(rgb), colour, "{rgb:02x?}");
        }
    }

    #[test]
    fn background_alone_has_no_colour() {
        assert_eq!(dominant_colour(&[1.0; 3 * 64], Colour::White), None);
    }
}
