use anyhow::Result;
use super::Bench;
use crate::report::Peer;
pub fn peers(_: &Bench, _: &std::path::Path) -> Result<Vec<Peer>> { Ok(Vec::new()) }
