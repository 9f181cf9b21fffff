//! Icon sets of the npm packages `@iconify-json/*`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::json;
use crate::data::DataError;
use crate::data::attribution::Attribution;

/// The side of an icon whose set gives none, from the Iconify JSON format.
const DEFAULT_SIDE: f32 = 16.0;
/// How many aliases may follow one another.
const MAX_ALIASES: usize = 8;

/// One set: its icons, their names and hexcodes.
#[derive(Debug)]
pub struct IconSet {
    /// The package's name without scope, such as `noto`.
    pub name: String,
    /// Who made it, under which licence.
    pub attribution: Attribution,
    /// Hexcode to icon name; empty where the set has none.
    pub hexcodes: BTreeMap<String, String>,
    icons: Icons,
}

#[derive(Debug, Deserialize)]
struct Icons {
    width: Option<f32>,
    height: Option<f32>,
    icons: BTreeMap<String, Icon>,
    #[serde(default)]
    aliases: BTreeMap<String, Alias>,
}

#[derive(Debug, Deserialize)]
struct Icon {
    body: String,
    left: Option<f32>,
    top: Option<f32>,
    width: Option<f32>,
    height: Option<f32>,
    #[serde(default)]
    hidden: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alias {
    parent: String,
    #[serde(default)]
    h_flip: bool,
    #[serde(default)]
    v_flip: bool,
    #[serde(default)]
    rotate: u8,
    #[serde(default)]
    hidden: bool,
}

#[derive(Debug, Deserialize)]
struct Info {
    name: String,
    version: Option<String>,
    author: Author,
    license: License,
}

#[derive(Debug, Deserialize)]
struct Author {
    name: String,
    #[serde(default)]
    url: String,
}

#[derive(Debug, Deserialize)]
struct License {
    title: String,
    #[serde(default)]
    spdx: String,
    #[serde(default)]
    url: String,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
}

impl IconSet {
    /// Reads the package in `folder`. Its licence is checked before its pictures are read.
    ///
    /// # Errors
    /// [`DataError::Licence`] if a model may not be trained on it and given away;
    /// [`DataError::Missing`] or [`DataError::Malformed`] naming the file.
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        let attribution = attribution(folder)?;
        attribution.check()?;
        Ok(Self {
            name: attribution.set.clone(),
            attribution,
            hexcodes: read_hexcodes(folder)?,
            icons: json::read(&folder.join("icons.json"))?,
        })
    }

    /// The names of the visible icons, and of those that are visible icons turned around.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let icons = self.icons.icons.iter().filter(|(_, icon)| !icon.hidden).map(|(name, _)| name);
        let turned = self.icons.aliases.iter().filter(|(_, alias)| !alias.hidden && alias.turns());
        icons.chain(turned.map(|(name, _)| name)).map(String::as_str)
    }

    /// The other names of the icon `name`.
    pub fn other_names<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let aliases = self.icons.aliases.iter();
        aliases
            .filter(move |(_, alias)| alias.parent == name && !alias.turns())
            .map(|(name, _)| name.as_str())
    }

    /// The icon `name` as an SVG document; `None` if there is none, or its aliases go in circles.
    #[must_use]
    pub fn svg(&self, name: &str) -> Option<String> {
        let mut turns = Vec::new();
        let mut name = name;
        for _ in 0..MAX_ALIASES {
            if let Some(icon) = self.icons.icons.get(name) {
                return Some(self.document(icon, &turns));
            }
            let alias = self.icons.aliases.get(name)?;
            turns.push(alias);
            name = &alias.parent;
        }
        None
    }

    fn document(&self, icon: &Icon, turns: &[&Alias]) -> String {
        let width = icon.width.or(self.icons.width).unwrap_or(DEFAULT_SIDE);
        let height = icon.height.or(self.icons.height).unwrap_or(DEFAULT_SIDE);
        let (left, top) = (icon.left.unwrap_or(0.0), icon.top.unwrap_or(0.0));
        let centre = (left + width / 2.0, top + height / 2.0);
        let body = turns.iter().rev().fold(icon.body.clone(), |body, alias| alias.turn(&body, centre));
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" height="{height}" viewBox="{left} {top} {width} {height}">{body}</svg>"#
        )
    }
}

impl Alias {
    fn turns(&self) -> bool {
        self.h_flip || self.v_flip || !self.rotate.is_multiple_of(4)
    }

    /// `body` turned about `centre`.
    fn turn(&self, body: &str, (x, y): (f32, f32)) -> String {
        let across = if self.h_flip { -1 } else { 1 };
        let down = if self.v_flip { -1 } else { 1 };
        let angle = u32::from(self.rotate % 4) * 90;
        format!(
            r#"<g transform="translate({x} {y}) rotate({angle}) scale({across} {down}) translate(-{x} -{y})">{body}</g>"#
        )
    }
}

/// The hexcodes of the package in `folder`: `chars.json`, empty where a set has none.
pub(super) fn read_hexcodes(folder: &Path) -> Result<BTreeMap<String, String>, DataError> {
    json::read(&folder.join("chars.json"))
}

fn attribution(folder: &Path) -> Result<Attribution, DataError> {
    let info: Info = json::read(&folder.join("info.json"))?;
    let package: Package = json::read(&folder.join("package.json"))?;
    let spdx = if info.license.spdx.is_empty() { info.license.title } else { info.license.spdx };
    Ok(Attribution {
        set: package.name.rsplit('/').next().unwrap_or(&package.name).to_owned(),
        title: info.version.map_or(info.name.clone(), |version| format!("{} {version}", info.name)),
        package: format!("{} {}", package.name, package.version),
        author: info.author.name,
        author_url: info.author.url,
        licence: spdx,
        licence_url: info.license.url,
    })
}
