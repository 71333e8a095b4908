//! Every page and every list of the API over 100,000 messages, as a browser that is logged in has them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::Bench;
use crate::clock::{seconds, wait};
use crate::parts::{Plan, Site};
use crate::report::{Line, median};
use crate::wire::http::Client;

const BUSY: &str = include_str!("../../../fixtures/busy-site.sql");
const ADDRESSES: &str = include_str!("../../../fixtures/addresses.txt");
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
/// The bound for up to 10,000 messages that wait: 800 of the 100,000 do.
const MEMORY_MB: f64 = 16.0;
/// People and rules: a page that asks the store about each of them must not be slow with many.
const MANY: u32 = 30;
/// Entries of the audit: ten steps for each of a thousand commands.
const AUDITED: i64 = 10_000;

pub fn budgets(bench: &Bench) -> Result<Vec<Line>> {
    let (broker, sink) = (bench.broker()?, bench.sink()?);
    let plan = Plan { people: MANY, rules: MANY, ..Plan::default() };
    let mut site = bench.site(&broker, sink.port, &plan)?;
    site.start()?;
    let cookie = first_visit(&mut site)?;
    site.stop();
    let database = rusqlite::Connection::open(site.database())?;
    database.execute_batch(&ours(BUSY))?;
    chain(&database)?;
    drop(database);
    site.start()?;
    let runs = bench.count(9, 3);
    let mut client = Client::connect(site.http_port)?;
    let mut found = Vec::new();
    for address in ADDRESSES.lines().filter(|line| line.starts_with('/')) {
        let path = ours(address);
        let mut times = Vec::new();
        for _ in 0..runs {
            let (took, answer) = seconds(|| client.ask("GET", &path, &cookie, ""));
            let answer = answer.with_context(|| path.clone())?;
            let status = answer.status()?;
            ensure!(
                matches!(status, 200 | 303) || path == "/nowhere",
                "{path}: {status} {}",
                String::from_utf8_lossy(&answer.body)
            );
            ensure!(!answer.has_in_body(b"\"holds\":false"), "{path}: the audit was written wrong");
            times.push(took * 1e3);
        }
        let resident = site.usage()?.resident_mb;
        bench.say(&format!("  {:>7.1} ms {resident:>6.1} MB  {path}", median(&times)));
        found.push((median(&times), path));
    }
    let usage = site.usage()?;
    found.sort_by(|one, other| other.0.total_cmp(&one.0));
    let worst: Vec<String> =
        found.iter().take(3).map(|(took, path)| format!("`{path}` {took:.0} ms")).collect();
    let slowest = found.first().map_or(f64::NAN, |(took, _)| *took);
    let times = found.iter().map(|(took, _)| *took).collect::<Vec<_>>();
    let name = "the slowest page or list, 100,000 messages";
    Ok(vec![
        Line::new(name, "≤ 100 ms", "ms", vec![slowest]).at_most(100.0).note(format!(
            "of {}, half of them in {:.1} ms; {}",
            times.len(),
            median(&times),
            worst.join(", ")
        )),
        Line::new("memory after all pages and lists", "≤ 16 MB", "MB", vec![usage.resident_mb])
            .at_most(MEMORY_MB)
            .note(format!("{:.1} MB at its highest", usage.peak_mb)),
    ])
}

/// The person and the rule that the fixtures speak of are the plan's first.
fn ours(text: &str) -> String {
    text.replace("'nino'", "'p0'")
        .replace("\"nino\"", "\"p0\"")
        .replace("'freezer'", "'r0'")
        .replace("=nino", "=p0")
        .replace("/nino", "/p0")
        .replace("=freezer", "=r0")
}

/// An audit that holds: a broken one is done with at its first entry, and would say nothing of the time that a whole one
/// takes. The order of the parts is that of the gateway's `store/audit.rs`.
fn chain(database: &rusqlite::Connection) -> Result<()> {
    database.execute_batch("BEGIN; DELETE FROM meta WHERE key = 'audit_head'")?;
    let mut before = [0_u8; 32];
    let mut insert = database
        .prepare("INSERT INTO audit VALUES (?1, ?2, 'published', 'p-000000000000', '', ?1, ?3, ?4)")?;
    let detail = "the broker has it";
    for id in 1..=AUDITED {
        let at = 1_790_000_000_000 + id * 1_000;
        let mut hash = Sha256::new_with_prefix(before);
        hash.update([id.to_le_bytes(), at.to_le_bytes(), id.to_le_bytes()].concat());
        for part in ["published", "p-000000000000", "", detail] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        before = hash.finalize().into();
        insert.execute(rusqlite::params![id, at, detail, before])?;
    }
    let head: String = before.iter().map(|byte| format!("{byte:02x}")).collect();
    database.execute("INSERT INTO meta VALUES ('audit_head', ?1)", [head])?;
    Ok(database.execute_batch("COMMIT")?)
}

/// Sets the password; the header line of the session.
fn first_visit(site: &mut Site) -> Result<String> {
    let code = wait(Duration::from_secs(10), "the code in the log", || {
        let plain = site.said();
        Ok(plain
            .split_once("code=")
            .map(|(_, rest)| rest.trim_start_matches('"').chars().take(11).collect::<String>()))
    })?;
    let fields = format!("code={code}&password=correct+horse&again=correct+horse");
    let answer = Client::connect(site.http_port)?.ask("POST", "/welcome", FORM, &fields)?;
    let cookie = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.with_context(|| format!("no session: {}", answer.head))?;
    Ok(format!("Cookie: {}\r\n", cookie.split(';').next().unwrap_or_default()))
}
