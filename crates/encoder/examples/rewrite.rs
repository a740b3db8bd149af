//! Opens the golden models and writes them again in our own layout, for `tests/reference/open_ours.py`.
//!
//! `cargo run --release -p encoder --example rewrite -- crates/encoder/tests/golden OUT`

use std::path::PathBuf;

use encoder::{
    DType, Device, MaskedLm, ModelFiles, NextSentence, PairScorer, PreTraining, Result, SentenceEncoder,
    SpanReader, TokenTagger,
};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(golden), Some(out)) = (arguments.next(), arguments.next()) else {
        return Ok(());
    };
    let open = |name: &str| ModelFiles::folder(golden.join(name));
    let device = &Device::Cpu;
    for name in [
        "bidirectional",
        "left_to_right",
        "gelu_tanh",
        "relu",
        "sentence_cls",
        "sentence_mean",
        "sentence_max",
    ] {
        SentenceEncoder::open(&open(name)?, device)?.save(&out.join(name), DType::F32, 20)?;
    }
    MaskedLm::open(&open("masked_lm")?, device)?.save(&out.join("masked_lm"), DType::F32)?;
    NextSentence::open(&open("next_sentence")?, device)?.save(&out.join("next_sentence"), DType::F32)?;
    PreTraining::open(&open("pre_training")?, device)?.save(&out.join("pre_training"), DType::F32)?;
    PairScorer::open(&open("sequence")?, device)?.save(&out.join("sequence"), DType::F32)?;
    TokenTagger::open(&open("token")?, device)?.save(&out.join("token"), DType::F32)?;
    SpanReader::open(&open("span")?, device)?.save(&out.join("span"), DType::F32)
}
