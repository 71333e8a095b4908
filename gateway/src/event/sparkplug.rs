//! Sparkplug B (version 3.0.0 of the specification): metrics by their names. A birth names all metrics of a node or device
//! and gives each a number; later messages carry the numbers alone, and only the birth says whether 251 is -5 (6.4, Metric).
//! What was born is kept in memory and not on disk: while we were away a node may have given the numbers to others, and an old
//! name would be a wrong one. A message whose birth was not heard cannot be judged.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::hex::hex;
use crate::time::Timestamp;

/// Nodes are asked for their births.
mod rebirth;
/// Sparkplug on the wire.
mod wire;

use rebirth::Asked;
pub use rebirth::Rebirth;

/// Metrics of all births together: about 3 MB. A node has 20 to 2,000.
const METRICS_MAX: usize = 20_000;
/// A birth names every metric: 2,000 of them with their properties. What takes more memory than that is refused (`wire`).
const LIMIT_BYTES: usize = 256 * 1024;
/// 6.4, Quality Codes: 0 is bad, 500 stale.
const GOOD: u32 = 192;
/// 6.4, Data Types, by their indexes.
const TYPES: [&str; 35] = [
    "Unknown",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Float",
    "Double",
    "Boolean",
    "String",
    "DateTime",
    "Text",
    "UUID",
    "DataSet",
    "Bytes",
    "File",
    "Template",
    "PropertySet",
    "PropertySetList",
    "Int8Array",
    "Int16Array",
    "Int32Array",
    "Int64Array",
    "UInt8Array",
    "UInt16Array",
    "UInt32Array",
    "UInt64Array",
    "FloatArray",
    "DoubleArray",
    "BooleanArray",
    "StringArray",
    "DateTimeArray",
];

/// What the births said that were heard since the start.
#[derive(Debug, Default)]
pub struct BirthCertificates {
    nodes: BTreeMap<Node, Session>,
    /// The node whose last message cannot be read whole without a new birth.
    wanted: Option<Node>,
    asked: Asked,
    /// Counts messages, so that the node that was silent for longest is known.
    clock: u64,
}

type Fields = Map<String, Value>;
/// Group and edge node.
type Node = (String, String);

/// From one NBIRTH to the next.
#[derive(Debug, Default)]
struct Session {
    /// Ties an NDEATH, which the broker sends in the node's name, to the NBIRTH of the same connection.
    bd_seq: Option<u64>,
    seq: Option<u8>,
    heard: u64,
    /// The node's own under the empty name.
    devices: BTreeMap<String, Named>,
}

#[derive(Debug, Default)]
struct Named {
    by_alias: BTreeMap<u64, String>,
    types: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Birth,
    Data,
    Death,
    Command,
}

/// `spBv1.0/GROUP/TYPE/NODE[/DEVICE]` (4.1).
struct Topic<'a> {
    kind: Kind,
    word: &'a str,
    node: Node,
    device: &'a str,
}

impl BirthCertificates {
    /// Whether this may be one of Sparkplug's topics.
    #[must_use]
    pub fn concerns(topic: &str) -> bool {
        topic.starts_with("spBv1.0/")
    }

