//! In which form a message leaves: freely written inside the 24 h window, as a template outside it (docs/cloud-api.md 1.3, 5.6); and
//! when a window ends. Whether one is open is `store/window.rs`.

use crate::outbox::message::Template;
use crate::time::Timestamp;

/// Whether the person has written to this number within the last 24 h, as far as we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    Open,
    /// Nothing was heard, or it is long ago; Meta may know better.
    Unknown,
    /// Meta said so (131047), and nothing was heard since.
    Closed,
}

/// The entry of one template in the catalogue of the business account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogueEntry {
    /// The catalogue has not been read, so Meta will tell.
    Unread,
    /// It was read, and there is none of this name and language.
    Missing,
    /// It is marketing, and the person told WhatsApp that they want none of this business: Meta would refuse it (131050).
    Unwanted,
    Facts(TemplateInfo),
}

/// One template in one language, as Meta lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateInfo {
    /// `APPROVED`, `PAUSED`, `REJECTED`, …
    pub status: String,
    /// `UTILITY`, `MARKETING`, `AUTHENTICATION`: what it costs, and whether Meta limits it per person (131049).
    pub category: String,
    /// Blanks in the body.
    pub parameters: u32,
    /// Their names, when the template has named ones.
    pub names: Vec<String>,
    /// `TEXT`, `IMAGE`, `VIDEO`, `DOCUMENT`, when the header has a blank.
    pub header: Option<String>,
    pub quick_replies: u32,
}

impl TemplateInfo {
    /// FLAGGED is to be disabled some day, and is sent until then.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(self.status.as_str(), "APPROVED" | "FLAGGED")
    }

    /// As Meta's own catalogue says; of whoever wants no marketing it is refused.
    #[must_use]
    pub fn is_marketing(&self) -> bool {
        self.category == "MARKETING"
    }
}

/// The form in which one request was, or will be, made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageForm {
    Free,
    Template { name: String, language: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    Free,
    /// The template with this index, with so many of the message's buttons as its quick replies.
    Template {
        index: usize,
        quick_replies: u32,
    },
    /// Nothing that may leave now; a sentence.
    Hold(String),
}

/// `listed` has one entry a template.
#[must_use]
pub fn choose(templates: &[Template], listed: &[CatalogueEntry], window: Window) -> Choice {
    if window == Window::Open {
        return Choice::Free;
    }
    let mut obstacles = Vec::new();
    for (index, (template, listed)) in templates.iter().zip(listed).enumerate() {
        match obstacle(template, listed) {
            None => {
                let quick_replies = match listed {
                    CatalogueEntry::Facts(facts) => facts.quick_replies,
                    CatalogueEntry::Unread | CatalogueEntry::Missing | CatalogueEntry::Unwanted => 0,
                };
                return Choice::Template { index, quick_replies };
            }
            Some(why) => obstacles.push(format!("{} ({}) {why}", template.name, template.language)),
        }
    }
    match window {
        // A refusal costs nothing, and tells.
        Window::Open | Window::Unknown => Choice::Free,
        Window::Closed if obstacles.is_empty() => Choice::Hold(
            "more than 24 h have passed since the person last wrote, and the rule has no template".into(),
        ),
        Window::Closed => Choice::Hold(format!(
            "more than 24 h have passed since the person last wrote, and no template can be used: {}",
            obstacles.join("; ")
        )),
    }
}

/// The reason why a template cannot be used now.
#[must_use]
pub fn obstacle(template: &Template, listed: &CatalogueEntry) -> Option<String> {
    let facts = match listed {
        CatalogueEntry::Unread => return None,
        CatalogueEntry::Missing => return Some("does not exist in this language".into()),
        CatalogueEntry::Unwanted => {
            return Some(
                "is marketing, and the person asked WhatsApp for no marketing messages of this business"
                    .into(),
            );
        }
        CatalogueEntry::Facts(facts) => facts,
    };
    if !facts.is_usable() {
        return Some(format!("is {}", facts.status.to_lowercase()));
    }
    let given = u32::try_from(template.parameters.len()).unwrap_or(u32::MAX);
    if facts.parameters != given {
        return Some(format!("has {} blanks, and the rule fills {given}", facts.parameters));
    }
    let unnamed = |name: &&String| !template.parameters.iter().any(|given| given.name.as_ref() == Some(name));
    if let Some(name) = facts.names.iter().find(unnamed) {
        return Some(format!("has a blank `{name}` that the rule does not fill"));
    }
    match (&facts.header, &template.header) {
        (Some(kind), None) => Some(format!("wants a header ({})", kind.to_lowercase())),
        (_, _) => None,
    }
}

