//! How a fusion is written on the command line: `weighted`, `weighted:LEXICAL,DENSE`, `rrf`, `rrf:K`.

use search::Fusion;

/// Reads a fusion; its bounds are checked by the search.
pub(crate) fn parse(text: &str) -> Result<Fusion, String> {
    let refuse = || format!("{text:?} is no fusion; accepted: weighted, weighted:LEXICAL,DENSE, rrf, rrf:K");
    match text.split_once(':') {
        None if text == "weighted" => Ok(Fusion::default()),
        None if text == "rrf" => Ok(Fusion::Rrf { k: 60 }),
        Some(("rrf", k)) => Ok(Fusion::Rrf {
            k: k.parse().map_err(|_| refuse())?,
        }),
        Some(("weighted", weights)) => {
            let (lexical, dense) = weights.split_once(',').ok_or_else(refuse)?;
            let weight = |text: &str| text.parse::<f32>().map_err(|_| refuse());
            Ok(Fusion::Weighted {
                lexical: weight(lexical)?,
                dense: weight(dense)?,
            })
        }
        _ => Err(refuse()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        assert_eq!(parse("weighted"), Ok(Fusion::default()));
        assert_eq!(
            parse("weighted:0.25,1"),
            Ok(Fusion::Weighted {
                lexical: 0.25,
                dense: 1.0
            })
        );
        assert_eq!(parse("rrf"), Ok(Fusion::Rrf { k: 60 }));
        assert_eq!(parse("rrf:10"), Ok(Fusion::Rrf { k: 10 }));
        for text in ["", "sum", "rrf:", "rrf:-1", "weighted:1", "weighted:a,b"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
