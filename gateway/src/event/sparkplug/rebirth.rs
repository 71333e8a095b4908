//! Nodes are asked for their births: for names that nobody heard, and after losses, since a node reports changes alone.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Node;
use super::wire::{Metric, Payload, Value};
use crate::time::Timestamp;

/// A node is asked at most this often: it answers with all that it has, and may take its time.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// Nodes whose asking is remembered. Their names come from topics, so that anybody may make some up.
pub(crate) const ASKED_MAX: usize = 256;
/// 6.4, Data Types.
const BOOLEAN: u32 = 11;

/// What asks an edge node for its births: a topic and a payload (6.4, NCMD).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebirth {
    pub topic: String,
    pub payload: Vec<u8>,
}

/// When which node was asked.
#[derive(Debug, Default)]
pub(crate) struct Asked(BTreeMap<Node, Timestamp>);

impl Asked {
    pub fn ask(&mut self, node: Node, now: Timestamp) -> Option<Rebirth> {
        let is_early = |at: &Timestamp| *at <= now && now < *at + ASK_EVERY;
        self.0.retain(|_, at| is_early(at));
        if self.0.contains_key(&node) || self.0.len() >= ASKED_MAX {
            return None; // within a minute it is asked again, or there is room
        }
        let topic = format!("spBv1.0/{}/NCMD/{}", node.0, node.1);
        self.0.insert(node, now);
        let at = u64::try_from(now.0).ok();
        let rebirth = Metric {
            name: Some("Node Control/Rebirth".to_owned()),
            timestamp: at,
            datatype: Some(BOOLEAN),
            value: Some(Value::Boolean(true)),
            ..Metric::default()
        };
        let payload = Payload { timestamp: at, metrics: vec![rebirth], ..Payload::default() };
        Some(Rebirth { topic, payload: payload.bytes() })
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
