//! The page inside Home Assistant's frontend: its Supervisor strips `/api/hassio_ingress/TOKEN` and says so in a header
//! (github.com/home-assistant/supervisor, supervisor/api/ingress.py; core, components/hassio/ingress.py).

use bellwire_tests::{Broker, Gateway, Site};

use super::{Answer, ask, code};
use crate::round_trip::FREEZER;

const HOST: &str = "Host: homeassistant.local:8123";
const PREFIX: &str = "/api/hassio_ingress/GiN4p-x_yo4OSoVMyZe1aiRmqrSwTkqOBxyzabcdefg";

fn site(broker: &Broker, key: &str) -> (Site, Gateway) {
    let site = Site::new(broker.port, FREEZER);
    let config = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), config.replace("[http]\n", &format!("[http]\n{key}\n"))).unwrap();
    let gateway = Gateway::start(&site);
    (site, gateway)
}

fn through(site: &Site, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let ingress = format!("X-Ingress-Path: {PREFIX}");
    let all = [&[HOST, &ingress, "X-Forwarded-For: 192.168.1.7"], headers].concat();
    ask(site, method, path, &all, body)
}

#[test]
fn home_assistant_shows_the_page_under_its_own_path() {
    let broker = Broker::start();
    let (site, _gateway) = site(&broker, "ingress = \"127.0.0.1\"");
    let first = through(&site, "GET", "/", &[], "");
    assert_eq!((first.status, first.header("location")), (303, Some(&*format!("{PREFIX}/welcome"))));
    let welcome = through(&site, "GET", "/welcome", &[], "");
    assert_eq!(welcome.status, 200, "{}", welcome.body);
    for attribute in ["href=\"", "src=\"", "action=\""] {
        let all = welcome.body.matches(attribute).count();
        let ours = welcome.body.matches(&format!("{attribute}{PREFIX}")).count();
        let other = ["#", "http"].iter().map(|to| welcome.body.matches(&format!("{attribute}{to}")).count());
        assert_eq!(all, ours + other.sum::<usize>(), "{attribute} leads out of the frame: {}", welcome.body);
    }
    assert_eq!(welcome.header("x-frame-options"), Some("SAMEORIGIN"));
    assert!(welcome.header("content-security-policy").unwrap().contains("frame-ancestors 'self'"));

    let fields = format!("code={}&password=correct+horse&again=correct+horse", code(&site));
    let form = [
        "Content-Type: application/x-www-form-urlencoded",
        "Origin: http://homeassistant.local:8123",
        "Sec-Fetch-Site: same-origin",
    ];
    let chosen = through(&site, "POST", "/welcome", &form, &fields);
    assert_eq!(
        (chosen.status, chosen.header("location")),
        (303, Some(&*format!("{PREFIX}/"))),
        "{}",
        chosen.body
    );
    let cookie = chosen.header("set-cookie").and_then(|set| set.split(';').next()).unwrap().to_owned();
    let page = through(&site, "GET", "/", &[&format!("Cookie: {cookie}")], "");
    assert!(page.body.contains(&format!("data-watch=\"{PREFIX}/live\"")), "{}", page.body);
}

#[test]
fn nobody_but_the_supervisor_moves_or_frames_the_page() {
    let broker = Broker::start();
    let (site, _gateway) = site(&broker, "ingress = \"172.30.32.2\"\ntrusted_proxies = [\"127.0.0.1\"]");
    let named = through(&site, "GET", "/", &[], "");
    assert_eq!(named.status, 421, "a name that is not ours, from elsewhere than the Supervisor");
    let header = format!("X-Ingress-Path: {PREFIX}");
    let spoken = ask(&site, "GET", "/", &[&header], "");
    assert_eq!(spoken.header("location"), Some("/welcome"));
    assert_eq!(spoken.header("x-frame-options"), Some("DENY"));
    let below = ask(&site, "GET", "/", &["X-Forwarded-Prefix: /bellwire"], "");
    assert_eq!(
        below.header("location"),
        Some("/bellwire/welcome"),
        "a proxy of ours may serve it below a path"
    );
    assert_eq!(below.header("x-frame-options"), Some("DENY"));
    let elsewhere = ask(&site, "GET", "/", &["X-Forwarded-Prefix: //evil.example"], "");
    assert_eq!(elsewhere.header("location"), Some("/welcome"));
}
