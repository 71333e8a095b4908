use std::time::Instant;

use bellwire_tests::{Gateway, Site};
use serde_json::Value;

use super::{get, log_in, start};
use crate::round_trip::FREEZER;

/// Also asked by the bench, for the program as devices get it.
fn addresses() -> impl Iterator<Item = &'static str> {
    include_str!("../../fixtures/addresses.txt").lines().filter(|line| line.starts_with('/'))
}

/// A new page or list must be among those that are measured.
#[test]
fn no_page_and_no_list_is_left_out() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/src/http");
    let mut asked = Vec::new();
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap_or_default();
        for route in source.split(".route(\"").skip(1) {
            let (route, how) = route.split_once("\", ").expect("a route's end");
            if how.starts_with("get(") {
                asked.push(route.to_owned());
            }
        }
    }
    let description: Value =
        serde_json::from_str(include_str!("../../../gateway/src/http/assets/openapi.json")).unwrap();
    let described =
        description["paths"].as_object().unwrap().iter().filter(|(_, how)| how["get"].is_object());
    asked.extend(described.map(|(path, _)| path.clone()));
    assert!(asked.len() > 30, "{asked:?}");
    let matches = |route: &str, path: &str| {
        let (route, path) = (route.split('/'), path.split('?').next().unwrap_or_default().split('/'));
        route.clone().count() == path.clone().count()
            && route.zip(path).all(|(part, given)| part == given || part.starts_with('{'))
    };
    // A stream that does not end, files, Meta's own address, and a link that opens the page once.
    let others = ["/live", "/assets/{name}", "/webhook/whatsapp", "/open/{secret}"];
    let left: Vec<&String> = asked
        .iter()
        .filter(|route| !others.contains(&route.as_str()) && !addresses().any(|path| matches(route, path)))
        .collect();
    assert!(left.is_empty(), "tests/fixtures/addresses.txt has nothing for {left:?}");
}

/// It is put together from short ones, so that it is never in memory as a whole: nothing is missing, and nothing comes twice.
fn a_long_list_is_its_pieces(site: &Site, cookie: &str, list: &str) {
    let ask = |limit: u32, cursor: &str| get(site, &format!("{list}limit={limit}{cursor}"), &[cookie]).json();
    let long = ask(470, "");
    let (mut items, mut cursor) = (Vec::new(), String::new());
    while items.len() < 470 {
        let short = ask(47, &cursor);
        items.extend(short["items"].as_array().unwrap().clone());
        cursor = format!("&cursor={}", short["next"].as_str().expect("more"));
    }
    assert_eq!(long["items"].as_array().unwrap().len(), 470, "{list}");
    assert_eq!(long["items"], Value::from(items), "{list}");
    let behind = format!("&cursor={}", long["next"].as_str().expect("more"));
    assert_eq!(ask(2, &behind)["items"], ask(2, &cursor)["items"], "{list}");
}

/// Answers of a debug build on a machine that does other things are no measure; the figures are printed
/// (`cargo nextest run speed --no-capture`), and the bound is ten times the aim of 100 ms.
#[test]
fn every_list_is_quick_with_a_hundred_thousand_messages() {
    let (_broker, site, gateway) = start(FREEZER);
    gateway.kill();
    site.database().execute_batch(include_str!("../../fixtures/busy-site.sql")).expect("filled");
    let gateway = Gateway::start(&site);
    let cookie = log_in(&site);
    let mut slow = Vec::new();
    for path in addresses() {
        let mut best = u128::MAX;
        for _ in 0..3 {
            let begun = Instant::now();
            let answer = get(&site, path, &[&cookie]);
            let wanted: &[u16] = if path == "/nowhere" { &[404] } else { &[200, 303] };
            assert!(wanted.contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
            best = best.min(begun.elapsed().as_millis());
        }
        println!("{best:>5} ms  {path}");
        if best > 1_000 {
            slow.push(path);
        }
    }
    for list in
        ["/api/messages?", "/api/messages?direction=out&", "/api/alerts?", "/api/commands?", "/api/audit?"]
    {
        a_long_list_is_its_pieces(&site, &cookie, list);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim();
    println!("{resident} resident after all of them");
    let kilobytes: u32 = resident.split(' ').next().unwrap().parse().unwrap();
    assert!(kilobytes < 64 * 1024, "{resident}: a page must not bring the store into memory"); // a debug build, too
    assert!(slow.is_empty(), "{slow:?}");
}
