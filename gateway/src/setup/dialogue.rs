//! Questions and answers, from a person or from arguments.

use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use secrecy::{ExposeSecret, SecretString};

use crate::terminal::plain;

/// Asks at the terminal, or, for fleets, only takes what was given.
#[derive(Debug)]
pub struct Dialogue {
    may_ask: bool,
    /// A given answer that was wrong is not taken twice.
    refused: bool,
}

impl Dialogue {
    #[must_use]
    pub fn new(may_ask: bool) -> Self {
        Self { may_ask, refused: false }
    }

    pub fn say(&self, text: &str) {
        drop(writeln!(std::io::stdout(), "{}", plain(text))); // a reader that has gone is no failure
    }

    /// The given answers were wrong: asks the person, if there is one.
    pub fn again(&mut self) -> Result<()> {
        if !self.may_ask {
            bail!("what was given does not work; correct it and start again");
        }
        self.refused = true;
        Ok(())
    }

    pub fn ask(
        &mut self,
        what: &str,
        place: &str,
        given: Option<&str>,
        known: Option<String>,
    ) -> Result<String> {
        if let Some(given) = given.filter(|_| !self.refused) {
            return Ok(given.to_owned());
        }
        if !self.may_ask {
            return known
                .with_context(|| format!("{what} was not given ({place}); see bellwire setup --help"));
        }
        let shown = known.as_ref().map_or(String::new(), |known| format!(" [{known}]"));
        loop {
            self.say(&format!("\n{what} ({place})"));
            let answer = read_line(&format!("{what}{shown}: "))?;
            match (answer.is_empty(), &known) {
                (false, _) => return Ok(answer),
                (true, Some(known)) => return Ok(known.clone()),
                (true, None) => {}
            }
        }
    }

    /// As `ask`; what is typed is not shown, and neither is what is known.
    pub fn ask_secret(
        &mut self,
        what: &str,
        place: &str,
        given: Option<&SecretString>,
        known: Option<SecretString>,
    ) -> Result<SecretString> {
        if let Some(given) = given.filter(|_| !self.refused) {
            return Ok(given.clone());
        }
        if !self.may_ask {
            return known
                .with_context(|| format!("{what} was not given ({place}); see bellwire setup --help"));
        }
        let shown = if known.is_some() { " [as before]" } else { "" };
        loop {
            self.say(&format!("\n{what} ({place})"));
            let _hidden = Hidden::start();
            let answer = SecretString::from(read_line(&format!("{what}{shown}: "))?);
            match (answer.expose_secret().is_empty(), &known) {
                (false, _) => return Ok(answer),
                (true, Some(known)) => return Ok(known.clone()),
                (true, None) => {}
            }
        }
    }

    pub fn agrees(&mut self, question: &str) -> Result<bool> {
        if !self.may_ask {
            return Ok(false);
        }
        Ok(read_line(&format!("\n{question} [y/N] "))?.to_lowercase().starts_with('y'))
    }
}

fn read_line(prompt: &str) -> Result<String> {
    let mut out = std::io::stdout();
    drop(write!(out, "{}", plain(prompt)).and_then(|()| out.flush()));
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line).context("the answer cannot be read")?;
    if read == 0 {
        bail!("the answers ended; start again, it goes on where it was");
    }
    Ok(line.trim().to_owned())
}

/// The terminal shows nothing of what is typed until this is dropped.
struct Hidden(bool);

impl Hidden {
    fn start() -> Self {
        Self(std::io::stdin().is_terminal() && echo("-echo"))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if self.0 {
            echo("echo");
            drop(writeln!(std::io::stdout()));
        }
    }
}

/// Through stty, which every Debian has: the terminal's settings are out of reach without unsafe code.
fn echo(how: &str) -> bool {
    Command::new("stty").arg(how).stdin(Stdio::inherit()).status().is_ok_and(|status| status.success())
}