    /// The message as conditions and texts see it. The error is a sentence.
    pub fn read(&mut self, topic: &str, bytes: &[u8]) -> Result<Value, String> {
        if bytes.len() > LIMIT_BYTES {
            return Err(format!("it has {} bytes, more than the {LIMIT_BYTES} that are read", bytes.len()));
        }
        let at = Topic::parse(topic).ok_or("the topic is not spBv1.0/GROUP/TYPE/NODE or …/NODE/DEVICE")?;
        let payload = wire::Payload::read(bytes).map_err(|why| format!("it is not Sparkplug B: {why}"))?;
        self.clock += 1;
        self.wanted = None;
        let bd_seq = payload.metrics.iter().find_map(bd_seq);
        let mut missed = 0;
        match at.kind {
            Kind::Command => {}
            Kind::Birth => {
                self.born(&at, &payload, bd_seq);
                if !at.device.is_empty() {
                    missed = self.count(&at, payload.seq);
                }
            }
            Kind::Death if at.device.is_empty() => self.died(&at, bd_seq)?,
            Kind::Death => {
                missed = self.count(&at, payload.seq);
                if let Some(session) = self.nodes.get_mut(&at.node) {
                    session.devices.remove(at.device);
                }
            }
            Kind::Data => missed = self.count(&at, payload.seq),
        }
        if missed > 0 {
            self.wanted = Some(at.node.clone()); // a node reports changes alone: what got lost may never come again
        }
        let mut seen = json!({
            "type": at.word, "timestamp": payload.timestamp, "seq": payload.seq, "missed": missed,
        });
        let (metrics, details) =
            self.metrics(&at, payload).inspect_err(|_| self.wanted = Some(at.node.clone()))?;
        seen["metrics"] = Value::Object(metrics);
        seen["details"] = Value::Object(details);
        Ok(seen)
    }

    /// Asks the node of the message that was read last for its births, if it must be asked.
    pub fn ask(&mut self, now: Timestamp) -> Option<Rebirth> {
        let node = self.wanted.take()?;
        self.asked.ask(node, now)
    }

    fn born(&mut self, at: &Topic<'_>, payload: &wire::Payload, bd_seq: Option<u64>) {
        let mut named = Named::default();
        for metric in &payload.metrics {
            let Some(name) = &metric.name else { continue };
            named.types.insert(name.clone(), metric.datatype.unwrap_or(0));
            if let Some(alias) = metric.alias {
                named.by_alias.insert(alias, name.clone());
            }
        }
        if at.device.is_empty() {
            let seq = payload.seq.and_then(|seq| u8::try_from(seq).ok());
            self.nodes.insert(at.node.clone(), Session { bd_seq, seq, ..Session::default() });
        }
        let session = self.nodes.entry(at.node.clone()).or_default();
        session.heard = self.clock;
        session.devices.insert(at.device.to_owned(), named);
        let size =
            |session: &Session| 1 + session.devices.values().map(|named| named.types.len()).sum::<usize>();
        let mut all: usize = self.nodes.values().map(size).sum();
        while all > METRICS_MAX {
            let oldest =
                self.nodes.iter().min_by_key(|(_, session)| session.heard).map(|(node, _)| node.clone());
            let Some((node, gone)) = oldest.and_then(|node| self.nodes.remove_entry(&node)) else { return };
            tracing::warn!(
                group = node.0,
                node = node.1,
                "its birth is forgotten: {METRICS_MAX} metrics are kept"
            );
            all -= size(&gone);
        }
    }

    /// A will that comes late belongs to a connection that the node has already replaced (6.4, NDEATH; `bdSeq`).
    fn died(&mut self, at: &Topic<'_>, bd_seq: Option<u64>) -> Result<(), String> {
        if let Some(session) = self.nodes.get(&at.node)
            && let (Some(born), Some(dead)) = (session.bd_seq, bd_seq)
            && born != dead
        {
            return Err(format!(
                "this NDEATH has bdSeq {dead}, and the node was born again since with bdSeq {born}"
            ));
        }
        self.nodes.remove(&at.node);
        Ok(())
    }

    /// How many messages of this node are missing before this one: each counts one further, after 255 comes 0.
    fn count(&mut self, at: &Topic<'_>, seq: Option<u64>) -> u8 {
        let seq = seq.and_then(|seq| u8::try_from(seq).ok());
        let (Some(session), Some(seq)) = (self.nodes.get_mut(&at.node), seq) else { return 0 };
        session.heard = self.clock;
        let Some(last) = session.seq.replace(seq).filter(|last| *last != seq) else { return 0 };
        let missed = seq.wrapping_sub(last).wrapping_sub(1);
        if missed > 0 {
            let (group, node) = (&at.node.0, &at.node.1);
            tracing::warn!(group, node, missed, "messages of an edge node did not arrive");
        }
        missed
    }

