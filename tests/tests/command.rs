//! `unclip generate`, as it is typed.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::path::Path;

use unclip_tests::{Array, Bundle, Cluster, Run, assert_close, run_in, scratch};

/// Few steps.
const QUICK: [&str; 6] = ["--prior-steps", "2", "--decoder-steps", "2", "--upsampler-steps", "2"];

/// Draws in this process.
fn generate(folder: &Path, bundle: &Bundle, arguments: &[&str]) -> Run {
    let path = bundle.path();
    let own = ["generate", "--bundle", path.to_str().unwrap(), "--dtype", "f32", "--threads", "1"];
    run_in(folder, "unclip", &[&own[..], &QUICK, &["--prompt", "a red fox"], arguments].concat())
}

fn size(path: &Path) -> (u32, u32) {
    let image = image::open(path).unwrap_or_else(|error| unreachable!("{}: {error}", path.display()));
    (image.width(), image.height())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_picture_is_written_and_its_making_is_told() {
    let (bundle, folder) = (Bundle::imported("tiny"), scratch());
    let run = generate(folder.path(), &bundle, &["--seed", "5"]);
    run.assert_done();
    assert_eq!(names(folder.path()), ["unclip.png"]);
    assert_eq!(size(&folder.path().join("unclip.png")), (32, 32));
    for text in
        ["unclip.png  32 x 32  seed 5", "prior", "2 steps, guidance 4", "2 steps, guidance 8", "upsampler"]
    {
        assert!(run.out.contains(text), "{}\nshould contain\n{text}", run.out);
    }
    // A seed that was not given is told, and with it the picture comes again.
    let run = generate(folder.path(), &bundle, &["-o", "a.png"]);
    run.assert_done();
    let seed = run.out.lines().next().unwrap().rsplit_once(' ').unwrap().1;
    generate(folder.path(), &bundle, &["-o", "b.png", "--seed", seed]).assert_done();
    assert_eq!(read(&folder.path().join("a.png")), read(&folder.path().join("b.png")));
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn several_pictures_are_numbered_and_the_ending_is_the_format() {
    let (bundle, folder) = (Bundle::imported("tiny"), scratch());
    generate(folder.path(), &bundle, &["--seed", "1", "-n", "3", "-o", "new/folder/fox.png"]).assert_done();
    assert_eq!(names(&folder.path().join("new/folder")), ["fox-0.png", "fox-1.png", "fox-2.png"]);
    for (ending, magic) in [("jpg", &b"\xff\xd8\xff"[..]), ("webp", b"RIFF")] {
        let name = format!("one.{ending}");
        generate(folder.path(), &bundle, &["--seed", "2", "-o", &name]).assert_done();
        assert!(read(&folder.path().join(&name)).starts_with(magic), "{ending}");
        assert_eq!(size(&folder.path().join(&name)), (32, 32));
    }
}

#[test]
fn tensors_are_f32_and_batch_first() {
    let (bundle, folder) = (Bundle::imported("tiny"), scratch());
    generate(folder.path(), &bundle, &["-n", "2", "--seed", "3", "--tensors", "all.safetensors"])
        .assert_done();
    let tensors = Array::read_all(&folder.path().join("all.safetensors"));
    let mut shapes: Vec<_> = tensors.iter().map(|(name, array)| (name.as_str(), &array.shape[..])).collect();
    shapes.sort_unstable();
    let expected: [(&str, &[usize]); 5] = [
        ("decoded", &[2, 3, 16, 16]),
        ("image", &[2, 3, 32, 32]),
        ("image_embedding", &[2, 32]),
        ("text_embedding", &[2, 32]),
        ("text_hidden_states", &[2, 77, 32]),
    ];
    assert_eq!(shapes, expected);
    assert!(tensors["image"].values.iter().all(|value| (0.0..=1.0).contains(value)));
    assert!(tensors["decoded"].values.iter().all(|value| (-1.0..=1.0).contains(value)));
    // PNG holds the second picture, not the first.
    let image = image::open(folder.path().join("unclip-1.png")).unwrap().into_rgb8();
    let red: Vec<f32> = image.pixels().map(|pixel| f32::from(pixel.0[0]) / 255.0).collect();
    assert_close("red", &red, &tensors["image"].row(1)[..32 * 32], 0.5 / 255.0 + 1e-6);
}

#[test]
fn a_caption_alone_is_drawn_without_prior_and_embedding() {
    let (bundle, folder) = (Bundle::imported("tiny"), scratch());
    let run =
        generate(folder.path(), &bundle, &["--prior-mode", "caption-only", "--tensors", "all.safetensors"]);
    run.assert_done();
    assert!(!run.out.contains("prior"), "{}", run.out);
    let tensors = Array::read_all(&folder.path().join("all.safetensors"));
    assert!(tensors.contains_key("decoded") && !tensors.contains_key("image_embedding"));
}

#[tokio::test]
async fn an_endpoint_draws_the_same_bytes_every_time() {
    let (cluster, folder) = (Cluster::shared("tiny").await, scratch());
    let url = cluster.gateway.url();
    for name in ["a.png", "b.png"] {
        let own = ["generate", "--endpoint", &url, "--prompt", "a red fox", "--seed", "5", "-o", name];
        run_in(folder.path(), "unclip", &[&own[..], &QUICK].concat()).assert_done();
    }
    assert_eq!(read(&folder.path().join("a.png")), read(&folder.path().join("b.png")));
}

#[test]
fn bad_flags_are_refused_by_name() {
    let (bundle, folder) = (Bundle::imported("tiny"), scratch());
    let cases: [(&[&str], &[&str]); 10] = [
        (
            &["-o", "fox.gif"],
            &["--output: fox.gif has no ending that names a format; use .png, .jpg or .webp"],
        ),
        (&["-n", "0"], &["n: 0 is out of range, it must be from 1 to 16"]),
        (&["-n", "99"], &["n: 99 is out of range, it must be from 1 to 16"]),
        (&["--candidates", "9"], &["candidates: 9 is out of range, it must be from 1 to 8"]),
        (&["--prior-guidance", "nan"], &["prior.guidance_scale: NaN is out of range"]),
        (&["--seed", "x"], &["invalid value 'x' for '--seed <N>'"]),
        (&["--prior-mode", "none"], &["invalid value 'none' for '--prior-mode <MODE>'", "text-embedding"]),
        (
            &["--prior-mode", "text-embedding", "--candidates", "2"],
            &["candidates: 2 candidates, but no prior"],
        ),
        (&["--device", "tpu"], &["tpu", "cpu"]),
        (&["--endpoint", "http://127.0.0.1:1"], &["--bundle", "--endpoint", "cannot be used"]),
    ];
    for (arguments, expected) in cases {
        generate(folder.path(), &bundle, arguments).assert_failed(expected);
    }
    assert_eq!(names(folder.path()), Vec::<String>::new(), "nothing is written");
    let path = bundle.path();
    let half = [
        "generate",
        "--bundle",
        path.to_str().unwrap(),
        "--device",
        "cpu",
        "--dtype",
        "f16",
        "--prompt",
        "x",
    ];
    run_in(folder.path(), "unclip", &half).assert_failed(&["f16", "bf16", "f32"]);
    let nowhere = ["generate", "--endpoint", "127.0.0.1:1", "--prompt", "x"];
    run_in(folder.path(), "unclip", &nowhere).assert_failed(&["http://127.0.0.1:1 can't be reached"]);
    let closed = ["generate", "--endpoint", "http://127.0.0.1:1", "--prompt", "x"];
    run_in(folder.path(), "unclip", &closed).assert_failed(&["http://127.0.0.1:1 can't be reached"]);
    run_in(folder.path(), "unclip", &["generate", "--prompt", "x"])
        .assert_failed(&["--bundle", "--endpoint"]);
}
