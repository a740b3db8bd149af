//! The special tokens around one or two texts, as the tokenizer puts them.

use text::{Encoding, Tokenizer};

use crate::error::{Error, Result};

/// A sequence for the model: ids, segment ids, and which tokens go on with the word before them. All three have the
/// same length.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Row {
    pub(super) ids: Vec<u32>,
    pub(super) types: Vec<u32>,
    pub(super) continues: Vec<bool>,
}

/// Special tokens with their segment ids, in the order of a sequence.
type Marks = Vec<(u32, u32)>;

/// What stands before, between and after texts. At least one token opens and one closes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    before: Marks,
    between: Marks,
    after: Marks,
    /// Segment ids of the texts themselves.
    texts: [u32; 2],
}

impl Frame {
    /// The frame of one text.
    pub(super) fn single(tokenizer: &Tokenizer) -> Result<Self> {
        Self::read(&tokenizer.encode("a", usize::MAX)?)
    }

    /// The frame of two.
    pub(super) fn pair(tokenizer: &Tokenizer) -> Result<Self> {
        Self::read(&tokenizer.encode_pair("a", "a", usize::MAX)?)
    }

    fn read(sample: &Encoding) -> Result<Self> {
        let mut frame = Self {
            before: Marks::new(),
            between: Marks::new(),
            after: Marks::new(),
            texts: [0; 2],
        };
        // Each text of the sample is one run of tokens that are not special.
        let mut texts = 0;
        for (at, &is_special) in sample.special_mask.iter().enumerate() {
            let mark = (sample.ids[at], sample.type_ids[at]);
            match (is_special, texts) {
                (true, 0) => frame.before.push(mark),
                (true, _) => frame.after.push(mark),
                (false, _) => {
                    if at == 0 || sample.special_mask[at - 1] {
                        frame.between.append(&mut frame.after);
                        texts += 1;
                    }
                    frame.texts[texts.min(2) - 1] = sample.type_ids[at];
                }
            }
        }
        match frame.before.is_empty() || frame.after.is_empty() {
            false => Ok(frame),
            true => Err(Error::Mismatch {
                what: "the tokenizer's special tokens".into(),
                expected: "an opening and a closing token around a text".into(),
                found: format!("{:?}", sample.ids),
            }),
        }
    }

    /// Tokens that the frame takes of a sequence.
    pub(super) fn len(&self) -> usize {
        self.before() + self.between.len() + self.after.len()
    }

    /// Tokens before the first text.
    pub(super) fn before(&self) -> usize {
        self.before.len()
    }

    /// Tokens after the last text.
    pub(super) fn after(&self) -> usize {
        self.after.len()
    }

    /// A sequence of as many texts as the frame is for.
    pub(super) fn row<T: Iterator<Item = (u32, bool)>>(&self, texts: impl IntoIterator<Item = T>) -> Row {
        let mut row = Row::default();
        row.add(&self.before);
        for (number, text) in texts.into_iter().enumerate() {
            if number > 0 {
                row.add(&self.between);
            }
            for (place, (id, continues)) in text.enumerate() {
                row.ids.push(id);
                row.types.push(self.texts[number.min(1)]);
                // A text may begin within a word, whose rest is a word here.
                row.continues.push(continues && place > 0);
            }
        }
        row.add(&self.after);
        row
    }
}

impl Row {
    fn add(&mut self, marks: &Marks) {
        for &(id, kind) in marks {
            self.ids.push(id);
            self.types.push(kind);
            self.continues.push(false);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::super::stream::tests::tokenizer;
    use super::*;

    #[test]
    fn sequences_are_framed_as_the_tokenizer_frames_texts() {
        let tokenizer = tokenizer();
        let plain = |text: &str| {
            let encoding = tokenizer.encode(text, 64).unwrap();
            let ids = encoding.ids[1..encoding.len() - 1].to_vec();
            ids.into_iter().map(|id| (id, false))
        };
        let single = Frame::single(&tokenizer).unwrap();
        let expected = tokenizer.encode("fires a", 64).unwrap();
        let row = single.row([plain("fires a")]);
        assert_eq!((row.ids, row.types), (expected.ids, expected.type_ids));
        assert_eq!(single.len(), 2);
        let pair = Frame::pair(&tokenizer).unwrap();
        let expected = tokenizer.encode_pair("fires", "a b", 64).unwrap();
        let row = pair.row([plain("fires"), plain("a b")]);
        assert_eq!((row.ids, row.types), (expected.ids, expected.type_ids));
        assert_eq!((pair.len(), pair.before(), pair.after()), (3, 1, 1));
    }
}
