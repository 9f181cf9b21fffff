//! The commands of the toolbox, as they are typed.

use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use unclip_tests::{Bundle, Cluster, Run, gradient, run_in, scratch};

const QUICK: [&str; 4] = ["--decoder-steps", "2", "--upsampler-steps", "2"];

fn at(folder: &Path, endpoint: &str, command: &str, arguments: &[&str]) -> Run {
    run_in(folder, "unclip", &[&[command, "--endpoint", endpoint], arguments].concat())
}

fn size(path: &Path) -> (u32, u32) {
    let image = image::open(path).unwrap_or_else(|error| unreachable!("{}: {error}", path.display()));
    (image.width(), image.height())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_a_command() {
    let cluster = Cluster::shared("tiny").await;
    let (endpoint, folder) = (cluster.gateway.url(), scratch());
    let place = folder.path();
    gradient(40, 30).save(place.join("in.png")).unwrap();
    let run = |command: &str, arguments: &[&str]| at(place, &endpoint, command, arguments);
    let drawn = |command: &str, arguments: &[&str]| {
        let run = run(command, &[arguments, &QUICK].concat());
        run.assert_done();
        run.out
    };

    run("invert", &["in.png", "--inversion-steps", "2", "--reconstruction", "back.png"]).assert_done();
    assert_eq!(size(&place.join("back.png")), (16, 16));
    drawn("vary", &["latents.safetensors", "-n", "2", "--eta", "0.5", "-o", "v.png", "--sheet", "sheet.png"]);
    assert_eq!(size(&place.join("v-1.png")), (32, 32));
    assert!(size(&place.join("sheet.png")).0 > 2 * 64);

    run("encode", &["--image", "in.png", "-o", "z.safetensors"]).assert_done();
    run("encode", &["--text", "a red fox"]).assert_done();
    run("vary", &["embedding.safetensors"]).assert_failed(&["it is the embedding of a text"]);
    let ends = ["z.safetensors", "text:a cat", "--frames", "3", "-o", "i.webp", "--gif", "i.gif"];
    let out = drawn("interpolate", &ends);
    assert!(out.contains("i.gif  3 frames"), "{out}");
    let gif = std::fs::read(place.join("i.gif")).unwrap();
    assert_eq!(image::guess_format(&gif).unwrap(), ImageFormat::Gif);

    let diff = ["in.png", "--to", "a cat", "--thetas", "0,0.5", "--inversion-steps", "2", "-o", "d.png"];
    drawn("diff", &[&diff[..], &["--gif", "d.gif", "--sheet", "d-sheet.jpg"]].concat());
    assert!(place.join("d-1.png").is_file() && place.join("d-sheet.jpg").is_file());

    let hole = |x: u32| if x < 16 { 255 } else { 0 };
    let canvas = RgbaImage::from_fn(32, 32, |x, y| Rgba([9, u8::try_from(y).unwrap(), 7, hole(x)]));
    canvas.save(place.join("canvas.png")).unwrap();
    drawn(
        "edit",
        &["canvas.png", "--prompt", "a fox", "--prior-steps", "2", "--resample", "1", "-o", "e.png"],
    );
    let edited = image::open(place.join("e.png")).unwrap().into_rgb8();
    assert!(
        edited.enumerate_pixels().all(|(x, y, pixel)| x >= 16 || pixel.0 == [9, u8::try_from(y).unwrap(), 7])
    );

    drawn("mix", &["in.png", "text:a cat", "--weights", "2,1", "-o", "m.png"]);
    assert_eq!(size(&place.join("m.png")), (32, 32));
    std::fs::create_dir(place.join("set")).unwrap();
    for (name, width) in [("set/a.png", 10), ("set/b.png", 50)] {
        gradient(width, 30).save(place.join(name)).unwrap();
    }
    run("basis", &["set", "in.png"]).assert_done();
    let frames = ["in.png", "--basis", "basis.safetensors", "--components", "0,2", "--invert"];
    let frames = [&frames[..], &["--inversion-steps", "2", "-o", "r.png", "--gif", "r.gif"]].concat();
    let out = drawn("reconstruct", &frames);
    assert!(out.contains("r.gif  2 frames"), "{out}");

    let run = run("classify", &["in.png", "--label", "a fox", "--label", "a cat"]);
    run.assert_done();
    assert_eq!(run.out.lines().count(), 2);
}

/// A disc with a stem on white, as an emoji's drawer would.
fn fruit() -> RgbImage {
    RgbImage::from_fn(64, 64, |x, y| {
        let (right, down) = (i64::from(x) - 32, i64::from(y) - 36);
        match right * right + down * down {
            0..=480 => Rgb([221, 46, 68]),
            _ if right.abs() < 3 && (4..16).contains(&y) => Rgb([92, 145, 59]),
            _ => Rgb([255; 3]),
        }
    })
}

#[test]
fn the_shipped_decoder_gives_a_picture_back() {
    let (bundle, folder) = (Bundle::imported("emoji"), scratch());
    fruit().save(folder.path().join("in.png")).unwrap();
    let path = bundle.path();
    let error = |refinements: &str| -> f64 {
        let own =
            ["invert", "in.png", "--bundle", path.to_str().unwrap(), "--dtype", "f32", "--threads", "1"];
        let run = run_in(folder.path(), "unclip", &[&own[..], &["--refinements", refinements]].concat());
        run.assert_done();
        run.out.trim().rsplit(' ').next().unwrap().parse().unwrap()
    };
    let (plain, refined) = (error("0"), error("2"));
    assert!(plain < 0.03 && refined < plain, "{plain}, {refined}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_done_is_told() {
    let cluster = Cluster::shared("tiny").await;
    let (endpoint, folder) = (cluster.gateway.url(), scratch());
    let place = folder.path();
    gradient(40, 30).save(place.join("in.png")).unwrap();
    std::fs::write(place.join("bad.safetensors"), b"nothing").unwrap();
    let run = |command: &str, arguments: &[&str]| at(place, &endpoint, command, arguments);
    run("vary", &["no.png"]).assert_failed(&["no.png can't be read"]);
    run("vary", &["bad.safetensors"])
        .assert_failed(&["bad.safetensors is neither a picture (PNG, JPEG or WebP) nor a file of latents"]);
    run("vary", &["in.png", "-o", "x.gif"]).assert_failed(&["--output: x.gif has no ending"]);
    run("vary", &["in.png", "-n", "99"]).assert_failed(&["n: 99 is out of range, it must be from 1 to 16"]);
    run("interpolate", &["in.png", "text:a", "--frames", "1"]).assert_failed(&["frames: 1 is out of range"]);
    run("diff", &["in.png", "--to", "a", "--thetas", "2"]).assert_failed(&["thetas[0]: 2 is out of range"]);
    run("mix", &["in.png", "--weights", "1,2"]).assert_failed(&["--weights: 2 weights for 1 parts"]);
    run("basis", &["in.png"]).assert_failed(&["embeddings: 1 embeddings, there must be 2"]);
    run("reconstruct", &["in.png", "--basis", "bad.safetensors"])
        .assert_failed(&["bad.safetensors has no basis; `unclip basis` writes one"]);
    run("replay", &["in.png"]).assert_failed(&["in.png is no text"]);
    run("encode", &[]).assert_failed(&["--image", "--text"]);
    assert_eq!(place.read_dir().unwrap().count(), 2, "nothing was written");
}

#[test]
fn a_bundle_is_enough() {
    let (bundle, folder) = (Bundle::imported("tiny"), scratch());
    gradient(40, 30).save(folder.path().join("in.png")).unwrap();
    let path = bundle.path();
    let own =
        ["vary", "in.png", "-n", "1", "--bundle", path.to_str().unwrap(), "--dtype", "f32", "--threads", "1"];
    run_in(folder.path(), "unclip", &[&own[..], &QUICK].concat()).assert_done();
    assert_eq!(size(&folder.path().join("unclip.png")), (32, 32));
}
