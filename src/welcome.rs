//! What a person sees who starts the server in a terminal: where it listens, whom to trust, what to do next.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// What there is to say once the server listens.
#[derive(Clone, Debug)]
pub struct Welcome<'a> {
    /// The public listener, as bound.
    pub listen: SocketAddr,
    /// The operators' listener, as bound.
    pub admin_listen: SocketAddr,
    /// SHA-256 of the self-signed certificate, as hex pairs with colons; `None` with a certificate of one's own.
    pub fingerprint: Option<&'a str>,
    /// Where the data is.
    pub data_dir: &'a Path,
    /// How many shards run.
    pub shards: u16,
    /// Whether there is no user yet and accounts are kept here: then the first one becomes admin.
    pub empty: bool,
}

/// The whole text, with a line feed at its end. Meant for standard error, beside the log.
#[must_use]
pub fn text(about: &Welcome<'_>) -> String {
    let mut text = String::new();
    let url = url(about.listen);
    let shards = if about.shards == 1 { "1 shard".to_owned() } else { format!("{} shards", about.shards) };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "Causerie {} is ready on {url} ({shards})", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(text, "  operators    {}/metrics", self::url(about.admin_listen));
    let _ = writeln!(text, "  data         {}", about.data_dir.display());
    if let Some(fingerprint) = about.fingerprint {
        let _ = writeln!(text, "  certificate  self-signed, SHA-256 {fingerprint}");
        let _ = writeln!(
            text,
            "               compare this with what your client shows; set tls.cert and tls.key for a real one"
        );
    }
    if about.empty {
        let _ =
            writeln!(text, "  next         open {url} in a browser, or: causerie chat --server {url} --user YOUR_NAME");
        let _ = writeln!(text, "               there is no account yet: the first one becomes the administrator");
    }
    text
}

/// The address as people type it.
fn url(address: SocketAddr) -> String {
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("https://localhost:{}", address.port())
    } else {
        format!("https://{address}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_and_what_next_and_only_what_is_so() {
        let mut about = Welcome {
            listen: "127.0.0.1:8443".parse().unwrap(),
            admin_listen: "[::1]:9443".parse().unwrap(),
            fingerprint: Some("AA:BB"),
            data_dir: Path::new("data"),
            shards: 2,
            empty: true,
        };
        let all = text(&about);
        for part in [
            "https://localhost:8443 (2 shards)",
            "https://localhost:9443/metrics",
            "SHA-256 AA:BB",
            "open https://localhost:8443 in a browser",
            "causerie chat --server",
        ] {
            assert!(all.contains(part), "{part} is not in\n{all}");
        }
        about.fingerprint = None;
        about.empty = false;
        about.listen = "192.0.2.1:443".parse().unwrap();
        let all = text(&about);
        assert!(
            all.contains("https://192.0.2.1:443") && !all.contains("self-signed") && !all.contains("chat"),
            "{all}"
        );
    }
}
