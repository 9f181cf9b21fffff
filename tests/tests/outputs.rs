//! What commands read and write: checked first, written whole, kept when they are interrupted, fit for each other.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use image::{ImageFormat, Rgb, RgbImage};
use unclip_tests::{
    Array, Cluster, Run, command_in, gradient, pipe, repository, run_in, scratch, send_signal, wait_for,
};

const QUICK: [&str; 4] = ["--decoder-steps", "2", "--upsampler-steps", "2"];

/// Nobody listens there: who gets as far as asking says so.
const NOWHERE: [&str; 2] = ["--endpoint", "http://127.0.0.1:1"];

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

fn format(bytes: &[u8]) -> ImageFormat {
    image::guess_format(bytes).unwrap()
}

#[test]
fn what_can_not_be_written_is_told_before_anything_is_asked() {
    let folder = scratch();
    let place = folder.path();
    gradient(40, 30).save(place.join("in.png")).unwrap();
    std::fs::write(place.join("old.png"), "old").unwrap();
    std::fs::create_dir(place.join("folder.png")).unwrap();
    let long = "x".repeat(300) + ".png";
    let cases: [(&[&str], &[&str]); 14] = [
        (
            &["--sheet", "s.gif"],
            &["--sheet: s.gif has no ending that names a format; use .png, .jpg or .webp"],
        ),
        (
            &["--sheet", "old.png"],
            &["--sheet: old.png exists; give another name, or allow it with --overwrite"],
        ),
        (&["-o", "old.png"], &["--output: old.png exists"]),
        (&["-o", "in.png/a.png"], &["--output: in.png/a.png can't be written", "ot a directory"]),
        (&["-o", "/proc/none/a.png"], &["--output: /proc/none/a.png can't be written"]),
        (&["-o", "folder.png"], &["--output: folder.png is a folder"]),
        (&["-o", &long], &["can't be written", "too long"]),
        (&["-o", "a.png", "--sheet", "./a.png"], &["--sheet: ./a.png is written by another flag too"]),
        (
            &["-o", "a.png", "-n", "3", "--sheet", "a-2.png"],
            &["--sheet: a-2.png is written by another flag too"],
        ),
        (&["-o", "-", "-n", "2"], &["--output: standard output takes one file, not 2"]),
        (&["-o", "-", "--sheet", "-"], &["by another flag too"]),
        (&["--tensors", "t.bin"], &["--tensors: t.bin has no ending that names a format; use .safetensors"]),
        (&["--receipt", "r.png"], &["--receipt: r.png has no ending"]),
        (&["--previews", "in.png"], &["--previews: in.png is a file"]),
    ];
    for (arguments, texts) in cases {
        let vary = [&["vary", "in.png", "-n", "1"], &NOWHERE[..]].concat();
        let vary = if arguments.contains(&"-n") { [&vary[..2], &NOWHERE].concat() } else { vary };
        let run = run_in(place, "unclip", &[&vary, arguments].concat());
        run.assert_failed(texts);
        assert!(!run.errors.contains("can't be reached") && run.code == Some(1), "{run:?}");
    }
    let all = ["-o", "old.png", "--sheet", "s.gif", "--receipt", "r.png"];
    run_in(place, "unclip", &[&["vary", "in.png"], &NOWHERE[..], &all].concat())
        .assert_failed(&["--sheet: ", "--receipt: "]);
    for command in [
        &["generate", "--prompt", "x", "-o", "old.png"][..],
        &["interpolate", "in.png", "in.png", "--gif", "old.png"],
        &["invert", "in.png", "-o", "old.png"],
        &["invert", "in.png", "--reconstruction", "old.png"],
        &["encode", "--text", "x", "-o", "none.png"],
        &["basis", "in.png", "-o", "folder.png"],
        &["prior", "--prompt", "x", "-o", "old.png"],
    ] {
        let run = run_in(place, "unclip", &[command, &NOWHERE].concat());
        assert!(
            run.code == Some(1) && run.errors.contains("old.png") | run.errors.contains("no ending"),
            "{run:?}"
        );
    }
    assert_eq!(names(place), ["folder.png", "in.png", "old.png"]);
    assert_eq!(read(place, "old.png"), b"old");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_that_was_not_given_up() {
    let cluster = Cluster::shared("tiny").await;
    let (endpoint, folder) = (cluster.gateway.url(), scratch());
    let place = folder.path();
    let draw = |arguments: &[&str]| -> Run {
        let own =
            ["generate", "--endpoint", &endpoint, "--prompt", "- a fox", "--seed", "5", "--prior-steps", "2"];
        let run = run_in(place, "unclip", &[&own[..], &QUICK, arguments].concat());
        run.assert_done();
        run
    };
    draw(&[]);
    let again = draw(&[]);
    assert!(again.out.starts_with("unclip_2.png  32 x 32"), "{}", again.out);
    draw(&["-n", "2"]);
    assert_eq!(names(place), ["unclip-0.png", "unclip-1.png", "unclip.png", "unclip_2.png"]);
    std::fs::write(place.join("unclip.png"), "old").unwrap();
    draw(&["-o", "unclip.png", "--overwrite"]);
    assert_eq!(read(place, "unclip.png"), read(place, "unclip_2.png"));
    // A device is no file to lose.
    draw(&["-o", "/dev/null", "--format", "webp"]);
    draw(&["--format", "jpeg", "--jpeg-quality", "10"]);
    draw(&["-o", "better.jpg", "--jpeg-quality", "100"]);
    assert_eq!(format(&read(place, "unclip.jpg")), ImageFormat::Jpeg);
    assert!(read(place, "unclip.jpg").len() < read(place, "better.jpg").len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_command_writes_the_next_one_reads() {
    let cluster = Cluster::shared("tiny").await;
    let path = cluster.bundle.path();
    let (endpoint, folder) = (cluster.gateway.url(), scratch());
    let place = folder.path();
    gradient(40, 30).save(place.join("in.png")).unwrap();
    let run = |command: &str, arguments: &[&str]| {
        run_in(place, "unclip", &[&[command, "--endpoint", &endpoint], arguments].concat())
    };
    let drawn = |command: &str, arguments: &[&str]| run(command, &[arguments, &QUICK].concat()).assert_done();

    let own = ["--prompt", "a fox", "--prior-steps", "2", "--seed", "7"];
    drawn("generate", &[&own[..], &["-n", "2", "-o", "g.png", "--tensors", "ALL.SAFETENSORS"]].concat());
    run("vary", &["ALL.SAFETENSORS"]).assert_failed(&["it holds 2 of them; choose one with #0 to #1"]);
    run("vary", &["ALL.SAFETENSORS#2"]).assert_failed(&["there is no number 2"]);
    drawn("vary", &["ALL.SAFETENSORS#1", "-n", "1", "-o", "v.png"]);
    // The name says nothing: the content does.
    std::fs::copy(place.join("in.png"), place.join("picture.safetensors")).unwrap();
    drawn("vary", &["picture.safetensors", "-n", "1", "-o", "w.png"]);
    run("basis", &["ALL.SAFETENSORS", "in.png"]).assert_done();

    // The prior alone gives what it gives within a drawing, and a drawing takes it up.
    let alone = ["prior", "--bundle", path.to_str().unwrap(), "--dtype", "f32", "--threads", "1", "-n", "2"];
    run_in(place, "unclip", &[&alone[..], &own].concat()).assert_done();
    run("prior", &own).assert_failed(&["no prior is served there; give the address of `unclip serve`"]);
    let inside = Array::read_all(&place.join("ALL.SAFETENSORS"));
    let alone = Array::read_all(&place.join("prior-1.safetensors"));
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
    assert!(close(inside["image_embedding"].row(1), &alone["image_embedding"].values));
    drawn(
        "generate",
        &["--embedding", "prior-1.safetensors", "--seed", "1", "-o", "e.png", "--tensors", "e.safetensors"],
    );
    let decoded = Array::read_all(&place.join("e.safetensors"));
    assert!(close(&decoded["image_embedding"].values, &alone["image_embedding"].values));
    drawn("generate", &["--embedding", "ALL.SAFETENSORS#0", "--prompt", "a cat", "-o", "c.png"]);
    run("generate", &["--embedding", "in.png"]).assert_failed(&["in.png is no file of latents"]);

    run("encode", &["--text", "- a fox", "-o", "text.safetensors"]).assert_done();
    assert!(Array::read_all(&place.join("text.safetensors")).contains_key("text_embedding"));
    for (command, file) in [("vary", "text.safetensors"), ("classify", "text.safetensors")] {
        run(command, &[file, "--label", "x"][..if command == "vary" { 1 } else { 3 }])
            .assert_failed(&["it is the embedding of a text", "`unclip prior`"]);
    }
    run("invert", &["text.safetensors"])
        .assert_failed(&["text.safetensors holds tensors; a picture is needed"]);
    run("vary", &["https://me:hunter2@example.org/fox.png"])
        .assert_failed(&["is an address", "https://***@example.org"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dash_is_standard_input_and_output() {
    let cluster = Cluster::shared("tiny").await;
    let (endpoint, folder) = (cluster.gateway.url(), scratch());
    let place = folder.path();
    gradient(40, 30).save(place.join("in.png")).unwrap();
    let through = |input: &[u8], arguments: &[&str]| {
        let command = command_in(place, "unclip", &[arguments, &["--endpoint", &endpoint]].concat());
        let (code, output, errors) = pipe(command, input);
        assert_eq!(code, Some(0), "{errors}");
        (output, errors)
    };
    let picture = read(place, "in.png");
    let (latents, words) = through(&picture, &["encode", "--image", "-", "-o", "-"]);
    assert!(words.contains("CLIP space"), "words go to standard error: {words}");
    let (drawn, words) =
        through(&latents, &[&["vary", "-", "-n", "1", "-o", "-", "--seed", "3"], &QUICK[..]].concat());
    assert!(
        format(&drawn) == ImageFormat::Png && words.contains("standard output  32 x 32  seed 3"),
        "{words}"
    );
    let (webp, _) =
        through(&drawn, &[&["vary", "-", "-n", "1", "-o", "-", "--format", "webp"], &QUICK[..]].concat());
    assert_eq!(format(&webp), ImageFormat::WebP);
    let (inverted, _) = through(&picture, &["invert", "-", "--inversion-steps", "2", "-o", "-"]);
    gradient(7, 30).save(place.join("other.png")).unwrap();
    let (basis, _) = through(&inverted, &["basis", "-", "other.png", "-o", "-"]);
    let kept =
        ["reconstruct", "in.png", "--basis", "-", "--components", "0", "-o", "r.png", "--receipt", "-"];
    let (receipt, _) = through(&basis, &[&kept[..], &QUICK].concat());
    let (again, _) = through(&receipt, &["replay", "-", "-o", "-"]);
    assert_eq!(format(&again), ImageFormat::Png);
    let (labels, _) = through(&picture, &["classify", "-", "--label", "- a fox", "--label", "a cat"]);
    assert_eq!(String::from_utf8(labels).unwrap().matches("cosine").count(), 2);
    let command = command_in(place, "unclip", &["interpolate", "-", "-", "--endpoint", &endpoint]);
    let (code, _, errors) = pipe(command, &picture);
    assert!(code == Some(1) && errors.contains("standard input can be read once"), "{errors}");
}

/// Runs a command that can write no file of more than `blocks` times 512 bytes.
fn on_a_small_disk(folder: &Path, blocks: u32, arguments: &[&str]) -> Run {
    let program = unclip_tests::program("unclip");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(program).args(arguments).current_dir(folder).stdin(Stdio::null());
    command.output().unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_nothing_half_written() {
    let cluster = Cluster::shared("tiny").await;
    let (endpoint, folder) = (cluster.gateway.url(), scratch());
    let place = folder.path();
    let own = ["generate", "--endpoint", &endpoint, "--prompt", "a fox", "--prior-steps", "2", "-o", "g.png"];
    let own = [&own[..], &QUICK, &["-n", "16", "--tensors", "all.safetensors"]].concat();
    let run = on_a_small_disk(place, 8, &own);
    run.assert_failed(&["--output: g-0.png can't be written"]);
    assert_eq!(names(place), Vec::<String>::new(), "nothing was drawn");
    // Room for every picture and not for their tensors.
    let run = on_a_small_disk(place, 256, &own);
    run.assert_failed(&["all.safetensors can't be written"]);
    assert_eq!(names(place).len(), 16);
    for name in names(place) {
        assert_eq!(image::open(place.join(&name)).unwrap().width(), 32, "{name}");
    }
    run_in(place, "unclip", &[&own[..], &["-n", "1"]].concat())
        .assert_failed(&["cannot be used multiple times"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_on_disk_when_it_is_finished() {
    let cluster = Cluster::shared("tiny").await;
    let (endpoint, folder) = (cluster.gateway.url(), scratch());
    let place = folder.path();
    let scales: Vec<String> = (0..64).map(|scale| scale.to_string()).collect();
    // One call after the other, each of enough steps to be caught in.
    let own =
        ["generate", "--endpoint", &endpoint, "--prompt", "a fox", "--guidance-sweep", &scales.join(",")];
    let slow = ["--prior-steps", "2", "--decoder-steps", "300", "--upsampler-steps", "2"];
    let files = ["-o", "g.png", "--sheet", "sheet.png", "--receipt", "g.json"];
    let mut command = command_in(place, "unclip", &[&own[..], &slow, &files].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the first picture", async || place.join("g-0.png").exists().then_some(())).await;
    send_signal(child.id(), "INT");
    let status = wait_for("the end", async || child.try_wait().unwrap()).await;
    assert_eq!(status.signal(), Some(2), "a shell sees an interrupted program");
    let names = names(place);
    assert!(names.len() < 128 && !names.contains(&"sheet.png".to_owned()), "{names:?}");
    for name in names {
        match name.strip_suffix(".png") {
            Some(_) => assert_eq!(image::open(place.join(&name)).unwrap().width(), 32, "{name}"),
            None => assert!(name.ends_with(".json") && read(place, &name).ends_with(b"}\n"), "{name}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_leaves_nothing() {
    let folder = scratch();
    let place = folder.path();
    let checkpoint = repository().join("models/emoji").display().to_string();
    let mut command = command_in(place, "unclip", &["import", &checkpoint, "-o", "bundle"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("a folder in the making", async || names(place).first().map(drop)).await;
    send_signal(child.id(), "INT");
    let status = wait_for("the end", async || child.try_wait().unwrap()).await;
    assert_eq!(status.signal(), Some(2));
    // It may have been done already: then it is whole.
    let whole = place.join("bundle/unclip.json").exists();
    assert_eq!(names(place), if whole { vec!["bundle"] } else { vec![] });
}

#[tokio::test(flavor = "multi_thread")]
async fn scales_are_rows_and_previews_are_files() {
    let cluster = Cluster::shared("tiny").await;
    let (endpoint, folder) = (cluster.gateway.url(), scratch());
    let place = folder.path();
    let own = [
        "generate",
        "--endpoint",
        &endpoint,
        "--prompt",
        "a fox",
        "--prior-steps",
        "2",
        "--upsampler-steps",
        "2",
    ];
    let sweep =
        ["--guidance-sweep", "1,2,8", "-n", "2", "--decoder-steps", "4", "-o", "g.png", "--sheet", "s.png"];
    let extras = ["--previews", "steps", "--preview-every", "2", "--receipt", "g.json"];
    let run = run_in(place, "unclip", &[&own[..], &sweep, &extras].concat());
    run.assert_done();
    assert!(run.out.contains("s.png  6 pictures"), "{}", run.out);
    let receipt = |index: u32| -> serde_json::Value {
        serde_json::from_slice(&read(place, &format!("g-{index}.json"))).unwrap()
    };
    let decoder = |index: u32| receipt(index)["stages"][2].clone();
    for (index, scale) in [(0, 1.0), (1, 1.0), (2, 2.0), (5, 8.0)] {
        assert_eq!(decoder(index)["guidance_scale"], scale, "{}", decoder(index));
        assert_eq!(receipt(index)["seed"], receipt(index % 2)["seed"], "a column has one seed");
    }
    let sheet = image::open(place.join("s.png")).unwrap();
    assert!(sheet.height() > sheet.width(), "three rows of two: {} x {}", sheet.width(), sheet.height());
    let previews = names(&place.join("steps"));
    for name in ["g-0-decoder-002.png", "g-5-decoder-002.png"] {
        assert!(previews.contains(&name.to_owned()), "{previews:?}");
        assert_eq!(image::open(place.join("steps").join(name)).unwrap().width(), 16);
    }
    run_in(place, "unclip", &[&own[..], &["--guidance-sweep", "1,2", "--decoder-guidance", "3"]].concat())
        .assert_failed(&["cannot be used with"]);

    let samplers =
        ["--sampler", "ddim", "--eta", "0.5", "--prior-sampler", "ddim", "--upsampler-eta", "0.25"];
    let run = run_in(place, "unclip", &[&own[..], &samplers, &["--receipt", "ddim.json"]].concat());
    run.assert_done();
    let receipt: serde_json::Value = serde_json::from_slice(&read(place, "ddim.json")).unwrap();
    let stages = receipt["stages"].as_array().unwrap();
    for (stage, eta) in [("STAGE_PRIOR", 0.0), ("STAGE_DECODER", 0.5), ("STAGE_UPSAMPLER", 0.25)] {
        let line = stages.iter().find(|line| line["stage"] == stage).unwrap();
        assert_eq!((&line["sampler"], line["eta"].as_f64()), (&"SAMPLER_DDIM".into(), Some(eta)), "{line}");
    }

    let sized = ["-o", "large.webp", "--size", "96x48", "--webp-quality", "30"];
    run_in(place, "unclip", &[&own[..], &sized, &["--decoder-steps", "2"]].concat()).assert_done();
    let large = image::open(place.join("large.webp")).unwrap();
    assert_eq!((large.width(), large.height()), (96, 48));

    // An edit takes all that a drawing takes.
    RgbImage::from_pixel(32, 32, Rgb([9, 8, 7])).save(place.join("in.png")).unwrap();
    image::RgbaImage::new(32, 32).save(place.join("mask.png")).unwrap();
    let edit = [
        "edit",
        "in.png",
        "--endpoint",
        &endpoint,
        "--mask",
        "mask.png",
        "--prompt",
        "a fox",
        "--candidates",
        "2",
    ];
    let edit = [
        &edit[..],
        &["--negative-prompt", "- a cat", "--prior-steps", "2", "-o", "e.jpg", "--jpeg-quality", "50"],
    ]
    .concat();
    run_in(place, "unclip", &[&edit[..], &QUICK, &["--receipt", "e.json"]].concat()).assert_done();
    let receipt: serde_json::Value = serde_json::from_slice(&read(place, "e.json")).unwrap();
    assert_eq!(receipt["negative_prompt"], "- a cat");
    assert_eq!(receipt["candidate_scores"].as_array().unwrap().len(), 2);
}
