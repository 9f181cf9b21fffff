//! A folder of images with captions: `photo.png` beside `photo.txt`, or one `captions.jsonl` or `metadata.jsonl`.
//!
//! A line of the JSONL file is an object: `file_name` and `text`, and if wanted `tags`, a list of words, and `concept`, a
//! name that pictures of the same thing share. The same thing in another folder (another style) may then be held out.

use std::fs;
use std::path::{Component, Path};
use std::sync::Arc;

use serde::Deserialize;

use super::{Art, Meaning, Picture, Source};
use crate::data::DataError;
use crate::data::attribution::Attribution;
use crate::data::store::Style;

/// The captions files that are looked for, in this order. `metadata.jsonl` is the Hugging Face image folder's.
const CAPTION_FILES: [&str; 2] = ["captions.jsonl", "metadata.jsonl"];
/// Image files by extension.
const IMAGES: [&str; 5] = ["png", "jpg", "jpeg", "webp", "svg"];
/// Longest caption, in bytes: several times what CLIP's 77 tokens hold.
const MAX_CAPTION: usize = 2000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    file_name: String,
    text: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    concept: Option<String>,
}

/// Reads a folder.
///
/// # Errors
/// [`DataError::Caption`] naming file and line; [`DataError::Missing`] if there are no images, or none with a caption.
pub fn read_folder(folder: &Path) -> Result<Source, DataError> {
    let missing = |hint| DataError::Missing { path: folder.to_owned(), hint };
    if !folder.is_dir() {
        return Err(missing("name a folder of images"));
    }
    let name = folder.file_name().map_or("images".into(), |name| name.to_string_lossy().into_owned());
    let captions = CAPTION_FILES.iter().map(|file| folder.join(file)).find(|path| path.is_file());
    let (pictures, unmatched) = match captions {
        Some(path) => (read_lines(folder, &name, &path)?, vec![]),
        None => read_text_files(folder, &name)?,
    };
    if pictures.is_empty() {
        return Err(missing("it needs images with captions: photo.png beside photo.txt, or captions.jsonl"));
    }
    let style = Style { name: name.clone(), word: String::new() };
    Ok(Source { style, attribution: Attribution::of_folder(&name), captions: None, pictures, unmatched })
}

fn read_lines(folder: &Path, name: &str, path: &Path) -> Result<Vec<Picture>, DataError> {
    let text = fs::read_to_string(path).map_err(DataError::io(path))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let pictures = lines.map(|(number, line)| {
        let wrong = |reason| DataError::Caption { path: path.to_owned(), line: number + 1, reason };
        read_line(folder, name, line).map_err(wrong)
    });
    pictures.collect()
}

fn read_line(folder: &Path, name: &str, line: &str) -> Result<Picture, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let text = check_caption(&line.text).map_err(|reason| format!("text: {reason}"))?;
    let file = folder.join(inside(&line.file_name)?);
    if !file.is_file() {
        return Err(format!("file_name: {:?} is not in the folder", line.file_name));
    }
    let (key, label) = match line.concept {
        Some(concept) => (concept.clone(), concept),
        None => (format!("{name}/{}", line.file_name), text.clone()),
    };
    let meaning = meaning(key, label, line.tags);
    Ok(Picture {
        key: format!("{name}/{}", line.file_name),
        label: text,
        skin_tone: false,
        meaning: Arc::new(meaning),
        art: Art::File(file),
    })
}

/// A path that stays inside the folder.
fn inside(file: &str) -> Result<&Path, String> {
    let path = Path::new(file);
    let stays = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if stays && !file.is_empty() {
        return Ok(path);
    }
    Err(format!("file_name: {file:?} is not a path inside the folder"))
}

/// Images that have a text file of the same name, and the names of those that have none.
fn read_text_files(folder: &Path, name: &str) -> Result<(Vec<Picture>, Vec<String>), DataError> {
    let entries = fs::read_dir(folder).map_err(DataError::io(folder))?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(DataError::io(folder))?;
    files.retain(|path| is_image(path));
    files.sort();
    let (mut pictures, mut unmatched) = (vec![], vec![]);
    for file in files {
        let file_name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let caption = file.with_extension("txt");
        if !caption.is_file() {
            unmatched.push(file_name);
            continue;
        }
        let label = read_caption(&caption)?;
        let key = format!("{name}/{file_name}");
        let meaning = Arc::new(meaning(key.clone(), label.clone(), vec![]));
        pictures.push(Picture { key, label, skin_tone: false, meaning, art: Art::File(file) });
    }
    Ok((pictures, unmatched))
}

fn read_caption(path: &Path) -> Result<String, DataError> {
    let text = fs::read_to_string(path).map_err(DataError::io(path))?;
    check_caption(&text).map_err(|reason| DataError::Caption { path: path.to_owned(), line: 1, reason })
}

/// A caption on one line; the reason if it is empty or too long.
fn check_caption(text: &str) -> Result<String, String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.len() {
        0 => Err("the caption is empty".into()),
        1..=MAX_CAPTION => Ok(text),
        length => Err(format!("the caption is {length} bytes long, at most {MAX_CAPTION} are allowed")),
    }
}

fn meaning(key: String, label: String, tags: Vec<String>) -> Meaning {
    Meaning { key, label, tags, ..Meaning::default() }
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| IMAGES.contains(&extension.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn text_files_caption_images_of_the_same_name() {
        let folder = folder(&[("b.png", ""), ("b.txt", " two\nwords "), ("a.jpg", ""), ("notes.md", "")]);
        let source = read_folder(folder.path()).unwrap();
        assert_eq!(source.pictures.len(), 1);
        assert_eq!(source.pictures[0].label, "two words");
        assert_eq!(source.unmatched, ["a.jpg"]);
    }

    #[test]
    fn a_bad_line_is_named_with_its_reason() {
        let good = r#"{"file_name": "a.png", "text": "a"}"#;
        for (bad, reason) in [
            (r#"{"file_name": "a.png"}"#, "text"),
            (r#"{"file_name": "a.png", "text": "  "}"#, "empty"),
            (r#"{"file_name": "b.png", "text": "b"}"#, "not in the folder"),
            (r#"{"file_name": "../a.png", "text": "b"}"#, "inside the folder"),
            ("nonsense", "expected"),
        ] {
            let folder = folder(&[("a.png", ""), ("captions.jsonl", &format!("{good}\n\n{bad}\n"))]);
            let error = read_folder(folder.path()).unwrap_err().to_string();
            assert!(error.contains("line 3") && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_concept_is_shared_and_the_caption_kept() {
        let line = r#"{"file_name": "a.png", "text": "a dog in snow", "concept": "dog", "tags": ["pet"]}"#;
        let folder = folder(&[("a.png", ""), ("metadata.jsonl", line)]);
        let picture = &read_folder(folder.path()).unwrap().pictures[0];
        assert_eq!((picture.meaning.key.as_str(), picture.label.as_str()), ("dog", "a dog in snow"));
        assert_eq!(picture.meaning.tags, ["pet"]);
    }

    #[test]
    fn a_folder_without_captions_says_what_it_needs() {
        let error = read_folder(folder(&[("a.png", "")]).path()).unwrap_err().to_string();
        assert!(error.contains("photo.txt"), "{error}");
    }
}
