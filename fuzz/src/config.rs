//! A configuration file: what we run on, or problems with their places.

use super::site;

pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match site::parse(text) {
        Ok(config) => {
            for (topic, payload) in
                [("site/a/freezer/1/temperature", "{\"celsius\": -3}"), ("a", "open"), ("", "")]
            {
                drop(site::decide(&config, topic, None, payload.as_bytes()));
            }
            assert!(config.rules.iter().all(|rule| !rule.topic.filter().is_empty()));
        }
        Err(problems) => {
            let lines = text.split('\n').count();
            assert!(!problems.0.is_empty(), "refused without a reason");
            for problem in &problems.0 {
                assert!(!problem.what.trim().is_empty() && problem.line <= lines, "{problem}");
            }
        }
    }
}
