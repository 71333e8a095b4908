//! Texts that go into the program compressed (DEFLATE, RFC 1951): 230 KB become 60. `src/packed.rs` reads them. JSON goes in
//! without its white space; the files themselves are for people.

use std::error::Error;
use std::path::{Path, PathBuf};

use miniz_oxide::deflate::compress_to_vec;
use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    // A folder's time changes with its list of files alone, so each file is named, too.
    println!("cargo::rerun-if-changed=src/http/assets");
    let mut pages = serde_json::Map::new();
    for entry in std::fs::read_dir("src/http/assets")? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a file's name is no text")?;
        if name != "openapi.json" {
            pages.insert(name.to_owned(), Value::String(text(&path)?));
        }
    }
    pack("pages.json", &Value::Object(pages).to_string())?;
    for path in ["src/http/assets/openapi.json", "src/whatsapp/error_codes.json"] {
        let path = Path::new(path);
        pack(path.file_name().and_then(|name| name.to_str()).unwrap_or_default(), &text(path)?)?;
    }
    Ok(())
}

fn text(path: &Path) -> Outcome<String> {
    println!("cargo::rerun-if-changed={}", path.display());
    let text = std::fs::read_to_string(path)?;
    if path.extension().is_some_and(|kind| kind == "json") {
        return Ok(serde_json::from_str::<Value>(&text)?.to_string());
    }
    Ok(text)
}

fn pack(name: &str, text: &str) -> Outcome<()> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join(format!("{name}.deflate"));
    Ok(std::fs::write(out, compress_to_vec(text.as_bytes(), 10))?) // 10: as small as it gets
}