    /// Values by name, and what else is known of them. A value that the node itself does not vouch for is null: null, of bad
    /// quality, or an old one that was kept while the line was down (`is_historical`: "not considered a real time value").
    fn metrics(&self, at: &Topic<'_>, payload: wire::Payload) -> Result<(Fields, Fields), String> {
        let (mut values, mut details) = (Map::new(), Map::new());
        if at.kind == Kind::Command {
            return Ok((values, details)); // what somebody wants is no reading
        }
        let named = self.nodes.get(&at.node).and_then(|session| session.devices.get(at.device));
        for metric in payload.metrics {
            let Some(name) = name_of(&metric, named, at)? else { continue };
            let told = metric.datatype.or_else(|| named?.types.get(&name).copied());
            let wants_type = matches!(metric.value, Some(wire::Value::Int(_) | wire::Value::Long(_)));
            if told.is_none() && wants_type && named.is_none() && at.kind == Kind::Data {
                return Err(not_heard(at, &format!("the type of metric `{name}` is not known")));
            }
            let quality = metric.properties.as_ref().and_then(quality);
            let is_historical = metric.is_historical == Some(true);
            let value = match metric.value.filter(|_| metric.is_null != Some(true)) {
                Some(value) => value_of(value, told.unwrap_or(0)),
                None => Value::Null,
            };
            let is_good = quality.is_none_or(|quality| quality == GOOD);
            let mut detail = json!({ "value": &value });
            let known = told.and_then(|told| TYPES.get(usize::try_from(told).ok()?));
            for (key, of) in [
                ("type", known.map(|known| json!(known))),
                ("timestamp", metric.timestamp.map(Value::from)),
                ("quality", quality.map(Value::from)),
                ("historical", is_historical.then_some(Value::Bool(true))),
            ] {
                if let Some(of) = of {
                    detail[key] = of;
                }
            }
            if is_historical {
                details.entry(name).or_insert(detail);
            } else {
                values.insert(name.clone(), if is_good { value } else { Value::Null });
                details.insert(name, detail);
            }
        }
        Ok((values, details))
    }
}

impl<'a> Topic<'a> {
    fn parse(topic: &'a str) -> Option<Self> {
        let mut levels = topic.split('/');
        let (space, group, word, node) = (levels.next()?, levels.next()?, levels.next()?, levels.next()?);
        let device = levels.next();
        let (whose, what) = word.split_at_checked(1)?;
        let kind = match what {
            "BIRTH" => Kind::Birth,
            "DATA" => Kind::Data,
            "DEATH" => Kind::Death,
            "CMD" => Kind::Command,
            _ => return None,
        };
        let fits = match whose {
            "N" => device.is_none(),
            "D" => device.is_some_and(|device| !device.is_empty()),
            _ => false,
        };
        let node = (group.to_owned(), node.to_owned());
        let is_one = space == "spBv1.0" && fits && levels.next().is_none();
        is_one.then_some(Self { kind, word, node, device: device.unwrap_or_default() })
    }
}

/// `None`: the node's own birth does not know this number, so that no rule can name it either.
fn name_of(metric: &wire::Metric, named: Option<&Named>, at: &Topic<'_>) -> Result<Option<String>, String> {
    if let Some(name) = metric.name.as_ref().filter(|name| !name.is_empty()) {
        return Ok(Some(name.clone()));
    }
    let Some(alias) = metric.alias else { return Ok(None) };
    match named {
        Some(named) => Ok(named.by_alias.get(&alias).cloned()),
        None => Err(not_heard(at, &format!("nobody knows the name of alias {alias}"))),
    }
}

fn not_heard(at: &Topic<'_>, why: &str) -> String {
    let birth = if at.device.is_empty() { "NBIRTH" } else { "DBIRTH" };
    format!(
        "{why}: its {birth} was not heard since the start; the node was asked to send it again (Node Control/Rebirth)"
    )
}

