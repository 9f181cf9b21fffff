//! Data sets end to end, on drawings of our own in the format of the real packages (`tests/packages`).

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use unclip_training::data::attribution::attribution_text;
use unclip_training::data::build::{BuildReport, build};
use unclip_training::data::source::{Source, add_names, attributions, read_emoji_sets, read_folder};
use unclip_training::data::split::HeldOutTints;
use unclip_training::data::{
    Augment, Colour, DataError, Sampler, Selection, Split, Store, Tints, dominant_colour,
};

const SIDE: u32 = 32;

fn packages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packages")
}

fn sources() -> Vec<Source> {
    read_emoji_sets(&packages(), &["noto".into(), "twemoji".into()]).unwrap()
}

fn built(sources: &[Source]) -> (tempfile::TempDir, PathBuf, BuildReport) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.unclipds");
    let report = build(sources, SIDE, 2, &path, |_| ()).unwrap();
    (folder, path, report)
}

/// Tests share one store; none writes to it.
static STORE: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let (folder, path, _) = built(&sources());
    (folder, path)
});

fn store() -> Arc<Store> {
    Arc::new(Store::open(&STORE.1).unwrap())
}

fn sampler(store: &Arc<Store>, augment: Augment) -> Sampler {
    Sampler::new(store.clone(), &Selection::default(), augment).unwrap()
}

#[test]
fn sets_are_joined_with_their_captions_drawn_and_read_back() {
    let (_folder, path, report) = built(&sources());
    assert_eq!(report.concepts, 9);
    let style = &report.styles[1];
    // The visible icons, one of them turned; without the unknown and the hidden one.
    assert_eq!((style.pictures, style.skin_tones, style.unmatched, style.failed.len()), (11, 2, 1, 0));
    let store = Store::open(&path).unwrap();
    store.verify().unwrap();
    assert_eq!((store.len(), store.side()), (22, 32));
    assert_eq!(store.split(Split::Train).count() + store.split(Split::HeldOut).count(), 22);
    let hand = store.items().find(|item| item.entry.key == "270B-1F3FF").unwrap();
    assert_eq!(hand.entry.label, "raised hand with dark skin tone");
    assert!(
        hand.entry.skin_tone && hand.concept.label == "raised hand" && hand.concept.group == "people-body"
    );
    let flag = store.items().find(|item| item.entry.flag).unwrap();
    assert_eq!((flag.concept.label.as_str(), flag.style.word.as_str()), ("flag of Japan", "noto"));
    let cat = store.items().find(|item| item.concept.label == "cat").unwrap();
    assert_eq!(
        (&cat.concept.names[..], &cat.concept.tags[..]),
        (&["kitty".into(), "cat face".into()][..], &["animal".into(), "pet".into()][..])
    );
    assert_eq!(cat.rgba[3], 0);
    let middle = (16 * 32 + 16) * 4;
    assert_eq!(cat.rgba[middle..middle + 4], [0xF7, 0xB2, 0x3B, 0xFF]);
}

#[test]
fn a_turned_alias_is_drawn_turned() {
    let store = store();
    let find = |label: &str| store.items().find(|item| item.concept.label == label).unwrap().rgba;
    let (hand, turned) = (find("raised hand"), find("backhand right"));
    let mirrored = turned.chunks(32 * 4).flat_map(|row| row.chunks(4).rev());
    // Edges are smoothed to sixteenths of a pixel, and not quite the same on both sides.
    let apart = |one: &[u8], other: &[u8]| u32::from(one[3].abs_diff(other[3]));
    let unlike: u32 = hand.chunks(4).zip(turned.chunks(4)).map(|(one, other)| apart(one, other)).sum();
    let apart: u32 = hand.chunks(4).zip(mirrored).map(|(one, other)| apart(one, other)).sum();
    assert!(apart * 20 < unlike, "{apart} {unlike}");
}

#[test]
fn the_same_sources_make_the_same_file() {
    let (_one, first, _) = built(&sources());
    let (_other, second, _) = built(&sources());
    assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());
}

