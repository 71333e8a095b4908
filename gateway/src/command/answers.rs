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
/// Under an alert, with or without a time: English, German. Folded, as what is compared with them.
const SNOOZES: [&str; 3] = ["snooze", "ruhe", "schlummern"];
/// Between the word and the time.
const FOR: [&str; 2] = ["for ", "fuer "];
/// What people write for the units of the configuration.
const UNITS: [(&str, &str); 9] = [
    ("hour", "h"),
    ("hours", "h"),
    ("std", "h"),
    ("stunde", "h"),
    ("stunden", "h"),
    ("mins", "min"),
    ("minutes", "min"),
    ("minute", "min"),
    ("minuten", "min"),
];
const MORE: [&str; 4] = ["more", "read on", "mehr", "weiterlesen"];
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
    let time = SNOOZES.iter().find_map(|word| folded.strip_prefix(word))?;
    if !time.is_empty() && !time.starts_with([' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        return None; // a longer word
    }
    let time = time.trim();
    let time = FOR.iter().find_map(|word| time.strip_prefix(word)).unwrap_or(time).trim();
    let digits = time.bytes().take_while(u8::is_ascii_digit).count();
    let unit = time[digits..].trim();
    let unit = UNITS.iter().find(|(known, _)| *known == unit).map_or(unit, |(_, unit)| unit);
    match time {
        "" => Some(Offer::Snooze(SNOOZE)),
        time => parse_duration(&format!("{}{unit}", &time[..digits]))
            .map(|time| Offer::Snooze(time.min(SNOOZE_MAX))),
    }
}

/// "Read on", written instead of tapped.
#[must_use]
pub fn is_more(text: &str) -> bool {
    MORE.iter().any(|word| same(word, text))
}

/// What this person may do.
#[must_use]
pub fn help(contact: &Contact, house: &House) -> String {
    let voice = &contact.voice;
    let mut lines = vec![voice.plain(|s| s.help_alerts)];
    let mine: Vec<String> = mine(contact, house.commands).map(Spoken::shown).collect();
    if !mine.is_empty() {
        lines.push(voice.plain(|s| s.help_write));
        lines.extend(mine.iter().take(LINES).map(|words| format!("• {words}")));
        if mine.len() > LINES {
            lines.push(voice.say(|s| s.help_more, &[("count", &(mine.len() - LINES).to_string())]));
        }
    }
    if house.is_owner {
        lines.push(voice.plain(|s| s.help_invite));
    }
    lines.push(voice.plain(|s| s.help_always));
    lines.join("\n")
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
    // In the person's own language first: `Hilfe` is what somebody meant who reads German and wrote `hlife`.
    let own = |words: &[&'static str]| words.iter().copied().find(|word| near(word, text));
    let (help, status) = (own(&["help", "hilfe"]), own(&["status"]));
    help.or(status).map(str::to_owned)
}

fn mine<'a>(contact: &'a Contact, commands: &'a [Spoken]) -> impl Iterator<Item = &'a Spoken> {
    commands.iter().filter(|command| has_role(contact, &command.terms.roles))
}
