//! Captions: what is drawn, in words that vary as people's do.

use super::colour::Colour;
use super::draws::Draws;
use super::options::Augment;
use super::scene::Scene;
use super::store::ItemRef;

/// Of the captions with label and tags, those that begin with the tags.
const TAGS_FIRST: f32 = 0.3;
/// Tags beside a label, at most.
const MOST_TAGS: usize = 2;
/// Captions with an article.
const ARTICLE: f32 = 0.5;
/// Captions on white that say so. Other backgrounds are always named.
const NAMED_WHITE: f32 = 0.1;
const SIZES: [&str; 3] = ["small", "little", "tiny"];
/// Groups whose members are things one can have one of.
const COUNTABLE: [&str; 6] =
    ["smileys-emotion", "people-body", "animals-nature", "food-drink", "travel-places", "objects"];

/// Groups whose other names are mostly moods and gestures ("grinning", "point right").
const MOODS: [&str; 2] = ["smileys-emotion", "people-body"];
/// Words of labels that are not one thing.
const NOT_ONE: [&str; 6] = ["two", "three", "men", "women", "people", "o'clock"];

/// A caption for `item` shown as `scene`.
pub(super) fn caption(item: ItemRef<'_>, scene: &Scene, augment: &Augment, draws: &mut Draws) -> String {
    let subject = subject(item, scene, augment, draws);
    let mut caption = place(subject, scene, draws);
    if item.entry.cutout
        && (scene.background != Colour::White || draws.chance(NAMED_WHITE * augment.background))
    {
        let word = scene.background.word();
        caption = format!("{caption} on {} background", with_article(word));
    }
    with_style(caption, &item.style.word, augment, draws)
}

/// Label, tag, or both, with colour, size and article.
fn subject(item: ItemRef<'_>, scene: &Scene, augment: &Augment, draws: &mut Draws) -> String {
    let other = draws.chance(augment.names) && !item.entry.skin_tone;
    let name = if other { draws.pick(&item.concept.names) } else { None };
    let with_tags = draws.chance(augment.tags);
    let mut phrase = recolour(name.unwrap_or(&item.entry.label), scene.tint);
    if scene.place.words.is_some() {
        phrase = format!("{} {phrase}", SIZES[draws.below(SIZES.len())]);
    }
    if takes_article(item, name.is_some(), &phrase) && draws.chance(ARTICLE) {
        phrase = with_article(&phrase);
    }
    let tags: Vec<&str> = usable_tags(item, scene).collect();
    if with_tags && name.is_none() { beside(phrase, &tags, draws) } else { phrase }
}

/// The phrase with one or two tags before or after it.
fn beside(phrase: String, tags: &[&str], draws: &mut Draws) -> String {
    let count = draws.between(1, MOST_TAGS).min(tags.len());
    let start = draws.below(tags.len());
    let tags: Vec<&str> = tags.iter().cycle().skip(start).take(count).copied().collect();
    match tags.join(", ") {
        tags if tags.is_empty() => phrase,
        tags if draws.chance(TAGS_FIRST) => format!("{tags}, {phrase}"),
        tags => format!("{phrase}, {tags}"),
    }
}

/// Tags that are still true: a tinted object has lost its colours.
fn usable_tags<'a>(item: ItemRef<'a>, scene: &Scene) -> impl Iterator<Item = &'a str> {
    let tinted = scene.tint.is_some();
    let tags = item.concept.tags.iter().map(String::as_str);
    tags.filter(move |tag| !tinted || tag.split_whitespace().all(|word| Colour::from_word(word).is_none()))
}

/// The phrase with its colour word changed, or one put before it.
fn recolour(phrase: &str, tint: Option<Colour>) -> String {
    let Some(colour) = tint else { return phrase.to_owned() };
    let mut words: Vec<&str> = phrase.split_whitespace().collect();
    let many = words.len() > 1;
    let place = words.iter().position(|word| many && Colour::from_word(word).is_some());
    match place {
        Some(place) => words[place] = colour.word(),
        None => words.insert(0, colour.word()),
    }
    words.join(" ")
}

fn place(subject: String, scene: &Scene, draws: &mut Draws) -> String {
    match scene.place.words {
        None => subject,
        Some(words) if words.contains("middle") && draws.chance(0.5) => subject,
        Some(words) => format!("{subject} {words}"),
    }
}

fn with_style(caption: String, word: &str, augment: &Augment, draws: &mut Draws) -> String {
    if word.is_empty() || !draws.chance(augment.style_word) {
        return caption;
    }
    match draws.below(3) {
        0 => format!("{word} style {caption}"),
        1 => format!("{caption} in {word} style"),
        _ => format!("{caption}, {word} style"),
    }
}

/// Whether "a" can stand before a phrase: not before names, numbers and plurals, nor before moods ("grinning").
fn takes_article(item: ItemRef<'_>, other_name: bool, phrase: &str) -> bool {
    let group = item.concept.group.as_str();
    let countable = COUNTABLE.contains(&group) && !(other_name && MOODS.contains(&group));
    let plural = item.entry.label.ends_with('s') && !item.entry.label.ends_with("ss");
    let many = phrase.split(' ').any(|word| NOT_ONE.contains(&word));
    let name = phrase.chars().any(|letter| letter.is_uppercase() || letter.is_numeric());
    countable && !plural && !many && !name
}

fn with_article(phrase: &str) -> String {
    let vowel = phrase.chars().next().is_some_and(|letter| "aeio".contains(letter.to_ascii_lowercase()));
    format!("{} {phrase}", if vowel { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_words_are_replaced_or_put_first() {
        assert_eq!(recolour("red heart", Some(Colour::Blue)), "blue heart");
        assert_eq!(recolour("cat", Some(Colour::Blue)), "blue cat");
        assert_eq!(recolour("orange", Some(Colour::Blue)), "blue orange");
        assert_eq!(recolour("heart with white border", None), "heart with white border");
    }

    #[test]
    fn articles_fit() {
        assert_eq!(with_article("orange cat"), "an orange cat");
        assert_eq!(with_article("unicorn"), "a unicorn");
        assert_eq!(with_article("blue owl"), "a blue owl");
    }
}
