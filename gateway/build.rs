//! JSON that goes into the program, without its white space: 31 KB of 95. The files themselves are for people.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let files = [("src/http/assets", "openapi.json"), ("src/whatsapp", "error_codes.json")];
    for (folder, name) in files {
        println!("cargo::rerun-if-changed={folder}/{name}");
        let text = std::fs::read_to_string(format!("{folder}/{name}"))?;
        let value: serde_json::Value = serde_json::from_str(&text)?;
        std::fs::write(out.join(name), value.to_string())?;
    }
    Ok(())
}
