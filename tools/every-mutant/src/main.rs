//! `every-mutant <directory> <list.json> <out> <what of cargo test>…`: tries every change that `cargo mutants --list --json`
//! tells, in one build. The directory is a workspace whose files may be overwritten, with the package `bellwire` in `gateway/`.
//! Of the tests that SKIP names (by a part of the name, with commas between) none is run; JOBS run at once.
//!
//! - `list` what is to be changed
//! - `grammar`, `rewrite` the program with all of it, each change behind a question
//! - `mutant` that question, as it stands in the program
//! - `compile` which changes the compiler takes
//! - `tests_of` who notices

mod compile;
mod grammar;
mod list;
mod rewrite;
mod tests_of;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};

use crate::list::Mutant;
use crate::tests_of::{Seen, Test};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments.next().map(PathBuf::from).context("a directory, a list.json and a place for what is found")
    };
    let (directory, list, out) = (next()?, next()?, next()?);
    let what: Vec<String> = arguments.collect();
    let mutants: Vec<Mutant> = serde_json::from_str(&fs::read_to_string(list)?)?;
    fs::create_dir_all(&out)?;

    let built = compile::compile(&directory, &mutants, &what)?;
    write(&out.join("unviable.txt"), &mutants, &built.refused)?;
    write(&out.join("alone.txt"), &mutants, &built.formless)?;

    let skip = std::env::var("SKIP").unwrap_or_default();
    let mut tests = Vec::new();
    for program in &built.programs {
        tests.extend(tests_of::of(program, &skip)?);
    }
    tests.sort_by_key(|test| test.took);
    let left: Vec<usize> = (1..=mutants.len())
        .filter(|number| !built.refused.contains(number) && !built.formless.contains(number))
        .collect();
    println!("{} changes, {} tests", left.len(), tests.len());
    try_each(&mutants, &left, &tests, &out)
}

fn write(path: &Path, mutants: &[Mutant], numbers: &std::collections::BTreeSet<usize>) -> Result<()> {
    let lines: String = numbers.iter().map(|number| format!("{}\n", mutants[number - 1].name)).collect();
    Ok(fs::write(path, lines)?)
}

/// Each change against the tests that come to it, the quick ones first, until one fails.
fn try_each(mutants: &[Mutant], left: &[usize], tests: &[Test], out: &Path) -> Result<()> {
    let mut files = BTreeMap::new();
    for kind in ["caught", "missed", "timeout", "unreached"] {
        files.insert(kind, fs::File::create(out.join(format!("{kind}.txt")))?);
    }
    let (files, at) = (Mutex::new(files), AtomicUsize::new(0));
    let work = || -> Result<()> {
        while let Some(&number) = left.get(at.fetch_add(1, Ordering::Relaxed)) {
            let (kind, by) = outcome(number, tests)?;
            let mut files = files.lock().expect("no thread panics with the lock");
            let file = files.get_mut(kind).context("a file for each kind")?;
            writeln!(file, "{}{by}", mutants[number - 1].name)?;
        }
        Ok(())
    };
    let jobs: usize = std::env::var("JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no thread panics"))
    })
}

fn outcome<'a>(number: usize, tests: &'a [Test]) -> Result<(&'static str, String)> {
    let mut reached = false;
    for test in tests.iter().filter(|test: &&'a Test| test.comes_to.contains(&number)) {
        reached = true;
        match test.run(number)? {
            Seen::Passed => {}
            Seen::Failed => return Ok(("caught", format!("  # {}", test.name))),
            Seen::TimedOut => return Ok(("timeout", format!("  # {}", test.name))),
        }
    }
    Ok((if reached { "missed" } else { "unreached" }, String::new()))
}