impl MessageForm {
    /// As the store keeps it.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Free => "free".into(),
            Self::Template { name, language } => format!("template {name} {language}"),
        }
    }

    /// Names have lower-case letters, digits and `_`, languages letters and `_`: no spaces (docs/cloud-api.md 1.3).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut words = text.split(' ').skip(1);
        match (words.next(), words.next()) {
            (Some(name), Some(language)) => Self::Template { name: name.into(), language: language.into() },
            (_, _) => Self::Free,
        }
    }
}

/// The window's end after a message or call of the person: 24 h, less five minutes for clocks that differ and requests
/// that take their time.
#[must_use]
pub fn window_end(heard: Timestamp) -> Timestamp {
    heard + std::time::Duration::from_secs(24 * 3_600 - 300)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::message::Parameter;

    fn template(parameters: usize) -> Template {
        let parameters = vec![Parameter { name: None, text: "x".into() }; parameters];
        Template { name: "alarm".into(), language: "en".into(), parameters, ..Template::default() }
    }

    fn listed(status: &str, parameters: u32) -> CatalogueEntry {
        CatalogueEntry::Facts(TemplateInfo {
            status: status.into(),
            parameters,
            quick_replies: 2,
            ..TemplateInfo::default()
        })
    }

    #[test]
    fn the_window_decides_first() {
        let templates = [template(1)];
        assert_eq!(choose(&templates, &[listed("APPROVED", 1)], Window::Open), Choice::Free);
        let sent = Choice::Template { index: 0, quick_replies: 2 };
        assert_eq!(choose(&templates, &[listed("APPROVED", 1)], Window::Unknown), sent);
        assert_eq!(choose(&templates, &[listed("APPROVED", 1)], Window::Closed), sent);
        assert_eq!(choose(&[], &[], Window::Unknown), Choice::Free);
        assert!(matches!(choose(&[], &[], Window::Closed), Choice::Hold(why) if why.contains("no template")));
    }

    #[test]
    fn what_cannot_be_used_falls_to_the_next_or_holds() {
        let templates = [template(1), template(2)];
        let next = choose(&templates, &[listed("PAUSED", 1), listed("APPROVED", 2)], Window::Closed);
        assert_eq!(next, Choice::Template { index: 1, quick_replies: 2 });
        let none = choose(&templates, &[listed("PAUSED", 1), listed("APPROVED", 1)], Window::Closed);
        let Choice::Hold(why) = none else { panic!("{none:?}") };
        assert!(why.contains("is paused") && why.contains("has 1 blanks, and the rule fills 2"), "{why}");
        assert_eq!(
            choose(&templates, &[listed("PAUSED", 1), CatalogueEntry::Missing], Window::Unknown),
            Choice::Free,
            "Meta may still let it through"
        );
    }

    #[test]
    fn message_forms_read_back_as_written() {
        for form in
            [MessageForm::Free, MessageForm::Template { name: "alarm_v1".into(), language: "en_US".into() }]
        {
            assert_eq!(MessageForm::parse(&form.to_text()), form);
        }
    }

    #[test]
    fn templates_need_their_header_and_windows_end_five_minutes_early() {
        let facts = |header: Option<&str>, names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let (status, header) = ("APPROVED".into(), header.map(str::to_owned));
            CatalogueEntry::Facts(TemplateInfo {
                status,
                parameters: 1,
                names,
                header,
                ..TemplateInfo::default()
            })
        };
        let named = |name: &str| {
            let parameters = vec![Parameter { name: Some(name.into()), text: "x".into() }];
            Template { parameters, ..template(1) }
        };
        let pictured =
            Template { header: Some(crate::outbox::message::Header::Text("x".into())), ..template(1) };
        assert_eq!(
            obstacle(&template(1), &facts(Some("IMAGE"), &[])).as_deref(),
            Some("wants a header (image)")
        );
        assert_eq!(obstacle(&pictured, &facts(Some("TEXT"), &[])), None);
        assert_eq!(obstacle(&named("place"), &facts(None, &["place"])), None);
        assert!(
            obstacle(&named("room"), &facts(None, &["place"])).is_some_and(|why| why.contains("`place`"))
        );
        assert_eq!(window_end(Timestamp(7)), Timestamp(86_100_007));
        let paused = choose(&[template(1)], &[listed("PAUSED", 1)], Window::Closed);
        assert!(matches!(paused, Choice::Hold(why) if why.contains("no template can be used: ")));
        assert!(
            matches!(choose(&[], &[], Window::Closed), Choice::Hold(why) if why.ends_with("has no template"))
        );
    }
}
