use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bellwire_tests::{Broker, Gateway, Simulator, Site, post_json, publish, wait_for};
use serde_json::json;

use super::{PASSWORD, ask, code, connect_from, form, get, log_in, proof, start, token};
use crate::round_trip::FREEZER;

#[test]
fn without_a_password_only_the_code_gives_access() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let _gateway = Gateway::start(&site);
    for path in ["/", "/timeline", "/outbox", "/setup", "/live"] {
        let answer = get(&site, path, &[]);
        assert_eq!((answer.status, answer.header("location")), (303, Some("/welcome")), "{path}");
    }
    assert_eq!(get(&site, "/api/messages", &[]).status, 401);
    let wrong = form(&site, "/welcome", &[], "code=AAAAA-AAAAA&password=correct+horse&again=correct+horse");
    assert_eq!(wrong.status, 403);
    let code = code(&site);
    let short = form(&site, "/welcome", &[], &format!("code={code}&password=short&again=short"));
    assert_eq!(short.status, 422);
    let fields = format!("code={code}&password=correct+horse&again=correct+horse");
    assert_eq!(form(&site, "/welcome", &[], &fields).status, 303);
    let again = form(&site, "/welcome", &[], &fields);
    assert_eq!(again.header("location"), Some("/login"), "the code works once");
    let kept: String = site
        .database()
        .query_row("SELECT value FROM meta WHERE key = 'password'", [], |row| row.get(0))
        .unwrap();
    assert!(kept.starts_with("argon2id$") && !kept.contains(PASSWORD), "{kept}");
}

