//! Tokenizer and text tower against transformers 5.23.0 (torch 2.11.0, tokenizers 0.23.3).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is the report")]

mod common;

use common::{FIXTURES, Goldens, TOLERANCE, difference, fixture, imported};
use unclip_clip::{ClipTokenizer, TextEncoding, TextTower};

fn texts(name: &str) -> Vec<String> {
    let path = fixture(name).join("goldens/text.json");
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    serde_json::from_value(json["texts"].clone()).unwrap()
}

fn encode(tower: &mut TextTower, texts: &[String]) -> Vec<TextEncoding> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    tower.encode(&texts).unwrap()
}

#[test]
fn token_ids_and_masks_are_those_of_transformers() {
    for name in FIXTURES {
        let copy = common::copied(name);
        let tokenizer = ClipTokenizer::load(&copy.bundle).unwrap();
        let goldens = Goldens::read(name, "text.safetensors");
        let ids = goldens.i64s("input_ids");
        let masks = goldens.i64s("attention_mask");
        let texts = texts(name);
        assert_eq!(goldens.shape("input_ids"), [texts.len(), tokenizer.tokens()]);
        let rows = ids.chunks_exact(tokenizer.tokens()).zip(masks.chunks_exact(tokenizer.tokens()));
        for (text, (ids, mask)) in texts.iter().zip(rows) {
            let found = tokenizer.encode(text).unwrap();
            assert_eq!(found.ids, ids, "{name}: {text:?}");
            assert_eq!(found.mask, mask.iter().map(|bit| *bit == 1).collect::<Vec<_>>(), "{name}: {text:?}");
        }
    }
}

#[test]
fn a_text_is_truncated_only_beyond_the_limit_and_keeps_its_end_token() {
    for name in FIXTURES {
        let copy = common::copied(name);
        let tokenizer = ClipTokenizer::load(&copy.bundle).unwrap();
        let room = tokenizer.tokens() - 2;
        for words in [0, 1, room - 1, room, room + 1, room * 100] {
            let found = tokenizer.encode(&vec!["7"; words].join(" ")).unwrap();
            assert_eq!(found.truncated, words > room, "{name}: {words} words");
            let live = words.min(room) + 2;
            assert_eq!(found.mask.iter().filter(|live| **live).count(), live);
            assert_eq!(found.ids[live - 1], i64::from(tokenizer.end_id()));
            assert_eq!(found.ids.len(), tokenizer.tokens());
        }
    }
}

#[test]
fn hostile_texts_are_encoded() {
    let copy = common::copied("tiny");
    let tokenizer = ClipTokenizer::load(&copy.bundle).unwrap();
    let control: String = (0..0x20).map(|code| char::from_u32(code).unwrap()).collect();
    let long =
        ["a".repeat(100_000), "<|endoftext|>".repeat(10_000), "\u{301}".repeat(50_000), "🦊".repeat(25_000)];
    for text in long.iter().chain([&control, &"\u{202e}\u{feff}\u{fffd}\u{10ffff}".to_owned()]) {
        assert_eq!(tokenizer.encode(text).unwrap().ids.len(), tokenizer.tokens());
    }
}

#[test]
fn embeddings_and_hidden_states_are_those_of_transformers() {
    for name in FIXTURES {
        let copy = imported(name);
        let mut tower = TextTower::load(&copy.bundle, 1).unwrap();
        let goldens = Goldens::read(name, "text.safetensors");
        let found = encode(&mut tower, &texts(name));
        assert_eq!(goldens.shape("text_embeds"), [found.len(), tower.embedding_dim()]);
        assert_eq!(goldens.shape("last_hidden_state"), [found.len(), tower.tokens(), tower.hidden_size()]);
        let embeddings: Vec<f32> = found.iter().flat_map(|text| text.embedding.clone()).collect();
        let states: Vec<f32> = found.iter().flat_map(|text| text.hidden_states.clone()).collect();
        assert!(difference(&embeddings, &goldens.f32s("text_embeds")) < TOLERANCE, "{name}");
        assert!(difference(&states, &goldens.f32s("last_hidden_state")) < TOLERANCE, "{name}");
    }
}

#[test]
fn a_result_does_not_depend_on_its_neighbours() {
    let copy = imported("varied");
    let mut tower = TextTower::load(&copy.bundle, 2).unwrap();
    // More texts than one run of the network takes.
    let texts: Vec<String> = (0..40).map(|number| format!("{number} cats on the moon")).collect();
    let together = encode(&mut tower, &texts);
    assert_eq!(together.len(), texts.len());
    for (text, together) in texts.iter().zip(together) {
        let alone = tower.encode(&[text]).unwrap().remove(0);
        assert_eq!(alone.ids, together.ids);
        assert!(difference(&alone.embedding, &together.embedding) < 1e-5);
        assert!(difference(&alone.hidden_states, &together.hidden_states) < 1e-5);
    }
    assert!(tower.encode(&[]).unwrap().is_empty());
}

#[test]
fn padding_and_truncation_inside_tokenizer_json_do_not_count() {
    let copy = common::copied("varied");
    let plain = ClipTokenizer::load(&copy.bundle).unwrap();
    let path = copy.folder.path().join("tokenizer/tokenizer.json");
    let mut json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    json["truncation"] =
        serde_json::json!({"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0});
    json["padding"] = serde_json::json!({
        "strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": null, "pad_id": 3, "pad_type_id": 0, "pad_token": "$"
    });
    std::fs::write(&path, json.to_string()).unwrap();
    let carrying = ClipTokenizer::load(&copy.bundle).unwrap();
    for text in texts("varied") {
        assert_eq!(plain.encode(&text).unwrap(), carrying.encode(&text).unwrap());
    }
}
