//! Every fixture of the project as an input of the targets that it concerns, and a few that are written by hand.

use std::path::{Path, PathBuf};

use firmware_bridge::frame::Encoder;
use firmware_bridge::{Event, Kind};

/// Target, name, input.
type Seed = (&'static str, String, Vec<u8>);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of a folder and of those in it, with names that may stand in one folder.
fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path.strip_prefix(root()).expect("inside").with_extension("");
            let name = inside.to_string_lossy().replace(['/', '.'], "-");
            found.push((name, std::fs::read(&path).expect("readable")));
        }
    }
    found.sort();
    found
}

/// LIST NAME OF KEY and a value: what a form changes in an example.
const CHANGES: [&str; 5] = [
    "contact nino - quiet_hours 22:00-06:00",
    "contact new - name Somebody \"new\" #1",
    "rule too-warm - message Line \\ one",
    "rule too-warm - when ",
    "action stop too-warm confirm true",
];

pub fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, body) in files("tests/fixtures/cloud-api/webhooks") {
        seeds.push((
            "http",
            name.clone(),
            post("/webhook/whatsapp", "X-Hub-Signature-256: sha256=00\r\n", &body),
        ));
        seeds.push(("webhook", name, body));
    }
    for folder in ["config", "tests/fixtures/config", "tests/fixtures/scenarios"] {
        for (name, text) in files(folder).into_iter().filter(|(_, text)| text.len() < 16_384) {
            seeds.push(("config", name, text));
        }
    }
    for (name, body) in files("tests/fixtures/cloud-api/requests") {
        seeds.push(("decode", name.clone(), [b"json\n".to_vec(), body.clone()].concat()));
        seeds.push(("event", name, [b"any/bar/2\napplication/json\n".to_vec(), body].concat()));
    }
    for (number, change) in CHANGES.iter().enumerate() {
        let text = std::fs::read(root().join("config/examples/cold-room.toml")).expect("an example");
        seeds.push(("edit", format!("cold-room-{number}"), [change.as_bytes(), b"\n", &text].concat()));
    }
    seeds.extend(frames());
    seeds.extend(by_hand());
    seeds
}

/// The vectors of the device protocol's page: messages and frames.
fn frames() -> Vec<Seed> {
    let page = std::fs::read_to_string(root().join("docs/device-protocol.md")).expect("the page");
    let mut seeds = Vec::new();
    for (number, block) in page.split("```vector\n").skip(1).enumerate() {
        let bytes = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)).expect("a line").trim();
            let digits = line.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("hex"));
            digits.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect::<Vec<u8>>()
        };
        seeds.push(("serial", format!("frame-{number}"), bytes("frame")));
        seeds.push(("serial", format!("message-{number}"), bytes("message")));
        let message = bytes("message");
        if bytes("kind") == [Kind::Event.byte()] && Event::decode(&message).is_ok() {
            seeds.push(("decode", format!("postcard-{number}"), [b"postcard\n", &message[..]].concat()));
            seeds.push(("event", format!("postcard-{number}"), [b"postcard/bar\n\n", &message[..]].concat()));
        }
    }
    let two: Vec<u8> =
        Encoder::new(Kind::Ack, &[0; 300]).chain(Encoder::new(Kind::Event, b"\0\0x")).collect();
    seeds.push(("serial", "two-frames".into(), two));
    seeds
}

fn by_hand() -> Vec<Seed> {
    let texts = texts().into_iter().map(|(target, name, text)| (target, name.to_owned(), text.into()));
    let costly = costly().into_iter().map(|(name, text)| ("expression", name.to_owned(), text.into()));
    texts.chain(costly).chain(payloads()).chain(long_ones()).chain(requests()).collect()
}

