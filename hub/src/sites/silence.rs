//! A shop whose line is down raises no alert of its own. The hub knows when each site asked last, and gives the sites that the
//! settings name a notice of those that do not ask any more: with their owners, languages and templates it is told like any other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bellwire::time::{Clock, SystemClock, Timestamp, duration_for_people};
use bellwire::whatsapp::notices::HUB;
use serde_json::json;
use tokio::sync::watch;

use super::{Registry, SeenSites};
use crate::engine::{self, Engine, Log, Result, Table};
use crate::settings::Silent;

/// A row of the table `Router`: of which sites somebody was told.
const KEY: &str = "silent";
/// Between two looks: a twentieth of what a site may be silent, 15 s for five minutes.
const LOOKS: u32 = 20;
/// Sites ask every 25 s, so that those of one street, whose line went down at once, are found silent within half a minute. They
/// are one notice: a change is told after three looks.
const GATHER: u32 = 3;
/// Names in a notice.
const NAMED: usize = 10;

/// Sites that were enrolled and have asked, and then not for so long.
#[must_use]
pub fn silent_sites(sites: &Registry, seen: &SeenSites, after: Duration, now: Timestamp) -> BTreeSet<String> {
    let is_silent = |site: &String| seen.of(site).is_some_and(|seen| seen.ago(now) >= after);
    sites.all(None).into_iter().filter(is_silent).collect()
}

/// What has changed since somebody was told, as a severity and a sentence.
fn news(
    told: &BTreeSet<String>,
    silent: &BTreeSet<String>,
    after: Duration,
) -> Option<(&'static str, String)> {
    let named = |sites: Vec<&String>| {
        let names: Vec<&str> = sites.iter().take(NAMED).map(|site| site.as_str()).collect();
        match sites.len().saturating_sub(NAMED) {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    };
    let (gone, back): (Vec<_>, Vec<_>) =
        (silent.difference(told).collect(), told.difference(silent).collect());
    let gone = (!gone.is_empty()).then(|| {
        format!(
            "The hub has heard nothing of {} for {}: is there power, and is the line up?",
            named(gone),
            duration_for_people(after)
        )
    });
    let severity = if gone.is_some() { "critical" } else { "warning" };
    let back = (!back.is_empty()).then(|| format!("The hub hears of {} again", named(back)));
    let text: Vec<String> = gone.into_iter().chain(back).collect();
    (!text.is_empty()).then(|| (severity, text.join(" ")))
}

/// Looks as long as the process runs. A hub that has not seen the engine well for as long as a site may be silent knows nothing:
/// nobody's question was written down while it was away.
pub async fn watch(
    engine: impl Engine,
    sites: watch::Receiver<Arc<Registry>>,
    seen: watch::Receiver<Arc<SeenSites>>,
    settings: Silent,
) {
    let (mut well, mut changed) = (0, 0);
    loop {
        tokio::time::sleep(settings.after / LOOKS).await;
        let silent = silent_sites(&sites.borrow(), &seen.borrow(), settings.after, SystemClock.now());
        let told = tell(&engine, &settings, &silent, well >= LOOKS && changed >= GATHER).await;
        (well, changed) = match told {
            Ok(is_new) => (LOOKS.min(well + 1), if is_new { GATHER.min(changed + 1) } else { 0 }),
            Err(error) => {
                tracing::debug!(%error, "silent sites could not be compared with what was told before");
                (0, 0)
            }
        };
    }
}

/// Whether there is something new; with `may_tell` the sites hear it. Every hub does this: the notices of one change have one id,
/// and one hub writes down that it was told.
async fn tell(
    engine: &impl Engine,
    settings: &Silent,
    silent: &BTreeSet<String>,
    may_tell: bool,
) -> Result<bool> {
    let row = engine.get(Table::Router, KEY).await?;
    let told: BTreeSet<String> =
        row.as_ref().and_then(|row| serde_json::from_slice(&row.value).ok()).unwrap_or_default();
    let Some((severity, text)) = news(&told, silent, settings.after) else { return Ok(false) };
    if !may_tell {
        return Ok(true);
    }
    tracing::warn!(text, "the silent sites have changed");
    let revision = row.as_ref().map_or(0, |row| row.revision);
    let change = json!({ "field": HUB, "value": { "severity": severity, "text": text } });
    let body = json!({ "object": "whatsapp_business_account",
        "entry": [{ "time": SystemClock.now().0 / 1_000, "changes": [change] }] });
    for site in &settings.tell {
        let (subject, id) = (format!("in.{site}"), format!("silent-{revision}-{site}"));
        engine.append(Log::Inbound, &subject, &id, body.to_string().into()).await?;
    }
    let now_told = engine::json(silent);
    match row {
        Some(row) => engine.update(Table::Router, KEY, now_told, row.revision).await?,
        None => engine.create(Table::Router, KEY, now_told).await?,
    };
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Rows;
    use crate::engine::memory::Memory;
    use crate::sites::{Seen, Site};

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_site_is_silent_when_it_has_asked_and_stopped() {
        let (mut sites, mut seen) = (Registry::default(), SeenSites::default());
        let now = Timestamp(1_900_000_000_000);
        for (name, tokens, ago) in
            [("well", 1, Some(299)), ("dark", 1, Some(300)), ("revoked", 0, Some(900)), ("new", 1, None)]
        {
            let site = Site { tokens: vec!["t".into(); tokens], ..Site::default() };
            sites.apply((name.into(), Some(serde_json::to_vec(&site).expect("JSON").into())));
            if let Some(ago) = ago {
                let row = Seen { at: now.0 - ago * 1_000, ..Seen::default() };
                seen.apply((name.into(), Some(serde_json::to_vec(&row).expect("JSON").into())));
            }
        }
        assert_eq!(silent_sites(&sites, &seen, Duration::from_secs(300), now), set(&["dark"]));
    }

    #[test]
    fn many_sites_are_one_sentence() {
        let five = Duration::from_secs(300);
        assert_eq!(news(&set(&["a"]), &set(&["a"]), five), None);
        let (severity, text) = news(&set(&["a"]), &set(&["b"]), five).expect("news");
        assert_eq!(severity, "critical");
        assert_eq!(
            text,
            "The hub has heard nothing of b for 5 min: is there power, and is the line up? The hub hears of a again"
        );
        assert_eq!(
            news(&set(&["a"]), &set(&[]), five),
            Some(("warning", "The hub hears of a again".to_owned()))
        );
        let many: BTreeSet<String> = (10..40).map(|at| format!("s{at}")).collect();
        let (_, text) = news(&set(&[]), &many, five).expect("news");
        assert!(text.contains("s10, s11") && text.contains("s19 and 20 more for"), "{text}");
    }

    #[tokio::test]
    async fn a_change_is_told_once_by_all_hubs_together() {
        let engine = Memory::default();
        let settings = Silent { after: Duration::from_secs(300), tell: vec!["hq".into()] };
        let dark = set(&["dark"]);
        assert!(tell(&engine, &settings, &dark, false).await.expect("well"), "gathered first");
        assert!(!tell(&engine, &settings, &dark, true).await.expect("well"));
        assert!(!tell(&engine, &settings, &dark, true).await.expect("well"), "another hub");
        assert_eq!(engine.appended(), 1);
        tell(&engine, &settings, &set(&[]), true).await.expect("well");
        assert_eq!(engine.appended(), 2, "heard again");
        engine.is_down.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(tell(&engine, &settings, &dark, true).await.is_err());
    }
}
