//! A search's answer for people: titles, marked stretches of text, scores, times.

use std::io::{self, Write};

use crate::render_answer::render_answer;
use anstyle::{AnsiColor, Style};
use search::{Explanation, Fusion, Hit, SearchResponse, Span, Stage};

pub(crate) const RANK: Style = Style::new().bold();
const TITLE: Style = AnsiColor::Cyan.on_default().bold();
pub(crate) const NAME: Style = AnsiColor::Green.on_default();
pub(crate) const MARK: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();
const WARNING: Style = AnsiColor::Red.on_default().bold();

/// How much is shown.
#[derive(Debug, Clone, Copy)]
pub struct RenderSettings {
    /// Characters of a passage.
    pub snippet_chars: usize,
    /// Metadata values of a hit.
    pub metadata_values: usize,
}

impl Default for RenderSettings {
    fn default() -> Self {
        Self {
            snippet_chars: 300,
            metadata_values: 6,
        }
    }
}

/// Writes an answer with its colours; a stream that takes none has to strip them.
///
/// # Errors
/// When the output cannot be written.
pub fn render(out: &mut dyn Write, response: &SearchResponse, settings: &RenderSettings) -> io::Result<()> {
    if let Some(answered) = &response.answer {
        render_answer(out, answered, settings.snippet_chars)?;
    }
    for hit in &response.hits {
        render_hit(out, hit, settings)?;
    }
    if response.hits.is_empty() {
        writeln!(out, "nothing found")?;
    }
    if let Some(reason) = &response.degraded {
        writeln!(out, "{WARNING}degraded: {reason}{WARNING:#}")?;
    }
    for (field, facet) in &response.facets {
        let values = facet.values.iter().map(|count| {
            let value = plain(&serde_json::Value::from(count.value.clone()));
            format!("{value} ({})", count.documents)
        });
        let more = (facet.more > 0).then(|| format!("{} more", facet.more));
        let values: Vec<String> = values.chain(more).collect();
        writeln!(out, "{NAME}{field}{NAME:#}  {}", values.join(", "))?;
    }
    let (shown, of, stage) = (
        response.hits.len(),
        response.total_candidates,
        name(response.stage),
    );
    writeln!(
        out,
        "{FAINT}{shown} of {of} candidates, {stage}, {}{FAINT:#}",
        times(response)
    )
}

fn render_hit(out: &mut dyn Write, hit: &Hit, settings: &RenderSettings) -> io::Result<()> {
    write!(out, "{RANK}{:>2}{RANK:#}  {:.3}  ", hit.rank, hit.score)?;
    if hit.title.is_empty() {
        writeln!(out, "{NAME}{}{NAME:#}", hit.document)?;
    } else {
        let title = marked(&one_line(&hit.title), &hit.highlights.title, TITLE);
        writeln!(out, "{title}  {NAME}{}{NAME:#}", hit.document)?;
    }
    let (text, marks) = snippet(
        &hit.text,
        hit.best_sentence,
        &hit.highlights.text,
        settings.snippet_chars,
    );
    writeln!(out, "    {}", marked(&text, &marks, Style::new()))?;
    let mut details: Vec<String> = hit
        .metadata
        .iter()
        .take(settings.metadata_values)
        .map(|(name, value)| format!("{name}: {}", plain(&serde_json::Value::from(value.clone()))))
        .collect();
    if !hit.passages.is_empty() {
        details.push(format!("+{} more passages", hit.passages.len()));
    }
    if !details.is_empty() {
        writeln!(out, "    {FAINT}{}{FAINT:#}", details.join(" · "))?;
    }
    if let Some(explanation) = &hit.explain {
        render_explanation(out, explanation)?;
    }
    writeln!(out)
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn render_explanation(out: &mut dyn Write, explanation: &Explanation) -> io::Result<()> {
    let rank = |rank: Option<usize>| {
        rank.map_or_else(
            || "not among the candidates".to_owned(),
            |rank| format!("rank {rank}"),
        )
    };
    if let Some(lexical) = &explanation.lexical {
        let terms: Vec<String> = lexical
            .terms
            .iter()
            .map(|term| {
                format!(
                    "{} {:.2} ({}×, in {})",
                    term.term, term.score, term.frequency, term.document_frequency
                )
            })
            .collect();
        writeln!(
            out,
            "    {FAINT}lexical  {}, BM25 {:.3} = {}{FAINT:#}",
            rank(lexical.rank),
            lexical.score,
            terms.join(" + ")
        )?;
    }
    if let Some(dense) = &explanation.dense {
        writeln!(
            out,
            "    {FAINT}dense    {}, cosine {:.4}{FAINT:#}",
            rank(dense.rank),
            dense.cosine
        )?;
    }
    if let Some(feedback) = &explanation.feedback {
        writeln!(
            out,
            "    {FAINT}feedback {} × {:.4} (cosine with the first passage), rank {} before{FAINT:#}",
            feedback.weight, feedback.cosine, feedback.rank_before
        )?;
    }
    if let Some(fusion) = &explanation.fusion {
        let method = match fusion.method {
            Fusion::Weighted { .. } => "weighted".to_owned(),
            Fusion::Rrf { k } => format!("rrf k={k}"),
        };
        let part = |part: &search::FusionPart| format!("{} × {:.4}", part.weight, part.value);
        let (lexical, dense) = (part(&fusion.lexical), part(&fusion.dense));
        writeln!(
            out,
            "    {FAINT}fusion   {method}: {lexical} + {dense} = {:.4}, rank {}{FAINT:#}",
            fusion.score, fusion.rank
        )?;
    }
    if let Some(rerank) = &explanation.rerank {
        let (before, after) = (rerank.rank_before, rerank.rank_after);
        writeln!(
            out,
            "    {FAINT}rerank   {:.4}, weight {}: {:.4}, rank {before} → {after}{FAINT:#}",
            rerank.score, rerank.weight, rerank.combined
        )?;
    }
    Ok(())
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Lexical => "lexical",
        Stage::Dense => "dense",
        Stage::Hybrid => "hybrid",
        Stage::Reranked => "reranked",
    }
}