fn bd_seq(metric: &wire::Metric) -> Option<u64> {
    match metric.value {
        Some(wire::Value::Long(number)) if metric.name.as_deref() == Some("bdSeq") => Some(number),
        Some(wire::Value::Int(number)) if metric.name.as_deref() == Some("bdSeq") => Some(number.into()),
        _ => None,
    }
}

fn quality(properties: &wire::PropertySet) -> Option<u32> {
    let at = properties.keys.iter().position(|key| key == "Quality")?;
    properties.values.get(at)?.int
}

fn value_of(value: wire::Value, datatype: u32) -> Value {
    match value {
        wire::Value::Int(number) => integer(number.into(), datatype),
        wire::Value::Long(number) => integer(number, datatype),
        wire::Value::Float(number) => float(number),
        wire::Value::Double(number) => json!(number),
        wire::Value::Boolean(truth) => json!(truth),
        wire::Value::String(text) => Value::String(text),
        wire::Value::Bytes(bytes) => Value::String(hex(&bytes)),
        wire::Value::DataSet(set) => {
            let row = |row: wire::Row| {
                let cells = row.elements.into_iter().enumerate();
                cells
                    .map(|(column, cell)| cell_of(cell, set.types.get(column).copied().unwrap_or(0)))
                    .collect()
            };
            let rows: Vec<Value> = set.rows.into_iter().map(row).collect();
            json!({ "columns": set.columns, "rows": rows })
        }
        wire::Value::Template(template) => {
            let member = |metric: wire::Metric| {
                let value =
                    metric.value.map_or(Value::Null, |value| value_of(value, metric.datatype.unwrap_or(0)));
                Some((metric.name?, value))
            };
            Value::Object(template.metrics.into_iter().filter_map(member).collect())
        }
    }
}

fn cell_of(cell: wire::Cell, datatype: u32) -> Value {
    match cell.value {
        Some(wire::CellValue::Int(number)) => integer(number.into(), datatype),
        Some(wire::CellValue::Long(number)) => integer(number, datatype),
        Some(wire::CellValue::Float(number)) => float(number),
        Some(wire::CellValue::Double(number)) => json!(number),
        Some(wire::CellValue::Boolean(truth)) => json!(truth),
        Some(wire::CellValue::String(text)) => Value::String(text),
        None => Value::Null,
    }
}

/// Some nodes fill the upper bits of a negative number of 8 or 16 bits and some do not.
#[expect(clippy::cast_possible_truncation, reason = "the lower bits are the number, in two's complement")]
fn integer(number: u64, datatype: u32) -> Value {
    match datatype {
        1 => json!(number as i8),
        2 => json!(number as i16),
        3 => json!(number as i32),
        4 => json!(number.cast_signed()),
        _ => json!(number),
    }
}

