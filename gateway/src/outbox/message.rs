//! The content of one message to one person, before it has Meta's form.

use serde::{Deserialize, Serialize};

use crate::contact::language::Language;
use crate::rule::attachment::without_secrets;

/// Stored with the message's row, so that a restart or a later version sends the same words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The words: a text, the body of an interactive message, the caption of a picture. Of any length: what does not fit
    /// into one message is had by tapping "Read on".
    #[serde(default)]
    pub text: String,
    /// The buttons under it; more than three become the rows of a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<Button>,
    /// The message that this one answers; WhatsApp shows it quoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
    /// The part besides the text: a file, a place, a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Sent only if the person's identity key still has this hash, as a webhook gave it; else it fails with 137000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_key_hash: Option<String>,
    /// Of our own words that are added when it leaves ("Read on", what opens a list), where it is not the reader's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// The templates that go out instead when more than 24 h have passed since the person last wrote: the first that
    /// Meta allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Template>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// Comes back in the tap; at most 200 characters, so that it may be a list's row too (Meta, Interactive list).
    pub id: String,
    /// At most 20 characters.
    pub title: String,
    /// A line below the title, in a list alone; at most 72 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Above an interactive message or a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    Text(String),
    Image(Media),
    Video(Media),
    Document(Media),
}

/// The place of a picture, sound or file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// Meta's id of an upload; it lives for 30 days (docs/cloud-api.md 2).
    Id(String),
    /// An address that Meta itself can reach.
    Link(String),
    /// In our own database, under this SHA-256: it came with the event, or was drawn for it.
    Kept {
        sha256: String,
        /// It shows what the words say: a digest goes without it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_drawn: bool,
    },
    /// An address that only the gateway can reach, such as a camera's; fetched when the message leaves.
    Fetch { url: String },
    /// A file on this machine; read when the message leaves, if it still lies in that folder.
    File {
        path: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within: Option<String>,
    },
}

/// The kinds of message besides text and buttons (docs/cloud-api.md 1.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Image(Media),
    Video(Media),
    /// `voice` shows it as a voice message; it must be OGG with Opus then.
    Audio {
        media: Media,
        voice: bool,
    },
    Document {
        media: Media,
        /// Without it the person sees a generic name.
        filename: Option<String>,
    },
    Sticker(Media),
    /// Degrees, as decimal text: Meta documents strings.
    Location {
        latitude: String,
        longitude: String,
        name: Option<String>,
        address: Option<String>,
    },
    Contacts(Vec<Card>),
    /// An empty emoji takes the reaction back.
    Reaction {
        to: String,
        emoji: String,
    },
    /// Rows under headings, opened by one button.
    List {
        label: String,
        sections: Vec<Section>,
    },
    /// A button that opens an address.
    Link {
        label: String,
        url: String,
    },
    /// A button that sends where the person is.
    LocationRequest,
    /// A button that sends the person's number, for those who are known by user id alone.
    ContactRequest,
    /// A form made in Meta's Flow builder.
    Flow {
        id: String,
        token: String,
        label: String,
        screen: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    pub title: String,
    pub rows: Vec<Button>,
}

/// A visiting card. Meta wants the whole name and one part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    pub name: String,
    pub first_name: String,
    /// E.164.
    pub phone: String,
}

/// A message that Meta has approved before, with the blanks that we fill (docs/cloud-api.md 1.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    pub name: String,
    /// As Meta writes it: `en`, `en_US`, `ka`.
    pub language: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// For the body. A [`WORDS`] in it stands for the message's own text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// The payload of each quick reply, which comes back with the tap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quick_replies: Vec<String>,
    /// The end of a URL button's address, after the quick replies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_suffix: Option<String>,
}

/// Stands in a template's parameter for the text of the message that it is sent instead of, so that a digest may use
/// the template of the alerts in it. A private-use character; the first two in a parameter count.
pub const WORDS: char = '\u{e0b1}';

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Of a template with named parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub text: String,
}

impl Content {
    /// Templates in this language first, each with the preference that the file gives it.
    #[must_use]
    pub fn in_language(mut self, language: Language) -> Self {
        self.templates.sort_by_key(|template| !language.is(&template.language));
        self
    }

