//! What numbers were, with the limits that the configuration has: for the pages of an alert and of a device, and for the first.

use serde_json::{Value, json};

use crate::admin::admin_service::Inner;
use crate::alert::lifecycle::AlertKey;
use crate::alert::time_series::number;
use crate::chart::curve::Curve;
use crate::chart::plot::Mark;
use crate::http::ApiError;
use crate::ids::RuleName;
use crate::store::{self, Store};
use crate::task::context::TaskContext;
use crate::time::Timestamp;

/// On the first page: as many as a phone shows in three turns of the thumb.
const FIRST_PAGE: u32 = 6;
/// A device reports at most as many numbers as its firmware has commands.
const OF_DEVICE: u32 = 16;

/// An alert's whole story with its curve.
pub async fn alert(inner: &Inner, id: i64, now: Timestamp) -> Result<Value, ApiError> {
    let read = move |context: &TaskContext, store: &Store| {
        let Some(mut story) = store.whole_alert(id)? else { return Ok(None) };
        story["curve"] = of_story(context, store, &story, now)?.into();
        Ok(Some(story))
    };
    inner.both(format!("alert {id}"), read).await
}

/// While it goes on, and afterwards for as long as the values that made it are kept.
fn of_story(
    context: &TaskContext,
    store: &Store,
    story: &Value,
    now: Timestamp,
) -> store::Result<Option<Value>> {
    let text = |name: &str| story[name].as_str().map(str::to_owned);
    let (Some(rule), Some(key), Some(raised_at)) = (text("rule"), text("key"), story["raised_at"].as_i64())
    else {
        return Ok(None);
    };
    let ident = AlertKey { rule: RuleName(rule), key };
    let Some(curve) = store.curve(&ident)? else { return Ok(None) };
    let at = Timestamp(raised_at);
    let shown = shown(context, &ident, &curve, now, vec![Mark { at }]);
    Ok(shown.filter(|shown| story["state"] != "resolved" || shown["from_at"].as_i64() <= Some(raised_at)))
}

/// A device with the curves of what it reports.
pub async fn device(inner: &Inner, id: String, now: Timestamp) -> Result<Value, ApiError> {
    let what = format!("device {id}");
    let read = move |context: &TaskContext, store: &Store| {
        let Some(mut device) = store.whole_device(&id)? else { return Ok(None) };
        let curves = store.curves_of_device(&id, OF_DEVICE)?;
        device["curves"] = curves
            .iter()
            .filter_map(|(ident, curve)| shown(context, ident, curve, now, Vec::new()))
            .collect();
        Ok(Some(device))
    };
    inner.both(what, read).await
}

/// First what goes on, then the others, which keep their places.
pub async fn first_page(inner: &Inner, now: Timestamp) -> Result<Value, ApiError> {
    inner.both(String::new(), move |context, store| some(context, store, now).map(Some)).await
}

fn some(context: &TaskContext, store: &Store, now: Timestamp) -> store::Result<Value> {
    let mut all = Vec::new();
    let open = store.alerts(Some("open"), FIRST_PAGE)?;
    for row in &open {
        let Some(curve) = store.curve(&row.alert)? else { continue };
        let mark = Mark { at: Timestamp(row.raised_at) };
        if let Some(mut shown) = shown(context, &row.alert, &curve, now, vec![mark]) {
            shown["alert"] = row.id.into();
            all.push(shown);
        }
    }
    let others = store.curves(FIRST_PAGE * 2)?;
    let others = others.iter().filter(|(ident, _)| !open.iter().any(|row| row.alert == *ident));
    all.extend(others.filter_map(|(ident, curve)| shown(context, ident, curve, now, Vec::new())));
    all.truncate(FIRST_PAGE as usize);
    Ok(all.into())
}

/// `None`: nothing came for longer than is shown, or its rule watches no number any more.
fn shown(
    context: &TaskContext,
    ident: &AlertKey,
    curve: &Curve,
    now: Timestamp,
    marks: Vec<Mark>,
) -> Option<Value> {
    let rule = context.config.rules.iter().find(|rule| rule.name == ident.rule)?;
    let life = rule.life.as_ref().filter(|life| life.value.as_ref() == Some(&curve.of))?;
    let plot = curve.plot(life.curve_span(), now, &life.thresholds, marks)?;
    let last = plot.readings.last()?;
    let facts = json!({ "rule": ident.rule.0, "key": ident.key, "alert": null, "last": number(last.last), "last_at": last.at.0,
                        "lowest": number(plot.lowest()), "highest": number(plot.highest()) });
    let mut shown = serde_json::to_value(&plot).unwrap_or_default();
    for (one, threshold) in (0_usize..).zip(&plot.thresholds) {
        shown["thresholds"][one]["limit"] = number(threshold.limit);
    }
    if let (Value::Object(shown), Value::Object(facts)) = (&mut shown, facts) {
        shown.extend(facts);
    }
    Some(shown)
}
