//! The tests that there are, one process each: which changes each comes to, and whether it notices one.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
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
        let (program, package) = (path.clone(), package.clone());
        let mut test =
            Test { program, package, name: name.to_owned(), took: Duration::ZERO, comes_to: HashSet::new() };
        let begun = Instant::now();
        let mut child = start(&test, None, &[("MUTANT_TRACE", trace.display().to_string())])?;
        ensure!(child.wait()?.success(), "{name} of {} fails without any change", path.display());
        test.took = begun.elapsed();
        let traced = std::fs::read_to_string(&trace).unwrap_or_default();
        test.comes_to = traced.lines().filter_map(|line| line.parse().ok()).collect();
        tests.push(test);
    }
    Ok(tests)
}

impl Test {
    pub fn run(&self, number: usize) -> Result<Seen> {
        let with = [("MUTANT", number.to_string())];
        let mut child = start(self, Some(self.took * 3 + Duration::from_secs(5)), &with)?;
        let until = Instant::now() + self.took * 10 + HANGS;
        loop {
            match child.try_wait()? {
                Some(status) if status.success() => return Ok(Seen::Passed),
                Some(status)
                    if status.signal().is_some_and(|signal| [SIGXCPU, SIGKILL].contains(&signal)) =>
                {
                    return Ok(Seen::TimedOut);
                }
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

/// A change may make a loop endless. What counts is the processor's time, since the machine may be busy with other things;
/// what waits for something that never comes takes none, and is ended after this much longer than it ever took.
const HANGS: Duration = Duration::from_secs(60);
const SIGXCPU: i32 = 24;
const SIGKILL: i32 = 9;

fn start(test: &Test, at_most: Option<Duration>, with: &[(&str, String)]) -> Result<Child> {
    let limit = at_most.map_or_else(|| "unlimited".to_owned(), |time| time.as_secs().to_string());
    Command::new("prlimit")
        .arg(format!("--cpu={limit}"))
        .arg(&test.program)
        .args(["--exact", &test.name, "--quiet", "--test-threads", "1"])
        .current_dir(&test.package)
        .env("CARGO_MANIFEST_DIR", &test.package)
        // What a test found for one change must not help it with the next.
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
        .env("INSTA_UPDATE", "no")
        .envs(with.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{} does not start", test.program.display()))
}