    /// Words alone.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Every file in it.
    pub fn media(&mut self) -> Vec<&mut Media> {
        let part = self.part.as_mut().and_then(|part| match part {
            Part::Image(media)
            | Part::Video(media)
            | Part::Sticker(media)
            | Part::Audio { media, .. }
            | Part::Document { media, .. } => Some(media),
            Part::Location { .. }
            | Part::Contacts(_)
            | Part::Reaction { .. }
            | Part::List { .. }
            | Part::Link { .. }
            | Part::LocationRequest
            | Part::ContactRequest
            | Part::Flow { .. } => None,
        });
        let headers =
            self.header.iter_mut().chain(self.templates.iter_mut().filter_map(|one| one.header.as_mut()));
        part.into_iter().chain(headers.filter_map(Header::media)).collect()
    }

    /// Whether something in it has to be at Meta before it can leave.
    #[must_use]
    pub fn needs_upload(&self) -> bool {
        self.clone().media().iter().any(|media| !matches!(media, Media::Id(_) | Media::Link(_)))
    }

    /// As it may be shown: addresses of cameras by their hosts.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        for media in self.media() {
            if let Media::Fetch { url } = media {
                *url = without_secrets(url);
            }
        }
        self
    }

    /// The same without its files: the words matter more. Templates that need one go with it.
    #[must_use]
    pub fn without_media(mut self, why: &str) -> Self {
        if self.media().is_empty() {
            return self;
        }
        self.text = format!("{}\n({why})", self.text);
        self.part = None;
        self.header = None;
        self.templates.retain(|template| !template.needs_file());
        self
    }

    /// Whether a digest may carry it: words and buttons, and no answer to anything.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let is_drawn = |media: &Media| matches!(media, Media::Kept { is_drawn: true, .. });
        let part =
            self.part.as_ref().is_none_or(|part| matches!(part, Part::Image(media) if is_drawn(media)));
        let header = &self.header;
        part && self.quotes.is_none()
            && header.as_ref().is_none_or(|header| matches!(header, Header::Image(media) if is_drawn(media)))
            && self.identity_key_hash.is_none()
    }
}

impl Template {
    /// Whether its header is a file.
    #[must_use]
    pub fn needs_file(&self) -> bool {
        matches!(self.header, Some(Header::Image(_) | Header::Video(_) | Header::Document(_)))
    }
}

impl Header {
    pub fn media(&mut self) -> Option<&mut Media> {
        match self {
            Self::Text(_) => None,
            Self::Image(media) | Self::Video(media) | Self::Document(media) => Some(media),
        }
    }
}

impl Button {
    #[must_use]
    pub fn new(id: impl Into<String>, title: impl Into<String>) -> Self {
        Self { id: id.into(), title: title.into(), description: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictured() -> Content {
        let media = || Media::Id("1".into());
        let template = |name: &str, header| Template { name: name.into(), header, ..Template::default() };
        Content {
            header: Some(Header::Video(media())),
            part: Some(Part::Image(media())),
            templates: vec![
                template("words", Some(Header::Text("x".into()))),
                template("file", Some(Header::Document(media()))),
                template("plain", None),
            ],
            ..Content::text("Look")
        }
    }

    #[test]
    fn without_its_files_the_words_stay_and_say_why() {
        let mut content = pictured();
        assert_eq!(content.media().len(), 3);
        let bare = content.without_media("refused");
        assert_eq!((bare.text.as_str(), &bare.part, &bare.header), ("Look\n(refused)", &None, &None));
        let names: Vec<&str> = bare.templates.iter().map(|template| template.name.as_str()).collect();
        assert_eq!(names, ["words", "plain"]);
        assert_eq!(Content::text("x").without_media("refused"), Content::text("x"));
    }

    #[test]
    fn a_digest_carries_words_and_buttons_and_nothing_else() {
        assert!(Content::text("x").is_plain());
        let drawn = Media::Kept { sha256: "a".into(), is_drawn: true };
        let (part, header) = (Some(Part::Image(drawn.clone())), Some(Header::Image(drawn)));
        assert!(Content { part, header, ..Content::text("x") }.is_plain(), "the words say what it shows");
        let (part, header) = (pictured().part, pictured().header);
        for other in [
            Content { part, ..Content::text("x") },
            Content { header, ..Content::text("x") },
            Content { quotes: Some("x".into()), ..Content::text("x") },
            Content { identity_key_hash: Some("x".into()), ..Content::text("x") },
        ] {
            assert!(!other.is_plain(), "{other:?}");
        }
    }

    #[test]
    fn templates_of_the_own_language_come_first() {
        let template = |language: &str| Template { language: language.into(), ..Template::default() };
        let templates = ["en_US", "de", "en"].map(template).to_vec();
        let sorted = Content { templates, ..Content::default() }.in_language(Language::German).templates;
        assert_eq!(sorted.iter().map(|one| one.language.as_str()).collect::<Vec<_>>(), ["de", "en_US", "en"]);
    }
}