#[test]
fn every_truncation_and_other_versions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.unclipds");
    let bytes = fs::read(&STORE.1).unwrap();
    let refuse = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Store::open(&path).unwrap_err().to_string()
    };
    for length in (0..bytes.len()).step_by(997).chain([1, 8, 12, 103, 104, 4095, 4096, bytes.len() - 1]) {
        refuse(&bytes[..length]);
    }
    let mut newer = bytes.clone();
    newer[8] = 9;
    assert!(refuse(&newer).contains("version 9"));
    assert!(refuse(&[&bytes[..], b"x"].concat()).contains("bytes long"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_damaged_store_is_an_error_and_never_a_panic(place in any::<prop::sample::Index>(), bit in 0..8u8, late in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.unclipds");
        let mut bytes = fs::read(&STORE.1).unwrap();
        // Half of the damage goes to header and padding, half anywhere.
        let place = place.index(if late { bytes.len() } else { 128 });
        bytes[place] ^= 1 << bit;
        fs::write(&path, &bytes).unwrap();
        match Store::open(&path) {
            Ok(store) if (72..104).contains(&place) || (4096..4096 + 22 * 4096).contains(&place) => {
                prop_assert!(store.verify().is_err());
            }
            Ok(store) => {
                prop_assert!((104..4096).contains(&place), "byte {} went unnoticed", place);
                prop_assert_eq!(store.items().count(), store.len());
            }
            Err(error) => prop_assert!(error.to_string().contains("set.unclipds")),
        }
    }

    #[test]
    fn batches_are_a_function_of_seed_and_step(seed in any::<u64>(), step in 0..u64::MAX / 64) {
        let store = store();
        let sampler = sampler(&store, Augment::default());
        let batch = sampler.batch(seed, step, 6);
        prop_assert_eq!(&batch, &sampler.clone().batch(seed, step, 6));
        prop_assert_eq!(batch.images.len(), 6 * 3 * 32 * 32);
        prop_assert!(batch.images.iter().all(|value| (-1.0..=1.0).contains(value)));
        prop_assert!(batch.captions.iter().all(|caption| !caption.is_empty() && caption.trim() == caption));
        // Batches of another size go through the same draws.
        prop_assert_eq!(&sampler.batch(seed, step * 2, 3).captions[..], &batch.captions[..3]);
    }
}

#[test]
fn training_never_draws_what_is_held_out() {
    let store = store();
    let augment = Augment { tint: 1.0, ..Augment::default() };
    let batch = sampler(&store, augment.clone()).batch(1, 0, 2000);
    let tints = HeldOutTints::new(store.concepts());
    let mut seen = BTreeSet::new();
    for (item, scene) in batch.items.iter().zip(&batch.scenes) {
        let item = store.item(*item).unwrap();
        assert_eq!(item.entry.split, Split::Train);
        assert!(scene.tint.is_none_or(|colour| !tints.contains(colour, item.concept_id)));
        seen.insert((scene.tint, item.concept_id));
    }
    let held_out = sampler(&store, Augment { tints: Tints::HeldOut, ..augment }).batch(1, 0, 500);
    let mut asked = 0;
    for (item, scene) in held_out.items.iter().zip(&held_out.scenes).filter(|(_, scene)| scene.tint.is_some())
    {
        assert!(!seen.contains(&(scene.tint, store.item(*item).unwrap().concept_id)));
        asked += 1;
    }
    assert!(asked > 50, "{asked}");
}

#[test]
fn tints_look_like_their_word_and_keep_the_picture_apart_from_it() {
    let store = store();
    let tints = [Tints::Train, Tints::HeldOut];
    let mut seen = BTreeSet::new();
    for tints in tints {
        let augment = Augment { tint: 1.0, tints, ..Augment::none(0) };
        let batch = sampler(&store, augment).batch(3, 0, 600);
        for ((image, scene), item) in batch.images.chunks(3 * 32 * 32).zip(&batch.scenes).zip(&batch.items) {
            let Some(colour) = scene.tint else { continue };
            let label = &store.item(*item).unwrap().concept.label;
            assert_eq!(dominant_colour(image, scene.background), Some(colour), "{label}");
            seen.insert((colour, label.clone()));
        }
    }
    // Six things that can be tinted, in every colour but that of the background.
    assert_eq!(seen.len(), 6 * 10);
}

#[test]
fn captions_say_what_is_drawn() {
    let store = store();
    let batch = sampler(&store, Augment { tint: 0.5, background: 0.5, place: 0.5, ..Augment::default() })
        .batch(5, 0, 500);
    for ((caption, scene), item) in batch.captions.iter().zip(&batch.scenes).zip(&batch.items) {
        let item = store.item(*item).unwrap();
        if scene.background != Colour::White {
            assert!(caption.contains(&format!("{} background", scene.background.word())), "{caption}");
        }
        if let Some(colour) = scene.tint {
            assert!(caption.contains(colour.word()), "{caption}");
            let heart = item.concept.label.ends_with("heart");
            assert!(
                !heart || !caption.replace(" background", "").contains("red heart") || colour == Colour::Red
            );
        }
        if scene.place.words.is_some() {
            assert!(["small", "little", "tiny"].iter().any(|size| caption.contains(size)), "{caption}");
        }
        let mut named = std::iter::once(&item.entry.label).chain(&item.concept.names);
        let last = |name: &String| caption.contains(name.rsplit(' ').next().unwrap());
        assert!(named.any(last), "{caption}: {}", item.entry.label);
    }
}

#[test]
fn without_variation_a_picture_comes_as_it_is() {
    let store = store();
    let sampler = sampler(&store, Augment::none(0));
    let cat = store.items().find(|item| item.concept.label == "cat").unwrap();
    let batch = sampler.batch_of(0, &[cat.index]);
    assert!(
        batch.captions[0].contains("cat") && batch.captions[0].contains("noto style"),
        "{}",
        batch.captions[0]
    );
    for (at, pixel) in cat.rgba.chunks(4).enumerate() {
        for channel in 0..3 {
            let alpha = f32::from(pixel[3]) / 255.0;
            let over = f32::from(pixel[channel]) / 255.0 * alpha + 1.0 - alpha;
            assert!((batch.images[channel * 1024 + at] - (over * 2.0 - 1.0)).abs() < 1e-5);
        }
    }
}

#[test]
fn weights_hold_and_concepts_can_be_kept_apart() {
    let store = store();
    let augment = Augment { flag_weight: 0.0, skin_tone_weight: 0.5, ..Augment::none(8) };
    let batch = sampler(&store, augment).batch(9, 0, 4000);
    let entries = || batch.items.iter().map(|item| store.item(*item).unwrap());
    assert_eq!(entries().filter(|item| item.entry.flag).count(), 0);
    let hands = |tone| {
        entries().filter(|item| item.concept.label == "raised hand" && item.entry.skin_tone == tone).count()
    };
    let ratio = hands(true) as f64 / hands(false) as f64;
    assert!((0.4..0.6).contains(&ratio), "{ratio}");
    let distinct = Augment { distinct_concepts: true, ..Augment::none(8) };
    let batch = sampler(&store, distinct).batch(9, 0, 8);
    let concepts: BTreeSet<_> =
        batch.items.iter().map(|item| store.item(*item).unwrap().concept_id).collect();
    assert_eq!(concepts.len(), 8);
}

#[test]
fn selections_name_what_is_unknown_and_both_splits_choose_the_same_concepts() {
    let store = store();
    let error = |selection: Selection, augment| {
        Sampler::new(store.clone(), &selection, augment).unwrap_err().to_string()
    };
    let none = Augment::default();
    let unknown = error(Selection { styles: vec!["nota".into()], ..Selection::default() }, none.clone());
    assert!(unknown.contains("nota") && unknown.contains("twemoji"), "{unknown}");
    let wrong = error(Selection::default(), Augment { tint: 1.5, ..none.clone() });
    assert!(wrong.contains("tint is 1.5"), "{wrong}");
    let few = Selection { concepts: 2, groups: vec!["smileys-emotion".into()], ..Selection::default() };
    let sampler = Sampler::new(store.clone(), &few, none).unwrap();
    let labels: BTreeSet<_> =
        sampler.items().iter().map(|item| store.item(*item).unwrap().concept.label.clone()).collect();
    assert!(labels.len() <= 2 && labels.contains("ghost"), "{labels:?}");
}

#[test]
fn a_file_of_things_chooses_concepts_and_slips_are_told() {
    let store = store();
    let folder = tempfile::tempdir().unwrap();
    let things = folder.path().join("things.txt");
    let choose = |text: &str| {
        fs::write(&things, text).unwrap();
        let selection = Selection { things: Some(things.clone()), ..Selection::default() };
        Sampler::new(store.clone(), &selection, Augment::default())
    };
    let sampler = choose("# a remark\ncat\n\n ghost \n").unwrap();
    let labels: BTreeSet<_> =
        sampler.items().iter().map(|item| store.item(*item).unwrap().concept.label.as_str()).collect();
    assert_eq!(labels, BTreeSet::from(["cat", "ghost"]));
    let slip = choose("cat\ngohst\n").unwrap_err().to_string();
    assert!(slip.contains("things.txt") && slip.contains("\"gohst\""), "{slip}");
}

#[test]
fn other_names_of_a_file_stand_in_captions() {
    let folder = tempfile::tempdir().unwrap();
    let names = folder.path().join("names.txt");
    fs::write(&names, "cat: moggy, house cat\nghost: kitty\nunicorn: horned horse\n").unwrap();
    let mut sources = sources();
    assert_eq!(add_names(&mut sources, &names).unwrap(), ["unicorn"]);
    let (_folder, path, _) = built(&sources);
    let store = Arc::new(Store::open(path).unwrap());
    let augment = Augment { names: 1.0, style_word: 0.0, ..Augment::none(0) };
    let batch = sampler(&store, augment).batch(5, 0, 400);
    let mut said = BTreeSet::new();
    for (item, caption) in batch.items.iter().zip(&batch.captions) {
        let bare = caption.trim_start_matches("a ").to_owned();
        said.insert((store.item(*item).unwrap().concept.label.clone(), bare));
    }
    let of = |label: &str| -> Vec<&str> {
        said.iter().filter(|(known, _)| known == label).map(|(_, name)| name.as_str()).collect()
    };
    // "kitty", which the package gives the cat, is the ghost's by the file.
    assert_eq!(of("cat"), ["cat face", "house cat", "moggy"]);
    assert!(of("ghost").contains(&"kitty"), "{said:?}");
}

#[test]
fn pictures_are_not_enlarged() {
    let data = |side| {
        let text = format!("store = {:?}", STORE.1.display().to_string());
        unclip_training::run::open(&toml::from_str(&text).unwrap(), side)
    };
    let refused = data(64).err().unwrap().to_string();
    assert!(refused.contains("its pictures have 32 px, 64 px are asked for"), "{refused}");
    assert_eq!(data(32).unwrap().0.side(), 32);
}

#[test]
fn a_folder_of_images_becomes_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("pets");
    fs::create_dir(&images).unwrap();
    let svg = r##"<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect width="4" height="4" fill="#2f6fe0"/></svg>"##;
    fs::write(images.join("pool.svg"), svg).unwrap();
    fs::write(images.join("broken.png"), "no image").unwrap();
    let lines = r#"{"file_name": "pool.svg", "text": "a pool"}
{"file_name": "broken.png", "text": "nothing"}"#;
    fs::write(images.join("captions.jsonl"), lines).unwrap();
    let (_built, path, report) = built(&[read_folder(&images).unwrap()]);
    assert_eq!((report.styles[0].pictures, report.styles[0].failed.len()), (1, 1));
    assert!(report.styles[0].failed[0].contains("broken.png"));
    let store = Arc::new(Store::open(path).unwrap());
    let batch = sampler(&store, Augment { tint: 1.0, background: 1.0, place: 1.0, ..Augment::default() })
        .batch(0, 0, 4);
    // An opaque picture is left as it is: nothing shows behind it.
    assert!(
        batch.captions.iter().all(|caption| caption.ends_with("a pool") || caption == "pool"),
        "{:?}",
        batch.captions
    );
    assert_eq!(dominant_colour(&batch.images[..3 * 1024], Colour::White), Some(Colour::Blue));
}

