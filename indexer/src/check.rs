//! `cloze inspect` and `cloze verify`: what is in an index, and whether it is what was written.

use std::io::Write;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use anyhow::Context;
use clap::Args;
use index::{Inspection, Salvage, Verification, WriterSettings};
use launch::Exit;

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Show what is in an index.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  cloze inspect --index wiki\n  cloze inspect --index wiki --json | jq .segments"
)]
pub struct InspectArgs {
    /// Folder of the index.
    #[arg(long, value_name = "DIR", env = "CLOZE_INDEX")]
    index: PathBuf,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// Check every byte of an index against what was written. Ends with 1 when something is damaged.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  cloze verify --index wiki\n  cloze verify --index wiki --json | jq .problems\n  cloze verify --index wiki --repair"
)]
pub struct VerifyArgs {
    /// Folder of the index.
    #[arg(long, value_name = "DIR", env = "CLOZE_INDEX")]
    index: PathBuf,
    /// Write damaged segments again out of what is intact, and say which documents are lost. Ends with 1 when some
    /// are.
    #[arg(long)]
    repair: bool,
    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `cloze inspect`.
///
/// # Errors
/// When there is no index, or its manifest is damaged.
pub fn inspect(args: &InspectArgs) -> anyhow::Result<Exit> {
    let folder = &args.index;
    let found =
        index::inspect(folder).with_context(|| format!("cannot open the index {}", folder.display()))?;
    let mut out = anstream::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &found)?;
        writeln!(out)?;
    } else {
        print_inspection(&mut out, &found)?;
    }
    Ok(Exit::Success)
}

fn print_inspection(out: &mut dyn Write, found: &Inspection) -> std::io::Result<()> {
    let settings = &found.settings;
    writeln!(out, "documents   {}", found.documents)?;
    writeln!(out, "passages    {}", found.passages)?;
    writeln!(out, "size        {}", bytes(found.bytes))?;
    writeln!(out, "commit      {}", found.generation)?;
    writeln!(out, "format      {}", found.format)?;
    writeln!(
        out,
        "model       {}, {} dimensions",
        settings.model, settings.dimension
    )?;
    writeln!(out, "fingerprint {}", settings.fingerprint)?;
    writeln!(
        out,
        "titles      {}",
        format!("{:?}", settings.titles).to_lowercase()
    )?;
    writeln!(out, "language    {}", settings.language)?;
    writeln!(
        out,
        "accents     {}",
        if settings.fold_accents { "folded" } else { "kept" }
    )?;
    writeln!(out, "title       counts {} times", settings.title_weight)?;
    writeln!(out, "bm25        k1 {}, b {}", settings.bm25.k1, settings.bm25.b)?;
    writeln!(
        out,
        "passages of {} tokens, {} shared",
        settings.chunk_tokens, settings.chunk_overlap
    )?;
    for segment in &found.segments {
        let size = bytes(segment.bytes.values().sum());
        let graph = if segment.graph { "graph" } else { "no graph" };
        writeln!(
            out,
            "segment {}: {} documents, {} passages, {} deleted, {graph}, {size}",
            segment.id, segment.documents, segment.passages, segment.deleted_passages
        )?;
    }
    Ok(())
}

pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["B", "kB", "MB", "GB"];
    let mut size = count as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{size:.1} {}", UNITS[unit]),
    }
}

/// Runs `cloze verify`.
///
/// # Errors
/// When there is no index.
pub fn verify(args: &VerifyArgs) -> anyhow::Result<Exit> {
    let folder = &args.index;
    if args.repair {
        return repair(args);
    }
    let found =
        index::verify(folder).with_context(|| format!("cannot open the index {}", folder.display()))?;
    let mut out = anstream::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &found)?;
        writeln!(out)?;
    } else {
        print_verification(&mut out, &found)?;
    }
    Ok(if found.problems.is_empty() {
        Exit::Success
    } else {
        Exit::Failure
    })
}

fn repair(args: &VerifyArgs) -> anyhow::Result<Exit> {
    let folder = &args.index;
    let limits = WriterSettings {
        threads: launch::threads(),
        ..WriterSettings::default()
    };
    let done = index::repair(folder, limits)
        .with_context(|| format!("cannot repair the index {}", folder.display()))?;
    let mut out = anstream::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &done)?;
        writeln!(out)?;
    } else {
        print_verification(&mut out, &done.before)?;
        for (segment, salvage) in &done.segments {
            writeln!(out, "segment {segment}: {} documents written again", salvage.kept)?;
            for id in &salvage.lost {
                writeln!(out, "{BAD}lost{BAD:#}: document {id}; add it again")?;
            }
            if salvage.lost_unnamed > 0 {
                writeln!(
                    out,
                    "{BAD}lost{BAD:#}: {} documents without a readable id",
                    salvage.lost_unnamed
                )?;
            }
            if salvage.undeleted > 0 {
                writeln!(out, "up to {} deleted documents may be back", salvage.undeleted)?;
            }
        }
        writeln!(out, "{} documents", done.documents)?;
    }
    let whole = |salvage: &Salvage| salvage.lost.is_empty() && salvage.lost_unnamed + salvage.undeleted == 0;
    Ok(match done.segments.values().all(whole) {
        true => Exit::Success,
        false => Exit::Failure,
    })
}

fn print_verification(out: &mut dyn Write, found: &Verification) -> std::io::Result<()> {
    for problem in &found.problems {
        let at = problem
            .offset
            .map(|offset| format!(" at byte {offset}"))
            .unwrap_or_default();
        writeln!(
            out,
            "{BAD}{}{at}: {}{BAD:#}",
            problem.file.display(),
            problem.message
        )?;
    }
    for file in &found.unlisted {
        writeln!(out, "{}: left over; the next commit removes it", file.display())?;
    }
    let (files, size) = (found.files, bytes(found.bytes));
    let (documents, passages) = (found.documents, found.passages);
    match found.problems.len() {
        0 => writeln!(
            out,
            "{GOOD}sound{GOOD:#}: {documents} documents, {passages} passages, {files} files, {size}"
        ),
        count => writeln!(
            out,
            "{BAD}damaged{BAD:#}: {count} problems in {files} files, {size}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        let sizes = [0, 999, 1000, 1_250_000, 5_000_000_000_000].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "1.2 MB", "5000.0 GB"]);
    }
}
