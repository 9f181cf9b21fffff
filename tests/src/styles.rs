//! A data set of rectangles.

use std::path::Path;

/// Concepts of the set.
const THINGS: usize = 40;

/// Writes 40 rectangles of one style, as SVG with captions. Every thing is in every style, so that some are held out.
///
/// # Panics
/// The folder can't be written.
pub fn draw_style(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let mut captions = String::new();
    for thing in 0..THINGS {
        let (width, height) = (2 + thing % 5, 2 + thing / 8);
        let svg = format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect x="1" y="1" width="{width}" height="{height}" fill="#{:x}{:x}8"/></svg>"##,
            thing % 16,
            thing * 3 % 16
        );
        std::fs::write(folder.join(format!("{thing}.svg")), svg).unwrap();
        captions += &format!(
            r#"{{"file_name": "{thing}.svg", "text": "thing {thing}", "concept": "thing {thing}"}}"#
        );
        captions.push('\n');
    }
    std::fs::write(folder.join("captions.jsonl"), captions).unwrap();
}
