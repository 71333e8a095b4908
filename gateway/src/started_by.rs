//! Who starts the daemon on this machine, for the sentences that name the next step: where there is no systemd, `systemctl` is none.

use std::net::SocketAddr;
use std::path::Path;

/// The image and the add-on set it; elsewhere it is found out.
const VARIABLE: &str = "BELLWIRE_STARTED_BY";
/// Where a package or an administrator puts the unit, merged `/usr` or not.
const UNITS: [&str; 3] = [
    "/lib/systemd/system/bellwire.service",
    "/usr/lib/systemd/system/bellwire.service",
    "/etc/systemd/system/bellwire.service",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartedBy {
    /// The package's unit is there. Whether systemd runs now does not matter: a card is prepared in a folder.
    Unit,
    /// The image, with the compose file of the book.
    Compose,
    /// Home Assistant's add-on.
    AddOn,
    /// A clone, or `cargo install`.
    Hand,
}

impl StartedBy {
    #[must_use]
    pub fn here() -> Self {
        let word = std::env::var(VARIABLE).unwrap_or_default();
        Self::of(&word, UNITS.iter().any(|unit| Path::new(unit).exists()))
    }

    fn of(word: &str, has_unit: bool) -> Self {
        match word {
            "compose" => Self::Compose,
            "add-on" => Self::AddOn,
            _ if has_unit => Self::Unit,
            _ => Self::Hand,
        }
    }

    /// Now and after each boot, and then what says how it goes; `config` is what was written.
    #[must_use]
    pub fn first_start(self, config: &Path) -> String {
        let words = match self {
            Self::Unit => "systemctl enable --now bellwire, then: sudo -u bellwire bellwire doctor",
            Self::Compose => "docker compose up -d, then: docker compose exec bellwire bellwire doctor",
            Self::AddOn => {
                "restart the add-on, then open Bellwire in the side bar: Setup says what is missing"
            }
            Self::Hand => {
                let place = format!("--config {}", config.display());
                return format!("bellwire run {place}, then, beside it: bellwire doctor {place}");
            }
        };
        words.to_owned()
    }

    /// After a restore: what was written is looked at before it is started.
    #[must_use]
    pub fn start_of_restored(self) -> &'static str {
        match self {
            Self::Unit => "sudo -u bellwire bellwire check && sudo systemctl enable --now bellwire",
            Self::Compose => "docker compose run --rm bellwire check && docker compose up -d",
            Self::AddOn => self.start(),
            Self::Hand => "bellwire check && bellwire run",
        }
    }

    #[must_use]
    pub fn start(self) -> &'static str {
        match self {
            Self::Unit => "systemctl start bellwire",
            Self::Compose => "docker compose up -d",
            Self::AddOn => "start the add-on",
            Self::Hand => "bellwire run",
        }
    }

    #[must_use]
    pub fn stop(self) -> &'static str {
        match self {
            Self::Unit => "systemctl stop bellwire",
            Self::Compose => "docker compose stop bellwire",
            Self::AddOn => "stop the add-on",
            Self::Hand => "end that process",
        }
    }

    /// So that no boot starts it either.
    #[must_use]
    pub fn disable(self) -> &'static str {
        match self {
            Self::Unit => "systemctl disable --now bellwire",
            Self::Compose => "docker compose stop bellwire",
            Self::AddOn => "stop the add-on and switch off that it starts at boot",
            Self::Hand => "do not start it again",
        }
    }

    #[must_use]
    pub fn reload(self) -> &'static str {
        match self {
            Self::Unit => "sudo systemctl reload bellwire",
            Self::Compose => "docker compose exec bellwire bellwire reload",
            Self::AddOn => "restart the add-on",
            Self::Hand => "bellwire reload",
        }
    }

    /// How another command of the program is begun.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Unit => "sudo -u bellwire bellwire",
            Self::Compose => "docker compose exec bellwire bellwire",
            Self::AddOn | Self::Hand => "bellwire",
        }
    }

    /// Where the number's values are entered.
    #[must_use]
    pub fn set_up(self) -> &'static str {
        match self {
            Self::Unit => "sudo bellwire setup",
            Self::Compose => "docker compose run --rm setup",
            Self::AddOn => "the options of the add-on",
            Self::Hand => "bellwire setup",
        }
    }

    /// What is opened in a browser.
    #[must_use]
    pub fn page(self, listen: SocketAddr) -> String {
        match self {
            Self::AddOn => "Bellwire in the side bar".to_owned(),
            Self::Unit | Self::Compose | Self::Hand => format!("http://{listen}/"),
        }
    }

    /// Where its last lines are.
    #[must_use]
    pub fn log(self) -> &'static str {
        match self {
            Self::Unit => "journalctl -u bellwire -n 50",
            Self::Compose => "docker compose logs --tail 50 bellwire",
            Self::AddOn => "the add-on's log",
            Self::Hand => "what bellwire run has printed",
        }
    }

    /// Where the log's line with "this code" is.
    #[must_use]
    pub fn log_of_code(self) -> &'static str {
        match self {
            Self::Unit => "journalctl -u bellwire -g \"this code\"",
            Self::Compose => "docker compose logs bellwire | grep \"this code\"",
            Self::AddOn => "Settings > Add-ons > Bellwire > Log",
            Self::Hand => "bellwire run",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_and_the_unit_tell_what_started_it() {
        assert_eq!(StartedBy::of("compose", false), StartedBy::Compose);
        assert_eq!(StartedBy::of("add-on", true), StartedBy::AddOn);
        assert_eq!(StartedBy::of("", true), StartedBy::Unit);
        assert_eq!(StartedBy::of("", false), StartedBy::Hand);
        assert_eq!(StartedBy::of("something else", false), StartedBy::Hand);
    }

    #[test]
    fn without_a_unit_nothing_speaks_of_systemd() {
        for by in [StartedBy::Compose, StartedBy::AddOn, StartedBy::Hand] {
            let first = by.first_start(Path::new("bellwire.toml"));
            let said = [
                first.as_str(),
                by.start_of_restored(),
                by.start(),
                by.stop(),
                by.disable(),
                by.reload(),
                by.program(),
                by.set_up(),
                by.log(),
                by.log_of_code(),
            ];
            assert!(
                !said.iter().any(|words| words.contains("systemctl") || words.contains("journalctl")),
                "{by:?}: {said:?}"
            );
        }
    }
}