fn times(response: &SearchResponse) -> String {
    let times = &response.timings_ms;
    let stages = [
        ("embed", times.embed),
        ("lexical", times.lexical),
        ("dense", times.dense),
        ("fuse", times.fuse),
        ("fetch", times.fetch),
        ("rerank", times.rerank),
        ("highlight", times.highlight),
        ("answer", times.answer),
        ("explain", times.explain),
    ];
    let stages = stages.iter().filter(|(_, ms)| *ms >= 0.05);
    let stages: Vec<String> = stages.map(|(name, ms)| format!("{name} {ms:.1}")).collect();
    format!("{:.1} ms ({})", times.total, stages.join(", "))
}

/// A stretch of at most `chars_max` characters around the best sentence, on one line, with its marks.
pub(crate) fn snippet(
    text: &str,
    best: Option<Span>,
    marks: &[Span],
    chars_max: usize,
) -> (String, Vec<Span>) {
    let start = match best {
        // What comes before a sentence is shown only when the text fits anyway.
        Some([start, _]) if text.chars().count() > chars_max => start,
        _ => 0,
    };
    let rest = text.get(start..).unwrap_or(text);
    let start = text.len() - rest.len();
    let end = rest
        .char_indices()
        .nth(chars_max)
        .map_or(text.len(), |(at, _)| start + at);
    let (mut line, mut at, mut kept) = (String::new(), start, Vec::new());
    if start > 0 {
        line.push_str("… ");
    }
    for &[from, to] in marks.iter().filter(|[from, to]| *from >= start && *to <= end) {
        push_line(&mut line, &text[at..from]);
        let first = line.len();
        push_line(&mut line, &text[from..to]);
        kept.push([first, line.len()]);
        at = to;
    }
    push_line(&mut line, &text[at..end]);
    let length = line.trim_end().len();
    line.truncate(length);
    if end < text.len() {
        line.push_str(" …");
    }
    (line, kept)
}

/// Appends text with every run of white space as one space.
fn push_line(line: &mut String, text: &str) {
    for character in text.chars() {
        if !character.is_whitespace() && !character.is_control() {
            line.push(character);
        } else if !line.is_empty() && !line.ends_with(' ') {
            line.push(' ');
        }
    }
}

/// The text with control characters and line ends as spaces, byte for byte, so that marks still fit.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_control() { ' ' } else { c })
        .collect()
}

/// The text in a style, its marks in another.
pub(crate) fn marked(text: &str, marks: &[Span], style: Style) -> String {
    let (mut out, mut at) = (String::new(), 0);
    for &[from, to] in marks {
        let (Some(before), Some(mark)) = (text.get(at..from), text.get(from..to)) else {
            break;
        };
        out.push_str(&format!("{style}{before}{style:#}{MARK}{mark}{MARK:#}"));
        at = to;
    }
    let rest = text.get(at..).unwrap_or_default();
    out.push_str(&format!("{style}{rest}{style:#}"));
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    fn stripped(text: &str, marks: &[Span]) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        write!(out, "{}", marked(text, marks, TITLE)).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn marks_do_not_change_the_text() {
        assert_eq!(stripped("größe x", &[[0, 7], [8, 9]]), "größe x");
        assert!(marked("ab", &[[0, 1]], Style::new()).contains("\u{1b}["));
        // A mark that does not fit the text is left out, the text is not.
        assert_eq!(stripped("ö", &[[1, 2]]), "ö");
    }

    #[test]
    fn a_snippet_begins_at_the_best_sentence_and_keeps_its_marks() {
        let text = "First sentence here. The\n  second one matters. Third.";
        let (line, marks) = snippet(text, Some([21, 47]), &[[0, 5], [27, 33]], 20);
        assert_eq!(line, "… The second one mat …");
        assert_eq!(
            marks.iter().map(|&[a, b]| &line[a..b]).collect::<Vec<_>>(),
            ["second"]
        );
        let (line, marks) = snippet(text, Some([21, 47]), &[[0, 5]], 300);
        assert_eq!(line, "First sentence here. The second one matters. Third.");
        assert_eq!(marks, [[0, 5]]);
    }
}
