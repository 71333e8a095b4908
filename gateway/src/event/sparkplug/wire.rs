//! Sparkplug B as it is on the wire: what of `sparkplug_b.proto` (Sparkplug 3.0.0, 6.4, Google Protocol Buffer Schema) is
//! read, or written to ask for a birth. Fields that are not named here are passed over.

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub struct Payload {
    #[prost(uint64, optional, tag = "1")]
    pub timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
    #[prost(uint64, optional, tag = "3")]
    pub seq: Option<u64>,
    #[prost(string, optional, tag = "4")]
    pub uuid: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Metric {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    pub alias: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    pub datatype: Option<u32>,
    #[prost(bool, optional, tag = "5")]
    pub is_historical: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub is_null: Option<bool>,
    #[prost(message, optional, tag = "9")]
    pub properties: Option<PropertySet>,
    #[prost(oneof = "Value", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18")]
    pub value: Option<Value>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Value {
    /// Signed integers of up to 32 bits too, in two's complement: only the data type tells.
    #[prost(uint32, tag = "10")]
    Int(u32),
    #[prost(uint64, tag = "11")]
    Long(u64),
    #[prost(float, tag = "12")]
    Float(f32),
    #[prost(double, tag = "13")]
    Double(f64),
    #[prost(bool, tag = "14")]
    Boolean(bool),
    #[prost(string, tag = "15")]
    String(String),
    #[prost(bytes = "vec", tag = "16")]
    Bytes(Vec<u8>),
    #[prost(message, tag = "17")]
    DataSet(DataSet),
    #[prost(message, tag = "18")]
    Template(Template),
}

#[derive(Clone, PartialEq, Message)]
pub struct PropertySet {
    #[prost(string, repeated, tag = "1")]
    pub keys: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub values: Vec<Property>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Property {
    #[prost(uint32, optional, tag = "3")]
    pub int: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub struct DataSet {
    #[prost(string, repeated, tag = "2")]
    pub columns: Vec<String>,
    #[prost(uint32, repeated, tag = "3")]
    pub types: Vec<u32>,
    #[prost(message, repeated, tag = "4")]
    pub rows: Vec<Row>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Row {
    #[prost(message, repeated, tag = "1")]
    pub elements: Vec<Cell>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Cell {
    #[prost(oneof = "CellValue", tags = "1, 2, 3, 4, 5, 6")]
    pub value: Option<CellValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum CellValue {
    #[prost(uint32, tag = "1")]
    Int(u32),
    #[prost(uint64, tag = "2")]
    Long(u64),
    #[prost(float, tag = "3")]
    Float(f32),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(bool, tag = "5")]
    Boolean(bool),
    #[prost(string, tag = "6")]
    String(String),
}

#[derive(Clone, PartialEq, Message)]
pub struct Template {
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
}

/// What one message may hold: 3,000 metrics without properties, 2,000 with two each. A metric of 14 bytes takes 4 KB until its
/// rule has said what it says, a cell or a property an eighth of it at most.
pub const ENTRIES_MAX: usize = 24_000;
const METRIC: usize = 8;
/// Templates within templates.
const DEPTH_MAX: usize = 16;

/// What stands at a place of the message, as far as it holds others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Payload,
    Metric,
    Properties,
    DataSet,
    Row,
    Template,
    Leaf,
}

impl Place {
    fn inside(self, tag: u64) -> Option<Self> {
        Some(match (self, tag) {
            (Self::Payload | Self::Template, 2) => Self::Metric,
            (Self::Metric, 9) => Self::Properties,
            (Self::Metric, 17) => Self::DataSet,
            (Self::Metric, 18) => Self::Template,
            (Self::DataSet, 2 | 3) | (Self::Row, 1) | (Self::Properties, 1 | 2) => Self::Leaf,
            (Self::DataSet, 4) => Self::Row,
            _ => return None,
        })
    }
}

/// Takes what the message holds off `left`, before memory is taken for it; nonsense is left to the reader.
fn weigh(mut bytes: &[u8], place: Place, depth: usize, left: &mut usize) -> Option<()> {
    depth.checked_sub(1)?;
    while !bytes.is_empty() {
        let Ok(key) = prost::encoding::decode_varint(&mut bytes) else { return Some(()) };
        let length = match key & 7 {
            0 => {
                let Ok(_) = prost::encoding::decode_varint(&mut bytes) else { return Some(()) };
                0
            }
            1 => 8,
            2 => {
                let Ok(length) = prost::encoding::decode_varint(&mut bytes) else { return Some(()) };
                usize::try_from(length).unwrap_or(usize::MAX)
            }
            5 => 4,
            _ => return Some(()),
        };
        let Some((field, rest)) = bytes.split_at_checked(length) else { return Some(()) };
        bytes = rest;
        if let Some(inner) = place.inside(key >> 3) {
            *left = left.checked_sub(if inner == Place::Metric { METRIC } else { 1 })?;
            if inner != Place::Leaf && key & 7 == 2 {
                weigh(field, inner, depth - 1, left)?;
            }
        }
    }
    Some(())
}

impl Payload {
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut left = ENTRIES_MAX;
        if weigh(bytes, Place::Payload, DEPTH_MAX, &mut left).is_none() {
            return Err(format!(
                "it has more metrics, cells and properties than {} metrics; send it in several",
                ENTRIES_MAX / METRIC
            ));
        }
        let payload = Self::decode(bytes).map_err(|error| error.to_string())?;
        // Tahu's compression envelope; it is no part of the specification.
        if payload.uuid.as_deref() == Some("SPBV1.0_COMPRESSED") {
            return Err("it is compressed; switch the compression off at the edge node".into());
        }
        Ok(payload)
    }
}

impl Payload {
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}
