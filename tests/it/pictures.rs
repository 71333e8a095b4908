//! Files that go with alerts: from the payload, from a camera, refused by Meta.

use std::io::{Read, Write};
use std::net::TcpListener;

use bellwire_tests::{Broker, Gateway, Simulator, Site, publish, wait_for};
use serde_json::json;

const JPEG: &[u8] = b"\xff\xd8\xff\xe0\x00\x10JFIF-not-really-a-picture\xff\xd9";

fn rules(attach: &str, topic: &str) -> String {
    format!(
        "[[contact]]\nid = \"nino\"\nphone = \"+995 555 12 34 56\"\n[[rule]]\nname = \"door\"\ntopic = \"{topic}\"\n\
         message = \"Somebody is at the door\"\nnotify = [\"nino\"]\nattach = {attach}\n"
    )
}

#[test]
fn a_jpeg_payload_is_sent_and_uploaded_once() {
    let broker = Broker::start();
    let site =
        Site::new(broker.port, &rules("{ kind = \"image\", from = \"payload\" }", "camera/{place}/snapshot"));
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    publish(broker.port, "camera/door/snapshot", JPEG);
    let sent = site.wait_sent(1);
    assert_eq!(sent[0]["type"], "image", "{sent:#?}");
    assert!(sent[0]["body"]["image"]["caption"].as_str().unwrap().starts_with("Somebody is at the door"));
    publish(broker.port, "camera/door/snapshot", JPEG);
    let sent = site.wait_sent(2);
    assert_eq!(
        sent[0]["body"]["image"]["id"], sent[1]["body"]["image"]["id"],
        "the same file is uploaded once"
    );
    assert_eq!(site.count("SELECT count(*) FROM upload"), 1);

    publish(broker.port, "camera/door/snapshot", b"not a picture");
    let sent = site.wait_sent(3);
    assert_eq!(sent[2]["type"], "text", "the alert goes without");
    assert_eq!(site.count("SELECT count(*) FROM alert WHERE flaw LIKE 'the file could not be attached%'"), 1);
}

#[test]
fn a_camera_is_fetched_when_the_message_leaves() {
    let camera = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = camera.local_addr().unwrap().port();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = camera.accept().unwrap();
        let mut request = [0; 2_048];
        let length = stream.read(&mut request).unwrap();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            JPEG.len()
        )
        .unwrap();
        stream.write_all(JPEG).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let broker = Broker::start();
    let site = Site::new(
        broker.port,
        &rules("{ kind = \"image\", url = \"{{ payload.url }}\", hosts = [\"127.0.0.1\"] }", "door/{place}"),
    );
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    let event = json!({ "url": format!("http://admin:geheim@127.0.0.1:{port}/snap.jpg") });
    publish(broker.port, "door/front", event.to_string().as_bytes());
    assert_eq!(site.wait_sent(1)[0]["type"], "image");
    let request = asked.join().unwrap();
    assert!(
        request.starts_with("GET /snap.jpg")
            && request.to_lowercase().contains("authorization: basic ywrtaw46z2vozwlt"),
        "{request}"
    );

    publish(broker.port, "door/front", event.to_string().as_bytes());
    let text = site.wait_sent(2)[1]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("Somebody is at the door") && text.contains("no picture: "), "{text}");
}

/// The camera takes the connection and says nothing: its own message waits for the deadline of 10 s, and no other does.
#[test]
fn a_slow_camera_delays_no_other_alert() {
    let camera = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/snap.jpg", camera.local_addr().unwrap().port());
    let broker = Broker::start();
    let attach = format!("{{ kind = \"image\", url = \"{url}\" }}");
    let fire = "[[rule]]\nname = \"fire\"\ntopic = \"fire\"\nmessage = \"Fire\"\nnotify = [\"nino\"]\n";
    let site = Site::new(broker.port, &(rules(&attach, "door") + fire));
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    publish(broker.port, "door", b"x");
    let _asked = camera.accept().unwrap();
    let began = std::time::Instant::now();
    publish(broker.port, "fire", b"x");
    let first = site.wait_sent(1)[0]["text"].as_str().unwrap().to_owned();
    assert!(first.starts_with("Fire"), "{first}");
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    let second = site.wait_sent(2)[1]["text"].as_str().unwrap().to_owned();
    assert!(second.contains("Somebody is at the door") && second.contains("no picture: "), "{second}");
}