fn texts() -> [(&'static str, &'static str, &'static str); 34] {
    [
        ("topic", "named", "site/{area}/freezer/{unit}\nsite/bar/freezer/2\nsite/{area}/set/{unit}"),
        ("topic", "rest", "site/#\nsite\nsite/set"),
        ("topic", "hidden", "$SYS/+\n$SYS/uptime\na"),
        ("topic", "any", "+/{b}/+\na//c\n{b}/x"),
        ("topic", "empty-levels", "/{a}/\n/1/\n/{a}"),
        ("decode", "text", "text\noffline"),
        ("decode", "number", "number\n -12.5e3 "),
        ("decode", "content-type", "application/senml+json; charset=utf-8\n[{\"n\":\"a\",\"v\":1}]"),
        ("decode", "auto", "\n{\"celsius\":-12.5}"),
        (
            "condition",
            "number",
            "payload.celsius > -15\n{{ area }} {{ payload.celsius | round(1) }}\n{\"celsius\":-3}",
        ),
        (
            "condition",
            "guard",
            "payload.a is number and -20 < payload.a < 3 or not payload.b\n{{ topic }}\n{\"a\":1}",
        ),
        ("condition", "loop", "payload in [1, 2]\n{% for a in payload %}{{ a }}{% endfor %}\n[1,2]"),
        (
            "condition",
            "choice",
            "payload.c > 3 if payload.c is number else payload.c == 'hot'\nx\n{\"c\":\"hot\"}",
        ),
        (
            "condition",
            "filters",
            "payload | length > 2\n{{ payload | upper | truncate | default('–') }}\n\"abc\"",
        ),
        ("event", "json", "json/bar\n\n{\"celsius\":-3.5,\"n\":7}"),
        ("event", "text", "text/a/b\n\nopen"),
        ("event", "number", "number/bar\n\n42"),
        ("event", "picture", "picture/bar\nimage/png\n\u{89}PNG"),
        ("webhook", "empty", "{\"object\":\"whatsapp_business_account\",\"entry\":[]}"),
        ("reply", "button", "995555123456\n\nbellwire/0badcafe/7/set\nSet it"),
        ("reply", "other-store", "995555123456\n\nbellwire/deadbeef/7/set\nSet it"),
        ("reply", "read-on", "995555123456\n\nbellwire/0badcafe/more/3\nRead on"),
        ("reply", "words", "995555123456\nwamid.ours\n\n set IT "),
        ("reply", "more", "995555123456\nwamid.ours\n\nmore"),
        ("reply", "no-role", "995555654321\n\nbellwire/0badcafe/7/set\nSet it"),
        ("reply", "forwarded", "995555123456!\n\nbellwire/0badcafe/7/set\nSet it"),
        ("reply", "stranger", "15550100123\n\nbellwire/0badcafe/7/set\nSet it"),
        ("reply", "stop", "995555654321\n\n\nСТОП!"),
        ("parameter", "text", "{{ text }}\n{{ area }} {{ payload }}\nwarm"),
        ("parameter", "lines", "{{ payload }}\n{{ payload }}\none\n\n\ttwo      three"),
        ("parameter", "both", "{{ text }} {{ text }} {{ payload }}\nx\n \r\n"),
        ("parameter", "nothing", "{{ payload }}\nx\n"),
        ("parameter", "emoji", "{{ payload }}\n{{ payload }}\n👨‍👩‍👧👨‍👩‍👧 é"),
        // Found by reading, before the first run.
        (
            "parameter",
            "found-copies",
            "{{ payload }}\n{{ payload }}\n\u{e0b1}\u{e0b1}\u{e0b1}\u{e0b1}\u{e0b1}",
        ),
    ]
}

/// A condition, a message, a payload: each way to make much of little.
fn costly() -> [(&'static str, &'static str); 15] {
    [
        ("times", "payload.t * payload.n > 3\n{{ payload.t * payload.n }}\n{\"t\":\"@60000\",\"n\":1600}"),
        ("times-one", "payload.n * payload.t > 3\n{{ payload.n * payload.t }}\n{\"t\":\"x\",\"n\":99999999}"),
        ("list-times", "(payload.l * 9000) | length > 3\n{{ payload.l * 9000 }}\n{\"l\":\"#9000\"}"),
        (
            "doubled",
            "payload.t ~ payload.t ~ payload.t\n{% set ns = namespace(t=payload.t) %}{% for i in range(99) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}{{ ns.t }}\n{\"t\":\"@30000\"}",
        ),
        (
            "shared",
            "[payload.l, payload.l, payload.l] | tojson | length > 3\n{% set ns = namespace(t=[1]) %}{% for i in range(99) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t }}\n{\"l\":\"#30000\"}",
        ),
        (
            "captured",
            "payload.l\n{% set u %}{% for i in payload.l %}{% for j in payload.l %}a line of some length{% endfor %}{% endfor %}{% endset %}x\n{\"l\":\"#9000\"}",
        ),
        (
            "macro",
            "payload.t\n{% macro m(t) %}{{ t }}{{ t }}{% endmacro %}{{ m(m(m(m(m(m(payload.t)))))) }}\n{\"t\":\"@60000\"}",
        ),
        (
            "replace",
            "payload.t | replace('x', payload.t)\n{{ payload.t | replace('', payload.t) }}\n{\"t\":\"@60000\"}",
        ),
        (
            "width",
            "'%*d' | format(payload.n, 1)\n{{ payload.t | indent(payload.n) }}{{ '%90000000d' | format(1) }}\n{\"t\":\"@60\",\"n\":90000000}",
        ),
        (
            "join",
            "payload.l | join(payload.t)\n{{ payload.l | join(payload.t) }}\n{\"t\":\"@30000\",\"l\":\"#9000\"}",
        ),
        (
            "batch",
            "payload.l | batch(payload.n, 0)\n{{ payload.l | slice(payload.n) }}\n{\"n\":90000000,\"l\":\"#9000\"}",
        ),
        (
            "searched",
            "payload.l | select('in', payload.l) | list\n{% for a in payload.l %}{{ a in payload.l }}{% endfor %}\n{\"l\":\"#16000\"}",
        ),
        (
            "sorted",
            "payload.l | map('string') | sort | unique | list\n{% for a in payload.l %}{{ payload.l | sort | first }}{% endfor %}\n{\"l\":\"#30000\"}",
        ),
        ("everything", "payload | tojson | length > 3\n{{ payload | pprint }}\n{\"l\":\"#30000\"}"),
        ("constant", "'a' * 100000000 == payload\n{{ 'a' * 100000000 }}\n1"),
    ]
}

fn payloads() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = Vec::new();
    let cbor: [(&str, &[u8]); 4] = [
        ("map", b"\xa1\x61c\x38\x0e"),
        ("bytes", b"\x82\x42\x01\xff\xc1\x18\x2a"),
        ("indefinite", b"\x9f\xf9\x7c\x00\xfb\x3f\xf0\0\0\0\0\0\0\xff"),
        ("nested-keys", &[0xa1; 60]),
    ];
    for (name, payload) in cbor {
        seeds.push(("decode", format!("cbor-{name}"), [b"cbor\n", payload].concat()));
        seeds.push(("event", format!("cbor-{name}"), [b"cbor/bar\n\n", payload].concat()));
    }
    // A metric with name, alias, type and value; one with its alias alone; one of bad quality.
    let metrics = b"\x12\x0a\x0a\x01a\x10\x01\x20\x01\x50\xfb\x01\x12\x04\x10\x01\x50\x05\x12\x12\x10\x01\x4a\x0d\x0a\x07Quality\x12\x02\x18\x00\x70\x01\x18\x05";
    seeds.push(("decode", "sparkplug-metrics".into(), [b"sparkplug\n", &metrics[..]].concat()));
    // 40 maps, each the key of the one around it.
    let bomb = [&[0xa1; 40][..], &[0x00; 41]].concat();
    seeds.push(("decode", "cbor-key-of-keys".into(), [b"cbor\n", &bomb[..]].concat()));
    seeds
}

