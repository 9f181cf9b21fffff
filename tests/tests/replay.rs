//! `unclip replay`: what a command drew comes again from its receipt.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::path::Path;

use image::{Rgba, RgbaImage};
use serde_json::Value;
use unclip_tests::{CPU, Cluster, Run, gradient, run_in, scratch};

const QUICK: [&str; 4] = ["--decoder-steps", "2", "--upsampler-steps", "2"];

fn at(folder: &Path, endpoint: &str, command: &str, arguments: &[&str]) -> Run {
    run_in(folder, "unclip", &[&[command, "--endpoint", endpoint], arguments].concat())
}

/// At most one level of 255 apart.
fn assert_same_pictures(folder: &Path, one: &str, other: &str) {
    let read = |name: &str| image::open(folder.join(name)).unwrap().into_rgb8();
    let (found, expected) = (read(one), read(other));
    assert_eq!(found.dimensions(), expected.dimensions());
    let near = found.as_raw().iter().zip(expected.as_raw()).all(|(a, b)| a.abs_diff(*b) <= 1);
    assert!(near, "{one} and {other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_enough() {
    // Stages of its own, and one picture at a time: rows that share a pass round in other ways.
    let cluster = Cluster::start("tiny", &CPU).await;
    let (endpoint, folder) = (cluster.gateway.url(), scratch());
    let place = folder.path();
    gradient(40, 30).save(place.join("in.png")).unwrap();
    let draw = |command: &str, arguments: &[&str]| {
        at(place, &endpoint, command, &[arguments, &QUICK, &["--seed", "5"]].concat()).assert_done();
    };
    let replay = |receipt: &str| {
        let run = at(place, &endpoint, "replay", &[receipt, "-o", "again.png", "--overwrite"]);
        run.assert_done();
        assert!(!run.out.contains("not the same picture"), "{}", run.out);
    };

    let prompt = ["--prompt", "a red fox", "--negative-prompt", "a cat", "--prior-steps", "2"];
    let two = ["--candidates", "2", "-o", "g.png", "--receipt", "g.json"];
    draw("generate", &[&prompt[..], &two].concat());
    replay("g.json");
    assert_same_pictures(place, "again.png", "g.png");

    let modes = ["--prompt", "a fox", "--prior-mode", "caption-only", "-o", "c.png", "--receipt", "c.json"];
    draw("generate", &modes);
    replay("c.json");
    assert_same_pictures(place, "again.png", "c.png");

    draw("vary", &["in.png", "-n", "1", "--eta", "0.5", "-o", "v.png", "--receipt", "v.json"]);
    replay("v.json");
    assert_same_pictures(place, "again.png", "v.png");

    let frame = ["in.png", "--to", "a cat", "--thetas", "0.5", "--inversion-steps", "2"];
    draw("diff", &[&frame[..], &["-o", "d.png", "--receipt", "d.json"]].concat());
    replay("d.json");
    assert_same_pictures(place, "again.png", "d.png");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_comes_again_from_its_own_files() {
    let cluster = Cluster::start("tiny", &CPU).await;
    let (endpoint, folder) = (cluster.gateway.url(), scratch());
    let place = folder.path();
    let canvas =
        |edge: u32| RgbaImage::from_fn(32, 32, |x, _| Rgba([9, 8, 7, if x < edge { 255 } else { 0 }]));
    canvas(32).save(place.join("in.png")).unwrap();
    canvas(16).save(place.join("mask.png")).unwrap();
    canvas(15).save(place.join("other.png")).unwrap();
    let run = |command: &str, arguments: &[&str]| at(place, &endpoint, command, arguments);
    let edit = ["in.png", "--mask", "mask.png", "--prompt", "a fox", "--prior-steps", "2", "--resample", "1"];
    run("edit", &[&edit[..], &QUICK, &["-o", "e.png", "--receipt", "e.json"]].concat()).assert_done();

    let files = ["e.json", "-o", "again.png", "--image", "in.png", "--mask"];
    run("replay", &[&files[..], &["mask.png"]].concat()).assert_done();
    assert_same_pictures(place, "again.png", "e.png");
    run("replay", &[&files[..], &["other.png"]].concat())
        .assert_failed(&["--mask: other.png has the BLAKE3 hash", "the receipt's file"]);
    run("replay", &["e.json"]).assert_failed(&["--image: the receipt is of an edit; give the file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_draws_another_picture_is_told() {
    let cluster = Cluster::shared("tiny").await;
    let (endpoint, folder) = (cluster.gateway.url(), scratch());
    let place = folder.path();
    let run = |command: &str, arguments: &[&str]| at(place, &endpoint, command, arguments);
    let drawn = ["--prompt", "a fox", "--prior-steps", "2", "--receipt", "r.json"];
    run("generate", &[&drawn[..], &QUICK].concat()).assert_done();
    let spoil = |change: fn(&mut Value)| {
        let mut receipt: Value =
            serde_json::from_slice(&std::fs::read(place.join("r.json")).unwrap()).unwrap();
        change(&mut receipt);
        std::fs::write(place.join("spoiled.json"), receipt.to_string()).unwrap();
        run("replay", &["spoiled.json"])
    };
    let other = spoil(|receipt| receipt["stages"][2]["model_fingerprint"] = "another".into());
    other.assert_done();
    assert!(other.out.contains("not the same picture: the decoder's model is"), "{}", other.out);
    spoil(|receipt| receipt["stages"] = Value::Array(vec![]))
        .assert_failed(&["receipt.stages: no line of STAGE_DECODER"]);
    spoil(|receipt| receipt["sead"] = 1.into()).assert_failed(&["spoiled.json is no receipt", "sead"]);
    spoil(|receipt| receipt["stages"][2]["steps"] = 0.into()).assert_failed(&["decoder.steps: 0 is out of"]);
}