#[test]
fn every_answer_forbids_what_a_page_of_ours_never_does() {
    let (_broker, site, _gateway) = start(FREEZER);
    let cookie = log_in(&site);
    for path in ["/", "/login", "/nowhere", "/api/messages", "/assets/nothing", "/setup"] {
        let answer = get(&site, path, &[&cookie]);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
    }
    let answer = form(&site, "/login", &[], "password=correct+horse");
    let cookie = answer.header("set-cookie").expect("a cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let behind_tls = form(&site, "/login", &["X-Forwarded-Proto: https"], "password=correct+horse");
    assert!(behind_tls.header("set-cookie").unwrap_or_default().contains("; Secure"));
}

#[test]
fn a_form_of_another_site_does_nothing() {
    let (broker, site, _gateway) = start(FREEZER);
    publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#); // no API: it waits
    wait_for(10, "the message", || (site.count("SELECT count(*) FROM message") == 1).then_some(()));
    let cookie = log_in(&site);
    let proof = proof(&site, &cookie);
    let right = format!("csrf={proof}");
    let check = |headers: &[&str], fields: &str, expected: u16| {
        assert_eq!(form(&site, "/outbox/1/hold", headers, fields).status, expected, "{headers:?} {fields}");
    };
    check(&[&cookie], "", 403);
    check(&[&cookie], "csrf=00000000000000000000000000000000", 403);
    check(&[&cookie, "Origin: https://evil.example"], &right, 403);
    check(&[&cookie, "Origin: null"], &right, 403);
    check(&[&cookie, "Sec-Fetch-Site: cross-site"], &right, 403);
    assert_eq!(
        ask(&site, "POST", "/api/outbox/1/hold", &[&cookie], "").status,
        403,
        "the API wants the header"
    );
    assert_eq!(get(&site, "/outbox/1/hold", &[&cookie]).status, 405);
    assert_eq!(site.count("SELECT count(*) FROM message WHERE state = 'held'"), 0);
    check(&[&cookie, &format!("Origin: http://127.0.0.1:{}", site.http_port)], &right, 303);
    assert_eq!(site.count("SELECT count(*) FROM message WHERE state = 'held'"), 1);
    let another = log_in(&site);
    check(&[&another], &right, 403); // a proof belongs to its session
    assert_eq!(site.count("SELECT count(*) FROM change WHERE deed = 'hold' AND outcome = 'done'"), 1);
}

/// A machine's question, which shows what it was sent.
const REFUND: &str = r#"
[[ask]]
name = "refund"
topic = "pos/{till}/refund"
text = "Refund at {{ till }}: {{ payload }}?"
choices = ["Yes", "No"]
who = ["nino"]
within = "5m"
default = "No"
response_topic = "pos/answer"
"#;

#[test]
fn outside_text_is_escaped_on_pages() {
    let rules =
        FREEZER.replace("payload.celsius > -15", "true").replace("{{ payload.celsius }}", "{{ payload }}");
    let (broker, site, _gateway) = start(&format!("{rules}{REFUND}"));
    let _simulator = Simulator::start(&site);
    let evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'{{7*7}}";
    publish(broker.port, "site/<b>bar/freezer/\"2/temperature", evil.as_bytes());
    publish(broker.port, "pos/<b>bar/refund", evil.as_bytes());
    assert_eq!(site.wait_sent(2).len(), 2);
    for from in ["+995555123456", "+4915100000000"] {
        let reply = json!({ "from": from, "text": evil, "name": evil });
        assert_eq!(post_json(&site.api("/_simulator/reply"), &reply).0, 200);
    }
    wait_for(10, "the replies", || (site.count("SELECT count(*) FROM reply") == 2).then_some(()));
    let cookie = log_in(&site);
    let tried = "/rules?topic=site%2F%3Cscript%3E%2Ffreezer%2F2%2Ftemperature&payload=%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let search = "/timeline?text=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E&contact=%22%3E%3Cscript%3E";
    for path in [
        "/",
        "/timeline",
        "/alerts",
        "/alerts/1",
        "/messages/1",
        "/outbox?state=all",
        "/commands",
        "/commands?show=open",
        "/commands?show=trail",
        "/commands?show=%3Cscript%3E",
        "/contacts",
        tried,
        search,
    ] {
        let answer = get(&site, path, &[&cookie]);
        assert_eq!(answer.status, 200, "{path}");
        for wrong in ["<script>", "<img src=x", "<b>bar", "49}}"] {
            assert!(!answer.body.contains(wrong), "{path} has {wrong}");
        }
    }
    for path in ["/timeline", "/commands?show=open"] {
        assert!(get(&site, path, &[&cookie]).body.contains("&lt;script&gt;"), "{path} shows the words");
    }
}

#[test]
fn a_planted_session_is_not_taken_over() {
    let (_broker, site, _gateway) = start(FREEZER);
    let planted = "Cookie: bellwire_session=00000000000000000000000000000000";
    let answer = form(&site, "/login", &[planted], "password=correct+horse");
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(!cookie.contains("=0000000000"), "{cookie}");
    assert_eq!(get(&site, "/", &[planted]).header("location"), Some("/login"));
    let cookie = log_in(&site);
    assert_eq!(get(&site, "/", &[&cookie]).status, 200);
    let fields = format!("csrf={}", proof(&site, &cookie));
    assert_eq!(form(&site, "/logout", &[&cookie], &fields).status, 303);
    assert_eq!(get(&site, "/", &[&cookie]).status, 303, "logged out is logged out on the server");
}

#[test]
fn a_new_password_ends_every_session() {
    let (_broker, site, _gateway) = start(FREEZER);
    let (mine, other) = (log_in(&site), log_in(&site));
    let fields = format!(
        "csrf={}&old=correct+horse&password=battery+staple&again=battery+staple",
        proof(&site, &mine)
    );
    let wrong = fields.replace("old=correct", "old=wrong");
    assert_eq!(form(&site, "/password", &[&mine], &wrong).status, 422);
    assert_eq!(form(&site, "/password", &[&mine], &fields).status, 303);
    assert_eq!(get(&site, "/", &[&mine]).status, 303);
    assert_eq!(get(&site, "/", &[&other]).status, 303);
}

#[test]
fn guessing_takes_longer_each_time() {
    let (_broker, site, _gateway) = start(FREEZER);
    let statuses: Vec<u16> = (0..7).map(|_| form(&site, "/login", &[], "password=guess").status).collect();
    assert_eq!(statuses, [403, 403, 403, 403, 403, 429, 429]);
    let right = form(&site, "/login", &[], "password=correct+horse");
    assert_eq!(right.status, 429, "even the right one waits");
    assert!(right.header("retry-after").is_some());
    wait_for(10, "the audit", || {
        (site.count("SELECT count(*) FROM change WHERE deed = 'log in' AND outcome LIKE '%wrong%'") == 5)
            .then_some(())
    });
}

#[test]
fn a_name_that_is_not_ours_is_not_answered() {
    let (_broker, site, _gateway) = start(&format!("{FREEZER}\n"));
    let cookie = log_in(&site);
    let check = |host: &str, expected: u16| {
        let answer = get(&site, "/", &[&format!("Host: {host}"), &cookie]);
        assert_eq!(answer.status, expected, "{host}");
    };
    check("evil.example", 421);
    check("evil.example:8080", 421);
    check("127.0.0.1.evil.example", 421);
    check("", 421);
    check("localhost:8080", 200);
    check("[::1]:8080", 200);
    check("192.0.2.7", 200);
    assert_eq!(
        get(&site, "/healthz", &["Host: evil.example"]).status,
        200,
        "monitors may call it what they like"
    );
}

#[test]
fn no_path_leads_out_of_the_assets() {
    let (_broker, site, _gateway) = start(FREEZER);
    for path in [
        "/assets/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/assets/%2e%2e/bellwire.toml",
        "/assets//etc/passwd",
        "/assets/page.css%00.js",
    ] {
        let answer = get(&site, path, &[]);
        assert!(matches!(answer.status, 303 | 400 | 404), "{path}: {}", answer.status);
        assert!(!answer.body.contains("root:") && !answer.body.contains("[site]"), "{path}");
    }
}

#[test]
fn a_header_cannot_be_smuggled_into_an_answer() {
    let (_broker, site, _gateway) = start(FREEZER);
    for back in [
        "%2Fx%0d%0aSet-Cookie:%20a=b",
        "%2F%2Fevil.example",
        "https:%2F%2Fevil.example",
        "%2F%5Cevil.example",
    ] {
        let answer = form(&site, "/language", &[], &format!("to=de&back={back}"));
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{back}");
        assert!(!answer.head.contains("a=b"), "{}", answer.head);
    }
    let answer = form(&site, "/language", &[], "to=%0d%0aX-Evil:%201&back=%2F");
    assert!(!answer.head.to_ascii_lowercase().contains("x-evil"), "{}", answer.head);
}

#[test]
fn large_and_slow_requests_end() {
    let (_broker, site, _gateway) = start(FREEZER);
    let token = token(&site, &["events"]);
    let large = json!({ "topic": "a", "payload": "x".repeat(600 * 1024) }).to_string();
    let headers = [token.as_str(), "Idempotency-Key: 1", "Content-Type: application/json"];
    assert_eq!(ask(&site, "POST", "/api/events", &headers, &large).status, 413);
    let mut slow = TcpStream::connect(("127.0.0.1", site.http_port)).unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: loc").unwrap();
    let begun = Instant::now();
    slow.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let mut rest = Vec::new();
    drop(slow.read_to_end(&mut rest));
    assert!(begun.elapsed() < Duration::from_secs(10), "half a header was waited for too long");
    // A body that trickles in: whoever sends it has a valid token, and is cut all the same.
    let mut slow = TcpStream::connect(("127.0.0.1", site.http_port)).unwrap();
    let head = format!("POST /api/events HTTP/1.1\r\nHost: localhost\r\n{}\r\n", headers.join("\r\n"));
    slow.write_all(format!("{head}Content-Length: 4000\r\n\r\n{{").as_bytes()).unwrap();
    let begun = Instant::now();
    slow.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert!(begun.elapsed() < Duration::from_secs(30), "half a body was waited for too long");
    assert_eq!(get(&site, "/healthz", &[]).status, 200);
}

#[test]
fn a_token_may_what_it_may_and_no_more() {
    let (_broker, site, _gateway) = start(FREEZER);
    let (read, events) = (token(&site, &["read"]), token(&site, &["events"]));
    assert_eq!(get(&site, "/api/messages", &[&read]).status, 200);
    assert_eq!(get(&site, "/api/messages", &[&events]).status, 403);
    assert_eq!(ask(&site, "POST", "/api/outbox/1/cancel", &[&read], "").status, 403);
    assert_eq!(get(&site, "/setup", &[&read]).status, 403, "the page is for people");
    assert_eq!(get(&site, "/api/messages", &["Authorization: Bearer bw_nonsense"]).status, 401);
    assert_eq!(get(&site, "/api/messages", &["Authorization: Basic YTpi"]).status, 401);
    let kept: String =
        site.database().query_row("SELECT group_concat(hash) FROM token", [], |row| row.get(0)).unwrap();
    assert!(!kept.contains(&read[read.len() - 20..]), "only hashes are kept");
    let cookie = log_in(&site);
    let fields = format!("csrf={}", proof(&site, &cookie));
    assert_eq!(form(&site, "/tokens/1/revoke", &[&cookie], &fields).status, 303);
    assert_eq!(get(&site, "/api/messages", &[&read]).status, 401, "revoked is revoked at once");
}

fn of_process(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

#[test]
fn abandoned_logins_take_the_memory_of_one() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let gateway = Gateway::start(&site);
    let fields = format!("code={}&password=correct+horse&again=correct+horse", super::code(&site));
    assert_eq!(form(&site, "/welcome", &[], &fields).status, 303);
    assert_eq!(form(&site, "/login", &[], "password=guess").status, 403);
    let before = of_process(gateway.id(), "VmHWM:");
    for number in 0..100 {
        let address = format!("127.6.{}.{}", number / 50, 1 + number % 50);
        let mut stream = connect_from(&address, site.http_port);
        let head =
            "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n";
        stream.write_all(format!("{head}Content-Length: 14\r\n\r\npassword=guess").as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(15));
    }
    let grown = of_process(gateway.id(), "VmHWM:").saturating_sub(before);
    // One hash takes 8 MiB and its visitors some 50 KiB each; two at a time would be over it, a hundred take 800 MiB.
    assert!(grown < 16 * 1024, "{grown} KiB for passwords that nobody waits for");
    // One thread works them off; it is not made again for each.
    let threads = of_process(gateway.id(), "Threads:");
    assert!(threads < 16, "{threads} threads");
    wait_for(20, "the owner's turn", || {
        (form(&site, "/login", &[], "password=correct+horse").status == 303).then_some(())
    });
}

#[test]
fn known_browsers_log_in_during_an_attack() {
    let (_broker, site, _gateway) = start(FREEZER);
    let entered = form(&site, "/login", &[], "password=correct+horse");
    let known =
        entered.head.lines().find_map(|line| line.split_once("bellwire_known=")).expect("a browser's mark").1;
    let known = format!("Cookie: bellwire_known={}", known.split(';').next().expect("a value"));
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let strangers: Vec<_> = (0..40)
        .map(|number| {
            let (stop, port) = (std::sync::Arc::clone(&stop), site.http_port);
            std::thread::spawn(move || {
                for address in (1..=250).cycle() {
                    if stop.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                    let mut stream = connect_from(&format!("127.7.{number}.{address}"), port);
                    let head = "POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 14\r\n\r\npassword=guess";
                    drop(stream.write_all(head.as_bytes()));
                    drop(stream.read_to_end(&mut Vec::new()));
                }
            })
        })
        .collect();
    // Strangers are turned away by now: all their places are taken.
    wait_for(20, "a queue that is full", || {
        (form(&site, "/login", &[], "password=correct+horse").status == 503).then_some(())
    });
    let entered: Vec<u16> =
        (0..8).map(|_| form(&site, "/login", &[&known], "password=correct+horse").status).collect();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    strangers.into_iter().for_each(|stranger| stranger.join().expect("it ends"));
    assert_eq!(entered, [303; 8]);
}

#[test]
fn only_a_trusted_proxy_names_each_visitor() {
    for trusted in [true, false] {
        let broker = Broker::start();
        let site = Site::new(broker.port, FREEZER);
        if trusted {
            let config = std::fs::read_to_string(site.config()).unwrap();
            let config = config.replace("[http]\n", "[http]\ntrusted_proxies = [\"127.0.0.1\"]\n");
            std::fs::write(site.config(), config).unwrap();
        }
        let _gateway = Gateway::start(&site);
        let fields = format!("code={}&password=correct+horse&again=correct+horse", super::code(&site));
        assert_eq!(form(&site, "/welcome", &[], &fields).status, 303);
        let log_in = |visitor: &str, password: &str| {
            let header = format!("X-Forwarded-For: {visitor}");
            form(&site, "/login", &[&header], &format!("password={password}")).status
        };
        for visitor in 0..8 {
            assert_eq!(log_in(&format!("9.9.9.{visitor}"), "guess"), 403, "{visitor}");
        }
        assert_eq!(log_in("10.0.0.1", "correct+horse"), 303, "others' guesses are not the owner's");
        let one: Vec<u16> = (0..7).map(|_| log_in("7.7.7.7", "guess")).collect();
        assert_eq!(one, [403, 403, 403, 403, 403, 429, 429], "one visitor is one, trusted: {trusted}");
        // What visitors write before the proxy does counts for nothing.
        assert_eq!(log_in("1.2.3.4, 7.7.7.7", "guess"), 429, "trusted: {trusted}");
        // An address of IPv6 is one of a network's 2^64.
        let many: Vec<u16> = (0..7).map(|host| log_in(&format!("2001:db8::{host}"), "guess")).collect();
        assert_eq!(many, [403, 403, 403, 403, 403, 429, 429], "trusted: {trusted}");
        if trusted {
            let seen = "SELECT count(*) FROM change WHERE address = '9.9.9.3'";
            wait_for(10, "the audit", || (site.count(seen) > 0).then_some(()));
        }
    }
}

#[test]
fn a_known_browser_is_not_locked_out_by_others() {
    let (_broker, site, _gateway) = start(FREEZER);
    let answer = form(&site, "/login", &[], "password=correct+horse");
    let known = answer.head.lines().find_map(|line| line.split_once("bellwire_known=")).expect("a cookie").1;
    let known = format!("Cookie: bellwire_known={}", known.split(';').next().unwrap());
    for _ in 0..8 {
        form(&site, "/login", &[], "password=guess");
    }
    assert_eq!(form(&site, "/login", &[], "password=correct+horse").status, 429, "others wait");
    assert_eq!(get(&site, "/", &[&known]).status, 303, "it opens nothing by itself");
    assert_eq!(
        form(&site, "/login", &[&known], "password=correct+horse").status,
        303,
        "it is not locked out"
    );
    let tries: Vec<u16> = (0..6).map(|_| form(&site, "/login", &[&known], "password=guess").status).collect();
    assert_eq!(tries, [403, 403, 403, 403, 403, 429], "it has tries of its own, and no more");
}

#[test]
fn obstacles_and_metrics_need_the_right_host_name() {
    let (broker, site, _gateway) = start(FREEZER);
    drop(broker);
    wait_for(10, "the broker's end", || (get(&site, "/readyz", &[]).status == 503).then_some(()));
    assert!(get(&site, "/readyz", &[]).body.contains("obstacles"));
    let elsewhere = get(&site, "/readyz", &["Host: evil.example"]);
    assert_eq!((elsewhere.status, elsewhere.json()), (503, json!({ "ready": false })));
    assert_eq!(get(&site, "/metrics", &[]).status, 200);
    assert_eq!(get(&site, "/metrics", &["Host: evil.example"]).status, 421);
}
