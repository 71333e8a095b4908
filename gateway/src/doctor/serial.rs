//! The serial ports of devices.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Command;

use super::Findings;
use crate::config::Config;

const CHECK: &str = "serial";

pub fn examine(findings: &mut Findings, config: &Config) {
    for serial in &config.serial {
        let path = serial.path.display();
        match std::fs::metadata(&serial.path) {
            Err(error) => findings.warn(
                CHECK,
                format!("{path}: {error}"),
                "is it plugged in? `ls -l /dev/serial/by-id` shows what is",
            ),
            Ok(file) if !file.file_type().is_char_device() => findings.fail(
                CHECK,
                format!("{path} is no serial port"),
                "`ls -l /dev/serial/by-id /dev/tty[AU]*` shows what is one",
            ),
            Ok(_) if is_ours(&serial.path) => findings.good(
                CHECK,
                format!("{path} is there, and this user may use it; the systemd unit may with /usr/share/doc/bellwire/examples/serial.conf"),
            ),
            Ok(_) => findings.fail(
                CHECK,
                format!("{path} may not be used by this user"),
                "sudo usermod -aG dialout bellwire, and start the service again",
            ),
        }
    }
}

/// Asked of `test`: to open a port to find out would start many a board anew.
fn is_ours(path: &Path) -> bool {
    let status = Command::new("test").arg("-r").arg(path).arg("-a").arg("-w").arg(path).status();
    status.is_ok_and(|status| status.success())
}
