//! Reads the documentation of crates out of cargo's registry folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use corpus::{Document, DocumentId, Metadata, Value};
use data::{Located, Place, markdown_text};

/// Exactly the crates that this program is built from.
const LOCK: &str = include_str!("../../../../Cargo.lock");

// What is read of each crate, so that all of them are indexed within a minute or so on two cores.
const README_BYTES_MAX: usize = 6_000;
const MODULE_BYTES_MAX: usize = 3_000;
const MODULES_MAX: usize = 4;
/// A module with less than this says too little to be found by.
const MODULE_BYTES_MIN: usize = 200;

/// What was found.
pub(super) struct Found {
    pub(super) documents: Vec<Located<Document>>,
    pub(super) crates: usize,
}

/// The folders of unpacked crates, one for each registry that cargo used.
pub(super) fn folders() -> anyhow::Result<Vec<PathBuf>> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = set("CARGO_HOME").or_else(|| set("HOME").map(|home| home.join(".cargo")));
    let source = home
        .context("neither CARGO_HOME nor HOME is set")?
        .join("registry")
        .join("src");
    let entries = std::fs::read_dir(&source).map_err(|_| super::registry_missing(&source))?;
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    Ok(folders)
}

/// Reads README and module documentation of every crate of the lock file that lies in one of the folders.
pub(super) fn collect(folders: &[PathBuf]) -> anyhow::Result<Found> {
    let mut found = Found {
        documents: Vec::new(),
        crates: 0,
    };
    for (name, version) in locked()? {
        let place = folders
            .iter()
            .map(|folder| folder.join(format!("{name}-{version}")))
            .find(|path| path.is_dir());
        // Crates of other systems are locked too, and not unpacked.
        let Some(place) = place else { continue };
        found.crates += 1;
        found
            .documents
            .extend(Crate::open(name, version, place).documents());
    }
    match found.documents.is_empty() {
        true => Err(super::registry_missing(
            folders.first().map_or(Path::new("registry"), |path| path),
        )),
        false => Ok(found),
    }
}

/// Name and version of every crate that came from a registry.
fn locked() -> anyhow::Result<Vec<(String, String)>> {
    let lock: toml::Table = LOCK.parse().context("Cargo.lock")?;
    let packages = lock
        .get("package")
        .and_then(toml::Value::as_array)
        .context("Cargo.lock has no packages")?;
    let named = packages
        .iter()
        .filter(|package| package.get("source").is_some())
        .filter_map(|package| {
            let text = |key: &str| Some(package.get(key)?.as_str()?.to_owned());
            Some((text("name")?, text("version")?))
        });
    Ok(named.collect())
}

struct Crate {
    name: String,
    version: String,
    folder: PathBuf,
    /// The `[package]` table of its manifest.
    package: toml::Table,
}

