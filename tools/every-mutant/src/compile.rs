//! The compiler takes the program with all changes, or says which to leave out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::list::Mutant;
use crate::rewrite::{blamed, rewrite};

pub struct Built {
    pub programs: Vec<Program>,
    /// That the compiler refuses, as it would alone.
    pub refused: BTreeSet<usize>,
    /// That have no form beside the others: cargo-mutants tries them alone.
    pub formless: BTreeSet<usize>,
}

/// A program of tests, and where its package is: tests look for their files there.
pub struct Program {
    pub path: PathBuf,
    pub package: PathBuf,
}

#[derive(Deserialize)]
struct Line {
    message: Option<Message>,
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Message {
    level: String,
    rendered: Option<String>,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    is_primary: bool,
}

/// Each round takes out what the compiler's last pass complained about; there are fewer passes than this.
const ROUNDS: usize = 20;

pub fn compile(directory: &Path, mutants: &[Mutant], what: &[String]) -> Result<Built> {
    fs::write(directory.join("gateway/src/mutant.rs"), include_str!("mutant.rs"))?;
    let lib = directory.join("gateway/src/lib.rs");
    fs::write(&lib, format!("#![allow(warnings)]\n{}\npub mod mutant;\n", fs::read_to_string(&lib)?))?;
    let mut original = BTreeMap::new();
    for mutant in mutants {
        let path = directory.join(&mutant.file);
        original
            .insert(mutant.file.as_str(), fs::read_to_string(&path).with_context(|| mutant.file.clone())?);
    }
    let mut built = Built { programs: Vec::new(), refused: BTreeSet::new(), formless: BTreeSet::new() };
    for round in 1..=ROUNDS {
        let mut rewritten = BTreeMap::new();
        for (file, text) in &original {
            let here: Vec<_> = (1..)
                .zip(mutants)
                .filter(|(number, mutant)| mutant.file == *file && !built.knows(*number))
                .collect();
            let (text, formless) = rewrite(text, &here)?;
            built.formless.extend(formless);
            fs::write(directory.join(file), &text)?;
            rewritten.insert(*file, text);
        }
        let complaints = built.once(directory, what, &rewritten)?;
        println!(
            "round {round}: {} refused, {} to be tried alone",
            built.refused.len(),
            built.formless.len()
        );
        if !built.programs.is_empty() {
            return Ok(built);
        }
        if complaints.blamed == 0 {
            bail!(
                "the program does not compile, and no change is to blame:\n{}",
                complaints.others.join("\n")
            );
        }
    }
    bail!("the program still does not compile after {ROUNDS} rounds")
}

struct Complaints {
    blamed: usize,
    others: Vec<String>,
}

impl Built {
    fn knows(&self, number: usize) -> bool {
        self.refused.contains(&number) || self.formless.contains(&number)
    }

    fn once(
        &mut self,
        directory: &Path,
        what: &[String],
        rewritten: &BTreeMap<&str, String>,
    ) -> Result<Complaints> {
        let output = Command::new("cargo")
            .args(["test", "--no-run", "--message-format", "json"])
            .args(what)
            .current_dir(directory)
            .stderr(Stdio::null())
            .output()?;
        let mut complaints = Complaints { blamed: 0, others: Vec::new() };
        let mut around = BTreeSet::new();
        let mut programs = Vec::new();
        let refused_before = self.refused.len();
        for line in String::from_utf8(output.stdout)?.lines() {
            let line: Line = serde_json::from_str(line)?;
            let is_test = line.profile.is_some_and(|profile| profile.test);
            if let (Some(path), Some(manifest)) = (line.executable.filter(|_| is_test), line.manifest_path) {
                programs.push(Program { path, package: manifest.with_file_name("") });
            }
            let Some(message) = line.message.filter(|message| message.level == "error") else { continue };
            let mut known = false;
            // What a change moves is missed elsewhere: then a secondary place names the change.
            let places = message.spans.iter().filter(|span| span.is_primary).chain(&message.spans);
            for span in places {
                if known && !span.is_primary {
                    break;
                }
                let Some(text) = rewritten.get(span.file_name.as_str()) else { continue };
                let numbers = blamed(text, &(span.byte_start..span.byte_end));
                known |= !numbers.is_empty();
                for number in numbers {
                    complaints.blamed += usize::from(!self.knows(number));
                    let own = text[..span.byte_start].rfind(&format!("/*M{number}*/")).is_some_and(|at| {
                        text[at..]
                            .find(&format!("/*m{number}*/"))
                            .is_some_and(|end| at + end >= span.byte_end)
                    });
                    if !own {
                        println!("{}: {}", number, message.rendered.as_deref().unwrap_or_default());
                    }
                    if own {
                        self.refused.insert(number)
                    } else {
                        around.insert(number)
                    };
                }
            }
            if !known {
                complaints.others.extend(message.rendered);
            }
        }
        // What surrounds a change that is refused is no mistake of its own: without that one, it may well compile.
        if self.refused.len() == refused_before {
            self.formless.extend(around.difference(&self.refused));
        }
        if output.status.success() {
            self.programs = programs;
        }
        Ok(complaints)
    }
}
