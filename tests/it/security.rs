//! SECURITY.md names for each threat the tests that would fail without its control, and each of them exists.

use std::path::Path;

use crate::faults::table::code;

#[test]
fn each_threat_has_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let page = std::fs::read_to_string(root.join("SECURITY.md")).expect("the page");
    let code = code();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| threat"));
    let mut threats = 0;
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [threat, control, shown] = cells[..] else { panic!("three cells: {row}") };
        assert!(!control.trim().is_empty(), "{threat}");
        let named: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{threat} names no test");
        for name in named {
            let exists = match name.contains('/') {
                true => root.join(name).is_file(),
                false => code.contains(&format!("fn {name}(")) || code.contains(&format!("\n    {name} \"")),
            };
            assert!(exists, "{threat}: there is no test `{name}`");
        }
        threats += 1;
    }
    assert!(threats >= 25, "{threats} threats");
}

/// Without unsafe code of our own there is nothing for Miri to find; without locks that wait for each other or hand-made
/// atomics, nothing for loom.
#[test]
fn no_crate_of_the_programs_may_have_unsafe_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("a manifest");
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\""));
    for member in ["gateway", "simulator", "firmware-bridge", "tests", "tests/bench"] {
        let manifest = read(&format!("{member}/Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{member}");
        // The disk of the simulation puts functions under SQLite (docs/decisions/0016); no program may have it.
        assert_eq!(manifest.contains("bellwire-disk"), member == "tests", "{member}");
    }
}
