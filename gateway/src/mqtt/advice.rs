//! What a broker's certificate lacks, in words that name the next step: rustls tells it in one of its own.

/// What the error holds, and what to do. A CA is asked for with `ca_file`; how certificates are made stands in docs/broker.md.
const STEPS: [(&str, &str); 11] = [
    (
        "UnknownIssuer",
        "its certificate is signed by a CA that is not known here: write ca_file = \"ca.pem\" under [mqtt], with the CA's \
         certificate in PEM form, or with the broker's own if that signed itself",
    ),
    (
        "CaUsedAsEndEntity",
        "it shows the certificate of a CA as its own, as `openssl req -x509` makes them: make it again with -addext \
         basicConstraints=critical,CA:FALSE (docs/broker.md has the command)",
    ),
    (
        "UnsupportedCertVersion",
        "its certificate is of version 1, without names: make it again with a subjectAltName (docs/broker.md has the command)",
    ),
    (
        "certificate not valid for name",
        "write one of its certificate's names in `url` of [mqtt], or make it again with this name as subjectAltName (docs/broker.md \
         has the command)",
    ),
    (
        "certificate expired",
        "renew its certificate, and see that the clock of this machine is right: timedatectl",
    ),
    ("certificate not valid yet", "set the clock of this machine: timedatectl set-ntp true"),
    ("InvalidContentType", NO_TLS),
    ("TLS: I/O: Connection reset", NO_TLS), // mosquitto does not answer what is no MQTT
    ("TLS: I/O: tls handshake eof", NO_TLS),
    (
        "CertificateRequired",
        "it wants a certificate of ours: write client_certificate_file and client_key_file under [mqtt]",
    ),
    (
        "BadSignature",
        "ca_file in [mqtt] holds a CA of the same name with another key: take the one that signed its certificate",
    ),
];

const NO_TLS: &str = "it seems not to speak TLS at this port: write mqtt:// instead of mqtts:// in `url` of [mqtt], or the port at which it does, most often 8883";

/// The error, and the next step where there is one.
pub fn with_advice(error: String) -> String {
    match STEPS.iter().find(|(what, _)| error.contains(what)) {
        Some((_, step)) => format!("{error}; {step}"),
        None => error,
    }
}
