//! People: who they are and how they are reached. Nothing here performs I/O or asks the time.

mod phone;
/// How bad something is.
pub mod severity;
/// When somebody is left in peace.
pub mod quiet_hours;
/// Whose turn it is.
pub mod on_call;
/// One number in several spellings.
mod spelling;
/// In which words, and by which clock.
pub mod language;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use phone::{Phone, PhoneError};

use crate::contact::language::Locale;
use crate::contact::on_call::OnCallRota;
use crate::contact::quiet_hours::QuietHours;
use crate::event::topic::TopicPattern;
use crate::time::Timestamp;
use crate::words::word_enum;
use jiff::tz::TimeZone;

use crate::ids::ContactId;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    pub id: ContactId,
    /// How lists call them; the id when the configuration gives none.
    pub name: String,
    pub to: Recipient,
    pub roles: BTreeSet<String>,
    /// Where they may act; empty means everywhere.
    pub topics: Vec<TopicPattern>,
    /// Whether STOP is obeyed: for those on duty it may not be.
    pub may_stop: bool,
    pub locale: Locale,
}

/// How a message is addressed (docs/cloud-api.md 1.1, 3.6).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recipient {
    Phone(Phone),
    /// A business-scoped user id, byte for byte as a webhook gave it: for somebody who hides the number.
    UserId(String),
    Group(String),
}

impl Recipient {
    /// As the store keeps it: a number with its `+`, else an id of WhatsApp's.
    #[must_use]
    pub fn address(&self) -> &str {
        match self {
            Self::Phone(phone) => phone.e164(),
            Self::UserId(id) | Self::Group(id) => id,
        }
    }

    /// For logs and tables: `+995…456`.
    #[must_use]
    pub fn masked(&self) -> String {
        match self {
            Self::Phone(phone) => phone.masked(),
            Self::UserId(id) => format!("{}…", id.split('.').next().unwrap_or_default()),
            Self::Group(_) => "a group".into(),
        }
    }

    /// A user id has a country and a point, `US.1349…`; a group's id has none (docs/cloud-api.md 3.6).
    #[must_use]
    pub fn parse(address: &str) -> Option<Self> {
        match address {
            "" => None,
            number if number.starts_with('+') => Phone::parse(number).ok().map(Self::Phone),
            id if id.contains('.') => Some(Self::UserId(id.to_owned())),
            id => Some(Self::Group(id.to_owned())),
        }
    }
}

/// Somebody whom an owner invited and who said Yes: a contact that stands in no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    pub id: ContactId,
    pub name: String,
    pub phone: Phone,
    pub roles: BTreeSet<String>,
    pub teams: BTreeSet<String>,
    /// MQTT filters, where the person may act; empty means everywhere.
    pub places: Vec<String>,
    /// Whoever invited.
    pub by: ContactId,
}

word_enum! {
    /// Where an invitation stands.
    GuestState {
        Asked = "asked",
        /// Said Yes.
        Joined = "joined",
        Declined = "declined",
        /// Taken off the list, or invited anew.
        Removed = "removed",
    }
}

/// All contacts and teams. Built by `config`, which has checked that every name exists.
#[derive(Debug, Clone, Default)]
pub struct People {
    pub contacts: BTreeMap<ContactId, Contact>,
    pub teams: BTreeMap<String, Vec<ContactId>>,
    /// Of teams whose members take turns.
    pub rotas: BTreeMap<String, OnCallRota>,
    pub quiet: BTreeMap<ContactId, QuietHours>,
    /// The site's own: of everybody who says nothing else, and of who is no contact.
    pub locale: Locale,
    /// Those of the contacts who stand in no file.
    guests: BTreeSet<ContactId>,
}

impl People {
    /// The contacts behind a list of contact and team names: each once, in the order given. A name that is neither
    /// is skipped; `config` refuses such a file.
    #[must_use]
    pub fn resolve(&self, names: &[String]) -> Vec<&Contact> {
        let mut seen = BTreeSet::new();
        names
            .iter()
            .flat_map(|name| match self.teams.get(name) {
                Some(members) => members.clone(),
                None => vec![ContactId(name.clone())],
            })
            .filter(|id| seen.insert(id.clone()))
            .filter_map(|id| self.contacts.get(&id))
            .collect()
    }

    /// As [`People::resolve`], but of a team whose members take turns only the one on duty.
    #[must_use]
    pub fn on_duty(&self, names: &[String], now: Timestamp, zone: &TimeZone) -> Vec<&Contact> {
        let duty = |name: &String| {
            let (rota, members) = (self.rotas.get(name)?, self.teams.get(name)?);
            rota.on_duty(members, now, zone).map(|id| id.0.clone())
        };
        let names: Vec<String> =
            names.iter().map(|name| duty(name).unwrap_or_else(|| name.clone())).collect();
        self.resolve(&names)
    }