#[test]
fn a_file_that_meta_refuses_goes_without_once() {
    for later in [false, true] {
        let broker = Broker::start();
        let site =
            Site::new(broker.port, &rules("{ kind = \"image\", from = \"payload\" }", "camera/{place}"));
        let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
        site.fault(&if later {
            json!({ "count": 1, "statuses": { "fail_code": 131_053 } })
        } else {
            json!({ "code": 131_053, "count": 1 })
        });
        publish(broker.port, "camera/door", JPEG);
        wait_for(15, "the message without its picture", || {
            let last = site.sent().pop()?;
            (last["type"] == "text" && last["text"].as_str()?.contains("WhatsApp refused the file"))
                .then_some(())
        });
    }
}

/// Nothing of it is kept in memory: a Pi Zero has 512 MB, and the unit allows less.
#[test]
fn a_large_document_passes_through_in_pieces() {
    const LENGTH: usize = 60_000_000;
    let store = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = store.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = store.accept().unwrap();
        let _request = stream.read(&mut [0; 2_048]).unwrap();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n%PDF-1.7").unwrap();
        let piece = vec![b' '; 100_000];
        let mut left = LENGTH - 8;
        while left > 0 {
            let written = piece.len().min(left);
            stream.write_all(&piece[..written]).unwrap();
            left -= written;
        }
    });
    let broker = Broker::start();
    let attach = "{ kind = \"document\", url = \"{{ payload }}\", hosts = [\"127.0.0.1\"], filename = \"report.pdf\" }";
    let site = Site::new(broker.port, &rules(attach, "report/{place}"));
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    let peak = |gateway: &Gateway| -> i64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let before = peak(&gateway);
    publish(broker.port, "report/till", format!("http://127.0.0.1:{port}/report.pdf").as_bytes());
    let sent = site.wait_sent(1);
    served.join().unwrap();
    assert_eq!(sent[0]["type"], "document", "{sent:#?} {}", site.log());
    let about = site.api(&format!("/v23.0/{}", sent[0]["body"]["document"]["id"].as_str().unwrap()));
    let mut about = ureq::get(&about).header("authorization", "Bearer token").call().unwrap();
    let about: serde_json::Value = about.body_mut().read_json().unwrap();
    assert_eq!(about["file_size"].to_string().trim_matches('"'), LENGTH.to_string(), "{about:#}");
    let grown = peak(&gateway) - before;
    println!("a document of 60 MB passed through; the peak of memory grew by {grown} kB");
    assert!(grown < 12_000, "{grown} kB");
}

#[test]
fn local_files_are_sent_only_from_their_folder() {
    let broker = Broker::start();
    let motion = tempfile::tempdir().unwrap();
    std::fs::write(motion.path().join("cam-2.jpg"), JPEG).unwrap();
    let attach =
        format!("{{ kind = \"image\", file = \"{}/cam-{{{{ payload }}}}.jpg\" }}", motion.path().display());
    let site = Site::new(broker.port, &rules(&attach, "motion"));
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    publish(broker.port, "motion", b"2");
    assert_eq!(site.wait_sent(1)[0]["type"], "image");
    publish(broker.port, "motion", b"/../../../etc/hostname");
    assert_eq!(site.wait_sent(2)[1]["type"], "text", "the alert goes without");
    assert_eq!(site.count("SELECT count(*) FROM alert WHERE flaw LIKE '%leads out of%'"), 1);
    publish(broker.port, "motion", b"3");
    let text = site.wait_sent(3)[2]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("no picture: ") && text.contains("No such file"), "{text}");
}
