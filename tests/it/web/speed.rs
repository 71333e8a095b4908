use std::time::Instant;

use bellwire_tests::Gateway;

use super::{get, log_in, start};
use crate::round_trip::FREEZER;

/// Answers of a debug build on a machine that does other things are no measure; the figures are printed
/// (`cargo nextest run speed --no-capture`), and the bound is ten times the aim of 100 ms.
#[test]
fn every_list_is_quick_with_a_hundred_thousand_messages() {
    let (_broker, site, gateway) = start(FREEZER);
    gateway.kill();
    fill(&site.database());
    let gateway = Gateway::start(&site);
    let cookie = log_in(&site);
    let mut slow = Vec::new();
    for path in [
        "/",
        "/timeline",
        "/timeline?contact=nino",
        "/timeline?contact=rare",
        "/timeline?text=needle",
        "/timeline?cursor=50000",
        "/outbox",
        "/outbox?state=ended",
        "/outbox?state=all",
        "/alerts",
        "/alerts?rule=freezer",
        "/alerts?rule=nothing",
        "/alerts/50000",
        "/devices",
        "/setup/connect",
        "/messages/50000",
        "/commands",
        "/commands?show=audit",
        "/contacts",
        "/rules",
        "/setup",
        "/api/messages?limit=500",
        "/api/messages?state=played",
        "/api/messages?until=2026-11-01T12:00:00Z",
        "/metrics",
    ] {
        let mut best = u128::MAX;
        for _ in 0..3 {
            let begun = Instant::now();
            let answer = get(&site, path, &[&cookie]);
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            best = best.min(begun.elapsed().as_millis());
        }
        println!("{best:>5} ms  {path}");
        if best > 1_000 {
            slow.push(path);
        }
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim();
    println!("{resident} resident after all of them");
    let kilobytes: u32 = resident.split(' ').next().unwrap().parse().unwrap();
    assert!(kilobytes < 64 * 1024, "{resident}: a page must not bring the store into memory"); // a debug build, too
    assert!(slow.is_empty(), "{slow:?}");
}

/// Three months of a busy site; the last day has 2,000.
fn fill(sql: &rusqlite::Connection) {
    sql.execute_batch(
        "PRAGMA synchronous = OFF; BEGIN;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
         INSERT INTO event SELECT i, unixepoch() * 1000 - (100000 - i) * 60000, 'mqtt', 'site/bar/freezer/' || i % 50 || '/temperature',
             CAST('{\"celsius\": -12.5, \"battery\": 81}' AS BLOB), 34, NULL, 'alerted', NULL, x'00' FROM n;
         INSERT INTO alert (id, event, rule, severity, bindings, flaw, raised_at) SELECT id, id, 'freezer', id % 3, '{\"area\":\"bar\",\"unit\":\"2\"}', NULL, received_at FROM event;
         INSERT INTO message (id, connection, contact, address, alert, severity, content, on_unknown, created_at, expires_at, state,
                              changed_at, reason, attempts, mergeable, checksum)
             SELECT id, 'main', CASE WHEN id % 9999 = 0 THEN 'rare' ELSE 'nino' END, '+995555123456', id, severity,
                 json_object('text', 'Freezer ' || id || ' in the bar is at -12.5 °C' || char(10) || '21 Nov, 10:23',
                     'buttons', json_array(json_object('id', 'stop', 'title', 'Stop defrost'))),
                 'retry', raised_at, raised_at + 86400000,
                 CASE WHEN id % 200 = 0 THEN 'failed' WHEN id % 331 = 0 THEN 'held' ELSE 'read' END,
                 raised_at + 3000, 'WhatsApp reports: read', 1, 1, x'00' FROM alert;
         INSERT INTO sent SELECT 'wamid.' || id, id, 1 FROM message;
         INSERT INTO attempt SELECT id, 1, created_at, 'free', created_at + 200, 'Meta accepted it', 200, NULL, NULL FROM message;
         INSERT INTO receipt (wamid, status, message, at, reason) SELECT 'wamid.' || m.id, s.status, m.id, m.created_at + 1000, NULL FROM message m,
             (SELECT 'sent' AS status UNION ALL SELECT 'delivered' UNION ALL SELECT 'read') s;
         INSERT INTO reply SELECT 'wamid.in.' || id, 1, created_at + 5000, contact, 'text', 'ok ' || id, 'nothing', NULL FROM message WHERE id % 10 = 0;
         INSERT INTO command SELECT NULL, wamid, contact, CAST(substr(wamid, 10) AS INTEGER), 'stop', 'site/bar/freezer/2/set', 'off', 0, at, at + 60000, NULL, 'published', at, NULL, x'00' FROM reply;
         COMMIT;",
    )
    .expect("filled");
}
