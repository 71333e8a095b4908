//! placeholder until the merge
use crate::alert::rule::PayloadFormat;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct DecodeError;
pub fn decode(_f: PayloadFormat, _c: Option<&str>, p: &[u8]) -> Result<serde_json::Value, DecodeError> {
    serde_json::from_slice(p).map_err(|_| DecodeError)
}
