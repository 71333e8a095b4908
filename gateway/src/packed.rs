//! Texts that lie compressed in the program, because the program's size is what an update downloads; `build.rs` packs them.

use miniz_oxide::inflate::decompress_to_vec_with_limit;

/// The largest has 150 KB.
const MAX_BYTES: usize = 1 << 20;

/// What [`unpack`] reads; by the file's name.
macro_rules! packed {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".deflate"))
    };
}
pub(crate) use packed;

/// The text as it was. That each can be read is shown by a test, so an error has no path of its own: it gives an empty text.
#[must_use]
pub fn unpack(packed: &[u8]) -> String {
    let bytes = decompress_to_vec_with_limit(packed, MAX_BYTES).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    fn file(path: &str) -> String {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
    }

    #[test]
    fn each_text_comes_back_as_it_was() {
        let pages: BTreeMap<String, String> =
            serde_json::from_str(&unpack(packed!("pages.json"))).expect("the page's files");
        for (name, text) in &pages {
            let written = file(&format!("src/http/assets/{name}"));
            if name.ends_with(".json") {
                let values = [text, &written].map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
                assert_eq!(values[0], values[1], "{name}");
            } else {
                assert_eq!(*text, written, "{name}");
            }
        }
        let folder =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/assets")).expect("the folder");
        assert_eq!(pages.len() + 1, folder.count(), "each file but the API's description, which lies alone");
        for (packed, path) in [
            (&packed!("openapi.json")[..], "src/http/assets/openapi.json"),
            (&packed!("error_codes.json")[..], "src/whatsapp/error_codes.json"),
        ] {
            let written: Value = serde_json::from_str(&file(path)).expect("JSON");
            assert_eq!(serde_json::from_str::<Value>(&unpack(packed)).expect("JSON"), written, "{path}");
        }
    }

    #[test]
    fn broken_packed_text_is_empty() {
        assert_eq!(unpack(&[0xff, 0xff]), "");
        assert_eq!(unpack(&miniz_oxide::deflate::compress_to_vec(&[0xff], 1)), "", "no UTF-8");
    }
}
