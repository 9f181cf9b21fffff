//! `unclip eval` on a bundle of random weights and a judge that hardly saw a picture: every section is there.

use unclip_tests::{Bundle, draw_style, run_in, scratch};

/// The smallest judge.
const JUDGE: &str = r#"
seed = 7
dim = 16
[data]
store = "none"
[picture]
side = 16
stem = 8
channels = [16, 16]
blocks = [1, 1]
groups = 4
[text]
words = 100
width = 16
hidden = 16
[optimisation]
batch = 8
steps = 2
learning_rate = 1e-3
"#;

#[test]
fn every_section_is_measured() {
    let (bundle, folder) = (Bundle::imported("tiny"), scratch());
    let root = folder.path();
    for style in ["one", "two"] {
        draw_style(&root.join(style));
    }
    std::fs::write(root.join("judge.toml"), JUDGE).unwrap();
    let unclip = |arguments: &[&str]| {
        let run = run_in(root, "unclip", arguments);
        assert_eq!(run.code, Some(0), "{run:?}");
    };
    unclip(&["train", "data", "--folder", "one", "--folder", "two", "--side", "32", "--out", "store"]);
    unclip(&[
        "train",
        "judge",
        "--config",
        "judge.toml",
        "--store",
        "store",
        "--run",
        "judge",
        "--device",
        "cpu",
    ]);
    let path = bundle.path();
    let own = ["eval", "--bundle", path.to_str().unwrap(), "--judge", "judge", "--store", "store", "--quick"];
    let rest =
        ["--store-large", "store", "--out", "report", "--device", "cpu", "--dtype", "f32", "--threads", "1"];
    unclip(&[&own[..], &rest].concat());
    let report = std::fs::read_to_string(root.join("report/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let sections = report["sections"].as_array().unwrap();
    assert_eq!(sections.len(), 13, "{report}");
    for section in sections {
        let (rows, sheets) = (section["rows"].as_array().unwrap(), section["sheets"].as_array().unwrap());
        assert!(!rows.is_empty() || !sheets.is_empty(), "{section}");
        for sheet in sheets {
            assert!(image::open(root.join("report").join(sheet.as_str().unwrap())).is_ok(), "{sheet}");
        }
    }
    let text = std::fs::read_to_string(root.join("report/report.md")).unwrap();
    for line in [
        "| R@5, generated / real |",
        "| real held-out, training |",
        "| PSNR, dB, upsampler |",
        "| eta 1, scale 1: distance |",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn a_folder_that_is_no_judge_is_refused() {
    let (bundle, folder) = (Bundle::imported("tiny"), scratch());
    let path = bundle.path();
    let own =
        ["eval", "--bundle", path.to_str().unwrap(), "--judge", ".", "--store", "none", "--out", "report"];
    run_in(folder.path(), "unclip", &own).assert_failed(&["--judge: . is no run of `unclip train judge`"]);
    assert!(!folder.path().join("report").exists());
}
