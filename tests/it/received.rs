//! What people send: shown as read, its files fetched, looked through and kept within bounds.

use bellwire_tests::{
    Broker, Gateway, PHONE_NUMBER_ID, Simulator, Site, bellwire, get_json, post_json, publish, wait_for,
};
use serde_json::{Value, json};

const NINO: &str = "+995555123456";

struct Shop {
    broker: Broker,
    site: Site,
    _simulator: Simulator,
    _gateway: Gateway,
}

impl Shop {
    fn open(more: &str) -> Self {
        let broker = Broker::start();
        let site = Site::new(broker.port, &format!("{}{more}", crate::round_trip::FREEZER));
        let (simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
        Self { broker, site, _simulator: simulator, _gateway: gateway }
    }

    fn write(&self, what: &Value) -> String {
        let mut what = what.clone();
        what["phone_number_id"] = json!(PHONE_NUMBER_ID);
        if what["from"].is_null() {
            what["from"] = json!(NINO);
        }
        let (status, answer) = post_json(&self.site.api("/_simulator/reply"), &what);
        assert_eq!(status, 200, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// `STATE REASON` of a file.
    fn file(&self, id: i64) -> (String, String) {
        let read = |row: &rusqlite::Row| Ok((row.get(0)?, row.get(1)?));
        let sql = "SELECT state, reason FROM file WHERE id = ?1";
        self.site.database().query_row(sql, [id], read).unwrap_or_default()
    }

    fn wait_file(&self, id: i64, state: &str) -> String {
        wait_for(15, &format!("file {id} to be {state}"), || {
            Some(self.file(id)).filter(|(now, _)| now == state)
        })
        .1
    }

    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let config = self.site.config();
        let output = bellwire(&[arguments, &["--config", &config.to_string_lossy()]].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    fn on_disk(&self) -> usize {
        std::fs::read_dir(self.site.path().join("state/files")).map_or(0, Iterator::count)
    }
}

#[test]
fn a_picture_is_fetched_looked_at_and_removed() {
    let shop = Shop::open("");
    shop.write(&json!({ "image": "aGVsbG8=", "caption": "the meter" }));
    shop.wait_file(1, "kept");
    let (good, list) = shop.run(&["files", "list", "--json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert!(good && list[0]["contact"] == "nino" && list[0]["bytes"] == 5, "{list}");
    let copy = shop.site.path().join("meter.jpg");
    let (good, said) = shop.run(&["files", "save", "1", &copy.to_string_lossy()]);
    assert!(good && std::fs::read(&copy).unwrap() == b"hello", "{said}");
    let (good, said) = shop.run(&["files", "save", "1", &copy.to_string_lossy()]);
    assert!(!good && said.contains("is there already"), "{said}");
    let (good, _) = shop.run(&["files", "delete", "1"]);
    assert!(good && shop.on_disk() == 0);
    let (good, said) = shop.run(&["files", "save", "1", "/nowhere"]);
    assert!(!good && said.contains("an operator removed it"), "{said}");

    shop.write(
        &json!({ "document": "aGVsbG8=", "filename": "nino-passport.pdf", "mime_type": "application/pdf" }),
    );
    shop.wait_file(2, "kept");
    assert_eq!(shop.on_disk(), 1);
    let (good, said) = shop.run(&["contact", "erase", "nino", "--yes"]);
    assert!(good && shop.on_disk() == 0, "who is erased leaves no file: {said}");
    let traces =
        "SELECT count(*) FROM file WHERE contact = 'nino' OR name IS NOT NULL OR reply LIKE 'wamid%'";
    assert_eq!(shop.site.count(traces), 0);
}

#[test]
fn bytes_that_are_not_what_was_announced_are_not_kept() {
    let shop = Shop::open("");
    shop.write(&json!({ "image": "aGVsbG8=", "sha256": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" }));
    for tries in 1..=4 {
        let count = format!("SELECT count(*) FROM file WHERE id = 1 AND tries = {tries}");
        wait_for(15, "a try", || (shop.site.count(&count) == 1).then_some(()));
        assert!(shop.file(1).1.contains("announced (SHA-256)"), "{:?}", shop.file(1));
        let soon = "UPDATE file SET not_before = 0 WHERE state = 'wanted'";
        shop.site.database().execute(soon, []).unwrap();
        shop.write(&json!({ "image": "aGVsbG8=" })); // wakes it, and is taken itself
    }
    shop.wait_file(1, "failed");
    shop.wait_file(5, "kept");
    assert_eq!(shop.on_disk(), 4);
}

#[test]
fn oversized_excess_and_strangers_files_are_not_kept() {
    let shop = Shop::open("[files]\nmax_bytes = 1024\nkeep_bytes = 2048\ndelete_at_meta = true\n");
    let base64 = |bytes: usize| "QUFB".repeat(bytes / 3);
    shop.write(&json!({ "document": base64(3_000), "filename": "long.pdf", "mime_type": "application/pdf" }));
    let reason = shop.wait_file(1, "failed");
    assert!(reason.contains("3000 bytes") && reason.contains("max_bytes"), "{reason}");
    shop.write(&json!({ "from": "+4915100000000", "image": "aGVsbG8=" }));
    for _ in 0..3 {
        shop.write(&json!({ "image": base64(900) }));
    }
    wait_for(15, "three files", || {
        (shop.site.count("SELECT count(*) FROM file WHERE state IN ('kept', 'gone')") == 3).then_some(())
    });
    assert_eq!(shop.site.count("SELECT count(*) FROM file"), 4, "a stranger's file is not fetched");
    wait_for(40, "the oldest to go", || (shop.on_disk() == 2).then_some(()));
    assert!(shop.wait_file(2, "gone").contains("no room"));
    let media: i64 = shop
        .site
        .database()
        .query_row("SELECT media_id FROM file WHERE id = 4", [], |row| row.get::<_, String>(0))
        .unwrap()
        .parse()
        .unwrap();
    let gone = ureq::get(shop.site.api(&format!("/_simulator/media/{media}"))).call();
    assert!(gone.is_err(), "Meta was told to forget it");
}

#[test]
fn a_file_that_meta_cannot_give_now_is_fetched_later() {
    let shop = Shop::open("");
    shop.site.fault(&json!({ "on": "download", "status": 404, "count": 1 }));
    shop.write(&json!({ "image": "aGVsbG8=" }));
    wait_for(10, "the first try", || shop.file(1).1.contains("404").then_some(()));
    shop.site.database().execute("UPDATE file SET not_before = 0", []).unwrap();
    shop.write(&json!({ "text": "hello" }));
    shop.write(&json!({ "image": "aGVsbG8=" }));
    shop.wait_file(1, "kept");
    assert_eq!(shop.site.count("SELECT tries FROM file WHERE id = 1"), 1);
}

#[test]
fn processed_messages_are_marked_read_and_typing() {
    let shop = Shop::open("");
    publish(shop.broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    assert_eq!(shop.site.wait_sent(1).len(), 1);
    let idle = shop.write(&json!({ "text": "a word in passing" }));
    let stop = shop.write(&json!({ "text": "stop" }));
    let stranger = shop.write(&json!({ "from": "+4915100000000", "text": "hello" }));
    let marks = |id: &str| {
        let written = get_json(&shop.site.api("/_simulator/written"));
        let found = written.as_array().unwrap().iter().find(|one| one["id"] == id).unwrap().clone();
        (found["read"] == true, found["typing"] == true)
    };
    wait_for(10, "the ticks", || (marks(&stop).0 && marks(&idle).0).then_some(()));
    assert!(marks(&stop).1, "an answer follows");
    assert!(!marks(&stranger).0, "who is nobody here sees no ticks");

    let silent = Shop::open_silent();
    let id = silent.write(&json!({ "text": "stop" }));
    assert_eq!(silent.site.wait_sent(1).len(), 1);
    std::thread::sleep(std::time::Duration::from_millis(500));
    let written = get_json(&silent.site.api("/_simulator/written"));
    let found = written.as_array().unwrap().iter().find(|one| one["id"] == id.as_str()).unwrap().clone();
    assert_eq!(found["read"], false, "{found}");
}

impl Shop {
    fn open_silent() -> Self {
        let broker = Broker::start();
        let site = Site::new(broker.port, &format!("mark_read = false\n{}", crate::round_trip::FREEZER));
        let (simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
        Self { broker, site, _simulator: simulator, _gateway: gateway }
    }
}
