//! The options that say how input is read; commands that read documents share them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use corpus::TitleUse;
use data::{Format, Mapping, ReadSettings};

/// Which field is what.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Reading")]
pub(crate) struct ReadingArgs {
    /// Format of all files: jsonl, csv, tsv, parquet, arrow, markdown, html, text. Default: by extension.
    #[arg(long)]
    format: Option<Format>,
    /// Field of the id. Default: _id or id, else one is made of file and line.
    #[arg(long, value_name = "FIELD")]
    id_field: Option<String>,
    /// Field of the title. Default: title.
    #[arg(long, value_name = "FIELD")]
    title_field: Option<String>,
    /// Field of the text; several are joined. Dots reach inward: sections.paragraphs. Default: text.
    #[arg(long, value_name = "FIELD")]
    text_field: Vec<String>,
    /// TOML file with id, title, text and metadata, instead of the options that name fields.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id_field", "title_field", "text_field"])]
    mapping: Option<PathBuf>,
}

impl ReadingArgs {
    /// The settings; the options say nothing of metadata.
    pub(crate) fn settings(&self) -> anyhow::Result<ReadSettings> {
        let mapping = match &self.mapping {
            Some(path) => Mapping::open(path)?,
            None => Mapping {
                id: self.id_field.clone(),
                title: self.title_field.clone(),
                text: self.text_field.clone(),
                metadata: None,
            },
        };
        Ok(ReadSettings {
            format: self.format,
            mapping,
            text_lines: false,
        })
    }
}

/// What is done with titles.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Titles {
    Join,
    Ignore,
}

impl From<Titles> for TitleUse {
    fn from(titles: Titles) -> Self {
        match titles {
            Titles::Join => Self::Join,
            Titles::Ignore => Self::Ignore,
        }
    }
}
