//! Who made the pictures: the licence check, and the ATTRIBUTION file that goes wherever they or a model of them go.

use std::fmt::Write;

use super::DataError;

/// Licences whose terms an ATTRIBUTION file fulfils. Share-alike licences are not among them: they would bind a model.
pub const LICENCES: [&str; 4] = ["Apache-2.0", "CC-BY-4.0", "CC0-1.0", "MIT"];

/// Where one set comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribution {
    /// The set's short name.
    pub set: String,
    /// Its full name, with a version if it has one.
    pub title: String,
    /// The package and version that it was read from; empty for a folder.
    pub package: String,
    /// Who made it.
    pub author: String,
    /// Where they publish it.
    pub author_url: String,
    /// SPDX name of the licence.
    pub licence: String,
    /// The licence's text.
    pub licence_url: String,
}

impl Attribution {
    /// The entry for a folder of someone's own images.
    #[must_use]
    pub fn of_folder(name: &str) -> Self {
        Self {
            set: name.to_owned(),
            title: name.to_owned(),
            package: String::new(),
            author: "whoever made the store".to_owned(),
            author_url: String::new(),
            licence: "not stated".to_owned(),
            licence_url: String::new(),
        }
    }

    /// Whether pictures under this licence may be taken.
    ///
    /// # Errors
    /// [`DataError::Licence`] if it is not one of [`LICENCES`].
    pub fn check(&self) -> Result<(), DataError> {
        if LICENCES.contains(&self.licence.as_str()) {
            return Ok(());
        }
        Err(DataError::Licence {
            set: self.set.clone(),
            licence: self.licence.clone(),
            allowed: LICENCES.join(", "),
        })
    }
}

/// The ATTRIBUTION file, in Markdown.
#[must_use]
pub fn attribution_text(sources: &[&Attribution]) -> String {
    let mut text = String::from(
        "# Attribution\n\n\
         The pictures and captions of this data set, and the models trained on it, come from these sets. They were changed:\n\
         drawn as pixels, and for training scaled, moved, recoloured and put on coloured backgrounds.\n\n\
         | set | by | licence | read from |\n|---|---|---|---|\n",
    );
    for source in sources {
        let by = link(&source.author, &source.author_url);
        let licence = link(&source.licence, &source.licence_url);
        let package = if source.package.is_empty() { "a folder" } else { &source.package };
        let _ = writeln!(text, "| {} | {by} | {licence} | {package} |", source.title);
    }
    text
}

fn link(text: &str, url: &str) -> String {
    if url.is_empty() { text.to_owned() } else { format!("[{text}]({url})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_alike_is_refused() {
        let mut set = Attribution::of_folder("openmoji");
        set.licence = "CC-BY-SA-4.0".into();
        let error = set.check().unwrap_err().to_string();
        assert!(error.contains("openmoji") && error.contains("CC-BY-SA-4.0"), "{error}");
        set.licence = "CC-BY-4.0".into();
        set.check().unwrap();
    }

    #[test]
    fn the_text_names_set_author_licence_and_package() {
        let set = Attribution {
            package: "@iconify-json/noto 1.2.9".into(),
            licence: "Apache-2.0".into(),
            author: "Google Inc".into(),
            ..Attribution::of_folder("Noto")
        };
        let text = attribution_text(&[&set]);
        for part in ["Noto", "Google Inc", "Apache-2.0", "1.2.9"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
