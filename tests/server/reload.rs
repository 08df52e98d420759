//! SIGHUP reads certificate and key again: new connections see the new one, old ones go on.

use std::fs;
use std::path::Path;

use causerie_load::http::Http;
use causerie_load::tls::Trust;

use crate::support::{Setup, eventually};

/// A certificate and its key for localhost, as PEM.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn write(folder: &Path, (cert, key): &(String, String)) {
    fs::write(folder.join("chain.pem"), cert).expect("written");
    fs::write(folder.join("key.pem"), key).expect("written");
}

#[test]
fn a_new_certificate_is_taken_without_dropping_a_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    fs::create_dir_all(&data).expect("a folder");
    let (first, second) = (certificate(), certificate());
    // In the data folder, where the test support looks for the certificate to pin.
    write(&data, &first);
    let server = Setup::default()
        .data(&data)
        .set("tls.cert", data.join("chain.pem").display())
        .set("tls.key", data.join("key.pem").display())
        .start();
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    let mut old = ann.connect();

    let pinned = folder.path().join("second.pem");
    fs::write(&pinned, &second.0).expect("written");
    let new = Trust::file(&pinned).and_then(Trust::config).expect("a configuration");
    let with_new = || Http::new(&server.address(), &new).call("GET", "/readyz", None, &[], None);
    assert!(with_new().is_err(), "the second certificate is not in use yet");

    write(&data, &second);
    server.signal(rustix::process::Signal::HUP);
    eventually("the new certificate", || with_new().ok().filter(|answer| answer.status == 200));
    old.chat(room, "still here");

    // A pair that does not fit is refused, and the one in use stays.
    fs::write(data.join("key.pem"), &first.1).expect("written");
    server.signal(rustix::process::Signal::HUP);
    eventually("a word in the log", || server.log().to_lowercase().contains("certificate").then_some(()));
    old.chat(room, "and still");
    assert_eq!(with_new().expect("an answer").status, 200);
}
