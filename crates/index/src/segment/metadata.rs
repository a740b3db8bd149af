//! Metadata as bytes. JSON would not do: reading a number out of JSON may change its last bit.
//!
//! ```text
//! entry   text (name), value; until the end of the record
//! value   's' text | 'd' text (a date as written) | 'n' f64 | 'b' u8 (0 or 1) | 'l' u32 count, values
//! text    u32 bytes, UTF-8
//! ```
//! All numbers are little-endian. No metadata is no bytes.

use corpus::{Date, Metadata, Value};

pub(crate) fn encode(metadata: &Metadata) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in metadata {
        put_text(&mut bytes, name);
        put(&mut bytes, value);
    }
    bytes
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn put(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => {
            bytes.push(b's');
            put_text(bytes, text);
        }
        Value::Date(date) => {
            bytes.push(b'd');
            put_text(bytes, date.as_str());
        }
        Value::Number(number) => {
            bytes.push(b'n');
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        Value::Boolean(flag) => bytes.extend_from_slice(&[b'b', u8::from(*flag)]),
        Value::List(values) => {
            bytes.push(b'l');
            bytes.extend_from_slice(&(values.len() as u32).to_le_bytes());
            values.iter().for_each(|value| put(bytes, value));
        }
    }
}

/// None for bytes that [`encode`] did not write.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<Metadata> {
    let mut metadata = Metadata::new();
    while !bytes.is_empty() {
        let name = take_text(&mut bytes)?;
        metadata.insert(name, take(&mut bytes, true)?);
    }
    Some(metadata)
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*array)
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let len = u32::from_le_bytes(take_array(bytes)?) as usize;
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

/// Lists stand in no lists, so this goes one level deep at most.
fn take(bytes: &mut &[u8], lists: bool) -> Option<Value> {
    match take_array(bytes)? {
        [b's'] => take_text(bytes).map(Value::String),
        [b'd'] => Date::parse(&take_text(bytes)?).map(Value::Date),
        [b'n'] => take_array(bytes).map(|number| Value::Number(f64::from_le_bytes(number))),
        [b'b'] => take_array(bytes).map(|[flag]| Value::Boolean(flag == 1)),
        [b'l'] if lists => {
            let count = u32::from_le_bytes(take_array(bytes)?);
            (0..count)
                .map(|_| take(bytes, false))
                .collect::<Option<_>>()
                .map(Value::List)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    #[test]
    fn every_kind_comes_back_and_cut_bytes_do_not() {
        let json = r#"{"a": "text", "b": [1.5, "2024-05-31", true], "c": false, "d": "2024-05-31T12:00:00Z", "e": []}"#;
        let metadata: Metadata = serde_json::from_str(json).unwrap();
        let bytes = encode(&metadata);
        assert_eq!(decode(&bytes), Some(metadata.clone()));
        assert_eq!(decode(&[]), Some(Metadata::new()));
        for len in 1..bytes.len() {
            assert_ne!(decode(&bytes[..len]), Some(metadata.clone()));
        }
    }
}