impl Crate {
    fn open(name: String, version: String, folder: PathBuf) -> Self {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let manifest: toml::Table = manifest.parse().unwrap_or_default();
        let package = manifest
            .get("package")
            .and_then(toml::Value::as_table)
            .cloned()
            .unwrap_or_default();
        Self {
            name,
            version,
            folder,
            package,
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.package.get(key).and_then(toml::Value::as_str)
    }

    fn documents(&self) -> Vec<Located<Document>> {
        let readme = self.readme();
        let mut documents = Vec::new();
        for (file, title, text) in self.modules() {
            // Many crates show their README as the documentation of the crate.
            let beginning = text.lines().find(|line| line.len() > 40).unwrap_or(&text);
            if !readme.contains(beginning) {
                documents.extend(self.document(&file, title, text, "module"));
            }
        }
        let description = self.text("description").unwrap_or_default().trim();
        let text = format!("{description}\n\n{readme}");
        let readme_file = self.text("readme").unwrap_or("README.md");
        documents.extend(self.document(readme_file, self.name.clone(), text, "readme"));
        documents
    }

    fn readme(&self) -> String {
        let file = self.folder.join(self.text("readme").unwrap_or("README.md"));
        let text = std::fs::read_to_string(file).unwrap_or_default();
        cut(&markdown_text(&text).1, README_BYTES_MAX).to_owned()
    }

    /// File, title and text of the modules that say something, the crate's own first.
    fn modules(&self) -> Vec<(String, String, String)> {
        let source = self.folder.join("src");
        let mut files: Vec<PathBuf> = walk(&source);
        // The outermost modules are about the most.
        files.sort_by_key(|file| {
            (
                file.components().count(),
                !file.ends_with("src/lib.rs"),
                file.clone(),
            )
        });
        let documented = files.iter().filter_map(|file| {
            let docs = module_docs(&std::fs::read_to_string(file).ok()?);
            let (heading, text) = markdown_text(&docs);
            let text = if text.starts_with(&heading) {
                text
            } else {
                format!("{heading}\n\n{text}")
            };
            let file = file
                .strip_prefix(&self.folder)
                .ok()?
                .to_string_lossy()
                .replace('\\', "/");
            let title = module_path(&self.name, &file);
            (text.len() >= MODULE_BYTES_MIN).then(|| (file, title, cut(&text, MODULE_BYTES_MAX).to_owned()))
        });
        documented.take(MODULES_MAX).collect()
    }

    fn document(&self, file: &str, title: String, text: String, kind: &str) -> Option<Located<Document>> {
        let id = match kind {
            "readme" => format!("{} {}", self.name, self.version),
            _ => format!("{} {} {file}", self.name, self.version),
        };
        let mut metadata = Metadata::new();
        metadata.insert("kind".to_owned(), Value::String(kind.to_owned()));
        metadata.insert("version".to_owned(), Value::String(self.version.clone()));
        if let Some(license) = self.text("license") {
            metadata.insert("license".to_owned(), Value::String(license.to_owned()));
        }
        if text.trim().is_empty() {
            return None;
        }
        let value = Document {
            id: DocumentId::new(id).ok()?,
            title,
            text: text.trim().to_owned(),
            metadata,
        };
        let place = Place::file(&Arc::from(self.folder.join(file)));
        Some(Located { value, place })
    }
}

/// The Rust files of a folder and of the folders in it, two levels deep.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| {
        let read = std::fs::read_dir(folder).into_iter().flatten();
        read.filter_map(|entry| Some(entry.ok()?.path()))
            .collect::<Vec<_>>()
    };
    let mut files = Vec::new();
    for path in entries(folder) {
        match path.is_dir() {
            true => files.extend(entries(&path)),
            false => files.push(path),
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files
}

/// The lines that document the module itself.
fn module_docs(source: &str) -> String {
    let lines = source.lines().map(str::trim_start);
    let docs = lines.filter_map(|line| line.strip_prefix("//!"));
    docs.map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}

/// `src/index/mod.rs` of tantivy is `tantivy::index`.
fn module_path(name: &str, file: &str) -> String {
    let inner = file
        .trim_start_matches("src/")
        .trim_end_matches(".rs")
        .trim_end_matches("/mod");
    match inner {
        "lib" | "mod" => name.to_owned(),
        inner => format!("{name}::{}", inner.replace('/', "::")),
    }
}

/// The beginning of a text, cut between two paragraphs, else between two characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let beginning = &text[..text.floor_char_boundary(bytes_max)];
    let end = beginning.rfind("\n\n").filter(|end| *end > bytes_max / 2);
    &beginning[..end.unwrap_or(beginning.len())]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    #[test]
    fn the_lock_file_names_the_crates_of_this_build() {
        let locked = locked().unwrap();
        assert!(locked.len() > 100);
        assert!(locked.iter().any(|(name, _)| name == "tantivy"));
        assert!(!locked.iter().any(|(name, _)| name == "cloze"));
    }

    #[test]
    fn a_crate_becomes_its_readme_and_its_modules() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("serde-1.0.0");
        std::fs::create_dir_all(root.join("src/ser")).unwrap();
        let put = |file: &str, text: &str| std::fs::write(root.join(file), text).unwrap();
        put(
            "Cargo.toml",
            "[package]\nname = 'serde'\ndescription = 'Reads and writes.'\nlicense = 'MIT'\n",
        );
        put("README.md", "# Serde\n\nA framework.");
        put("src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n");
        put(
            "src/ser/mod.rs",
            &format!("//! Serializing. {}\n\nuse x;\n", "words ".repeat(60)),
        );
        let documents = Crate::open("serde".to_owned(), "1.0.0".to_owned(), root).documents();
        let shown: Vec<_> = documents
            .iter()
            .map(|read| (read.value.id.as_str(), read.value.title.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("serde 1.0.0 src/ser/mod.rs", "serde::ser"),
                ("serde 1.0.0", "serde")
            ]
        );
        assert_eq!(documents[1].value.text, "Reads and writes.\n\nA framework.");
        assert_eq!(
            documents[1].value.metadata["license"],
            Value::String("MIT".to_owned())
        );
    }

    #[test]
    fn texts_are_cut_between_paragraphs() {
        assert_eq!(cut("aaaa\n\nbbbb\n\ncccc", 12), "aaaa\n\nbbbb");
        assert_eq!(cut("ääää", 3), "ä");
        assert_eq!(cut("short", 12), "short");
    }
}
