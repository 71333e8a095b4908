//! Pages out of templates, in the visitor's language. A page has no inline script or style: the policy forbids both.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use jiff::tz::TimeZone;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, State, UndefinedBehavior, Value as Word};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::curve_drawing::drawing;
use super::icons::icon;
use crate::hex::hex;
use crate::packed::{packed, unpack};
use crate::started_by::StartedBy;
use crate::time::{Clock, Timestamp, duration_for_people};

/// The first is for those who ask for none of them.
pub const LANGUAGES: [&str; 2] = ["en", "de"];

/// By name: each template, each text's language, and [`FILES`].
static ASSETS: LazyLock<BTreeMap<String, String>> =
    LazyLock::new(|| serde_json::from_str(&unpack(packed!("pages.json"))).unwrap_or_default());

/// Name and type. The name in an address has a hash in it, so that it may be kept for ever.
const FILES: [(&str, &str); 3] = [
    ("page.css", "text/css; charset=utf-8"),
    ("page.js", "text/javascript; charset=utf-8"),
    ("icon.svg", "image/svg+xml"),
];

fn asset(name: &str) -> &'static str {
    ASSETS.get(name).map(String::as_str).unwrap_or_default()
}

fn templates() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = ASSETS.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    all.filter(|(name, _)| name.ends_with(".html"))
}

/// Text by key, with the commands as they are on this machine.
fn texts(language: &str, by: StartedBy) -> BTreeMap<String, String> {
    let mut texts = catalogue(language);
    for (name, command) in [
        ("log_of_code", by.log_of_code()),
        ("program", by.program()),
        ("reload", by.reload()),
        ("set_up", by.set_up()),
    ] {
        // An add-on has buttons in the place of commands, and buttons have the reader's language.
        let button = texts.get(&format!("add-on.{name}")).filter(|_| by == StartedBy::AddOn).cloned();
        let command = button.unwrap_or_else(|| command.to_owned());
        let placeholder = format!("{{{name}}}");
        texts.values_mut().for_each(|text| *text = text.replace(&placeholder, &command));
    }
    texts
}

/// Text by key.
fn catalogue(language: &str) -> BTreeMap<String, String> {
    serde_json::from_str(asset(&format!("{language}.json"))).unwrap_or_default()
}

/// What makes a page. Templates and texts are unpacked and compiled when the first page is asked for: 1.3 MB that a gateway
/// whose page nobody opens does not need.
#[derive(Clone)]
pub struct View {
    site: String,
    zone: TimeZone,
    clock: Arc<dyn Clock + Send + Sync>,
    pages: Arc<OnceLock<Result<Pages, minijinja::Error>>>,
}

struct Pages {
    templates: Environment<'static>,
    /// By the name in the address.
    files: BTreeMap<String, (&'static str, &'static str)>,
}

impl Pages {
    fn new(site: &str, zone: &TimeZone) -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::SemiStrict); // a field that is misspelt is found by the tests
        let mut files = BTreeMap::new();
        let mut names = BTreeMap::new();
        for (name, kind) in FILES {
            let text = asset(name);
            let sum = hex(&Sha256::digest(text)[..6]);
            let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
            let hashed = format!("{stem}.{sum}.{ending}");
            names.insert(name, format!("/assets/{hashed}"));
            files.insert(hashed, (kind, text));
        }
        templates.add_global("assets", Word::from(Serde(&names)));
        templates.add_global("site", site);
        templates.add_global("version", env!("CARGO_PKG_VERSION"));
        let by = StartedBy::here();
        let catalogues: BTreeMap<&str, BTreeMap<String, String>> =
            LANGUAGES.into_iter().map(|language| (language, texts(language, by))).collect();
        templates.add_function("t", move |state: &State, key: &str, words: Kwargs| {
            translate(&catalogues, state, key, &words)
        });
        let clock = zone.clone();
        templates.add_filter("clock", move |state: &State, at: i64| read_clock(state, at, &clock));
        let tables = zone.clone();
        templates.add_filter("full", move |at: i64| Timestamp(at).for_tables(&tables));
        templates.add_filter("iso", |at: i64| Timestamp(at).rfc3339());
        templates.add_filter("lasting", |millis: i64| {
            duration_for_people(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
        });
        let hours = zone.clone();
        templates.add_filter("hour", move |at: i64| Timestamp(at).for_tables(&hours)[11..13].to_owned());
        templates.add_filter("first_line", |text: &str| text.lines().next().unwrap_or_default().to_owned());
        templates.add_filter("urlencode", urlencode);
        templates.add_function("icon", icon);
        let curves = zone.clone();
        templates.add_function("drawing", move |plot: Word| drawing(&plot, &curves));
        for (name, text) in self::templates() {
            templates.add_template(name, text)?;
        }
        Ok(Self { templates, files })
    }
}

impl View {
    #[must_use]
    pub fn new(site: &str, zone: &TimeZone, clock: Arc<dyn Clock + Send + Sync>) -> Self {
        Self { site: site.to_owned(), zone: zone.clone(), clock, pages: Arc::default() }
    }