/// 21.3, and not 21.299999237060547; null for NaN and infinity.
fn float(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, |number| json!(number))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use wire::{Metric, Payload, PropertySet, Value as Wire};

    fn metric(name: &str, alias: u64, datatype: u32, value: Wire) -> Metric {
        let value = Some(value);
        Metric {
            name: Some(name.into()),
            alias: Some(alias),
            datatype: Some(datatype),
            value,
            ..Metric::default()
        }
    }

    fn numbered(alias: u64, value: Wire) -> Metric {
        Metric { alias: Some(alias), value: Some(value), ..Metric::default() }
    }

    fn bytes(seq: u64, metrics: Vec<Metric>) -> Vec<u8> {
        Payload { timestamp: Some(1_772_000_000_000), metrics, seq: Some(seq), uuid: None }.bytes()
    }

    fn born() -> BirthCertificates {
        let mut births = BirthCertificates::default();
        let node = vec![metric("bdSeq", 0, 4, Wire::Long(7)), metric("Load", 1, 9, Wire::Float(21.3))];
        births.read("spBv1.0/plant/NBIRTH/edge", &bytes(0, node)).expect("born");
        let device = vec![
            metric("Cellar/Temperature", 2, 1, Wire::Int(251)),
            metric("Leak", 3, 11, Wire::Boolean(false)),
        ];
        births.read("spBv1.0/plant/DBIRTH/edge/press", &bytes(1, device)).expect("born");
        births
    }

    #[test]
    fn numbers_have_the_names_and_types_of_the_birth() {
        let mut births = born();
        let data = bytes(2, vec![numbered(2, Wire::Int(0xffff_fffb)), numbered(3, Wire::Boolean(true))]);
        let seen = births.read("spBv1.0/plant/DDATA/edge/press", &data).expect("read");
        assert_eq!(seen["metrics"], json!({"Cellar/Temperature": -5, "Leak": true}));
        assert_eq!(seen["details"]["Leak"], json!({"value": true, "type": "Boolean"}));
        assert_eq!((&seen["type"], &seen["seq"], &seen["missed"]), (&json!("DDATA"), &json!(2), &json!(0)));
        let data = bytes(3, vec![numbered(1, Wire::Float(21.3)), numbered(99, Wire::Int(1))]);
        let seen = births.read("spBv1.0/plant/NDATA/edge", &data).expect("read");
        assert_eq!(
            seen["metrics"],
            json!({"Load": 21.3}),
            "a number that the birth does not know is nobody's"
        );
    }

    #[test]
    fn data_without_a_birth_needs_metric_names() {
        let data = bytes(9, vec![numbered(2, Wire::Boolean(true))]);
        for topic in ["spBv1.0/plant/NDATA/other", "spBv1.0/plant/DDATA/edge/lathe"] {
            let why = born().read(topic, &data).expect_err(topic);
            assert!(why.contains("alias 2: its ") && why.contains("BIRTH was not heard"), "{why}");
        }
        let named = |value| Metric { name: Some("A".into()), value: Some(value), ..Metric::default() };
        let mut births = BirthCertificates::default();
        let seen = births.read("spBv1.0/p/NDATA/e", &bytes(0, vec![named(Wire::Double(1.5))])).expect("read");
        assert_eq!(seen["metrics"], json!({"A": 1.5}));
        let why = births.read("spBv1.0/p/NDATA/e", &bytes(1, vec![named(Wire::Int(251))])).expect_err("-5?");
        assert!(why.starts_with("the type of metric `A` is not known"), "{why}");
    }

    #[test]
    fn a_missing_birth_is_requested_once_a_minute() {
        let (start, second) = (Timestamp(1_772_000_000_000), Duration::from_secs(1));
        let data = |seq| bytes(seq, vec![numbered(1, Wire::Float(1.0))]);
        let mut births = born();
        for (topic, seq, at, asked) in [
            ("NDATA/edge", 2, 0, false),
            ("NDATA/other", 0, 1, true),
            ("NDATA/other", 1, 60, false),
            ("DDATA/edge/lathe", 3, 60, true), // a device that was not born
            ("NDATA/other", 2, 61, true),
            ("NDATA/edge", 9, 121, true), // five got lost
            ("NDATA/edge", 10, 200, false),
        ] {
            drop(births.read(&format!("spBv1.0/plant/{topic}"), &data(seq)));
            let ask = births.ask(start + second * at);
            assert_eq!(ask.is_some(), asked, "{topic} {seq}");
            if let Some(ask) = ask {
                let node = topic.split('/').nth(1).expect("a node");
                assert_eq!(ask.topic, format!("spBv1.0/plant/NCMD/{node}"));
                let asks = Payload::read(&ask.payload).expect("Sparkplug");
                assert_eq!(asks.metrics[0].name.as_deref(), Some("Node Control/Rebirth"));
                assert_eq!(
                    (asks.metrics[0].datatype, &asks.metrics[0].value),
                    (Some(11), &Some(Wire::Boolean(true)))
                );
            }
        }
        for node in 0..1_000 {
            drop(births.read(&format!("spBv1.0/plant/NDATA/n{node}"), &data(0)));
            drop(births.ask(start + second * 300));
        }
        assert_eq!(births.asked.len(), rebirth::ASKED_MAX);
    }

    #[test]
    fn metrics_of_bad_quality_are_null() {
        let good = numbered(1, Wire::Float(1.0));
        let with = |quality: u32| {
            let values = vec![wire::Property { int: Some(quality) }];
            Some(PropertySet { keys: vec!["Quality".into()], values })
        };
        for (metric, expected) in [
            (Metric { properties: with(192), ..good.clone() }, json!({"Load": 1.0})),
            (Metric { properties: with(0), ..good.clone() }, json!({"Load": null})),
            (Metric { properties: with(500), ..good.clone() }, json!({"Load": null})),
            (Metric { is_null: Some(true), value: None, ..good.clone() }, json!({"Load": null})),
            (Metric { is_historical: Some(true), ..good.clone() }, json!({})),
            (numbered(1, Wire::Float(f32::NAN)), json!({"Load": null})),
        ] {
            let seen = born().read("spBv1.0/plant/NDATA/edge", &bytes(2, vec![metric])).expect("read");
            assert_eq!(seen["metrics"], expected);
            assert!(seen["details"]["Load"].is_object());
        }
    }

    #[test]
    fn messages_that_are_missing_are_counted_round_the_corner_too() {
        let mut births = born();
        for (topic, seq, missed) in [
            ("NDATA/edge", 2, 0),
            ("DDATA/edge/press", 5, 2),
            ("DDATA/edge/press", 5, 0),
            ("NDATA/edge", 255, 249),
            ("NDATA/edge", 0, 0),
            ("NCMD/edge", 200, 0),
            ("DDEATH/edge/press", 2, 1),
            ("NBIRTH/edge", 0, 0),
            ("NDATA/edge", 1, 0),
        ] {
            let seen = births.read(&format!("spBv1.0/plant/{topic}"), &bytes(seq, vec![])).expect(topic);
            assert_eq!(seen["missed"], json!(missed), "{topic} {seq}");
        }
    }

    #[test]
    fn a_will_of_an_earlier_connection_ends_nothing() {
        let mut births = born();
        let will = |number| bytes(0, vec![metric("bdSeq", 0, 4, Wire::Long(number))]);
        let why = births.read("spBv1.0/plant/NDEATH/edge", &will(6)).expect_err("old");
        assert_eq!(why, "this NDEATH has bdSeq 6, and the node was born again since with bdSeq 7");
        let seen = births.read("spBv1.0/plant/NDEATH/edge", &will(7)).expect("its own");
        assert_eq!(seen["metrics"], json!({"bdSeq": 7}));
        let after =
            births.read("spBv1.0/plant/DDATA/edge/press", &bytes(2, vec![numbered(3, Wire::Boolean(true))]));
        assert!(after.is_err(), "its devices went with it");
    }

    #[test]
    fn tables_templates_bytes_and_commands_are_survived() {
        let cell = |value| wire::Cell { value: Some(value) };
        let table = wire::DataSet {
            columns: vec!["a".into(), "b".into()],
            types: vec![3, 12],
            rows: vec![wire::Row {
                elements: vec![
                    cell(wire::CellValue::Int(u32::MAX)),
                    cell(wire::CellValue::String("x".into())),
                ],
            }],
        };
        let template = wire::Template { metrics: vec![metric("rpm", 0, 7, Wire::Int(900))] };
        let data = vec![
            metric("table", 10, 16, Wire::DataSet(table)),
            metric("motor", 11, 19, Wire::Template(template)),
            metric("raw", 12, 17, Wire::Bytes(vec![1, 255])),
            metric("big", 13, 8, Wire::Long(u64::MAX)),
            metric("low", 14, 4, Wire::Long(u64::MAX)),
        ];
        let seen = born().read("spBv1.0/plant/NBIRTH/edge", &bytes(0, data)).expect("read");
        let expected = json!({
            "table": {"columns": ["a", "b"], "rows": [[-1, "x"]]}, "motor": {"rpm": 900}, "raw": "01ff",
            "big": u64::MAX, "low": -1,
        });
        assert_eq!(seen["metrics"], expected);
        let wish = bytes(0, vec![metric("Load", 1, 9, Wire::Float(99.0))]);
        assert_eq!(born().read("spBv1.0/plant/NCMD/edge", &wish).expect("read")["metrics"], json!({}));
        let packed = Payload { uuid: Some("SPBV1.0_COMPRESSED".into()), ..Payload::default() }.bytes();
        for (topic, bytes, why) in [
            ("spBv1.0/p/NDATA/e", packed.as_slice(), "switch the compression off"),
            ("spBv1.0/p/NDATA/e", b"{}", "it is not Sparkplug B"),
            ("spBv1.0/STATE/host", b"{}", "the topic is not"),
            ("spBv1.0/p/NDATA/e/d", b"", "the topic is not"),
            ("spBv1.0/p/DDATA/e", b"", "the topic is not"),
            ("spBv1.0/p/DDATA/e/d", &[0; LIMIT_BYTES + 1], "more than the"),
        ] {
            let found = BirthCertificates::default().read(topic, bytes).expect_err(topic);
            assert!(found.contains(why), "{topic}: {found}");
        }
    }

    #[test]
    fn messages_with_too_many_entries_are_refused_before_allocation() {
        let metric = |inner: &[u8]| [&[0x12, u8::try_from(inner.len()).expect("short")], inner].concat();
        let nested = |tag: &[u8], inner: &[u8]| -> Vec<u8> {
            let mut length = Vec::new();
            prost::encoding::encode_varint(inner.len() as u64, &mut length);
            [tag, &length, inner].concat()
        };
        let many = wire::ENTRIES_MAX + 1;
        let deep = (0..20).fold(Vec::new(), |inner, _| nested(&[0x12], &nested(&[0x92, 0x01], &inner)));
        for (bytes, what) in [
            ([0x12, 0].repeat(many), "metrics"),
            (nested(&[0x12], &nested(&[0x92, 0x01], &[0x12, 0].repeat(many))), "metrics of a template"),
            (nested(&[0x12], &nested(&[0x8a, 0x01], &nested(&[0x22], &[0x0a, 0].repeat(many)))), "cells"),
            (nested(&[0x12], &nested(&[0x4a], &[0x12, 0].repeat(many))), "properties"),
            (deep, "templates in templates"),
        ] {
            let found = BirthCertificates::default().read("spBv1.0/p/NBIRTH/e", &bytes).expect_err(what);
            assert!(found.contains("than 3000 metrics"), "{what}: {found}");
        }
        let some = metric(&[0x0a, 1, b'a']).repeat(100);
        assert!(BirthCertificates::default().read("spBv1.0/p/NBIRTH/e", &some).is_ok());
    }

    #[test]
    fn births_beyond_the_limit_evict_the_quietest_node() {
        let mut births = BirthCertificates::default();
        let birth = || {
            let all = (0..METRICS_MAX as u64 / 8)
                .map(|alias| metric(&format!("m{alias}"), alias, 11, Wire::Boolean(true)));
            bytes(0, all.collect())
        };
        let data = |births: &mut BirthCertificates, node: u32| {
            births
                .read(&format!("spBv1.0/p/NDATA/{node}"), &bytes(1, vec![numbered(1, Wire::Boolean(true))]))
                .is_ok()
        };
        for node in 0..7 {
            births.read(&format!("spBv1.0/p/NBIRTH/{node}"), &birth()).expect("born");
        }
        assert!(data(&mut births, 0));
        births.read("spBv1.0/p/NBIRTH/7", &birth()).expect("born");
        assert_eq!([0, 1, 2, 7].map(|node| data(&mut births, node)), [true, false, true, true]);
    }
}
