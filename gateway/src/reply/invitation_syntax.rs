//! `invite +995 555 12 34 56 Maka as cook`: what the owner writes to have somebody on the list, and off it again.

use crate::command::phrase::{fold, same};
use crate::contact::Phone;
use crate::contact::language::Locale;
use crate::reply::interpret::{Interpretation, Reading};

/// English, German, French, Spanish, Turkish, Russian, Georgian, Arabic.
const INVITE: [&str; 8] =
    ["invite", "einladen", "inviter", "invitar", "davet", "пригласить", "მოიწვიე", "ادع"];
const REMOVE: [&str; 8] =
    ["uninvite", "ausladen", "désinviter", "desinvitar", "çıkar", "исключить", "წაშალე", "احذف"];
/// Between the name and what the person gets.
const AS: [&str; 8] = ["as", "als", "comme", "como", "olarak", "как", "როგორც", "بصفة"];
/// What lists and messages show on a phone.
const NAME_MAX: usize = 40;
/// More roles and teams than anybody has.
const GIVES_MAX: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvitationRequest {
    Invite(Invitation),
    Remove(Phone),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    pub phone: Phone,
    pub name: String,
    /// Roles and teams, as they were typed.
    pub gives: Vec<String>,
}

/// `None`: it is about something else. An error is a sentence for whoever wrote it.
#[must_use]
pub fn read(text: &str, locale: &Locale) -> Option<Result<InvitationRequest, String>> {
    // Telephones put marks of direction around a number that is copied from the contacts.
    let direction =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let text: String = text.chars().filter(|c| !direction(*c)).collect();
    fold(&text)?; // nothing invisible, no long story
    let words: Vec<&str> = text.split_whitespace().collect();
    let (first, rest) = words.split_first()?;
    let is_one = |list: &[&str]| list.iter().any(|word| same(word, first));
    let invites = is_one(&INVITE);
    if !(invites || is_one(&REMOVE)) || !rest.first()?.starts_with('+') {
        return None;
    }
    let of_number = |word: &&str| word.chars().all(|c| c.is_ascii_digit() || "+-.()/".contains(c));
    let end = rest.iter().position(|word| !of_number(word)).unwrap_or(rest.len());
    let (number, rest) = rest.split_at(end);
    Some(match Phone::parse(&number.join(" ")) {
        Err(error) => Err(locale.say(|s| s.number_unclear, &[("why", &error.to_string())])),
        Ok(phone) if invites => invitation(phone, rest, locale).map(InvitationRequest::Invite),
        Ok(phone) => Ok(InvitationRequest::Remove(phone)),
    })
}

fn invitation(phone: Phone, rest: &[&str], locale: &Locale) -> Result<Invitation, String> {
    let between = rest.iter().position(|word| AS.iter().any(|known| same(known, word)));
    let (name, gives) = rest.split_at(between.unwrap_or(rest.len()));
    let name = name.join(" ");
    if !(1..=NAME_MAX).contains(&name.chars().count()) || !name.chars().any(char::is_alphabetic) {
        let most = NAME_MAX.to_string();
        return Err(locale.say(|s| s.name_missing, &[("count", &most), ("phone", phone.e164())]));
    }
    let gives = gives.iter().skip(1).copied().collect::<Vec<_>>().join(" ");
    let gives: Vec<String> =
        gives.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect();
    if gives.len() > GIVES_MAX {
        return Err(locale.say(|s| s.gives_too_much, &[("count", &GIVES_MAX.to_string())]));
    }
    Ok(Invitation { phone, name, gives })
}

impl Reading<'_> {
    pub(crate) fn invite(&self, wanted: Result<InvitationRequest, String>) -> Interpretation {
        let contact = self.contact.id.clone();
        if !self.house.is_owner {
            let text = self.contact.locale.plain(|s| s.owner_only);
            let reason = "only an owner of the site invites people".to_owned();
            return Interpretation::Refused { contact, text, reason };
        }
        match wanted {
            Ok(wanted) => Interpretation::Invite { contact, wanted },
            Err(text) => {
                Interpretation::Say { contact, text, reason: "the invitation is incomplete".to_owned() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invited(text: &str) -> Option<(String, String, Vec<String>)> {
        match read(text, &Locale::default())? {
            Ok(InvitationRequest::Invite(one)) => Some((one.phone.e164().to_owned(), one.name, one.gives)),
            Ok(InvitationRequest::Remove(_)) | Err(_) => None,
        }
    }

    #[test]
    fn a_number_a_name_and_what_the_person_gets() {
        let maka = |gives: &[&str]| {
            let gives = gives.iter().map(|one| (*one).to_owned()).collect();
            Some(("+995555123456".to_owned(), "Maka Kobalia".to_owned(), gives))
        };
        assert_eq!(invited("invite +995 555 12-34-56 Maka Kobalia"), maka(&[]));
        assert_eq!(
            invited("Invite +995555123456 Maka Kobalia as manager, front desk"),
            maka(&["manager", "front desk"])
        );
        assert_eq!(invited("EINLADEN +995555123456 Maka Kobalia als manager"), maka(&["manager"]));
        assert_eq!(
            invited("მოიწვიე \u{202a}+995555123456\u{202c} Maka Kobalia"),
            maka(&[]),
            "as telephones copy it"
        );
    }

    #[test]
    fn other_texts_are_no_invitation_and_incomplete_ones_are_refused() {
        for text in [
            "invite everybody to the party",
            "please invite +995555123456 Maka",
            "invite",
            "in\u{200b}vite +995555123456 Maka",
            "invite 555123456 Maka",
        ] {
            assert_eq!(read(text, &Locale::default()), None, "{text}");
        }
        for text in [
            "invite +995555123456",
            "invite +995 Maka",
            "invite +995555123456 as cook",
            "invite +995555123456 !!!",
        ] {
            let refused = read(text, &Locale::default()).expect(text).expect_err(text);
            assert!(refused.starts_with("Nothing was done"), "{refused}");
        }
        assert!(
            read(&format!("invite +995555123456 {}", "x".repeat(41)), &Locale::default())
                .expect("read")
                .is_err()
        );
        assert!(matches!(
            read("uninvite +995555123456", &Locale::default()),
            Some(Ok(InvitationRequest::Remove(_)))
        ));
    }

    #[test]
    fn an_invitation_lists_at_most_eight_rights() {
        let wanted = |count: usize| {
            let gives: Vec<String> = (0..count).map(|number| format!("role{number}")).collect();
            read(&format!("invite +995555123456 Maka as {}", gives.join(", ")), &Locale::default())
        };
        assert!(matches!(wanted(8), Some(Ok(InvitationRequest::Invite(one))) if one.gives.len() == 8));
        assert!([9, 10].iter().all(|count| matches!(wanted(*count), Some(Err(_)))));
    }
}