fn long_ones() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = Vec::new();
    let copies = ["{{ payload }}\n{{ payload }}\n", &"\u{e0b1}".repeat(20_000)].concat();
    seeds.push(("parameter", "sixty-thousand-copies".into(), copies.into()));
    let long = ["{who}\n", &"x".repeat(30_000), "\n{who}/{who}/{who}"].concat();
    seeds.push(("topic", "too-long-when-filled".into(), long.into()));
    seeds
}

/// Every route, by a browser, by a program and by nobody.
fn requests() -> Vec<Seed> {
    let api = include_str!("../../gateway/src/http/assets/openapi.json");
    let api: serde_json::Value = serde_json::from_str(api).expect("JSON");
    let token = "Authorization: Bearer bw_fuzzed\r\nIdempotency-Key: 7\r\nContent-Type: application/json\r\n";
    let mut seeds = Vec::new();
    for (path, methods) in api["paths"].as_object().expect("paths") {
        let address = path.replace("{id}", "7").replace("{action}", "retry").replace("{name}", "main");
        for method in methods.as_object().expect("methods").keys() {
            let name = format!("{method}{}", path.replace(['/', '{', '}', '.'], "-"));
            let body = b"{\"topic\":\"a/b\",\"payload\":{\"c\":1}}";
            let request = match method.as_str() {
                "post" => post(&address, token, body),
                _ => format!("GET {address} HTTP/1.1\r\nHost: localhost\r\n{token}Connection: close\r\n\r\n")
                    .into(),
            };
            seeds.push(("http", name, request));
        }
    }
    for path in [
        "/",
        "/login",
        "/welcome",
        "/timeline?limit=x",
        "/outbox",
        "/contacts",
        "/rules",
        "/setup",
        "/nothing",
    ] {
        let name = path.replace(['/', '?', '='], "-");
        let request =
            |more: &str| format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}Connection: close\r\n\r\n");
        seeds.push(("http", format!("nobody{name}"), request("").into()));
        seeds.push((
            "http",
            format!("page{name}"),
            request("Cookie: bellwire_session=fuzzed-session\r\n").into(),
        ));
    }
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    seeds.push(("http", "login-form".into(), post("/login", form, b"password=guess&csrf=")));
    seeds.push(("http", "chunked".into(), b"POST /webhook/whatsapp HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".into()));
    seeds.push(("http", "handshake".into(), b"GET /webhook/whatsapp?hub.mode=subscribe&hub.verify_token=fuzzed-verify&hub.challenge=%31 HTTP/1.1\r\nHost: a\r\n\r\n".into()));
    seeds.push(("http", "other-name".into(), b"GET /login HTTP/1.1\r\nHost: evil.example\r\n\r\n".into()));
    seeds
}

fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}
