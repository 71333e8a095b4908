//! What numbers were, with the limits that the configuration has: for the pages of an alert and of a device, and for the first.

use serde::Serialize;
use serde_json::Value;

use crate::admin::admin_service::{Inner, as_json};
use crate::alert::lifecycle::AlertKey;
use crate::alert::time_series::number;
use crate::chart;
use crate::chart::plot::{Mark, Reading};
use crate::http::ApiError;
use crate::ids::RuleName;
use crate::rule::threshold::Threshold;
#[cfg(test)]
use crate::store::ShownAlert;
use crate::store::{self, Device, OneRow, Order, Rows, Store};
use crate::task::context::TaskContext;
use crate::time::Timestamp;

/// On the first page: as many as a phone shows in three turns of the thumb.
const FIRST_PAGE: u32 = 6;
/// A device reports at most as many numbers as its firmware has commands.
const OF_DEVICE: u32 = 16;

/// The last values of a rule's `value`, the parts of a span with their lowest and highest
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Curve {
    pub rule: String,
    pub key: String,
    /// On the first page: the alert that goes on
    pub alert: Option<i64>,
    pub from_at: Timestamp,
    pub until_at: Timestamp,
    pub readings: Vec<Reading>,
    /// Numbers in `when` and, with `ends`, in `resolve_when`
    pub thresholds: Vec<Limit>,
    /// When the alert fired
    pub marks: Vec<Mark>,
    #[cfg_attr(test, schemars(with = "f64"))]
    pub last: Value,
    pub last_at: Timestamp,
    #[cfg_attr(test, schemars(with = "f64"))]
    pub lowest: Value,
    #[cfg_attr(test, schemars(with = "f64"))]
    pub highest: Value,
}

/// A line in the drawing.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Limit {
    #[cfg_attr(test, schemars(with = "f64"))]
    pub limit: Value,
    /// Whether the condition holds above it.
    pub is_above: bool,
    /// It is the limit of `resolve_when`.
    pub ends: bool,
}

/// An alert's whole story, with its curve while its values are kept.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AlertStory {
    #[serde(flatten)]
    #[cfg_attr(test, schemars(with = "ShownAlert"))]
    pub story: Value,
    /// While its values are kept
    pub curve: Option<Curve>,
}

/// A device with its newest commands and the curves of what it reports.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeviceStory {
    #[serde(flatten)]
    pub device: OneRow<Device>,
    pub orders: Rows<Order>,
    pub curves: Vec<Curve>,
}

pub async fn alert(inner: &Inner, id: i64, now: Timestamp) -> Result<Value, ApiError> {
    let read = move |context: &TaskContext, store: &Store| {
        let Some(story) = store.whole_alert(id)? else { return Ok(None) };
        let curve = of_story(context, store, &story, now)?;
        Ok(Some(as_json(AlertStory { story, curve })))
    };
    inner.both(format!("alert {id}"), read).await
}

/// While it goes on, and afterwards for as long as the values that made it are kept.
fn of_story(
    context: &TaskContext,
    store: &Store,
    story: &Value,
    now: Timestamp,
) -> store::Result<Option<Curve>> {
    let text = |name: &str| story[name].as_str().map(str::to_owned);
    let (Some(rule), Some(key), Some(raised_at)) = (text("rule"), text("key"), story["raised_at"].as_i64())
    else {
        return Ok(None);
    };
    let ident = AlertKey { rule: RuleName(rule), key };
    let Some(curve) = store.curve(&ident)? else { return Ok(None) };
    let at = Timestamp(raised_at);
    let shown = shown(context, &ident, &curve, now, vec![Mark { at }]);
    Ok(shown.filter(|shown| story["state"] != "resolved" || shown.from_at <= at))
}

pub async fn device(inner: &Inner, id: String, now: Timestamp) -> Result<Value, ApiError> {
    let what = format!("device {id}");
    let read = move |context: &TaskContext, store: &Store| {
        let Some((device, orders)) = store.whole_device(&id)? else { return Ok(None) };
        let curves = store.curves_of_device(&id, OF_DEVICE)?;
        let curves = curves.iter().filter_map(|(ident, curve)| shown(context, ident, curve, now, Vec::new()));
        Ok(Some(as_json(DeviceStory { device, orders, curves: curves.collect() })))
    };
    inner.both(what, read).await
}

/// First what goes on, then the others, which keep their places.
pub fn first_page(context: &TaskContext, store: &Store, now: Timestamp) -> store::Result<Vec<Curve>> {
    let mut all = Vec::new();
    let open = store.alerts(Some("open"), FIRST_PAGE)?;
    for row in &open {
        let Some(curve) = store.curve(&row.alert)? else { continue };
        let mark = Mark { at: Timestamp(row.raised_at) };
        if let Some(shown) = shown(context, &row.alert, &curve, now, vec![mark]) {
            all.push(Curve { alert: Some(row.id), ..shown });
        }
    }
    let others = store.curves(FIRST_PAGE * 2)?;
    let others = others.iter().filter(|(ident, _)| !open.iter().any(|row| row.alert == *ident));
    all.extend(others.filter_map(|(ident, curve)| shown(context, ident, curve, now, Vec::new())));
    all.truncate(FIRST_PAGE as usize);
    Ok(all)
}

/// `None`: nothing came for longer than is shown, or its rule watches no number any more.
fn shown(
    context: &TaskContext,
    ident: &AlertKey,
    curve: &chart::curve::Curve,
    now: Timestamp,
    marks: Vec<Mark>,
) -> Option<Curve> {
    let rule = context.config.rules.iter().find(|rule| rule.name == ident.rule)?;
    let life = rule.life.as_ref().filter(|life| life.value.as_ref() == Some(&curve.of))?;
    let plot = curve.plot(life.curve_span(), now, &life.thresholds, marks)?;
    let last = *plot.readings.last()?;
    let limit = |one: &Threshold| Limit { limit: number(one.limit), is_above: one.is_above, ends: one.ends };
    Some(Curve {
        rule: ident.rule.0.clone(),
        key: ident.key.clone(),
        alert: None,
        from_at: plot.from,
        until_at: plot.until,
        thresholds: plot.thresholds.iter().map(limit).collect(),
        last: number(last.last),
        last_at: last.at,
        lowest: number(plot.lowest()),
        highest: number(plot.highest()),
        readings: plot.readings,
        marks: plot.marks,
    })
}