    /// Everybody whom these names may mean, today or another day: members out of turn, and who stands in for one.
    #[must_use]
    pub fn ever<'a>(&self, names: impl Iterator<Item = &'a String>) -> BTreeSet<ContactId> {
        let mut found = BTreeSet::new();
        for name in names {
            found.extend(
                self.resolve(std::slice::from_ref(name)).into_iter().map(|contact| contact.id.clone()),
            );
            let overrides = self.rotas.get(name).into_iter().flat_map(|rota| &rota.overrides);
            found.extend(overrides.map(|other| other.member.clone()));
        }
        found
    }

    /// How others call this person; the id of one who is in the configuration no more.
    #[must_use]
    pub fn name<'a>(&'a self, id: &'a ContactId) -> &'a str {
        self.contacts.get(id).map_or(id.0.as_str(), |contact| contact.name.as_str())
    }

    /// How this person is spoken to, on the list or not.
    #[must_use]
    pub fn locale(&self, id: &ContactId) -> &Locale {
        self.contacts.get(id).map_or(&self.locale, |contact| &contact.locale)
    }

    #[must_use]
    pub fn has_guests(&self) -> bool {
        !self.guests.is_empty()
    }

    /// With these, and no others, who were invited. Whoever stands in the file, too, is who the file says.
    #[must_use]
    pub fn with(self: &Arc<Self>, guests: &[Guest]) -> Arc<Self> {
        if self.guests.is_empty() && guests.is_empty() {
            return Arc::clone(self);
        }
        let mut all = Self::clone(self);
        for former in std::mem::take(&mut all.guests) {
            all.contacts.remove(&former);
            all.teams.values_mut().for_each(|members| members.retain(|member| *member != former));
        }
        for guest in guests {
            let topics: Option<Vec<TopicPattern>> =
                guest.places.iter().map(|place| TopicPattern::parse(place).ok()).collect();
            // A place that cannot be read must not become everywhere.
            let Some(topics) = topics else { continue };
            if all.knows(&guest.id.0) || !all.with_phone(&guest.phone).is_empty() {
                continue;
            }
            for team in &guest.teams {
                if let Some(members) = all.teams.get_mut(team) {
                    members.push(guest.id.clone());
                }
            }
            let (id, name, roles) = (guest.id.clone(), guest.name.clone(), guest.roles.clone());
            let to = Recipient::Phone(guest.phone.clone());
            let locale = all.locale.clone();
            let contact = Contact { id: id.clone(), name, to, roles, topics, may_stop: true, locale };
            all.guests.insert(id.clone());
            all.contacts.insert(id, contact);
        }
        Arc::new(all)
    }

    /// Whether there is a contact or team of this name.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.teams.contains_key(name) || self.contacts.contains_key(&ContactId(name.to_owned()))
    }

    /// Whom a webhook names: by the user id first, since a number may be spelled in several ways, and may be somebody
    /// else's tomorrow; then by what was learned of them, and by every spelling of the number.
    #[must_use]
    pub fn whose(
        &self,
        phone: Option<&Phone>,
        user_id: Option<&str>,
        known: &KnownIdentity,
    ) -> IdentityOwner<'_> {
        let by_id = |id: &str| {
            let is_it = |contact: &&Contact| matches!(&contact.to, Recipient::UserId(known) if known == id);
            self.contacts.values().find(is_it).or_else(|| self.still(known.by_id.as_ref()?))
        };
        if let Some(contact) = user_id.and_then(by_id) {
            return IdentityOwner::One(contact);
        }
        let mut found = phone.map(|phone| self.with_phone(phone)).unwrap_or_default();
        for contact in known.by_alias.iter().filter_map(|known| self.still(known)) {
            if !found.iter().any(|other| other.id == contact.id) {
                found.push(contact);
            }
        }
        match found.as_slice() {
            [] => IdentityOwner::Nobodys,
            [contact] => IdentityOwner::One(contact),
            [_, ..] => IdentityOwner::Several(found),
        }
    }

    /// The contact of whom something was learned, if they are still written to at that address: the id of a contact may have
    /// gone to somebody else since, with another number.
    fn still(&self, (id, address): &(ContactId, String)) -> Option<&Contact> {
        self.contacts.get(id).filter(|contact| contact.to.address() == address)
    }

    /// The group, where it is a contact.
    #[must_use]
    pub fn group(&self, id: &str) -> Option<&Contact> {
        self.contacts.values().find(|contact| matches!(&contact.to, Recipient::Group(known) if known == id))
    }

    /// The contact with this number, in whichever spelling.
    #[must_use]
    pub fn by_phone(&self, phone: &Phone) -> Option<&Contact> {
        self.with_phone(phone).first().copied()
    }

    fn with_phone(&self, phone: &Phone) -> Vec<&Contact> {
        let is_it =
            |contact: &&Contact| matches!(&contact.to, Recipient::Phone(known) if known.is_same(phone));
        self.contacts.values().filter(is_it).collect()
    }
}

