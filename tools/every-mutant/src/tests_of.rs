//! The tests that there are, one process each: which changes each comes to, and whether it notices one.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::compile::Program;

pub struct Test {
    program: PathBuf,
    package: PathBuf,
    pub name: String,
    pub took: Duration,
    pub comes_to: HashSet<usize>,
}

#[derive(PartialEq)]
pub enum Seen {
    Passed,
    Failed,
    TimedOut,
}

pub fn of(program: &Program, skip: &str) -> Result<Vec<Test>> {
    let Program { path, package } = program;
    let listed = Command::new(path).args(["--list", "--format", "terse"]).current_dir(package).output()?;
    let mut tests = Vec::new();
    for line in String::from_utf8(listed.stdout)?.lines() {
        let Some(name) = line.strip_suffix(": test") else { continue };
        if skip.split(',').any(|part| !part.is_empty() && name.contains(part)) {
            continue;
        }
        let trace = std::env::temp_dir().join(format!("every-mutant-{}", std::process::id()));
        let begun = Instant::now();
        let mut child = start(path, name, package, &[("MUTANT_TRACE", trace.as_os_str())])?;
        ensure!(child.wait()?.success(), "{name} of {} fails without any change", path.display());
        let traced = std::fs::read_to_string(&trace).unwrap_or_default();
        let comes_to = traced.lines().filter_map(|line| line.parse().ok()).collect();
        let (program, package) = (path.clone(), package.clone());
        tests.push(Test { program, package, name: name.to_owned(), took: begun.elapsed(), comes_to });
    }
    Ok(tests)
}

impl Test {
    pub fn run(&self, number: usize) -> Result<Seen> {
        let mut child = start(&self.program, &self.name, &self.package, &[("MUTANT", number.to_string().as_ref())])?;
        // A change may make a loop endless; other work on the machine may take its time as well.
        let until = Instant::now() + self.took * 5 + Duration::from_secs(6);
        loop {
            match child.try_wait()? {
                Some(status) if status.success() => return Ok(Seen::Passed),
                Some(_) => return Ok(Seen::Failed),
                None if Instant::now() > until => {
                    child.kill()?;
                    child.wait()?;
                    return Ok(Seen::TimedOut);
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }
}

fn start(program: &Path, name: &str, package: &Path, with: &[(&str, &std::ffi::OsStr)]) -> Result<Child> {
    Command::new(program)
        .args(["--exact", name, "--quiet", "--test-threads", "1"])
        .current_dir(package)
        .env("CARGO_MANIFEST_DIR", package)
        // What a test found for one change must not help it with the next.
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
        .env("INSTA_UPDATE", "no")
        .envs(with.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{} does not start", program.display()))
}
