//! What is answered to a person who asks, hesitates or mistypes; and Yes and No in the languages that we know.

use std::time::Duration;

use crate::alert::life::Offer;
use crate::alert::token::Subject;
use crate::command::authorise::has_role;
use crate::command::deed::Spoken;
use crate::command::reply::House;
use crate::command::words::{fold, near, same};
use crate::contact::Contact;
use crate::time::parse_duration;

/// What a question to the gateway itself is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Help,
    Status,
}

/// The choices of everything that waits for a Yes.
pub const YES: &str = "yes";
pub const NO: &str = "no";

/// English, German, French, Spanish, Turkish, Russian, Georgian, Arabic.
const HELP: [&str; 11] =
    ["help", "?", "hilfe", "aide", "ayuda", "yardım", "помощь", "დახმარება", "مساعدة", "commands", "menu"];
const STATUS: [&str; 8] = ["status", "zustand", "état", "estado", "durum", "статус", "სტატუსი", "الحالة"];
const YESES: [&str; 13] =
    ["yes", "y", "ok", "okay", "ja", "oui", "sí", "evet", "да", "კი", "نعم", "👍", "✅"];
const NOES: [&str; 10] = ["no", "n", "nein", "non", "hayır", "нет", "არა", "لا", "👎", "❌"];

/// Under an alert: English, German, Turkish, Russian, Georgian, Arabic.
const CARES: [&str; 11] = [
    "👍",
    "✅",
    "i take care",
    "acknowledge",
    "ack",
    "on it",
    "ich kümmere mich",
    "ben bakıyorum",
    "займусь",
    "მე მივხედავ",
    "سأتولى الأمر",
];
/// How long who writes only "snooze" hears nothing.
const SNOOZE: Duration = Duration::from_secs(3_600);
/// A longer rest is an operator's decision, with a silence.
const SNOOZE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Lines in an answer: what fits on the screen of a phone.
const LINES: usize = 20;

#[must_use]
pub fn asked(text: &str) -> Option<Asked> {
    let is_one = |words: &[&str]| words.iter().any(|word| same(word, text));
    if is_one(&HELP) {
        Some(Asked::Help)
    } else if is_one(&STATUS) {
        Some(Asked::Status)
    } else {
        None
    }
}

/// The choice that words under a question make.
#[must_use]
pub fn choice(subject: Subject, choices: &[String], words: &str) -> Option<String> {
    match subject {
        Subject::Question(_) => choices.iter().find(|choice| same(choice, words)).cloned(),
        Subject::Request(_) if YESES.iter().any(|yes| same(yes, words)) => Some(YES.to_owned()),
        Subject::Request(_) if NOES.iter().any(|no| same(no, words)) => Some(NO.to_owned()),
        Subject::Request(_) | Subject::Alert(_) => None,
    }
}

/// Words under an alert that are about the alert itself: `ack`, `snooze`, `snooze 2h`.
#[must_use]
pub fn offer(words: &str) -> Option<Offer> {
    if CARES.iter().any(|known| same(known, words)) {
        return Some(Offer::Acknowledge);
    }
    let folded = fold(words)?;
    match folded.strip_prefix("snooze")?.trim() {
        "" => Some(Offer::Snooze(SNOOZE)),
        time => parse_duration(time).map(|time| Offer::Snooze(time.min(SNOOZE_MAX))),
    }
}

/// What this person may do.
#[must_use]
pub fn help(contact: &Contact, house: &House) -> String {
    let mut text =
        "Tap a button under an alert, or react with 👍 to say that you take care of it, or write “snooze 1h” under it.\n".to_owned();
    let mine: Vec<String> = mine(contact, house.commands).map(Spoken::shown).collect();
    if !mine.is_empty() {
        text += "You may write:\n";
        for words in mine.iter().take(LINES) {
            text += &format!("• {words}\n");
        }
        if mine.len() > LINES {
            text += &format!("… and {} more\n", mine.len() - LINES);
        }
    }
    if house.is_owner {
        text += "• invite +995 555 12 34 56 Maka as cook: somebody new; uninvite +995 555 12 34 56: off the list\n";
    }
    text + "• status: what is going on\n• STOP: no more messages"
}

/// What was probably meant: only what the person may do is told.
#[must_use]
pub fn suggestion(text: &str, contact: &Contact, commands: &[Spoken]) -> Option<String> {
    let close = mine(contact, commands).find_map(|command| {
        command.phrases.iter().find(|phrase| phrase.is_near(text)).map(|phrase| (command, phrase))
    });
    if let Some((command, phrase)) = close {
        return Some(phrase.shown(&command.values));
    }
    ["help", "status"].into_iter().find(|word| near(word, text)).map(str::to_owned)
}

fn mine<'a>(contact: &'a Contact, commands: &'a [Spoken]) -> impl Iterator<Item = &'a Spoken> {
    commands.iter().filter(|command| has_role(contact, &command.terms.roles))
}
