//! Machines that ask people: a till wants a refund approved, and gets exactly one decision.

use std::time::Duration;

use bellwire_tests::{Gateway, Subscriber, publish, publish_5, wait_for};
use serde_json::{Value, json};

use crate::replies::{GIORGI, LEVAN, NINO, Shop, text};

const REFUND: &str = r#"
[[ask]]
name = "refund"
topic = "pos/{till}/refund"
text = "Till {{ till }}: refund of {{ payload.amount }} GEL?"
choices = ["Approve", "Deny"]
who = ["nino", "giorgi"]
within = "WITHIN"
default = "Deny"
response_topic = "pos/{till}/decision"
"#;

struct Till {
    shop: Shop,
    answers: Subscriber,
}

impl Till {
    fn open(within: &str, more: &str) -> Self {
        let rules = format!("{}{more}", REFUND.replace("WITHIN", within));
        let shop = Shop::open(&rules, "site/#");
        let answers =
            Subscriber::start_with(shop.broker.port, "pos/+/decision", &["-V", "5", "-F", "%t %D %p"]);
        Self { shop, answers }
    }

    fn asks(&self, correlation: &str) {
        let options = [
            "-D",
            "publish",
            "response-topic",
            "pos/1/decision",
            "-D",
            "publish",
            "correlation-data",
            correlation,
        ];
        publish_5(self.shop.broker.port, "pos/1/refund", r#"{"amount": 12.5}"#, &options);
    }

    /// The decision that belongs to this question: its topic, correlation data and content.
    fn decision(&self, number: usize) -> (String, Value) {
        let line = wait_for(20, "the decision", || self.answers.messages().get(number - 1).cloned());
        let (head, json) = line.split_once('{').unwrap();
        (head.trim().to_owned(), serde_json::from_str(&format!("{{{json}")).unwrap())
    }
}

#[test]
fn a_refund_decision_reaches_the_till_once() {
    let till = Till::open("1m", "");
    till.asks("r-1");
    let asked = till.shop.wait_to(NINO, 1);
    assert!(text(&asked).starts_with("Till 1: refund of 12.5 GEL?"), "{asked}");
    assert!(text(&asked).contains("Without an answer in 1 min: Deny"), "{asked}");
    assert_eq!(asked["buttons"][0]["title"], "Approve");
    till.shop.wait_to(GIORGI, 1);
    assert_eq!(till.shop.taps(NINO, "Approve"), "vote");
    let (head, decision) = till.decision(1);
    assert_eq!(head, "pos/1/decision r-1");
    assert_eq!((&decision["decision"], &decision["reason"]), (&json!("Approve"), &json!("answered")));
    let by = decision["by"].as_str().unwrap();
    assert!(by.starts_with("p-") && !by.contains("nino"), "{by}");
    // Who is late hears what was decided; who was not asked does nothing by it.
    assert_eq!(till.shop.taps(GIORGI, "Deny"), "vote");
    assert!(text(&till.shop.wait_to(GIORGI, 2)).contains("decided already: Approve"));
    let context = json!({ "from": "15550100100", "id": asked["id"] });
    let borrowed =
        json!({ "from": LEVAN, "raw": { "type": "text", "text": { "body": "Deny" }, "context": context } });
    assert_eq!(till.shop.outcome(&borrowed), "refused");
    // The next one is denied, in words under the question.
    till.asks("r-2");
    let asked = till.shop.wait_to(NINO, 2);
    assert_eq!(till.shop.outcome(&json!({ "from": NINO, "quote": asked["id"], "text": "DENY" })), "vote");
    let (head, decision) = till.decision(2);
    assert_eq!((head.as_str(), &decision["decision"]), ("pos/1/decision r-2", &json!("Deny")));
    std::thread::sleep(Duration::from_millis(500)); // room for what must not come
    assert_eq!(till.answers.messages().len(), 2);
    let (_, listed) = till.shop.audit("list");
    for word in ["question", "chose         nino", "decided       nino", "question 1: Approve"] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
}

#[test]
fn a_till_that_repeats_itself_asks_once() {
    let till = Till::open("1m", "");
    for _ in 0..3 {
        till.asks("r-1");
    }
    till.shop.wait_to(NINO, 1);
    assert_eq!(till.shop.taps(NINO, "Approve"), "vote");
    till.decision(1);
    publish(till.shop.broker.port, "pos/7/refund", br#"{"amount": 3}"#);
    till.shop.wait_to(NINO, 2);
    assert_eq!(till.shop.taps(NINO, "Deny"), "vote");
    let (head, decision) = till.decision(2);
    // Without correlation data of its own it gets the command's id.
    assert!(head.starts_with("pos/7/decision ") && head.len() > "pos/7/decision ".len(), "{head}");
    assert_eq!(decision["decision"], "Deny");
    assert_eq!(till.shop.site.count("SELECT count(*) FROM question"), 2);
}

#[test]
fn a_question_may_need_two_equal_answers() {
    let till = Till::open("1m", "answers = 2\n");
    till.asks("r-1");
    till.shop.wait_to(NINO, 1);
    till.shop.wait_to(GIORGI, 1);
    assert_eq!(till.shop.taps(NINO, "Approve"), "vote");
    assert_eq!(till.shop.taps(NINO, "Approve"), "vote");
    std::thread::sleep(Duration::from_millis(300)); // room for what must not come
    assert_eq!(till.answers.messages(), Vec::<String>::new(), "one person twice is one");
    assert_eq!(till.shop.taps(GIORGI, "Approve"), "vote");
    assert_eq!(till.decision(1).1["decision"], "Approve");
}

#[test]
fn when_the_time_is_up_the_default_is_decided() {
    let mut till = Till::open("3s", "");
    till.shop.site.fault(&json!({ "reset_before_accept": true, "count": 1000 }));
    till.asks("r-1");
    wait_for(10, "the question", || {
        (till.shop.site.count("SELECT count(*) FROM question") == 1).then_some(())
    });
    till.shop.gateway.take().unwrap().kill();
    till.shop.gateway = Some(Gateway::start(&till.shop.site));
    let (head, decision) = till.decision(1);
    assert_eq!(head, "pos/1/decision r-1");
    assert_eq!(decision["decision"], "Deny");
    assert_eq!((&decision["reason"], &decision["by"]), (&json!("time is up"), &Value::Null));
    std::thread::sleep(Duration::from_millis(500)); // room for what must not come
    assert_eq!(till.answers.messages().len(), 1);
    assert_eq!(till.shop.to(NINO), Vec::<Value>::new(), "a question whose time is over is not sent");
}

#[test]
fn a_decision_waits_for_the_broker() {
    let mut till = Till::open("1m", "");
    // A till whose session the broker keeps: else the decision may be out before it listens again.
    let session = ["-V", "5", "-c", "-i", "till-1", "-x", "3600", "-F", "%D %p"];
    let heard = Subscriber::start_with(till.shop.broker.port, "pos/+/decision", &session);
    till.asks("r-1");
    till.shop.wait_to(NINO, 1);
    till.shop.broker.down();
    assert_eq!(till.shop.taps(NINO, "Approve"), "vote");
    till.shop.broker.up();
    let line = wait_for(20, "the decision", || heard.messages().first().cloned());
    assert!(line.starts_with("r-1 ") && line.contains("Approve"), "{line}");
    std::thread::sleep(Duration::from_millis(500)); // room for what must not come
    assert_eq!(heard.messages().len(), 1);
}

/// A till that may only ask has us publish with our own rights.
#[test]
fn answers_go_only_to_permitted_response_topics() {
    let command = "[[command]]\nname = \"drawer\"\nwords = [\"open {till}\"]\ntopic = \"pos/{till}/drawer\"\npayload = \"OPEN\"\n";
    let till = Till::open("1m", command);
    let heard = Subscriber::start_with(till.shop.broker.port, "#", &["-V", "5", "-F", "%t %p"]);
    let asks = |response: &str, amount: u32| {
        let options = ["-D", "publish", "response-topic", response];
        publish_5(till.shop.broker.port, "pos/1/refund", &format!("{{\"amount\": {amount}}}"), &options);
    };
    let is_asked = |amount: u32| {
        let words = format!("refund of {amount} GEL?");
        let has = || till.shop.to(NINO).iter().any(|sent| text(sent).contains(&words)).then_some(());
        wait_for(10, &words, has);
    };
    for (number, response) in [
        "pos/1/drawer",
        "site/lock/set",
        "bellwire/device/pump/command/start",
        "homeassistant/lock/x/config",
        "$SYS/x",
    ]
    .into_iter()
    .enumerate()
    {
        asks(response, u32::try_from(number).unwrap());
        is_asked(u32::try_from(number).unwrap());
        assert_eq!(till.shop.taps(NINO, "Approve"), "vote");
        // The question has a response topic of its own, and the answer goes there.
        let (head, decision) = till.decision(number + 1);
        assert_eq!(
            (head.split(' ').next(), &decision["decision"]),
            (Some("pos/1/decision"), &json!("Approve")),
            "{response}"
        );
        assert!(
            !heard.messages().iter().any(|message| message.starts_with(&format!("{response} "))),
            "{response}: {:?}",
            heard.messages()
        );
    }
    asks("pos/2/decision", 99);
    is_asked(99);
    assert_eq!(till.shop.taps(NINO, "Deny"), "vote");
    let (head, _) = till.decision(6);
    assert!(head.starts_with("pos/2/decision "), "what is allowed is used: {head}");
}