    /// By the clock that the pages show.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// That all templates compile is shown by a test.
    fn pages(&self) -> Result<&Pages, &minijinja::Error> {
        self.pages.get_or_init(|| Pages::new(&self.site, &self.zone)).as_ref()
    }

    pub fn render(&self, language: &str, status: StatusCode, template: &str, mut data: Value) -> Response {
        data["lang"] = language.into();
        data["now"] = self.now().0.into();
        let page = self.pages().map_err(ToString::to_string).and_then(|pages| {
            let template = pages.templates.get_template(template).map_err(|error| error.to_string())?;
            template.render(Word::from(Serde(&data))).map_err(|error| error.to_string())
        });
        match page {
            Ok(page) => (status, [(header::VARY, "Accept-Language, Cookie")], Html(page)).into_response(),
            Err(error) => {
                tracing::error!(template, error, "a page could not be made");
                (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made; the log says why\n")
                    .into_response()
            }
        }
    }

    /// `/assets/NAME`
    pub fn file(&self, name: &str) -> Response {
        match self.pages().ok().and_then(|pages| pages.files.get(name)) {
            Some((kind, text)) => {
                let kept = "public, max-age=31536000, immutable";
                ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, kept)], *text).into_response()
            }
            None => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
        }
    }
}

/// The text of that key; the last part of the key where the catalogue has none, such as a state of a later version.
fn translate(
    catalogues: &BTreeMap<&str, BTreeMap<String, String>>,
    state: &State,
    key: &str,
    words: &Kwargs,
) -> Result<String, minijinja::Error> {
    let language = state.lookup("lang");
    let language = language.as_ref().and_then(Word::as_str).unwrap_or(LANGUAGES[0]);
    let found = catalogues.get(language).and_then(|catalogue| catalogue.get(key));
    let mut text = found.cloned().unwrap_or_else(|| key.rsplit('.').next().unwrap_or(key).to_owned());
    for name in words.args() {
        text = text.replace(&format!("{{{name}}}"), &words.get::<Word>(name)?.to_string());
    }
    Ok(text)
}

/// For one value in the query of an address: all but the unreserved characters of RFC 3986, 2.3.
fn urlencode(text: &str) -> String {
    const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, &ESCAPED).to_string()
}

/// `14:03` today, `21 Nov, 14:03` before.
fn read_clock(state: &State, at: i64, zone: &TimeZone) -> String {
    let now = state.lookup("now").and_then(|now| i64::try_from(now).ok()).unwrap_or(at);
    let (then, today) = (Timestamp(at).for_tables(zone), Timestamp(now).for_tables(zone));
    let hour = then.get(11..16).unwrap_or_default();
    if then.get(..10) == today.get(..10) {
        return hour.to_owned();
    }
    match state.lookup("lang").as_ref().and_then(Word::as_str) {
        Some("de") => {
            let (day, month) = (then.get(8..10).unwrap_or_default(), then.get(5..7).unwrap_or_default());
            format!("{day}.{month}., {hour}")
        }
        Some(_) | None => Timestamp(at).for_people(zone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_compiles_when_the_first_page_is_asked_for() {
        let view = View::new("Bar", &TimeZone::UTC, Arc::new(crate::time::SystemClock));
        assert!(view.pages.get().is_none(), "nothing is compiled at the start");
        let pages = view.pages().unwrap_or_else(|error| panic!("{error}"));
        assert!(pages.files.len() == FILES.len() && templates().count() >= 27);
    }

    #[test]
    fn every_language_has_every_text() {
        let english: Vec<String> = catalogue("en").into_keys().collect();
        assert!(!english.is_empty());
        for language in LANGUAGES {
            assert_eq!(catalogue(language).into_keys().collect::<Vec<_>>(), english, "{language}");
        }
    }

    #[test]
    fn commands_in_texts_are_those_of_this_machine() {
        let compose = texts("en", StartedBy::Compose);
        assert!(compose["rules.none"].contains("then: docker compose exec bellwire bellwire reload."));
        let add_on = texts("de", StartedBy::AddOn);
        assert!(
            add_on["next.contact"].ends_with("dann: das Add-on neu starten"),
            "{}",
            add_on["next.contact"]
        );
        for text in LANGUAGES.into_iter().flat_map(|language| texts(language, StartedBy::Unit).into_values())
        {
            assert!(!text.contains("{reload}") && !text.contains("{program}") && !text.contains("{set_up}"));
        }
    }

    #[test]
    fn every_text_that_a_page_asks_for_is_there() {
        let english = catalogue("en");
        let mut missing = Vec::new();
        for (name, text) in templates() {
            for rest in text.split("t('").skip(1) {
                let (key, after) = rest.split_once('\'').expect("a key");
                if !english.contains_key(key) && !after.trim_start().starts_with('~') {
                    missing.push(format!("{name}: {key}"));
                }
            }
        }
        assert!(missing.is_empty(), "{missing:#?}");
    }

    #[test]
    fn nothing_is_inline() {
        for (name, text) in templates() {
            for wrong in [" style=", " onclick=", "<style", "<script>", "|safe", "| safe"] {
                assert!(!text.contains(wrong), "{name} has {wrong}: the policy forbids it");
            }
        }
    }
}