/// What was learned of a number and a user id: of which contact, and to which address of theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownIdentity {
    /// Who wrote with this user id before.
    pub by_id: Option<(ContactId, String)>,
    /// To whom Meta said that our messages went, when it named this number or user id.
    pub by_alias: Vec<(ContactId, String)>,
}

/// Whom a number and a user id belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityOwner<'a> {
    Nobodys,
    One(&'a Contact),
    /// It fits more than one person, so nobody acts.
    Several(Vec<&'a Contact>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::on_call::OnCallRota;

    fn contact(id: &str, address: &str) -> (ContactId, Contact) {
        let to = Recipient::parse(address).expect("an address");
        let id = ContactId(id.into());
        (
            id.clone(),
            Contact {
                id,
                name: String::new(),
                to,
                roles: BTreeSet::new(),
                topics: Vec::new(),
                may_stop: true,
                locale: Locale::default(),
            },
        )
    }

    fn people() -> People {
        let contacts =
            [contact("nino", "+995555123456"), contact("giorgi", "GE.42"), contact("all", "12345")];
        let members = |ids: &[&str]| ids.iter().map(|id| ContactId((*id).into())).collect::<Vec<_>>();
        let teams = [("kitchen".to_owned(), members(&["giorgi", "nino", "nobody"]))];
        People { contacts: contacts.into(), teams: teams.into(), ..People::default() }
    }

    fn ids(found: &[&Contact]) -> Vec<String> {
        found.iter().map(|contact| contact.id.0.clone()).collect()
    }

    #[test]
    fn an_address_is_a_number_a_user_or_a_group() {
        let kinds = ["+995 555 12 34 56", "US.1349", "1203630", "+1", ""].map(Recipient::parse);
        let [Some(Recipient::Phone(phone)), Some(user), Some(group), None, None] = &kinds else {
            panic!("{kinds:?}")
        };
        assert_eq!(
            (user, group),
            (&Recipient::UserId("US.1349".into()), &Recipient::Group("1203630".into()))
        );
        let all = [Recipient::Phone(phone.clone()), user.clone(), group.clone()];
        assert_eq!(all.each_ref().map(Recipient::address), ["+995555123456", "US.1349", "1203630"]);
        assert_eq!(all.each_ref().map(Recipient::masked), ["+995…456", "US…", "a group"]);
    }

    #[test]
    fn a_group_is_found_by_its_id_alone() {
        let people = people();
        assert_eq!(people.group("12345").map(|contact| contact.id.0.as_str()), Some("all"));
        assert_eq!([people.group("GE.42"), people.group("+995555123456"), people.group("")], [None; 3]);
    }

    #[test]
    fn each_is_told_once_in_the_order_given() {
        let people = people();
        let names = ["nino", "kitchen", "stranger"].map(str::to_owned);
        assert_eq!(ids(&people.resolve(&names)), ["nino", "giorgi"]);
        assert_eq!(ids(&people.resolve(&["kitchen".to_owned()])), ["giorgi", "nino"]);
        assert!(people.knows("kitchen") && people.knows("nino") && !people.knows("stranger"));
    }

    #[test]
    fn guests_come_and_go_and_take_nobodys_place() {
        let guest = |id: &str, phone: &str, places: &[&str]| Guest {
            id: id.into(),
            name: "Maka".into(),
            phone: Phone::parse(phone).expect("a number"),
            roles: ["cook".to_owned()].into(),
            teams: ["kitchen".to_owned(), "gone".to_owned()].into(),
            places: places.iter().map(|place| (*place).to_owned()).collect(),
            by: "nino".into(),
        };
        let kitchen = ["kitchen".to_owned()];
        let file = Arc::new(people());
        let maka = guest("maka", "+995555000111", &["site/bar/#"]);
        let with = file.with(std::slice::from_ref(&maka));
        assert!(with.has_guests() && !file.has_guests());
        assert_eq!(ids(&with.resolve(&kitchen)), ["giorgi", "nino", "maka"]);
        assert_eq!(with.contacts[&maka.id].topics.len(), 1);
        assert_eq!(
            ids(&with.with(std::slice::from_ref(&maka)).resolve(&kitchen)),
            ["giorgi", "nino", "maka"]
        );
        let without = with.with(&[]);
        assert_eq!(ids(&without.resolve(&kitchen)), ["giorgi", "nino"]);
        assert!(!without.knows("maka"));
        // An id or a number of the file's, and a place that cannot be read: none of them comes in.
        let wrong = [
            guest("nino", "+995555000222", &[]),
            guest("maka", "+995555123456", &[]),
            guest("kitchen", "+995555000333", &[]),
            guest("maka", "+995555000111", &["site/#/bar"]),
        ];
        let with = file.with(&wrong);
        assert_eq!((&with.contacts, &with.teams), (&file.contacts, &file.teams));
    }

    #[test]
    fn of_a_team_with_turns_only_one_is_told() {
        let mut people = people();
        let names = ["kitchen".to_owned()];
        let utc = TimeZone::UTC;
        assert_eq!(ids(&people.on_duty(&names, Timestamp(0), &utc)), ["giorgi", "nino"]);
        let rota = OnCallRota { turn_days: 1, hand_over: 0, start: 0, overrides: Vec::new() };
        people.rotas.insert("kitchen".into(), rota);
        let day = |days: i64| Timestamp(days * 86_400_000); // 21,000 days: the year 2027
        assert_eq!(ids(&people.on_duty(&names, day(21_000), &utc)), ["giorgi"]);
        assert_eq!(ids(&people.on_duty(&names, day(21_001), &utc)), ["nino"]);
    }

    /// The user id that the configuration has, then the one that was learned, then every name that Meta gave and every
    /// spelling of the number.
    #[test]
    fn a_user_id_precedes_a_number_in_any_spelling() {
        let mut people = people();
        people.contacts.extend([contact("bia", "+5511987654321"), contact("ana", "+5521987654321")]);
        let learned = |id: &str, address: &str| (ContactId(id.into()), address.to_owned());
        let check = |phone: &str, id: &str, known: &KnownIdentity, expected: &[&str]| {
            let number = Phone::from_wa_id(phone).ok();
            let found = match people.whose(number.as_ref(), Some(id).filter(|id| !id.is_empty()), known) {
                IdentityOwner::Nobodys => Vec::new(),
                IdentityOwner::One(one) => vec![one],
                IdentityOwner::Several(all) => all,
            };
            assert_eq!(ids(&found), expected, "{phone} {id} {known:?}");
        };
        let (nobody, by_id) = (KnownIdentity::default(), |id, address| KnownIdentity {
            by_id: Some(learned(id, address)),
            ..KnownIdentity::default()
        });
        check("995555123456", "", &nobody, &["nino"]);
        check("551187654321", "", &nobody, &["bia"]);
        check("551187654321", "BR.7", &nobody, &["bia"]);
        check("995555123456", "GE.42", &nobody, &["giorgi"]);
        check("15550100123", "GE.42", &nobody, &["giorgi"]);
        check("", "GE.42", &nobody, &["giorgi"]);
        check("15550100123", "GE.43", &nobody, &[]);
        check("", "12345", &nobody, &[]);
        check("", "", &nobody, &[]);
        check("15550100123", "GE.43", &by_id("nino", "+995555123456"), &["nino"]);
        check("15550100123", "GE.43", &by_id("nino", "+995555000000"), &[]);
        check("15550100123", "GE.43", &by_id("gone", "+995555123456"), &[]);
        let alias = |of: &[(&str, &str)]| KnownIdentity {
            by_alias: of.iter().map(|(id, address)| learned(id, address)).collect(),
            ..KnownIdentity::default()
        };
        check("15550100123", "", &alias(&[("nino", "+995555123456")]), &["nino"]);
        check("15550100123", "", &alias(&[("nino", "+995555000000")]), &[]);
        check("551187654321", "", &alias(&[("bia", "+5511987654321")]), &["bia"]);
        check("551187654321", "", &alias(&[("ana", "+5521987654321")]), &["bia", "ana"]);
        let both = [("nino", "+995555123456"), ("ana", "+5521987654321")];
        check("15550100123", "", &alias(&both), &["nino", "ana"]);
    }

    #[test]
    fn a_guest_with_a_contacts_number_is_refused() {
        let mut people = people();
        people.contacts.extend([contact("bia", "+5511987654321")]);
        let people = Arc::new(people);
        let guest = |phone: &str| Guest {
            id: "maka".into(),
            name: "Maka".into(),
            phone: Phone::parse(phone).expect("a number"),
            roles: BTreeSet::new(),
            teams: BTreeSet::new(),
            places: Vec::new(),
            by: "nino".into(),
        };
        assert!(!people.with(&[guest("+551187654321")]).knows("maka"));
        assert!(people.with(&[guest("+551187654320")]).knows("maka"));
    }
}
