//! Answers to a person who asks, hesitates or mistypes; and Yes and No in the languages that we know.

use std::time::Duration;

use crate::command::action::TextCommand;
use crate::command::authorise::has_role;
use crate::command::phrase::{fold, near, same};
use crate::contact::Contact;
use crate::outbox::button_token::ButtonSubject;
use crate::reply::context::ReplyContext;
use crate::rule::lifecycle_settings::BuiltInButton;
use crate::time::parse_duration;

/// The subject of a question to the gateway itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusQuestion {
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

/// Under an alert: English, German, French, Spanish, Turkish, Russian, Georgian, Arabic.
const CARES: [&str; 14] = [
    "👍",
    "✅",
    "i take care",
    "acknowledge",
    "ack",
    "on it",
    "ich kümmere mich",
    "je m’en occupe",
    "je m'en occupe",
    "yo me encargo",
    "ben bakıyorum",
    "займусь",
    "მე მივხედავ",
    "سأتولى الأمر",
];
/// Under an alert, with or without a time: English, German, French, Spanish. Folded, as what is compared with them.
const SNOOZES: [&str; 5] = ["snooze", "ruhe", "schlummern", "pause", "pausa"];
/// Between the word and the time.
const FOR: [&str; 5] = ["for ", "fuer ", "de ", "pendant ", "durante "];
/// What people write for the units of the configuration.
const UNITS: [(&str, &str); 14] = [
    ("hour", "h"),
    ("hours", "h"),
    ("std", "h"),
    ("stunde", "h"),
    ("stunden", "h"),
    ("heure", "h"),
    ("heures", "h"),
    ("hora", "h"),
    ("horas", "h"),
    ("minutos", "min"),
    ("mins", "min"),
    ("minutes", "min"),
    ("minute", "min"),
    ("minuten", "min"),
];
const MORE: [&str; 8] =
    ["more", "read on", "mehr", "weiterlesen", "plus", "lire la suite", "más", "seguir leyendo"];
/// How long who writes only "snooze" hears nothing.
const SNOOZE: Duration = Duration::from_secs(3_600);
/// A longer rest is an operator's decision, with a silence.
const SNOOZE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Lines in an answer: what fits on the screen of a phone.
const LINES: usize = 20;

#[must_use]
pub fn asked(text: &str) -> Option<StatusQuestion> {
    let is_one = |words: &[&str]| words.iter().any(|word| same(word, text));
    if is_one(&HELP) {
        Some(StatusQuestion::Help)
    } else if is_one(&STATUS) {
        Some(StatusQuestion::Status)
    } else {
        None
    }
}

/// The choice that words under a question make.
#[must_use]
pub fn choice(subject: ButtonSubject, choices: &[String], words: &str) -> Option<String> {
    match subject {
        ButtonSubject::Question(_) => choices.iter().find(|choice| same(choice, words)).cloned(),
        ButtonSubject::Request(_) if YESES.iter().any(|yes| same(yes, words)) => Some(YES.to_owned()),
        ButtonSubject::Request(_) if NOES.iter().any(|no| same(no, words)) => Some(NO.to_owned()),
        ButtonSubject::Request(_) | ButtonSubject::Alert(_) => None,
    }
}

/// Words under an alert that are about the alert itself: `ack`, `snooze`, `snooze 2h`.
#[must_use]
pub fn offer(words: &str) -> Option<BuiltInButton> {
    if CARES.iter().any(|known| same(known, words)) {
        return Some(BuiltInButton::Acknowledge);
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
        "" => Some(BuiltInButton::Snooze(SNOOZE)),
        time => parse_duration(&format!("{}{unit}", &time[..digits]))
            .map(|time| BuiltInButton::Snooze(time.min(SNOOZE_MAX))),
    }
}

/// "Read on", written instead of tapped.
#[must_use]
pub fn is_more(text: &str) -> bool {
    MORE.iter().any(|word| same(word, text))
}

/// The list of what this person may do.
#[must_use]
pub fn help(contact: &Contact, house: &ReplyContext) -> String {
    let locale = &contact.locale;
    let mut lines = vec![locale.plain(|s| s.help_alerts)];
    let mine: Vec<String> = mine(contact, house.commands).map(TextCommand::shown).collect();
    if !mine.is_empty() {
        lines.push(locale.plain(|s| s.help_write));
        lines.extend(mine.iter().take(LINES).map(|words| format!("• {words}")));
        if mine.len() > LINES {
            lines.push(locale.say(|s| s.help_more, &[("count", &(mine.len() - LINES).to_string())]));
        }
    }
    if house.is_owner {
        lines.push(locale.plain(|s| s.help_invite));
    }
    lines.push(locale.plain(|s| s.help_always));
    lines.join("\n")
}

/// The command that was probably meant; only one that the person may give.
#[must_use]
pub fn suggestion(text: &str, contact: &Contact, commands: &[TextCommand]) -> Option<String> {
    let close = mine(contact, commands).find_map(|command| {
        command.phrases.iter().find(|phrase| phrase.is_near(text)).map(|phrase| (command, phrase))
    });
    if let Some((command, phrase)) = close {
        return Some(phrase.shown(&command.values));
    }
    // In the person's own language first: `Hilfe` is what somebody meant who reads German and wrote `hlife`.
    let own = |words: &[&'static str]| words.iter().copied().find(|word| near(word, text));
    let (help, status) = (own(&["help", "hilfe", "aide", "ayuda"]), own(&["status", "estado"]));
    help.or(status).map(str::to_owned)
}

fn mine<'a>(contact: &'a Contact, commands: &'a [TextCommand]) -> impl Iterator<Item = &'a TextCommand> {
    commands.iter().filter(|command| has_role(contact, &command.terms.roles))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snooze_is_understood_in_several_languages_as_whole_words() {
        let hours = |count: u64| Some(BuiltInButton::Snooze(Duration::from_secs(count * 3_600)));
        for (words, expected) in [
            ("snooze", hours(1)),
            ("Snooze 2h", hours(2)),
            ("snooze for 2 hours", hours(2)),
            ("Ruhe", hours(1)),
            ("RUHE für 3 Stunden!", hours(3)),
            ("Ruhe für 1 Std.", hours(1)),
            ("schlummern 90 Minuten", Some(BuiltInButton::Snooze(Duration::from_secs(5_400)))),
            ("pause 2 heures", hours(2)),
            ("Pausa de 4 horas", hours(4)),
            ("pausa 1 h", hours(1)),
            ("snooze 9d", hours(24)),
            ("ich kümmere mich", Some(BuiltInButton::Acknowledge)),
            ("Je m’en occupe.", Some(BuiltInButton::Acknowledge)),
            ("yo me encargo", Some(BuiltInButton::Acknowledge)),
            ("ruhestand", None),
            ("snooze until tomorrow", None),
            ("Ruhe bitte", None),
            ("please snooze", None),
            ("", None),
        ] {
            assert_eq!(offer(words), expected, "{words}");
        }
        assert!(is_more("MORE") && is_more("mehr") && is_more("Seguir leyendo") && !is_more("more of it"));
    }
}
