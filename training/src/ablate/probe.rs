//! A labelled set that judges frozen encoders.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use encoder::SentenceEncoder;
use text::Tokenizer;
use trainer::teach;

use super::linear::Classifier;
use super::recipe::Probe;
use super::results::ProbeResult;

/// A probe with its rows in memory.
pub(super) struct Examples {
    probe: Probe,
    train: Vec<Row>,
    test: Vec<Row>,
    /// The classes of the training rows, sorted.
    classes: Vec<String>,
}

/// A line of a file: its class, and one text or two.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    class: String,
    texts: Vec<String>,
}

impl Examples {
    /// Reads the files of a probe.
    ///
    /// # Errors
    /// A file that is missing, not UTF-8 or empty, a column that it does not have, training rows of one class only.
    pub(super) fn read(probe: &Probe) -> Result<Self> {
        let mut train = read(&probe.train, probe)?;
        train.truncate(probe.train_rows.unwrap_or(usize::MAX));
        let mut classes: Vec<String> = train.iter().map(|row| row.class.clone()).collect();
        classes.sort_unstable();
        classes.dedup();
        if classes.len() < 2 {
            bail!(
                "probe {}: the rows taken from {} have the class {classes:?} only",
                probe.name,
                probe.train.display()
            );
        }
        Ok(Self {
            test: read(&probe.test, probe)?,
            probe: probe.clone(),
            train,
            classes,
        })
    }

    /// Fits a linear classifier on the model's states of the training rows, and says which test rows it gets right.
    ///
    /// # Errors
    /// When the model refuses a text.
    pub(super) fn judge(&self, model: &SentenceEncoder, tokenizer: &Tokenizer) -> Result<ProbeResult> {
        let class = |row: &Row| self.classes.binary_search(&row.class).ok();
        let labels: Vec<usize> = self.train.iter().filter_map(class).collect();
        let features = self.features(&self.train, model, tokenizer)?;
        let classifier = Classifier::fit(&features, &labels, self.classes.len());
        let features = self.features(&self.test, model, tokenizer)?;
        let is_right = |(row, features): (&Row, &Vec<f32>)| class(row) == Some(classifier.predict(features));
        let right = self.test.iter().zip(&features).map(is_right);
        Ok(ProbeResult {
            name: self.probe.name.clone(),
            right: right.map(|right| if right { '1' } else { '0' }).collect(),
        })
    }

    /// A text's mean state; of a pair the distances and products of the two.
    fn features(
        &self,
        rows: &[Row],
        model: &SentenceEncoder,
        tokenizer: &Tokenizer,
    ) -> Result<Vec<Vec<f32>>> {
        let texts: Vec<&str> = rows
            .iter()
            .flat_map(|row| row.texts.iter().map(String::as_str))
            .collect();
        let states = teach::by_model(model, tokenizer, &texts, self.probe.tokens)?;
        Ok(match self.probe.texts.len() {
            1 => states,
            _ => states
                .chunks_exact(2)
                .map(|pair| joined(&pair[0], &pair[1]))
                .collect(),
        })
    }
}

fn joined(a: &[f32], b: &[f32]) -> Vec<f32> {
    let distances = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    distances.chain(a.iter().zip(b).map(|(a, b)| a * b)).collect()
}

fn read(path: &Path, probe: &Probe) -> Result<Vec<Row>> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| name.to_string())?;
    let mut lines = text.lines().enumerate();
    let columns: Vec<&str> = lines
        .next()
        .map(|(_, line)| line.split('\t').collect())
        .unwrap_or_default();
    let place = |column: &String| {
        let found = columns.iter().position(|name| name == column);
        found.with_context(|| format!("{name} has no column {column:?}, only {columns:?}"))
    };
    let label = place(&probe.label)?;
    let texts = probe.texts.iter().map(place).collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    for (number, line) in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        if fields.len() != columns.len() {
            let number = number + 1;
            bail!(
                "{name}, line {number}: {} columns, expected {}",
                fields.len(),
                columns.len()
            );
        }
        rows.push(Row {
            class: fields[label].to_owned(),
            texts: texts.iter().map(|&at| fields[at].to_owned()).collect(),
        });
    }
    match rows.is_empty() {
        false => Ok(rows),
        true => bail!("{name} has no rows"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;

    fn examples(train: &str, test: &str, texts: &[&str]) -> Result<Examples> {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        Examples::read(&Probe {
            name: "p".into(),
            train: file("train.tsv", train),
            test: file("test.tsv", test),
            label: "label".into(),
            texts: texts.iter().map(|&text| text.to_owned()).collect(),
            train_rows: None,
            tokens: 16,
        })
    }

    #[test]
    fn columns_are_found_by_name_and_classes_sorted() {
        let read = examples(
            "b\tlabel\ta\nx\t1\ty\nz\t0\tw\n",
            "label\ta\tb\n1\tq\tr\n",
            &["a", "b"],
        )
        .unwrap();
        assert_eq!(read.classes, ["0", "1"]);
        assert_eq!(read.train[0].texts, ["y", "x"]);
        assert_eq!(
            (read.test[0].class.as_str(), read.test[0].texts[1].as_str()),
            ("1", "r")
        );
    }

    #[test]
    fn bad_files_are_refused_by_name() {
        let good = "label\ta\n1\tx\n0\ty\n";
        let message = |train: &str, test: &str| format!("{:#}", examples(train, test, &["a"]).err().unwrap());
        assert!(message("label\tb\n", good).contains("no column \"a\""));
        assert!(message(good, "label\ta\n1\n").contains("test.tsv, line 2: 1 columns, expected 2"));
        assert!(message(good, "label\ta\n").contains("no rows"));
        assert!(message("label\ta\n1\tx\n", good).contains("the class [\"1\"] only"));
    }

    /// A fresh encoder tells texts of other words apart, and what it does is no accident of the order of rows.
    #[test]
    fn a_probe_learns_what_the_states_show() {
        let lines = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f".replace(' ', "\n");
        let tokenizer = Tokenizer::from_files(|name| (name == "vocab.txt").then_some(&lines)).unwrap();
        let config = encoder::Config {
            vocab_size: 11,
            hidden_size: 16,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            intermediate_size: 32,
            max_position_embeddings: 16,
            ..encoder::Config::tiny()
        };
        let parameters = encoder::Parameters::fresh(1, &encoder::Device::Cpu);
        let model =
            SentenceEncoder::fresh(&parameters, &config, encoder::Pooling::Mean, None, false).unwrap();
        let text = |n: usize| {
            let words = if n.is_multiple_of(2) {
                ["a", "b", "c"]
            } else {
                ["d", "e", "f"]
            };
            let words: Vec<&str> = (0..2 + n % 5).map(|w| words[(n / 2 + w) % 3]).collect();
            format!("{}\t{}\n", n % 2, words.join(" "))
        };
        let file =
            |range: std::ops::Range<usize>| "label\ta\n".to_owned() + &range.map(text).collect::<String>();
        let single = examples(&file(0..40), &file(40..80), &["a"]).unwrap();
        let right = single.judge(&model, &tokenizer).unwrap();
        assert_eq!(right.right.len(), 40);
        assert!(right.accuracy() > 0.95, "{right:?}");
    }
}
