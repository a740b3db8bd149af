//! What reading the best passages gave, for people: the answer with its passage, or that there is none.

use std::io::{self, Write};

use anstyle::Style;
use search::{Answered, BestAnswer, ReadPassage, best_sentence};

use crate::render::{FAINT, MARK, NAME, RANK, marked, one_line, snippet};

/// Writes the answer above the hits, and below it what each passage gave when that is known.
pub(crate) fn render_answer(out: &mut dyn Write, answered: &Answered, chars_max: usize) -> io::Result<()> {
    match &answered.best {
        Some(best) => render_best(out, answered, best, chars_max)?,
        None => writeln!(out, "{RANK}no answer{RANK:#}  {}", why_none(answered))?,
    }
    for read in answered.passages.iter().flatten() {
        render_read(out, read)?;
    }
    writeln!(out)
}

fn render_best(
    out: &mut dyn Write,
    answered: &Answered,
    best: &BestAnswer,
    chars_max: usize,
) -> io::Result<()> {
    let (words, document) = (one_line(&best.text), &best.document);
    writeln!(
        out,
        "{RANK}answer{RANK:#}  {MARK}{words}{MARK:#}  {NAME}{document}{NAME:#}"
    )?;
    let [first, end] = best.span;
    let sentence = best_sentence(&best.passage, std::slice::from_ref(&(first..end)));
    let (text, marks) = snippet(&best.passage, sentence, &[best.span], chars_max);
    writeln!(out, "    {}", marked(&text, &marks, Style::new()))?;
    writeln!(
        out,
        "    {FAINT}hit {}, passage {}, margin {:.2} above {:.2}, the best of {}{FAINT:#}",
        best.rank,
        best.chunk + 1,
        answered.margin.unwrap_or_default(),
        answered.threshold,
        passages(answered.passages_read)
    )
}

fn why_none(answered: &Answered) -> String {
    match (answered.passages_read, answered.margin) {
        (0, _) => "there was no passage to read".to_owned(),
        (read, None) => format!("in {}", passages(read)),
        (read, Some(margin)) => format!(
            "in the {} read: the best margin {margin:.2} is not above {:.2}",
            passages(read),
            answered.threshold
        ),
    }
}

fn passages(count: usize) -> String {
    format!("{count} passage{}", if count == 1 { "" } else { "s" })
}

fn render_read(out: &mut dyn Write, read: &ReadPassage) -> io::Result<()> {
    let margin = read
        .margin
        .map_or_else(|| "no words".to_owned(), |margin| format!("{margin:.2}"));
    writeln!(
        out,
        "    {FAINT}read     {} passage {}: {margin}  {}{FAINT:#}",
        read.document,
        read.chunk + 1,
        one_line(&read.text)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;
    use corpus::DocumentId;

    fn shown(answered: &Answered) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        render_answer(&mut out, answered, 60).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn an_answer_stands_with_its_sentence_and_none_is_said() {
        let passage = "It is an old bridge over the river. The bridge was built of granite. It leans.";
        let mut answered = Answered {
            best: Some(BestAnswer {
                text: "granite".to_owned(),
                document: DocumentId::new("bridge").unwrap(),
                title: String::new(),
                chunk: 1,
                passage: passage.to_owned(),
                span: [60, 67],
                document_span: [260, 267],
                rank: 3,
            }),
            margin: Some(2.5),
            threshold: 0.25,
            passages_read: 10,
            passages: None,
        };
        assert_eq!(
            shown(&answered),
            "answer  granite  bridge\n    … The bridge was built of granite. It leans.\n    \
             hit 3, passage 2, margin 2.50 above 0.25, the best of 10 passages\n\n"
        );
        (answered.best, answered.threshold) = (None, 3.0);
        assert_eq!(
            shown(&answered),
            "no answer  in the 10 passages read: the best margin 2.50 is not above 3.00\n\n"
        );
        (answered.margin, answered.passages_read) = (None, 0);
        assert_eq!(shown(&answered), "no answer  there was no passage to read\n\n");
    }
}
