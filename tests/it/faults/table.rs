//! docs/reliability.md is the list of faults: it names a test for each, and each of them exists.

use std::collections::BTreeSet;
use std::path::Path;

fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).expect("readable"));
        }
    }
}

/// All code of the tests and of the programs.
pub fn code() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut code = String::new();
    for folder in ["tests", "gateway", "simulator", "firmware-bridge"] {
        sources(&root.join(folder), &mut code);
    }
    code
}

#[test]
fn each_fault_has_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let page = std::fs::read_to_string(root.join("docs/reliability.md")).expect("the page");
    let code = code();
    let mut faults = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| F")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let number: u32 = cells[1].trim_start_matches('F').parse().expect("a number");
        assert!(faults.insert(number), "F{number} stands twice");
        let named: Vec<&str> = cells[3].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "F{number} names no test");
        for name in named {
            assert!(code.contains(&format!("fn {name}(")), "F{number}: there is no test `{name}`");
        }
    }
    assert_eq!(faults, (1..=40).collect(), "all forty");
}