#[test]
fn share_alike_sets_are_refused_and_attribution_names_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("@iconify-json/noto");
    fs::create_dir_all(&copy).unwrap();
    std::os::unix::fs::symlink(packages().join("emojibase-data"), folder.path().join("emojibase-data"))
        .unwrap();
    for file in ["icons.json", "chars.json", "package.json"] {
        fs::copy(packages().join("@iconify-json/noto").join(file), copy.join(file)).unwrap();
    }
    let info = fs::read_to_string(packages().join("@iconify-json/noto/info.json")).unwrap();
    fs::write(copy.join("info.json"), info.replace("\"MIT\"", "\"CC-BY-SA-4.0\"")).unwrap();
    let error = read_emoji_sets(folder.path(), &["noto".into()]).unwrap_err();
    assert!(matches!(error, DataError::Licence { .. }), "{error}");
    let sources = sources();
    let text = attribution_text(&attributions(&sources));
    assert!(
        text.contains("[unclip](https://example.com/noto)") && text.contains("@iconify-json/twemoji 1.0.0"),
        "{text}"
    );
}

#[test]
fn a_missing_package_says_how_to_get_it() {
    let error = read_emoji_sets(Path::new("nowhere"), &["noto".into()]).unwrap_err().to_string();
    assert!(error.contains("npm ci"), "{error}");
}
